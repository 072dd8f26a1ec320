"""The store in one file: what is acknowledged is in it, whole, and what fails fails alone."""

import asyncio
import contextlib
import subprocess
import sys
import threading

import pysqlite3
import pytest
from sqlalchemy import insert, select, text, update
from sqlalchemy.exc import DBAPIError, IntegrityError

from coven_action.core.endpoint.audit_chain import AuditRow, verify_chain
from coven_action.errors import Error
from coven_action.hosted.store import schema
from coven_action.hosted.store.commands import Command, KeyReused, StoreUnavailable
from coven_action.hosted.store.sqlite import FLOOR, SQLiteStore, check_floor, is_shared
from coven_action.hosted.store.transaction import IdempotencyKey, MeterKey, Reply, RunKey
from tests.hosted.deployment import make_run

FIRST = IdempotencyKey("route", "key-1", "a" * 64)


def append(transaction):
    return transaction.append_event("note", {})


def read_audit(deployment, tenant_id):
    columns = schema.audit.c
    statement = select(schema.audit).where(columns.tenant_id == tenant_id).order_by(columns.sequence)
    return deployment.read(tenant_id, lambda reading: reading.fetch_all(statement))


def read_sequences(deployment, tenant_id):
    columns = schema.run_events.c
    statement = select(columns.sequence).where(columns.tenant_id == tenant_id).order_by(columns.sequence)
    return [row.sequence for row in deployment.read(tenant_id, lambda reading: reading.fetch_all(statement))]


@contextlib.asynccontextmanager
async def hold_writer(store):
    """Keep the writer busy: what comes meanwhile waits, and is one group afterwards."""
    begun, gate = threading.Event(), threading.Event()

    def wait(_):
        begun.set()
        gate.wait(10)

    holding = asyncio.ensure_future(store.write(Command(0, wait)))
    await asyncio.to_thread(begun.wait, 10)
    yield
    gate.set()
    await holding


async def send(store, *commands):
    """Let commands wait in the store, and return what waits for each of them."""
    sent = [asyncio.ensure_future(store.write(command)) for command in commands]
    await asyncio.sleep(0)
    return sent


def write_group(deployment, *commands):
    """Write commands as one group, and return what each of them gave or raised."""

    async def gather():
        async with hold_writer(deployment.store):
            sent = await send(deployment.store, *commands)
        return await asyncio.gather(*sent, return_exceptions=True)

    return deployment.runner.run(gather())


def set_login(tenant_id, login):
    return update(schema.tenants).where(schema.tenants.c.tenant_id == tenant_id).values(account_login=login)


def get_login(deployment, tenant_id):
    statement = select(schema.tenants.c.account_login).where(schema.tenants.c.tenant_id == tenant_id)
    return deployment.read(tenant_id, lambda reading: reading.fetch_one(statement)).account_login


# --- one fails, the others do not


class OwnFault(Exception):
    """What a service may raise."""


def do_and_raise(transaction):
    transaction.execute(set_login(transaction.tenant_id, "changed"))
    transaction.append_event("note", {})
    transaction.append_audit(actor="admin", action="x", subject="y", detail={})
    transaction.meter(MeterKey(), "events")
    raise OwnFault


def break_constraint(transaction):
    transaction.append_event("note", {})
    transaction.execute(set_login(transaction.tenant_id, "changed"))
    transaction.execute(insert(schema.heads).values(tenant_id=transaction.tenant_id, event_sequence=0, event_floor=0,
        audit_sequence=0, audit_hash="", run_number=0))  # fmt: skip


def ask_nonsense(transaction):
    transaction.append_event("note", {})
    transaction.fetch_all(text("SELECT nothing FROM nowhere"))


def bind_too_much(transaction):
    transaction.append_event("note", {})
    transaction.execute(set_login(transaction.tenant_id, 2**80))


def leave_what_cannot_be_written(transaction):
    # It fails only when the rows of the whole group are written.
    transaction.append_event("note", "\ud800")


def count_what_no_row_names(transaction):
    # Refused only when the work is done, with its changes made.
    transaction.execute(set_login(transaction.tenant_id, "changed"))
    transaction.meter(MeterKey(), "events")


FAILING = {
    count_what_no_row_names: AssertionError,
    do_and_raise: OwnFault,
    break_constraint: IntegrityError,
    ask_nonsense: DBAPIError,
    bind_too_much: Exception,
    leave_what_cannot_be_written: UnicodeEncodeError,
}


