"""The documents between the stages, versioned and frozen: plan, outcome, evidence.

Nothing flows back: `plan` writes `plan.json`, `run` adds `outcome.json`, `publish` writes `evidence.json`. No document
ever holds a secret. Each is read with a size cap, and a document of another version or kind is refused, not guessed at.
"""

from typing import Any, Final, Literal, TypeVar

from pydantic import Field, ValidationError

from coven_action.core.checks.results import MAX_CHECKS, CheckCommand, ClaimedRow, ObservedRow
from coven_action.core.contract.contract import Brief
from coven_action.core.contract.usage import Usage
from coven_action.core.endpoint.planned import HistoryEvidence, PlannedHistory
from coven_action.core.gateway.report import GatewayReport
from coven_action.core.memory.evidence import MemoryEvidence
from coven_action.core.memory.hand_off import MemoryHandOff
from coven_action.core.memory.selection import PlannedMemory
from coven_action.core.records import Record, canonical_json
from coven_action.core.refusals import Refusal
from coven_action.core.trust.events import Actor, Repository
from coven_action.core.trust.run_trust import RunTrust
from coven_action.core.verification.changes import ChangedFile, DiffStatistics
from coven_action.core.verification.protected_paths import BUILT_IN_ONLY, Protection
from coven_action.errors import DocumentError

MAXIMUM_DOCUMENT_BYTES: Final = 8 * 1024 * 1024
MAX_ATTEMPTS: Final = 5
"""How often a familiar may start in one run."""
D = TypeVar("D", bound=Record)
Sha = str
Sha256 = str


class TaskIdentity(Record):
    """What makes two runs the same task: a re-run keeps all but `run_attempt`."""

    repository_id: int
    event_name: str
    run_id: int
    run_attempt: int = Field(ge=1)

    @property
    def key(self) -> str:
        """The identity without the attempt, as written into commits: `repository/event/run`."""
        return f"{self.repository_id}/{self.event_name}/{self.run_id}"

    @property
    def external_id(self) -> str:
        """What a Check Run carries: `run-attempt`."""
        return f"{self.run_id}-{self.run_attempt}"


class Server(Record):
    """Where this GitHub is. Copied into the plan so that later stages build the same links."""

    server_url: str
    api_url: str


class FrozenText(Record):
    """The text the familiar works on, as it stood at the trigger.

    Attributes:
        title: Of the issue or pull request.
        body: What was asked, what the issue says, or both.
        authors: Everybody whose words the familiar reads; the run is trusted with what all of them are trusted with.
        sha256: Of title and body.
        read_at: When, in ISO 8601.
        removed: What people could not see and was left out, for people.
        note: What was edited since, for people.
    """

    title: str
    body: str
    authors: tuple[Actor, ...] = Field(min_length=1)
    sha256: Sha256
    read_at: str
    removed: str = ""
    note: str = ""


class PlannedFamiliar(Record):
    """Who works, and why this one. `hosts` are those that a familiar with `mode: full` may reach beside its model's."""

    id: str
    display_name: str
    model: str | None
    runtime: str | tuple[str, ...]
    mode: str
    hosts: tuple[str, ...] = ()
    why: str


class PlannedLimits(Record):
    """The bounds of one run.

    Attributes:
        time_seconds: Of all attempts together, and of the checks between them.
        turns: Of one attempt.
        files: Changed by the result.
        lines: Added and deleted by the result together.
        binary_files: Among the changed files.
        patch_bytes: Of the result's patch.
        attempts: How often the familiar may start while the repository's checks fail.
        cost_cents: What all attempts together may spend at the model, in US cents; None where the configuration says nothing.
    """

    time_seconds: int
    turns: int
    files: int
    lines: int
    binary_files: int
    patch_bytes: int
    attempts: int = 1
    cost_cents: int | None = None


class Target(Record):
    """Where the result goes.

    Attributes:
        base_ref: The branch that a pull request asks to be merged into.
        base_ref_sha: Where that branch pointed to when this was decided.
        base_sha: The commit that the work starts from: that one, or the head of an open pull request.
        branch: The branch that is pushed to.
        expected_sha: That branch's head, which may be moved; None means that the branch must not exist.
        pull_request: The open pull request of that branch.
        why: For people.
    """

    base_ref: str
    base_ref_sha: Sha
    base_sha: Sha
    branch: str
    expected_sha: Sha | None
    pull_request: int | None
    why: str


