"""Hand over what earlier runs could not deliver to the endpoint. Trouble with it is said, and costs nothing but the try.

What was handed over is remembered by the runs for one another, so that the next ones are about something else. Where that
is lost, the same is handed over again: each envelope has its key for ever, and the endpoint does nothing twice. An envelope
that the endpoint refuses is said and set aside, where it lies, and the next one is handed over.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from coven_action.core.documents import TaskIdentity
from coven_action.core.endpoint.relaying import (
    MAX_ARCHIVE_BYTES,
    MAX_SEARCH,
    OUTBOX_NAMES,
    OutboxArtifact,
    SetAside,
    choose_artifacts,
    describe_set_aside,
    halve,
    is_of_workflow,
    keep_own,
    list_refused,
    parse_files,
    read_archive,
    set_aside,
    split_request,
)
from coven_action.core.endpoint.wire import RelayRequest, RelayVerdicts
from coven_action.errors import DocumentError, Error
from coven_action.stages.ports import KeptOutboxes


@dataclass(frozen=True, slots=True)
class Relayed:
    """What became of the outboxes.

    Args:
        handled: Ids of those that are not to be tried again: handed over, or refused for good.
        said: One line for people; "" where there was nothing.
    """

    handled: tuple[int, ...] = ()
    said: str = ""


def relay_outboxes(
    task: TaskIdentity,
    *,
    default_branch: str,
    relayed: Sequence[int],
    now: datetime,
    relay: Callable[[RelayRequest, str], RelayVerdicts],
    outboxes: KeptOutboxes,
) -> Relayed:
    """Relay what waits, as much as one run may, and return what became of it.

    Args:
        task: This run.
        default_branch: Of the repository.
        relayed: Ids that earlier runs have handled.
        now: The time.
        relay: Hands a request to the endpoint; the text makes its key one of its own. Raises `DocumentError` where the
            request itself is refused, and another `Error` where there is no answer.
        outboxes: What waits, at GitHub.
    """
    tally = _Tally()
    try:
        found = [artifact for name in OUTBOX_NAMES for artifact in outboxes.find(name)]
        chosen = choose_artifacts(found, task=task, default_branch=default_branch, relayed=relayed, now=now)
        own = outboxes.get_run(task.run_id) if chosen else None
        if own is None or own.head_branch != default_branch:
            return Relayed()
        for artifact in chosen:
            # What another workflow left under this name is passed over for good, so that it keeps no other back.
            if is_of_workflow(outboxes.get_run(artifact.run_id), own):
                tally.relay(artifact, _download(artifact, task, now, outboxes), relay)
            tally.handled.append(artifact.id)
    except Error as error:
        tally.trouble = f"outboxes of earlier runs wait for a later run: {error.message}"
    return tally.tell()


def _download(
    artifact: OutboxArtifact, task: TaskIdentity, now: datetime, outboxes: KeptOutboxes
) -> RelayRequest | DocumentError:
    """Return what an artifact holds for the endpoint, or why it is none of ours, today and tomorrow."""
    data = outboxes.download(artifact.id, MAX_ARCHIVE_BYTES)
    try:
        files = read_archive(data, artifact.digest)
    except DocumentError as refused:
        return refused
    return keep_own(parse_files(files, now), artifact, task.repository_id)


@dataclass(slots=True)
class _Tally:
    """What has become of the outboxes so far."""

    handled: list[int] = field(default_factory=list)
    accepted: int = 0
    refused: list[str] = field(default_factory=list)
    trouble: str = ""

    def relay(
        self,
        artifact: OutboxArtifact,
        kept: RelayRequest | DocumentError,
        relay: Callable[[RelayRequest, str], RelayVerdicts],
    ) -> None:
        if isinstance(kept, DocumentError):
            self.refused.append(kept.message)
            return
        requests, refused = split_request(kept)
        search = _Search(relay, MAX_SEARCH)
        found = [search.hand_over(request, f"{artifact.id}-{number}") for number, request in enumerate(requests)]
        self.accepted += search.accepted
        refused = (*refused, *(each for part in found for each in part))
        if refused:
            self.refused.append(describe_set_aside(artifact, refused))

    def tell(self) -> Relayed:
        accepted = f"{self.accepted} delivered for earlier runs" if self.accepted else ""
        said = (accepted, *self.refused, self.trouble)
        return Relayed(tuple(self.handled), " · ".join(part for part in said if part))


@dataclass(slots=True)
class _Search:
    """Hands the envelopes of an artifact over, and finds those for which a whole request is refused.

    Args:
        relay: Hands a request to the endpoint.
        left: Requests that may be made besides the first ones, to tell the refused from the others.
        accepted: How many envelopes were accepted.
    """

    relay: Callable[[RelayRequest, str], RelayVerdicts]
    left: int
    accepted: int = 0

    def hand_over(self, request: RelayRequest, part: str) -> tuple[SetAside, ...]:
        """Return what the endpoint refused of a request."""
        try:
            answer = self.relay(request, part)
        except DocumentError as refused:
            return self._look_for_refused(request, part, refused)
        self.accepted += sum(verdict.accepted for verdict in answer.verdicts)
        return list_refused(request, answer)

    def _look_for_refused(self, request: RelayRequest, part: str, refused: DocumentError) -> tuple[SetAside, ...]:
        """Hand over the halves: one envelope that the endpoint cannot take would keep the others back for ever."""
        halves = halve(request)
        if not halves or self.left < len(halves):
            return set_aside(request, refused.message)
        self.left -= len(halves)
        found = [self.hand_over(half, f"{part}-{number}") for number, half in enumerate(halves)]
        return tuple(each for half in found for each in half)
