"""The result: what a runtime says it did, accepted in versions 2 and 3 of the contract.

Pure. A result is hostile input: it is read within bounds, its version is checked first, every known field must have its
type, and fields that the contract does not know are recorded by name and dropped. `review.memory` and `memory_used`
are tolerated in either version.
"""

from typing import Annotated, Any, Final, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from coven_action.core.strict_json import StrictJSONError, parse_json_object
from coven_action.errors import RuntimeFault

ACCEPTED_VERSIONS: Final = ("2", "3")
MAX_RESULT_BYTES: Final = 1024 * 1024
MAX_UNKNOWN_FIELDS: Final = 100
"""Names of unknown fields that are kept; a result with more of them says nothing more by the hundred-and-first."""
MAX_FIELD_NAME: Final = 200
"""Characters kept of one unknown field's dotted path."""
SHOWN_FAULTS: Final = 3

Status = Literal["success", "failure", "partial", "needs_input"]
ExitReason = Literal["test_failure", "ambiguous_spec", "git_conflict", "infra_error"]


class _Document(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)


class ResultCommit(_Document):
    """A commit the runtime says it made."""

    sha: str
    message: str


class Finding(_Document):
    """A finding of a review."""

    severity: Literal["info", "low", "medium", "high", "critical"]
    file: str
    line: Annotated[int, Field(ge=1)] | None
    title: str
    body: str
    recommendation: str | None


class ClaimedTest(_Document):
    """A command the runtime says it ran, and how it says it ended. A claim, never evidence."""

    command: str
    status: Literal["passed", "failed", "not_run", "unknown"]
    output_summary: str | None


class LoadedMemoryEntry(_Document):
    """A memory entry the runtime says it loaded."""

    id: str
    trust: str
    visibility: str | None
    scope: str
    source: str | None
    source_ref: str | None
    source_repo: str | None
    source_commit: str | None
    source_actor: str | None
    session_id: str | None
    transcript_ref: str | None
    created_by: str | None
    provenance: list[str]


class LoadedMemory(_Document):
    """The memory the runtime says a review had (`review.memory`)."""

    domains_loaded: list[str]
    entries: list[LoadedMemoryEntry]


class Review(_Document):
    """What a review says it looked at and found."""

    mode: Literal["none", "pull_request", "review_comment"]
    evidence_status: Literal["not_applicable", "complete", "partial", "missing"]
    reviewed_files: list[str]
    supporting_files: list[str]
    findings: list[Finding]
    tests_run: list[ClaimedTest]
    no_findings_reason: str | None
    limitations: list[str]
    memory: LoadedMemory | None = None

    @model_validator(mode="after")
    def _check_reviewed_files(self) -> Self:
        if self.mode != "none" and not self.reviewed_files and self.evidence_status != "missing":
            raise ValueError("a review names the files it reviewed, or says that its evidence is missing")
        return self


class MemoryRead(_Document):
    """An entry the runtime says it read."""

    id: str
    scope: str


class MemoryProposed(_Document):
    """An entry the runtime proposes; whatever it says about approval decides nothing."""

    key: str
    summary: str
    scope: str
    approval: Literal["pending", "applied", "auto"]


class MemoryRejected(_Document):
    """An entry the runtime says it held back itself."""

    summary: str
    scope: str
    reason: Literal["pii", "secret", "out_of_scope", "low_confidence"]


class MemoryUsed(_Document):
    """The memory activity the runtime reports."""

    enabled: bool
    read: list[MemoryRead] = []
    proposed: list[MemoryProposed] = []
    rejected: list[MemoryRejected] = []


class _Claims(_Document):
    """The document itself, without what we add to it."""

    contract_version: Literal["2", "3"]
    status: Status
    exit_reason: ExitReason | None = None
    summary: str
    pr_body: str
    branch: str | None = None
    commits: list[ResultCommit]
    files_changed: list[str]
    review: Review
    memory_used: MemoryUsed | None = None

    @model_validator(mode="after")
    def _check_version_2(self) -> Self:
        if self.contract_version == "2":
            _check_version_2_conditions(self)
        return self


def _check_version_2_conditions(result: _Claims) -> None:
    """Raise ValueError where version 2 binds two fields together; version 3 dropped these conditions."""
    if result.status == "success" and result.exit_reason is not None:
        raise ValueError("success has no exit_reason")
    if result.status in {"failure", "needs_input"} and result.exit_reason is None:
        raise ValueError(f"{result.status} needs an exit_reason")
    if (result.review.mode == "none") != (result.review.evidence_status == "not_applicable"):
        raise ValueError("review.evidence_status does not fit review.mode")


class RuntimeResult(_Claims):
    """What a runtime says it did. Every field is a claim; the tree decides."""

    unknown_fields: tuple[str, ...] = ()
    """Dotted paths of fields that the contract does not know; their values were dropped."""


def parse_result(data: bytes) -> RuntimeResult:
    """Return the result that a runtime wrote.

    Args:
        data: The file as read, at most `MAX_RESULT_BYTES`; read one byte more than that, so that larger is noticed.

    Raises:
        RuntimeFault: `malformed-result` or `contract-version`.
    """
    try:
        document = parse_json_object(data, max_bytes=MAX_RESULT_BYTES)
    except StrictJSONError as error:
        raise RuntimeFault("malformed-result", f"The runtime's result cannot be read: {error}.") from error
    _check_version(document)
    try:
        return _build_result(document)
    except ValidationError as error:
        raise RuntimeFault(
            "malformed-result", f"The runtime's result breaks the contract: {_explain(error)}."
        ) from error


def _check_version(document: dict[str, Any]) -> None:
    if "contract_version" not in document:
        raise RuntimeFault("malformed-result", "The runtime's result has no contract_version.")
    version = document["contract_version"]
    if version not in ACCEPTED_VERSIONS:
        shown = repr(version) if isinstance(version, str | int | float) else type(version).__name__
        raise RuntimeFault(
            "contract-version",
            f"The runtime's result has contract_version {shown[:20]}; {' and '.join(ACCEPTED_VERSIONS)} are read.",
        )


def _build_result(document: dict[str, Any]) -> RuntimeResult:
    unknown = _find_unknown_fields(document)
    for path in reversed(unknown):
        _drop(document, path)
    names = tuple(".".join(map(str, path))[:MAX_FIELD_NAME] for path in unknown[:MAX_UNKNOWN_FIELDS])
    return RuntimeResult.model_validate({**document, "unknown_fields": names})


def _find_unknown_fields(document: dict[str, Any]) -> list[tuple[int | str, ...]]:
    """Return the paths that the models, which forbid extra fields, complain about."""
    try:
        _Claims.model_validate(document)
    except ValidationError as error:
        details = error.errors(include_url=False, include_context=False, include_input=False)
        return [detail["loc"] for detail in details if detail["type"] == "extra_forbidden"]
    return []


def _drop(document: Any, path: tuple[int | str, ...]) -> None:
    for step in path[:-1]:
        document = document[step]
    del document[path[-1]]


def _explain(error: ValidationError) -> str:
    """Return the first few faults as `path: what`, without the values, which are hostile text."""
    details = error.errors(include_url=False, include_context=False, include_input=False)
    faults = [f"{'.'.join(map(str, detail['loc'])) or 'it'}: {detail['msg']}" for detail in details[:SHOWN_FAULTS]]
    more = f" and {len(details) - SHOWN_FAULTS} more" if len(details) > SHOWN_FAULTS else ""
    return "; ".join(faults) + more