class Work(Record):
    """Everything a run needs that was decided before it started."""

    repository: Repository
    thread_number: int
    thread_is_pull_request: bool
    trigger: str
    asked_with: str
    asked_by: Actor
    text: FrozenText
    familiar: PlannedFamiliar
    trust: RunTrust
    limits: PlannedLimits
    target: Target
    labels: tuple[str, ...]
    brief: Brief
    memory: PlannedMemory = PlannedMemory()
    history: PlannedHistory | None = None
    isolation_demanded: Literal["enforced", "partial", "none"]
    configuration_sha256: Sha256
    status_comment_id: int | None
    published_tasks: tuple[str, ...] = ()
    protection: Protection = BUILT_IN_ONLY
    checks: tuple[CheckCommand, ...] = Field(default=(), max_length=MAX_CHECKS)
    failing_checks: Literal["draft", "nothing"] = "draft"


class Published(Record):
    """What an earlier attempt of the same task has already published."""

    pull_request: int
    head_sha: Sha
    branch: str
    conclusion: str


class Plan(Record):
    """`plan.json`: whether a run goes on, and everything it needs if so. Exactly one of the three answers is set."""

    kind: Literal["coven-action/plan"] = "coven-action/plan"
    version: Literal[1] = 1
    task: TaskIdentity
    repository_name: str
    server: Server
    decision: Literal["proceed", "decline", "published"]
    work: Work | None = None
    refusal: Refusal | None = None
    published: Published | None = None
    planned_at: str
    seconds: float

    @property
    def repository_url(self) -> str:
        """Where people see the repository."""
        return f"{self.server.server_url}/{self.repository_name}"

    @property
    def run_url(self) -> str:
        """Where people see this attempt of the run."""
        return f"{self.repository_url}/actions/runs/{self.task.run_id}/attempts/{self.task.run_attempt}"


class Attempt(Record):
    """One start of the runtime, as our supervisor saw it."""

    exit_code: int | None
    signal: int | None
    duration_seconds: float
    timed_out: bool
    output_bytes: int
    output_truncated: bool
    processes_left_behind: int


class Fault(Record):
    """Why a stage could not do its work."""

    stage: str
    code: str
    message: str
    remedy: str = ""


class Isolation(Record):
    """The isolation that was in force while programs that are not ours worked.

    Attributes:
        demanded: By the workflow.
        reached: What the probes proved on this machine.
        note: What that means, without a full stop.
        backend: Which sandbox it was; empty where none was used.
        limited_by: What held memory and processes; empty where nothing was started.
    """

    demanded: str
    reached: str
    note: str
    backend: str = ""
    limited_by: str = ""


class TriedChecks(Record):
    """The repository's checks as they went between two attempts, where the agent had worked: the familiar's own, a claim."""

    attempt: int
    rows: tuple[ObservedRow, ...] = Field(max_length=MAX_CHECKS)


class HandOff(Record):
    """The texts that the agent left for the pull request. Untrusted."""

    title: str = ""
    body: str = ""


class Outcome(Record):
    """`outcome.json`: what happened while the runtime worked. All of it is untrusted: it may have been written by the agent.

    `secrets` are the kinds of secrets that `run` has found and covered: in the change, in the words for its pull request and,
    of those that `run` alone knows, in any text. A change that holds one goes no further: there is no bundle then. `tries`
    are the checks as the familiar saw them between its attempts. `gateway` is the account of the model gateway, which the
    agent did not write. `workspace_destroyed` says that nothing of the run's folder was left.
    """

    kind: Literal["coven-action/outcome"] = "coven-action/outcome"
    version: Literal[1] = 1
    task: TaskIdentity
    plan_sha256: Sha256
    runtime: str
    runtime_version: str
    capabilities: dict[str, Any]
    isolation: Isolation
    attempts: tuple[Attempt, ...]
    verdict: Literal["worked", "nothing-changed", "needs-input", "failed", "fault"]
    summary: str
    fault: Fault | None = None
    result: dict[str, Any] | None = None
    unknown_result_fields: tuple[str, ...] = ()
    hand_off: HandOff = HandOff()
    hand_off_notes: tuple[str, ...] = ()
    memory_hand_off: MemoryHandOff = MemoryHandOff()
    tip_sha: Sha | None = None
    bundle_sha256: Sha256 | None = None
    files_changed: tuple[str, ...] = ()
    secrets: tuple[str, ...] = ()
    usage: Usage | None = None
    tries: tuple[TriedChecks, ...] = Field(default=(), max_length=MAX_ATTEMPTS)
    gateway: GatewayReport | None = None
    workspace_destroyed: bool = False
    log_sha256: Sha256 | None = None
    log_bytes: int = 0
    started_at: str
    finished_at: str


class Measure(Record):
    """A file's size in bytes and its SHA-256."""

    size: int
    sha256: Sha256


