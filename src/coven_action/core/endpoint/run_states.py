"""The states of a run and the steps between them. Pure: a table, and the questions asked of it."""

from collections.abc import Mapping
from typing import Final, get_args

from coven_action.core.endpoint.wire import RunState

STATES: Final[tuple[RunState, ...]] = get_args(RunState)

ENDED: Final[frozenset[RunState]] = frozenset({"needs_input", "review", "done", "failed", "cancelled", "superseded"})
"""States in which nobody works. A new attempt of the same workflow run begins again from any of them."""

STEPS: Final[Mapping[RunState, frozenset[RunState]]] = {
    "queued": frozenset({"running", "failed", "cancelled", "superseded", "needs_input", "review", "done"}),
    "running": frozenset({"needs_input", "review", "done", "failed", "cancelled", "superseded"}),
    "needs_input": frozenset({"queued", "running", "superseded", "cancelled"}),
    "review": frozenset({"queued", "running", "superseded", "done", "cancelled"}),
    "done": frozenset({"queued", "running", "superseded"}),
    "failed": frozenset({"queued", "running", "superseded"}),
    "cancelled": frozenset({"queued", "running", "superseded"}),
    "superseded": frozenset({"queued", "running"}),
}
"""State -> where a run may go from it. A run that never said it was running may end: its report was lost, its end was not."""


def may_step(state: RunState, target: RunState) -> bool:
    """Return whether a run may go from one state to another; staying is no step and always possible."""
    return state == target or target in STEPS[state]
