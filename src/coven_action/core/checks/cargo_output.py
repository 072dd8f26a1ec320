"""Read what `cargo test` prints: a `test result` line for each program of tests, and what each failed test said. Pure, linear.

The format: https://doc.rust-lang.org/book/ch11-01-writing-tests.html.
"""

import re
from collections.abc import Iterator, Sequence
from typing import Final

from coven_action.core.checks.output import Reading, build_failure, read_number
from coven_action.core.checks.results import MAX_FAILURES, Counts, Failure, build_counts

_RESULT: Final = re.compile(r"test result: (?:ok|FAILED)\. (\d+) passed; (\d+) failed; (\d+) ignored;.*")
_SAID: Final = re.compile(r"---- (.{1,1000}) stdout ----")
_END: Final = re.compile(r"(?:failures:|test result: .*)")
_PANIC: Final = re.compile(r"thread '.{0,1000}' (?:\(\d+\) )?panicked at (.{1,1000}?):(\d+):\d+:?")
# As written before Rust 1.73: the message first, in quotes, then the place.
_OLD_PANIC: Final = re.compile(r"thread '.{0,1000}?' panicked at '(.{0,1000})', ([^',]{1,300}):(\d+):\d+")
_BACKTRACE: Final = "stack backtrace:"
_FRAME_OF_OURS: Final = re.compile(r"\s+at (\./.{1,500})")


def read_cargo(lines: Sequence[str]) -> Reading | None:
    """Return what all programs of tests said together; None where none came to its result."""
    results = [(place, found) for place, found in enumerate(map(_RESULT.fullmatch, lines)) if found]
    if not results:
        return None
    place = results[-1][0]
    counts = Counts()
    for _, found in results:
        passed, failed, ignored = (read_number(found[group]) for group in (1, 2, 3))
        counts += build_counts(passed=passed, failed=failed, skipped=ignored)
    return Reading("cargo", place, counts, tuple(_read_blocks(lines[: place + 1])))


def _read_blocks(lines: Sequence[str]) -> Iterator[Failure]:
    test: str | None = None
    block: list[str] = []
    found = 0
    for line in lines:
        heading = _SAID.fullmatch(line)
        if test is not None and (heading or _END.fullmatch(line)):
            yield _read_panic(test, block)
            found += 1
            if found == MAX_FAILURES:
                return
            test = None
        if heading:
            test, block = heading[1], []
        elif test is not None:
            block.append(line)


def _read_panic(test: str, block: Sequence[str]) -> Failure:
    """Return the first panic of a test: its message, and the frames of the package itself."""
    for place, line in enumerate(block):
        old = _OLD_PANIC.fullmatch(line)
        if old:
            return build_failure(old[1], block[place + 1 :], test=test, file=old[2], line=old[3])
        panic = _PANIC.fullmatch(line)
        if panic:
            after = block[place + 1 :]
            end = after.index(_BACKTRACE) if _BACKTRACE in after else len(after)
            frames = [found[1] for found in map(_FRAME_OF_OURS.fullmatch, after[end:]) if found]
            said = [each for each in after[:end] if not each.startswith("note: ")]
            message = said[0] if said else ""
            return build_failure(message, (*said[1:], *frames), test=test, file=panic[1], line=panic[2])
    return build_failure(next((line for line in block if line.strip()), ""), block, test=test)
