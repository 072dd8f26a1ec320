"""What another attempt is told of failing checks: as little as says what is wrong, within a budget of bytes. Pure.

Deterministic: leading times, escape sequences and repeated frames went when the output was read. Laws, which tests hold: never
more bytes than the budget, and from `MIN_BUDGET` on the first failing assertion of the first failing check is in it.
"""

from collections.abc import Iterator, Sequence
from typing import Final

from coven_action.core.checks.conclusion import describe_run, judge_run
from coven_action.core.checks.results import MAX_LINE, CheckResult, CheckRun, Failure

MIN_BUDGET: Final = 4 * MAX_LINE + 100
"""Bytes: room for one assertion as long as it may be, in characters of four bytes."""
USUAL_BUDGET: Final = 4 * 1024
_TAIL_LINES: Final = 20
_BYTES_A_TOKEN: Final = 4


def estimate_tokens(text: bytes) -> int:
    """Return about how many tokens a model reads `text` as: four bytes each, rounded up. An estimate, and named one."""
    return -(-len(text) // _BYTES_A_TOKEN)


def write_digest(results: Sequence[CheckResult], budget: int = USUAL_BUDGET) -> str:
    """Return the failing checks of an attempt; "" where none failed.

    Each failure's place and assertion come before any failure's further lines, so that a small budget tells what is wrong
    everywhere rather than everything about one place.

    Args:
        results: What was observed. Its texts are redacted.
        budget: Bytes of UTF-8, at least `MIN_BUDGET`.

    Raises:
        ValueError: The budget is smaller.
    """
    if budget < MIN_BUDGET:
        raise ValueError(f"a digest needs a budget of {MIN_BUDGET} bytes, not {budget}")
    failing = [result for result in results if judge_run(result.result) != "passed"]
    return _fit(list(_list_lines(failing)), budget)


_Ranked = tuple[int, str]
"""How much a line matters, the lowest first, and the line."""
_FIRST: Final = 0
_HEADING: Final = 1
_ASSERTION: Final = 2
_DETAIL: Final = 3
_NOTE: Final = "… more was left out"


def _list_lines(failing: Sequence[CheckResult]) -> Iterator[_Ranked]:
    """Yield all that could be said, in the order in which it is read."""
    unsaid = True
    for result in failing:
        before = f" (base: {describe_run(result.base)})" if result.base else ""
        yield _HEADING, f"{result.name}: {describe_run(result.result)}{before}"
        for rank, line in _list_failures(result.result):
            is_first = unsaid and rank == _ASSERTION
            unsaid = unsaid and not is_first
            yield _FIRST if is_first else rank, line


def _list_failures(run: CheckRun) -> Iterator[_Ranked]:
    told: set[str] = set()
    for failure in run.failures:
        name = _name(failure)
        if failure.message not in told:
            yield _ASSERTION, f"- {failure.message}"
        if name:
            yield _ASSERTION, f"    {name}" if failure.message not in told else f"- {name}, the same"
        for place, line in enumerate(failure.lines):
            # What an earlier failure had as well are frames that they share.
            if line not in told:
                yield _DETAIL + place, f"    {line.strip()}"
        told.update((failure.message, *failure.lines))
    if run.counts and run.counts.unsuccessful > len(run.failures) > 0:
        yield _ASSERTION, f"- and {run.counts.unsuccessful - len(run.failures)} more"
    if not run.failures:
        tail = [line.strip()[:MAX_LINE] for line in run.tail.split("\n") if line.strip()][-_TAIL_LINES:]
        # The last line matters most.
        yield from ((_ASSERTION + len(tail) - place, f"    {line}") for place, line in enumerate(tail, start=1))


def _name(failure: Failure) -> str:
    place = f"{failure.file}:{failure.line}" if failure.file and failure.line else failure.file
    return " ".join(filter(None, (failure.test, place and f"({place})" if failure.test else place)))


def _fit(lines: Sequence[_Ranked], budget: int) -> str:
    """Return the lines that fit, the lowest ranks first, in their own order."""
    room = budget - len(f"{_NOTE}\n".encode())
    kept: list[int] = []
    for place in sorted(range(len(lines)), key=lambda place: (lines[place][0], place)):
        size = len(f"{lines[place][1]}\n".encode())
        if size > room:
            break
        room -= size
        kept.append(place)
    text = [lines[place][1] for place in sorted(kept)]
    if len(kept) < len(lines):
        text.append(_NOTE)
    return "".join(f"{line}\n" for line in text)
