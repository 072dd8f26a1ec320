"""`plan`: decide whether a run goes on, for whom and on what, and write it down. Trusted; executes nothing of the repository.

It reads the event and asks GitHub. Of GitHub it changes only the acknowledgement: the status comment and the one-shot label.
"""

from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final, TypeVar

from coven_action.core.brief import build_brief, build_memory_facts, freeze_text
from coven_action.core.configuration.config import Config
from coven_action.core.configuration.mistakes import render_mistakes
from coven_action.core.configuration.parsing import parse_config
from coven_action.core.contract.coven_code import audit_instruction
from coven_action.core.documents import (
    FrozenText,
    Plan,
    PlannedFamiliar,
    PlannedLimits,
    Published,
    Target,
    Work,
    write_document,
)
from coven_action.core.isolation import IsolationLevel
from coven_action.core.publication.status_marker import Status, StatusComment, find_status_comment, render_marker
from coven_action.core.publication.targets import (
    Branch,
    branch_prefix,
    check_pull_request,
    decide_issue_target,
    decide_pull_request_target,
    is_branch_of,
)
from coven_action.core.records import format_time, sha256_hex
from coven_action.core.redaction.redactor import Redactor
from coven_action.core.refusals import Refusal
from coven_action.core.trust.context import JobContext
from coven_action.core.trust.edits import decide_late_edits, describe_late_edits, find_late_edits
from coven_action.core.trust.events import Actor, Thread, TriggerEvent, parse_event
from coven_action.core.trust.routing import PRODUCT_COMMAND, VERBS, Route, decide_route
from coven_action.core.trust.run_trust import (
    Contribution,
    RunTrust,
    decide_run_trust,
    judge_author,
    judge_rerun,
    judge_trigger,
)
from coven_action.core.trust.trust import OWN_IDS, Trust, decide_sender, decide_trust, trust_listed_bot
from coven_action.errors import ConfigError, Error
from coven_action.stages.documents import PLAN_DOCUMENT
from coven_action.stages.faults import explain_exception
from coven_action.stages.memory import PlannedPolicy, plan_memory
from coven_action.stages.ports import Clock, Documents, GitHubReader, GitHubWriter, Job, Renderer, TreeSource

CONFIG_PATH: Final = ".github/coven.yml"
LABEL_PREFIX: Final = "coven:"
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class PlanPorts:
    """The outside world of `plan`."""

    clock: Clock
    documents: Documents
    reader: GitHubReader
    writer: GitHubWriter
    renderer: Renderer
    job: Job
    redactor: Redactor
    trees: TreeSource


class _Declined(Exception):  # carries an answer, not an error, out of the sequence below
    def __init__(self, refusal: Refusal) -> None:
        super().__init__(refusal.code)
        self.refusal = refusal


def _accepted(answer: T | Refusal) -> T:
    if isinstance(answer, Refusal):
        raise _Declined(answer)
    return answer


def plan(context: JobContext, payload: Any, *, isolation: IsolationLevel, ports: PlanPorts) -> Plan:
    """Decide, write `plan.json`, acknowledge, and return the plan.

    Args:
        context: The job.
        payload: The decoded webhook payload.
        isolation: The level the workflow demands.
        ports: The outside world.

    Raises:
        Error: Nothing was started; where the one who asked may be told, the status comment says why.
    """
    session = _Session(context, ports, ports.clock.now())
    event = parse_event(context.event_name, payload)
    try:
        decided = session.decide(_accepted(event), isolation)
    except _Declined as declined:
        decided = session.decline(event, declined.refusal)
    except Exception as error:  # told like any other failure, and raised: a bug ends at the error boundary
        if isinstance(event, TriggerEvent):
            session.report_failure(event, explain_exception(error))
        raise
    return decided


@dataclass(frozen=True, slots=True)
class _Decided:
    """What was decided about a run that goes on."""

    config: Config
    config_sha256: str
    route: Route
    trust: RunTrust
    text: FrozenText
    target: Target
    memory: PlannedPolicy


