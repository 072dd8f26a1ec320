"""Read what pytest prints: its last line, and the sections ERRORS and FAILURES above it. Pure, linear.

The format: https://docs.pytest.org/en/stable/how-to/output.html.
"""

import re
from collections.abc import Iterator, Sequence
from typing import Final

from coven_action.core.checks.output import Reading, build_failure, find_last, read_number
from coven_action.core.checks.results import MAX_FAILURES, Counts, Failure, build_counts

_SUMMARY: Final = re.compile(
    r"(?:=+ )?(no tests ran|\d+ [a-z]+(?:, \d+ [a-z]+){0,12}) in \d+(?:\.\d+)?s(?: \([\d:]+\))?(?: =+)?"
)
_COUNT: Final = re.compile(r"(\d+) ([a-z]+)")
# Pytest's word -> ours. Warnings, deselected and rerun tests are not how a test ended.
_WORDS: Final = {
    "passed": "passed",
    "xpassed": "passed",
    "failed": "failed",
    "skipped": "skipped",
    "xfailed": "skipped",
    "error": "errors",
    "errors": "errors",
}
_SECTION: Final = re.compile(r"={3,} (.{1,200}?) ={3,}")
_FAILED_SECTIONS: Final = frozenset({"ERRORS", "FAILURES"})
_TEST: Final = re.compile(
    r"_{3,} (?:ERROR (?:at (?:setup|teardown) of|collecting) )?(.{1,1000}?) _{3,}|_ ([^\s_].{0,1000}) _"
)
_CAPTURED: Final = re.compile(r"-{3,} Captured .{1,100} -{3,}")
_PLACE: Final = re.compile(r"([^\s:][^:]{0,500}):(\d+): ?.*")
_SHORT: Final = re.compile(r"(?:FAILED|ERROR) (\S[^\n]{0,1000}?)(?: - (.*))?")


def read_pytest(lines: Sequence[str]) -> Reading | None:
    """Return what pytest said; None where it did not come to its last line."""
    summary = find_last(lines, _SUMMARY)
    if summary is None:
        return None
    place, found = summary
    above = lines[:place]
    failures = tuple(_read_sections(above)) or tuple(_read_short(above))
    return Reading("pytest", place, _count(found[1]), failures)


def _count(text: str) -> Counts:
    counts = dict.fromkeys(_WORDS.values(), 0)
    for number, word in _COUNT.findall(text):
        if word in _WORDS:
            counts[_WORDS[word]] += read_number(number)
    return build_counts(**counts)


def _read_sections(lines: Sequence[str]) -> Iterator[Failure]:
    """Yield the failures of both sections; what a test printed (`Captured …`) is left out."""
    test: str | None = None
    block: list[str] = []
    within = captured = False
    found = 0
    for line in (*lines, "=== end ==="):
        section = _SECTION.fullmatch(line)
        heading = _TEST.fullmatch(line) if within and not section else None
        if (section or heading) and test is not None:
            yield _read_block(test, block)
            found += 1
            if found == MAX_FAILURES:
                return
            test = None
        if section:
            within = section[1] in _FAILED_SECTIONS
        elif heading:
            test, block, captured = heading[1] or heading[2], [], False
        elif test is not None:
            captured = captured or _CAPTURED.fullmatch(line) is not None
            if not captured:
                block.append(line)


def _read_block(test: str, block: Sequence[str]) -> Failure:
    asserted = [line[1:].strip() for line in block if line.startswith("E ")]
    sources = [line for line in block if line.startswith(">")]
    places = [found for found in map(_PLACE.fullmatch, block) if found]
    frames = [found[0] for found in places]
    where = places[-1] if places else None
    message = asserted[0] if asserted else next((line for line in block if line.strip()), "")
    return build_failure(
        message,
        (*sources[-1:], *asserted[1:], *frames),
        test=test,
        file=where[1] if where else "",
        line=where[2] if where else "",
    )


def _read_short(lines: Sequence[str]) -> Iterator[Failure]:
    """Yield the failures of the short summary, for a run that was told to print no tracebacks."""
    found = 0
    for line in lines:
        short = _SHORT.fullmatch(line)
        if short and found < MAX_FAILURES:
            found += 1
            yield build_failure(short[2] or "", test=short[1], file=short[1].partition("::")[0])
