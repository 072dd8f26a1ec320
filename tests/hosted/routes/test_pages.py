"""The page of a run: for whoever may see the run, and inert whatever stands in it."""

import re
from html.parser import HTMLParser

import pytest
from sqlalchemy import update

from coven_action.hosted.pages import STYLE, is_link
from coven_action.hosted.store import schema
from tests.hosted.databases import ON_BOTH_SLOWLY
from tests.hosted.deployment import ADMIN_TOKEN, open_session
from tests.hosted.memory_world import world
from tests.hosted.routes.test_runs import finish

__all__ = ["world"]
ALLOWED_TAGS = {
    "html", "head", "meta", "title", "style", "body", "h1", "h2", "table", "tr", "th", "td", "a", "code", "p", "pre",
}  # fmt: skip


class Elements(HTMLParser):
    """What a browser would make of a page."""

    def __init__(self, text):
        super().__init__()
        self.tags, self.links, self.attributes, self.texts = set(), [], set(), []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.tags.add(tag)
        self.attributes |= {name for name, _ in attrs}
        self.links += [value for name, value in attrs if name == "href"]

    def handle_data(self, data):
        self.texts.append(data)


def read(answer):
    assert answer.headers["content-type"].startswith("text/html")
    elements = Elements(answer.text)
    assert elements.tags <= ALLOWED_TAGS
    assert elements.attributes <= {"lang", "charset", "name", "content", "href", "rel"}
    return elements


@ON_BOTH_SLOWLY
def test_a_run_is_shown_with_its_attempts_links_events_and_memory(world):
    memory_id = world.remember()
    session = world.start(run_id=2)
    world.bundle(session, "How does the ledger round?")
    session.append("it works")
    finish(session, links={"pull_request": "https://github.example/acme/billing/pull/7"})

    page = read(world.client.get("/runs/2", headers=world.admin))

    text = " ".join(page.texts)
    assert "Run 2: review" in text
    for said in ("sage", "neutral", memory_id, "offered", "note", "it works", "run.finished"):
        assert said in text
    assert page.links == ["https://github.example/acme/billing/pull/7"]


@ON_BOTH_SLOWLY
def test_a_page_runs_and_loads_nothing(client, clock, admin):
    open_session(client, clock()).report()

    answer = client.get("/runs/1", headers=admin)
    policy = answer.headers["content-security-policy"]

    assert policy.startswith("default-src 'none'; style-src 'sha256-")
    assert "unsafe" not in policy
    assert "script" not in policy
    assert {"base-uri 'none'", "form-action 'none'", "frame-ancestors 'none'"} <= set(policy.split("; "))
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert answer.headers["cache-control"] == "no-store"
    assert f"<style>{STYLE}</style>" in answer.text, "byte for byte what the policy's digest is of"


@ON_BOTH_SLOWLY
@pytest.mark.parametrize(
    "number", ["1", "999", "0", "x", "1/x", "-1", "99999999999999999999", "%00", "<script>alert(1)</script>"]
)
def test_who_is_not_signed_in_is_told_how_to_look_and_nothing_else(client, clock, number):
    open_session(client, clock()).report(familiar="walrus")

    answer = client.get(f"/runs/{number}")

    assert answer.status_code == 401
    assert answer.content == client.get("/runs/1").content, "whether there is such a run is not told"
    assert answer.headers["www-authenticate"]
    assert "walrus" not in answer.text
    assert "curl --header" in " ".join(read(answer).texts)


@ON_BOTH_SLOWLY
@pytest.mark.parametrize("number", ["999", "0", "x", "01", "-1", "99999999999999999999", "%00", "٣"])
def test_a_run_that_is_none_is_not_found(client, admin, number):
    answer = client.get(f"/runs/{number}", headers=admin)

    assert (answer.status_code, answer.json()["code"]) == (404, "no-such-resource")


@ON_BOTH_SLOWLY
def test_a_run_sees_no_page(client, clock):
    session = open_session(client, clock())
    session.report()

    assert session.send("GET", "/runs/1").status_code == 403


@ON_BOTH_SLOWLY
def test_another_accounts_run_is_not_found(client, clock, other_tenant):
    open_session(client, clock()).report()
    headers = {"Authorization": f"Bearer {ADMIN_TOKEN}", "Coven-Tenant": "globex"}

    assert client.get("/runs/1", headers=headers).content == client.get("/runs/999", headers=headers).content


HOSTILE = (
    "<script>alert(1)</script>",
    "</style><script>alert(1)</script>",
    '"><img src=x onerror=alert(1)>',
    "' onmouseover='alert(1)",
    "{{ 7 * 7 }}{% include 'x' %}",
    "<!--",
    "<a href=javascript:alert(1)>x</a>",
    "&lt;script&gt;",
    "</td></table><form action=https://evil.example>",
)


@ON_BOTH_SLOWLY
@pytest.mark.parametrize("text", HOSTILE)
def test_texts_of_a_run_are_inert(client, clock, admin, deployment, tenant, text):
    """Whatever the database came to hold: the page does not rely on what was once checked."""
    session = open_session(client, clock())
    session.report()
    session.append(text)
    columns = {"familiar": text[:40], "thread": text[:40], "task_kind": "fix", "conclusion": text[:20]}
    row = update(schema.runs).values(**columns)
    deployment.write(tenant, lambda transaction: transaction.execute(row))

    page = read(client.get("/runs/1", headers=admin))

    assert page.links == []
    assert text[:20] in "".join(page.texts)
    assert "49" not in "".join(page.texts)


NO_LINKS = (
    "javascript:alert(1)", "JAVASCRIPT:alert(1)", "data:text/html,x", "vbscript:x", "//evil.example", "/relative", "ftp://x.example",
    " https://x.example", "https://x.example\n", 'https://x.example"onclick=1', "https://x.example<b>", "https://", "", None, 7,
)  # fmt: skip


@pytest.mark.parametrize("text", NO_LINKS)
def test_what_is_no_link_is_none(text):
    assert not is_link(text)


@pytest.mark.parametrize(
    "text", ["https://github.com/a/b/pull/1", "http://127.0.0.1:8766/runs/1", "https://x.example/?a=b&c='d'"]
)
def test_a_link_is_one(text):
    assert is_link(text)


@ON_BOTH_SLOWLY
def test_only_links_are_followed(client, clock, admin, deployment, tenant):
    session = open_session(client, clock())
    session.report(links={"run": "https://x.example/?a=1&b='2'"})
    document = {"links": {"comment": "javascript:alert(1)", "check_run": 'https://x.example/"><script>'}}
    row = update(schema.runs).values(finish=document)
    deployment.write(tenant, lambda transaction: transaction.execute(row))

    answer = client.get("/runs/1", headers=admin)

    assert read(answer).links == ["https://x.example/?a=1&b='2'"]
    assert "javascript:alert(1)" in answer.text
    assert not re.search(r"<script", answer.text)
