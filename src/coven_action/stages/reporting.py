"""What `publish` reports to the endpoint, where `plan` reached one: proposals, uses, what happened, and how it ended.

Nothing here decides how the task ends: the endpoint hears of it last, and trouble with it is said and not acted on.
"""

from collections.abc import Callable
from typing import Final

from coven_action.core.documents import Evidence, Outcome, Plan
from coven_action.core.endpoint.planned import (
    HistoryEvidence,
    PlannedHistory,
    ProposalStatus,
    is_newer,
    render_witness,
)
from coven_action.core.endpoint.relaying import remember
from coven_action.core.endpoint.reports import build_events, build_finish, build_proposals, build_run_report, build_uses
from coven_action.core.endpoint.wire import ProposalVerdicts, Usage
from coven_action.core.gateway.report import GatewayReport
from coven_action.core.memory.evidence import MemoryEvidence
from coven_action.core.redaction.redactor import Redactor
from coven_action.errors import Error
from coven_action.stages.history import History, PublishConversation, describe_deliveries
from coven_action.stages.ports import Clock, Job, KeptOutboxes, Witness
from coven_action.stages.relaying import relay_outboxes

PART: Final = "publish"
_MICRO: Final = 1_000_000


class Reporting:
    """The report of one task.

    Args:
        plan: As decided.
        planned: What `plan` learned of the endpoint; None where none is configured: then nothing is said to anybody.
        connect: Returns the endpoint.
        witness: Where the runs keep the newest head of the audit log.
        open_outboxes: Returns what earlier runs could not deliver.
        clock: Tells the time.
        job: Is told what was kept or lost.
        redactor: Covers secrets.
    """

    def __init__(
        self,
        plan: Plan,
        planned: PlannedHistory | None,
        *,
        connect: Callable[[PlannedHistory], History],
        witness: Witness,
        open_outboxes: Callable[[], KeptOutboxes],
        clock: Clock,
        job: Job,
        redactor: Redactor,
    ) -> None:
        self._plan = plan
        self._planned = planned
        self._witness = witness
        self._open_outboxes = open_outboxes
        self._clock = clock
        self._job = job
        self._redactor = redactor
        self._proposals: tuple[ProposalStatus, ...] = ()
        self._conversation: PublishConversation | None = None
        if planned is not None:
            task = (plan.task.repository_id, plan.task.run_id, plan.task.run_attempt)
            self._conversation = PublishConversation(planned, task=task, history=connect(planned))

    @property
    def is_on(self) -> bool:
        """Whether there is somebody to report to."""
        return self._conversation is not None

    def propose(self, memory: MemoryEvidence, *, pull_request: int | None) -> tuple[ProposalStatus, ...]:
        """Propose entries, and return what became of each."""
        request = build_proposals(memory, pull_request=pull_request)
        if self._conversation is None or request is None:
            return ()
        answer = self._conversation.deliver("proposals", PART, request)
        if isinstance(answer, ProposalVerdicts):
            self._proposals = tuple(
                ProposalStatus(key=each.key, id=each.id or "", state=each.state, reason=each.sentence)
                for each in answer.verdicts
            )
        else:
            kept = self._conversation.deliveries[-1]
            state = "kept" if kept.outcome == "kept" else "unknown"
            self._proposals = tuple(
                ProposalStatus.model_validate({"key": each.key, "id": "", "state": state, "reason": kept.reason})
                for each in request.proposals
            )
        return self._proposals

    def build_evidence(self) -> HistoryEvidence | None:
        """Return the endpoint's part of the evidence."""
        planned, conversation = self._planned, self._conversation
        if planned is None or conversation is None:
            return None
        return HistoryEvidence(
            url=planned.url,
            state=planned.state,
            number=planned.number,
            page=planned.page,
            witness=conversation.witness,
            witnessed=planned.witnessed,
            warnings=tuple(dict.fromkeys((*planned.warnings, *conversation.warnings))),
            proposals=self._proposals,
        )

    def finish(self, evidence: Evidence, *, evidence_sha256: str, outcome: Outcome | None, thread_url: str) -> None:
        """Say what was used, what happened and how it ended; then keep the newest head of the audit log."""
        conversation = self._conversation
        if conversation is None:
            return
        reference = evidence.pull_request_url or thread_url
        if self._planned is not None and self._planned.number is None and self._plan.work is not None:
            # `plan` could not report the run; without that the endpoint has nothing to hang the rest on.
            report = build_run_report(self._plan, self._plan.work, per_day=None, now=self._clock.now())
            conversation.deliver("report", PART, report)
        if evidence.memory is not None:
            conversation.deliver("uses", PART, build_uses(evidence.memory, reference=reference))
        conversation.deliver("events", PART, build_events(evidence.times, now=self._clock.now()))
        usage = _build_usage(evidence, outcome)
        finish = build_finish(evidence, evidence_sha256=evidence_sha256, usage=usage, comment_url=thread_url)
        conversation.deliver("finish", PART, finish)
        handled = self._relay(conversation)
        conversation.close()
        self._keep_witness(conversation, handled)
        for said in (*conversation.warnings, describe_deliveries(conversation.deliveries)):
            if said:
                self._job.warning(self._redactor.redact(f"endpoint: {said}"))

    def _relay(self, conversation: PublishConversation) -> tuple[int, ...]:
        """Hand over what earlier runs could not deliver, where the endpoint is well; return what is not to be tried again."""
        planned, work = self._planned, self._plan.work
        if planned is None or work is None or not conversation.is_well:
            return ()
        relayed = relay_outboxes(
            self._plan.task,
            default_branch=work.repository.default_branch,
            relayed=planned.relayed,
            now=self._clock.now(),
            relay=conversation.relay,
            outboxes=self._open_outboxes(),
        )
        if relayed.said:
            self._job.notice(self._redactor.redact(f"endpoint: {relayed.said}"))
        return relayed.handled

    def _keep_witness(self, conversation: PublishConversation, handled: tuple[int, ...]) -> None:
        head, planned = conversation.witness, self._planned
        if planned is None or head is None or not (handled or is_newer(head, planned.kept)):
            return
        try:
            relayed = remember(planned.relayed, handled)
            self._witness.write(self._redactor.redact(render_witness(planned.url, head, relayed)))
        except Error as error:
            # Another run may have kept a newer one at the same moment; the next run compares with that.
            self._job.notice(self._redactor.redact(f"the newest audit head was not kept: {error.message}"))


def _build_usage(evidence: Evidence, outcome: Outcome | None) -> Usage:
    """Return what was used: as the gateway counted it, where there was one, since the agent did not write that."""
    seconds = round(sum(time.seconds for time in evidence.times))
    counted = (outcome.gateway or outcome.usage) if outcome is not None else None
    if counted is None:
        return Usage(runner_seconds=seconds)
    known = counted.priced_cost_usd if isinstance(counted, GatewayReport) else 0.0
    return Usage(
        input_tokens=counted.input_tokens + counted.cache_creation_input_tokens + counted.cache_read_input_tokens,
        output_tokens=counted.output_tokens,
        cost_micro_usd=round((known if counted.cost_usd is None else counted.cost_usd) * _MICRO),
        runner_seconds=seconds,
    )
