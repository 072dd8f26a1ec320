"""The store on a server: writers side by side, connections that break, a server that goes and comes back."""

import asyncio
import dataclasses
import shutil
import tempfile
import threading
import time
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from types import SimpleNamespace

import pytest
from sqlalchemy import URL, func, insert, select, text, update
from sqlalchemy.exc import OperationalError

from coven_action.core.endpoint.audit_chain import AuditRow, verify_chain
from coven_action.hosted.store import postgresql as store_module
from coven_action.hosted.store import schema
from coven_action.hosted.store.commands import Command, KeyReused, StoreUnavailable
from coven_action.hosted.store.postgresql import STATEMENT_SECONDS, PostgreSQLStore
from coven_action.hosted.store.transaction import IdempotencyKey, MeterKey, Reply, RunKey
from tests.hosted import postgresql
from tests.hosted.databases import POSTGRESQL
from tests.hosted.deployment import make_run
from tests.hosted.store.working import append, hold_writer, read_audit, read_sequences, send, set_login

pytestmark = pytest.mark.parametrize("database", [POSTGRESQL], indirect=True)
WRITES = 60


class OwnFault(Exception):
    """What a service may raise."""


def do_everything(transaction):
    """Append an event, an audit row and a count, as a service does."""
    transaction.meter(MeterKey(), "events")
    transaction.append_audit(actor="admin", action="x", subject="y", detail={})
    return transaction.append_event("note", {})


def kill_backends(url, *, besides=0):
    """End every connection to the database but that of one process, as an administrator may."""
    return postgresql.get_server().execute(
        f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{url.database}' "
        f"AND pid NOT IN (pg_backend_pid(), {besides})"
    )


# --- several writers