@pytest.mark.parametrize("work", FAILING, ids=lambda work: work.__name__)
def test_a_command_that_fails_leaves_nothing_and_fails_alone(deployment, tenant, work):
    before = len(read_audit(deployment, tenant))

    told = write_group(deployment, *(Command(tenant, each) for each in (append, work, append)))

    assert told[0] == 1
    assert isinstance(told[1], FAILING[work])
    assert told[2] == 2
    assert read_sequences(deployment, tenant) == [1, 2]
    assert get_login(deployment, tenant) == "acme"
    assert len(read_audit(deployment, tenant)) == before
    assert deployment.read(tenant, lambda reading: reading.fetch_all(select(schema.meters))) == []


def test_the_writer_outlives_a_command_that_raises_what_nobody_expects(deployment, tenant):
    def fail(_):
        raise RecursionError

    with pytest.raises(RecursionError):
        deployment.write(tenant, fail)

    assert deployment.write(tenant, append) == 1


def test_work_of_no_tenant_has_no_sequence(deployment):
    with pytest.raises(LookupError):
        deployment.write(0, append)
    with pytest.raises(LookupError):
        deployment.write(99, append)


def test_the_writer_outlives_a_fault_of_its_own(deployment, tenant, monkeypatch):
    with monkeypatch.context() as patched:
        patched.setattr(deployment.store, "_commit", lambda _: 1 / 0)
        with pytest.raises(StoreUnavailable, match="internal-error"):
            deployment.write(tenant, append)

    assert deployment.write(tenant, append) == 1


# --- groups


def test_the_rows_of_a_group_are_those_of_its_commands_one_after_the_other(deployment, tenant, other_tenant):
    told = write_group(deployment, *(Command(each, append) for each in (tenant, other_tenant, tenant, other_tenant)))

    assert told == [1, 1, 2, 2]
    assert read_sequences(deployment, tenant) == read_sequences(deployment, other_tenant) == [1, 2]


def test_a_command_sees_the_run_as_its_group_has_changed_it(deployment, tenant):
    principal = make_run(tenant)
    run = principal.run
    assert deployment.report(principal).state == "running"

    def count(transaction):
        transaction.count_events(run, 2)
        return transaction.find_run(run)["event_count"]

    def count_and_raise(transaction):
        transaction.update_run(run, {"state": "failed"})
        transaction.count_events(run, 100)
        raise OwnFault

    def get_state(transaction):
        return transaction.find_run(run)["state"], transaction.find_run(run)["event_count"]

    told = write_group(
        deployment, *(Command(tenant, each, run=run) for each in (count, count_and_raise, get_state, count))
    )

    assert (told[0], told[2], told[3]) == (2, ("running", 2), 4)
    row = deployment.read(tenant, lambda reading: reading.fetch_one(select(schema.runs)))
    assert (row.state, row.event_count) == ("running", 4)


def test_a_run_that_is_not_there_is_none(deployment, tenant):
    assert deployment.write(tenant, lambda transaction: transaction.find_run(RunKey(1, 2))) is None


@pytest.mark.parametrize("together", [True, False], ids=["in one group", "one after the other"])
def test_a_key_is_answered_once_and_again_with_the_same_answer(deployment, tenant, together):
    def work(transaction):
        return Reply(202, b"%d" % transaction.append_event("note", {}))

    commands = [
        Command(tenant, work, FIRST),
        Command(tenant, work, FIRST),
        Command(tenant, work, FIRST._replace(fingerprint="b" * 64)),
        Command(tenant, work, FIRST._replace(route="another")),
    ]
    told = write_group(deployment, *commands) if together else [write_group(deployment, each)[0] for each in commands]

    assert told[0] == Reply(202, b"1")
    assert told[1] == Reply(202, b"1", replayed=True)
    assert isinstance(told[2], KeyReused)
    assert told[3] == Reply(202, b"2")


def test_a_key_is_another_tenants_own(deployment, tenant, other_tenant):
    def work(transaction):
        return Reply(200, b"%d" % transaction.tenant_id)

    told = write_group(deployment, Command(tenant, work, FIRST), Command(other_tenant, work, FIRST))

    assert [each.body for each in told] == [b"%d" % tenant, b"%d" % other_tenant]


def test_a_key_that_has_expired_is_a_new_one_although_its_row_is_still_there(deployment, tenant, clock):
    def work(transaction):
        return Reply(200, b"%d" % transaction.append_event("note", {}))

    deployment.write(tenant, work, idempotency=FIRST)
    clock.advance(days=31)

    assert deployment.write(tenant, work, idempotency=FIRST) == Reply(200, b"2")
    assert deployment.write(tenant, work, idempotency=FIRST) == Reply(200, b"2", replayed=True)


