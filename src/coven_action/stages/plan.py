"""`plan`: decide whether a run goes on, for whom and on what, and write it down. Trusted; executes nothing of the repository.

It reads the event and asks GitHub. Of GitHub it changes only the acknowledgement: the status comment and the one-shot label.
"""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from coven_action.core.brief import build_brief, build_memory_facts, freeze_text
from coven_action.core.configuration.config import Config
from coven_action.core.configuration.document import Hosted
from coven_action.core.configuration.mistakes import render_mistakes
from coven_action.core.configuration.parsing import parse_config
from coven_action.core.contract.coven_code import audit_instruction
from coven_action.core.documents import (
    FrozenText,
    Plan,
    PlannedFamiliar,
    PlannedLimits,
    Target,
    Work,
    write_document,
)
from coven_action.core.endpoint.bundle_selection import add_bundle, list_stale
from coven_action.core.endpoint.reports import build_bundle_request, build_run_report
from coven_action.core.isolation import IsolationLevel
from coven_action.core.memory.grants import EndpointGrant
from coven_action.core.memory.policy import MemoryFacts
from coven_action.core.publication.status_marker import Status
from coven_action.core.records import format_time, sha256_hex
from coven_action.core.redaction.redactor import Redactor
from coven_action.core.refusals import Refusal
from coven_action.core.trust.context import JobContext
from coven_action.core.trust.edits import describe_late_edits
from coven_action.core.trust.events import Thread, TriggerEvent, parse_event
from coven_action.core.trust.routing import PRODUCT_COMMAND, VERBS, Route, decide_route
from coven_action.core.trust.run_trust import RunTrust
from coven_action.core.trust.trust import Trust, decide_sender
from coven_action.errors import ConfigError, Error
from coven_action.stages.asking import check_edits, find_run_trust, find_trust
from coven_action.stages.declining import Declined, accept, decline_for
from coven_action.stages.documents import PLAN_DOCUMENT
from coven_action.stages.faults import explain_exception
from coven_action.stages.history import History, PlanConversation, check_jobs, open_conversation
from coven_action.stages.memory import PlannedPolicy, plan_memory
from coven_action.stages.ports import Clock, Documents, GitHubReader, GitHubWriter, Job, Renderer, TreeSource, Witness
from coven_action.stages.refusing import tell_refusal
from coven_action.stages.status_comment import ThreadStatus, build_unstarted_status
from coven_action.stages.targeting import find_target

CONFIG_PATH: Final = ".github/coven.yml"
LABEL_PREFIX: Final = "coven:"


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
    connect: Callable[[Hosted], History]
    witness: Witness


@dataclass(frozen=True, slots=True)
class Demands:
    """What the workflow says of itself.

    Args:
        isolation: The level it demands.
        one_job: Whether all stages run in this job.
        installation_id: Of the customer's own App, where its workflow uses one.
        app_bot_id: Of that App's bot account: what it writes is ours.
    """

    isolation: IsolationLevel
    one_job: bool = False
    installation_id: int | None = None
    app_bot_id: int | None = None


