"""Proposals of runs: screened, compared with what is there, and left waiting for a person, or approved by policy.

A verdict is a word and a sentence of ours; neither repeats what was proposed. Nothing of a rejected proposal is kept but
its id and why.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from sqlalchemy import Row, func, select

from coven_action.core.endpoint.approval import BY_POLICY, ProposalFacts, find_obstacle
from coven_action.core.endpoint.caps import measure_cap
from coven_action.core.endpoint.memory_states import LIVE, find_step
from coven_action.core.endpoint.ranking import extract_query
from coven_action.core.endpoint.similarity import Compared, Likeness, find_likeness
from coven_action.core.endpoint.wire import ProposalsRequest, ProposalVerdict, ProposalVerdicts, ProposedEntry
from coven_action.core.memory.judging import MAX_PROPOSALS
from coven_action.core.memory.keys import build_canonical_key, build_entry_id, is_denied
from coven_action.core.memory.screens import screen_proposal
from coven_action.hosted.principals import RunPrincipal
from coven_action.hosted.problems import Problem
from coven_action.hosted.services.memory_authority import MemoryAuthority, find_authority
from coven_action.hosted.services.memory_checks import Refused, find_mistake, screen_wording
from coven_action.hosted.services.memory_entries import (
    Wording,
    find_entry,
    find_matched,
    find_version,
    get_entry,
    insert_entry,
    insert_version,
    let_hold,
    list_versions,
    record_decision,
    update_entry,
    update_version,
)
from coven_action.hosted.services.policies import read_caps, read_policy
from coven_action.hosted.store import schema
from coven_action.hosted.store.transaction import Transaction

MAX_COMPARED: Final = 64
"""Entries that a proposal is compared with: the approved ones that share the most words, and the newest that wait."""


@dataclass(frozen=True, slots=True)
class _Situation:
    """What a proposal is held against.

    Args:
        transaction: Of the tenant.
        principal: Who proposes.
        authority: What they may.
        pull_request: Where the run's work is shown.
        proposed: How many proposals of the run were taken before.
    """

    transaction: Transaction
    principal: RunPrincipal
    authority: MemoryAuthority
    pull_request: int | None
    proposed: int


def propose_entries(transaction: Transaction, principal: RunPrincipal, request: ProposalsRequest) -> ProposalVerdicts:
    """Judge a run's proposals, one by one, in their order.

    Raises:
        Problem: `not-permitted`: this run may propose nothing; `no-such-resource`: it has not been reported; `quota-exceeded`:
            the account holds as many entries as its tier allows.
    """
    if not principal.session.scopes.propose:
        raise Problem("not-permitted", f"The run's claims allow no proposal: {principal.session.scopes.reason}.")
    authority = find_authority(transaction, principal)
    if "repo" not in authority.write_scopes:
        reason = authority.reason or f"trust ({authority.trust_scope}), policy and report leave nothing to propose into"
        raise Problem("not-permitted", f"The run may propose nothing: {reason}.")
    warnings = _check_cap(transaction)
    transaction.meter(authority.meter_key, "proposals", len(request.proposals))
    transaction.append_audit(
        actor=principal.actor,
        action="memory.proposals",
        subject=f"run:{authority.number}",
        detail={"count": len(request.proposals)},
    )
    verdicts: list[ProposalVerdict] = []
    proposed = _count_proposed(transaction, principal)
    for each in request.proposals:
        situation = _Situation(transaction, principal, authority, request.pull_request, proposed)
        verdict, is_kept = _judge(each, situation)
        proposed += is_kept
        verdicts.append(verdict)
    return ProposalVerdicts(verdicts=tuple(verdicts), warnings=warnings)


def _check_cap(transaction: Transaction) -> tuple[str, ...]:
    caps = read_caps(transaction)
    cap = caps.memory_entries
    columns = schema.memory.c
    row = transaction.fetch_one(
        select(func.count()).where(columns.tenant_id == transaction.tenant_id, columns.state.in_(sorted(LIVE)))
    )
    used = int(row[0]) if row is not None else 0
    standing = measure_cap(used, cap, caps.soft_percent)
    if standing == "hard":
        raise Problem("quota-exceeded", f"The account holds {used} entries, as many as its tier allows.")
    return (f"{used + 1} of {cap} entries of memory are used",) if standing == "soft" else ()


def _count_proposed(transaction: Transaction, principal: RunPrincipal) -> int:
    columns = schema.memory_versions.c
    row = transaction.fetch_one(
        select(func.count()).where(
            columns.tenant_id == transaction.tenant_id,
            columns.repository_id == principal.run.repository_id,
            columns.run_id == principal.run.run_id,
        )
    )
    return int(row[0]) if row is not None else 0


def _judge(proposed: ProposedEntry, situation: _Situation) -> tuple[ProposalVerdict, bool]:
    """Return the verdict, and whether a wording was kept that was not there before."""
    wording = Wording(
        key=proposed.key,
        kind=proposed.kind,
        scope="repo",
        text=proposed.text.strip(),
        branches=tuple(dict.fromkeys(proposed.branches)),
        shareable=proposed.shareable,
        citations=tuple(dict.fromkeys(proposed.citations)),
    )
    refused = find_mistake(wording) or screen_wording(wording, proposed.why, screen_proposal)
    if refused is not None:
        return _reject(proposed, situation, refused, None), False
    canonical_key = build_canonical_key(situation.authority.repository_id, wording.key)
    memory_id = build_entry_id(canonical_key)
    refused = _check_entry(canonical_key, memory_id, wording, situation)
    if refused is not None:
        return _reject(proposed, situation, refused, memory_id), False
    known = find_version(situation.transaction, memory_id, wording.version)
    if known is not None and known.state in {"pending", "approved", "stale"}:
        return _repeat(proposed, known), False
    if situation.proposed >= MAX_PROPOSALS:
        refused = "too_many", f"run has made {MAX_PROPOSALS} proposals, as many as a run may"
        return _reject(proposed, situation, refused, memory_id), False
    return _keep(proposed, wording, canonical_key, situation), known is None


def _check_entry(canonical_key: str, memory_id: str, wording: Wording, situation: _Situation) -> Refused | None:
    """Refuse what somebody has decided against already."""
    transaction = situation.transaction
    if is_denied(canonical_key, situation.authority.denied):
        return "revoked", "key was revoked"
    entry = find_entry(transaction, memory_id)
    if entry is not None and find_step("propose", entry.state) is None:
        return "revoked", f"key was {entry.state}"
    known = find_version(transaction, memory_id, wording.version)
    if known is not None and known.state in {"rejected", "revoked"}:
        return "rejected_before", f"wording was {known.state} before; a person can restore it"
    return None


def _reject(proposed: ProposedEntry, situation: _Situation, refused: Refused, memory_id: str | None) -> ProposalVerdict:
    reason, sentence = refused
    situation.transaction.append_event(
        "memory.refused",
        {"reason": reason, "id": memory_id},
        run=situation.principal.run,
        attempt=situation.principal.session.run_attempt,
    )
    situation.transaction.append_audit(
        actor=situation.principal.actor,
        action="memory.refuse",
        subject=f"memory:{memory_id}" if memory_id else f"repository:{situation.authority.repository_id}",
        detail={"reason": reason},
    )
    return ProposalVerdict(
        key=proposed.key, id=memory_id, version=None, state="rejected", reason=reason, sentence=f"its {sentence}"
    )


def _repeat(proposed: ProposedEntry, known: Row[Any]) -> ProposalVerdict:
    """Answer a proposal of a wording that is there: it groups with the first one."""
    state = "pending" if known.state == "pending" else "approved"
    return ProposalVerdict(
        key=proposed.key,
        id=known.memory_id,
        version=known.version,
        state=state,  # type: ignore[arg-type] # one of the two
        sentence="it waits already" if state == "pending" else "it is approved already",
        flags=tuple(known.flags),
    )


def _keep(proposed: ProposedEntry, wording: Wording, canonical_key: str, situation: _Situation) -> ProposalVerdict:
    """Let a wording wait, or approve it where policy may."""
    transaction, authority = situation.transaction, situation.authority
    memory_id = build_entry_id(canonical_key)
    likenesses = find_likeness(wording.text, _list_compared(transaction, memory_id, wording, authority.repository_id))
    flags = tuple(likeness.flag for likeness in likenesses)
    entry = find_entry(transaction, memory_id)
    is_new = entry is None or not any(row.state != "pending" for row in list_versions(transaction, memory_id))
    obstacle = find_obstacle(
        ProposalFacts(
            trust_scope=authority.trust_scope,
            scope="repo",
            visibilities=authority.visibilities,
            flags=flags,
            is_new=is_new and (entry is None or entry.version is None),
            shareable=wording.shareable,
            approval_required=authority.approval_required,
            reported_approval_required=authority.reported_approval_required,
        )
    )
    _write_pending(wording, canonical_key, flags, proposed.why, situation)
    if obstacle is None:
        _approve_by_policy(memory_id, wording, situation)
    sentence = _explain(likenesses, obstacle)
    return ProposalVerdict(
        key=proposed.key,
        id=memory_id,
        version=wording.version,
        state="approved" if obstacle is None else "pending",
        sentence=sentence[:300],
        flags=flags,
    )


def _explain(likenesses: Sequence[Likeness], obstacle: str | None) -> str:
    if likenesses:
        return f"it waits for a person: {'; '.join(likeness.sentence for likeness in likenesses[:3])}"
    return "it is approved by policy" if obstacle is None else f"it waits for a person: {obstacle}"


def _list_compared(
    transaction: Transaction, memory_id: str, wording: Wording, repository_id: int
) -> tuple[Compared, ...]:
    """Return the repository's other entries that could say the same: approved ones by their words, and what waits."""
    memory, versions = schema.memory.c, schema.memory_versions.c
    approved = find_matched(
        transaction,
        extract_query(wording.text),
        scopes=[repository_id],
        branches=wording.branches or ("",),
        shareable_only=False,
        most=MAX_COMPARED,
    )
    texts = select(versions.memory_id, versions.text).join(
        schema.memory, (memory.tenant_id == versions.tenant_id) & (memory.memory_id == versions.memory_id)
    )
    of_repository = (
        versions.tenant_id == transaction.tenant_id,
        memory.repository_id == repository_id,
        versions.memory_id != memory_id,
    )
    found = [
        *transaction.fetch_all(
            texts.where(
                *of_repository,
                versions.memory_id.in_(sorted(approved)),
                versions.version == memory.version,
            )
        ),
        *transaction.fetch_all(
            texts.where(*of_repository, versions.state.in_(("pending", "stale")))
            .order_by(versions.created_at.desc(), versions.memory_id, versions.version)
            .limit(MAX_COMPARED)
        ),
    ]
    return tuple(Compared(row.memory_id, row.text) for row in found)


