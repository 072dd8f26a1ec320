"""The sweep: what is past its time goes, nothing else does, and a second sweep finds nothing."""

import asyncio
import logging

import pytest
from sqlalchemy import func, insert, select

from coven_action.core.endpoint.caps import TIERS
from coven_action.core.records import sha256_hex
from coven_action.hosted import sweeper
from coven_action.hosted.endpoint import Endpoint
from coven_action.hosted.services.retention import begin_round, list_tenants, sweep
from coven_action.hosted.store import schema
from coven_action.hosted.store.commands import StoreUnavailable
from coven_action.hosted.store.transaction import IdempotencyKey, Reply
from tests.hosted.databases import ON_BOTH
from tests.hosted.deployment import make_run, open_session
from tests.hosted.memory_world import make_proposal, put_entry, report, turn_on, world

pytestmark = ON_BOTH

__all__ = ["world"]
DAY = 86_400_000


def run_sweep(deployment, tenant=1, **more):
    return deployment.write(tenant, lambda transaction: sweep(transaction, **more))


def count(deployment, table, tenant=1):
    statement = select(func.count()).select_from(table).where(table.c.tenant_id == tenant)
    return deployment.read(tenant, lambda reading: reading.fetch_one(statement))[0]


def test_proposals_wait_fourteen_days(world, deployment):
    (verdict,) = world.propose(world.start(trust="collaborator"), make_proposal())
    world.clock.advance(days=13, hours=23)
    assert run_sweep(deployment).counts.get("proposals") is None

    world.clock.advance(hours=1)
    swept = run_sweep(deployment)

    assert swept.counts["proposals"] == 1
    entry = world.read(verdict["id"])
    assert (entry["state"], entry["waiting"], entry["revision"]) == ("expired", [], 2)
    # It may be proposed again, and then it waits again.
    (again,) = world.propose(world.start(trust="collaborator"), make_proposal())
    assert (again["state"], again["version"], world.read(verdict["id"])["state"]) == (
        "pending",
        verdict["version"],
        "pending",
    )


def test_what_holds_outlives_a_proposal_beside_it_and_the_other_way_round(world, deployment):
    memory_id = world.remember()
    (waiting,) = world.propose(world.start(trust="collaborator"), make_proposal(text="Rounding is for ledgers."))

    world.clock.advance(days=14)
    run_sweep(deployment)
    entry = world.read(memory_id)
    assert (entry["state"], entry["waiting"]) == ("approved", [])

    world.clock.advance(days=70)
    (again,) = world.propose(world.start(trust="collaborator"), make_proposal(text="Rounding is for ledgers."))
    assert again["version"] == waiting["version"]
    world.clock.advance(days=6)
    run_sweep(deployment)
    entry = world.read(memory_id)
    assert (entry["state"], [each["version"] for each in entry["waiting"]]) == ("pending", [waiting["version"]])
    assert world.offer(world.start(), "rounding") == []
    assert world.decide(memory_id, "approve").json()["state"] == "approved"
    assert world.offer(world.start(), "rounding") == [memory_id]


@pytest.mark.parametrize(("approved_by", "days"), [("policy", 28), ("admin", 90)])
def test_unused_entries_expire_by_who_approved_them(deployment, tenant, clock, approved_by, days):
    deployment.write(tenant, turn_on)
    memory_id = deployment.write(
        tenant, lambda transaction: put_entry(transaction, "facts/a", "Logs are JSON.", approved_by=approved_by)
    )
    clock.advance(days=days, seconds=-1)
    assert "entries" not in run_sweep(deployment).counts

    clock.advance(seconds=1)
    assert run_sweep(deployment).counts["entries"] == 1

    columns = schema.memory.c
    row = deployment.read(
        tenant, lambda reading: reading.fetch_one(select(schema.memory).where(columns.memory_id == memory_id))
    )
    assert (row.state, row.expires_at) == ("expired", None)
    assert count(deployment, schema.memory_terms) == 0


def test_use_does_not_carry_an_entry_beyond_the_maximum(world, deployment):
    memory_id = world.remember()
    for _ in range(5):
        world.clock.advance(days=73, seconds=-1)
        run_sweep(deployment)
        assert world.offer(world.start(), "rounding") == [memory_id]
    world.clock.advance(seconds=5)

    assert run_sweep(deployment).counts["entries"] == 1
    assert world.read(memory_id)["state"] == "expired"


def test_tokens_sessions_and_answers_go_when_they_are_worth_nothing(client, deployment, clock, tenant):
    session = open_session(client, clock())
    session.report()
    tables = (schema.jti_seen, schema.sessions, schema.idempotency)
    assert [count(deployment, table) for table in tables] == [1, 1, 1]
    run_sweep(deployment)
    assert [count(deployment, table) for table in tables] == [1, 1, 1]

    clock.advance(minutes=15, seconds=1)
    run_sweep(deployment)
    assert count(deployment, schema.sessions) == 0
    assert count(deployment, schema.idempotency) == 1
    clock.advance(days=30)
    run_sweep(deployment)
    assert [count(deployment, table) for table in tables] == [0, 0, 0]


