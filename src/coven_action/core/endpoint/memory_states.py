"""The states of an entry of memory, and what each decision makes of it. Pure: one table, and the questions asked of it.

An entry has wordings. At most one of them holds; others wait to be decided. The entry's own state is that of the wording
that holds or held last, `pending` where none does and one waits, and `purged` once everything said is gone.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final, Literal, get_args

from coven_action.core.endpoint.wire import MemoryState
from coven_action.core.oidc.authority import Action

STATES: Final[tuple[MemoryState, ...]] = get_args(MemoryState)

Decision = Literal[
    "propose", "approve", "reject", "edit", "revoke", "restore", "supersede", "promote", "erase",
    "mark_stale", "hold_again", "expire",
]  # fmt: skip
DECISIONS: Final[tuple[Decision, ...]] = get_args(Decision)

READABLE: Final[MemoryState] = "approved"
"""The one state in which runs are offered an entry."""

LIVE: Final[frozenset[MemoryState]] = frozenset({"pending", "approved", "stale"})
"""States of an entry that somebody still has to do with; they count against the cap."""

Steps = Mapping[MemoryState, MemoryState]


@dataclass(frozen=True, slots=True)
class Rule:
    """What a decision does.

    Args:
        action: Which right of a person it takes; None where no person may ask for it.
        steps: State of the entry before -> after. What is not listed is refused.
        about: Which wording it is about: one that waits, the one that holds or held last, a new one, or the whole entry.
        wording: What the wording it is about becomes; None where its text is deleted, or nothing of it changes.
        replaced: What the wording becomes that held until then, where another takes its place; None where none does.
        waiting: What becomes of every other wording that waits; None where they go on waiting.
    """

    action: Action | None
    steps: Steps
    about: Literal["waiting", "holding", "new", "entry"]
    wording: MemoryState | None = None
    replaced: MemoryState | None = None
    waiting: MemoryState | None = None


def _all(states: Iterable[MemoryState], target: MemoryState) -> Steps:
    return dict.fromkeys(states, target)


RULES: Final[Mapping[Decision, Rule]] = {
    # A wording of an entry that holds waits beside it. What was revoked or erased is not proposed anew: a person
    # restores it, or nobody does.
    "propose": Rule(
        None,
        {
            "pending": "pending", "approved": "approved", "stale": "stale",
            "rejected": "pending", "superseded": "pending", "expired": "pending",
        },
        "new", wording="pending",
    ),
    "approve": Rule(
        Action.APPROVE, _all(("pending", "approved", "stale"), "approved"), "waiting",
        wording="approved", replaced="superseded",
    ),
    "reject": Rule(
        Action.REJECT, {"pending": "rejected", "approved": "approved", "stale": "stale"}, "waiting", wording="rejected",
    ),
    "edit": Rule(
        Action.EDIT, _all(("pending", "approved", "stale", "expired"), "approved"), "new",
        wording="approved", replaced="superseded",
    ),
    "revoke": Rule(
        Action.REVOKE, _all(LIVE, "revoked"), "holding", wording="revoked", waiting="revoked",
    ),
    "restore": Rule(
        Action.RESTORE, _all(("revoked", "expired", "superseded", "rejected"), "approved"), "holding",
        wording="approved",
    ),
    "supersede": Rule(
        Action.SUPERSEDE, _all(("approved", "stale"), "superseded"), "holding",
        wording="superseded", waiting="superseded",
    ),
    "promote": Rule(Action.PROMOTE, {"approved": "approved"}, "holding", wording="approved"),
    "erase": Rule(Action.ERASE, _all((state for state in STATES if state != "purged"), "purged"), "entry"),
    "mark_stale": Rule(None, {"approved": "stale"}, "holding", wording="stale"),
    "hold_again": Rule(None, {"stale": "approved"}, "holding", wording="approved"),
    "expire": Rule(None, _all(LIVE, "expired"), "holding", wording="expired"),
}  # fmt: skip
"""The whole lifecycle."""


def find_step(decision: Decision, state: MemoryState) -> MemoryState | None:
    """Return what an entry of this state becomes, None where the decision is not possible."""
    return RULES[decision].steps.get(state)


def list_states(decision: Decision) -> tuple[MemoryState, ...]:
    """Return the states in which a decision is possible, for people."""
    return tuple(state for state in STATES if state in RULES[decision].steps)


def settle(state: MemoryState, *, holds: bool, waits: bool) -> MemoryState:
    """Return the state an entry shows after a step.

    Args:
        state: What the step leads to.
        holds: Whether a wording of it was ever approved; to restore what never was is to let it wait again.
        waits: Whether a wording waits now.
    """
    if state in {"rejected", "expired"} and waits:
        return "pending"
    return "pending" if state == "approved" and not holds else state