def _write_pending(
    wording: Wording, canonical_key: str, flags: tuple[str, ...], why: str, situation: _Situation
) -> None:
    transaction, principal, authority = situation.transaction, situation.principal, situation.authority
    memory_id = build_entry_id(canonical_key)
    entry = find_entry(transaction, memory_id)
    if entry is None:
        revision = 1
        insert_entry(transaction, memory_id, canonical_key, "repo", authority.repository_id)
    else:
        state = find_step("propose", entry.state)
        revision = update_entry(transaction, entry, state=state)
    brought = {
        "state": "pending",
        "proposed_by": {
            "repository_id": authority.repository_id,
            "run_id": principal.run.run_id,
            "number": authority.number,
            "attempt": principal.session.run_attempt,
            "actor_id": principal.session.actor_id,
            "familiar": authority.familiar,
            "pull_request": situation.pull_request,
        },
        "repository_id": authority.repository_id,
        "run_id": principal.run.run_id,
        "trust_scope": authority.trust_scope,
        "why": why,
        "flags": list(flags),
    }
    if find_version(transaction, memory_id, wording.version) is None:
        insert_version(transaction, memory_id, wording, brought)
    else:
        update_version(
            transaction, memory_id, wording.version, **brought, reason=None, decided_at=None,
            created_at=transaction.now,
        )  # fmt: skip
    _tell(memory_id, wording.version, revision, "propose", "memory.proposed", principal.actor, situation, flags)


def _approve_by_policy(memory_id: str, wording: Wording, situation: _Situation) -> None:
    transaction = situation.transaction
    entry = get_entry(transaction, memory_id)
    revision = let_hold(
        transaction,
        entry,
        wording,
        approved_by=BY_POLICY,
        retention=read_policy(transaction).retention,
        trust_scope=situation.authority.trust_scope,
    )
    transaction.meter(situation.authority.meter_key, "approvals")
    _tell(memory_id, wording.version, revision, "approve", "memory.approved", BY_POLICY, situation, ())


def _tell(
    memory_id: str,
    version: str,
    revision: int,
    decision: str,
    event: str,
    actor: str,
    situation: _Situation,
    flags: tuple[str, ...],
) -> None:
    transaction = situation.transaction
    record_decision(transaction, memory_id, revision, version=version, decision=decision, actor=actor)
    transaction.append_event(
        event,
        {"id": memory_id, "version": version, "revision": revision, "flags": list(flags)},
        run=situation.principal.run,
        attempt=situation.principal.session.run_attempt,
    )
    transaction.append_audit(
        actor=actor,
        action=f"memory.{decision}",
        subject=f"memory:{memory_id}",
        detail={"revision": revision, "version": version, "flags": list(flags)},
    )
