"""Run the repository's checks on a fresh tree, in the sandbox, and say what was observed. Nothing here decides what it means.

A check is code that the familiar may have changed: it gets no secret, no network unless its entry asks for it, and a folder
of its own, and nothing of its processes is left behind. Whoever runs checks uses this, `verify` and `run` alike.
"""

import math
import os
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from coven_action.core.checks.conclusion import describe_run
from coven_action.core.checks.output import MAX_OUTPUT
from coven_action.core.checks.results import MAX_LINE, CheckCommand, CheckRun
from coven_action.core.checks.summaries import read_summary
from coven_action.core.contract.process_output import MIB, ProcessLimits
from coven_action.core.contract.process_report import ConfinedReport
from coven_action.core.redaction.redactor import Redactor
from coven_action.core.sandbox.request import SandboxRequest
from coven_action.errors import Error
from coven_action.stages.faults import explain_exception
from coven_action.stages.ports import CheckTree, Confinement, Job

SHELL: Final = "/bin/sh"
HOME: Final = "home"
# The folder that is bounded and handed over holds the tree and a home beside it; the check itself starts in the tree.
ENTER_TREE: Final = 'cd -- "$0" && unset OLDPWD && exec /bin/sh -c "$1"'
MOST_OUTPUT: Final = 256 * MIB
"""Bytes at which a check is ended; until then only the end of what it prints is kept."""
VARIABLES: Final[Mapping[str, str]] = {
    "CI": "true",
    "GIT_CONFIG_NOSYSTEM": "1",
    "GIT_TERMINAL_PROMPT": "0",
    "LANG": "C.UTF-8",
    "NO_COLOR": "1",
    "TERM": "dumb",
    # A path as short as this: tests open sockets below it, and a socket's path has 108 bytes at most (man 7 unix).
    "TMPDIR": "/tmp",  # noqa: S108 - inside, this is a file system of the sandbox alone
}
"""What every check is given, beside `HOME` and what the machine's tools need. Nothing of the job's own environment."""

# Exit code and beginning of the output where the sandbox itself refused to go on. A check that imitates it has not passed.
_REFUSED: Final = ((125, b"sandbox: "), (1, b"bwrap: "))
_EXCEEDED: Final[Mapping[str, str]] = {
    "memory": "it was ended for using more memory than a check may",
    "processes": "it was ended for starting more processes than a check may",
    "workspace": "it was ended for writing more to the disk than a check may",
}


@dataclass(frozen=True, slots=True)
class CheckPorts:
    """What checks need of the outside world."""

    confinement: Confinement
    job: Job
    redactor: Redactor


@dataclass(frozen=True, slots=True)
class Checked:
    """What was observed.

    Attributes:
        runs: One for each command, in their order.
        limited_by: What held memory and processes; empty where nothing was started.
    """

    runs: tuple[CheckRun, ...]
    limited_by: str


def run_checks(
    commands: Sequence[CheckCommand],
    tree: CheckTree,
    *,
    place: str,
    ports: CheckPorts,
    seconds_left: Callable[[], float] = lambda: math.inf,
    keep_going: Callable[[], bool] = lambda: True,
) -> Checked:
    """Run the checks one after another and return what was seen of them.

    Args:
        commands: The checks of the configuration.
        tree: Where they run, one after another as in any job. The folder above it is theirs as well; the folder above that
            one is ours.
        place: What the tree is, for the log: `the base`.
        ports: The outside world.
        seconds_left: How long all of them may still take; asked before each.
        keep_going: Asked several times a second; False ends a check, and those after it do not start.

    Returns:
        A run for each command. What could not be started, or was ended by us, has a `fault`, which is never success.
    """
    checked: list[_Observed] = []
    for command in commands:
        observed = _run_check(command, tree, ports, seconds_left, keep_going)
        said = f"{command.name} on {place}: {describe_run(observed.run)} ({observed.run.duration_seconds:.1f} s)"
        notes = "".join(f"; a report was left aside: {reason}" for reason in observed.refused[:1])
        ports.job.notice(ports.redactor.redact(said + notes))
        checked.append(observed)
    return Checked(
        runs=tuple(observed.run for observed in checked),
        limited_by=next((observed.limited_by for observed in checked if observed.limited_by), ""),
    )


def build_fault_run(fault: str, redactor: Redactor, *, seconds: float = 0.0, output_bytes: int = 0) -> CheckRun:
    """Return the record of a check that could not be run, and so has neither passed nor failed."""
    said = str(redactor.redact(fault.rstrip(".")))[:MAX_LINE]
    return CheckRun(exit_code=None, duration_seconds=seconds, fault=said, output_bytes=output_bytes)


