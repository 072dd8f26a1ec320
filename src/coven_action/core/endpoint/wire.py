"""What passes between a run, a person and the endpoint: every request and answer as a frozen value. Pure.

Requests refuse what they do not know. Ids are GitHub's numbers, moments are RFC 3339 in UTC, money is micro-dollars. No
document has a field for code, a prompt or a transcript.
"""

import json
from datetime import UTC, datetime
from typing import Annotated, Any, Final, Literal

from pydantic import AfterValidator, ConfigDict, Field, PlainSerializer

from coven_action.core.memory.entries import MAX_CITATIONS, MAX_TEXT_BYTES, Citation, EntryKind
from coven_action.core.memory.grants import EndpointGrant
from coven_action.core.memory.policy_block import MemoryPolicy, MemoryScope, TrustScope
from coven_action.core.records import Record, format_time

MAX_BODY_BYTES: Final = 1024 * 1024
MAX_EVENT_BYTES: Final = 64 * 1024
MAX_EVENTS_AT_ONCE: Final = 500
MAX_EVENTS_OF_RUN: Final = 5_000
EARLY_WARNING_EVENTS: Final = 4_000
"""From here on the answer to an event says how many are left."""

DEFAULT_BUNDLE_TOKENS: Final = 1_500
MAX_PAGE: Final = 200
DEFAULT_PAGE: Final = 50
MAX_TRACED: Final = 100
"""Uses that the answer to a revocation shows: it is as short for an entry that a million runs had."""

ID_LIMIT: Final = 2**63
"""GitHub's numbers are smaller."""
GitHubId = Annotated[int, Field(gt=0, lt=ID_LIMIT)]
Line = Annotated[str, Field(max_length=300, pattern=r"^[^\x00-\x1f\x7f]*$")]
Digest = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
EntryId = Annotated[str, Field(pattern=r"^mem_[0-9a-f]{16}$")]
Link = Annotated[str, Field(max_length=500, pattern=r"^https?://[^\s\x00-\x1f\x7f<>\"`]+$")]
Count = Annotated[int, Field(ge=0, lt=2**53)]


Links = Annotated[dict[Annotated[str, Field(max_length=20)], Link], Field(max_length=8)]


def _to_utc(moment: datetime) -> datetime:
    if moment.tzinfo is None:
        raise ValueError("a moment has its zone")
    return moment.astimezone(UTC)


Moment = Annotated[datetime, Field(strict=False), AfterValidator(_to_utc), PlainSerializer(format_time)]
"""RFC 3339 with a zone."""


class Wire(Record):
    """A document of the endpoint."""

    model_config = ConfigDict(
        frozen=True, extra="forbid", strict=True, allow_inf_nan=False, ser_json_timedelta="float", use_enum_values=True
    )


# --- sessions -------------------------------------------------------------------------------------------------------


class AuditHead(Wire):
    """The newest row of a tenant's audit log that somebody knows.

    Args:
        seq: Its number; 0 before the first.
        head: Its hash.
        signature: Ed25519 over `tenant`, `seq` and `head`, base64; the endpoint's.
        key_id: Which key signed it.
        resealed: When the log last stated that it stands on a restored copy, in milliseconds since 1970; 0 where it never
            did. A witness that knows of a restore is not taken for one of the history that was lost by it.
    """

    seq: Count
    head: Annotated[str, Field(max_length=64, pattern=r"^[0-9a-f]*$")]
    signature: Annotated[str, Field(max_length=200)] = ""
    key_id: Annotated[str, Field(max_length=64)] = ""
    resealed: Count = 0


class SessionRequest(Wire):
    """Opens a session of a run. The ID token stands in the Authorization header.

    Args:
        witness: The newest head that an earlier run of the repository has kept.
    """

    witness: AuditHead | None = None


Tier = Literal["T0", "T1", "T2"]
WitnessVerdict = Literal["first", "consistent", "restored", "diverged"]


class SessionScopes(Wire):
    """What the signed claims of a run allow.

    Args:
        read: Which approved entries of the repository.
        tenant_shared: Whether also those that the account shares.
        propose: Whether it may propose entries.
        validate_entries: Whether its observations may mark entries stale.
        reason: Why, one line.
    """

    read: Literal["none", "shareable", "repo"]
    tenant_shared: bool
    propose: bool
    validate_entries: bool
    reason: Line