def test_a_command_nobody_waits_for_is_not_begun(deployment, tenant):
    async def cancel():
        async with hold_writer(deployment.store):
            (abandoned,) = await send(deployment.store, Command(tenant, append))
            abandoned.cancel()
            await asyncio.sleep(0)
        return await deployment.store.write(Command(tenant, append))

    assert deployment.runner.run(cancel()) == 1
    assert read_sequences(deployment, tenant) == [1]


def test_whoever_gives_up_meanwhile_does_not_keep_the_others_from_their_answer(deployment, tenant):
    begun, gate = threading.Event(), threading.Event()

    def wait(transaction):
        begun.set()
        gate.wait(10)
        return append(transaction)

    async def give_up():
        (first,) = await send(deployment.store, Command(tenant, wait))
        await asyncio.to_thread(begun.wait, 10)
        first.cancel()
        await asyncio.sleep(0)
        gate.set()
        return await deployment.store.write(Command(tenant, append))

    assert deployment.runner.run(give_up()) == 2


# --- full, closing, locked


def test_more_than_can_wait_is_told_to_come_again(data, clock, runner):
    async def fill():
        store = SQLiteStore(data, clock, queue_size=2)
        async with hold_writer(store):
            waiting = await send(store, *[Command(0, lambda _: 1)] * 2)
            with pytest.raises(StoreUnavailable, match="overloaded"):
                await store.write(Command(0, lambda _: 1))
        assert await asyncio.gather(*waiting) == [1, 1]
        await store.close()

    runner.run(fill())


def test_closing_finishes_what_was_accepted_and_refuses_what_comes_after(deployment, tenant):
    async def close():
        accepted = await send(deployment.store, *[Command(tenant, append)] * 50)
        await deployment.store.close()
        with pytest.raises(StoreUnavailable, match="store-closing"):
            await deployment.store.write(Command(tenant, append))
        with pytest.raises(StoreUnavailable, match="store-closing"):
            await deployment.store.read(tenant, lambda _: 1)
        await deployment.store.close()
        return await asyncio.gather(*accepted)

    assert deployment.runner.run(close()) == list(range(1, 51))


HOLD_LOCK = """
import sys, pysqlite3
connection = pysqlite3.connect(sys.argv[1], isolation_level=None)
connection.execute("BEGIN IMMEDIATE")
print(flush=True)
sys.stdin.read()
"""


def test_another_process_that_writes_is_waited_for(deployment, tenant, data):
    argv = [sys.executable, "-P", "-c", HOLD_LOCK, str(data)]
    with subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as other:
        other.stdout.readline()
        set_timeout(deployment.store, 0)
        with pytest.raises(StoreUnavailable, match="overloaded") as refused:
            deployment.write(tenant, append)
        assert refused.value.retry_after == 1
        # Whoever reads is not kept from it.
        assert read_sequences(deployment, tenant) == []
        set_timeout(deployment.store, 10_000)
        threading.Timer(0.05, other.stdin.close).start()
        assert deployment.write(tenant, append) == 1


def set_timeout(store, milliseconds):
    with store._writer.connect() as connection:
        connection.connection.driver_connection.execute(f"PRAGMA busy_timeout={milliseconds}")


def append_much(transaction):
    return transaction.append_event("note", {"text": "x" * 50_000})


def test_a_full_disk_takes_nothing_and_the_store_goes_on_once_there_is_space(deployment, tenant, caplog):
    with deployment.store._writer.connect() as connection:
        driver = connection.connection.driver_connection
        pages = driver.execute("PRAGMA page_count").fetchone()[0]
        driver.execute(f"PRAGMA max_page_count={pages + 4}")

    told = write_group(deployment, Command(tenant, append), Command(tenant, append_much))

    assert [each.reason for each in told] == ["disk-full", "disk-full"]
    assert "disk is full" in caplog.text
    assert "xxx" not in caplog.text
    assert read_sequences(deployment, tenant) == []
    with deployment.store._writer.connect() as connection:
        connection.connection.driver_connection.execute("PRAGMA max_page_count=100000")
    assert deployment.write(tenant, append_much) == 1


@pytest.fixture
def small_disk(tmp_path):
    """A file system of 2 MB, where this machine lets us make one."""
    place = tmp_path / "small"
    place.mkdir()
    made = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=2m", "tmpfs", place], capture_output=True, check=False)
    if made.returncode != 0:
        pytest.skip("only root may mount a small file system")
    yield place
    subprocess.run(["umount", place], check=True)


