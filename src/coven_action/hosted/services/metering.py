"""Count an account's use again, from its audit log alone, and say where the counters differ.

Every audit row names what was counted with it, so the log is a second book: the one that is hashed row by row, exported and
witnessed. A counter that differs from it was changed by something else than a request.
"""

import json
from collections import Counter
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple

from sqlalchemy import select

from coven_action.hosted.store import schema
from coven_action.hosted.store.commands import Reading
from coven_action.hosted.store.transaction import METERED, MeterKey


class Difference(NamedTuple):
    """A counter that is not what the log says.

    Args:
        key: Whose use.
        measure: Of what.
        counted: What the counter says.
        logged: What the log says.
    """

    key: MeterKey
    measure: str
    counted: int
    logged: int


def recount(reading: Reading, day: str) -> "Counter[tuple[MeterKey, str]]":
    """Return the uses of a day (UTC, as `2026-11-21`) that the audit log names."""
    start = datetime.fromisoformat(day).replace(tzinfo=UTC)
    first, end = (int(moment.timestamp() * 1000) for moment in (start, start + timedelta(days=1)))
    columns = schema.audit.c
    rows = reading.fetch_all(
        select(columns.detail).where(
            columns.tenant_id == reading.tenant_id,
            columns.at >= first,
            columns.at < end,
            columns.detail.contains(f'"{METERED}"'),
        )
    )
    found: Counter[tuple[MeterKey, str]] = Counter()
    for row in rows:
        for *key, measures in json.loads(row.detail).get(METERED, ()):
            for measure, amount in measures.items():
                found[MeterKey(*key), measure] += amount
    return found


def find_differences(reading: Reading, day: str) -> tuple[Difference, ...]:
    """Return the counters of a day that are not what the audit log says; none is as it should be."""
    columns = schema.meters.c
    rows: Any = reading.fetch_all(
        select(schema.meters).where(columns.tenant_id == reading.tenant_id, columns.day == day)
    )
    counted = {
        (MeterKey(row.installation_id, row.repository_id, row.familiar, row.task_kind), row.measure): row.amount
        for row in rows
    }
    logged = recount(reading, day)
    return tuple(
        Difference(*place, counted.get(place, 0), logged[place])
        for place in sorted({*counted, *logged})
        if counted.get(place, 0) != logged[place]
    )
