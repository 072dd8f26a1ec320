"""Which outboxes of earlier runs a run hands over to the endpoint, and what of them. Pure; nothing is unpacked by name.

An artifact is anybody's who ran in one of the repository's jobs, so little is believed of it: it counts where it was left
by a run of the same workflow on the default branch, it speaks for that run alone, and its size is bounded before and while
it is read. What an envelope is worth the endpoint decides by the claims of the run that it is about.
"""

import re
import zipfile
import zlib
from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime
from io import BytesIO
from typing import Final

from pydantic import ValidationError

from coven_action.core.documents import TaskIdentity
from coven_action.core.endpoint.outbox import MAX_AGE, keep_envelopes
from coven_action.core.endpoint.wire import MAX_BODY_BYTES, Envelope, RelayRequest, RelayVerdicts
from coven_action.core.records import Record, sha256_hex
from coven_action.errors import DocumentError

OUTBOX_NAMES: Final = ("coven-outbox-1", "coven-outbox-2")
"""The artifacts in which the first two attempts of a run leave their outbox; GitHub lists artifacts by exact name."""
MAX_ARTIFACTS: Final = 3
"""How many a run relays: each costs two requests of the twenty that `publish` may make."""
MAX_REMEMBERED: Final = 60
"""How many relayed artifacts the runs remember for one another; one that is forgotten is relayed again, to no effect."""
MAX_ARCHIVE_BYTES: Final = 8 * 1024 * 1024
MAX_UNPACKED_BYTES: Final = 16 * 1024 * 1024
MAX_FILES: Final = 400
MAX_FILE_BYTES: Final = 2 * MAX_BODY_BYTES
REFUSAL_STATUSES: Final = frozenset({400, 413, 422})
"""HTTP statuses by which the endpoint refuses what was sent, whoever sends it; after any other it may be sent again."""
MAX_SEARCH: Final = 32
"""Requests in which a run looks for the refused envelopes of an artifact; one among two hundred takes sixteen."""
OPEN_SUFFIX: Final = ".json"
SEALED_SUFFIX: Final = ".sealed"

_MAX_SEALED: Final = 1_500_000
_MAX_AT_ONCE: Final = 200
_MAX_NAMED: Final = 5
_UNANSWERED: Final = "the endpoint said nothing of it"
# A request's frame around the envelopes, and room for what a proxy may add.
_BODY_ROOM: Final = MAX_BODY_BYTES - 16 * 1024
# What the standard library raises for zip files that are damaged, encrypted, or made to mislead it.
_DAMAGE: Final = (
    zipfile.BadZipFile,
    zlib.error,
    EOFError,
    ValueError,
    ArithmeticError,
    LookupError,
    RuntimeError,
)


class RunFacts(Record):
    """What GitHub says of a run of a workflow.

    Args:
        id: Its number.
        workflow_id: Of the workflow's file; a file of another name has another one.
        head_branch: The branch it ran for, None where there was none.
    """

    id: int
    workflow_id: int
    head_branch: str | None


class SetAside(Record):
    """What is not handed over again: it stays in the artifact until GitHub deletes that.

    Args:
        name: Which envelopes: kind and key of an open one; a sealed one says nothing of itself.
        reason: Why, as the endpoint said it, or we.
    """

    name: str
    reason: str


class OutboxArtifact(Record):
    """What GitHub says of an artifact.

    Args:
        id: Its number.
        name: As it was uploaded.
        size: Of the zip file, in bytes.
        digest: `sha256:` and the digest of the zip file; None where GitHub knows none.
        expired: Whether it is gone.
        created_at: When it was uploaded.
        run_id: The run that left it.
        head_repository_id: Whose branch the run was for: a fork's run is not ours.
        head_branch: That branch.
    """

    id: int
    name: str
    size: int
    digest: str | None
    expired: bool
    created_at: datetime
    run_id: int
    head_repository_id: int
    head_branch: str | None

    @property
    def run_attempt(self) -> int:
        """The attempt of the run, as the name says it."""
        return int(self.name.rpartition("-")[2])


