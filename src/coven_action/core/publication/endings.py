"""How a task can end, what people are told, and how the job concludes. Pure: one table, and the one function that picks a row.

Nothing concludes as success by default: one row says so, and it needs checks that we have run and seen pass.
"""

from collections.abc import Mapping
from enum import StrEnum
from typing import Final, Literal

from coven_action.core.checks.conclusion import Judged
from coven_action.core.documents import Fault, Outcome, Verdict
from coven_action.core.records import Record

Conclusion = Literal["neutral", "failure", "action_required", "success"]


class Ending(StrEnum):
    """How a task ended. The first four carry a pull request."""

    VERIFIED = "verified"
    PUBLISHED = "published"
    PARTIAL = "partial"
    FAILING = "failing"
    CHECKS_FAILED = "checks-failed"
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
    Ending.VERIFIED: EndingRule(conclusion="success", title="verified, checks pass", exit_code=0, state="published"),
    Ending.PUBLISHED: EndingRule(conclusion="neutral", title="published, not checked", exit_code=0, state="published"),
    Ending.PARTIAL: EndingRule(conclusion="neutral", title="published, partly done", exit_code=0, state="published"),
    # The pull request carries the verdict, so the job does not fail as well.
    Ending.FAILING: EndingRule(conclusion="failure", title="checks fail", exit_code=0, state="published"),
    Ending.CHECKS_FAILED: EndingRule(
        conclusion="failure", title="checks fail, nothing published", exit_code=1, state="failed"
    ),
    Ending.NOTHING_CHANGED: EndingRule(conclusion="neutral", title="nothing changed", exit_code=0, state="nothing"),
    Ending.NEEDS_INPUT: EndingRule(conclusion="action_required", title="needs an answer", exit_code=0, state="nothing"),
    Ending.COULD_NOT: EndingRule(conclusion="failure", title="could not do it", exit_code=1, state="failed"),
    Ending.REFUSED: EndingRule(conclusion="neutral", title="result refused", exit_code=0, state="nothing"),
    Ending.STALE: EndingRule(conclusion="neutral", title="overtaken by other changes", exit_code=0, state="nothing"),
    Ending.FAULT: EndingRule(conclusion="failure", title="failed", exit_code=1, state="failed"),
}

PUBLISHED_ENDINGS: Final = frozenset(ending for ending, rule in ENDINGS.items() if rule.state == "published")
"""The endings with a pull request of this task."""

REFUSED_ENDINGS: Final = frozenset({Ending.REFUSED, Ending.STALE})
"""The endings of a result that there was and that may not be published."""

# What `run` found -> the ending where nothing is published; `worked` comes here only where our own clone shows no change.
_UNPUBLISHED: Final[Mapping[str, Ending]] = {
    "worked": Ending.NOTHING_CHANGED,
    "nothing-changed": Ending.NOTHING_CHANGED,
    "needs-input": Ending.NEEDS_INPUT,
    "failed": Ending.COULD_NOT,
    "fault": Ending.FAULT,
}
# What our checks came to -> the ending of a result that is published, where it is done, and where it is done in part only.
_PUBLISHED: Final[Mapping[Judged, tuple[Ending, Ending]]] = {
    Judged.PASSED: (Ending.VERIFIED, Ending.PARTIAL),
    Judged.NONE_CONFIGURED: (Ending.PUBLISHED, Ending.PARTIAL),
    Judged.FAILED: (Ending.FAILING, Ending.FAILING),
}
_NOT_OBSERVED: Final = (Ending.FAULT, Ending.FAULT)
# The step that refused -> the ending; every other step refuses the result for what it is.
_REFUSED: Final[Mapping[str, Ending]] = {"freshness": Ending.STALE}


def decide_ending(
    outcome: Outcome, fault: Fault | None, *, has_changes: bool, refusal: Verdict | None, judged: Judged | None
) -> Ending:
    """Return how the task ends if nothing goes wrong from here on.

    Only a run that worked is published: a runtime that failed or asks a question may have left half a change.

    Args:
        outcome: What happened in `run`.
        fault: What went wrong in this stage or an earlier one.
        has_changes: Whether our own clone shows a change.
        refusal: The first verdict that refuses.
        judged: What our checks on the change came to; None where nobody judged them, which publishes nothing.
    """
    if fault is not None:
        return Ending.FAULT
    if not has_changes or outcome.verdict != "worked":
        return _UNPUBLISHED[outcome.verdict]
    if refusal is not None and refusal.step == "evidence":
        return Ending.CHECKS_FAILED if judged is Judged.FAILED else Ending.FAULT
    if refusal is not None:
        return _REFUSED.get(refusal.step, Ending.REFUSED)
    done, partly = _PUBLISHED.get(judged, _NOT_OBSERVED) if judged is not None else _NOT_OBSERVED
    return partly if is_partly_done(outcome) else done


def is_partly_done(outcome: Outcome) -> bool:
    """Whether the runtime says of its own work that it is not whole."""
    return outcome.result is not None and outcome.result.get("status") == "partial"
