"""Read what jest and vitest print: the line that counts the tests, and a block for each failure. Pure, linear.

The formats: https://jestjs.io/docs/cli and https://vitest.dev/guide/reporters.
"""

import re
from collections.abc import Iterator, Sequence
from typing import Final

from coven_action.core.checks.output import Reading, build_failure, find_last, read_number
from coven_action.core.checks.results import MAX_FAILURES, Counts, Failure, Source, build_counts

_JEST: Final = re.compile(r"Tests: {1,8}((?:\d+ [a-z]+, ){1,6}\d+ total)")
_VITEST: Final = re.compile(r" *Tests  ((?:\d+ [a-z ]{1,20} ?\| ?){0,5}\d+ [a-z ]{1,20}?)\(\d+\)")
_COUNT: Final = re.compile(r"(\d+) ([a-z]+)")
# Their words -> ours. The total is the sum, and is not read.
_WORDS: Final = {"passed": "passed", "failed": "failed", "skipped": "skipped", "todo": "skipped", "pending": "skipped"}
# `Console` is where jest shows what the tests printed.
_JEST_HEADING: Final = re.compile(r"  ● (?!Console$)(\S.{0,1000})")
_VITEST_HEADING: Final = re.compile(r" *FAIL  (\S.{0,1000})")
# A rule, with or without the words in it, ends a block of vitest's; the next summary line ends one of jest's.
_END: Final = re.compile(r"[⎯]{3,}.*|(?:Test Suites|Tests|Snapshots|Test Files): .*| *Test Files  .*|(?:FAIL|PASS) .*")
_JEST_PLACE: Final = re.compile(r"\s+at (?:.{0,500}\()?([^\s()]{1,500}?):(\d+):\d+\)?")
_VITEST_PLACE: Final = re.compile(r"\s*\u276f (?:.{0,300} )?([^\s()]{1,500}?):(\d+):\d+")
# Frames of these do not say where the test failed.
_LIBRARIES: Final = ("node_modules/", "node:", "internal/")
_CODE: Final = re.compile(r"\s*>?\s*\d+ ?\|.*|\s*\|.*")


def read_jest(lines: Sequence[str]) -> Reading | None:
    """Return what jest said; None where it did not come to its count."""
    return _read(lines, "jest", _JEST, _JEST_HEADING, _JEST_PLACE)


def read_vitest(lines: Sequence[str]) -> Reading | None:
    """Return what vitest said; None where it did not come to its count."""
    return _read(lines, "vitest", _VITEST, _VITEST_HEADING, _VITEST_PLACE)


def _read(
    lines: Sequence[str], source: Source, summary: re.Pattern[str], heading: re.Pattern[str], place: re.Pattern[str]
) -> Reading | None:
    last = find_last(lines, summary)
    if last is None:
        return None
    failures = tuple(_read_blocks(lines[: last[0]], heading, place))
    return Reading(source, last[0], _count(last[1][1]), failures)


def _count(text: str) -> Counts:
    counts = dict.fromkeys(_WORDS.values(), 0)
    for number, word in _COUNT.findall(text):
        if word in _WORDS:
            counts[_WORDS[word]] += read_number(number)
    return build_counts(**counts)


def _read_blocks(lines: Sequence[str], heading: re.Pattern[str], place: re.Pattern[str]) -> Iterator[Failure]:
    """Yield each test's first block: jest prints the failures of a long run a second time."""
    seen: set[str] = set()
    test: str | None = None
    block: list[str] = []
    for line in (*lines, "⎯⎯⎯"):
        begins = heading.fullmatch(line)
        if begins or _END.fullmatch(line):
            if test is not None and test not in seen and any(map(str.strip, block)):
                seen.add(test)
                yield _read_block(test, block, place)
                if len(seen) == MAX_FAILURES:
                    return
            test, block = begins[1] if begins else None, []
        elif test is not None:
            block.append(line)


def _read_block(test: str, block: Sequence[str], place: re.Pattern[str]) -> Failure:
    frames = [found for found in map(place.fullmatch, block) if found]
    ours = [found for found in frames if not any(part in found[1] for part in _LIBRARIES)]
    where = ours[0] if ours else None
    said = [line.strip() for line in block if not (place.fullmatch(line) or line.strip().startswith("at "))]
    code = [line for line in said if _CODE.fullmatch(line)]
    texts = [line for line in said if line and not _CODE.fullmatch(line)]
    marked = [line for line in code if line.startswith(">")]
    return build_failure(
        texts[0] if texts else "",
        (*texts[1:], *marked, *(found[0].strip() for found in ours)),
        test=test,
        file=where[1] if where else "",
        line=where[2] if where else "",
    )
