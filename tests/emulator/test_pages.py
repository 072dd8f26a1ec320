"""The pages show threads, diffs and checks to a person, and hostile text stays text."""

import re

import pytest
import requests

from coven_action.emulator.diff_rows import MAX_ROWS, parse_rows
from coven_action.emulator.markdown import clean_html, render_markdown
from tests.counted_work import find_growth

HOSTILE = "<script>alert(1)</script><img src=x onerror=alert(1)>\"'><svg/onload=alert(1)>"


@pytest.fixture
def page(github):
    def get(path, status=200):
        response = requests.get(github.url + path, timeout=20)
        assert response.status_code == status, path
        return response.text

    return get


@pytest.fixture
def pull(github, rest, push_branch):
    """A pull request (number 2, from `coven/fix`) for issue 1, with a concluded Check Run."""
    with github.world.lock:
        github.world.open_issue(github.repository, github.outsider, "total() rounds wrong", "See `tax.py`", ("bug",))
    sha = push_branch("coven/fix", {"src/tax.py": "def total(net, rate):\n    return round(net * (1 + rate))\n"})
    body = {"title": "Round half up", "head": "coven/fix", "base": "main", "body": "Closes #1.", "draft": True}
    assert rest.post("/repos/acme/billing/pulls", body).status_code == 201
    note = {"path": "src/tax.py", "start_line": 2, "end_line": 2, "annotation_level": "warning", "message": "look here"}
    output = {
        "title": "published, not checked",
        "summary": "| what | answer |\n|---|---|\n| a | b |",
        "annotations": [note],
    }
    run = {"name": "Cody", "head_sha": sha, "conclusion": "neutral", "output": output}
    return rest.post("/repos/acme/billing/check-runs", run).json()


def test_the_index_leads_to_the_repository_and_its_threads(page, pull):
    assert 'href="/acme/billing"' in page("/")
    shown = page("/acme/billing")
    assert "total() rounds wrong" in shown
    assert "/acme/billing/pull/2" in shown
    assert "coven/fix" in shown


def test_an_issue_shows_its_text_its_labels_its_comments_and_its_pull_request(github, page, rest, pull):
    rest.post("/repos/acme/billing/issues/1/comments", {"body": "> **Cody** · draft PR #2 is ready"})
    shown = page("/acme/billing/issues/1")
    for expected in ("<code>tax.py</code>", ">bug<", "<blockquote>", "github-actions[bot]", "/acme/billing/pull/2"):
        assert expected in shown


def test_a_pull_request_shows_draft_diff_and_checks(page, pull):
    conversation, files, checks = (page(f"/acme/billing/pull/2{tab}") for tab in ("", "/files", "/checks"))
    assert '<span class="badge">Draft</span>' in conversation
    assert re.search(r'<tr class="removed">.*return int\(net', files)
    assert re.search(r'<tr class="added">.*return round\(net', files)
    for expected in ("published, not checked", "<td>b</td>", 'class="badge neutral"', "look here", "src/tax.py:2"):
        assert expected in checks


def test_every_link_of_a_page_leads_somewhere(github, page, pull):
    waiting, seen = ["/"], set()
    while waiting:
        path = waiting.pop()
        seen.add(path)
        links = re.findall(r'href="([^"]+)"', page(path))
        local = {link.removeprefix(github.url).partition("#")[0] for link in links}
        waiting += [link for link in local if link.startswith("/") and link not in seen and link not in waiting]
    assert {"/acme/billing/pull/2/files", f"/acme/billing/runs/{pull['id']}"} <= seen


def test_the_addresses_that_the_rest_interface_names_are_pages(github, page, rest, pull):
    document = rest.get("/repos/acme/billing/pulls/2").json()
    for address in (document["html_url"], rest.get("/repos/acme/billing").json()["html_url"], pull["html_url"]):
        page(address.removeprefix(github.url))
    page("/acme/billing/compare/main...coven/fix")
    page("/acme/billing/blob/coven/fix/src/tax.py")
    assert page("/acme/billing/raw/main/README.md") == "# billing\n"


def test_what_is_not_there_says_so(page):
    for path in ("/acme/other", "/acme/billing/issues/9", "/acme/billing/pull/9/files", "/acme/billing/commit/main~1",
                 "/acme/billing/blob/main/../../etc/passwd", "/acme/billing/compare/main...no", "/nowhere"):  # fmt: skip
        page(path, status=404)


