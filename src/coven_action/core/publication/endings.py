"""How a task can end, what people are told, and how the job concludes. Pure: one table, and the one function that picks a row.

Nothing concludes as success by default: a row says so or it does not happen. Until checks are observed by us, the best
conclusion is neutral.
"""

from collections.abc import Mapping
from enum import StrEnum
from typing import Final, Literal

from coven_action.core.documents import Fault, Outcome, Verdict
from coven_action.core.records import Record

Conclusion = Literal["neutral", "failure", "action_required", "success"]


class Ending(StrEnum):
    """How a task ended."""

    PUBLISHED = "published"
    NOTHING_CHANGED = "nothing-changed"
    NEEDS_INPUT = "needs-input"
    COULD_NOT = "could-not"
    REFUSED = "refused"
    STALE = "stale"
    FAULT = "fault"


class EndingRule(Record):
    """What an ending means: the conclusion, its title, whether the job fails, and the state the thread remembers."""

    conclusion: Conclusion
    title: str
    exit_code: int
    state: Literal["published", "failed", "nothing"]


ENDINGS: Final[Mapping[Ending, EndingRule]] = {
    Ending.PUBLISHED: EndingRule(conclusion="neutral", title="published, not checked", exit_code=0, state="published"),
    Ending.NOTHING_CHANGED: EndingRule(conclusion="neutral", title="nothing changed", exit_code=0, state="nothing"),
    Ending.NEEDS_INPUT: EndingRule(conclusion="action_required", title="needs an answer", exit_code=0, state="nothing"),
    Ending.COULD_NOT: EndingRule(conclusion="failure", title="could not do it", exit_code=1, state="failed"),
    Ending.REFUSED: EndingRule(conclusion="neutral", title="result refused", exit_code=0, state="nothing"),
    Ending.STALE: EndingRule(conclusion="neutral", title="overtaken by other changes", exit_code=0, state="nothing"),
    Ending.FAULT: EndingRule(conclusion="failure", title="failed", exit_code=1, state="failed"),
}

# What `run` found -> the ending where nothing is published; `worked` comes here only where our own clone shows no change.
_UNPUBLISHED: Final[Mapping[str, Ending]] = {
    "worked": Ending.NOTHING_CHANGED,
    "nothing-changed": Ending.NOTHING_CHANGED,
    "needs-input": Ending.NEEDS_INPUT,
    "failed": Ending.COULD_NOT,
    "fault": Ending.FAULT,
}


def decide_ending(outcome: Outcome, fault: Fault | None, *, has_changes: bool, refusal: Verdict | None) -> Ending:
    """Return how the task ends if nothing goes wrong from here on.

    Only a run that worked is published: a runtime that failed or asks a question may have left half a change.

    Args:
        outcome: What happened in `run`.
        fault: What went wrong in this stage or an earlier one.
        has_changes: Whether our own clone shows a change.
        refusal: The first verdict that refuses.
    """
    if fault is not None:
        return Ending.FAULT
    if not has_changes or outcome.verdict != "worked":
        return _UNPUBLISHED[outcome.verdict]
    if refusal is None:
        return Ending.PUBLISHED
    return Ending.STALE if refusal.step == "freshness" else Ending.REFUSED
