"""Tell people how a task ended: comment, evidence, annotation, summary, outputs; and the texts of pull request and check.

Everything is a rendering of one `Evidence`. Rendering happens first, redaction last, and what leaves is `Redacted`.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any, Final

from coven_action.core.checks.conclusion import describe_claims
from coven_action.core.documents import Evidence, Outcome, Plan, Work
from coven_action.core.endpoint.planned import PlannedHistory
from coven_action.core.platform_limits import CHECK_SUMMARY, COMMENT_BODY, PULL_REQUEST_BODY, STEP_SUMMARY_BYTES
from coven_action.core.publication.endings import ENDINGS, PUBLISHED_ENDINGS, Ending, EndingRule
from coven_action.core.publication.status_marker import Status, render_marker
from coven_action.core.publication.targets import PullRequest, find_thread_number
from coven_action.core.records import sha256_hex
from coven_action.core.redaction.redactor import Redacted, Redactor
from coven_action.core.redaction.values import render_redacted
from coven_action.core.sanitising.sanitiser import cut_text
from coven_action.core.verification.verification import find_refusal
from coven_action.errors import GitHubError
from coven_action.stages.documents import EVIDENCE_DOCUMENT
from coven_action.stages.history import History
from coven_action.stages.ports import (
    Clock,
    Documents,
    GitHubWriter,
    Job,
    KeptOutboxes,
    PublicationRepositories,
    Renderer,
    Witness,
)

CUT_NOTE: Final = "\n\n*Cut here: GitHub shows no more. The rest is in the run's artifacts.*\n"
# Room for our own last lines when a text has to be cut.
MARGIN: Final = 2_000
LOGGED_SUMMARY: Final = 2_000


@dataclass(frozen=True, slots=True)
class PublishPorts:
    """The outside world of `publish`."""

    clock: Clock
    documents: Documents
    repositories: PublicationRepositories
    writer: GitHubWriter
    renderer: Renderer
    job: Job
    redactor: Redactor
    connect: Callable[[PlannedHistory], History]
    witness: Witness
    open_outboxes: Callable[[], KeptOutboxes]
    app_bot_id: int | None = None
    """Of the App's bot account, where the workflow uses the token of an App of its own."""


@dataclass(slots=True)
class Progress:
    """How far a task has come. Kept current, so that a fault can be told for what it is.

    Attributes:
        outcome: What `run` left, covered; None before it was read.
        head_sha: The commit that was pushed.
        pull_request: The one it went to.
        check_run_id: Of the Check Run on that commit.
        has_pushed: From the moment of the push on, nobody can say that nothing was published: its answer may be lost.
    """

    outcome: Outcome | None = None
    head_sha: str | None = None
    pull_request: PullRequest | None = None
    check_run_id: int | None = None
    has_pushed: bool = False


