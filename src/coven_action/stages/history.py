"""The endpoint in the stages: what `plan` asks of it, and what `publish` reports to it.

Trouble with the endpoint costs memory and history, never the job, with two exceptions that `plan` decides: the
configuration says `hosted.required`, or limits the tasks of a day; then a count that cannot be read declines the run. After
the first failure of a stage nothing more is asked in it.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Final, Protocol, TypeVar

from coven_action.core.configuration.config import Config
from coven_action.core.configuration.document import Hosted
from coven_action.core.configuration.endpoint_urls import render_oversight_url
from coven_action.core.documents import TaskIdentity
from coven_action.core.endpoint.outbox import build_key
from coven_action.core.endpoint.planned import KeptWitness, PlannedHistory, parse_witness
from coven_action.core.endpoint.reports import GIVEN_UP
from coven_action.core.endpoint.wire import (
    Admission,
    AuditHead,
    Bundle,
    BundleEntry,
    BundleRequest,
    EnvelopeKind,
    RelayRequest,
    RelayVerdicts,
    RunReport,
    Session,
    Validation,
    ValidationsRequest,
    WitnessVerdict,
)
from coven_action.core.memory.grants import EndpointGrant
from coven_action.core.records import Record
from coven_action.core.refusals import Refusal
from coven_action.errors import ConfigError, Error
from coven_action.stages.ports import Witness

T = TypeVar("T")

MAX_WAITS: Final = 4
MAX_WAIT_SECONDS: Final = 120
"""How long a run waits for its thread in all; a runner that waits is paid for."""

DIVERGED: Final = (
    "The endpoint's audit log is not the one that an earlier run of this repository has witnessed: its history was "
    "rewritten. Compare an export with the heads kept in earlier runs' evidence before you rely on it."
)
RESTORED: Final = (
    "The endpoint was restored from a backup that ends before what an earlier run of this repository has witnessed; its audit "
    "log says so (audit.reseal). What was written in between is lost, revocations and erasures included: look at the memory "
    "before you turn it on again."
)
WITNESSED: Final[Mapping[WitnessVerdict, str]] = {"restored": RESTORED, "diverged": DIVERGED}
"""What is said aloud of a witness's verdict."""


class History(Protocol):
    """The endpoint, as a stage sees it. Everything raises `Error` where there is no answer, or a refusal."""

    def open(self, witness: AuditHead | None) -> Session:
        """Open a session for this stage."""
        ...

    def get_grant(self) -> EndpointGrant:
        """Return what it grants the run of memory."""
        ...

    def report(self, report: RunReport, key: str) -> Admission:
        """Report the run and ask whether it may work now."""
        ...

    def fetch_bundle(self, request: BundleRequest, key: str) -> Bundle:
        """Return the entries that suit a task."""
        ...

    def validate(self, request: ValidationsRequest, key: str) -> object:
        """Report whether entries hold at a commit."""
        ...

    def deliver(self, kind: EnvelopeKind, document: Record, key: str) -> Record | None:
        """Deliver a write of the run; None where it was kept for a later run."""
        ...

    def relay(self, request: RelayRequest, key: str) -> RelayVerdicts:
        """Hand over what earlier runs could not deliver; `DocumentError` where the request itself is refused."""
        ...

    def wait(self, seconds: int) -> None:
        """Let time pass."""
        ...

    def close(self) -> None:
        """End the session."""
        ...


def check_jobs(config: Config, *, one_job: bool) -> None:
    """Refuse an endpoint in a job where a familiar works: whoever may ask for ID tokens there speaks in the job's name.

    Raises:
        ConfigError: `hosted-needs-separate-jobs`.
    """
    if config.hosted is not None and one_job:
        raise ConfigError(
            "hosted-needs-separate-jobs", "The configuration names an endpoint, and this job runs every stage."
        )


class ConversationPorts(Protocol):
    """What a conversation needs of the outside world."""

    @property
    def connect(self) -> Callable[[Hosted], History]:
        """Return the endpoint that a configuration names."""
        ...

    @property
    def witness(self) -> Witness:
        """Return where the runs keep the newest head."""
        ...


@contextmanager
def open_conversation(config: Config, task: TaskIdentity, *, ports: ConversationPorts) -> "Iterator[PlanConversation]":
    """Open `plan`'s conversation with the endpoint; where none is configured, nothing is asked of anybody."""
    hosted = config.hosted
    if hosted is None:
        yield NoConversation()
        return
    try:
        kept = parse_witness(ports.witness.read(), hosted.url)
    except Error:
        kept = None  # the log is compared by the next run that can read what was kept
    conversation = EndpointConversation(
        hosted,
        per_day=config.limits.per_day,
        task=(task.repository_id, task.run_id, task.run_attempt),
        history=ports.connect(hosted),
        kept=kept,
    )
    try:
        yield conversation
    finally:
        conversation.close()


