"""Whether the database can be read: asked once at a time, and told to everybody who wants to know within a second.

`/readyz` is answered to whoever asks, and held to no rate. If each such request read the database, somebody who repeats it
would hold the few readers that everybody's requests wait for.
"""

import asyncio
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from sqlalchemy import select

from coven_action.hosted.store import schema
from coven_action.hosted.store.commands import Store, StoreUnavailable
from coven_action.hosted.store.grouping import Clock

GOOD_FOR: Final = timedelta(seconds=1)
"""From an answer of the database until it is asked again."""


@dataclass(frozen=True, slots=True)
class _Answer:
    at: datetime
    trouble: StoreUnavailable | None


class Readiness:
    """What the database has answered last, or is being asked now."""

    __slots__ = ("_asked",)

    def __init__(self) -> None:
        self._asked: asyncio.Task[_Answer] | None = None

    async def find_trouble(self, store: Store, clock: Clock) -> StoreUnavailable | None:
        """Return why the database cannot be read; None where it can.

        Args:
            store: The database, which is asked where its last answer is older than a second.
            clock: Tells how old that is.
        """
        if self._asked is None or not _is_good(self._asked, clock()):
            self._asked = asyncio.create_task(_ask(store, clock))
        # Others wait for the same answer: who goes away does not take it from them.
        return (await asyncio.shield(self._asked)).trouble


def _is_good(asked: asyncio.Task[_Answer], now: datetime) -> bool:
    if not asked.done():
        return True
    if asked.cancelled() or asked.exception() is not None:
        return False
    # A clock that was set back makes no answer younger.
    return timedelta(0) <= now - asked.result().at < GOOD_FOR


async def _ask(store: Store, clock: Clock) -> _Answer:
    try:
        await store.read(0, lambda reading: reading.fetch_one(select(schema.deployment.c.name).limit(1)))
    except StoreUnavailable as error:
        return _Answer(clock(), error)
    return _Answer(clock(), None)