class Telling:
    """Renders and says what `publish` has to say about one task."""

    def __init__(self, plan: Plan, work: Work, progress: Progress, ports: PublishPorts) -> None:
        self.plan = plan
        self.work = work
        self.progress = progress
        self.ports = ports
        self.rendered: tuple[Evidence, Redacted] | None = None

    def ways(self, evidence: Evidence, rule: EndingRule) -> tuple[Callable[[], None], ...]:
        """Return everything that is to be said, in order.

        The comment comes first, so that nothing on the runner speaks of a publication that GitHub does not show in full;
        the conclusion comes last, so that no later step reads one that could not be kept.
        """
        return (
            partial(self._tell_thread, evidence, rule),
            partial(self._leave_evidence, evidence),
            partial(self._annotate, evidence),
            partial(self._summarise, evidence),
            partial(self._set_outputs, evidence),
        )

    def render_pull_request_body(self, evidence: Evidence) -> Redacted:
        """Return the text of the pull request."""
        return self._render("pull_request.md.j2", self._values(evidence), PULL_REQUEST_BODY)

    def render_check(self, evidence: Evidence) -> tuple[Redacted, Redacted]:
        """Return summary and text of the Check Run."""
        values = self._values(evidence)
        return (
            self._render("check_summary.md.j2", values, CHECK_SUMMARY),
            self._render("check_text.md.j2", values, CHECK_SUMMARY),
        )

    def render_refusal_check(self, evidence: Evidence) -> Redacted:
        """Return what the Check Run of a result says that is not published. One text: all of it can be replaced."""
        return self._render("check_refused.md.j2", self._values(evidence), CHECK_SUMMARY)

    def _tell_thread(self, evidence: Evidence, rule: EndingRule) -> None:
        if self.work.status_comment_id is not None:
            status = self._build_status(rule.state, evidence)
            self._write_comment(self.work.status_comment_id, self._render_with_marker(self._values(evidence), status))

    def _leave_evidence(self, evidence: Evidence) -> None:
        self.ports.documents.leave(self.redact(EVIDENCE_DOCUMENT), self._render_evidence(evidence))

    def _render_evidence(self, evidence: Evidence) -> Redacted:
        """Return the text of `evidence.json`: kept, because every rendering names its digest."""
        if self.rendered is None or self.rendered[0] is not evidence:
            self.rendered = evidence, render_redacted(evidence, self.ports.redactor)
        return self.rendered[1]

    def find_digest(self, evidence: Evidence) -> str:
        """Return the SHA-256 of `evidence.json`."""
        return sha256_hex(self._render_evidence(evidence).encode())

    def _annotate(self, evidence: Evidence) -> None:
        job, rule = self.ports.job, ENDINGS[Ending(evidence.ending)]
        if evidence.fault is not None:
            fault = evidence.fault
            job.error(self.redact(f"{fault.stage}: [{fault.code}] {fault.message} {fault.remedy}"))
        elif rule.conclusion == "failure" and self.progress.outcome is not None:
            # Without a fault of anything around the work: the log says all the same what failed, though a pull request carry it.
            said = _find_failed_checks(evidence) or cut_text(self.progress.outcome.summary, LOGGED_SUMMARY)
            tell = job.error if rule.exit_code else job.warning
            tell(self.redact(f"{self.work.familiar.display_name} {evidence.title}: {said}"))

    def _summarise(self, evidence: Evidence) -> None:
        values = self._values(evidence)
        self.ports.job.append_summary(self._render("summary_publish.md.j2", values, STEP_SUMMARY_BYTES // 4))

    def _write_comment(self, comment_id: int, body: Redacted) -> None:
        try:
            self.ports.writer.update_comment(comment_id, body)
        except GitHubError as error:
            # Somebody has removed it meanwhile. Without it a re-run would not recognise what was published.
            if error.code != "not-found":
                raise
            self.ports.writer.create_comment(self.work.thread_number, body)

    def _build_status(self, state: Any, evidence: Evidence) -> Status:
        target = self.work.target
        # Where nothing was pushed, an open pull request keeps the head it had.
        kept = target if evidence.head_sha is None and target.pull_request is not None else None
        return Status(
            task=self.plan.task,
            state=state,
            branch=kept.branch if kept else evidence.branch,
            head_sha=kept.expected_sha if kept else evidence.head_sha,
            pull_request=evidence.pull_request,
            check_run_id=self.progress.check_run_id,
            conclusion=evidence.conclusion,
            earlier=self.work.published_tasks,
        )

    def _set_outputs(self, evidence: Evidence) -> None:
        for name, value in (
            ("pull-request-number", str(evidence.pull_request or "")),
            ("pull-request-url", evidence.pull_request_url or ""),
            ("branch", evidence.branch or ""),
            ("head-sha", evidence.head_sha or ""),
            ("evidence-path", str(self.ports.documents.folder / EVIDENCE_DOCUMENT)),
            ("conclusion", evidence.conclusion),
        ):
            self.ports.job.set_output(name, self.redact(value))

    def _values(self, evidence: Evidence) -> dict[str, Any]:
        """Return what the templates may show."""
        checks = evidence.checks
        return {
            "plan": self.plan,
            "work": self.work,
            "outcome": self.progress.outcome,
            "evidence": evidence,
            "evidence_sha256": self.find_digest(evidence),
            "refusal": find_refusal(evidence.verdicts),
            "is_published": Ending(evidence.ending) in PUBLISHED_ENDINGS,
            "failing": [row for row in checks.rows if row.standing != "passed"] if checks else [],
            "claimed": describe_claims(checks.claimed) if checks else "",
            "claims_otherwise": checks is not None and any(row.agrees is False for row in checks.claimed),
            "is_draft": self.progress.pull_request is not None and self.progress.pull_request.draft,
            "closes": find_thread_number(self.work.target.branch),
            "untouched": not self.progress.has_pushed,
            "by_comment": self.plan.task.event_name == "issue_comment",
        }

    def _render_with_marker(self, values: dict[str, Any], status: Status) -> Redacted:
        # The marker stands first, so that cutting a long text can never take it away.
        return self._render("comment_done.md.j2", {**values, "marker": render_marker(status)}, COMMENT_BODY)

    def _render(self, template: str, values: dict[str, Any], limit: int) -> Redacted:
        redacted = self.redact(self.ports.renderer.render(template, values))
        if len(redacted) <= limit:
            return redacted
        # Covering a secret can lengthen a text: it is cut with room to spare, and covered again as a whole.
        return self.redact(cut_text(redacted, limit - MARGIN, CUT_NOTE))

    def redact(self, text: str) -> Redacted:
        """Cover what looks like a secret, and every value this stage was given."""
        return self.ports.redactor.redact(text)


def _find_failed_checks(evidence: Evidence) -> str:
    """Return which checks decided that the task ended badly; "" where none did."""
    if Ending(evidence.ending) not in {Ending.FAILING, Ending.CHECKS_FAILED}:
        return ""
    return next(verdict.finding for verdict in evidence.verdicts if verdict.step == "evidence")