def test_two_replicas_leave_one_sequence_without_a_gap_and_whoever_reads_meanwhile_misses_nothing(
    deployment, tenant, other_tenant, url, clock, runner
):
    # No two machines have the same time: nothing but its number makes an event the only one.
    replicas = [deployment.store, PostgreSQLStore(url, lambda: clock() + timedelta(milliseconds=7), group_size=3)]
    before = len(read_audit(deployment, tenant))

    async def follow(store, tenant_id, until):
        """Read as a client with a cursor does: what is newer than the newest that was seen."""
        seen, columns = [], schema.run_events.c
        while len(seen) < until:
            newer = select(columns.sequence).where(columns.tenant_id == tenant_id)
            newer = newer.where(columns.sequence > (seen[-1] if seen else 0)).order_by(columns.sequence)
            rows = await store.read(tenant_id, lambda reading, newer=newer: reading.fetch_all(newer))
            seen += [row.sequence for row in rows]
        return seen

    async def work():
        writing = [
            store.write(Command(tenant_id, work, appending=number % 4 < 3))
            for number, work in enumerate((append, do_everything) * (WRITES // 2))
            for store in replicas
            for tenant_id in (tenant, other_tenant)
        ]
        following = [follow(store, tenant, 2 * WRITES) for store in replicas]
        told, *seen = await asyncio.gather(asyncio.gather(*writing), *following)
        await replicas[1].close()
        return told, seen

    told, seen = runner.run(work())

    everything = list(range(1, 2 * WRITES + 1))
    assert sorted(told) == sorted(everything * 2)
    assert seen == [everything, everything]
    for each in (tenant, other_tenant):
        assert read_sequences(deployment, each) == everything
        rows = read_audit(deployment, each)
        assert verify_chain((AuditRow(*row[1:8]), row.hash) for row in rows) == (len(rows), rows[-1].hash)
        counted = select(func.sum(schema.meters.c.amount)).where(schema.meters.c.tenant_id == each)
        assert deployment.read(each, lambda reading, counted=counted: reading.fetch_one(counted))[0] == WRITES
    assert len(read_audit(deployment, tenant)) == before + WRITES


# --- a commit that several tenants share


@pytest.fixture
def tenants(deployment, tenant):
    """Accounts with the same repository and the same run; another one is there to keep the writer busy."""
    assert tenant == 1
    numbers = [deployment.enrol(700 + each, f"account-{each}", 1001, "billing") for each in range(5)]
    for number in numbers:
        assert deployment.report(make_run(number)).state == "running"
    return numbers


def do_an_events_work(transaction):
    """Do what appending an event to the run does, which is in the table already."""
    run = make_run(transaction.tenant_id).run
    assert transaction.find_run_summary(run)["tenant_id"] == transaction.tenant_id
    number = transaction.append_event("note", {}, run=run)
    transaction.count_events(run, 1)
    transaction.meter(MeterKey(), "events")
    transaction.append_audit(actor="admin", action="x", subject="y", detail={})
    return Reply(200, b"%d" % number)


def ask_for_event(tenant_id, work=do_an_events_work, key="key-1"):
    asked = IdempotencyKey("route", key, "a" * 64)
    return Command(tenant_id, work, asked, make_run(tenant_id).run, appending=True)


def write_together(deployment, *commands):
    """Write commands as one group of several tenants, and return what each of them gave or raised."""

    async def gather():
        async with hold_writer(deployment.store, 1, appending=True):
            sent = await send(deployment.store, *commands)
        return await asyncio.gather(*sent, return_exceptions=True)

    return deployment.runner.run(gather())


def read_commits(url, *tenant_ids):
    """Return the transactions that wrote the newest event of each tenant."""
    found = postgresql.get_server().execute(
        "SELECT DISTINCT ON (tenant_id) tenant_id, xmin::text FROM run_events ORDER BY tenant_id, sequence DESC",
        database=str(url.database),
    )
    return {tenant_id: commit for tenant_id, commit in found if tenant_id in tenant_ids}


def read_state(deployment, tenant_id):
    """Return the numbers of a tenant's events, its counted events, and its run's; the chain is whole."""
    rows = read_audit(deployment, tenant_id)
    assert verify_chain((AuditRow(*row[1:8]), row.hash) for row in rows) == (len(rows), rows[-1].hash)
    columns = schema.meters.c
    counted = select(func.coalesce(func.sum(columns.amount), 0)).where(
        columns.tenant_id == tenant_id, columns.measure == "events"
    )
    run = select(schema.runs.c.event_count).where(schema.runs.c.tenant_id == tenant_id)
    amounts = [deployment.read(tenant_id, lambda reading, one=one: reading.fetch_one(one)[0]) for one in (counted, run)]
    return read_sequences(deployment, tenant_id), *amounts


def test_events_of_several_tenants_share_a_commit_and_nothing_else(deployment, tenants, url):
    """Their repositories, runs and keys have the same numbers."""
    before = [read_state(deployment, each) for each in tenants]

    told = write_together(deployment, *(ask_for_event(each, key=key) for key in "aba" for each in tenants))

    assert len(set(read_commits(url, *tenants).values())) == 1
    for place, tenant_id in enumerate(tenants):
        numbers, counted, count = before[place]
        first = len(numbers) + 1
        assert [each.body for each in told[place :: len(tenants)]] == [b"%d" % n for n in (first, first + 1, first)]
        assert [each.replayed for each in told[place :: len(tenants)]] == [False, False, True]
        assert read_state(deployment, tenant_id) == ([*numbers, first, first + 1], counted + 2, count + 2)


@pytest.mark.parametrize("failure", ["of its work", "of its rows", "of its run", "of its key"])
def test_what_fails_of_one_tenant_leaves_nothing_of_it_and_everything_of_the_others(deployment, tenants, failure):
    def fail(transaction):
        do_an_events_work(transaction)
        raise OwnFault

    def leave_what_cannot_be_written(transaction):
        reply = do_an_events_work(transaction)
        transaction.append_event("note", "\ud800")
        return reply

    def look_for_another_run(transaction):
        assert transaction.find_run_summary(RunKey(1001, 404)) is None
        raise OwnFault

    tenant, works = tenants[2], {"of its work": fail, "of its rows": leave_what_cannot_be_written}
    command = ask_for_event(tenant, works.get(failure, look_for_another_run))
    if failure == "of its key":
        deployment.runner.run(deployment.store.write(command_with(ask_for_event(tenant), fingerprint="b" * 64)))
    before = read_state(deployment, tenant)

    told = write_together(deployment, *(command if each == tenant else ask_for_event(each) for each in tenants))

    assert isinstance(told[2], (OwnFault, UnicodeEncodeError, KeyReused))
    assert read_state(deployment, tenant) == before
    for place, each in enumerate(tenants):
        if each != tenant:
            assert told[place].status == 200
            assert read_sequences(deployment, each)[-1] == int(told[place].body)


def command_with(command, **changed):
    return dataclasses.replace(command, idempotency=command.idempotency._replace(**changed))


def test_whom_another_replica_serves_gets_a_commit_of_its_own_and_keeps_nobody_waiting(
    deployment, tenants, url, clock, runner
):
    held, *others = tenants
    other, gate, begun = PostgreSQLStore(url, clock), threading.Event(), threading.Event()

    def hold(transaction):
        begun.set()
        gate.wait(30)
        return append(transaction)

    async def work():
        holding = asyncio.ensure_future(other.write(Command(held, hold)))
        await asyncio.to_thread(begun.wait, 10)
        async with hold_writer(deployment.store, 1, appending=True):
            sent = await send(deployment.store, *map(ask_for_event, tenants))
        told = await asyncio.wait_for(asyncio.gather(*sent[1:]), 10)
        # And again, while it still waits.
        told += await asyncio.wait_for(
            asyncio.gather(*(deployment.store.write(ask_for_event(each, key="k")) for each in others)), 10
        )
        assert not sent[0].done()
        await asyncio.to_thread(wait_until, lambda: is_waiting(postgresql.get_server(), url))
        gate.set()
        first, second = await holding, await sent[0]
        await other.close()
        return told, first, int(second.body)

    told, first, second = runner.run(work())

    assert [each.status for each in told] == [200] * 2 * len(others)
    assert second == first + 1


def test_a_shared_commit_whose_connection_breaks_is_done_once_more_and_not_twice(deployment, tenants, url):
    tries = []

    def kill_once(transaction):
        tries.append(transaction.tenant_id)
        if len(tries) == 1:
            kill_backends(url)
        return do_an_events_work(transaction)

    before = {each: len(read_sequences(deployment, each)) for each in tenants}
    told = write_together(deployment, *(ask_for_event(each, kill_once) for each in tenants))

    assert tries == [*tenants, *tenants]
    for each, reply in zip(tenants, told, strict=True):
        assert reply == Reply(200, b"%d" % (before[each] + 1))
        assert read_sequences(deployment, each) == list(range(1, before[each] + 2))


def test_a_statement_in_a_shared_commit_finds_nothing_but_what_appending_takes(deployment, tenants):
    """If ever the guard before it falls, the database itself still refuses."""
    found = []

    def look(transaction):
        connection = transaction._group.connection
        found.extend(connection.execute(select(table)).fetchall() for table in schema.metadata.sorted_tables
                     if table.name in {"memory", "sessions", "repositories", "tenants", "run_events", "audit"})  # fmt: skip
        return Reply(200, b"")

    assert [each.status for each in write_together(deployment, *(ask_for_event(each, look) for each in tenants))] == [
        200
    ] * 5
    assert found == [[]] * 6 * len(tenants)


def test_what_another_replica_writes_for_the_tenant_waits_for_the_commit_under_way(
    deployment, tenant, url, clock, runner
):
    other, gate, begun = PostgreSQLStore(url, clock), threading.Event(), threading.Event()

    def hold(transaction):
        begun.set()
        gate.wait(30)
        return append(transaction)

    async def work():
        first = asyncio.ensure_future(deployment.store.write(Command(tenant, hold)))
        await asyncio.to_thread(begun.wait, 10)
        second = asyncio.ensure_future(other.write(Command(tenant, append)))
        try:
            await asyncio.to_thread(wait_until, lambda: is_waiting(postgresql.get_server(), url))
        finally:
            gate.set()
        told = await asyncio.gather(first, second)
        await other.close()
        return told

    assert runner.run(work()) == [1, 2]


def test_a_key_that_comes_to_both_replicas_at_once_is_answered_once(deployment, tenant, url, clock, runner):
    other = PostgreSQLStore(url, clock)
    key = IdempotencyKey("route", "key-1", "a" * 64)

    async def work():
        command = Command(tenant, lambda transaction: Reply(200, b"%d" % append(transaction)), key)
        told = await asyncio.gather(*(store.write(command) for store in (deployment.store, other) for _ in range(5)))
        await other.close()
        return told

    told = runner.run(work())

    assert {each.body for each in told} == {b"1"}
    assert sum(not each.replayed for each in told) == 1
    assert read_sequences(deployment, tenant) == [1]


def test_a_tenant_whose_work_takes_long_keeps_no_other_one_waiting(deployment, tenant, other_tenant, runner):
    gate = threading.Event()

    async def work():
        slow = asyncio.ensure_future(deployment.store.write(Command(tenant, lambda _: gate.wait(30))))
        told = [await deployment.store.write(Command(other_tenant, append)) for _ in range(3)]
        assert not slow.done()
        gate.set()
        assert await slow
        return told

    assert runner.run(work()) == [1, 2, 3]


def test_one_tenant_may_let_only_its_share_wait(url, clock, runner, tenant, other_tenant):
    gate = threading.Event()

    async def work():
        store = PostgreSQLStore(url, clock, group_size=1, queue_share=2)
        begun = threading.Event()
        sent = [asyncio.ensure_future(store.write(Command(tenant, lambda _: begun.set() or gate.wait(30))))]
        await asyncio.to_thread(begun.wait, 10)
        sent += [asyncio.ensure_future(store.write(Command(tenant, append))) for _ in range(2)]
        await asyncio.sleep(0)
        with pytest.raises(StoreUnavailable, match="overloaded"):
            await store.write(Command(tenant, append))
        assert await store.write(Command(other_tenant, append)) == 1
        gate.set()
        assert await asyncio.gather(*sent) == [True, 1, 2]
        await store.close()

    runner.run(work())


# --- connections


def test_connections_are_bounded_and_set_up_so_that_nothing_waits_for_ever(deployment, tenant, url):
    server = postgresql.get_server()
    server.execute(f"ALTER DATABASE {url.database} SET synchronous_commit = off")
    kill_backends(url)

    def read(transaction):
        names = ("synchronous_commit", "statement_timeout", "lock_timeout", "idle_in_transaction_session_timeout")
        return [transaction.fetch_one(text(f"SHOW {name}"))[0] for name in names]

    assert deployment.write(tenant, read) == ["on", f"{STATEMENT_SECONDS}s", "10s", "1min"]

    async def flood():
        store = deployment.store
        await asyncio.gather(*(store.write(Command(tenant, append)) for _ in range(50)))
        await asyncio.gather(*(store.read(tenant, lambda reading: reading.now) for _ in range(50)))

    deployment.runner.run(flood())
    (count,), *_ = server.execute(f"SELECT count(*) FROM pg_stat_activity WHERE datname = '{url.database}'")
    assert count <= store_module.WRITERS + store_module.READERS


def test_a_statement_that_takes_too_long_is_ended_and_said_to_be_too_much(deployment, tenant):
    def sleep(reading):
        reading.fetch_one(text("SELECT set_config('statement_timeout', '20ms', true)"))
        reading.fetch_one(text("SELECT pg_sleep(30)"))

    with pytest.raises(StoreUnavailable, match="overloaded"):
        deployment.read(tenant, sleep)
    with pytest.raises(StoreUnavailable, match="overloaded"):
        deployment.write(tenant, sleep)
    assert deployment.write(tenant, append) == 1


def test_connections_that_broke_meanwhile_are_made_anew_and_nobody_notices(deployment, tenant, url):
    assert deployment.write(tenant, append) == 1
    assert read_sequences(deployment, tenant) == [1]

    assert len(kill_backends(url)) >= 2

    assert deployment.write(tenant, append) == 2
    assert read_sequences(deployment, tenant) == [1, 2]


def test_work_whose_connection_breaks_in_the_middle_is_done_once_more_and_not_twice(deployment, tenant, url):
    tries = []

    def work(transaction):
        tries.append(append(transaction))
        transaction.execute(set_login(tenant, f"renamed-{len(tries)}"))
        if len(tries) == 1:
            kill_backends(url)
        return transaction.fetch_one(select(schema.tenants.c.account_login)).account_login

    assert deployment.write(tenant, work) == "renamed-2"
    assert tries == [1, 1]
    assert read_sequences(deployment, tenant) == [1]


def test_a_commit_of_which_nobody_heard_is_not_repeated(deployment, tenant, url, monkeypatch):
    """It may be durable. Whoever asked is told that it is not known, asks again with the same key, and has one effect."""
    key = IdempotencyKey("route", "key-1", "a" * 64)
    begin, lost = store_module.begin, []

    @contextmanager
    def lose(engine, tenant_id, *, writing=False):
        with begin(engine, tenant_id, writing=writing) as connection:
            yield connection
        if writing and not lost:
            lost.append(tenant_id)
            raise OperationalError("COMMIT", None, ConnectionError(), connection_invalidated=True)

    monkeypatch.setattr(store_module, "begin", lose)
    work = lambda transaction: Reply(200, b"%d" % append(transaction))  # noqa: E731 as short as it is
    with pytest.raises(StoreUnavailable, match="database-failed"):
        deployment.write(tenant, work, idempotency=key)

    assert deployment.write(tenant, work, idempotency=key) == Reply(200, b"1", replayed=True)
    assert read_sequences(deployment, tenant) == [1]


def test_what_deadlocks_with_another_is_done_again(deployment, tenant, url, monkeypatch):
    """Another program's transaction takes the same rows the other way round; the server ends one of the two."""
    server = postgresql.get_server()
    tries, failed = [], []
    other = server.connect(str(url.database))
    other.execute("SET deadlock_timeout = '10s'; BEGIN; LOCK TABLE revocations")

    def take_heads():
        try:
            other.execute("UPDATE heads SET run_number = run_number")
        except Exception as error:  # noqa: BLE001 told below
            failed.append(error)
        other.execute("COMMIT")

    def work(transaction):
        tries.append(1)
        if len(tries) == 1:
            thread.start()
            wait_until(lambda: is_waiting(server, url))
        transaction.execute(
            insert(schema.revocations).values(
                tenant_id=transaction.tenant_id, prefix=f"p{len(tries)}", actor="a", reason="", at=0
            )
        )
        return append(transaction)

    thread = threading.Thread(target=take_heads)
    # The pause before the repetition lasts until the other one is done.
    paused = SimpleNamespace(sleep=lambda _: thread.join(), monotonic=time.monotonic)
    monkeypatch.setattr(store_module, "time", paused)
    assert deployment.write(tenant, work) == 1
    other.close()
    assert (len(tries), failed) == (2, [])
    assert read_sequences(deployment, tenant) == [1]


def is_waiting(server, url):
    return server.execute(
        f"SELECT 1 FROM pg_stat_activity WHERE datname = '{url.database}' AND wait_event_type = 'Lock'"
    )


def wait_until(holds):
    end = time.monotonic() + 10
    while not holds():
        assert time.monotonic() < end, "it never came"
        time.sleep(0.01)


def test_a_reader_sees_one_moment(deployment, tenant, runner):
    begun, gate = threading.Event(), threading.Event()
    counting = select(func.count()).select_from(schema.run_events).where(schema.run_events.c.tenant_id == tenant)

    def look(reading):
        before = reading.fetch_one(counting)[0]
        begun.set()
        gate.wait(10)
        return before, reading.fetch_one(counting)[0]

    async def work():
        looking = asyncio.ensure_future(deployment.store.read(tenant, look))
        await asyncio.to_thread(begun.wait, 10)
        await deployment.store.write(Command(tenant, append))
        gate.set()
        return await looking

    assert runner.run(work()) == (0, 0)
    assert read_sequences(deployment, tenant) == [1]


def test_what_is_written_for_another_tenant_is_refused_by_the_database(deployment, tenant, other_tenant):
    statement = update(schema.tenants).where(schema.tenants.c.tenant_id == other_tenant).values(account_login="taken")

    assert deployment.write(tenant, lambda transaction: transaction.execute(statement)) == 0


# --- the server goes and comes back


def is_reached(deployment):
    try:
        deployment.read(0, lambda _: None)
    except StoreUnavailable:
        return False
    return True


@pytest.fixture
def server():
    """A server of the test's own."""
    folder = Path(tempfile.mkdtemp(prefix="pg-", dir="/tmp"))
    made = postgresql.make_server(folder)
    yield made
    made.stop()
    shutil.rmtree(folder)


def test_a_server_that_goes_is_told_as_503_and_when_it_is_back_the_work_goes_on(server, clock, runner, deployment):
    runner.run(deployment.store.close())
    deployment.store = PostgreSQLStore(server.render_url(postgresql.TEMPLATE), clock)
    tenant = deployment.enrol(501, "acme", 1001, "billing")
    assert deployment.write(tenant, append) == 1

    server.stop()
    for _ in range(2):
        with pytest.raises(StoreUnavailable, match="database-failed") as refused:
            deployment.write(tenant, append)
        assert refused.value.retry_after > 0
        with pytest.raises(StoreUnavailable, match="database-failed"):
            deployment.read(tenant, lambda reading: reading.fetch_one(select(schema.heads)))

    server.start()
    wait_until(lambda: is_reached(deployment))
    assert deployment.write(tenant, append) == 2
    assert read_sequences(deployment, tenant) == [1, 2]
    runner.run(deployment.store.close())


def test_nobody_waits_behind_those_who_try_to_reach_a_server_that_says_nothing(deployment, clock, runner, monkeypatch):
    """A hundred requests come while the first ones wait for it; they are told at once what those have found out."""
    monkeypatch.setitem(store_module._CONNECTING, "connect_timeout", 2)
    monkeypatch.setattr(store_module, "GATE_SECONDS", 60.0)
    reached = []

    async def accept(reader, writer):
        reached.append(writer)
        await reader.read()

    async def work():
        silent = await asyncio.start_server(accept, "127.0.0.1", 0)
        port = silent.sockets[0].getsockname()[1]
        store = PostgreSQLStore(URL.create("postgresql+psycopg", "a", host="127.0.0.1", port=port, database="b"), clock)
        asked = [store.read(each, lambda _: None) for each in range(50)]
        asked += [store.write(Command(each, append)) for each in range(1, 51)]
        told = await asyncio.gather(*asked, return_exceptions=True)
        await store.close()
        for writer in reached:
            writer.close()
        silent.close()
        return told

    told = runner.run(work())

    assert {getattr(each, "reason", each) for each in told} == {"database-failed"}
    assert {each.retry_after for each in told} == {5}
    assert len(reached) <= store_module.WRITERS + store_module.READERS
