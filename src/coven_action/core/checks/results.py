"""What was observed when a check of the repository's was run by us: values only, bounded, nothing decided. Pure.

The exit code is the observation. Whatever a command prints was written by code that the familiar may have changed; counts
and failures are read out of it for people and for the next attempt, and no decision depends on them.
"""

from typing import Annotated, Final, Literal

from pydantic import Field

from coven_action.core.records import Record

MAX_CHECKS: Final = 16
"""Checks of a configuration: so many keep their document under what one may have, whatever they print."""
MAX_NAME: Final = 100
"""Characters of a check's name."""
MAX_TEST_NAME: Final = 200
"""Characters of a test's name or a file's path."""
MAX_LINE: Final = 300
"""Characters of one line of a failure."""
MAX_LINES: Final = 8
"""Lines of a failure beside its message."""
MAX_FAILURES: Final = 12
"""Failures that are kept of one run; the counts say how many there were."""
MAX_TAIL: Final = 16 * 1024
"""Characters of the output's end that are kept."""
MAX_COUNT: Final = 10**9

Source = Literal["junit", "pytest", "unittest", "tap", "go", "cargo", "jest", "vitest", "generic"]
_Count = Annotated[int, Field(ge=0, le=MAX_COUNT)]
_Line = Annotated[str, Field(max_length=MAX_LINE)]


class CheckCommand(Record):
    """A check as the configuration names it.

    Attributes:
        name: For people.
        run: A line for the shell, in the tree's root.
        timeout_seconds: How long it may take.
        network: Whether it reaches the network.
    """

    name: str = Field(min_length=1, max_length=MAX_NAME)
    run: str = Field(min_length=1)
    timeout_seconds: int = Field(ge=1)
    network: bool = False


class Counts(Record):
    """Tests by how they ended. One that was expected to fail and did counts as skipped."""

    passed: _Count = 0
    failed: _Count = 0
    skipped: _Count = 0
    errors: _Count = 0

    @property
    def total(self) -> int:
        """All of them."""
        return self.passed + self.failed + self.skipped + self.errors

    @property
    def unsuccessful(self) -> int:
        """Those that failed and those that could not be run."""
        return self.failed + self.errors

    def __add__(self, other: "Counts") -> "Counts":
        return build_counts(
            passed=self.passed + other.passed,
            failed=self.failed + other.failed,
            skipped=self.skipped + other.skipped,
            errors=self.errors + other.errors,
        )


def build_counts(*, passed: int = 0, failed: int = 0, skipped: int = 0, errors: int = 0) -> Counts:
    """Return counts that somebody else wrote, each brought between zero and `MAX_COUNT`."""
    given = {"passed": passed, "failed": failed, "skipped": skipped, "errors": errors}
    return Counts(**{name: min(max(count, 0), MAX_COUNT) for name, count in given.items()})


class Failure(Record):
    """One test that failed, or one diagnostic of a compiler or linter.

    Attributes:
        test: Its name; empty for a diagnostic.
        file: Where it failed, as the output names it; empty where that is unknown.
        line: The line in that file, from 1.
        message: The failing assertion in one line, or whatever says best what is wrong.
        lines: The first relevant lines beside it, without repeated frames.
    """

    test: str = Field(default="", max_length=MAX_TEST_NAME)
    file: str = Field(default="", max_length=MAX_TEST_NAME)
    line: int | None = Field(default=None, ge=1, le=MAX_COUNT)
    message: _Line
    lines: tuple[_Line, ...] = Field(default=(), max_length=MAX_LINES)


class CheckRun(Record):
    """One command, run once on one tree.

    Attributes:
        exit_code: As the shell returned it; None where it did not end by itself.
        signal: What ended it instead.
        duration_seconds: By our clock.
        timed_out: Whether we ended it for taking longer than it may.
        fault: Why we could not run it or had to end it, in one sentence; empty where it ran.
        output_bytes: All that it printed.
        counts: What it says of its tests; None where it says nothing that we read.
        source: Which format was read.
        tail: The end of what it printed, redacted.
        failures: What failed, in its order, redacted.
    """

    exit_code: int | None
    signal: int | None = None
    duration_seconds: float = Field(ge=0)
    timed_out: bool = False
    fault: str = Field(default="", max_length=MAX_LINE)
    output_bytes: int = Field(ge=0)
    counts: Counts | None = None
    source: Source = "generic"
    tail: str = Field(default="", max_length=MAX_TAIL)
    failures: tuple[Failure, ...] = Field(default=(), max_length=MAX_FAILURES)

    @property
    def is_contradictory(self) -> bool:
        """Whether it ended well and yet says that tests failed. The exit code holds, and people are told."""
        return self.exit_code == 0 and self.counts is not None and self.counts.unsuccessful > 0


class CheckResult(Record):
    """One check on both trees: `base` before the change, None where it was not run there, and `result` after it."""

    name: str = Field(min_length=1, max_length=MAX_NAME)
    base: CheckRun | None = None
    result: CheckRun


class ObservedRow(Record):
    """One check as people see it. The texts are plain and escaped where they are rendered.

    Attributes:
        name: Of the check.
        standing: How it stands on the result.
        before: What it said of the base.
        after: What it said of the result.
        text: Both in one short line.
        seconds: How long it took on the result.
        notes: What a reader must know to read the row rightly.
        failing: The first failure, in five lines at most; empty where nothing failed.
    """

    name: str
    standing: Literal["passed", "failed", "failed-before-too", "could-not-run"]
    before: str
    after: str
    text: str
    seconds: float
    notes: tuple[str, ...] = ()
    failing: tuple[str, ...] = ()


class ClaimedRow(Record):
    """One command that the familiar says it ran, beside what we saw of the same command."""

    command: str
    claimed: str
    observed: str
    agrees: bool | None
