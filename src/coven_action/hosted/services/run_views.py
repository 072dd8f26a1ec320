"""Everything about one run that a person sees on its page."""

from dataclasses import dataclass
from typing import Any

from sqlalchemy import select

from coven_action.core.endpoint.wire import MAX_PAGE, EventPage, Run
from coven_action.hosted.services.events import read_events
from coven_action.hosted.services.runs import read_run
from coven_action.hosted.store import schema
from coven_action.hosted.store.commands import Reading
from coven_action.hosted.store.transaction import RunKey


@dataclass(frozen=True, slots=True)
class RunView:
    """A run, its first events, and its uses of memory: rows of `uses`, by entry."""

    run: Run
    page: EventPage
    uses: tuple[Any, ...]

    @property
    def has_more(self) -> bool:
        """Whether there may be further events."""
        return len(self.page.events) == MAX_PAGE


def read_view(reading: Reading, number: int) -> RunView:
    """Return a run as its page shows it.

    Raises:
        Problem: `no-such-resource`.
    """
    run = read_run(reading, number)
    key = RunKey(run.repository_id, run.run_id)
    columns = schema.uses.c
    uses = reading.fetch_all(
        select(schema.uses)
        .where(
            columns.tenant_id == reading.tenant_id,
            columns.repository_id == key.repository_id,
            columns.run_id == key.run_id,
        )
        .order_by(columns.memory_id, columns.kind, columns.version)
    )
    return RunView(run, read_events(reading, after=None, limit=MAX_PAGE, run=key), tuple(uses))