class Session(Wire):
    """An opened session.

    Args:
        token: Goes into `Authorization: Bearer` from now on; nobody can ask for it again.
        expires_at: It is worth nothing from then on.
        tenant_id: Whose data it reaches.
        witness: The newest head of the audit log, signed.
        witnessed: What the head that came with the request is worth: `restored` says that what followed it was lost, and that
            the log states so; `diverged` that the log was rewritten.
        seal_key: The endpoint's public key (X25519, base64), to which envelopes of a public repository are sealed.
    """

    token: str
    expires_at: Moment
    tenant_id: Count
    repository_id: GitHubId
    run_id: GitHubId
    run_attempt: Annotated[int, Field(ge=1)]
    tier: Tier
    scopes: SessionScopes
    witness: AuditHead
    witnessed: WitnessVerdict
    seal_key: Annotated[str, Field(max_length=64)] = ""


# --- runs -----------------------------------------------------------------------------------------------------------

RunState = Literal["queued", "running", "needs_input", "review", "done", "failed", "cancelled", "superseded"]
FailureReason = Literal[
    "runner_lost",
    "sandbox_failed",
    "runtime_failed",
    "runtime_not_installed",
    "model_unavailable",
    "budget_exhausted",
    "time_limit",
    "resource_limit",
    "verification_refused",
    "checks_failed",
    "publication_refused",
    "github_unavailable",
    "stale",
    "declined",
    "internal",
]
"""Why a run failed, or never began, in its own words."""
EndReason = FailureReason | Literal["lease_expired"]
"""Why a run ended. That its lease expired is for the endpoint to say: of a run that says nothing itself."""
TaskKind = Literal["fix", "review"]


def _check_installation(policy: MemoryPolicy) -> MemoryPolicy:
    if (policy.tenant_scope.installation_id or 0) >= ID_LIMIT:
        raise ValueError("an installation's number is one of GitHub's")
    return policy


class RunReport(Wire):
    """What `plan` says of its run, and the question whether it may work.

    Args:
        attempt: Of the workflow run; must be the session's.
        event_name: What started it; must be the session's.
        thread: The issue or pull request it works on, as `issue-42`; the lease is on it. None where there is none.
        familiar: Who works.
        task_kind: What for.
        trust_scope: The lowest trust of everything that feeds the run.
        memory_policy: As decided by the run; it can only narrow what the session allows. The installation that it names is
            whose use the run is, where the account is enrolled without one.
        lease_seconds: How long the work takes at most, until it is published.
        per_day: The repository's own limit of tasks a day; None where it has none.
        requested_at: When it was asked for.
        links: For people: `run`, `thread`.
    """

    attempt: Annotated[int, Field(ge=1, le=10_000)]
    event_name: Annotated[str, Field(max_length=60)]
    thread: Annotated[str, Field(max_length=40, pattern=r"^[a-z]+-[0-9]{1,18}$")] | None
    familiar: Annotated[str, Field(max_length=32, pattern=r"^[a-z][a-z0-9-]*$")]
    task_kind: TaskKind = "fix"
    trust_scope: TrustScope
    memory_policy: Annotated[MemoryPolicy, AfterValidator(_check_installation)]
    lease_seconds: Annotated[int, Field(ge=60, le=86_400)]
    per_day: Annotated[int, Field(ge=1, le=10_000)] | None = None
    requested_at: Moment
    links: Links = Field(default_factory=dict)


class Admission(Wire):
    """Whether the run may work now.

    Args:
        decision: `granted`; `wait`, and then ask again; `refused`.
        retry_after: Seconds, where it is to wait.
        reason: Why, one line.
        number: The run's number in this account.
        state: The run's.
        lease_until: Until when the thread is the run's.
        grant: What the endpoint grants of memory.
        warnings: What people should know, such as a cap that is nearly used.
    """

    decision: Literal["granted", "wait", "refused"]
    retry_after: Annotated[int, Field(ge=0)] = 0
    reason: Line
    code: Literal["", "thread-busy", "quota-exceeded", "too-many-runs", "too-many-familiars", "superseded"] = ""
    number: Count
    state: RunState
    lease_until: Moment | None = None
    grant: EndpointGrant
    warnings: tuple[Line, ...] = Field(default=(), strict=False)


EventType = Literal["stage.started", "stage.finished", "attempt.started", "attempt.finished", "progress", "note"]
"""What a run may say happened. The endpoint adds its own: `run.*`, `memory.*`."""


_encode: Final = json.JSONEncoder(ensure_ascii=False).encode


def _check_event_size(data: dict[str, Any]) -> dict[str, Any]:
    if len(_encode(data).encode("utf-8", "surrogatepass")) > MAX_EVENT_BYTES:
        raise ValueError(f"an event has at most {MAX_EVENT_BYTES} bytes")
    return data


