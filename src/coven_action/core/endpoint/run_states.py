"""The states of a run, and what becomes of one that says nothing any more. Pure.

How a run ends is for the run to say, and what it has said is final. Where it says nothing the endpoint has to guess, so that
nobody waits for it; a guess gives way to the run's own word, whenever that arrives.
"""

from collections.abc import Mapping
from typing import Final, NamedTuple, get_args

from coven_action.core.endpoint.wire import EndReason, EndState, RunState

STATES: Final[tuple[RunState, ...]] = get_args(RunState)

ENDED: Final[frozenset[RunState]] = frozenset({"needs_input", "review", "done", "failed", "cancelled", "superseded"})
"""States in which nobody works. A new attempt of the same workflow run begins again from any of them."""


class Guess(NamedTuple):
    """An end that the run has not said.

    Args:
        state: In which it is from then on.
        reason: Why, where there is a word for it.
    """

    state: EndState
    reason: EndReason | None


LOST: Final = Guess("failed", "lease_expired")
"""It was at work and is past its time: its runner was lost, or its word is still on the way."""
FORGOTTEN: Final = Guess("cancelled", None)
"""It waited, and nobody asks for it any more."""
DECLINED: Final = Guess("cancelled", "declined")
"""It was refused, so that it never began."""

_UNHEARD: Final[Mapping[RunState, Guess]] = {"running": LOST, "queued": FORGOTTEN}


def guess_end(state: RunState) -> Guess | None:
    """Return how a run ended of which nothing is heard any more; None where it has ended already."""
    return _UNHEARD.get(state)
