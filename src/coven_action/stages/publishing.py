"""Push a verified result, open or update its pull request, and write its Check Run. What leaves is `Redacted`."""

from datetime import datetime
from typing import Final

from coven_action.core.documents import Evidence, Plan, Work
from coven_action.core.publication.publication import (
    CHECK_RUN_NAME,
    DRAFT_LABEL,
    REFUSAL_CHECK_RUN_NAME,
    REVIEW_LABEL,
    batch_annotations,
    build_annotations,
    build_commit_message,
    check_title,
    decide_title,
    may_lose_review_label,
)
from coven_action.core.publication.targets import PullRequest
from coven_action.core.redaction.redactor import Redacted
from coven_action.core.trust.trust import list_own_ids
from coven_action.core.verification.changes import ChangedFile
from coven_action.core.verification.protected_paths import find_needing_review
from coven_action.errors import GitError
from coven_action.stages.ports import PublicationRepository
from coven_action.stages.telling import Progress, PublishPorts, Telling

NO_DRAFTS: Final = f"This repository offers no draft pull requests; the label {DRAFT_LABEL} stands in for the state."


class Publishing:
    """Publishes one result, and keeps `progress` current with every deed."""

    def __init__(self, plan: Plan, work: Work, progress: Progress, telling: Telling, ports: PublishPorts) -> None:
        self.plan = plan
        self.work = work
        self.progress = progress
        self.telling = telling
        self.ports = ports

    def push(self, repository: PublicationRepository, tip: str, at: datetime) -> bool:
        """Push one commit; False where somebody else has changed the branch since we looked."""
        message = self.telling.redact(build_commit_message(self._title(), self.work, self.plan.task))
        commit = repository.commit(tip, message, author=self.work.familiar.display_name, at=at)
        target = self.work.target
        self.progress.has_pushed = True
        try:
            repository.push(commit, target.branch, expected_sha=target.expected_sha)
        except GitError:
            (current,) = repository.find_remote_shas((target.branch,))
            self.progress.has_pushed = current == commit
            if current == target.expected_sha:
                raise
            if not self.progress.has_pushed:
                return False
            # Only the answer was lost.
        self.progress.head_sha = commit
        return True

    def open_pull_request(self, files: tuple[ChangedFile, ...], body: Redacted) -> tuple[str, ...]:
        """Open the draft pull request, or update the open one, with its labels; return what people are told of it."""
        title = self.telling.redact(self._title())
        target, writer = self.work.target, self.ports.writer
        notes: tuple[str, ...] = ()
        labels = [*self.work.labels, *([REVIEW_LABEL] if find_needing_review(files) else [])]
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
                notes = (NO_DRAFTS,)
        self.progress.pull_request = pull_request
        if labels:
            writer.add_labels(pull_request.number, [self.telling.redact(label) for label in labels])
        if REVIEW_LABEL not in labels:
            self._take_review_label(pull_request)
        return notes

    def _take_review_label(self, pull_request: PullRequest) -> None:
        """Take our label off a pull request that no longer changes what it was put there for. A person's label stays."""
        writer, number = self.ports.writer, pull_request.number
        if not pull_request.has_label(REVIEW_LABEL):
            return
        if writer.find_labeller(number, REVIEW_LABEL) not in list_own_ids(self.ports.app_bot_id):
            return
        if may_lose_review_label(writer.find_changed_paths(number)):
            writer.remove_label(number, REVIEW_LABEL)

    def write_check_run(self, evidence: Evidence) -> None:
        """Write the Check Run on the head that was pushed, and conclude those of the heads it replaces."""
        writer, head_sha = self.ports.writer, self.progress.head_sha
        if head_sha is None:
            raise AssertionError("a Check Run is written only once the commit is pushed")
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

    def write_refusal_check(self, evidence: Evidence) -> None:
        """Say on the head of the open pull request, beside what its own Check Run says, that a result is not published.

        That is the head as it is now: a result is stale mostly because somebody has pushed. A re-run of the same task says it
        again in the same place.
        """
        writer, number = self.ports.writer, self.work.target.pull_request
        pull_request = None if number is None else writer.get_pull_request(number)
        if pull_request is None or pull_request.state != "open":
            return
        title = self.telling.redact(check_title(self.work.familiar.display_name, evidence.title))
        summary = self.telling.render_refusal_check(evidence)
        head_sha, task = pull_request.head.sha, self.plan.task.key
        earlier = writer.find_check_runs(head_sha, REFUSAL_CHECK_RUN_NAME, external_id=task)
        if earlier:
            writer.supersede_check_run(earlier[0], title=title, summary=summary)
            return
        writer.create_check_run(
            head_sha=head_sha,
            name=REFUSAL_CHECK_RUN_NAME,
            external_id=task,
            conclusion=evidence.conclusion,
            title=title,
            summary=summary,
            text=self.telling.redact(""),
            annotations=((),),
        )

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

    def _title(self) -> str:
        outcome = self.progress.outcome
        if outcome is None:
            raise AssertionError("a title is needed only where there is an outcome")
        return decide_title(outcome.hand_off, self.work)
