"""Which writes are kept for later when the endpoint cannot be reached, and which are given up when there are too many. Pure.

Only what another try can mend is kept: a refusal is an answer. What shows people how a run ended, what it used and what it
proposed is never given up; progress goes first. Nothing that opens a session is kept, since a token is never written down.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from coven_action.core.endpoint.wire import Envelope, EnvelopeKind

MAX_OUTBOX_BYTES: Final = 5 * 1024 * 1024
MAX_AGE: Final = timedelta(days=7)
NEVER_DROPPED: Final[frozenset[EnvelopeKind]] = frozenset({"finish", "uses", "proposals"})
_TRANSIENT_STATUSES: Final = frozenset({408, 429})
_SERVER_FAULTS: Final = range(500, 600)

ORDER: Final[tuple[EnvelopeKind, ...]] = ("report", "events", "uses", "proposals", "finish")
"""In which a run's envelopes are delivered: a run is reported before it says anything, and ends last."""


def is_worth_keeping(status: int | None) -> bool:
    """Return whether a write that failed may succeed later.

    Args:
        status: HTTP status of the answer; None where there was none.
    """
    return status is None or status in _TRANSIENT_STATUSES or status in _SERVER_FAULTS


@dataclass(frozen=True, slots=True)
class Kept:
    """What is kept of an outbox.

    Args:
        envelopes: In the order of delivery.
        dropped: How many were given up.
    """

    envelopes: tuple[Envelope, ...]
    dropped: int


def keep_envelopes(envelopes: Sequence[Envelope], *, now: datetime, limit: int = MAX_OUTBOX_BYTES) -> Kept:
    """Return what may be kept: nothing older than seven days, and of the rest what fits.

    Args:
        envelopes: All there are; of equal keys the first counts.
        now: The time, with its zone.
        limit: Bytes of all bodies together.
    """
    fresh = {each.key: each for each in reversed(envelopes) if now - each.created_at <= MAX_AGE}.values()
    by_worth = sorted(fresh, key=lambda each: (each.kind not in NEVER_DROPPED, each.created_at))
    chosen: list[Envelope] = []
    room = limit
    for envelope in by_worth:
        room -= len(envelope.body.encode())
        if envelope.kind in NEVER_DROPPED or room >= 0:
            chosen.append(envelope)
    chosen.sort(key=lambda each: (each.run_id, each.run_attempt, ORDER.index(each.kind), each.created_at, each.key))
    return Kept(tuple(chosen), len({each.key for each in envelopes}) - len(chosen))


def build_key(task: tuple[int, int, int], kind: EnvelopeKind, part: str) -> str:
    """Return the Idempotency-Key of a run's write: the same whenever the same thing is said again.

    Args:
        task: Repository id, run id and attempt.
        kind: Which route it is for.
        part: Which of the run's writes to that route: a stage's name, a number.
    """
    return ":".join((*map(str, task), kind, part))
