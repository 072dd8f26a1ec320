"""Read what `go test` prints, plain, with `-v` or with `-json`. Pure, linear.

The formats: https://pkg.go.dev/cmd/go#hdr-Test_packages and https://pkg.go.dev/cmd/test2json. Subtests count, and so do the
tests that hold them, as in Go's own events. Without `-v` go does not say how many tests passed; then nothing is counted.
"""

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any, Final

from coven_action.core.checks.output import MAX_RAW_LINE, Reading, build_failure, clean_text
from coven_action.core.checks.results import MAX_FAILURES, Counts, Failure, build_counts
from coven_action.core.strict_json import StrictJSONError, parse_json_object

_PACKAGE: Final = re.compile(r"(ok  |FAIL|\?   )\t(\S+)(?:\t.*| (\[.*\]))?")
_BUILDS: Final = re.compile(r"# (\S+)(?: \[.*\])?")
_RUNS: Final = re.compile(r"=== (?:RUN|CONT|NAME) +(\S.*)")
_ENDED: Final = re.compile(r" *--- (PASS|FAIL|SKIP): (.+) \([\d.]+s\)")
_SAID: Final = re.compile(r"\s*([^\s:]{1,500}\.go):(\d+)(?::\d+)?: ?(.*)")
_FRAME: Final = re.compile(r"\t(/.{1,500}\.go):(\d+)(?: \+0x[0-9a-f]+)?")
_PANIC: Final = re.compile(r"\s*(?:panic|fatal error): .+")
# Frames of Go's own library do not say where the test failed.
_LIBRARY: Final = ("/src/testing/", "/src/runtime/", "/src/reflect/")
_MAX_SAID: Final = 60
_ENDINGS: Final = {"PASS": "passed", "FAIL": "failed", "SKIP": "skipped"}


@dataclass(slots=True)
class _Tests:
    """What was read so far.

    Attributes:
        said: Test, or `# package` -> the first lines it printed, or that building it did.
        endings: Test -> how it ended, in the order of the endings.
        broken: Package that could not be built -> go's word for that.
    """

    said: dict[str, list[str]] = field(default_factory=dict)
    endings: dict[str, str] = field(default_factory=dict)
    broken: dict[str, str] = field(default_factory=dict)

    def say(self, test: str, line: str) -> None:
        said = self.said.setdefault(test, [])
        if len(said) < _MAX_SAID:
            said.append(line)

    def count(self) -> Counts:
        endings = list(self.endings.values())
        by_ending = {ours: endings.count(theirs) for theirs, ours in _ENDINGS.items()}
        return build_counts(**by_ending, errors=len(self.broken))


def read_go(lines: Sequence[str]) -> Reading | None:
    """Return what `go test` or `go test -v` said; None without a line that ends a package."""
    tests, place, current, counted = _Tests(), -1, "", False
    for index, line in enumerate(lines):
        if package := _PACKAGE.fullmatch(line):
            place, current = index, ""
            if package[3] and package[1] == "FAIL":
                tests.broken[package[2]] = package[3]
        elif building := _BUILDS.fullmatch(line):
            current = f"# {building[1]}"
        elif runs := _RUNS.fullmatch(line):
            current, counted = runs[1], True
        elif ended := _ENDED.fullmatch(line):
            current = ended[2]
            tests.endings[current] = ended[1]
        else:
            tests.say(current, line)
    if place < 0:
        return None
    return Reading("go", place, tests.count() if counted else None, tuple(_list_failures(tests)))


def read_go_events(lines: Sequence[str]) -> Reading | None:
    """Return what `go test -json` said; None without an event that ends a package."""
    tests, place = _Tests(), -1
    for index, line in enumerate(lines):
        event = _parse_event(line)
        action, package = event.get("Action"), event.get("Package", event.get("ImportPath"))
        test = event.get("Test", "")
        if not (isinstance(action, str) and isinstance(package, str) and isinstance(test, str)):
            continue
        output = event.get("Output")
        name = f"{package}.{test}" if test else f"# {package.partition(' ')[0]}"
        if isinstance(output, str):
            for said in _split_output(output):
                tests.say(name, said)
        elif action.upper() in _ENDINGS and test:
            tests.endings[name] = action.upper()
        elif action in {"pass", "fail", "skip"}:
            place = index
            if event.get("FailedBuild"):
                tests.broken[package] = "[build failed]"
    return Reading("go", place, tests.count(), tuple(_list_failures(tests))) if place >= 0 else None


def _parse_event(line: str) -> dict[str, Any]:
    """Return an event; an empty one for whatever else stands between events."""
    if not line.startswith('{"'):
        return {}
    try:
        return parse_json_object(line.encode(), max_bytes=4 * MAX_RAW_LINE)
    except StrictJSONError:
        return {}


def _split_output(output: str) -> Iterator[str]:
    for line in clean_text(output).split("\n"):
        if line and not _RUNS.fullmatch(line) and not _ENDED.fullmatch(line):
            yield line


def _list_failures(tests: _Tests) -> list[Failure]:
    """Return the failures of the innermost tests; where there are none, those of packages."""
    failed = [test for test, ending in tests.endings.items() if ending == "FAIL"]
    # A test that holds a failed subtest has failed for its sake. In alphabetical order its subtests follow it at once.
    ordered = sorted(f"{test}/" for test in failed)
    holders = {holder[:-1] for holder, following in pairwise(ordered) if following.startswith(holder)}
    innermost = [test for test in failed if test not in holders][:MAX_FAILURES]
    if innermost:
        return [_read_failure(test, tests.said.get(test, ())) for test in innermost]
    broken = list(tests.broken.items())[:MAX_FAILURES]
    return [_read_failure(f"{package} {word}", tests.said.get(f"# {package}", ())) for package, word in broken]


def _read_failure(test: str, lines: Iterable[str]) -> Failure:
    said = list(lines)
    panic = next((line.strip() for line in said if _PANIC.fullmatch(line)), "")
    places = [found for found in map(_SAID.fullmatch, said) if found]
    frames = [
        found for found in map(_FRAME.fullmatch, said) if found and not any(part in found[1] for part in _LIBRARY)
    ]
    if panic:
        where = frames[0] if frames else None
        message, said = panic, [frame[0] for frame in frames]
    else:
        where = places[0] if places else None
        # Libraries of assertions begin a line of their own after the place: `Error:      	Not equal:`.
        message = (where[3] if where else "") or next((line for line in said if line.strip().startswith("Error:")), "")
        message = " ".join(message.split()) or next((line for line in said if line.strip()), "")
    return build_failure(
        message,
        (line for line in said if line not in {"FAIL", "PASS"}),
        test=test,
        file=where[1] if where else "",
        line=where[2] if where else "",
    )