class _Session:
    """One call of `plan`: what it has learned so far."""

    def __init__(self, context: JobContext, ports: PlanPorts, started: datetime) -> None:
        self.context = context
        self.ports = ports
        self.started = started
        self.comment: StatusComment | None = None
        self.comment_was_read = False

    def decide(self, event: TriggerEvent, isolation: IsolationLevel) -> Plan:
        self._check_repository(event)
        config, sha, digest = self._load_config(event)
        _refuse(decide_sender(event.sender, allow_bots=config.allow_bots))
        route = _accepted(decide_route(event, config))
        trust = _accepted(self._decide_trust(event))
        self._read_status_comment(event)
        published = self._find_published()
        if published is not None:
            return self._write(self._build("published", published=published))
        late = self._check_edits(event)
        thread = event.thread or self.ports.reader.get_thread(event.thread_number)
        text = _accepted(freeze_text(event, thread, route.familiar, read_at=format_time(self.started)))
        text = text.model_copy(update={"note": describe_late_edits(late)})
        run_trust = _accepted(self._decide_run_trust(event, trust, text, config))
        target = _accepted(self._decide_target(event, thread, sha))
        memory = self._plan_memory(event, run_trust, config, target, sha)
        chosen = _Decided(config, digest, route, run_trust, text, target, memory)
        work = self._build_work(event, thread, chosen, isolation)
        comment_id = self._acknowledge(work)
        if event.label is not None:
            self.ports.writer.remove_label(event.thread_number, event.label)
        return self._write(self._build("proceed", work=work.model_copy(update={"status_comment_id": comment_id})))

    def _check_repository(self, event: TriggerEvent) -> None:
        """Defensive: GitHub sends the payload of the repository that runs the workflow."""
        if event.repository.id != self.context.repository_id:
            _refuse(
                Refusal(
                    code="other-repository",
                    reason="The event belongs to another repository than the one this job runs in.",
                    quiet=True,
                )
            )
        _refuse(decide_sender(event.sender, allow_bots=(event.sender.id,)))

    def _load_config(self, event: TriggerEvent) -> tuple[Config, str, str]:
        """Return the configuration of the default branch, its commit, and the SHA-256 of its text."""
        sha = self.ports.reader.get_branch_sha(event.repository.default_branch)
        data = self.ports.reader.find_file(CONFIG_PATH, sha)
        if data is None:
            raise ConfigError(
                "missing-config", f"{CONFIG_PATH} does not exist on the branch {event.repository.default_branch}."
            )
        return parse_config(_decode(data), path=CONFIG_PATH), sha, sha256_hex(data)

    def _decide_trust(self, event: TriggerEvent) -> Trust | Refusal:
        if event.sender.is_bot:
            # Only the configuration's own bots have come this far.
            return trust_listed_bot()
        answer = self.ports.reader.find_permission(event.sender.login)
        return decide_trust(event.sender, answer, event.repository)

    def _decide_run_trust(
        self, event: TriggerEvent, trust: Trust, text: FrozenText, config: Config
    ) -> RunTrust | Refusal:
        """Return what everything that feeds this run is trusted with together."""
        contributions = [judge_trigger(trust), self._judge_author(event, trust, text.author)]
        if self.context.task.run_attempt > 1:
            contributions.append(self._judge_rerun(event, trust, config))
        return decide_run_trust(contributions)

    def _judge_author(self, event: TriggerEvent, trust: Trust, author: Actor) -> Contribution:
        if author.id == event.sender.id:
            return Contribution(part="text", scope=trust.scope, may_start=False, reason=trust.reason)
        # What a bot wrote is a stranger's text whatever GitHub would answer, so it is not asked.
        answer = None if author.is_bot else self.ports.reader.find_permission(author.login)
        return judge_author(author, answer, event.repository)

    def _judge_rerun(self, event: TriggerEvent, trust: Trust, config: Config) -> Contribution:
        actor = self.ports.reader.get_triggering_actor(self.context.task.run_id)
        if actor.id == event.sender.id:
            return Contribution(part="re-run", scope=trust.scope, may_start=trust.may_start, reason=trust.reason)
        _refuse(decide_sender(actor, allow_bots=config.allow_bots))
        answer = None if actor.is_bot else self.ports.reader.find_permission(actor.login)
        return judge_rerun(actor, answer, event.repository)

    def _check_edits(self, event: TriggerEvent) -> tuple[str, ...]:
        """Return what was edited since the trigger; a re-run after an edit is declined."""
        if event.triggered_at is None:
            return ()
        comment_node_id = event.comment.node_id if event.comment else ""
        late = find_late_edits(self.ports.reader.find_edits(event.thread_number, comment_node_id), event)
        _refuse(decide_late_edits(late, run_attempt=self.context.task.run_attempt))
        return late

    def _read_status_comment(self, event: TriggerEvent) -> None:
        if not self.comment_was_read:
            self.comment = find_status_comment(self.ports.reader.fetch_comments(event.thread_number), OWN_IDS)
            self.comment_was_read = True

    def _published_tasks(self) -> tuple[str, ...]:
        """Return the keys of the tasks that have published on this thread."""
        return self.comment.status.published_tasks if self.comment and self.comment.status else ()

    def _find_published(self) -> Published | None:
        """Return what an earlier attempt of this same task has published: then there is nothing left to do."""
        status = self.comment.status if self.comment else None
        if status is None or self.context.task.key not in status.published_tasks:
            return None
        if status.pull_request is None or status.head_sha is None or status.branch is None:
            return None
        return Published(
            pull_request=status.pull_request,
            head_sha=status.head_sha,
            branch=status.branch,
            conclusion=status.conclusion or "neutral",
        )

    def _decide_target(self, event: TriggerEvent, thread: Thread, base_sha: str) -> Target | Refusal:
        reader, task = self.ports.reader, self.context.task
        if thread.is_pull_request:
            pull_request = reader.get_pull_request(thread.number)
            refusal = check_pull_request(pull_request, event.repository.id)
            if refusal is not None:
                return refusal
            return decide_pull_request_target(pull_request, reader.get_head(pull_request.head.sha), task)
        return decide_issue_target(
            thread.number,
            task,
            base_ref=event.repository.default_branch,
            base_sha=base_sha,
            branches=self._read_branches(thread.number),
        )

    def _read_branches(self, thread_number: int) -> tuple[Branch, ...]:
        reader = self.ports.reader
        found = reader.find_branches(branch_prefix(thread_number))
        branches = []
        for name, sha in found:
            if is_branch_of(name, thread_number):
                pull_requests = reader.find_pull_requests(name)
                still_open = next((request.number for request in pull_requests if request.state == "open"), None)
                branches.append(
                    Branch(
                        name=name,
                        head=reader.get_head(sha),
                        open_pull_request=still_open,
                        has_pull_request=bool(pull_requests),
                    )
                )
        return tuple(branches)

    def _plan_memory(
        self, event: TriggerEvent, trust: RunTrust, config: Config, target: Target, default_sha: str
    ) -> PlannedPolicy:
        planned = plan_memory(
            build_memory_facts(event.repository, target, trust.scope),
            trust,
            config,
            target,
            default_sha=default_sha,
            today=self.started.date(),
            source=self.ports.trees,
            documents=self.ports.documents,
            redactor=self.ports.redactor,
        )
        for path, mistakes in planned.selection.mistakes.items():
            said = render_mistakes(mistakes, path=path)
            self.ports.job.warning(self.ports.redactor.redact(said))
        return planned

    def _build_work(self, event: TriggerEvent, thread: Thread, decided: _Decided, isolation: IsolationLevel) -> Work:
        config, familiar, memory = decided.config, decided.route.familiar, decided.memory
        brief = build_brief(
            event,
            thread,
            decided.text,
            familiar,
            clone_url=f"{self.context.server.server_url}/{event.repository.full_name}.git",
            memory_policy=memory.policy,
            audit_instruction=None if familiar.runtime == "patch" else audit_instruction(memory=memory.policy.enabled),
        )
        return Work(
            repository=event.repository,
            thread_number=thread.number,
            thread_is_pull_request=thread.is_pull_request,
            trigger=event.described,
            asked_with=decided.route.asked_with,
            asked_by=event.sender,
            text=decided.text,
            familiar=PlannedFamiliar(
                id=familiar.id,
                display_name=familiar.display_name,
                model=familiar.model,
                runtime=familiar.runtime,
                mode=familiar.mode,
                why=decided.route.why,
            ),
            trust=decided.trust,
            limits=PlannedLimits(
                time_seconds=config.limits.time,
                turns=config.limits.turns,
                files=config.limits.files,
                patch_bytes=config.limits.patch,
            ),
            target=decided.target,
            protection=config.protection,
            labels=config.publish.labels,
            brief=brief,
            memory=memory.selection.planned,
            isolation_demanded=isolation,
            configuration_sha256=decided.config_sha256,
            status_comment_id=None,
            published_tasks=self._published_tasks(),
        )

    def _acknowledge(self, work: Work) -> int:
        # The pull request and its head stay remembered while work goes on, so that a failure does not forget them.
        status = Status(
            task=self.context.task,
            state="working",
            branch=work.target.branch,
            pull_request=work.target.pull_request,
            head_sha=work.target.expected_sha if work.target.pull_request is not None else None,
            earlier=work.published_tasks,
        )
        proposal = self._build("proceed", work=work)
        return self._write_comment(
            work.thread_number, "comment_working.md.j2", {"plan": proposal, "since": format_time(self.started)}, status
        )

    def decline(self, event: TriggerEvent | Refusal, refusal: Refusal) -> Plan:
        """Say why nothing is started, and write it down. Never over a comment that stands for other work."""
        decided = self._build("decline", refusal=refusal)
        if isinstance(event, TriggerEvent) and not refusal.quiet:
            self._read_status_comment(event)
            if self.comment is None or _may_be_replaced(self.comment.status):
                self._write_comment(
                    event.thread_number,
                    "comment_declined.md.j2",
                    {"plan": decided, "refusal": refusal},
                    Status(task=self.context.task, state="declined", earlier=self._published_tasks()),
                )
        return self._write(decided)

    def report_failure(self, event: TriggerEvent, error: Error) -> None:
        """Say on the thread that nothing was started, if the one who asked may be answered. The error itself goes on."""
        try:
            if not event.sender.is_bot and _is_addressed(event, error) and isinstance(self._decide_trust(event), Trust):
                # A comment whose creation failed may be there all the same: without a second look there would be two.
                self.comment_was_read = self.comment is not None
                self._read_status_comment(event)
                before = self.comment.status if self.comment else None
                self._write_comment(
                    event.thread_number,
                    "comment_failed.md.j2",
                    {"error": error, "run_url": self._run_url(), "pull_request": before and before.pull_request},
                    self._build_failed_status(before),
                )
        except Exception as second:  # noqa: BLE001 - it must not hide the first one, which goes on
            told = explain_exception(second)
            self.ports.job.warning(self.ports.redactor.redact(f"the thread could not be told: {told}"))

    def _build_failed_status(self, before: Status | None) -> Status:
        """Return what the thread remembers of a start that failed: that, and all it remembered before."""
        if before is None:
            return Status(task=self.context.task, state="failed")
        kept = {"task": self.context.task, "state": "failed", "earlier": before.published_tasks}
        return before.model_copy(update=kept)

    def _run_url(self) -> str:
        context, task = self.context, self.context.task
        base = f"{context.server.server_url}/{context.repository}"
        return f"{base}/actions/runs/{task.run_id}/attempts/{task.run_attempt}"

    def _write_comment(self, number: int, template: str, values: dict[str, Any], status: Status) -> int:
        markdown = self.ports.renderer.render(template, {**values, "marker": render_marker(status)})
        body = self.ports.redactor.redact(markdown)
        if self.comment is None:
            comment_id = self.ports.writer.create_comment(number, body)
            self.comment = StatusComment(comment_id=comment_id, status=status)
            return comment_id
        self.ports.writer.update_comment(self.comment.comment_id, body)
        return self.comment.comment_id

    def _build(self, decision: Any, **parts: Any) -> Plan:
        now = self.ports.clock.now()
        return Plan(
            task=self.context.task,
            repository_name=self.context.repository,
            server=self.context.server,
            decision=decision,
            planned_at=format_time(now),
            seconds=round((now - self.started).total_seconds(), 3),
            **parts,
        )

    def _write(self, decided: Plan) -> Plan:
        data = write_document(decided)
        self.ports.documents.write(PLAN_DOCUMENT, data)
        redact = self.ports.redactor.redact
        self.ports.job.append_summary(redact(self.ports.renderer.render("summary_plan.md.j2", {"plan": decided})))
        self.ports.job.set_output("plan-sha256", redact(sha256_hex(data)))
        # Last: the later stages start by this output, and only where nothing of `plan` can fail any more.
        self.ports.job.set_output("decision", redact(decided.decision))
        return decided


def _may_be_replaced(status: Status | None) -> bool:
    """Whether a comment may give way to a decline: it stands for no pull request and for no work under way."""
    return status is not None and status.state in {"declined", "nothing"} and status.pull_request is None


def _is_addressed(event: TriggerEvent, error: Error) -> bool:
    """Whether the one who caused the event waits for an answer.

    Without a configuration nobody knows which labels and names mean a familiar: then only what bears our name, or our
    verb, is answered. Whoever applies the label `bug` did not ask for anything.
    """
    if not isinstance(error, ConfigError):
        return True
    if event.command is not None:
        return event.command.addressee == PRODUCT_COMMAND or event.command.verb in VERBS
    return (event.label is None and event.assignee is None) or (event.label or "").startswith(LABEL_PREFIX)


def _decode(data: bytes) -> str:
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError as error:
        raise ConfigError("invalid-config", f"{CONFIG_PATH} is not UTF-8 at byte {error.start}.") from error


def _refuse(refusal: Refusal | None) -> None:
    if refusal is not None:
        raise _Declined(refusal)
