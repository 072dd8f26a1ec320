"""Take in what earlier runs of a repository could not deliver.

Who relays is a run of the same repository with a session of its own; whose words they are is the earlier run's, so its
authority counts and not the relaying one's: what its claims were worth stands with each attempt, and one that never had a
session may only be shown to people. Each envelope is its own write under its own key: one that did arrive the first time is
told again and not done again.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any, Final, Protocol

from pydantic import ValidationError
from sqlalchemy import select

from coven_action.core.endpoint.wire import (
    Envelope,
    EnvelopeKind,
    EventsRequest,
    FinishRequest,
    ProposalsRequest,
    ProposalVerdicts,
    RelayVerdict,
    RunReport,
    SessionScopes,
    UsesRequest,
    Wire,
)
from coven_action.core.records import Record
from coven_action.hosted.fingerprints import build_fingerprint, name_keys
from coven_action.hosted.principals import RunPrincipal
from coven_action.hosted.problems import Problem
from coven_action.hosted.services import events, memory_proposals, memory_uses, runs
from coven_action.hosted.store import schema
from coven_action.hosted.store.commands import Command, KeyReused, Reading, Store
from coven_action.hosted.store.transaction import IdempotencyKey, Reply, Transaction

_NO_SCOPES: Final = SessionScopes(
    read="none", tenant_shared=False, propose=False, validate_entries=False, reason="the run never had a session"
)


@dataclass(frozen=True, slots=True)
class _Route:
    """The route that an envelope was for: its name and path make the idempotency key what it was."""

    name: str
    path: str
    status: int
    takes: type[Wire]
    service: Callable[[Transaction, RunPrincipal, Any], Record]


ROUTES: Final[Mapping[EnvelopeKind, _Route]] = {
    "report": _Route("report_run", "/v1/runs/self", 200, RunReport, runs.record_run),
    "events": _Route("append_events", "/v1/runs/self/events", 202, EventsRequest, events.append_events),
    "uses": _Route("record_uses", "/v1/runs/self/uses", 200, UsesRequest, memory_uses.record_uses),
    "proposals": _Route(
        "propose_entries", "/v1/memory/proposals", 200, ProposalsRequest, memory_proposals.propose_entries
    ),
    "finish": _Route("finish_run", "/v1/runs/self/finish", 200, FinishRequest, runs.finish_run),
}


UNREADABLE: Final = RelayVerdict(key="", accepted=False, reason="it was not sealed to this endpoint, or is no envelope")
"""Of a sealed envelope whose key nobody can read."""


class Unsealing(Protocol):
    """Opens what was sealed to the deployment."""

    def unseal(self, sealed: str) -> bytes | None:
        """Return it; None where it was sealed to another, or is no sealed box."""


def unseal_envelope(sealed: str, keys: Unsealing) -> Envelope | None:
    """Return the envelope that was sealed to this deployment; None where there is none."""
    opened = keys.unseal(sealed)
    if opened is None:
        return None
    try:
        return Envelope.model_validate_json(opened)
    except ValidationError:
        return None


async def relay_envelopes(
    store: Store, principal: RunPrincipal, envelopes: Iterable[Envelope]
) -> tuple[RelayVerdict, ...]:
    """Do the writes of the envelopes, one after the other, and return what became of each.

    Raises:
        StoreUnavailable: The database could not take one; the relaying run tries them all again, and none is done twice.
    """
    return tuple([await _deliver(store, principal, envelope) for envelope in envelopes])


async def _deliver(store: Store, principal: RunPrincipal, envelope: Envelope) -> RelayVerdict:
    if envelope.repository_id != principal.session.repository_id:
        return RelayVerdict(key=envelope.key, accepted=False, reason="it is another repository's")
    route = ROUTES[envelope.kind]
    try:
        document = route.takes.model_validate_json(envelope.body)
    except ValidationError:
        return RelayVerdict(key=envelope.key, accepted=False, reason="its body is not the document of its kind")
    author = await store.read(principal.tenant_id, lambda reading: _find_author(reading, principal, envelope))

    def work(transaction: Transaction) -> Reply:
        result = route.service(transaction, author, document)
        if isinstance(result, ProposalVerdicts):
            # As on its own route, no word of a proposal stays with the answer.
            bare = tuple(verdict.model_copy(update={"key": ""}) for verdict in result.verdicts)
            result = result.model_copy(update={"verdicts": bare})
        return Reply(route.status, result.model_dump_json().encode())

    fingerprint = build_fingerprint(route.path, "", document)
    key = IdempotencyKey(name_keys(route.name, author.actor), envelope.key, fingerprint)
    try:
        await store.write(Command(principal.tenant_id, work, key, author.run))
    except Problem as problem:
        return RelayVerdict(key=envelope.key, accepted=False, reason=problem.detail[:300])
    except KeyReused:
        return RelayVerdict(key=envelope.key, accepted=False, reason="its key has carried another request")
    return RelayVerdict(key=envelope.key, accepted=True)


def _find_author(reading: Reading, principal: RunPrincipal, envelope: Envelope) -> RunPrincipal:
    """Return the attempt that wrote an envelope, with what its own claims were worth; one nobody knows is worth nothing."""
    columns = schema.run_attempts.c
    known = reading.fetch_one(
        select(columns.tier, columns.scopes).where(
            columns.tenant_id == reading.tenant_id,
            columns.repository_id == envelope.repository_id,
            columns.run_id == envelope.run_id,
            columns.attempt == envelope.run_attempt,
        )
    )
    document = principal.session.model_copy(
        update={
            "run_id": envelope.run_id,
            "run_attempt": envelope.run_attempt,
            "tier": known.tier if known is not None else "T0",
            "scopes": SessionScopes.model_validate(known.scopes) if known is not None else _NO_SCOPES,
        }
    )
    return replace(principal, session=document)