def plan(context: JobContext, payload: Any, *, demands: Demands, ports: PlanPorts) -> Plan:
    """Decide, write `plan.json`, acknowledge, and return the plan.

    Args:
        context: The job.
        payload: The decoded webhook payload.
        demands: What the workflow says of itself.
        ports: The outside world.

    Raises:
        Error: Nothing was started; where the one who asked may be told, the status comment says why.
    """
    session = _Session(context, ports, ports.clock.now(), demands.app_bot_id)
    event = parse_event(context.event_name, payload)
    try:
        decided = session.decide(accept(event), demands)
    except Declined as declined:
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

    def __init__(self, context: JobContext, ports: PlanPorts, started: datetime, app_bot_id: int | None) -> None:
        self.context = context
        self.ports = ports
        self.started = started
        self.app_bot_id = app_bot_id
        self.status = ThreadStatus(ports.reader, ports.writer, ports.renderer, ports.redactor, app_bot_id=app_bot_id)

    def decide(self, event: TriggerEvent, demands: Demands) -> Plan:
        reader, task = self.ports.reader, self.context.task
        self._check_repository(event)
        config, sha, digest = self._load_config(event)
        check_jobs(config, one_job=demands.one_job)
        decline_for(decide_sender(event.sender, allow_bots=config.allow_bots, app_bot_id=self.app_bot_id))
        route = accept(decide_route(event, config))
        trust = accept(find_trust(event, reader))
        self.status.read(event.thread_number)
        published = self.status.find_published(task)
        if published is not None:
            return self._write(self._build("published", published=published))
        late = check_edits(event, task=task, reader=reader)
        thread = event.thread or reader.get_thread(event.thread_number)
        text = accept(freeze_text(event, thread, route.familiar, read_at=format_time(self.started)))
        text = text.model_copy(update={"note": describe_late_edits(late)})
        run_trust = accept(
            find_run_trust(event, trust, text.authors, context=self.context, config=config, reader=reader)
        )
        target = accept(find_target(event, thread, task, default_sha=sha, reader=reader))
        with open_conversation(config, task, ports=self.ports) as conversation:
            facts = build_memory_facts(event.repository, target, run_trust.scope, demands.installation_id)
            memory = self._plan_memory(facts, run_trust, config, target, sha, conversation.ask_grant())
            chosen = _Decided(config, digest, route, run_trust, text, target, memory)
            work = self._build_work(event, thread, chosen, demands.isolation)
            work = self._ask_admission(work, memory, conversation, default_sha=sha)
        work = work.model_copy(
            update={"history": conversation.describe(public=event.repository.visibility == "public")}
        )
        comment_id = self._acknowledge(work)
        if event.label is not None:
            self.ports.writer.remove_label(event.thread_number, event.label)
        return self._write(self._build("proceed", work=work.model_copy(update={"status_comment_id": comment_id})))

    def _check_repository(self, event: TriggerEvent) -> None:
        """Defensive: GitHub sends the payload of the repository that runs the workflow."""
        if event.repository.id != self.context.repository_id:
            decline_for(
                Refusal(
                    code="other-repository",
                    reason="The event belongs to another repository than the one this job runs in.",
                    quiet=True,
                )
            )
        decline_for(decide_sender(event.sender, allow_bots=(event.sender.id,), app_bot_id=self.app_bot_id))

    def _load_config(self, event: TriggerEvent) -> tuple[Config, str, str]:
        """Return the configuration of the default branch, its commit, and the SHA-256 of its text."""
        sha = self.ports.reader.get_branch_sha(event.repository.default_branch)
        data = self.ports.reader.find_file(CONFIG_PATH, sha)
        if data is None:
            raise ConfigError(
                "missing-config", f"{CONFIG_PATH} does not exist on the branch {event.repository.default_branch}."
            )
        return parse_config(_decode(data), path=CONFIG_PATH), sha, sha256_hex(data)

    def _ask_admission(
        self, work: Work, memory: PlannedPolicy, conversation: PlanConversation, *, default_sha: str
    ) -> Work:
        """Ask the endpoint whether the run may work, and for the entries that suit it."""
        report = build_run_report(
            self._build("proceed", work=work), work, per_day=conversation.per_day, now=self.started
        )
        decline_for(conversation.ask_admission(report))
        request = build_bundle_request(work, self.ports.redactor)
        entries = conversation.ask_bundle(request) if memory.policy.enabled else ()
        known = add_bundle(
            work.memory, entries, memory.policy, read_file=memory.read_file, redactor=self.ports.redactor
        )
        # Of a branch that is worked on nothing is told: there the lines may have changed for good reason.
        if work.target.base_sha == default_sha:
            conversation.report_stale(list_stale(entries, work.memory, known, default_sha))
        return work.model_copy(update={"memory": known})

    def _plan_memory(
        self,
        facts: MemoryFacts,
        trust: RunTrust,
        config: Config,
        target: Target,
        default_sha: str,
        grant: EndpointGrant | None,
    ) -> PlannedPolicy:
        planned = plan_memory(
            facts,
            trust,
            config,
            target,
            grant=grant,
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
                hosts=familiar.hosts,
                why=decided.route.why,
            ),
            trust=decided.trust,
            limits=PlannedLimits(
                time_seconds=config.limits.time,
                turns=config.limits.turns,
                files=config.limits.files,
                lines=config.limits.lines,
                binary_files=config.limits.binary_files,
                patch_bytes=config.limits.patch,
                # What reads a patch out of an issue reads the same one each time.
                attempts=1 if familiar.runtime == "patch" else config.limits.attempts,
                cost_cents=config.limits.cost,
            ),
            target=decided.target,
            protection=config.protection,
            labels=config.publish.labels,
            checks=config.verify,
            failing_checks=config.publish.failing_checks,
            brief=brief,
            memory=memory.selection.planned,
            isolation_demanded=isolation,
            configuration_sha256=decided.config_sha256,
            status_comment_id=None,
            published_tasks=self.status.published_tasks,
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
        return self.status.write(
            work.thread_number, "comment_working.md.j2", {"plan": proposal, "since": format_time(self.started)}, status
        )

    def decline(self, event: TriggerEvent | Refusal, refusal: Refusal) -> Plan:
        """Say why nothing is started, and write it down."""
        decided = self._build("decline", refusal=refusal)
        if isinstance(event, TriggerEvent) and not refusal.quiet:
            tell_refusal(
                event, refusal, decided, status=self.status, reader=self.ports.reader, writer=self.ports.writer
            )
        return self._write(decided)

    def report_failure(self, event: TriggerEvent, error: Error) -> None:
        """Say on the thread that nothing was started, if the one who asked may be answered. The error itself goes on."""
        try:
            if not event.sender.is_bot and _is_addressed(event, error) and self._may_be_told(event):
                self.status.read_again(event.thread_number)
                before = self.status.remembered
                self.status.write(
                    event.thread_number,
                    "comment_failed.md.j2",
                    {"error": error, "run_url": self._run_url(), "pull_request": before and before.pull_request},
                    build_unstarted_status(self.context.task, before, "failed"),
                )
        except Exception as second:  # noqa: BLE001 - it must not hide the first one, which goes on
            told = explain_exception(second)
            self.ports.job.warning(self.ports.redactor.redact(f"the thread could not be told: {told}"))

    def _may_be_told(self, event: TriggerEvent) -> bool:
        return isinstance(find_trust(event, self.ports.reader), Trust)

    def _run_url(self) -> str:
        context, task = self.context, self.context.task
        base = f"{context.server.server_url}/{context.repository}"
        return f"{base}/actions/runs/{task.run_id}/attempts/{task.run_attempt}"

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
        self.ports.job.set_output("checks", redact(str(len(decided.work.checks) if decided.work else 0)))
        self.ports.job.set_output("plan-sha256", redact(sha256_hex(data)))
        # Last: the later stages start by this output, and only where nothing of `plan` can fail any more.
        self.ports.job.set_output("decision", redact(decided.decision))
        return decided


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