class PlanConversation(Protocol):
    """What `plan` asks of the endpoint, step by step."""

    per_day: int | None

    def describe(self, *, public: bool) -> PlannedHistory | None:
        """Return what the later stages have to know, once the conversation is over."""
        ...

    def ask_grant(self) -> EndpointGrant | None:
        """Return what is granted of memory; None where nothing was answered."""
        ...

    def ask_admission(self, report: RunReport) -> Refusal | None:
        """Ask whether the run may work now. None: it may."""
        ...

    def ask_bundle(self, request: BundleRequest) -> tuple[BundleEntry, ...]:
        """Return the entries that suit the task."""
        ...

    def report_stale(self, validations: Sequence[Validation]) -> None:
        """Report entries whose citations no longer hold on the default branch, where the run's word counts for that."""
        ...


class NoConversation:
    """The conversation where no endpoint is configured."""

    per_day: int | None = None

    def describe(self, *, public: bool) -> PlannedHistory | None:
        """Return that there is nothing to know."""
        del public
        return None

    def ask_grant(self) -> EndpointGrant | None:
        """Return that nothing was answered."""
        return None

    def ask_admission(self, report: RunReport) -> Refusal | None:
        """Let the run work: nobody counts."""
        del report
        return None

    def ask_bundle(self, request: BundleRequest) -> tuple[BundleEntry, ...]:
        """Return nothing."""
        del request
        return ()

    def report_stale(self, validations: Sequence[Validation]) -> None:
        """Tell nobody."""
        del validations


class EndpointConversation:
    """The conversation with an endpoint; once a step has failed the others answer with nothing.

    Args:
        hosted: The endpoint, from the configuration of the default branch.
        per_day: The repository's own limit of tasks a day.
        task: Repository id, run id and attempt, for the keys.
        history: The endpoint.
        kept: What earlier runs have kept about the endpoint: the newest head of its audit log above all.
    """

    def __init__(
        self,
        hosted: Hosted,
        *,
        per_day: int | None,
        task: tuple[int, int, int],
        history: History,
        kept: KeptWitness | None,
    ) -> None:
        self._hosted = hosted
        self.per_day = per_day
        self._task = task
        self._history = history
        self._witness = kept.head if kept else None
        self._relayed = kept.relayed if kept else ()
        self._session: Session | None = None
        self._admission: Admission | None = None
        self._trouble: Error | None = None

    def ask_grant(self) -> EndpointGrant | None:
        """Open the session and return what is granted of memory."""
        self._session = self._ask(lambda: self._history.open(self._witness))
        return self._ask(self._history.get_grant)

    def ask_admission(self, report: RunReport) -> Refusal | None:
        """Ask whether the run may work now, and wait for its thread where another run holds it. None: it may."""
        waited = 0
        for turn in range(MAX_WAITS):
            key = build_key(self._task, "report", f"plan-{turn}")
            self._admission = self._ask(lambda key=key: self._history.report(report, key))  # type: ignore[misc] # bound now
            if self._admission is None:
                return self._decline_unread()
            if self._admission.decision != "wait":
                break
            pause = min(max(self._admission.retry_after, 1), MAX_WAIT_SECONDS - waited)
            if pause <= 0 or turn == MAX_WAITS - 1:
                self._give_up()
                break
            self._history.wait(pause)
            waited += pause
        return self._decline_refused(self._admission)

    def _give_up(self) -> None:
        """Say that the run waits no more. Where that is not heard, it is known by asking no more."""
        self._ask(lambda: self._history.deliver("finish", GIVEN_UP, build_key(self._task, "finish", "plan")))

    def _decline_unread(self) -> Refusal | None:
        """Decline where the configuration asks for an answer; otherwise the run goes on without one."""
        needed = "hosted.required is set" if self._hosted.required else "limits.per_day is set"
        if not self._hosted.required and self.per_day is None:
            return None
        said = self._trouble.message if self._trouble else "it gave no answer."
        return Refusal(
            code="endpoint-required",
            reason=f"The endpoint could not be asked, and {needed}: {said}",
            remedy="Look at the endpoint and at the job's `id-token: write`, then trigger again.",
        )

    @staticmethod
    def _decline_refused(admission: Admission | None) -> Refusal | None:
        if admission is None or admission.decision == "granted":
            return None
        if admission.decision == "wait":
            return Refusal(
                code="thread-busy",
                reason=f"This thread is taken: {admission.reason}.",
                remedy="Trigger again when that run has ended.",
            )
        return Refusal(
            code="admission-refused",
            reason=f"The endpoint does not admit this run: {admission.reason}.",
            remedy="Wait, or have an administrator raise the cap.",
        )

    def ask_bundle(self, request: BundleRequest) -> tuple[BundleEntry, ...]:
        """Return the entries that suit the task."""
        key = build_key(self._task, "report", "bundle")
        bundle = self._ask(lambda: self._history.fetch_bundle(request, key))
        return bundle.entries if bundle is not None else ()

    def report_stale(self, validations: Sequence[Validation]) -> None:
        """Report entries whose citations no longer hold on the default branch, where the run's word counts for that."""
        if validations and self._session is not None and self._session.scopes.validate_entries:
            request = ValidationsRequest(validations=tuple(validations))
            self._ask(lambda: self._history.validate(request, build_key(self._task, "report", "stale")))

    def close(self) -> None:
        """End the session."""
        self._history.close()

    def describe(self, *, public: bool) -> PlannedHistory:
        """Return what the later stages have to know."""
        session, admission = self._session, self._admission
        number = admission.number if admission else None
        warnings = list(admission.warnings if admission else ())
        if session is not None and session.witnessed in WITNESSED:
            warnings.insert(0, WITNESSED[session.witnessed])
        return PlannedHistory(
            url=self._hosted.url,
            state="unreachable" if self._trouble or admission is None else "admitted",
            reason=self._trouble.message if self._trouble else (admission.reason if admission else "it was not asked"),
            number=number,
            page=render_oversight_url(self._hosted.oversight_url or f"{self._hosted.url}/runs/{{run}}", number)
            if number is not None
            else None,
            warnings=tuple(warnings),
            public=public,
            seal_key=session.seal_key if session else "",
            kept=self._witness,
            witness=session.witness if session else self._witness,
            witnessed=session.witnessed if session else None,
            relayed=self._relayed,
        )

    def _ask(self, question: Callable[[], T]) -> T | None:
        if self._trouble is not None:
            return None
        try:
            return question()
        except Error as error:
            self._trouble = error
            return None


