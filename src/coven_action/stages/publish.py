"""`publish`: verify everything, then push, open the draft pull request, write the Check Run and the one comment. Trusted.

It works in a clone of its own and executes nothing of the agent's. Whatever goes wrong on the way ends as a failure that
names the stage: nothing concludes well by default. Rendering happens first, redaction last, and what leaves is `Redacted`.
"""

from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Final

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
from coven_action.core.publication.endings import ENDINGS, Ending, EndingRule, decide_ending
from coven_action.core.publication.publication import (
    CHECK_RUN_NAME,
    DRAFT_LABEL,
    REVIEW_LABEL,
    batch_annotations,
    build_annotations,
    build_commit_message,
    build_rows,
    check_title,
    decide_title,
)
from coven_action.core.records import format_time, sha256_hex
from coven_action.core.redaction.patch import redact_patch
from coven_action.core.redaction.values import find_kinds, redact_record
from coven_action.core.verification.changes import ChangedFile, DiffStatistics, measure
from coven_action.core.verification.protected_paths import find_needing_review
from coven_action.core.verification.verification import (
    Facts,
    describe_protection,
    describe_secrets,
    find_added_text,
    find_refusal,
    verify,
)
from coven_action.errors import DocumentError, GitError
from coven_action.stages.documents import (
    BUNDLE_FILE,
    EVIDENCE_DOCUMENT,
    OUTCOME_DOCUMENT,
    PATCH_FILE,
    PLAN_DOCUMENT,
    check_digest,
    check_task,
)
from coven_action.stages.faults import build_fault, explain_exception, is_bug
from coven_action.stages.memory import JudgedMemory, judge_memory, write_proposed_files
from coven_action.stages.ports import (
    PublicationRepository,
)
from coven_action.stages.telling import Progress, PublishPorts, Telling

PUBLICATION_FOLDER: Final = "publication"


@dataclass(frozen=True, slots=True)
class Digests:
    """The digests that the workflow handed over; None where it handed over none."""

    plan: str | None
    outcome: str | None


def publish(task: TaskIdentity, *, digests: Digests, ports: PublishPorts) -> int:
    """Verify and publish what the run left, and return the exit code of the job.

    Args:
        task: This run, from the environment.
        digests: What the workflow says the documents must be.
        ports: The outside world.

    Raises:
        DocumentError: The plan is missing, altered, or of another run: then there is nobody to tell but the log.
    """
    data = ports.documents.read(PLAN_DOCUMENT, MAXIMUM_DOCUMENT_BYTES)
    check_digest(data, digests.plan, PLAN_DOCUMENT)
    plan = parse_plan(data)
    check_task(plan.task, task, PLAN_DOCUMENT)
    if plan.work is None:
        _repeat_outputs(plan, ports)
        return 0
    return _Session(plan, plan.work, sha256_hex(data), ports).publish(digests.outcome)


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


@dataclass(frozen=True, slots=True)
class _Observed:
    """What our own clone shows."""

    files: tuple[ChangedFile, ...] = ()
    statistics: DiffStatistics = field(default_factory=DiffStatistics)
    verdicts: tuple[Verdict, ...] = ()
    tip: str | None = None
    patch: bytes = b""


