"""What one replica has done, another one knows with its next request: nothing of it is kept in a process."""

import pytest

from coven_action.hosted.settings import Settings
from coven_action.hosted.signing import SigningKey
from coven_action.hosted.store.postgresql import PostgreSQLStore
from tests.hosted.databases import POSTGRESQL
from tests.hosted.deployment import LOCAL_URL, Client, Deployment, OpenedSession, make_token, open_session

pytestmark = pytest.mark.parametrize("database", [POSTGRESQL], indirect=True)


@pytest.fixture
def other(client, url, clock, ids, runner):
    """A client of a second replica."""
    store = PostgreSQLStore(url, clock)
    settings = Settings(database_url=str(url), public_url=LOCAL_URL)
    replica = Deployment(runner, store, clock, ids, settings, SigningKey(bytes(range(32))))
    with Client(replica.build_app(), runner) as started:
        yield started


def test_a_session_is_good_everywhere_and_closed_everywhere(client, other, clock):
    here = open_session(client, clock())
    there = OpenedSession(other, here.document)
    assert there.report().status_code == 200
    numbers = [
        session.append(text).json()["first"] for session, text in ((here, "one"), (there, "two"), (here, "three"))
    ]
    assert numbers == list(range(numbers[0], numbers[0] + 3))

    assert here.send("DELETE", "/v1/session").status_code == 204

    for session in (there, here):
        assert session.append("four").status_code == 401
        assert session.send("GET", "/v1/policy").status_code == 401


def test_a_token_opens_one_session(client, other, clock):
    token = {"Authorization": f"Bearer {make_token(clock())}"}

    assert client.post("/v1/session", headers=token, json={}).status_code == 201
    assert other.post("/v1/session", headers=token, json={}).status_code == 401


def test_a_request_that_is_repeated_elsewhere_has_the_same_answer_and_one_effect(client, other, clock):
    here = open_session(client, clock())
    there = OpenedSession(other, here.document)
    here.report()

    first, again = here.append("one", key="k-1"), there.append("one", key="k-1")

    assert (first.status_code, first.content) == (again.status_code, again.content)
    assert again.headers["idempotency-replayed"] == "true"
    assert there.append("other", key="k-1").status_code == 422


def test_a_thread_that_a_run_holds_is_held_everywhere(client, other, clock):
    first = open_session(client, clock(), run_id="1")
    second = open_session(other, clock(), run_id="2")

    assert first.report(thread="issue-7").json()["decision"] == "granted"
    assert second.report(thread="issue-7").json()["decision"] != "granted"
    assert first.send("POST", "/v1/runs/self/finish", {"state": "done"}).status_code == 200
    assert second.report(thread="issue-7").json()["decision"] == "granted"


def test_what_an_administrator_changes_holds_everywhere(client, other, admin):
    etag = client.get("/v1/tenants/self/policy", headers=admin).headers["etag"]
    changed = client.put(
        "/v1/tenants/self/policy", headers=admin | {"If-Match": etag, "Idempotency-Key": "k"}, json={"enabled": True}
    )
    assert changed.status_code == 200

    assert other.get("/v1/tenants/self/policy", headers=admin).json() == changed.json()
