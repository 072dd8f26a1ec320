"""Read the Test Anything Protocol, versions 12 to 14, subtests included. Pure, linear.

The format: https://testanything.org/tap-version-14-specification.html. Counted are the innermost test points: a point that
follows points indented deeper is their sum.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

from coven_action.core.checks.output import Reading, build_failure, read_number
from coven_action.core.checks.results import MAX_FAILURES, Failure, build_counts

_POINT: Final = re.compile(r"( *)(not )?ok\b(?: +\d+)?(?: +-)? *(.*)")
_DIRECTIVE: Final = re.compile(r"# {0,8}(?:SKIP|TODO)\b", re.IGNORECASE)
_VERSION: Final = re.compile(r"TAP version 1[234]")
_PLAN: Final = re.compile(r"1\.\.(\d{1,12})(?: *#.*)?")
_BAIL: Final = re.compile(r" *Bail out! *(.*)")
_MAX_DETAILS: Final = 60
_VALUE: Final = re.compile(r"\s*([a-z]{1,20}): *(.*)")
_BLOCK_SCALARS: Final = frozenset({"|", "|-", "|+", ">", ">-", ">+"})
# Keys whose values differ from run to run or say nothing.
_UNTOLD: Final = ("duration_ms:", "failureType:", "stack:")
_MESSAGES: Final = ("error", "message")
_PLACES: Final = ("location", "at", "file")
_LOCATION: Final = re.compile(r"(?:file://)?(.{1,500}?):(\d+)(?::\d+)?")
# What Perl's Test::More writes below a point: `#   at t/tax.t line 5.`
_UNTELLING: Final = re.compile(r"Failed test\b.*|at .{1,500}? line \d+\.?")
_AT_LINE: Final = re.compile(r"\s*at (.{1,500}?) line (\d+)\.?")


@dataclass(slots=True)
class _Points:
    """What was read so far.

    Attributes:
        deeper: Indentation -> how many failures there were at the last point of that indentation.
    """

    passed: int = 0
    failed: int = 0
    skipped: int = 0
    last_indentation: int = 0
    deeper: dict[int, int] = field(default_factory=dict)
    failures: list[Failure] = field(default_factory=list)


def read_tap(lines: Sequence[str]) -> Reading | None:
    """Return what the test points said; None without a version line or a plan, since `ok` is a word that anybody prints."""
    place = max(
        (place for place, line in enumerate(lines) if _VERSION.fullmatch(line) or _PLAN.fullmatch(line)), default=-1
    )
    if place < 0:
        return None
    points, errors, last = _Points(), 0, place
    for index, line in enumerate(lines):
        bail = _BAIL.fullmatch(line)
        if bail:
            errors += 1
            last = max(last, index)
            if len(points.failures) < MAX_FAILURES:
                points.failures.append(build_failure(f"Bail out! {bail[1]}"))
        point = _POINT.fullmatch(line)
        if point:
            last = max(last, index) if not point[1] else last
            _take(points, point, lines, index)
    missing = _count_missing(lines, points)
    counts = build_counts(passed=points.passed, failed=points.failed, skipped=points.skipped, errors=errors + missing)
    return Reading("tap", last, counts, tuple(points.failures))


def _take(points: _Points, point: re.Match[str], lines: Sequence[str], index: int) -> None:
    indentation = len(point[1])
    is_sum = points.last_indentation > indentation
    points.last_indentation = indentation
    before = max((count for at, count in points.deeper.items() if at <= indentation), default=0)
    directive = _DIRECTIVE.search(point[3])
    name = point[3][: directive.start()] if directive else point[3]
    if directive:
        points.skipped += not is_sum
    elif point[2] is None:
        points.passed += not is_sum
    elif not is_sum or points.failed == before:
        # A sum that fails although nothing in it did has a fault of its own.
        points.failed += 1
        if len(points.failures) < MAX_FAILURES:
            points.failures.append(_read_details(name, lines[index + 1 : index + 1 + _MAX_DETAILS]))
    points.deeper = {at: count for at, count in points.deeper.items() if at < indentation} | {
        indentation: points.failed
    }


def _count_missing(lines: Sequence[str], points: _Points) -> int:
    """Return 1 where the outermost plan promises tests and none ran at all: the program ended before its first."""
    plans = [found for found in map(_PLAN.fullmatch, lines) if found]
    promised = bool(plans) and read_number(plans[-1][1]) > 0
    return int(promised and not points.deeper)


def _read_details(name: str, following: Sequence[str]) -> Failure:
    """Return the failure of a point, with the comments or the YAML block that follow it."""
    details: list[str] = []
    for line in following:
        if (
            _POINT.fullmatch(line)
            or _PLAN.fullmatch(line.strip())
            or line.strip() == "..."
            or line.startswith("# Subtest")
        ):
            break
        details.append(line.strip().removeprefix("#").strip())
    values = _read_values(details)
    message = next((values[key] for key in _MESSAGES if key in values), "") or next(
        (detail for detail in details if detail and detail != "---" and not _UNTELLING.fullmatch(detail)), name
    )
    places = [found for key in _PLACES if (found := _LOCATION.fullmatch(values.get(key, "")))]
    places += [found for found in map(_AT_LINE.fullmatch, details) if found]
    where = places[0] if places else None
    return build_failure(
        message,
        (detail for detail in details if detail != "---" and not detail.startswith(_UNTOLD)),
        test=name,
        file=where[1] if where else values.get("file", ""),
        line=where[2] if where else "",
    )


def _read_values(details: Sequence[str]) -> dict[str, str]:
    """Return the block's values on one line each; of a value over several lines, the first."""
    values: dict[str, str] = {}
    for place, detail in enumerate(details):
        found = _VALUE.fullmatch(detail)
        if found and found[1] not in values:
            value = found[2].strip()
            following = details[place + 1 : place + 2]
            values[found[1]] = following[0] if value in _BLOCK_SCALARS and following else value.strip("'\"")
    return values