class RunEvent(Wire):
    """Something that happened in a run."""

    type: EventType
    at: Moment
    data: Annotated[dict[Annotated[str, Field(max_length=60)], Any], AfterValidator(_check_event_size)] = Field(
        default_factory=dict
    )


class EventsRequest(Wire):
    """Adds events to the session's run, in this order."""

    events: Annotated[tuple[RunEvent, ...], Field(min_length=1, max_length=MAX_EVENTS_AT_ONCE, strict=False)]


class EventsAccepted(Wire):
    """Where the events stand in the tenant's sequence; they follow one another."""

    first: Count
    last: Count
    left: Count | None = None


class UseReport(Wire):
    """An entry that influenced the work, and a link to where that shows: it outlives the entry's text."""

    id: EntryId
    version: Digest
    kind: Literal["read", "cited"]
    reference: Link | Literal[""] = ""


class UsesRequest(Wire):
    """Reports the entries that the session's run has read or cited."""

    uses: Annotated[tuple[UseReport, ...], Field(max_length=400, strict=False)]


class Usage(Wire):
    """What a run used, as its runtime reports it."""

    input_tokens: Count = 0
    output_tokens: Count = 0
    cost_micro_usd: Count = 0
    runner_seconds: Count = 0


EndState = Literal["needs_input", "review", "done", "failed", "cancelled"]
"""States in which a run may say that it has ended."""


class FinishRequest(Wire):
    """Ends the session's run.

    Args:
        state: How it ended.
        failure_reason: Why, where it failed.
        conclusion: Of the Check Run, where there is one.
        usage: Of all attempts.
        links: For people: `pull_request`, `check_run`, `comment`.
        evidence_sha256: Of `evidence.json`.
    """

    state: EndState
    failure_reason: FailureReason | None = None
    conclusion: Literal["success", "neutral", "failure", "action_required"] | None = None
    usage: Usage = Usage()
    links: Links = Field(default_factory=dict)
    evidence_sha256: Digest | None = None


class Attempt(Wire):
    """One attempt of a run."""

    attempt: int
    state: RunState
    failure_reason: EndReason | None
    conclusion: str | None
    usage: Usage | None
    started_at: Moment
    finished_at: Moment | None


class Run(Wire):
    """A run as people see it."""

    number: Count
    repository_id: GitHubId
    run_id: GitHubId
    attempt: int
    state: RunState
    failure_reason: EndReason | None
    thread: str | None
    familiar: str
    task_kind: TaskKind
    trust_scope: str | None
    conclusion: str | None
    links: dict[str, str]
    created_at: Moment
    started_at: Moment | None
    finished_at: Moment | None
    lease_until: Moment | None
    attempts: tuple[Attempt, ...] = ()


class RunPage(Wire):
    """Some runs, newest first, and where the next ones begin."""

    runs: tuple[Run, ...]
    next: str | None = None


class Event(Wire):
    """An event as it stands in the tenant's sequence."""

    seq: Count
    type: str
    at: Moment
    repository_id: GitHubId | None
    run_id: GitHubId | None
    attempt: int | None
    data: dict[str, Any]


class EventPage(Wire):
    """Events in their order, and the cursor after the last of them."""

    events: tuple[Event, ...]
    cursor: str


# --- memory ---------------------------------------------------------------------------------------------------------

MemoryState = Literal["pending", "approved", "rejected", "stale", "superseded", "revoked", "expired", "purged"]
Terms = Annotated[tuple[Annotated[str, Field(max_length=200)], ...], Field(max_length=64, strict=False)]


class BundleRequest(Wire):
    """Asks for the entries that suit a task.

    Args:
        text: What the task is about; only its words are looked at, and nothing of it is kept.
        paths: Files that the task names.
        branch: The base branch of the work.
        token_budget: How much there is room for.
    """

    text: Annotated[str, Field(max_length=20_000)] = ""
    paths: Terms = ()
    branch: Annotated[str, Field(max_length=255)]
    token_budget: Annotated[int, Field(ge=100, le=20_000)] = DEFAULT_BUNDLE_TOKENS


class BundleEntry(Wire):
    """An entry as a run reads it: data, never an instruction."""

    id: EntryId
    key: str
    scope: MemoryScope
    version: Digest
    kind: EntryKind
    text: Annotated[str, Field(max_length=MAX_TEXT_BYTES)]
    text_sha256: Digest
    shareable: bool
    branches: tuple[str, ...] = Field(default=(), strict=False)
    citations: tuple[Citation, ...] = Field(default=(), strict=False)
    trust_scope: TrustScope
    approved_by: str
    approved_at: Moment


