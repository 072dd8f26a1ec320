"""What runs say of the entries they had: that they read or cited them, and whether their citations still hold."""

from collections.abc import Mapping
from typing import Any, Final

from sqlalchemy import Row, select

from coven_action.core.endpoint.memory_states import Decision
from coven_action.core.endpoint.wire import (
    MemoryState,
    RejectedUse,
    UseReport,
    UsesRecorded,
    UsesRequest,
    Validated,
    Validation,
    ValidationsRequest,
    ValidationVerdicts,
)
from coven_action.hosted.principals import RunPrincipal
from coven_action.hosted.problems import Problem
from coven_action.hosted.services.bundles import add_uses, touch_entries
from coven_action.hosted.services.memory_authority import MemoryAuthority, find_authority
from coven_action.hosted.services.memory_entries import (
    build_wording,
    drop_terms,
    find_version,
    index_terms,
    list_entries,
    record_decision,
    take_step,
    update_entry,
    update_version,
)
from coven_action.hosted.services.policies import read_policy
from coven_action.hosted.store import schema
from coven_action.hosted.store.transaction import Transaction

_UNKNOWN: Final = "the run was not offered it, and it reads no entry of this id and version"


def record_uses(transaction: Transaction, principal: RunPrincipal, request: UsesRequest) -> UsesRecorded:
    """Record what a run has read or cited. Never refused for a cap; what cannot be is told one by one."""
    entries = {
        row.memory_id: row
        for row in list_entries(transaction, schema.memory.c.memory_id.in_([use.id for use in request.uses]))
    }
    offered = _read_offered(transaction, principal)
    recorded: list[UseReport] = []
    rejected: list[RejectedUse] = []
    for use in request.uses:
        if (use.id, use.version) in offered or _is_of_repository(transaction, principal, entries, use):
            recorded.append(use)
        else:
            rejected.append(RejectedUse(id=use.id, version=use.version, kind=use.kind, sentence=_UNKNOWN))
    for kind in ("read", "cited"):
        add_uses(
            transaction, principal, kind, [(use.id, use.version, use.reference) for use in recorded if use.kind == kind]
        )
    used = {use.id: entries[use.id] for use in recorded if use.id in entries}
    retention = read_policy(transaction).retention
    touch_entries(transaction, [row for row in used.values() if row.state == "approved"], retention)
    transaction.append_event(
        "memory.used",
        {"recorded": len(recorded), "rejected": len(rejected)},
        run=principal.run,
        attempt=principal.session.run_attempt,
    )
    transaction.append_audit(
        actor=principal.actor,
        action="memory.uses",
        subject=f"repository:{principal.run.repository_id}",
        detail={"recorded": [[use.id, use.version, use.kind] for use in recorded], "rejected": len(rejected)},
    )
    return UsesRecorded(recorded=len(recorded), rejected=tuple(rejected))


def _read_offered(transaction: Transaction, principal: RunPrincipal) -> frozenset[tuple[str, str]]:
    columns = schema.uses.c
    rows = transaction.fetch_all(
        select(columns.memory_id, columns.version).where(
            columns.tenant_id == transaction.tenant_id,
            columns.repository_id == principal.run.repository_id,
            columns.run_id == principal.run.run_id,
            columns.kind == "offered",
        )
    )
    return frozenset((row.memory_id, row.version) for row in rows)


def _is_of_repository(
    transaction: Transaction, principal: RunPrincipal, entries: Mapping[str, Row[Any]], use: UseReport
) -> bool:
    """Say whether there is such a wording of the run's own repository. Whether others' exist is not told."""
    entry = entries.get(use.id)
    return (
        entry is not None
        and entry.repository_id == principal.run.repository_id
        and find_version(transaction, use.id, use.version) is not None
    )


def record_validations(
    transaction: Transaction, principal: RunPrincipal, request: ValidationsRequest
) -> ValidationVerdicts:
    """Mark entries stale whose citations no longer hold, and let stale ones hold again whose citations do.

    Raises:
        Problem: `not-permitted`: the run's claims do not allow it; `no-such-resource`: it has not been reported.
    """
    if not principal.session.scopes.validate_entries:
        raise Problem("not-permitted", "Only a run of tier T2 may say whether entries hold.")
    authority = find_authority(transaction, principal)
    if authority.reason:
        raise Problem("not-permitted", f"The run has nothing to do with memory: {authority.reason}.")
    return ValidationVerdicts(
        verdicts=tuple(_validate(transaction, principal, authority, each) for each in request.validations)
    )


_OUTCOMES: Final[Mapping[tuple[str, bool], Decision]] = {
    ("approved", False): "mark_stale",
    ("stale", True): "hold_again",
}
"""State of the entry and whether its citations hold -> what follows; nothing follows from the rest."""


def _validate(
    transaction: Transaction, principal: RunPrincipal, authority: MemoryAuthority, validation: Validation
) -> Validated:
    found = list_entries(
        transaction,
        schema.memory.c.memory_id == validation.id,
        schema.memory.c.repository_id == authority.repository_id,
    )
    entry = found[0] if found else None
    if entry is None or entry.version != validation.version:
        return Validated(id=validation.id, state=None, sentence="the repository has no entry of this id and version")
    decision = _OUTCOMES.get((entry.state, validation.holds))
    if decision is None:
        return Validated(id=entry.memory_id, state=entry.state, sentence="nothing changes")
    state = _change(transaction, principal, entry, decision, validation)
    return Validated(id=entry.memory_id, state=state, sentence=f"it was {entry.state} and is {state} now")


def _change(
    transaction: Transaction, principal: RunPrincipal, entry: Row[Any], decision: Decision, validation: Validation
) -> MemoryState:
    state = take_step(entry, decision)
    version = find_version(transaction, entry.memory_id, entry.version)
    update_version(transaction, entry.memory_id, entry.version, state=state)
    if decision == "mark_stale" or version is None:
        drop_terms(transaction, [entry.memory_id])
    else:
        index_terms(transaction, entry, build_wording(transaction, entry, version))
    stale_since = transaction.now if decision == "mark_stale" else None
    revision = update_entry(transaction, entry, state=state, stale_since=stale_since)
    record_decision(
        transaction, entry.memory_id, revision, version=entry.version, decision=decision, actor=principal.actor
    )
    transaction.append_event(
        f"memory.{state}",
        {"id": entry.memory_id, "version": entry.version, "revision": revision},
        run=principal.run,
        attempt=principal.session.run_attempt,
    )
    transaction.append_audit(
        actor=principal.actor,
        action=f"memory.{decision}",
        subject=f"memory:{entry.memory_id}",
        detail={"revision": revision, "version": entry.version, "commit": validation.commit},
    )
    return state
