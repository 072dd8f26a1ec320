"""Let a familiar's runtime work, and work again while the repository's checks fail, within the bounds of the run.

The checks that are tried here run where the agent has worked, so that they are the familiar's own, and shown as claimed. What
counts is observed afterwards, by `verify`.
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from coven_action.core.checks.conclusion import describe_result, judge_run
from coven_action.core.checks.digest import write_digest
from coven_action.core.checks.results import CheckResult
from coven_action.core.contract.coven_code import instruct_again
from coven_action.core.contract.process_output import ProcessLimits
from coven_action.core.contract.process_report import ConfinedReport
from coven_action.core.contract.result import MAX_RESULT_BYTES, RuntimeResult, parse_result
from coven_action.core.contract.usage import Usage, add_usage, parse_usage
from coven_action.core.contract.verdict import RuntimeVerdict, judge_runtime
from coven_action.core.documents import Attempt, TriedChecks, Work
from coven_action.core.records import canonical_json
from coven_action.core.redaction.redactor import Redactor
from coven_action.core.sandbox.request import SandboxRequest
from coven_action.errors import Error, RuntimeFault
from coven_action.stages.checking import CheckPorts, run_checks
from coven_action.stages.faults import explain_exception
from coven_action.stages.ports import CheckTrees, Clock, Confinement, Job, ModelGateway, Workspace
from coven_action.stages.runtimes import RunFolder, Runtime

MIN_SECONDS: Final = 30.0
"""With less time left, another attempt is not begun."""
TRIED_BUNDLE: Final = "tried.bundle"


@dataclass(frozen=True, slots=True)
class Bench:
    """Everything one familiar works with.

    Attributes:
        work: What it was asked for, and within which bounds.
        folder: Of the run.
        runtime: What is started.
        workspace: What it works in.
        checkout: The repository as the workflow checked it out.
        gateway: The way to its model; None where there is none.
        port: Where on loopback that begins.
    """

    work: Work
    folder: RunFolder
    runtime: Runtime
    workspace: Workspace
    checkout: Path
    gateway: ModelGateway | None
    port: int


@dataclass(frozen=True, slots=True)
class AttemptPorts:
    """The outside world of an attempt; `write` takes what the runtime prints."""

    clock: Clock
    confinement: Confinement
    trees: CheckTrees
    job: Job
    redactor: Redactor
    write: Callable[[bytes], object]


@dataclass(frozen=True, slots=True)
class Ended:
    """How an attempt ended, and the commit of the tree as it left it; None where nothing differs from the base."""

    report: ConfinedReport
    result: RuntimeResult | RuntimeFault
    tip: str | None
    verdict: RuntimeVerdict


class Attempting:
    """The attempts of one run. What has happened so far is kept here, however it ends.

    Attributes:
        attempts: Each start of the runtime.
        tries: The checks between them.
        usage: What the runtime says it spent; None where it said nothing.
        limited_by: What held memory and processes.
    """

    def __init__(self, bench: Bench, ports: AttemptPorts) -> None:
        self.attempts: list[Attempt] = []
        self.tries: list[TriedChecks] = []
        self.usage: Usage | None = None
        self.limited_by = ""
        self._bench = bench
        self._ports = ports
        self._checked_seconds = 0.0

    def work(self) -> Ended:
        """Start the runtime until its change passes the checks, it ends in another way, or a bound is reached.

        Raises:
            Error: The runtime could not be started.
        """
        instruction = self._bench.work.brief.audit_instruction
        while True:
            ended = self._start(instruction)
            if ended.tip is None or ended.verdict.kind != "worked" or not self._may_go_on():
                return ended
            failing = self._try_checks(ended.tip)
            if not failing or not self._may_go_on():
                return ended
            digest = write_digest(failing)
            instruction = instruct_again(self._bench.work.brief.audit_instruction, digest)
            self._say(f"checks fail, attempt {len(self.attempts) + 1} of {self._bench.work.limits.attempts} …")

    @property
    def seconds_left(self) -> float:
        """What is left of the run's time. Our own work in between is not the familiar's."""
        used = self._checked_seconds + sum(attempt.duration_seconds for attempt in self.attempts)
        return self._bench.work.limits.time_seconds - used

    def _may_go_on(self) -> bool:
        work = self._bench.work
        return bool(work.checks) and len(self.attempts) < work.limits.attempts and self.seconds_left >= MIN_SECONDS

    def _start(self, instruction: str | None) -> Ended:
        bench = self._bench
        brief = bench.work.brief.at(str(bench.workspace.root)).model_copy(update={"audit_instruction": instruction})
        bench.folder.write_brief(canonical_json(brief.document()))
        report = self._ports.confinement.run(
            SandboxRequest(
                argv=bench.runtime.argv,
                environment=bench.runtime.environment,
                folder=str(bench.workspace.root),
                binds=bench.runtime.binds,
                gateway=str(bench.gateway.socket) if bench.gateway else "",
                relay_port=bench.port,
            ),
            limits=ProcessLimits(seconds=self.seconds_left),
            write=self._ports.write,
            keep_going=lambda: bench.gateway is None or bench.gateway.ended_because is None,
        )
        self._record(report)
        result, tip = _read_result(bench.folder.result), bench.workspace.commit_tree()
        verdict = judge_runtime(
            report.process, result, tree_changed=tip is not None, passed_bound=_find_bound(report, bench.gateway)
        )
        return Ended(report, result, tip, verdict)

    def _record(self, report: ConfinedReport) -> None:
        process = report.process
        self.limited_by = report.limited_by
        self.usage = add_usage(self.usage, parse_usage(process.stdout_tail))
        self.attempts.append(
            Attempt(
                exit_code=process.exit_code,
                signal=process.signal,
                duration_seconds=round(process.duration_seconds, 3),
                timed_out=process.timed_out,
                output_bytes=process.output_bytes,
                output_truncated=process.output_truncated,
                processes_left_behind=process.killed_orphans,
            )
        )

    def _try_checks(self, tip: str) -> tuple[CheckResult, ...]:
        """Return the checks that fail on a change. That they could not be tried is said, and spoils no finished work."""
        try:
            results = self._run_checks(tip)
        except (Error, OSError) as error:
            told = explain_exception(error)
            self._ports.job.warning(self._ports.redactor.redact(f"run: the checks could not be tried: {told}"))
            return ()
        self.tries.append(TriedChecks(attempt=len(self.attempts), rows=tuple(map(describe_result, results))))
        return tuple(each for each in results if judge_run(each.result) == "failed" or each.result.timed_out)

    def _run_checks(self, tip: str) -> tuple[CheckResult, ...]:
        bench, trees = self._bench, self._ports.trees
        folder = bench.folder.root / "tried"
        bundle = bench.folder.root / TRIED_BUNDLE
        bench.workspace.write_bundle(tip, bundle)
        begun = self._ports.clock.now()

        def count_seconds_left() -> float:
            return self.seconds_left - (self._ports.clock.now() - begun).total_seconds()

        try:
            tree = trees.prepare(
                bench.checkout, folder, tip, bundle=bundle, default_branch=bench.work.repository.default_branch
            )
            checked = run_checks(
                bench.work.checks,
                tree,
                place=f"the result of attempt {len(self.attempts)}",
                ports=CheckPorts(self._ports.confinement, self._ports.job, self._ports.redactor),
                seconds_left=count_seconds_left,
            )
        finally:
            trees.destroy(folder)
        self._checked_seconds += sum(run.duration_seconds for run in checked.runs)
        return tuple(
            CheckResult(name=check.name, result=run) for check, run in zip(bench.work.checks, checked.runs, strict=True)
        )

    def _say(self, message: str) -> None:
        self._ports.job.notice(self._ports.redactor.redact(message))


def _find_bound(report: ConfinedReport, gateway: ModelGateway | None) -> str | None:
    """Return the code of the bound that ended an attempt, or None."""
    if gateway is not None and gateway.ended_because is not None:
        return gateway.ended_because
    return f"limit-{report.exceeded}" if report.exceeded else None


def _read_result(path: Path) -> RuntimeResult | RuntimeFault:
    """Return the result, or why there is none. A link or a pipe in its place is no result."""
    try:
        if path.is_symlink() or not path.is_file():
            return RuntimeFault("runtime-no-result", "The runtime wrote no result.")
        with path.open("rb") as stream:
            return parse_result(stream.read(MAX_RESULT_BYTES + 1))
    except OSError as error:
        return RuntimeFault("runtime-no-result", f"The runtime's result cannot be read: {error.strerror}.")
    except RuntimeFault as fault:
        return fault