class Verdict(Record):
    """One step of the verification before publication and what it found.

    `neutral` is neither: there was nothing to observe. `failed` is published all the same and said first: checks that fail.
    `not-reached` follows the refusal of an earlier step.
    """

    step: str
    result: Literal["passed", "failed", "refused", "neutral", "not-reached"]
    finding: str = ""

    @property
    def refused(self) -> bool:
        """Whether this step keeps the result from being published."""
        return self.result == "refused"


class EvidenceRow(Record):
    """One line of the table that people see. `text` is plain and escaped where it is rendered."""

    name: str
    text: str


class StageTime(Record):
    """How long a stage took, in seconds."""

    stage: str
    seconds: float


class ObservedChecks(Record):
    """The repository's checks as we ran them, beside what the familiar says of them.

    Attributes:
        sha256: Of `checks.json`.
        observed_on: Whether the runner was another than that of the agent.
        isolation: What was in force while they ran.
        rows: One for each check; what failed comes first.
        claimed: What the familiar says it ran, beside what we saw of the same commands.
    """

    sha256: Sha256
    observed_on: Literal["separate_runner", "same_runner"]
    isolation: Isolation
    rows: tuple[ObservedRow, ...] = Field(max_length=MAX_CHECKS)
    claimed: tuple[ClaimedRow, ...] = ()


class Evidence(Record):
    """`evidence.json`: every verdict with its reason. Check Run, pull request, comment and summary are renderings of it.

    `checks` is None where none were observed. `tries` and `gateway` are copied from the outcome.
    """

    kind: Literal["coven-action/evidence"] = "coven-action/evidence"
    version: Literal[1] = 1
    task: TaskIdentity
    repository_name: str
    ending: str
    conclusion: Literal["neutral", "failure", "action_required", "success"]
    title: str
    plan_sha256: Sha256
    outcome_sha256: Sha256 | None
    bundle_sha256: Sha256 | None
    verdicts: tuple[Verdict, ...]
    rows: tuple[EvidenceRow, ...]
    files: tuple[ChangedFile, ...]
    statistics: DiffStatistics
    isolation: Isolation | None
    checks: ObservedChecks | None = None
    tries: tuple[TriedChecks, ...] = ()
    gateway: GatewayReport | None = None
    workspace_destroyed: bool = False
    memory: MemoryEvidence | None
    history: HistoryEvidence | None = None
    fault: Fault | None
    notes: tuple[str, ...]
    base_sha: Sha | None
    head_sha: Sha | None
    branch: str | None
    pull_request: int | None
    pull_request_url: str | None
    times: tuple[StageTime, ...]
    finished_at: str

    @property
    def seconds(self) -> float:
        """How long the stages took together."""
        return sum(time.seconds for time in self.times)


# Decision -> the part of a plan that holds its answer.
_ANSWERS: Final = {"proceed": "work", "decline": "refusal", "published": "published"}


def write_document(document: Record) -> bytes:
    """Return the canonical bytes of a document."""
    return canonical_json(document.model_dump(mode="json")).encode()


def parse_plan(data: bytes) -> Plan:
    """Read `plan.json`. Raises `DocumentError` for anything but a plan of this version with exactly its one answer."""
    plan = parse_document(Plan, data, "plan.json")
    given = {name for name in _ANSWERS.values() if getattr(plan, name) is not None}
    if given != {_ANSWERS[plan.decision]}:
        raise DocumentError(
            "malformed-document",
            f"plan.json: the decision {plan.decision} needs {_ANSWERS[plan.decision]} and no other",
        )
    return plan


def parse_outcome(data: bytes) -> Outcome:
    """Read `outcome.json`. Raises `DocumentError` for anything but an outcome of this version."""
    return parse_document(Outcome, data, "outcome.json")


def parse_evidence(data: bytes) -> Evidence:
    """Read `evidence.json`. Raises `DocumentError` for anything but evidence of this version."""
    return parse_document(Evidence, data, "evidence.json")


def parse_document(model: type[D], data: bytes, name: str) -> D:
    """Read a document of one model, within its size. Raises `DocumentError` for anything else, naming the field."""
    if len(data) > MAXIMUM_DOCUMENT_BYTES:
        raise DocumentError("document-too-large", f"{name} has {len(data)} bytes; {MAXIMUM_DOCUMENT_BYTES} are allowed")
    try:
        document = model.model_validate_json(data)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        field = ".".join(str(part) for part in first["loc"]) or "document"
        raise DocumentError("malformed-document", f"{name}: {field}: {first['msg']}") from error
    if not document.model_fields_set >= {"kind", "version"}:
        # The models have defaults for both, so that whoever builds a document need not say them; a reader needs them said.
        raise DocumentError("malformed-document", f"{name}: a document says its kind and version")
    return document