class _Session:
    """One call of `publish`: what it has learned and done so far."""

    def __init__(self, plan: Plan, work: Work, plan_sha256: str, ports: PublishPorts) -> None:
        self.plan = plan
        self.work = work
        self.plan_sha256 = plan_sha256
        self.ports = ports
        self.started = ports.clock.now()
        self.progress = Progress()
        self.telling = Telling(plan, work, self.progress, ports)
        self.said_memory: Outcome | None = None
        self.memory: JudgedMemory | None = None
        self.said_secrets: frozenset[str] = frozenset()
        self.kept_patch = b""
        self.outcome_sha256: str | None = None
        self.observed = _Observed()
        self.notes: list[str] = []
        self.evidence: Evidence | None = None
        self.fault: Fault | None = None

    def publish(self, outcome_digest: str | None) -> int:
        try:
            self.ports.documents.remove(EVIDENCE_DOCUMENT)
            self.kept_patch = self._take_patch()
            ending, self.fault = self._proceed(outcome_digest)
            # The Check Run names the digest of the evidence it was rendered from: that evidence stands unless a fault followed.
            self._tell(self.evidence or self._build_evidence(ending, self.fault), ENDINGS[ending])
        except Exception as error:  # told by every way that is left; a bug goes on to the error boundary
            self._tell_failure(error)
            if is_bug(error):
                raise
            return ENDINGS[Ending.FAULT].exit_code
        return ENDINGS[ending].exit_code

    def _proceed(self, outcome_digest: str | None) -> tuple[Ending, Fault | None]:
        fault = self._read_outcome(outcome_digest)
        outcome = self.progress.outcome
        if outcome is None or fault is not None:
            return Ending.FAULT, fault
        repository = self._observe(outcome)
        self._judge_memory(repository)
        refusal = find_refusal(self.observed.verdicts)
        ending = decide_ending(outcome, outcome.fault, has_changes=self._has_changes(outcome), refusal=refusal)
        if ending is Ending.PUBLISHED and repository is not None:
            if self._push(repository):
                self._open_pull_request()
                self._propose_memory()
                self.evidence = self._build_evidence(ending, None)
                self._write_check_run(self.evidence)
                return ending, None
            ending = Ending.STALE
        if self.observed.patch:
            self._keep_patch()
        return ending, outcome.fault

    def _read_outcome(self, digest: str | None) -> Fault | None:
        """Read what `run` left. That it left nothing usable is a fault of `run`, told like any other."""
        try:
            data = self.ports.documents.read(OUTCOME_DOCUMENT, MAXIMUM_DOCUMENT_BYTES)
            check_digest(data, digest, OUTCOME_DOCUMENT)
            outcome = parse_outcome(data)
            check_task(outcome.task, self.plan.task, OUTCOME_DOCUMENT)
            self._check_plan(outcome)
        except DocumentError as error:
            return Fault(stage="run", code=error.code, message=error.message, remedy=error.remedy)
        self.outcome_sha256 = sha256_hex(data)
        self.said_memory = outcome
        said = [outcome.hand_off.title, outcome.hand_off.body]
        self.said_secrets = find_kinds(said, self.ports.redactor) | frozenset(outcome.secrets)
        self.progress.outcome = redact_record(outcome, self.ports.redactor)
        return self.progress.outcome.fault

    def _judge_memory(self, repository: PublicationRepository | None) -> None:
        """Judge the memory part. Whatever is rejected there changes nothing of how the task ends."""
        said, tip = self.said_memory, self.observed.tip
        if said is None:
            return

        def read_file(path: str) -> bytes | None:
            return repository.read_file(tip, path, MAX_CITED_FILE_BYTES) if repository and tip else None

        self.memory = judge_memory(self.work, said, read_file, self.ports.redactor)

    def _propose_memory(self) -> None:
        number = self.progress.pull_request.number if self.progress.pull_request else self.work.target.pull_request
        if self.memory is not None:
            write_proposed_files(
                self.memory,
                self.work,
                run_id=self.plan.task.run_id,
                pull_request=number,
                today=self.started.date(),
                documents=self.ports.documents,
                redactor=self.ports.redactor,
            )

    def _has_changes(self, outcome: Outcome) -> bool:
        return self.observed.tip is not None or bool(outcome.secrets)

    def _check_plan(self, outcome: Outcome) -> None:
        if outcome.plan_sha256 != self.plan_sha256:
            raise DocumentError("document-altered", "The run worked on another plan.", place=OUTCOME_DOCUMENT)

    def _observe(self, outcome: Outcome) -> PublicationRepository | None:
        """Look at the result in a clone of our own, and verify it."""
        if outcome.tip_sha is None or outcome.bundle_sha256 is None:
            if outcome.secrets:
                # `run` knows secrets that this stage does not; it kept the change, and left its patch, redacted.
                verdict = Verdict(step="secrets", passed=False, finding=describe_secrets(outcome.secrets))
                self.observed = replace(self.observed, verdicts=(verdict,), patch=self.kept_patch)
            return None
        if self.ports.documents.measure(BUNDLE_FILE).sha256 != outcome.bundle_sha256:
            raise DocumentError("document-altered", "The bundle is not the one the run wrote.", place=BUNDLE_FILE)
        target, limits = self.work.target, self.work.limits
        repository = self.ports.repositories.clone(
            self.ports.documents.make_folder(PUBLICATION_FOLDER), target.base_sha
        )
        tip = repository.import_bundle(self.ports.documents.folder / BUNDLE_FILE)
        files = repository.list_changes(tip)
        patch = repository.read_patch(tip, limits.patch_bytes)
        statistics = measure(files, len(patch))
        facts = Facts(
            files=files,
            statistics=statistics,
            limits=limits,
            tip_parents=repository.list_parents(tip),
            base_sha=target.base_sha,
            secrets=self._find_secrets(patch, files),
            target_moved=self._find_movement(repository),
            protection=self.work.protection,
        )
        self.notes.extend(describe_protection(files, self.work.protection))
        self.observed = _Observed(
            files=files, statistics=statistics, verdicts=verify(facts), tip=tip if files else None, patch=patch
        )
        return repository

    def _find_secrets(self, patch: bytes, files: tuple[ChangedFile, ...]) -> tuple[str, ...]:
        """Return the kinds of secrets in what would be published: added lines, file names, and the agent's texts."""
        texts = (find_added_text(patch.decode("utf-8", "replace")), "\n".join(file.path for file in files))
        return tuple(sorted(self.said_secrets | find_kinds(texts, self.ports.redactor)))

    def _find_movement(self, repository: PublicationRepository) -> str | None:
        target = self.work.target
        return None if repository.find_remote_sha(target.branch) == target.expected_sha else self._describe_movement()

    def _describe_movement(self) -> str:
        return f"the branch {self.work.target.branch} was changed by somebody else during the run"

    def _take_patch(self) -> bytes:
        """Return the patch that `run` kept, if any. What lies there is not uploaded unless it has been covered by us too."""
        try:
            return self.ports.documents.read(PATCH_FILE, 2 * self.work.limits.patch_bytes)
        except DocumentError:
            return b""
        finally:
            self.ports.documents.remove(PATCH_FILE)

    def _keep_patch(self) -> None:
        """Leave the work for a maintainer, redacted, where it is not published."""
        self.ports.documents.write(PATCH_FILE, redact_patch(self.observed.patch, self.ports.redactor).encode())
        self.notes.append(f"The patch was not published; it is kept, redacted, as {PATCH_FILE} in the run's artifacts.")

    def _push(self, repository: PublicationRepository) -> bool:
        """Push one commit; False where somebody else has changed the branch since we looked."""
        redact = self.ports.redactor.redact
        message = build_commit_message(self._title(), self.work, self.plan.task)
        commit = repository.commit(
            self.observed.tip or "", redact(message), author=self.work.familiar.display_name, at=self.started
        )
        target = self.work.target
        self.progress.has_pushed = True
        try:
            repository.push(commit, target.branch, expected_sha=target.expected_sha)
        except GitError:
            current = repository.find_remote_sha(target.branch)
            self.progress.has_pushed = current == commit
            if current == target.expected_sha:
                raise
            if self.progress.has_pushed:
                # Only the answer was lost.
                self.progress.head_sha = commit
                return True
            stale = Verdict(step="freshness", passed=False, finding=self._describe_movement())
            verdicts = tuple(stale if verdict.step == stale.step else verdict for verdict in self.observed.verdicts)
            self.observed = replace(self.observed, verdicts=verdicts)
            return False
        self.progress.head_sha = commit
        return True

    def _open_pull_request(self) -> None:
        title = self.telling.redact(self._title())
        body = self.telling.render_pull_request_body(self._build_evidence(Ending.PUBLISHED, None))
        target, writer = self.work.target, self.ports.writer
        labels = list(self.work.labels)
        if find_needing_review(self.observed.files):
            labels.append(REVIEW_LABEL)
        if target.pull_request is not None:
            # What is asked on a pull request is a part of it: its title stays.
            new_title = None if self.work.thread_is_pull_request else title
            pull_request = writer.update_pull_request(target.pull_request, title=new_title, body=body)
        else:
            pull_request, is_draft = writer.create_pull_request(
                title=title, body=body, head=target.branch, base=target.base_ref
            )
            if not is_draft:
                labels.append(DRAFT_LABEL)
                self.notes.append(
                    f"This repository offers no draft pull requests; the label {DRAFT_LABEL} stands in for the state."
                )
        self.progress.pull_request = pull_request
        if labels:
            writer.add_labels(pull_request.number, [self.telling.redact(label) for label in labels])

    def _write_check_run(self, evidence: Evidence) -> None:
        writer, head_sha, pull_request = self.ports.writer, self.progress.head_sha, self.progress.pull_request
        if head_sha is None or pull_request is None:
            raise AssertionError("a Check Run is written only once the pull request exists")
        summary, text = self.telling.render_check(evidence)
        annotations = [
            [(annotation, self.telling.redact(annotation.message)) for annotation in batch]
            for batch in batch_annotations(build_annotations(evidence.files))
        ]
        check_run_id = writer.create_check_run(
            head_sha=head_sha,
            name=CHECK_RUN_NAME,
            external_id=self.plan.task.external_id,
            conclusion=evidence.conclusion,
            title=self.telling.redact(check_title(self.work.familiar.display_name, evidence.title)),
            summary=summary,
            text=text,
            annotations=annotations,
        )
        self.progress.check_run_id = check_run_id
        self._supersede(head_sha)

    def _supersede(self, head_sha: str) -> None:
        """Conclude the checks of the heads that were replaced: they speak of commits that are no longer the newest.

        These are the head that this push moved and, after an attempt that failed between its push and this point, the one
        below it.
        """
        target, writer = self.work.target, self.ports.writer
        heads = {target.expected_sha, target.base_sha if target.pull_request is not None else None}
        title = self.telling.redact(f"superseded by {head_sha[:12]}")
        summary = self.telling.redact(f"A later task pushed {head_sha} to this branch. Its Check Run has the evidence.")
        for replaced in sorted(head for head in heads if head is not None and head != head_sha):
            for check_run_id in writer.find_check_runs(replaced, CHECK_RUN_NAME):
                writer.supersede_check_run(check_run_id, title=title, summary=summary)

    def _build_evidence(self, ending: Ending, fault: Fault | None) -> Evidence:
        rule, outcome, pushed, target = ENDINGS[ending], self.progress.outcome, self.progress, self.work.target
        now = self.ports.clock.now()
        number = pushed.pull_request.number if pushed.pull_request else target.pull_request
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
            ),
            files=self.observed.files,
            statistics=self.observed.statistics,
            isolation=outcome.isolation if outcome else None,
            memory=self.memory.evidence if self.memory else None,
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
        return (
            StageTime(stage="plan", seconds=self.plan.seconds),
            StageTime(stage="run", seconds=round(run, 3)),
            StageTime(stage="publish", seconds=round((now - self.started).total_seconds(), 3)),
        )

    def _tell(self, evidence: Evidence, rule: EndingRule) -> None:
        for tell in self.telling.ways(evidence, rule):
            tell()

    def _tell_failure(self, error: Exception) -> None:
        """Say that it failed by every way that is left: one that fails as well is named in the log and stops no other."""
        if self.fault is None:
            self.fault = build_fault("publish", error)
        else:
            self.notes.append(f"The failure could not be told everywhere: {explain_exception(error)}")
        evidence = self._build_evidence(Ending.FAULT, self.fault)
        for tell in (self._forget_evidence, *self.telling.ways(evidence, ENDINGS[Ending.FAULT])):
            try:
                tell()
            except Exception as second:  # noqa: BLE001 - it must not hide the first one, nor keep the others from being told
                self.ports.job.warning(
                    self.telling.redact(f"the failure could not be told: {explain_exception(second)}")
                )

    def _forget_evidence(self) -> None:
        self.ports.documents.remove(EVIDENCE_DOCUMENT)

    def _title(self) -> str:
        outcome = self.progress.outcome
        if outcome is None:
            raise AssertionError("a title is needed only where there is an outcome")
        return decide_title(outcome.hand_off, self.work)
