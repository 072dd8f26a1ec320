"""Read what Python's unittest prints: `Ran 5 tests`, the verdict, and above them a traceback each. Pure, linear.

The format: https://docs.python.org/3/library/unittest.html#unittest.TextTestRunner.
"""

import re
from collections.abc import Iterator, Sequence
from typing import Final

from coven_action.core.checks.output import Reading, build_failure, find_last, read_number
from coven_action.core.checks.results import MAX_FAILURES, Counts, Failure, build_counts

_RAN: Final = re.compile(r"Ran (\d+) tests? in [\d.]+s")
_VERDICT: Final = re.compile(r"(?:OK|FAILED|NO TESTS RAN)(?: \(([a-z =\d,]{1,200})\))?")
_COUNT: Final = re.compile(r"([a-z][a-z ]*)=(\d+)")
# What the verdict counts -> ours; the rest of the tests passed. A success that nobody expected makes the run fail.
_WORDS: Final = {
    "failures": "failed",
    "unexpected successes": "failed",
    "errors": "errors",
    "skipped": "skipped",
    "expected failures": "skipped",
}
_VERDICT_LINES: Final = 4
_HEADING: Final = re.compile(r"(?:FAIL|ERROR|UNEXPECTED SUCCESS): (.+)")
_RULE: Final = re.compile(r"={70}|-{70}")
_FRAME: Final = re.compile(r'  File "([^"]{1,500})", line (\d+).*')


def read_unittest(lines: Sequence[str]) -> Reading | None:
    """Return what unittest said; None where it did not come to its verdict."""
    ran = find_last(lines, _RAN)
    if ran is None:
        return None
    place, found = ran
    verdicts = map(_VERDICT.fullmatch, lines[place + 1 : place + 1 + _VERDICT_LINES])
    verdict = next((each for each in verdicts if each), None)
    if verdict is None:
        return None
    return Reading(
        "unittest", place, _count(read_number(found[1]), verdict[1] or ""), tuple(_read_blocks(lines[:place]))
    )


def _count(ran: int, text: str) -> Counts:
    counts = dict.fromkeys(_WORDS.values(), 0)
    for word, number in _COUNT.findall(text):
        if word.strip() in _WORDS:
            counts[_WORDS[word.strip()]] += read_number(number)
    return build_counts(passed=ran - sum(counts.values()), **counts)


def _read_blocks(lines: Sequence[str]) -> Iterator[Failure]:
    """Yield the failures: a rule, a heading, a rule, a traceback up to the next rule."""
    test: str | None = None
    block: list[str] = []
    found = 0
    for line in (*lines, "-" * 70):
        heading = _HEADING.fullmatch(line) if test is None else None
        if heading:
            test, block = heading[1], []
        elif _RULE.fullmatch(line) is None:
            block.append(line)
        elif test is not None and block:
            yield _read_traceback(test, block)
            found += 1
            if found == MAX_FAILURES:
                return
            test = None


def _read_traceback(test: str, block: Sequence[str]) -> Failure:
    frames = [(place, found) for place, found in enumerate(map(_FRAME.fullmatch, block)) if found]
    last, where = frames[-1] if frames else (-1, None)
    after = [line for line in block[last + 1 :] if line.strip() and not line.startswith((" ", "Traceback"))]
    source = block[last + 1 : last + 2] if where else []
    return build_failure(
        after[0] if after else "",
        (*source, *after[1:], *(found[0].strip() for _, found in frames)),
        test=test,
        file=where[1] if where else "",
        line=where[2] if where else "",
    )
