"""`verify`: run the repository's checks on the base and on the result, and write down what was observed. No token, no key.

The result was made by the agent, so each check is a hostile program: it runs in a sandbox, on a tree made anew from the
checkout and the bundle, and what it prints decides nothing. Whatever keeps a check from running is written down as a fault,
which `publish` never takes for success; a document that cannot be trusted ends the stage before anything is run.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from coven_action.core.checks.conclusion import describe_result
from coven_action.core.checks.document import CHECKS_DOCUMENT, Checks
from coven_action.core.checks.results import CheckCommand, CheckResult, CheckRun
from coven_action.core.documents import (
    MAXIMUM_DOCUMENT_BYTES,
    Isolation,
    Outcome,
    TaskIdentity,
    Work,
    parse_outcome,
    parse_plan,
    write_document,
)
from coven_action.core.isolation import check_level
from coven_action.core.records import sha256_hex
from coven_action.core.redaction.redactor import Redactor
from coven_action.core.sandbox.probes import Attempt
from coven_action.core.sanitising.sanitiser import escape_markdown
from coven_action.core.verification.contract import find_contradiction
from coven_action.errors import DocumentError
from coven_action.stages.checking import Checked, CheckPorts, build_fault_run, run_checks
from coven_action.stages.documents import (
    BUNDLE_FILE,
    OUTCOME_DOCUMENT,
    PLAN_DOCUMENT,
    check_bundle,
    check_digest,
    check_task,
)
from coven_action.stages.faults import explain_exception, is_bug
from coven_action.stages.ports import CheckTrees, Clock, Confinement, Documents, Job

VERIFY_FOLDER: Final = "verify"
# What was done to confine the checks -> what the evidence says after the level.
IN_SANDBOX: Final = "the checks ran in a sandbox"
UNCONFINED: Final = "the checks ran as this job's user"
NOT_STARTED: Final = "no check was started"


@dataclass(frozen=True, slots=True)
class VerifyPorts:
    """The outside world of `verify`."""

    clock: Clock
    documents: Documents
    trees: CheckTrees
    confinement: Confinement
    job: Job
    redactor: Redactor


def verify(
    task: TaskIdentity,
    *,
    checkout: Path,
    plan_sha256: str | None,
    outcome_sha256: str | None,
    separate_runner: bool,
    ports: VerifyPorts,
) -> Checks | None:
    """Run the checks and write `checks.json`.

    Args:
        task: This run, from the environment.
        checkout: The repository as the workflow checked it out.
        plan_sha256: The plan's digest as the workflow handed it over; None where it handed over none.
        outcome_sha256: The outcome's digest, likewise.
        separate_runner: Whether this machine is another than the one on which the agent worked.
        ports: The outside world.

    Returns:
        What was observed; None where there is nothing to check.

    Raises:
        DocumentError: The plan, the outcome or the bundle is missing, altered, or of another run.
        Exception: A bug. It is recorded in `checks.json` as a fault of every check, and raised afterwards.
    """
    data = ports.documents.read(PLAN_DOCUMENT, MAXIMUM_DOCUMENT_BYTES)
    check_digest(data, plan_sha256, PLAN_DOCUMENT)
    plan = parse_plan(data)
    check_task(plan.task, task, PLAN_DOCUMENT)
    ports.documents.remove(CHECKS_DOCUMENT)
    outcome = _read_outcome(task, sha256_hex(data), outcome_sha256, ports) if plan.work and plan.work.checks else None
    if plan.work is None or outcome is None or outcome.tip_sha is None or outcome.verdict != "worked":
        why = _explain_nothing_to_do(plan.work)
        ports.job.notice(ports.redactor.redact(f"verify: nothing to do: {why}"))
        return None
    check_bundle(ports.documents, outcome.bundle_sha256)
    return _write(_Session(task, plan.work, outcome.tip_sha, checkout, ports), separate_runner=separate_runner)


def _explain_nothing_to_do(work: Work | None) -> str:
    if work is None:
        return "the plan starts no work"
    return "the run has left no result" if work.checks else "no check is configured"


def _read_outcome(task: TaskIdentity, plan_sha256: str, digest: str | None, ports: VerifyPorts) -> Outcome:
    data = ports.documents.read(OUTCOME_DOCUMENT, MAXIMUM_DOCUMENT_BYTES)
    check_digest(data, digest, OUTCOME_DOCUMENT)
    outcome = parse_outcome(data)
    check_task(outcome.task, task, OUTCOME_DOCUMENT)
    if outcome.plan_sha256 != plan_sha256:
        raise DocumentError("document-altered", "The outcome is that of another plan.", place=OUTCOME_DOCUMENT)
    contradiction = find_contradiction(outcome)
    if contradiction:
        raise DocumentError("malformed-document", f"{OUTCOME_DOCUMENT}: {contradiction}.", place=OUTCOME_DOCUMENT)
    return outcome


def _write(session: "_Session", *, separate_runner: bool) -> Checks:
    ports, begun = session.ports, session.ports.clock.now()
    results = session.observe()
    checks = Checks(
        task=session.task,
        base_sha=session.work.target.base_sha,
        tip_sha=session.tip,
        observed_on="separate_runner" if separate_runner else "same_runner",
        isolation=session.isolation,
        results=results,
        seconds=max(0.0, round((ports.clock.now() - begun).total_seconds(), 3)),
    )
    data = write_document(checks)
    ports.documents.write(CHECKS_DOCUMENT, data)
    ports.job.append_summary(ports.redactor.redact(_summarise(checks)))
    ports.job.set_output("checks-sha256", ports.redactor.redact(sha256_hex(data)))
    if session.bug is not None:
        raise session.bug
    return checks


def _summarise(checks: Checks) -> str:
    """Return the checks in one line; `publish` tells them in full."""
    said = "; ".join(describe_result(result).text for result in checks.results)
    return f"{escape_markdown(f'Checks: {said} ({checks.seconds:.1f} s).')}\n"


class _Session:
    """One call of `verify`: what is known so far of the checks."""

    def __init__(self, task: TaskIdentity, work: Work, tip: str, checkout: Path, ports: VerifyPorts) -> None:
        self.task = task
        self.work = work
        self.tip = tip
        self.checkout = checkout
        self.ports = ports
        self.folder = ports.documents.folder / VERIFY_FOLDER
        self.bug: Exception | None = None
        self.isolation = Isolation(demanded=work.isolation_demanded, reached="none", note=NOT_STARTED)

    def observe(self) -> tuple[CheckResult, ...]:
        """Run every check on both trees; each has a run on the result, whatever happened."""
        try:
            refused = self._decide_isolation(self.ports.confinement.prove())
        except Exception as error:  # noqa: BLE001 - written down as a fault of every check; a bug is raised afterwards
            refused = self._explain(error)
        if refused:
            self._warn(refused)
            return _pair(self.work.checks, None, self._fail_all(refused))
        base = self._run("base", self.work.target.base_sha, None)
        result = self._run("result", self.tip, self.ports.documents.folder / BUNDLE_FILE)
        if self.bug is not None:
            # Nobody knows what a bug of ours has touched, so that nothing counts as observed.
            result = self._fail_all(self._explain(self.bug))
        return _pair(self.work.checks, base, result)

    def _decide_isolation(self, proved: Attempt) -> str:
        """Record what will be in force; return why no check may start, or ""."""
        demanded = self.work.isolation_demanded
        # The exemption of a familiar that is our own code does not hold here: the repository's checks are somebody else's.
        allowed = check_level(proved.level, demanded)
        note = NOT_STARTED if not allowed else UNCONFINED if proved.level == "none" else IN_SANDBOX
        self.isolation = Isolation(demanded=demanded, reached=proved.level, note=note, backend=proved.backend)
        return "" if allowed else f"isolation {demanded} was demanded, {proved.level} was reached"

    def _run(self, name: str, commit: str, bundle: Path | None) -> tuple[CheckRun, ...]:
        """Run the checks on a tree of their own, and leave nothing of it. What breaks on the way is every check's fault."""
        try:
            checked = self._check(name, commit, bundle)
        except Exception as error:  # noqa: BLE001 - written down as a fault of every check; a bug is raised afterwards
            fault = self._explain(error)
            self._warn(f"the checks could not be run on the {name}: {fault}")
            checked = Checked(runs=self._fail_all(fault), limited_by="")
        self._clean_up()
        if checked.limited_by:
            self.isolation = self.isolation.model_copy(update={"limited_by": checked.limited_by})
        return checked.runs

    def _check(self, name: str, commit: str, bundle: Path | None) -> Checked:
        trees, ports = self.ports.trees, self.ports
        # What an interrupted run, or the checks on the other tree, may have left.
        trees.destroy(self.folder)
        branch = self.work.repository.default_branch
        tree = trees.prepare(self.checkout, self.folder / name, commit, bundle=bundle, default_branch=branch)
        return run_checks(
            self.work.checks, tree, place=f"the {name}", ports=CheckPorts(ports.confinement, ports.job, ports.redactor)
        )

    def _clean_up(self) -> None:
        """Leave nothing of a tree behind. That something cannot be removed is said, and changes nothing that was seen."""
        try:
            self.ports.trees.destroy(self.folder)
        except Exception as error:  # noqa: BLE001 - said in the log, whatever it is
            self._warn(self._explain(error))

    def _fail_all(self, fault: str) -> tuple[CheckRun, ...]:
        return tuple(build_fault_run(fault, self.ports.redactor) for _ in self.work.checks)

    def _explain(self, error: Exception) -> str:
        if is_bug(error):
            self.bug = self.bug or error
        return explain_exception(error).message

    def _warn(self, message: str) -> None:
        self.ports.job.warning(self.ports.redactor.redact(f"verify: {message}"))


def _pair(
    commands: Sequence[CheckCommand], base: Sequence[CheckRun] | None, result: Sequence[CheckRun]
) -> tuple[CheckResult, ...]:
    before = base if base is not None else (None,) * len(commands)
    return tuple(
        CheckResult(name=command.name, base=was, result=now)
        for command, was, now in zip(commands, before, result, strict=True)
    )