@dataclass(frozen=True, slots=True)
class _Observed:
    run: CheckRun
    limited_by: str = ""
    refused: tuple[str, ...] = ()


def _run_check(
    command: CheckCommand,
    tree: CheckTree,
    ports: CheckPorts,
    seconds_left: Callable[[], float],
    keep_going: Callable[[], bool],
) -> _Observed:
    left = seconds_left()
    if left <= 0 or not keep_going():
        return _Observed(build_fault_run("no time was left for it", ports.redactor))
    watch = _Watch(keep_going)
    output = _End(MAX_OUTPUT + 1)
    limits = ProcessLimits(
        seconds=min(float(command.timeout_seconds), left), kept_bytes=MOST_OUTPUT, hard_bytes=MOST_OUTPUT
    )
    try:
        since = _read_file_clock(tree.root.parent.parent)
        report = ports.confinement.run(
            _build_request(command, tree, ports.confinement), limits=limits, write=output.take, keep_going=watch.ask
        )
    except (Error, OSError) as error:
        # Its own words name folders and programs of the machine, and say what to mend.
        return _Observed(build_fault_run(explain_exception(error).message, ports.redactor))
    fault = _find_fault(report, output.data, stopped=watch.stopped, cut_short=left < command.timeout_seconds)
    return _read_observed(report, output.data, tree.read_reports(since), fault=fault, redactor=ports.redactor)


def _build_request(command: CheckCommand, tree: CheckTree, confinement: Confinement) -> SandboxRequest:
    folder = tree.root.parent
    home = folder / HOME
    if not home.is_symlink():
        home.mkdir(exist_ok=True)
    tools = confinement.find_tools()
    return SandboxRequest(
        argv=(SHELL, "-c", ENTER_TREE, str(tree.root), command.run),
        environment={**tools.environment, **VARIABLES, "HOME": str(home)},
        folder=str(folder),
        binds=tools.binds,
        network=command.network,
    )


def _read_file_clock(folder: Path) -> float:
    """Return the moment it is by the clock that dates files, which is coarser than ours, in seconds since 1970."""
    with tempfile.TemporaryFile(dir=folder) as file:
        return os.fstat(file.fileno()).st_mtime


def _find_fault(report: ConfinedReport, output: bytes, *, stopped: bool, cut_short: bool) -> str:
    """Return why a check could not be run or had to be ended, as a phrase; empty where its end is its own."""
    process = report.process
    found = (
        (report.exceeded, _EXCEEDED.get(report.exceeded, "it was ended for using more than a check may")),
        (process.output_flooded, f"it was ended for printing more than {MOST_OUTPUT // MIB} MiB"),
        (stopped, "it was ended because the time of the whole run was up"),
        (process.timed_out and cut_short, "it was ended because the time of the whole run was up"),
        (process.survivors, "some of its processes could not be ended"),
        (_is_refused(process.exit_code, output), "the sandbox could not start it"),
        (not process.supervised and not process.timed_out, "nobody saw how it ended"),
    )
    return next((text for holds, text in found if holds), "")


def _is_refused(exit_code: int | None, output: bytes) -> bool:
    """Whether the sandbox's own refusal is all that was printed."""
    return output.count(b"\n") <= 1 and any(exit_code == code and output.startswith(word) for code, word in _REFUSED)


def _read_observed(
    report: ConfinedReport, output: bytes, reports: Sequence[bytes], *, fault: str, redactor: Redactor
) -> _Observed:
    summary = read_summary(output, reports, redact=lambda text: str(redactor.redact(text)))
    run = CheckRun(
        exit_code=report.process.exit_code,
        signal=report.process.signal,
        duration_seconds=round(report.process.duration_seconds, 3),
        timed_out=report.process.timed_out,
        fault=fault,
        output_bytes=report.process.output_bytes,
        counts=summary.counts,
        source=summary.source,
        tail=summary.tail,
        failures=summary.failures,
    )
    return _Observed(run, report.limited_by, summary.refused_reports)


class _End:
    """The end of an output: constant memory, whatever comes."""

    def __init__(self, size: int) -> None:
        self._size = size
        self._kept = bytearray()

    def take(self, chunk: bytes) -> None:
        self._kept += chunk
        del self._kept[: -self._size]

    @property
    def data(self) -> bytes:
        return bytes(self._kept)


class _Watch:
    """Whether a run may go on, and whether that was ever denied."""

    def __init__(self, keep_going: Callable[[], bool]) -> None:
        self._keep_going = keep_going
        self.stopped = False

    def ask(self) -> bool:
        self.stopped = self.stopped or not self._keep_going()
        return not self.stopped
