"""What a command printed, as lines that can be read: bounded, visible, without times. Pure, linear in the output.

Carriage returns begin a new line here: on a terminal they would let a line hide the one before.
"""

import re
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Final

from coven_action.core.checks.results import (
    MAX_COUNT,
    MAX_LINE,
    MAX_LINES,
    MAX_TEST_NAME,
    Counts,
    Failure,
    Source,
)
from coven_action.core.sanitising.sanitised import clean_characters

MAX_OUTPUT: Final = 4 * 1024 * 1024
"""Bytes of the output's end that are read."""
MAX_RAW_LINE: Final = 8 * 1024
"""Characters of a line that are read; what follows them is left out."""
MAX_RAW_LINES: Final = 200_000
"""Lines of the output's end that are read."""

# The time that GitHub's log, and many loggers, begin a line with.
_TIME: Final = re.compile(r"\[?\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d(?:[.,]\d{1,9})?(?:Z|[+-]\d\d:?\d\d)?\]? ?")
_DIGITS: Final = len(str(MAX_COUNT))


@dataclass(frozen=True, slots=True)
class Reading:
    """What a reader found.

    Attributes:
        source: The format.
        place: The index of the last line that only this format has, as its summary is.
        counts: None where the format, as it was printed, does not count.
        failures: In the output's order.
    """

    source: Source
    place: int
    counts: Counts | None
    failures: tuple[Failure, ...]


Reader = Callable[[Sequence[str]], Reading | None]
"""Reads a format out of an output's lines; None where they are not of it."""


def read_lines(output: bytes) -> list[str]:
    """Return the lines of the output's end: decoded, without escape sequences, controls and leading times."""
    end = output[-MAX_OUTPUT:]
    if len(end) < len(output):
        # Half a line may be half a secret, which nothing would recognise.
        end = end[end.find(b"\n") + 1 :]
    return [clean_line(line) for line in clean_text(end.decode("utf-8", "replace")).split("\n")[-MAX_RAW_LINES:]]


def clean_text(text: str) -> str:
    """Return `text` with line feeds as its only breaks, without escape sequences and invisible characters."""
    return clean_characters(text, Counter())


def clean_line(line: str) -> str:
    """Return the readable beginning of a line, without the time it begins with."""
    time = _TIME.match(line)
    start = time.end() if time else 0
    return line[start : start + MAX_RAW_LINE]


def read_number(digits: str) -> int:
    """Return a number that somebody else wrote, at most `MAX_COUNT`."""
    return min(int(digits[: _DIGITS + 1]), MAX_COUNT)


def build_failure(
    message: str, lines: Iterable[str] = (), *, test: str = "", file: str = "", line: str = ""
) -> Failure:
    """Return a failure within its bounds: no line twice, no empty line, none that repeats the message."""
    message = message.strip()
    kept: dict[str, None] = {}
    for each in lines:
        shortened = each.rstrip()[:MAX_LINE]
        if shortened.strip() and shortened.strip() != message[:MAX_LINE]:
            kept[shortened] = None
        if len(kept) == MAX_LINES:
            break
    return Failure(
        test=test.strip()[:MAX_TEST_NAME],
        file=file.strip()[:MAX_TEST_NAME],
        line=read_number(line) or None if line else None,
        message=message[:MAX_LINE] or "failed",
        lines=tuple(kept),
    )


def find_last(lines: Sequence[str], pattern: re.Pattern[str]) -> tuple[int, re.Match[str]] | None:
    """Return the last line that `pattern` matches whole, and its match."""
    for place in range(len(lines) - 1, -1, -1):
        found = pattern.fullmatch(lines[place])
        if found:
            return place, found
    return None
