"""`publish`: verify everything, then push, open the draft pull request, write the Check Run and the one comment. Trusted.

It works in a clone of its own and executes nothing of the agent's. Whatever goes wrong on the way ends as a failure that
names the stage: nothing concludes well by default. Rendering happens first, redaction last, and what leaves is `Redacted`.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime
from functools import partial

from coven_action.core.documents import (
    MAXIMUM_DOCUMENT_BYTES,
    Evidence,
    Fault,
    Outcome,
    Plan,
    StageTime,
    TaskIdentity,
    Verdict,
    Work,
    parse_outcome,
    parse_plan,
)
from coven_action.core.memory.entries import MAX_CITED_FILE_BYTES
from coven_action.core.memory.evidence import settle_proposals
from coven_action.core.publication.endings import (
    ENDINGS,
    PUBLISHED_ENDINGS,
    REFUSED_ENDINGS,
    Ending,
    EndingRule,
    decide_ending,
)
from coven_action.core.publication.publication import build_rows
from coven_action.core.records import format_time, sha256_hex
from coven_action.core.redaction.patch import redact_patch
from coven_action.core.redaction.values import redact_record
from coven_action.core.verification.contract import find_contradiction
from coven_action.core.verification.freshness import describe_moved_branch
from coven_action.core.verification.verification import find_refusal, record_contract
from coven_action.errors import DocumentError, Error
from coven_action.stages.documents import (
    EVIDENCE_DOCUMENT,
    OUTCOME_DOCUMENT,
    PATCH_FILE,
    PLAN_DOCUMENT,
    check_bundle,
    check_digest,
    check_task,
)
from coven_action.stages.examining import ExaminePorts, Observed, examine, read_unfinished
from coven_action.stages.faults import build_fault, explain_exception, is_bug
from coven_action.stages.judging import build_check_fault, judge_observed
from coven_action.stages.memory import PROPOSED_FOLDER, JudgedMemory, judge_memory, write_proposed_files
from coven_action.stages.publishing import Publishing
from coven_action.stages.reporting import Reporting
from coven_action.stages.telling import Progress, PublishPorts, Telling


@dataclass(frozen=True, slots=True)
class Digests:
    """The digests that the workflow handed over; None where it handed over none."""

    plan: str | None
    outcome: str | None
    checks: str | None = None


def publish(task: TaskIdentity, *, digests: Digests, ports: PublishPorts) -> int:
    """Verify and publish what the run left, and return the exit code of the job.

    Args:
        task: This run, from the environment.
        digests: What the workflow says the documents must be.
        ports: The outside world.

    Raises:
        DocumentError: The plan is missing, altered, not vouched for, or of another run: then there is nobody to tell but
            the log.
    """
    data = ports.documents.read(PLAN_DOCUMENT, MAXIMUM_DOCUMENT_BYTES)
    check_digest(data, digests.plan, PLAN_DOCUMENT)
    plan = parse_plan(data)
    check_task(plan.task, task, PLAN_DOCUMENT)
    if plan.work is None:
        _repeat_outputs(plan, ports)
        return 0
    return _Session(plan, plan.work, digests, sha256_hex(data), ports).publish()


def _repeat_outputs(plan: Plan, ports: PublishPorts) -> None:
    """Give a re-run of a published task the outputs of the first run, so that later steps see no difference."""
    if plan.published is not None:
        redact = ports.redactor.redact
        for name, value in (
            ("conclusion", plan.published.conclusion),
            ("pull-request-number", str(plan.published.pull_request)),
            ("pull-request-url", f"{plan.repository_url}/pull/{plan.published.pull_request}"),
            ("branch", plan.published.branch),
            ("head-sha", plan.published.head_sha),
        ):
            ports.job.set_output(name, redact(value))


class _Session:
    """One call of `publish`: what it has learned and done so far."""

    def __init__(self, plan: Plan, work: Work, digests: Digests, plan_sha256: str, ports: PublishPorts) -> None:
        self.plan = plan
        self.work = work
        self.digests = digests
        self.plan_sha256 = plan_sha256
        self.ports = ports
        self.started = ports.clock.now()
        self.progress = Progress()
        self.telling = Telling(plan, work, self.progress, ports)
        self.reporting = Reporting(
            plan,
            work.history,
            connect=ports.connect,
            witness=ports.witness,
            open_outboxes=ports.open_outboxes,
            clock=ports.clock,
            job=ports.job,
            redactor=ports.redactor,
        )
        self.publishing = Publishing(plan, work, self.progress, self.telling, ports)
        self.said: Outcome | None = None
        self.memory: JudgedMemory | None = None
        self.kept_patch = b""
        self.outcome_sha256: str | None = None
        self.observed = Observed()
        self.notes: list[str] = []
        self.evidence: Evidence | None = None
        self.fault: Fault | None = None

    def publish(self) -> int:
        try:
            self.ports.documents.remove(EVIDENCE_DOCUMENT)
            self.kept_patch = self._take_patch()
            ending, self.fault = self._proceed()
            # The Check Run names the digest of the evidence it was rendered from: that evidence stands unless a fault followed.
            evidence = self.evidence or self._build_evidence(ending, self.fault)
            self._tell(evidence, ENDINGS[ending])
            self._report(evidence)
        except Exception as error:  # told by every way that is left; a bug goes on to the error boundary
            self._tell_failure(error)
            if is_bug(error):
                raise
            return ENDINGS[Ending.FAULT].exit_code
        return ENDINGS[ending].exit_code

    def _proceed(self) -> tuple[Ending, Fault | None]:
        fault = self._read_outcome()
        outcome, said = self.progress.outcome, self.said
        if outcome is None or said is None:
            return Ending.FAULT, fault
        if fault is not None:
            self._keep_unfinished(said)
            return Ending.FAULT, fault
        self._check_bundle(said)
        self.observed = self._examine(said)
        self.notes.extend(self.observed.notes)
        self._judge_memory(said)
        ending = self._decide(outcome, said)
        if ending in PUBLISHED_ENDINGS:
            ending = self._publish_result(ending)
        else:
            self._propose_memory()
        if ending not in PUBLISHED_ENDINGS and self.observed.patch:
            self._keep_patch(self.observed.patch)
        if ending in REFUSED_ENDINGS:
            self.evidence = self._build_evidence(ending, None)
            self.publishing.write_refusal_check(self.evidence)
        return ending, build_check_fault(self.observed.checks) if ending is Ending.FAULT else None

    def _decide(self, outcome: Outcome, said: Outcome) -> Ending:
        checks = self.observed.checks
        return decide_ending(
            outcome,
            None,
            has_changes=self._has_changes(said),
            refusal=find_refusal(self.observed.verdicts),
            judged=checks.judgement.judged if checks else None,
        )

    def _publish_result(self, ending: Ending) -> Ending:
        """Push, open the pull request, propose memory, write the Check Run; or see that the branch has moved just now."""
        observed = self.observed
        if observed.repository is None or observed.tip is None:
            raise AssertionError("only a change in our own clone is published")
        if not self.publishing.push(observed.repository, observed.tip, self.started):
            stale = Verdict(step="freshness", result="refused", finding=describe_moved_branch(self.work.target))
            self._replace_verdict(stale)
            self._propose_memory()
            return Ending.STALE
        body = self.telling.render_pull_request_body(self._build_evidence(ending, None))
        self.notes.extend(self.publishing.open_pull_request(observed.files, body))
        self._propose_memory()
        self.evidence = self._build_evidence(ending, None)
        self.publishing.write_check_run(self.evidence)
        return ending

    def _replace_verdict(self, changed: Verdict) -> None:
        verdicts = tuple(changed if verdict.step == changed.step else verdict for verdict in self.observed.verdicts)
        self.observed = replace(self.observed, verdicts=verdicts)

    def _read_outcome(self) -> Fault | None:
        """Read what `run` left. That it left nothing usable is a fault of `run`, told like any other."""
        try:
            data = self.ports.documents.read(OUTCOME_DOCUMENT, MAXIMUM_DOCUMENT_BYTES)
            check_digest(data, self.digests.outcome, OUTCOME_DOCUMENT)
            outcome = parse_outcome(data)
            check_task(outcome.task, self.plan.task, OUTCOME_DOCUMENT)
            self._check_outcome(outcome)
        except DocumentError as error:
            self.observed = Observed(verdicts=record_contract(error.message))
            return Fault(stage="run", code=error.code, message=error.message, remedy=error.remedy)
        self.observed = Observed(verdicts=record_contract())
        self.outcome_sha256 = sha256_hex(data)
        self.said = outcome
        self.progress.outcome = redact_record(outcome, self.ports.redactor)
        return self.progress.outcome.fault

    def _check_outcome(self, outcome: Outcome) -> None:
        if outcome.plan_sha256 != self.plan_sha256:
            raise DocumentError("document-altered", "The run worked on another plan.", place=OUTCOME_DOCUMENT)
        contradiction = find_contradiction(outcome)
        if contradiction:
            raise DocumentError("malformed-document", f"{OUTCOME_DOCUMENT}: {contradiction}.", place=OUTCOME_DOCUMENT)

    def _check_bundle(self, said: Outcome) -> None:
        """Refuse a bundle that is not the one the outcome vouches for."""
        try:
            check_bundle(self.ports.documents, said.bundle_sha256)
        except DocumentError as error:
            self.observed = Observed(verdicts=record_contract(error.message))
            raise

    def _examine(self, said: Outcome) -> Observed:
        ports = self.ports
        judge = partial(
            judge_observed,
            work=self.work,
            said=said,
            task=self.plan.task,
            digest=self.digests.checks,
            documents=ports.documents,
            redactor=ports.redactor,
        )
        return examine(self.work, said, kept_patch=self.kept_patch, judge=judge, ports=self._examine_ports())

    def _examine_ports(self) -> ExaminePorts:
        ports = self.ports
        return ExaminePorts(ports.documents, ports.repositories, ports.writer, ports.redactor)

    def _judge_memory(self, said: Outcome) -> None:
        """Judge the memory part. Whatever is rejected there changes nothing of how the task ends."""
        repository, tip = self.observed.repository, self.observed.tip
        if tip is None and said.secrets and said.memory_hand_off.proposals:
            # Of a change that was kept back there is no tree in which a citation could be looked up.
            said = said.model_copy(update={"memory_hand_off": said.memory_hand_off.without_proposals()})
            self._note_memory_beside_secret()

        def read_file(path: str) -> bytes | None:
            return repository.read_file(tip, path, MAX_CITED_FILE_BYTES) if repository and tip else None

        self.memory = judge_memory(self.work, said, read_file, self.ports.redactor)

    def _propose_memory(self) -> None:
        """Propose to the endpoint, or leave files, published or not; not beside a secret, which may be in any word."""
        if self.memory is None or not self.memory.evidence.proposed:
            return
        if self.observed.secrets:
            self._note_memory_beside_secret()
            return
        if self.reporting.is_on:
            number = self.progress.pull_request.number if self.progress.pull_request else None
            statuses = self.reporting.propose(self.memory.evidence, pull_request=number)
            self.memory = replace(
                self.memory, evidence=settle_proposals(self.memory.evidence, [each.state for each in statuses])
            )
            return
        write_proposed_files(
            self.memory,
            self.work,
            run_id=self.plan.task.run_id,
            pull_request=self.progress.pull_request.number if self.progress.pull_request else None,
            today=self.started.date(),
            documents=self.ports.documents,
            redactor=self.ports.redactor,
        )
        if self.progress.pull_request is None:
            self.notes.append(f"The proposed memory is kept as files in {PROPOSED_FOLDER}/ among the run's artifacts.")

    def _note_memory_beside_secret(self) -> None:
        kept = "proposed to the endpoint" if self.reporting.is_on else "kept as files"
        self.notes.append(f"The proposed memory is not {kept}, since the run's result holds a secret.")

    def _has_changes(self, said: Outcome) -> bool:
        return self.observed.tip is not None or bool(said.secrets)

    def _take_patch(self) -> bytes:
        """Return the patch that `run` kept, if any. What lies there is not uploaded unless it has been covered by us too."""
        try:
            return self.ports.documents.read(PATCH_FILE, 2 * self.work.limits.patch_bytes)
        except DocumentError:
            return b""
        finally:
            self.ports.documents.remove(PATCH_FILE)

    def _keep_unfinished(self, said: Outcome) -> None:
        """Leave what was done until a run broke off. That it cannot be had is said, and changes nothing of the end."""
        if said.tip_sha is None:
            if self.kept_patch:
                self._keep_patch(self.kept_patch)
            return
        try:
            check_bundle(self.ports.documents, said.bundle_sha256)
            patch = read_unfinished(self.work, self._examine_ports())
        except Error as error:
            self.notes.append(f"What was done until then could not be kept: {error.message}")
            return
        self._keep_patch(patch)

    def _keep_patch(self, patch: bytes) -> None:
        """Leave the work for a maintainer, redacted, where it is not published."""
        redactor = self.ports.redactor
        self.ports.documents.leave(redactor.redact(PATCH_FILE), redact_patch(patch, redactor))
        self.notes.append(f"The patch was not published; it is kept, redacted, as {PATCH_FILE} in the run's artifacts.")

    def _build_evidence(self, ending: Ending, fault: Fault | None) -> Evidence:
        rule, outcome, pushed, target = ENDINGS[ending], self.progress.outcome, self.progress, self.work.target
        now = self.ports.clock.now()
        number = pushed.pull_request.number if pushed.pull_request else target.pull_request
        checks = self.observed.checks.observed if self.observed.checks else None
        return Evidence(
            task=self.plan.task,
            repository_name=self.plan.repository_name,
            ending=ending.value,
            conclusion=rule.conclusion,
            title=f"{rule.title} in {fault.stage}" if fault is not None else rule.title,
            plan_sha256=self.plan_sha256,
            outcome_sha256=self.outcome_sha256,
            bundle_sha256=outcome.bundle_sha256 if outcome else None,
            verdicts=self.observed.verdicts,
            rows=build_rows(
                self.work,
                outcome,
                self.observed.statistics,
                self.observed.verdicts,
                self.memory.evidence if self.memory else None,
                checks,
            ),
            files=self.observed.files,
            statistics=self.observed.statistics,
            isolation=outcome.isolation if outcome else None,
            checks=checks,
            tries=outcome.tries if outcome else (),
            gateway=outcome.gateway if outcome else None,
            workspace_destroyed=outcome is not None and outcome.workspace_destroyed,
            memory=self.memory.evidence if self.memory else None,
            history=self.reporting.build_evidence(),
            fault=fault,
            notes=(*(outcome.hand_off_notes if outcome else ()), *self.notes),
            base_sha=target.base_sha,
            head_sha=pushed.head_sha,
            branch=target.branch if pushed.head_sha else None,
            pull_request=number,
            pull_request_url=f"{self.plan.repository_url}/pull/{number}" if number else None,
            times=self._times(now),
            finished_at=format_time(now),
        )

    def _times(self, now: datetime) -> tuple[StageTime, ...]:
        run = (
            sum(attempt.duration_seconds for attempt in self.progress.outcome.attempts)
            if self.progress.outcome
            else 0.0
        )
        checks = self.observed.checks
        return (
            StageTime(stage="plan", seconds=self.plan.seconds),
            StageTime(stage="run", seconds=round(run, 3)),
            *([StageTime(stage="verify", seconds=checks.seconds)] if checks and checks.observed else []),
            StageTime(stage="publish", seconds=round((now - self.started).total_seconds(), 3)),
        )

    def _tell(self, evidence: Evidence, rule: EndingRule) -> None:
        for tell in self.telling.ways(evidence, rule):
            tell()

    def _report(self, evidence: Evidence) -> None:
        """Tell the endpoint how it ended, which people know by now."""
        self.reporting.finish(
            evidence,
            evidence_sha256=self.telling.find_digest(evidence),
            outcome=self.progress.outcome,
            thread_url=f"{self.plan.repository_url}/issues/{self.work.thread_number}",
        )

    def _tell_failure(self, error: Exception) -> None:
        """Say that it failed by every way that is left: one that fails as well is named in the log and stops no other."""
        if self.fault is None:
            self.fault = build_fault("publish", error)
        else:
            self.notes.append(f"The failure could not be told everywhere: {explain_exception(error)}")
        evidence = self._build_evidence(Ending.FAULT, self.fault)
        told = self.telling.ways(evidence, ENDINGS[Ending.FAULT])
        ways: list[Callable[[], None]] = [self._forget_evidence, *told, partial(self._report, evidence)]
        for tell in ways:
            try:
                tell()
            except Exception as second:  # noqa: BLE001 - it must not hide the first one, nor keep the others from being told
                self.ports.job.warning(
                    self.telling.redact(f"the failure could not be told: {explain_exception(second)}")
                )

    def _forget_evidence(self) -> None:
        self.ports.documents.remove(EVIDENCE_DOCUMENT)