def choose_artifacts(
    found: Iterable[OutboxArtifact],
    *,
    task: TaskIdentity,
    default_branch: str,
    relayed: Sequence[int],
    now: datetime,
) -> tuple[OutboxArtifact, ...]:
    """Return the artifacts that may be relayed now, oldest first: those that wait longest are lost first.

    Args:
        found: What lies there.
        task: The run that asks: what it leaves itself is for a later one.
        default_branch: The only branch whose workflows are the repository's own.
        relayed: Ids that earlier runs have handled.
        now: The time, with its zone.
    """
    waiting = [
        each
        for each in found
        if each.name in OUTBOX_NAMES
        and not each.expired
        and each.id not in relayed
        and each.run_id != task.run_id
        and each.head_repository_id == task.repository_id
        and each.head_branch == default_branch
        and now - each.created_at <= MAX_AGE
        and each.size <= MAX_ARCHIVE_BYTES
    ]
    return tuple(sorted(waiting, key=lambda each: each.id))[:MAX_ARTIFACTS]


def is_of_workflow(run: RunFacts, own: RunFacts) -> bool:
    """Return whether a run is of the workflow of our own run, on the same branch."""
    return (run.workflow_id, run.head_branch) == (own.workflow_id, own.head_branch)


def remember(relayed: Iterable[int], handled: Iterable[int]) -> tuple[int, ...]:
    """Return the ids to remember, the newest of them all."""
    return tuple(sorted({*relayed, *handled}))[-MAX_REMEMBERED:]


def read_archive(data: bytes, digest: str | None) -> tuple[tuple[str, bytes], ...]:
    """Return name and content of the envelopes' files in an artifact, by name.

    Args:
        data: The zip file.
        digest: What GitHub says it is.

    Raises:
        DocumentError: `outbox-refused`: it is damaged, too large, not what GitHub says, or holds a path or a link.
    """
    if digest is not None and digest != f"sha256:{sha256_hex(data)}":
        raise _refuse("it is not the file whose digest GitHub names")
    try:
        with zipfile.ZipFile(BytesIO(data)) as packed:
            return tuple(sorted(_read_members(packed)))
    except _DAMAGE as error:
        raise _refuse(f"it is damaged ({type(error).__name__})") from error


def _read_members(packed: zipfile.ZipFile) -> Iterator[tuple[str, bytes]]:
    members = packed.infolist()
    if len(members) > MAX_FILES:
        raise _refuse(f"it holds more than {MAX_FILES} files")
    if len({member.orig_filename for member in members}) != len(members):
        raise _refuse("it holds a name twice")
    left = MAX_UNPACKED_BYTES
    for member in members:
        # An outbox is flat, and made of ordinary files. We write none of them to a disk; whoever packs others means harm.
        if not re.fullmatch(r"[0-9a-z-]{1,100}\.(?:json|sealed)", member.orig_filename):
            raise _refuse("it holds something else than envelopes")
        with packed.open(member) as file:
            content = file.read(MAX_FILE_BYTES + 1)  # what it really unpacks to: the size in its header is only said
        left -= len(content)
        if len(content) > MAX_FILE_BYTES or left < 0:
            raise _refuse("it unpacks to more than is allowed")
        yield member.filename, content


def _refuse(reason: str) -> DocumentError:
    return DocumentError("outbox-refused", f"An outbox of an earlier run is refused: {reason}.")


def parse_files(files: Iterable[tuple[str, bytes]], now: datetime) -> RelayRequest:
    """Return everything that is to be relayed. What is no envelope is passed over: the files may be anybody's.

    Args:
        files: Names and contents, in the order in which they were kept.
        now: The time, with its zone.
    """
    opened: list[Envelope] = []
    sealed: list[str] = []
    for name, data in files:
        if name.endswith(OPEN_SUFFIX):
            opened.extend(_parse_envelope(data))
        elif name.endswith(SEALED_SUFFIX) and data.isascii() and 0 < len(data) <= _MAX_SEALED:
            sealed.append(data.decode())
    envelopes = keep_envelopes(opened, now=now).envelopes[:_MAX_AT_ONCE]
    return RelayRequest(envelopes=envelopes, sealed=tuple(sealed[:_MAX_AT_ONCE]))