@dataclass(frozen=True, slots=True)
class Delivery:
    """What became of a write.

    Args:
        kind: Which.
        outcome: `delivered`; `kept` for a later run; `lost`.
        reason: Why it was lost, one sentence.
        answer: The endpoint's, where it was delivered.
    """

    kind: EnvelopeKind
    outcome: str
    reason: str = ""
    answer: Record | None = None


class PublishConversation:
    """What `publish` reports: each write by itself, so that one that is refused keeps no other back.

    Args:
        planned: What `plan` learned.
        task: Repository id, run id and attempt, for the keys.
        history: The endpoint.
    """

    def __init__(self, planned: PlannedHistory, *, task: tuple[int, int, int], history: History) -> None:
        self._planned = planned
        self._task = task
        self._history = history
        self._opened = False
        self._answered = False
        self.witness = planned.witness
        self.warnings: list[str] = []
        self.deliveries: list[Delivery] = []

    def deliver(self, kind: EnvelopeKind, part: str, document: Record | None) -> Record | None:
        """Deliver a write, where there is something to say; return the answer where there is one."""
        if document is None:
            return None
        self._open()
        try:
            answer = self._history.deliver(kind, document, build_key(self._task, kind, part))
        except Error as error:
            self.deliveries.append(Delivery(kind, "lost", error.message))
            return None
        self.deliveries.append(Delivery(kind, "kept" if answer is None else "delivered", answer=answer))
        return answer

    def _open(self) -> None:
        """Open the session with the first write. Where that fails, the write itself is kept or lost."""
        if self._opened:
            return
        self._opened = True
        try:
            session = self._history.open(self._planned.witness)
        except Error as error:
            self.warnings.append(f"The endpoint gave no session: {error.message}")
            return
        self._answered = True
        self.witness = session.witness
        if session.witnessed in WITNESSED:
            self.warnings.append(WITNESSED[session.witnessed])

    @property
    def is_well(self) -> bool:
        """Whether the endpoint has answered, and nothing had to be kept: then it may be asked for more."""
        return self._answered and all(each.outcome != "kept" for each in self.deliveries)

    def relay(self, request: RelayRequest, part: str) -> RelayVerdicts:
        """Hand over what an earlier run could not deliver.

        Raises:
            DocumentError: The endpoint refuses what the request holds.
            Error: The endpoint gave no answer, or refused the request for now.
        """
        return self._history.relay(request, ":".join((*map(str, self._task), "relay", part)))

    def close(self) -> None:
        """End the session."""
        if self._opened:
            self._history.close()


def describe_deliveries(deliveries: Sequence[Delivery]) -> str:
    """Return what became of the writes, one line for people; "" where there was nothing to say."""
    counts = {outcome: [each.kind for each in deliveries if each.outcome == outcome] for outcome in ("kept", "lost")}
    said = []
    if counts["kept"]:
        said.append(f"kept for a later run: {', '.join(counts['kept'])}")
    if counts["lost"]:
        said.append(f"lost: {', '.join(counts['lost'])}")
    return " · ".join(said)