def test_a_token_that_could_still_be_accepted_is_remembered(client, deployment, clock, tenant):
    """The replay of a token is refused for as long as the token is good, however often the sweep runs."""
    from tests.hosted.deployment import make_token

    token = {"Authorization": f"Bearer {make_token(clock())}"}
    assert client.post("/v1/session", headers=token, json={}).status_code == 201
    for _ in range(11):
        run_sweep(deployment)
        assert client.post("/v1/session", headers=token, json={}).status_code == 401
        clock.advance(minutes=1)


def test_events_below_the_history_go_and_the_floor_tells(client, deployment, clock, admin, tenant):
    session = open_session(client, clock())
    session.report()
    session.append("old")
    clock.advance(days=TIERS["open"].history_days - 1)
    session = open_session(client, clock(), run_id="2")
    session.report()
    cursor = client.get("/v1/events", headers=admin).json()["cursor"]
    assert run_sweep(deployment).counts.get("events") is None

    clock.advance(days=1)
    assert run_sweep(deployment, batch=1).counts["events"] == 1
    assert run_sweep(deployment, batch=1).counts["events"] == 1
    assert "events" not in run_sweep(deployment, batch=1).counts

    gone = client.get("/v1/events", headers=admin, params={"cursor": "e1"})
    assert (gone.status_code, gone.json()["code"], gone.json()["cursor"]) == (410, "cursor-expired", "e2")
    assert list_events(client, admin) == [3, 4, 5]
    # Both runs were lost: the sweeps said so while they went.
    assert list_events(client, admin, cursor=cursor) == [4, 5]
    session = open_session(client, clock(), run_id="3")
    session.report()
    assert list_events(client, admin) == [3, 4, 5, 6]


def list_events(client, admin, **parameters):
    return [event["seq"] for event in client.get("/v1/events", headers=admin, params=parameters).json()["events"]]


def test_an_event_behind_a_newer_one_stays_whatever_its_clock_said(deployment, tenant, clock):
    """The sequence keeps no gap: what was recorded while the clock was wrong waits for what stands before it."""
    run = make_run(tenant)
    deployment.write(tenant, lambda transaction: report(transaction, run))
    clock.advance(days=-200)
    deployment.write(tenant, lambda transaction: transaction.append_event("note", {}))
    clock.advance(days=200)

    assert "events" not in run_sweep(deployment).counts
    assert count(deployment, schema.run_events) == 2


def test_a_sweep_is_bounded_audited_and_done_once(deployment, tenant, clock):
    deployment.write(tenant, turn_on)
    deployment.write(
        tenant, lambda transaction: [put_entry(transaction, f"facts/n{n}", f"fact {n}") for n in range(5)] and None
    )
    before = count(deployment, schema.audit)
    clock.advance(days=91)

    sweeps = [run_sweep(deployment, batch=2) for _ in range(5)]

    assert [swept.counts.get("entries", 0) for swept in sweeps] == [2, 2, 1, 0, 0]
    assert [swept.more for swept in sweeps][-3:] == [False, False, False]
    rows = deployment.read(tenant, lambda reading: reading.fetch_all(select(schema.audit)))[before:]
    swept = [row for row in rows if row.action == "retention.sweep"]
    assert [(row.actor, row.subject) for row in swept] == [("policy", "tenant")] * 3
    assert swept[0].detail == '{"entries":2,"events":1}'


def read_states(reading):
    of_tenant = schema.memory.c.tenant_id == reading.tenant_id
    return [row.state for row in reading.fetch_all(select(schema.memory).where(of_tenant))]


def test_one_tenants_sweep_leaves_the_others_alone(deployment, tenant, other_tenant, clock):
    for each in (tenant, other_tenant):
        deployment.write(each, turn_on)
    deployment.write(tenant, lambda transaction: put_entry(transaction, "facts/a", "Logs are JSON.") and None)
    deployment.write(
        other_tenant,
        lambda transaction: put_entry(transaction, "facts/a", "Logs are JSON.", repository_id=2001) and None,
    )
    key = IdempotencyKey("route", "key", sha256_hex(b""))
    for each in (tenant, other_tenant):
        deployment.write(each, lambda transaction: Reply(200, b"{}"), idempotency=key)
    clock.advance(days=91)

    run_sweep(deployment, tenant)

    assert count(deployment, schema.idempotency, tenant) == 0
    assert count(deployment, schema.idempotency, other_tenant) == 1
    states = [deployment.read(each, read_states) for each in (tenant, other_tenant)]
    assert states == [["expired"], ["approved"]]
    assert deployment.read(0, list_tenants) == (tenant, other_tenant)


def make_endpoint(deployment, store=None):
    app = deployment.build_app()
    endpoint = app.state.endpoint
    assert isinstance(endpoint, Endpoint)
    if store is not None:
        endpoint.store = store
    return endpoint


