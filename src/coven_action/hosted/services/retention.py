"""Let what is past its time go: lost runs, entries, tokens, sessions, answers, events. Bounded, audited, safe to repeat.

A sweep takes at most `BATCH` rows of each kind and says whether more is left, so that the writer is never held for long.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from sqlalchemy import Row, Table, and_, delete, or_, select, text, tuple_, update

from coven_action.core.endpoint.approval import BY_POLICY, DAY, PENDING_DAYS
from coven_action.core.endpoint.memory_states import find_step, settle
from coven_action.hosted.services.memory_entries import (
    AT_ONCE,
    end_entries,
    get_entry,
    list_entries,
    list_versions,
    record_decision,
    update_entry,
    update_version,
)
from coven_action.hosted.services.policies import read_caps
from coven_action.hosted.services.runs import expire_runs
from coven_action.hosted.store import schema
from coven_action.hosted.store.commands import Reading
from coven_action.hosted.store.transaction import Transaction

BATCH: Final = 500
"""Rows of each kind that one sweep takes."""

_ROUND: Final = "sweep_round_at"
_NUMBERED: Final = "{:015}"
# The same words for both databases: of two processes that begin the very first round, one does.
_FIRST_ROUND: Final = text("INSERT INTO deployment (name, value) VALUES (:name, :value) ON CONFLICT (name) DO NOTHING")


def begin_round(transaction: Transaction, milliseconds: int) -> bool:
    """Say whether a round of all accounts is due, and if so record that it begins: one process does it for all.

    Args:
        transaction: Of no account.
        milliseconds: How long the last round, whoever began it, is to be ago. One from a future that a clock went back from
            does not count.
    """
    columns, now = schema.deployment.c, _NUMBERED.format(transaction.now)
    is_due = or_(columns.value <= _NUMBERED.format(max(transaction.now - milliseconds, 0)), columns.value > now)
    due = update(schema.deployment).where(columns.name == _ROUND, is_due).values(value=now)
    return bool(transaction.execute(due) or transaction.execute(_FIRST_ROUND, {"name": _ROUND, "value": now}))


@dataclass(frozen=True, slots=True)
class Swept:
    """What a sweep took.

    Args:
        counts: Rows by kind, those of which there were any.
        more: Whether another sweep would find something.
    """

    counts: Mapping[str, int]
    more: bool


def list_tenants(reading: Reading) -> tuple[int, ...]:
    """Return every tenant, suspended ones too: their data ages like everybody's."""
    return tuple(row.tenant_id for row in reading.fetch_all(select(schema.tenants.c.tenant_id).order_by("tenant_id")))


def sweep(transaction: Transaction, batch: int = BATCH) -> Swept:
    """Take what is past its time from one tenant.

    Args:
        transaction: Of the tenant.
        batch: Rows of each kind at most.
    """
    counts = {
        "runs": expire_runs(transaction, batch),
        "proposals": _expire_pending(transaction, batch),
        "entries": _expire_entries(transaction, batch),
        "tokens": _delete_expired(transaction, schema.jti_seen, batch),
        "sessions": _delete_expired(transaction, schema.sessions, batch),
        "answers": _delete_expired(transaction, schema.idempotency, batch),
        "events": _drop_events(transaction, batch),
    }
    found = {kind: count for kind, count in counts.items() if count}
    if found:
        transaction.append_audit(actor=BY_POLICY, action="retention.sweep", subject="tenant", detail=found)
    return Swept(found, more=any(count >= batch for count in counts.values()))


