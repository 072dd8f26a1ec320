"""Check that an account's data is what was once written: its audit log link by link, its texts by their digests.

For copies, before anything is replaced by one, and for a database whose operator restored it with its own tools. Everything
is read as of one moment, a page at a time.
"""

from collections.abc import Iterator
from typing import Any, Final

from sqlalchemy import Row, Table, func, select, tuple_

from coven_action.core.endpoint.audit_chain import AuditRow, ChainBroken, ChainHead, verify_chain
from coven_action.core.endpoint.wire import Count, Wire
from coven_action.core.records import sha256_hex
from coven_action.hosted.store import schema
from coven_action.hosted.store.commands import Reading

PAGE: Final = 1_000


class AccountCheck(Wire):
    """What was found of an account whose data is whole.

    Args:
        tenant_id: Its number.
        audit_seq: The newest row of its audit log.
        audit_head: The hash of that row.
        texts: Wordings of memory whose digests hold.
        events: Events that are kept, without a gap up to the newest.
    """

    tenant_id: Count
    audit_seq: Count
    audit_head: str
    texts: Count
    events: Count


class DataBroken(Exception):
    """Raised where an account's data is not what was once written."""


def check_account(reading: Reading) -> AccountCheck:
    """Check everything that can be recomputed.

    Raises:
        DataBroken: Something is missing, changed or put in.
    """
    heads = reading.fetch_one(select(schema.heads).where(schema.heads.c.tenant_id == reading.tenant_id))
    if heads is None:
        raise DataBroken(f"account {reading.tenant_id} has no heads")
    head = _check_chain(reading)
    if head != ChainHead(heads.audit_sequence, heads.audit_hash):
        raise DataBroken(
            f"account {reading.tenant_id}: the audit log ends at row {head.sequence}, and not as row "
            f"{heads.audit_sequence} was recorded"
        )
    return AccountCheck(
        tenant_id=reading.tenant_id,
        audit_seq=head.sequence,
        audit_head=head.hash,
        texts=_check_texts(reading),
        events=_check_events(reading, heads.event_floor, heads.event_sequence),
    )


def _check_chain(reading: Reading) -> ChainHead:
    rows = (
        (AuditRow(row.sequence, row.at, row.actor, row.action, row.subject, row.detail, row.previous), row.hash)
        for row in _iterate(reading, schema.audit)
    )
    try:
        return verify_chain(rows)
    except ChainBroken as broken:
        raise DataBroken(f"account {reading.tenant_id}: the audit log is broken: {broken}") from broken


def _check_texts(reading: Reading) -> int:
    count = 0
    for row in _iterate(reading, schema.memory_versions):
        if sha256_hex(row.text.encode()) != row.text_sha256:
            raise DataBroken(f"account {reading.tenant_id}: the text of {row.memory_id} is not the one that was kept")
        count += 1
    return count


def _check_events(reading: Reading, floor: int, newest: int) -> int:
    columns = schema.run_events.c
    found: Any = reading.fetch_one(
        select(func.count(), func.min(columns.sequence), func.max(columns.sequence)).where(
            columns.tenant_id == reading.tenant_id
        )
    )
    count = int(found[0])
    if count != newest - floor or (count and (found[1], found[2]) != (floor + 1, newest)):
        raise DataBroken(f"account {reading.tenant_id}: of the events {floor + 1} to {newest} only {count} are there")
    return count


def _iterate(reading: Reading, table: Table) -> Iterator[Row[Any]]:
    """Yield a table's rows of the account in the order of their key."""
    keys = [column for column in table.primary_key.columns if column.name != "tenant_id"]
    last: tuple[Any, ...] | None = None
    while True:
        statement = select(table).where(table.c.tenant_id == reading.tenant_id).order_by(*keys).limit(PAGE)
        if last is not None:
            statement = statement.where(tuple_(*keys) > tuple_(*last))
        rows = reading.fetch_all(statement)
        yield from rows
        if len(rows) < PAGE:
            return
        last = tuple(getattr(rows[-1], key.name) for key in keys)
