"""Read what compilers, linters and unknown programs print: the first diagnostics, and no counts. Pure, linear.

What make says at its end (`make: *** [test] Error 1`) is no diagnostic: an output that has nothing else is shown by its tail.
"""

import re
from collections.abc import Iterator, Sequence
from typing import Final

from coven_action.core.checks.output import Reading, build_failure
from coven_action.core.checks.results import MAX_FAILURES, Failure

_CONTEXT: Final = 4
# `src/tax.py:5:9: E501 line too long`, `tax.c:5:9: error: …`, `src/tax.ts(5,9): error TS2322: …`
_PLACED: Final = re.compile(
    r"\s*([^\s:()]{1,500}\.[A-Za-z][A-Za-z0-9]{0,7})(?::(\d+)(?::\d+)?|\((\d+),\d+\)):? +(\S.*)"
)
# What only remarks on the code; a warning alone does not fail a check, and where it does, it is the only thing printed.
_REMARK: Final = re.compile(r"(?:note|warning|info|hint)\b.*", re.IGNORECASE)
# Rust's compiler says what is wrong first and where after it.
_RUST: Final = re.compile(r"error(?:\[E\d+\])?: \S.*")
_RUST_PLACE: Final = re.compile(r" *--> (.{1,500}?):(\d+):\d+")
_TRACEBACK: Final = "Traceback (most recent call last):"
_FRAME: Final = re.compile(r'\s*File "([^"]{1,500})", line (\d+).*')
_ERROR: Final = re.compile(
    r"\s*(?:(?:fatal |internal |\d+:\d+ +)?error\b|fatal:|panic:|assertion\b|[A-Za-z_.]{0,100}(?:Error|Exception)\b"
    r"|FAIL(?:ED)?\b).*",
    re.IGNORECASE,
)


def read_generic(lines: Sequence[str]) -> Reading:
    """Return the first diagnostics; an output that has none is read as well, and holds nothing."""
    failures = tuple(_read_diagnostics(lines, remarks=False)) or tuple(_read_diagnostics(lines, remarks=True))
    return Reading("generic", -1, None, failures)


def _read_diagnostics(lines: Sequence[str], *, remarks: bool) -> Iterator[Failure]:
    found = 0
    place = 0
    while place < len(lines) and found < MAX_FAILURES:
        failure, taken = _read_at(lines, place, remarks=remarks)
        place += taken
        if failure is not None:
            found += 1
            yield failure


def _read_at(lines: Sequence[str], place: int, *, remarks: bool) -> tuple[Failure | None, int]:
    """Return the diagnostic that begins at a line, if one does, and how many lines it takes."""
    line, after = lines[place], lines[place + 1 : place + 1 + _CONTEXT]
    if line.strip() == _TRACEBACK:
        return _read_traceback(lines, place)
    placed = _PLACED.fullmatch(line)
    if placed:
        if _REMARK.fullmatch(placed[4]) and not remarks:
            return None, 1
        return build_failure(placed[4], (), file=placed[1], line=placed[2] or placed[3]), 1
    if _RUST.fullmatch(line):
        where = next((found for found in map(_RUST_PLACE.fullmatch, after[:1]) if found), None)
        if where:
            return build_failure(line, after, file=where[1], line=where[2]), 2
    if _ERROR.fullmatch(line):
        return build_failure(line, after), 1
    return None, 1


def _read_traceback(lines: Sequence[str], place: int) -> tuple[Failure, int]:
    """Return a Python traceback: its exception is the first line after the heading that is not indented."""
    end = place + 1
    while end < len(lines) and (lines[end].startswith(" ") or not lines[end]):
        end += 1
    frames = [found for found in map(_FRAME.fullmatch, lines[place + 1 : end]) if found]
    where = frames[-1] if frames else None
    failure = build_failure(
        lines[end] if end < len(lines) else lines[place],
        (*(line.strip() for line in lines[end - 1 : end]), *(found[0].strip() for found in reversed(frames))),
        file=where[1] if where else "",
        line=where[2] if where else "",
    )
    return failure, end + 1 - place