def _expire_pending(transaction: Transaction, batch: int) -> int:
    """Expire wordings that nobody has decided about."""
    columns = schema.memory_versions.c
    rows = transaction.fetch_all(
        select(columns.memory_id, columns.version)
        .where(
            columns.tenant_id == transaction.tenant_id,
            columns.state == "pending",
            columns.created_at <= transaction.now - PENDING_DAYS * DAY,
        )
        .order_by(columns.created_at, columns.memory_id, columns.version)
        .limit(batch)
    )
    for row in rows:
        update_version(
            transaction, row.memory_id, row.version, state="expired", reason="expired", decided_at=transaction.now
        )
    for memory_id in dict.fromkeys(row.memory_id for row in rows):
        entry = get_entry(transaction, memory_id)
        _leave_pending(transaction, entry, [row.version for row in rows if row.memory_id == memory_id])
    return len(rows)


def _leave_pending(transaction: Transaction, entry: Row[Any], versions: list[str]) -> None:
    """Give an entry the state it has without the wordings that expired; what holds of it goes on."""
    state = entry.state
    if state == "pending":
        waits = bool(list_versions(transaction, entry.memory_id, "pending"))
        state = settle(find_step("expire", state) or state, holds=entry.version is not None, waits=waits)
    revision = update_entry(transaction, entry, state=state)
    record_decision(transaction, entry.memory_id, revision, version=versions[-1], decision="expire", actor=BY_POLICY)
    transaction.append_event("memory.expire", {"id": entry.memory_id, "versions": versions, "state": state})


def _expire_entries(transaction: Transaction, batch: int) -> int:
    """Expire approved entries that nobody used for too long, or that are older than the account allows."""
    columns = schema.memory.c
    due = transaction.fetch_all(
        select(columns.memory_id)
        .where(columns.tenant_id == transaction.tenant_id, columns.expires_at <= transaction.now)
        .order_by(columns.expires_at, columns.memory_id)
        .limit(batch)
    )
    ids = [row.memory_id for row in due]
    entries = [
        entry
        for start in range(0, len(ids), AT_ONCE)
        for entry in list_entries(transaction, columns.memory_id.in_(ids[start : start + AT_ONCE]))
    ]
    end_entries(transaction, entries, "expire", actor=BY_POLICY)
    # Where a new wording waits beside the one that expired, the entry waits.
    for entry in entries:
        if list_versions(transaction, entry.memory_id, "pending"):
            transaction.execute(
                update(schema.memory)
                .where(columns.tenant_id == transaction.tenant_id, columns.memory_id == entry.memory_id)
                .values(state=settle("expired", holds=True, waits=True))
            )
        transaction.append_event("memory.expire", {"id": entry.memory_id, "versions": [entry.version]})
    return len(entries)


def _delete_expired(transaction: Transaction, table: Table, batch: int) -> int:
    """Delete rows whose `expires_at` has come, the oldest first."""
    key = list(table.primary_key.columns)
    due = transaction.fetch_all(
        select(*key)
        .where(table.c.tenant_id == transaction.tenant_id, table.c.expires_at <= transaction.now)
        .order_by(table.c.expires_at)
        .limit(batch)
    )
    for start in range(0, len(due), AT_ONCE):
        named = [tuple(row) for row in due[start : start + AT_ONCE]]
        transaction.execute(delete(table).where(tuple_(*key).in_(named)))
    return len(due)


def _drop_events(transaction: Transaction, batch: int) -> int:
    """Delete the oldest events, as far as all of them are past their time, and raise the floor to the last of them."""
    columns = schema.run_events.c
    cutoff = transaction.now - read_caps(transaction).history_days * DAY
    oldest = transaction.fetch_all(
        select(columns.sequence, columns.recorded_at)
        .where(columns.tenant_id == transaction.tenant_id)
        .order_by(columns.sequence)
        .limit(batch)
    )
    past = []
    for row in oldest:
        # Without a gap: a cursor above the floor has every event after it.
        if row.recorded_at > cutoff:
            break
        past.append(row.sequence)
    if past:
        transaction.execute(
            delete(schema.run_events).where(
                and_(columns.tenant_id == transaction.tenant_id, columns.sequence <= past[-1])
            )
        )
        transaction.heads.event_floor = past[-1]
    return len(past)