def test_a_disk_that_is_really_full_loses_nothing_of_what_was_acknowledged(
    small_disk, empty_database, clock, deployment, runner
):
    path = small_disk / "coven.db"
    path.write_bytes(empty_database.read_bytes())
    deployment.runner.run(deployment.store.close())
    deployment.store = SQLiteStore(path, clock)
    tenant = deployment.enrol(501, "acme", 1001, "billing")
    filler = small_disk / "filler"
    filler.write_bytes(b"x" * 600_000)
    acknowledged = []
    with pytest.raises(StoreUnavailable, match="disk-full"):
        acknowledged.extend(deployment.write(tenant, append_much) for _ in range(200))

    assert read_sequences(deployment, tenant) == list(range(1, len(acknowledged) + 1))
    filler.unlink()
    assert deployment.write(tenant, append) == len(acknowledged) + 1
    deployment.runner.run(deployment.store.close())


# --- damage, age, time


def test_a_file_that_is_no_database_is_refused(tmp_path, clock, runner):
    path = tmp_path / "coven.db"
    path.write_bytes(b"this is no database " * 1000)
    store = SQLiteStore(path, clock)

    with pytest.raises(StoreUnavailable, match="database-failed"):
        runner.run(store.write(Command(0, lambda _: 1)))
    with pytest.raises(StoreUnavailable, match="database-failed"):
        runner.run(store.read(0, lambda reading: reading.fetch_one(select(schema.heads))))
    runner.run(store.close())


def test_a_page_that_was_destroyed_fails_the_request_and_not_the_process(deployment, tenant, data):
    for _ in range(20):
        deployment.write(tenant, append_much)
    deployment.runner.run(deployment.store.close())
    destroyed = bytearray(data.read_bytes())
    destroyed[4096:-4096] = b"\xff" * (len(destroyed) - 8192)
    data.write_bytes(destroyed)
    deployment.store = SQLiteStore(data, deployment.clock)

    with pytest.raises(StoreUnavailable, match="database-failed"):
        deployment.write(tenant, append)
    with pytest.raises(StoreUnavailable, match="database-failed"):
        read_sequences(deployment, tenant)
    deployment.runner.run(deployment.store.close())


@pytest.mark.parametrize(
    ("version", "refused"),
    [((3, 51, 2), True), ((3, 40, 1), True), (FLOOR, False), ((3, 53, 0), False), ((4, 0, 0), False)],
)
def test_an_sqlite_that_could_lose_a_write_is_refused(version, refused):
    if not refused:
        check_floor(version)
        return
    with pytest.raises(Error) as raised:
        check_floor(version)
    assert raised.value.code == "sqlite-too-old"
    assert "pysqlite3" in raised.value.remedy


def test_a_clock_that_jumps_changes_no_order_and_leaves_no_gap(deployment, tenant, clock):
    for hours in (1, -30, 48, -100, 0):
        clock.advance(hours=hours)
        deployment.write(tenant, append)
        deployment.write(tenant, lambda transaction: transaction.append_audit(
            actor="admin", action="x", subject="y", detail={}))  # fmt: skip

    assert read_sequences(deployment, tenant) == [1, 2, 3, 4, 5]
    rows = read_audit(deployment, tenant)
    assert verify_chain((AuditRow(*row[1:8]), row.hash) for row in rows) == (len(rows), rows[-1].hash)
    moments = [row.at for row in rows]
    assert moments != sorted(moments)


def test_the_database_waits_for_the_disk_at_every_commit(deployment):
    with deployment.store._writer.connect() as connection:
        driver = connection.connection.driver_connection
        settings = {name: driver.execute(f"PRAGMA {name}").fetchone()[0] for name in
            ("journal_mode", "synchronous", "foreign_keys", "secure_delete")}  # fmt: skip

    assert settings == {"journal_mode": "wal", "synchronous": 2, "foreign_keys": 1, "secure_delete": 1}


def test_a_reader_changes_nothing(deployment, tenant):
    with pytest.raises(StoreUnavailable, match="database-failed"):
        deployment.read(tenant, lambda reading: reading.fetch_all(set_login(tenant, "changed")))

    assert get_login(deployment, tenant) == "acme"


def test_a_failure_of_the_driver_alone_is_that_of_one_statement():
    assert not is_shared(DBAPIError("x", None, pysqlite3.ProgrammingError("no such type")))
