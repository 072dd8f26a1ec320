"""Work as a count, which no busy machine changes: how many functions are called, Python's own included.

A clock in a test fails on a slow day and passes on a fast one. A count is the same each time, and shows what a clock was to
show: that twice the input takes twice the work. What goes on inside one call of the interpreter's, such as the matching of
an expression, is not counted; `benchmarks/` measures that.
"""

import sys
from collections.abc import Callable
from types import FrameType
from typing import Any, Final

_COUNTED: Final = frozenset({"call", "c_call"})
# Twice the input may take a little more than twice the work: the first pieces of a text are not like those in its middle.
ALLOWANCE: Final = 2.2
UNCOUNTED: Final = 200


def count_calls(do: Callable[[], object]) -> int:
    """Return how many calls `do` makes, itself included."""
    count = 0

    def note(frame: FrameType, event: str, argument: Any) -> None:
        nonlocal count
        del frame, argument
        count += event in _COUNTED

    before = sys.getprofile()
    sys.setprofile(note)
    try:
        do()
    finally:
        sys.setprofile(before)
    return count


def find_growth(do: Callable[[int], object], size: int) -> str:
    """Return what is wrong with the growth of the work from `size` to twice of it; "" where it grows with the input."""
    small, large = (count_calls(lambda: do(size)), count_calls(lambda: do(2 * size)))
    return "" if large <= ALLOWANCE * small + UNCOUNTED else f"{small} calls for {size}, {large} for {2 * size}"