class Bundle(Wire):
    """The entries that fit, best first.

    Args:
        preamble: What stands before them wherever they are read.
        entries: What was chosen.
        tokens: How many they take, estimated.
        left_out: How many would have suited and did not fit.
        reason: Why the run reads nothing at all, where it does not.
    """

    preamble: str
    entries: tuple[BundleEntry, ...] = Field(strict=False)
    tokens: Count
    left_out: Count
    reason: Line = ""


class ProposedEntry(Wire):
    """An entry that a run would like to see remembered; its citations were hashed by the runner."""

    key: Annotated[str, Field(max_length=129)]
    kind: EntryKind
    text: Annotated[str, Field(max_length=MAX_TEXT_BYTES)]
    citations: Annotated[tuple[Citation, ...], Field(max_length=MAX_CITATIONS, strict=False)]
    branches: Annotated[tuple[Annotated[str, Field(max_length=255)], ...], Field(max_length=20, strict=False)] = ()
    shareable: bool = False
    why: Annotated[str, Field(max_length=500)] = ""


class ProposalsRequest(Wire):
    """Proposes entries for the session's repository."""

    proposals: Annotated[tuple[ProposedEntry, ...], Field(min_length=1, max_length=3, strict=False)]
    pull_request: GitHubId | None = None


class ProposalVerdict(Wire):
    """What became of a proposal."""

    key: str
    id: EntryId | None
    version: Digest | None
    state: Literal["pending", "approved", "rejected"]
    reason: str = ""
    sentence: Line = ""
    flags: tuple[str, ...] = Field(default=(), strict=False)


class ProposalVerdicts(Wire):
    """What became of the proposals, in their order, and what people should know, such as a cap that is nearly used."""

    verdicts: tuple[ProposalVerdict, ...] = Field(strict=False)
    warnings: tuple[Line, ...] = Field(default=(), strict=False)


class Validation(Wire):
    """What a run found of an entry's citations at a commit."""

    id: EntryId
    version: Digest
    holds: bool
    commit: Annotated[str, Field(pattern=r"^[0-9a-f]{40}$")]


class ValidationsRequest(Wire):
    """Reports citations that hold, or no longer do."""

    validations: Annotated[tuple[Validation, ...], Field(max_length=400, strict=False)]


class Validated(Wire):
    """What became of an observation: the state the entry is in now, None where the run reads no such entry."""

    id: EntryId
    state: MemoryState | None
    sentence: Line


class ValidationVerdicts(Wire):
    """What became of the observations, in their order."""

    verdicts: tuple[Validated, ...] = Field(strict=False)


class RejectedUse(Wire):
    """A use that is not recorded: the run was not offered the entry, and there is none of this id and version."""

    id: EntryId
    version: Digest
    kind: Literal["read", "cited"]
    sentence: Line


class UsesRecorded(Wire):
    """How many uses are recorded, and which are not."""

    recorded: Count
    rejected: tuple[RejectedUse, ...] = Field(default=(), strict=False)


class MemoryVersion(Wire):
    """A wording of an entry and what became of it."""

    version: Digest
    state: MemoryState
    kind: EntryKind
    text: str
    branches: tuple[str, ...]
    shareable: bool
    citations: tuple[Citation, ...]
    proposed_by: dict[str, Any]
    trust_scope: str
    why: str
    flags: tuple[str, ...]
    reason: str | None
    created_at: Moment
    decided_at: Moment | None


class Memory(Wire):
    """An entry as people see it; `revision` is its ETag."""

    id: EntryId
    key: str
    canonical_key: str
    scope: str
    repository_id: GitHubId | None
    state: MemoryState
    revision: int
    version: Digest | None
    approved_by: str | None
    approved_at: Moment | None
    expires_at: Moment | None
    used_at: Moment | None
    stale_since: Moment | None
    promoted_from: EntryId | None = None
    replaced_by: EntryId | None = None
    current: MemoryVersion | None
    waiting: tuple[MemoryVersion, ...]


class MemoryPage(Wire):
    """Some entries, and where the next ones begin."""

    entries: tuple[Memory, ...]
    next: str | None = None


class MemoryUse(Wire):
    """A run that an entry may have influenced."""

    id: EntryId
    repository_id: GitHubId
    run_id: GitHubId
    number: Count | None
    kind: Literal["offered", "read", "cited"]
    version: Digest
    reference: str
    at: Moment


