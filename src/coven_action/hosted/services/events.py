"""Append events of a run, and read the tenant's sequence. The endpoint's busiest path: no statement of its own here."""

import json
import re
from typing import Any, Final

from sqlalchemy import select

from coven_action.core.endpoint.wire import (
    EARLY_WARNING_EVENTS,
    MAX_EVENTS_OF_RUN,
    Event,
    EventPage,
    EventsAccepted,
    EventsRequest,
)
from coven_action.core.records import sha256_hex
from coven_action.hosted.principals import RunPrincipal
from coven_action.hosted.problems import Problem
from coven_action.hosted.store import schema
from coven_action.hosted.store.commands import Reading
from coven_action.hosted.store.transaction import MeterKey, RunKey, Transaction, to_milliseconds
from coven_action.hosted.times import from_milliseconds

_CURSOR: Final = re.compile(r"e([0-9]{1,18})")
_COMPACT: Final = json.JSONEncoder(separators=(",", ":"), ensure_ascii=False, sort_keys=True).encode


def append_events(transaction: Transaction, principal: RunPrincipal, request: EventsRequest) -> EventsAccepted:
    """Append a run's events to the tenant's sequence.

    Raises:
        Problem: `no-such-resource`: the run has not been reported; `too-many-events`: it has reported as many as a run may.
    """
    run = principal.run
    row = transaction.find_run_summary(run)
    if row is None:
        raise Problem("no-such-resource", "The run has not been reported; PUT /v1/runs/self comes first.")
    count = row["event_count"] + len(request.events)
    if count > MAX_EVENTS_OF_RUN:
        raise Problem("too-many-events", f"A run may report {MAX_EVENTS_OF_RUN} events.")
    written = [_COMPACT(event.data) for event in request.events]
    numbers = [
        transaction.append_event(
            event.type, data, run=run, attempt=principal.session.run_attempt, at=to_milliseconds(event.at)
        )
        for event, data in zip(request.events, written, strict=True)
    ]
    transaction.count_events(run, len(numbers))
    key = MeterKey(row["installation_id"], run.repository_id, row["familiar"], row["task_kind"])
    transaction.meter(key, "events", len(numbers))
    transaction.meter(key, "bytes", sum(map(len, written)))
    transaction.append_audit(
        actor=principal.actor,
        action="events.append",
        subject=f"run:{row['number']}",
        detail={"first": numbers[0], "count": len(numbers), "sha256": sha256_hex("\n".join(written).encode())},
    )
    left = MAX_EVENTS_OF_RUN - count if count >= EARLY_WARNING_EVENTS else None
    return EventsAccepted(first=numbers[0], last=numbers[-1], left=left)


def read_events(reading: Reading, *, after: int | None, limit: int, run: RunKey | None = None) -> EventPage:
    """Return the events after a number, in their order.

    Raises:
        Problem: `cursor-expired`: events after that number are no longer kept; the answer names the floor.
    """
    heads = reading.fetch_one(select(schema.heads).where(schema.heads.c.tenant_id == reading.tenant_id))
    floor = heads.event_floor if heads is not None else 0
    newest = heads.event_sequence if heads is not None else 0
    start = floor if after is None else after
    if start < floor:
        raise Problem("cursor-expired", members={"cursor": render_cursor(floor)})
    if start > newest:
        raise Problem("cursor-invalid")
    columns = schema.run_events.c
    statement = select(schema.run_events).where(columns.tenant_id == reading.tenant_id, columns.sequence > start)
    if run is not None:
        statement = statement.where(columns.repository_id == run.repository_id, columns.run_id == run.run_id)
    rows = reading.fetch_all(statement.order_by(columns.sequence).limit(limit))
    return EventPage(
        events=tuple(_build_event(row) for row in rows),
        cursor=render_cursor(rows[-1].sequence if rows else start),
    )


def _build_event(row: Any) -> Event:
    return Event(
        seq=row.sequence,
        type=row.type,
        at=from_milliseconds(row.at),
        repository_id=row.repository_id,
        run_id=row.run_id,
        attempt=row.attempt,
        data=json.loads(row.data),
    )


def render_cursor(sequence: int) -> str:
    """Return a number of the sequence as a cursor."""
    return f"e{sequence}"


def parse_cursor(text: str | None) -> int | None:
    """Return the number that a cursor stands for; None where there is no cursor.

    Raises:
        Problem: `cursor-invalid`.
    """
    if text is None:
        return None
    match = _CURSOR.fullmatch(text)
    if match is None:
        raise Problem("cursor-invalid")
    return int(match[1])
