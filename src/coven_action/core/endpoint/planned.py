"""What a run knows of the endpoint, as it stands in `plan.json` and `evidence.json`. Pure; no token in it."""

from typing import Final, Literal

from pydantic import ValidationError

from coven_action.core.endpoint.wire import AuditHead, WitnessVerdict
from coven_action.core.records import Record, canonical_json

MAX_WITNESS_BYTES: Final = 4096


class PlannedHistory(Record):
    """How the endpoint answered `plan`.

    Args:
        url: Its address, from the configuration of the default branch.
        state: `admitted`, or `unreachable`: then the run goes on without memory and history.
        reason: Why it is unreachable, or what it said; one line.
        number: The run's number there.
        page: Where people look at the run; None where nobody could.
        warnings: What people should know, such as a cap that is nearly used.
        public: Whether everybody may read the repository, and with it what a run leaves for the next one.
        seal_key: The endpoint's public key, base64, to which what cannot be delivered is sealed on a public repository.
        kept: The head of the audit log that earlier runs had kept.
        witness: The newest head that this run knows.
        witnessed: What the head that an earlier run had kept was worth.
        relayed: Ids of the outboxes that earlier runs have handed over.
    """

    url: str
    state: Literal["admitted", "unreachable"]
    reason: str
    number: int | None = None
    page: str | None = None
    warnings: tuple[str, ...] = ()
    public: bool = True
    seal_key: str = ""
    kept: AuditHead | None = None
    witness: AuditHead | None = None
    witnessed: WitnessVerdict | None = None
    relayed: tuple[int, ...] = ()


class ProposalStatus(Record):
    """What the endpoint said of a proposal: `kept` waits in the outbox, `unknown` was lost on the way."""

    key: str
    id: str
    state: Literal["pending", "approved", "rejected", "kept", "unknown"]
    reason: str = ""


class HistoryEvidence(Record):
    """The endpoint's part of the evidence.

    Args:
        url: Its address.
        state: As `plan` found it.
        number: The run's number there.
        page: Where people look at the run.
        witness: The newest head of the audit log that this run has seen, signed by the endpoint.
        witnessed: Whether the log still had the head that an earlier run of the repository had kept.
        warnings: What people should know.
        proposals: What became of the proposed memory.
    """

    url: str
    state: Literal["admitted", "unreachable"]
    number: int | None
    page: str | None
    witness: AuditHead | None
    witnessed: WitnessVerdict | None
    warnings: tuple[str, ...] = ()
    proposals: tuple[ProposalStatus, ...] = ()


class KeptWitness(Record):
    """The document that the runs of a repository keep for one another.

    Args:
        url: Whose audit log it is about; a head of another endpoint proves nothing about this one.
        head: The newest head any of them has seen.
        relayed: Ids of the outboxes that were handed over to that endpoint.
    """

    kind: Literal["coven-action/witness"] = "coven-action/witness"
    url: str
    head: AuditHead
    relayed: tuple[int, ...] = ()


def parse_witness(data: bytes | None, url: str) -> KeptWitness | None:
    """Return what earlier runs have kept about this endpoint; None where there is nothing that can be read."""
    if data is None or len(data) > MAX_WITNESS_BYTES:
        return None
    try:
        kept = KeptWitness.model_validate_json(data)
    except ValidationError:
        return None
    return kept if kept.url == url else None


def render_witness(url: str, head: AuditHead, relayed: tuple[int, ...] = ()) -> str:
    """Return the document for the runs that follow."""
    return canonical_json(KeptWitness(url=url, head=head, relayed=relayed).model_dump(mode="json"))


def is_newer(head: AuditHead | None, known: AuditHead | None) -> bool:
    """Return whether a head is worth keeping in place of the one that is known.

    After a restore the numbers begin again where the copy stood, so that a later restore counts for more than any number.
    """
    return head is not None and (known is None or (head.resealed, head.seq) > (known.resealed, known.seq))
