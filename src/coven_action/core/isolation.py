"""Whether a runtime may start at the isolation level that was reached. Pure.

The levels are ordered, `none` < `partial` < `enforced`. A level that nobody knows permits nothing.
"""

from dataclasses import dataclass
from typing import Final, Literal, get_args

IsolationLevel = Literal["none", "partial", "enforced"]
LEVELS: Final[tuple[IsolationLevel, ...]] = get_args(IsolationLevel)
"""From the weakest to the strongest."""

UNCONFINED_RUNTIMES: Final = frozenset({"patch"})
"""Runtimes that are our own code, hold no model key and start no program but git: they run at any level."""

MODEL_KEY_NOTE: Final = "the agent ran as this job's user and could have read the model key"
"""Notes follow the level and a semicolon in the evidence."""


@dataclass(frozen=True, slots=True)
class IsolationAllowed:
    """The runtime may start.

    Attributes:
        level: The level in force.
        note: What the evidence says after the level, without a full stop.
    """

    level: IsolationLevel
    note: str


@dataclass(frozen=True, slots=True)
class IsolationRefused:
    """The runtime may not start.

    Attributes:
        code: A key of `errors.CODES`.
        reason: One sentence.
        remedy: What to do, with the lines to change.
    """

    code: str
    reason: str
    remedy: str


def check_level(reached: str, demanded: str) -> bool:
    """Say whether `reached` is at least `demanded`; False when either is no level."""
    return reached in LEVELS and demanded in LEVELS and LEVELS.index(reached) >= LEVELS.index(demanded)


def decide_isolation(demanded: str, reached: IsolationLevel, runtime: str) -> IsolationAllowed | IsolationRefused:
    """Decide whether `runtime` may start.

    Args:
        demanded: The input `isolation` of the action, as it was written.
        reached: The level that was proved for this run.
        runtime: `patch`, `coven-code` or `command`.
    """
    if demanded not in LEVELS:
        return IsolationRefused(
            code="isolation-unknown",
            reason=f"The input isolation is not one of {', '.join(LEVELS)}.",
            remedy="Write one of them: `with: {isolation: enforced}`.",
        )
    if runtime in UNCONFINED_RUNTIMES:
        return IsolationAllowed(reached, f"the {runtime} runtime holds no model key and starts no program but git")
    if not check_level(reached, demanded):
        return IsolationRefused(
            code="isolation-not-reached",
            reason=f"The workflow demands isolation {demanded}; this runner reaches {reached}.",
            remedy="`coven-action probe` says on this runner what is missing; docs/isolation.md says which runner has it.\n"
            "Only if the agent may read what this job can read, its model key included, change the step to:\n"
            f"    with: {{isolation: {reached}}}",
        )
    if reached == "none":
        return IsolationAllowed(reached, MODEL_KEY_NOTE)
    return IsolationAllowed(reached, "the agent ran in a sandbox")
