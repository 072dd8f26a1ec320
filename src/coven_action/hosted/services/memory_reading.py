"""What people see of memory: lists, one entry, its wordings, and who had it."""

import re
from typing import Any, Final

from sqlalchemy import ColumnElement, and_, exists, func, or_, select

from coven_action.core.endpoint.wire import Memory, MemoryPage, MemoryState, MemoryUses, MemoryVersions
from coven_action.hosted.problems import Problem
from coven_action.hosted.services.memory_entries import (
    UseKey,
    build_memories,
    build_version,
    get_entry,
    list_versions,
    read_citations,
    trace_entry,
)
from coven_action.hosted.store import schema
from coven_action.hosted.store.commands import Reading

_VERSIONS: Final = schema.memory_versions.c
_CURSOR: Final = re.compile(r"m([0-9]{1,18})\.(mem_[0-9a-f]{16})")
_VERSION_CURSOR: Final = re.compile(r"v([0-9]{1,18})\.([0-9a-f]{64})")
_USE_CURSOR: Final = re.compile(r"u([0-9]{1,18})\.([0-9]{1,18})\.([0-9]{1,18})\.([a-z]{1,20})\.([0-9a-f]{64})")


def list_memory(
    reading: Reading,
    *,
    cursor: str | None,
    limit: int,
    state: MemoryState | None = None,
    repository_id: int | None = None,
    query: str | None = None,
) -> MemoryPage:
    """Return entries, the newest first.

    Args:
        reading: Of the tenant.
        cursor: From the page before.
        limit: How many at most.
        state: Entries in this state; `pending` are all of which a wording waits, whatever else holds of them.
        repository_id: Entries of this repository.
        query: Entries whose key or text, in the wording that holds or one that waits, contains it, whatever its case.

    Raises:
        Problem: `cursor-invalid`.
    """
    columns = schema.memory.c
    conditions: list[ColumnElement[bool]] = [columns.tenant_id == reading.tenant_id]
    if cursor is not None:
        conditions.append(_continue_after(cursor))
    if state is not None:
        waits = [_has_wording(_VERSIONS.state == state)] if state == "pending" else []
        conditions.append(or_(columns.state == state, *waits))
    if repository_id is not None:
        conditions.append(columns.repository_id == repository_id)
    if query:
        conditions.append(_contains(query))
    rows = reading.fetch_all(
        select(schema.memory)
        .where(*conditions)
        .order_by(columns.created_at.desc(), columns.memory_id.desc())
        .limit(limit + 1)
    )
    shown = rows[:limit]
    return MemoryPage(
        entries=build_memories(reading, shown),
        next=f"m{shown[-1].created_at}.{shown[-1].memory_id}" if len(rows) > limit else None,
    )


def _continue_after(cursor: str) -> ColumnElement[bool]:
    made, memory_id = _parse_cursor(_CURSOR, cursor)
    columns, created_at = schema.memory.c, int(made)
    return or_(columns.created_at < created_at, and_(columns.created_at == created_at, columns.memory_id < memory_id))


def _has_wording(*conditions: ColumnElement[bool]) -> ColumnElement[bool]:
    columns = schema.memory.c
    return exists().where(
        _VERSIONS.tenant_id == columns.tenant_id, _VERSIONS.memory_id == columns.memory_id, *conditions
    )


def _contains(query: str) -> ColumnElement[bool]:
    columns, wanted = schema.memory.c, query.lower()
    shown = or_(_VERSIONS.state == "pending", _VERSIONS.version == columns.version)
    in_text = _has_wording(shown, func.lower(_VERSIONS.text).contains(wanted, autoescape=True))
    return or_(columns.canonical_key.contains(wanted, autoescape=True), in_text)


def read_memory(reading: Reading, memory_id: str) -> Memory:
    """Return one entry.

    Raises:
        Problem: `no-such-resource`.
    """
    return build_memories(reading, [get_entry(reading, memory_id)])[0]


def read_versions(reading: Reading, memory_id: str, *, cursor: str | None, limit: int) -> MemoryVersions:
    """Return wordings of an entry, oldest first.

    Raises:
        Problem: `no-such-resource`; `cursor-invalid`.
    """
    entry = get_entry(reading, memory_id)
    after = None
    if cursor is not None:
        made, version = _parse_cursor(_VERSION_CURSOR, cursor)
        after = int(made), version
    rows: Any = list_versions(reading, entry.memory_id, after=after, limit=limit + 1)
    shown = rows[:limit]
    cited = read_citations(reading, ((row.memory_id, row.version) for row in shown))
    return MemoryVersions(
        id=entry.memory_id,
        versions=tuple(build_version(row, cited.get((row.memory_id, row.version), ())) for row in shown),
        next=f"v{shown[-1].created_at}.{shown[-1].version}" if len(rows) > limit else None,
    )


def read_uses(reading: Reading, memory_id: str, *, cursor: str | None, limit: int) -> MemoryUses:
    """Return runs that were offered, have read or have cited an entry, newest first; also once it is erased.

    Raises:
        Problem: `no-such-resource`; `cursor-invalid`.
    """
    entry = get_entry(reading, memory_id)
    after = None
    if cursor is not None:
        at, repository_id, run_id, kind, version = _parse_cursor(_USE_CURSOR, cursor)
        after = UseKey(int(at), int(repository_id), int(run_id), kind, version)
    uses, last = trace_entry(reading, entry.memory_id, after=after, limit=limit)
    return MemoryUses(id=entry.memory_id, uses=uses, next=None if last is None else f"u{'.'.join(map(str, last))}")


def _parse_cursor(form: re.Pattern[str], cursor: str) -> tuple[str, ...]:
    match = form.fullmatch(cursor)
    if match is None:
        raise Problem("cursor-invalid")
    return match.groups()
