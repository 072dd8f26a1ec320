"""How a decision that starts nothing leaves the sequence of `plan`: with its reason, and not as an error."""

from typing import TypeVar

from coven_action.core.refusals import Refusal

T = TypeVar("T")


class Declined(Exception):
    """Nothing is started, for the reason it carries."""

    def __init__(self, refusal: Refusal) -> None:
        super().__init__(refusal.code)
        self.refusal = refusal


def accept(answer: T | Refusal) -> T:
    """Return an answer that is none of refusal. Raises `Declined` otherwise."""
    if isinstance(answer, Refusal):
        raise Declined(answer)
    return answer


def decline_for(refusal: Refusal | None) -> None:
    """Go on where nothing is refused. Raises `Declined` otherwise."""
    if refusal is not None:
        raise Declined(refusal)