def _parse_envelope(data: bytes) -> tuple[Envelope, ...]:
    try:
        return (Envelope.model_validate_json(data),)
    except ValidationError:
        return ()


def keep_own(request: RelayRequest, artifact: OutboxArtifact, repository_id: int) -> RelayRequest:
    """Return what an artifact says of the run that left it; of any other run it may say nothing.

    A sealed envelope cannot be looked into. The endpoint opens it, and weighs it by the claims of the run it is about.
    """
    own = (repository_id, artifact.run_id, artifact.run_attempt)
    kept = tuple(each for each in request.envelopes if (each.repository_id, each.run_id, each.run_attempt) == own)
    return request.model_copy(update={"envelopes": kept})


def split_request(request: RelayRequest) -> tuple[tuple[RelayRequest, ...], tuple[SetAside, ...]]:
    """Return requests that the endpoint's limit lets pass, in the same order, and what is too large even alone."""
    requests: list[RelayRequest] = []
    group: list[Envelope | str] = []
    too_large: list[SetAside] = []
    size = 0
    for part in _list_parts(request):
        weight = len(part) + 3 if isinstance(part, str) else len(part.model_dump_json().encode()) + 1
        if weight > _BODY_ROOM:
            too_large.append(SetAside(name=_name_part(part), reason="it is larger than the endpoint takes"))
            continue
        if size + weight > _BODY_ROOM:
            requests.append(_build_request(group))
            group, size = [], 0
        group.append(part)
        size += weight
    return tuple(requests) + ((_build_request(group),) if group else ()), tuple(too_large)


def halve(request: RelayRequest) -> tuple[RelayRequest, ...]:
    """Return the two halves of a request, in the same order; nothing where it holds one envelope."""
    parts = _list_parts(request)
    if len(parts) < 2:  # noqa: PLR2004 a half of one is none
        return ()
    middle = len(parts) // 2
    return _build_request(parts[:middle]), _build_request(parts[middle:])


def list_refused(request: RelayRequest, verdicts: RelayVerdicts) -> tuple[SetAside, ...]:
    """Return the envelopes of a request that the endpoint's answer does not accept; the answer is in their order."""
    parts = _list_parts(request)
    named = zip(parts, verdicts.verdicts, strict=False)
    refused = [SetAside(name=_name_part(part), reason=said.reason) for part, said in named if not said.accepted]
    unanswered = parts[len(verdicts.verdicts) :]
    return (*refused, *(SetAside(name=_name_part(part), reason=_UNANSWERED) for part in unanswered))


def set_aside(request: RelayRequest, reason: str) -> tuple[SetAside, ...]:
    """Return every envelope of a request that is refused as a whole."""
    return tuple(SetAside(name=_name_part(part), reason=reason) for part in _list_parts(request))


def describe_set_aside(artifact: OutboxArtifact, refused: Sequence[SetAside]) -> str:
    """Return what is set aside of an artifact, and why, in one line for people.

    Args:
        artifact: In which it stays.
        refused: What; at least one.
    """
    named = "; ".join(f"{each.name}: {each.reason or 'no reason given'}" for each in refused[:_MAX_NAMED])
    more = f"; and {len(refused) - _MAX_NAMED} more" if len(refused) > _MAX_NAMED else ""
    return f"{len(refused)} set aside, in {artifact.name} of run {artifact.run_id} until that expires ({named}{more})"


def _list_parts(request: RelayRequest) -> tuple[Envelope | str, ...]:
    return (*request.envelopes, *request.sealed)


def _name_part(part: Envelope | str) -> str:
    return "a sealed envelope" if isinstance(part, str) else f"{part.kind} {part.key}"


def _build_request(parts: Sequence[Envelope | str]) -> RelayRequest:
    return RelayRequest(
        envelopes=tuple(part for part in parts if isinstance(part, Envelope)),
        sealed=tuple(part for part in parts if isinstance(part, str)),
    )
