"""What a step of the verification finds, and how a long list of names is said. Pure."""

from collections.abc import Sequence
from typing import Final, Literal, NamedTuple

MAXIMUM_NAMED: Final = 5


class Finding(NamedTuple):
    """How a step ends, and its reason or remark for people, without a full stop."""

    result: Literal["passed", "failed", "refused", "neutral"]
    text: str


PASSED: Final = Finding("passed", "")


def refuse_for(reason: str) -> Finding:
    """Refuse for a reason; "" refuses nothing."""
    return Finding("refused", reason) if reason else PASSED


def name_some(names: Sequence[str]) -> str:
    """Return the first of these names, and how many more there are."""
    shown = ", ".join(names[:MAXIMUM_NAMED])
    more = len(names) - MAXIMUM_NAMED
    return f"{shown} and {more} more" if more > 0 else shown
