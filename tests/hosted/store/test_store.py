"""Every store: what is acknowledged is in it, whole, and what fails fails alone. On both databases."""

import asyncio
import threading

import pytest
from sqlalchemy import insert, select, text, update
from sqlalchemy.exc import DBAPIError, IntegrityError

from coven_action.core.endpoint.audit_chain import AuditRow, verify_chain
from coven_action.hosted.store import schema
from coven_action.hosted.store.commands import Command, KeyReused, StoreUnavailable
from coven_action.hosted.store.transaction import MeterKey, Reply, RunKey
from tests.hosted.databases import ON_BOTH, open_store
from tests.hosted.deployment import make_run
from tests.hosted.store.working import (
    FIRST,
    append,
    get_login,
    hold_writer,
    read_audit,
    read_sequences,
    send,
    set_login,
    write_group,
)

pytestmark = ON_BOTH

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


def look_although_it_only_appends(transaction):
    transaction.append_event("note", {})
    transaction.fetch_one(select(schema.tenants.c.account_login))


def change_although_it_only_appends(transaction):
    transaction.append_event("note", {})
    transaction.execute(set_login(transaction.tenant_id, "changed"))


ONLY_APPENDING = {look_although_it_only_appends, change_although_it_only_appends}


def bind_too_much(transaction):
    transaction.append_event("note", {})
    transaction.execute(update(schema.tenants).values(account_id=2**80))


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
    look_although_it_only_appends: AssertionError,
    change_although_it_only_appends: AssertionError,
    bind_too_much: Exception,
    leave_what_cannot_be_written: UnicodeEncodeError,
}


@pytest.mark.slow_after(8)
@pytest.mark.parametrize("work", FAILING, ids=lambda work: work.__name__)
def test_a_command_that_fails_leaves_nothing_and_fails_alone(deployment, tenant, work):
    before = len(read_audit(deployment, tenant))

    told = write_group(
        deployment, *(Command(tenant, each, appending=each in ONLY_APPENDING) for each in (append, work, append))
    )

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
        async with hold_writer(deployment.store, tenant):
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


# --- full, closing, time


def test_more_than_can_wait_is_told_to_come_again(place, clock, runner):
    async def fill():
        store = open_store(place, clock, queue_size=2)
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


def test_a_reader_changes_nothing(deployment, tenant):
    with pytest.raises(StoreUnavailable, match="database-failed"):
        deployment.read(tenant, lambda reading: reading.fetch_all(set_login(tenant, "changed")))

    assert get_login(deployment, tenant) == "acme"


# --- exports that are loaded slowly


def test_exports_that_are_loaded_slowly_keep_nobody_from_reading(deployment, tenant, other_tenant, store):
    """As many as there may be are under way, and none of them ends: one more is told so, and everybody else reads."""
    opened = [store.stream(tenant, lambda reading: iter([reading.now, reading.now])) for _ in range(3)]
    for each in opened[:2]:
        next(each)
    with pytest.raises(StoreUnavailable, match="overloaded"):
        next(opened[2])

    assert read_sequences(deployment, other_tenant) == []
    opened[0].close()
    assert list(store.stream(tenant, lambda reading: iter([1, 2]))) == [1, 2]
    opened[1].close()