class MemoryUses(Wire):
    """Runs that were offered, have read or have cited an entry, newest first, and where the next ones begin."""

    id: EntryId
    uses: tuple[MemoryUse, ...]
    next: str | None = None


class DecisionRequest(Wire):
    """A person's decision about an entry.

    Args:
        version: Which wording it is about, where it is about one.
        reason: For the log.
        key, kind, text, branches, shareable: The new wording, where it is an edit.
    """

    version: Digest | None = None
    reason: Line = ""
    kind: EntryKind | None = None
    text: Annotated[str, Field(max_length=MAX_TEXT_BYTES)] | None = None
    citations: Annotated[tuple[Citation, ...], Field(max_length=MAX_CITATIONS, strict=False)] | None = None
    branches: Annotated[tuple[str, ...], Field(max_length=20, strict=False)] | None = None
    shareable: bool | None = None
    replaced_by: EntryId | None = None


class RevokeRequest(Wire):
    """Revokes many entries at once.

    Args:
        prefix: Which: `repo/<id>` or `tenant/<account id>`, with up to two segments of a key, for what lies under it (the
            latter is what the account shares); `account/<account id>` or `installation/<installation id>` for everything
            that the account remembers, in all its repositories.
        reason: For the log.
    """

    prefix: Annotated[str, Field(max_length=180)]
    reason: Line = ""


class Revoked(Wire):
    """How many entries a revocation took, and which runs had them.

    Args:
        prefix: What is revoked; an installation is told as its account.
        entries: How many it took.
        runs: Which runs were offered, have read or have cited them: the newest `MAX_TRACED`. The uses of each entry tell all.
        uses: How many there are in all.
    """

    prefix: str
    entries: Count
    runs: tuple[MemoryUse, ...]
    uses: Count = 0


# --- the outbox -----------------------------------------------------------------------------------------------------

EnvelopeKind = Literal["report", "events", "uses", "proposals", "finish"]


class Envelope(Wire):
    """A write that did not reach the endpoint, kept until a later run of the repository relays it.

    Args:
        kind: Which route it was for.
        key: Its Idempotency-Key, the same for ever.
        repository_id: Whose run wrote it.
        run_id: Which run.
        run_attempt: Which attempt of it.
        created_at: When it was written.
        body: The request's document, as JSON.
    """

    kind: EnvelopeKind
    key: Annotated[str, Field(pattern=r"^[\x21-\x7e]{1,100}$")]
    repository_id: GitHubId
    run_id: GitHubId
    run_attempt: Annotated[int, Field(ge=1, le=10_000)]
    created_at: Moment
    body: Annotated[str, Field(max_length=MAX_BODY_BYTES)]


class RelayRequest(Wire):
    """Hands over what earlier runs of the session's repository could not deliver; each is an envelope, or a sealed one."""

    envelopes: Annotated[tuple[Envelope, ...], Field(max_length=200, strict=False)] = ()
    sealed: Annotated[tuple[Annotated[str, Field(max_length=1_500_000)], ...], Field(max_length=200, strict=False)] = ()


class RelayVerdict(Wire):
    """What became of an envelope; it is not to be relayed again either way."""

    key: str
    accepted: bool
    reason: Line = ""


class RelayVerdicts(Wire):
    """What became of the envelopes: the open ones first, then the sealed ones, in their order."""

    verdicts: tuple[RelayVerdict, ...]


class MemoryVersions(Wire):
    """Wordings of an entry, oldest first, and where the next ones begin."""

    id: EntryId
    versions: tuple[MemoryVersion, ...]
    next: str | None = None


class ErasureReceipt(Wire):
    """What an erasure deleted, and what it could not reach.

    Args:
        receipt_id: Under which it is kept.
        erased: The entries: the one that was asked for, and what was promoted from it.
        counts: Rows deleted, by what they held.
        audit_sequence: Of the row in the audit log.
        same_text: Other entries whose text is the same; they are not erased.
        gaps: Where something of it may still lie.
    """

    receipt_id: str
    erased: tuple[EntryId, ...] = Field(strict=False)
    revision: Count
    counts: dict[str, Count]
    audit_sequence: Count
    same_text: tuple[EntryId, ...] = Field(default=(), strict=False)
    gaps: tuple[str, ...] = Field(strict=False)
    at: Moment


class ErasurePage(Wire):
    """Receipts of erasures, newest first, and where the next ones begin."""

    receipts: tuple[ErasureReceipt, ...]
    next: str | None = None