def test_every_tenant_is_swept_until_nothing_is_left(deployment, tenant, other_tenant, clock, monkeypatch):
    for each in (tenant, other_tenant):
        rows = [{"tenant_id": each, "jti_sha256": f"{number:064x}", "expires_at": 1} for number in range(501)]
        deployment.write(each, lambda transaction, rows=rows: transaction.execute(insert(schema.jti_seen), rows))

    swept, failed = deployment.runner.run(sweeper.sweep_all(make_endpoint(deployment)))

    assert {each: [one.counts.get("tokens", 0) for one in listed] for each, listed in swept.items()} == {
        tenant: [500, 1],
        other_tenant: [500, 1],
    }
    assert failed == ()


class FailingForOne:
    """A store that cannot work for one account."""

    def __init__(self, store, tenant, failure):
        self._store, self._tenant, self._failure = store, tenant, failure

    async def read(self, tenant_id, work):
        return await self._store.read(tenant_id, work)

    async def write(self, command):
        if command.tenant_id == self._tenant:
            raise self._failure
        return await self._store.write(command)


@pytest.mark.parametrize("failure", [StoreUnavailable("database-failed"), ValueError("a row that cannot be read")])
def test_one_account_that_cannot_be_swept_keeps_nobody_waiting(deployment, tenant, other_tenant, caplog, failure):
    for each in (tenant, other_tenant):
        row = {"tenant_id": each, "jti_sha256": "0" * 64, "expires_at": 1}
        deployment.write(each, lambda transaction, row=row: transaction.execute(insert(schema.jti_seen), [row]))
    endpoint = make_endpoint(deployment, FailingForOne(deployment.store, tenant, failure))

    swept, failed = deployment.runner.run(sweeper.sweep_all(endpoint))

    assert [one.counts for one in swept[other_tenant]] == [{"tokens": 1}]
    assert (failed, tenant in swept) == ((tenant,), False)
    assert [f"Account {tenant} " in record.message for record in caplog.records] == [True]
    assert b"coven_sweep_failures_total 1.0" in endpoint.metrics.render()


class Failing:
    """A store that fails first in one way, then in another, and then works."""

    def __init__(self, failures, *, is_due=True):
        self.failures = list(failures)
        self.is_due = is_due
        self.asked = []
        self.worked = asyncio.Event()

    async def read(self, tenant_id, work):
        self.asked.append((tenant_id, work))
        self.worked.set()
        return ()

    async def write(self, command):
        if self.failures:
            raise self.failures.pop(0)
        return self.is_due

    def find_trouble(self, reading):
        return ()


def test_the_sweeper_goes_on_whatever_happens(deployment, caplog):
    store = Failing([StoreUnavailable("disk-full"), RuntimeError("a fault")])
    endpoint = make_endpoint(deployment, store)

    async def live():
        sweeping = asyncio.create_task(sweeper.keep_sweeping(endpoint, interval=0))
        await store.worked.wait()
        sweeping.cancel()
        with pytest.raises(asyncio.CancelledError):
            await sweeping

    with caplog.at_level(logging.WARNING, logger="coven_action.hosted"):
        deployment.runner.run(live())

    assert [record.levelname for record in caplog.records] == ["WARNING", "ERROR"]
    assert "disk-full" in caplog.records[0].message


def test_while_another_sweeps_only_the_database_is_looked_at(deployment):
    store = Failing([], is_due=False)
    endpoint = make_endpoint(deployment, store)

    async def live():
        sweeping = asyncio.create_task(sweeper.keep_sweeping(endpoint, interval=0))
        await store.worked.wait()
        sweeping.cancel()

    deployment.runner.run(live())

    assert {work for _, work in store.asked} == {store.find_trouble}


def test_of_those_who_serve_a_database_one_sweeps(deployment, clock):
    def begin():
        return deployment.write(0, lambda transaction: begin_round(transaction, 600_000))

    assert [begin(), begin()] == [True, False]
    clock.advance(minutes=9)
    assert not begin()
    clock.advance(minutes=1)
    assert [begin(), begin()] == [True, False]


def test_a_clock_that_went_back_keeps_nobody_from_sweeping(deployment, clock):
    clock.advance(days=3)
    assert deployment.write(0, lambda transaction: begin_round(transaction, 600_000))
    clock.advance(days=-3)
    assert deployment.write(0, lambda transaction: begin_round(transaction, 600_000))


def test_the_application_sweeps_as_long_as_it_lives(deployment, tenant, monkeypatch):
    begun, ended = [], []

    async def stand_in(endpoint):
        begun.append(endpoint)
        try:
            await asyncio.Event().wait()
        finally:
            ended.append(endpoint)

    monkeypatch.setattr("coven_action.hosted.app.keep_sweeping", stand_in)
    app = deployment.build_app()

    async def live():
        async with app.router.lifespan_context(app):
            await asyncio.sleep(0)
            assert begun
            assert not ended

    deployment.runner.run(live())
    assert ended == begun == [app.state.endpoint]
