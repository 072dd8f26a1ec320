"""What a proxy asks: whether requests may be sent here, told at little cost to whoever repeats the question."""

import pytest

from coven_action.hosted.store.commands import StoreUnavailable


@pytest.fixture
def reads(client, monkeypatch):
    """The accounts for which the database was read, 0 for none."""
    store = client.app.state.endpoint.store
    read, seen = store.read, []

    async def counted(tenant_id, work):
        seen.append(tenant_id)
        return await read(tenant_id, work)

    monkeypatch.setattr(store, "read", counted)
    return seen


def test_whoever_repeats_the_question_costs_the_database_one_reading_a_second(client, clock, reads):
    assert {client.get("/readyz").status_code for _ in range(200)} == {200}
    assert len(reads) == 1

    clock.advance(seconds=1)
    assert client.get("/readyz").json() == {"status": "ready"}
    assert len(reads) == 2


def test_a_database_that_is_away_is_told_with_the_time_to_come_again(client, clock, monkeypatch):
    store, asked = client.app.state.endpoint.store, []

    async def fail(tenant_id, work):
        asked.append((tenant_id, work))
        raise StoreUnavailable("database-failed", retry_after=5)

    with monkeypatch.context() as away:
        away.setattr(store, "read", fail)
        told = [client.get("/readyz") for _ in range(3)]
        # The process lives: that it is started again would help nobody.
        assert client.get("/healthz").status_code == 200
    clock.advance(seconds=1)

    assert [(each.status_code, each.headers["Retry-After"]) for each in told] == [(503, "5")] * 3
    assert {each.json()["code"] for each in told} == {"database-failed"}
    assert len(asked) == 1
    assert client.get("/readyz").status_code == 200


def test_that_it_is_being_stopped_is_told_at_once_whatever_was_answered_before(client):
    assert client.get("/readyz").status_code == 200

    client.app.state.endpoint.draining = True

    assert client.get("/readyz").json()["code"] == "store-closing"