def test_hostile_text_stays_text_wherever_it_appears(github, page, rest, push_branch):
    with github.world.lock:
        issue = github.world.open_issue(github.repository, github.outsider, HOSTILE, HOSTILE, (HOSTILE[:40],))
        github.world.add_comment(github.repository, issue, github.outsider, HOSTILE)
    sha = push_branch("topic", {"src/<script>.py": HOSTILE + "\n"})
    rest.post("/repos/acme/billing/pulls", {"title": HOSTILE, "head": "topic", "base": "main", "body": HOSTILE})
    note = {"path": HOSTILE, "start_line": 1, "end_line": 1, "annotation_level": "notice", "message": HOSTILE}
    output = {"title": HOSTILE, "summary": HOSTILE, "text": HOSTILE, "annotations": [note]}
    run = rest.post("/repos/acme/billing/check-runs", {"name": HOSTILE, "head_sha": sha, "output": output}).json()
    for path in ("/acme/billing", "/acme/billing/issues/1", "/acme/billing/pull/2", "/acme/billing/pull/2/checks",
                 "/acme/billing/pull/2/files", f"/acme/billing/runs/{run['id']}", "/acme/billing/tree/topic/src"):  # fmt: skip
        shown = page(path)
        assert not re.search(r"<(script|img|svg)", shown), path


def test_a_page_loads_nothing(github):
    response = requests.get(github.url, timeout=20)
    assert "default-src 'none'" in response.headers["Content-Security-Policy"]
    assert not re.search(r"https?://|@import|url\(", response.text)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a <!-- marker --> b", "a  b"),
        ("a <!-- never ends", "a "),
        ("<sub>small</sub>", "<sub>small</sub>"),
        ("<DETAILS><summary>x</summary></DETAILS>", "<details><summary>x</summary></details>"),
        ("<sub onclick=x>", "&lt;sub onclick=x&gt;"),
        ("<a href=javascript:x>", "&lt;a href=javascript:x&gt;"),
        ("<scr<!-- x -->ipt>", "&lt;script&gt;"),
        ("</div></main>", "&lt;/div&gt;&lt;/main&gt;"),
    ],
)
def test_of_html_only_a_few_bare_tags_pass(text, expected):
    assert clean_html(text) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Closes #12.", '<a href="http://x/issues/12">#12</a>'),
        ("`#12`", "<code>#12</code>"),
        ("[x](javascript:alert(1))", "[x](javascript:alert(1))"),
        ("![pic](http://evil/p.png)", '<a href="http://evil/p.png" rel="noreferrer nofollow">[pic]</a>'),
        ("| a |\n|---|\n| b |", "<td>b</td>"),
    ],
)
def test_markdown_is_rendered_without_loading_or_running_anything(text, expected):
    assert expected in render_markdown(text, "http://x")


def test_an_issue_number_inside_a_word_or_a_link_is_no_link():
    assert "<a" not in render_markdown("a#12 #12a &#35;", "http://x").replace("&amp;", "")
    assert render_markdown("[see #12](http://y)", "http://x").count("<a ") == 1


@pytest.mark.parametrize("piece", ["<!--", "<", "<sub>", "[", "![", "`", "#1 ", "<details", "*_", "|a|\n|-|\n"])
def test_hostile_markdown_takes_bounded_work(piece):
    def render(size):
        return render_markdown(piece * (size // len(piece)), "http://x")

    assert find_growth(render, 1_024) == ""
    # Work inside the matching of expressions is not counted; if it were quadratic, this would take minutes.
    assert "<script" not in render(16_384)


def test_the_rows_of_a_diff_are_numbered_on_both_sides():
    rows = parse_rows("@@ -3,3 +3,3 @@ def f():\n a\n-b\n+c\n d\n\\ No newline at end of file")
    assert [(row.kind, row.old, row.new, row.text) for row in rows] == [
        ("hunk", None, None, "@@ -3,3 +3,3 @@ def f():"),
        ("context", 3, 3, "a"),
        ("removed", 4, None, "b"),
        ("added", None, 4, "c"),
        ("context", 5, 5, "d"),
        ("note", None, None, "\\ No newline at end of file"),
    ]


def test_a_long_diff_is_cut_and_says_so():
    rows = parse_rows("@@ -1 +1,9999 @@\n" + "+x\n" * 9999)
    assert len(rows) == MAX_ROWS + 1
    assert "not shown" in rows[-1].text
