"""Read what a check printed, and the reports it wrote, into counts and failures. Pure, bounded, linear in the input.

All of it was written by code that the familiar may have changed: a test can print any summary. So of several formats the one
holds whose own last line stands last, which is where a runner prints it once the tests are over, and nothing that is read
here makes a check pass (`conclusion.py` looks at the exit code).
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

from coven_action.core.checks.cargo_output import read_cargo
from coven_action.core.checks.generic_output import read_generic
from coven_action.core.checks.go_output import read_go, read_go_events
from coven_action.core.checks.javascript_output import read_jest, read_vitest
from coven_action.core.checks.junit_report import ReportError, read_report
from coven_action.core.checks.output import Reader, Reading, build_failure, read_lines
from coven_action.core.checks.pytest_output import read_pytest
from coven_action.core.checks.results import MAX_FAILURES, MAX_TAIL, Counts, Failure, Source
from coven_action.core.checks.tap_output import read_tap
from coven_action.core.checks.unittest_output import read_unittest

MAX_REPORTS: Final = 100
"""Reports that are read of one run."""
# In this order where two of them claim the same line.
_READERS: Final[Sequence[Reader]] = (
    read_pytest,
    read_unittest,
    read_go_events,
    read_go,
    read_cargo,
    read_jest,
    read_vitest,
    read_tap,
)


@dataclass(frozen=True, slots=True)
class Summary:
    """What a run said, redacted.

    Attributes:
        source: The format that was read.
        counts: None where it says nothing that we read.
        failures: In the output's order.
        tail: The end of the output.
        refused_reports: Why reports were left aside, one sentence fragment each.
    """

    source: Source
    counts: Counts | None
    failures: tuple[Failure, ...]
    tail: str
    refused_reports: tuple[str, ...] = ()


def read_summary(output: bytes, reports: Sequence[bytes], *, redact: Callable[[str], str]) -> Summary:
    """Return what a run said.

    Args:
        output: What it printed, both streams in their order; the end is enough.
        reports: JUnit XML files that it wrote. They say more than the output, so their counts hold where one can be read.
        redact: Covers secrets in a text; called with every text that leaves.
    """
    # As a whole and first of all: a secret of several lines is none in any of its lines.
    text = redact("\n".join(read_lines(output)).rstrip())
    reading = _read_output(text.split("\n"))
    counts, failures, refused = _read_reports(reports, redact)
    if counts is not None:
        reading = Reading("junit", 0, counts, failures or reading.failures)
    kept = tuple(_redact_failure(failure, redact) for failure in reading.failures)
    return Summary(reading.source, reading.counts, kept, text[-MAX_TAIL:], refused)


def _read_output(lines: Sequence[str]) -> Reading:
    readings = [reading for reading in (read(lines) for read in _READERS) if reading is not None]
    return max(readings, key=lambda reading: reading.place) if readings else read_generic(lines)


def _read_reports(
    reports: Sequence[bytes], redact: Callable[[str], str]
) -> tuple[Counts | None, tuple[Failure, ...], tuple[str, ...]]:
    """Return the sum of the reports; no counts where none could be read."""
    counts: Counts | None = None
    failures: list[Failure] = []
    refused = [f"{len(reports) - MAX_REPORTS} reports are more than are read"] if len(reports) > MAX_REPORTS else []
    for report in reports[:MAX_REPORTS]:
        try:
            counted, failed = read_report(report, redact)
        except ReportError as error:
            refused.append(str(error))
        else:
            counts = counted if counts is None else counts + counted
            failures.extend(failed)
    return counts, tuple(failures[:MAX_FAILURES]), tuple(refused)


def _redact_failure(failure: Failure, redact: Callable[[str], str]) -> Failure:
    """Return a failure redacted once more: go's events hold escapes, so its lines are texts that nobody has looked at."""
    message, *lines = redact("\n".join((failure.message, *failure.lines))).split("\n")
    return build_failure(
        message,
        lines,
        test=redact(failure.test),
        file=redact(failure.file),
        line=str(failure.line or ""),
    )
