"""What people decide about entries: approve, reject, edit, revoke, restore, supersede, promote.

Each decision names the revision that whoever decides has read; what has changed since is decided anew. What a decision does
is the table of `memory_states`; here stand its rows' effects on the tables.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from sqlalchemy import ColumnElement, Row, delete, insert, or_, select

from coven_action.core.endpoint.approval import find_conflict_of_interest
from coven_action.core.endpoint.memory_states import LIVE, RULES, Decision, find_step, list_states, settle
from coven_action.core.endpoint.revoking import TARGET_ADVICE, Target, parse_target, render_account
from coven_action.core.endpoint.wire import DecisionRequest, EntryId, MemoryState, Revoked, RevokeRequest, Wire
from coven_action.core.memory.keys import build_entry_id, is_denied
from coven_action.core.memory.screens import screen_entry
from coven_action.hosted.principals import PersonPrincipal
from coven_action.hosted.problems import Problem
from coven_action.hosted.services.memory_checks import find_mistake, screen_wording
from coven_action.hosted.services.memory_entries import (
    Wording,
    build_wording,
    drop_terms,
    end_entries,
    find_entry,
    find_version,
    get_entry,
    insert_entry,
    insert_version,
    let_hold,
    list_entries,
    list_versions,
    record_decision,
    take_step,
    trace_newest,
    update_entry,
    update_version,
)
from coven_action.hosted.services.policies import find_installation, list_revoked, read_policy
from coven_action.hosted.store import schema
from coven_action.hosted.store.commands import Reading
from coven_action.hosted.store.transaction import MeterKey, Transaction

_ETAG: Final = re.compile(r'"([0-9]{1,10})"')
_APPROVED_BY_A_PERSON: Final = "maintainer"
"""The trust of a wording that a person wrote: whoever may approve has the right to maintain."""


class Decided(Wire):
    """What a decision did, without a word of what the entry says.

    Args:
        shown: The entry to show: the one decided about, or the shared one that a promotion made.
        revision: Of that entry, now.
        revoked: How many entries a revocation took.
    """

    shown: EntryId
    revision: int
    revoked: int = 0


@dataclass(frozen=True, slots=True)
class Asked:
    """A decision that somebody asks for.

    Args:
        decision: Which.
        memory_id: About which entry.
        precondition: The If-Match header.
        two_people: Whether the operator asks for a separate approver, whatever the account says.
    """

    decision: Decision
    memory_id: str
    precondition: str
    two_people: bool = False


@dataclass(frozen=True, slots=True)
class _Work:
    """A decision at work."""

    transaction: Transaction
    person: PersonPrincipal
    asked: Asked
    request: DecisionRequest
    entry: Row[Any]
    step: MemoryState


def check_precondition(revision: int, precondition: str) -> None:
    """Hold an If-Match header against a revision.

    Raises:
        Problem: `precondition-missing`; `version-changed`: it names another, or none at all.
    """
    if not precondition:
        raise Problem("precondition-missing")
    match = _ETAG.fullmatch(precondition)
    if match is None or int(match[1]) != revision:
        raise Problem("version-changed", f'The revision is "{revision}" now.')


def decide(transaction: Transaction, person: PersonPrincipal, request: DecisionRequest, asked: Asked) -> Decided:
    """Do what a person decided about an entry.

    Raises:
        Problem: `no-such-resource`; `precondition-missing`; `version-changed`; `wrong-state`; `not-permitted`: two people are
            asked for; `malformed-request`: the request names no wording, or a new one that may not be kept.
    """
    entry = get_entry(transaction, asked.memory_id)
    check_precondition(entry.revision, asked.precondition)
    step = take_step(entry, asked.decision)
    return _EFFECTS[asked.decision](_Work(transaction, person, asked, request, entry, step))


def _tell(
    work: _Work, revision: int, version: str | None, state: MemoryState, *, memory_id: str | None = None, **more: Any
) -> Decided:
    """Record a decision with its event and audit row."""
    transaction, decision = work.transaction, work.asked.decision
    memory_id = memory_id or work.entry.memory_id
    record_decision(
        transaction, memory_id, revision, version=version, decision=decision, actor=work.person.actor,
        reason=work.request.reason,
    )  # fmt: skip
    transaction.append_event(
        f"memory.{decision}", {"id": memory_id, "version": version, "revision": revision, "state": state}
    )
    transaction.append_audit(
        actor=work.person.actor,
        action=f"memory.{decision}",
        subject=f"memory:{memory_id}",
        detail={"revision": revision, "version": version, "state": state, **more},
    )
    return Decided(shown=memory_id, revision=revision)


def _choose_waiting(work: _Work) -> Row[Any]:
    """Return the wording that waits and is meant: the named one, or the only one."""
    waiting = list_versions(work.transaction, work.entry.memory_id, "pending")
    named = work.request.version
    meant = [row for row in waiting if named is None or row.version == named]
    if named is None and len(meant) > 1:
        raise Problem("malformed-request", "Several wordings wait: name the version that is meant.")
    if not meant:
        raise Problem("wrong-state", "No such wording waits.")
    return meant[0]


def _check_approver(work: _Work, wording: Row[Any]) -> None:
    separate = work.asked.two_people or read_policy(work.transaction).separate_approver
    asker = wording.proposed_by.get("actor_id")
    conflict = find_conflict_of_interest(work.person.actor, asker, separate_approver=separate)
    if conflict is not None:
        raise Problem("not-permitted", f"{conflict[0].upper()}{conflict[1:]}.")


def _check_key(work: _Work, canonical_key: str) -> None:
    if is_denied(canonical_key, list_revoked(work.transaction, work.entry.repository_id)):
        raise Problem("wrong-state", "A revocation covers its key; restore what it covers first.")


def _hold(work: _Work, entry: Row[Any], wording: Wording, trust_scope: str) -> int:
    """Let a wording hold by the decision of a person."""
    transaction = work.transaction
    transaction.meter(MeterKey(find_installation(transaction) or 0, entry.repository_id or 0), "approvals")
    return let_hold(
        transaction,
        entry,
        wording,
        approved_by=work.person.actor,
        retention=read_policy(transaction).retention,
        trust_scope=trust_scope,
    )


def _approve(work: _Work) -> Decided:
    row = _choose_waiting(work)
    _check_approver(work, row)
    _check_key(work, work.entry.canonical_key)
    wording = build_wording(work.transaction, work.entry, row)
    return _tell(work, _hold(work, work.entry, wording, row.trust_scope), row.version, work.step)


def _reject(work: _Work) -> Decided:
    row = _choose_waiting(work)
    transaction, entry = work.transaction, work.entry
    update_version(
        transaction, entry.memory_id, row.version, state="rejected", reason="person", decided_at=transaction.now
    )
    waits = bool(list_versions(transaction, entry.memory_id, "pending"))
    state = settle(work.step, holds=entry.version is not None, waits=waits)
    return _tell(work, update_entry(transaction, entry, state=state), row.version, state)


def _find_base(work: _Work) -> Row[Any]:
    """Return the wording that an edit begins with: the named one, the one that holds, or the only one that waits."""
    version = work.request.version or work.entry.version
    if version is None:
        return _choose_waiting(work)
    row = find_version(work.transaction, work.entry.memory_id, version)
    if row is None:
        raise Problem("wrong-state", "The entry has no such wording.")
    return row


def _edit(work: _Work) -> Decided:
    transaction, entry, request = work.transaction, work.entry, work.request
    row = _find_base(work)
    _check_approver(work, row)
    _check_key(work, entry.canonical_key)
    base = build_wording(transaction, entry, row)
    wording = Wording(
        key=base.key,
        kind=base.kind if request.kind is None else request.kind,
        scope=base.scope,
        text=base.text if request.text is None else request.text.strip(),
        branches=base.branches if request.branches is None else tuple(dict.fromkeys(request.branches)),
        shareable=base.shareable if request.shareable is None else request.shareable,
        citations=base.citations if request.citations is None else tuple(dict.fromkeys(request.citations)),
    )
    if wording.version == base.version:
        raise Problem("malformed-request", "The edit changes nothing; approve the wording instead.")
    refused = find_mistake(wording, cited=base.scope == "repo") or screen_wording(wording, "", screen_entry)
    if refused is not None:
        raise Problem("malformed-request", f"The new wording is refused: its {refused[1]}.")
    if row.state == "pending":
        update_version(transaction, entry.memory_id, row.version, state="superseded", decided_at=transaction.now)
    _put_version(transaction, entry.memory_id, wording, {"person": work.person.actor, "edited": row.version})
    revision = _hold(work, entry, wording, _APPROVED_BY_A_PERSON)
    return _tell(work, revision, wording.version, work.step, base=row.version)


def _put_version(transaction: Transaction, memory_id: str, wording: Wording, proposed_by: dict[str, Any]) -> None:
    """Keep a person's wording, which may be one that the entry had before."""
    if find_version(transaction, memory_id, wording.version) is None:
        insert_version(
            transaction,
            memory_id,
            wording,
            {
                "state": "pending",
                "proposed_by": proposed_by,
                "trust_scope": _APPROVED_BY_A_PERSON,
                "why": "",
                "flags": [],
            },
        )


def _restore(work: _Work) -> Decided:
    """Let the wording hold again that held last; a wording that never held waits again."""
    transaction, entry = work.transaction, work.entry
    revoked = schema.revocations.c
    transaction.execute(
        delete(schema.revocations).where(
            revoked.tenant_id == transaction.tenant_id, revoked.prefix == entry.canonical_key
        )
    )
    _check_key(work, entry.canonical_key)
    versions = list_versions(transaction, entry.memory_id)
    named = work.request.version or entry.version or versions[-1].version
    row = next((each for each in versions if each.version == named), None)
    if row is None:
        raise Problem("wrong-state", "The entry has no such wording.")
    state = settle(work.step, holds=row.version == entry.version, waits=False)
    if state == "approved":
        _check_approver(work, row)
        wording = build_wording(transaction, entry, row)
        revision = _hold(work, entry, wording, row.trust_scope)
    else:
        update_version(transaction, entry.memory_id, row.version, state=state, reason=None, decided_at=None,
                       created_at=transaction.now)  # fmt: skip
        revision = update_entry(transaction, entry, state=state)
    return _tell(work, revision, row.version, state)


def _supersede(work: _Work) -> Decided:
    transaction, entry = work.transaction, work.entry
    other = find_entry(transaction, work.request.replaced_by) if work.request.replaced_by else None
    if other is None or other.memory_id == entry.memory_id or other.state != "approved":
        raise Problem("malformed-request", "replaced_by names no other approved entry.")
    if other.repository_id not in {None, entry.repository_id}:
        raise Problem("malformed-request", "replaced_by names an entry that other runs read.")
    rule = RULES["supersede"]
    update_version(transaction, entry.memory_id, entry.version, state=rule.wording, decided_at=transaction.now)
    for row in list_versions(transaction, entry.memory_id, "pending"):
        update_version(transaction, entry.memory_id, row.version, state=rule.waiting, decided_at=transaction.now)
    drop_terms(transaction, [entry.memory_id])
    revision = update_entry(transaction, entry, state=work.step, replaced_by=other.memory_id, expires_at=None)
    return _tell(work, revision, entry.version, work.step, replaced_by=other.memory_id)


def _promote(work: _Work) -> Decided:
    """Make an entry of the account of an approved one of a repository.

    Citations stay behind: they are lines of one repository, and the lineage leads to them.
    """
    transaction, entry = work.transaction, work.entry
    source = find_version(transaction, entry.memory_id, entry.version)
    if entry.scope != "repo" or source is None:
        raise Problem("wrong-state", "Only an entry of a repository is promoted.")
    _check_approver(work, source)
    tenants = schema.tenants.c
    (account,) = transaction.fetch_all(select(tenants.account_id).where(tenants.tenant_id == transaction.tenant_id))
    base = build_wording(transaction, entry, source)
    wording = Wording(
        key=base.key,
        kind=base.kind,
        scope="tenant_shared",
        text=base.text,
        branches=base.branches,
        shareable=base.shareable,
        citations=(),
    )
    canonical_key = f"tenant/{account.account_id}/{base.key}"
    _check_key(work, canonical_key)
    shared_id = build_entry_id(canonical_key)
    target = find_entry(transaction, shared_id)
    if target is None:
        insert_entry(transaction, shared_id, canonical_key, "tenant_shared", None)
    elif find_step("edit", target.state) is None:
        states = ", ".join(list_states("edit"))
        raise Problem("wrong-state", f"The account's entry of this key is {target.state}; it can be {states}.")
    target = get_entry(transaction, shared_id)
    lineage = {"person": work.person.actor, "promoted_from": entry.memory_id, "version": source.version,
               "repository_id": entry.repository_id}  # fmt: skip
    _put_version(transaction, shared_id, wording, lineage)
    revision = _hold(work, target, wording, source.trust_scope)
    shared = get_entry(transaction, shared_id)
    revision = update_entry(transaction, shared, promoted_from=entry.memory_id)
    _tell(work, update_entry(transaction, entry), source.version, work.step, shared=shared_id)
    return _tell(work, revision, wording.version, "approved", memory_id=shared_id, promoted_from=entry.memory_id)


def _revoke(work: _Work) -> Decided:
    transaction, entry = work.transaction, work.entry
    taken = revoke_entries(transaction, work.person, [entry], prefix=entry.canonical_key, reason=work.request.reason)
    return Decided(shown=entry.memory_id, revision=entry.revision + 1, revoked=len(taken))


_EFFECTS: Final = {
    "approve": _approve,
    "reject": _reject,
    "edit": _edit,
    "revoke": _revoke,
    "restore": _restore,
    "supersede": _supersede,
    "promote": _promote,
}


def revoke_entries(
    transaction: Transaction, person: PersonPrincipal, entries: Sequence[Row[Any]], *, prefix: str, reason: str
) -> list[str]:
    """Revoke entries, and what was promoted from them, and keep the prefix revoked; return the ids.

    The audit log names whose entries they are by id, and no segment of a key: a key says something of what it stands for.
    """
    promoted = list_promoted(transaction, [entry.memory_id for entry in entries])
    every = {entry.memory_id: entry for entry in (*entries, *promoted) if entry.state in LIVE}
    end_entries(transaction, list(every.values()), "revoke", actor=person.actor, reason=reason)
    _keep_revocation(transaction, person, prefix, reason)
    transaction.append_event("memory.revoke", {"count": len(every), "ids": sorted(every)[:100]})
    transaction.append_audit(
        actor=person.actor,
        action="memory.revoke",
        subject="memory",
        detail={"entries": sorted(every), "count": len(every), "of": _name_owner(prefix)},
    )
    return sorted(every)


def list_promoted(transaction: Transaction, memory_ids: list[str]) -> list[Row[Any]]:
    """Return the account's entries that were promoted from these."""
    columns = schema.memory.c
    found: list[Row[Any]] = []
    for start in range(0, len(memory_ids), 500):
        found += list_entries(transaction, columns.promoted_from.in_(memory_ids[start : start + 500]))
    return found


def _keep_revocation(transaction: Transaction, person: PersonPrincipal, prefix: str, reason: str) -> None:
    columns = schema.revocations.c
    known = transaction.fetch_one(
        select(columns.prefix).where(columns.tenant_id == transaction.tenant_id, columns.prefix == prefix)
    )
    if known is None:
        transaction.execute(
            insert(schema.revocations).values(
                tenant_id=transaction.tenant_id,
                prefix=prefix,
                actor=person.actor,
                reason=reason,
                at=transaction.now,
            )
        )


def _name_owner(prefix: str) -> str:
    return "/".join(prefix.split("/")[:2])


def _find_target(source: Transaction | Reading, text: str) -> Target:
    """Return what a person means, an installation as its account; refuse what is nothing, and what is another tenant's."""
    target = parse_target(text)
    if target is None:
        raise Problem("malformed-request", f"A prefix is {TARGET_ADVICE}.")
    tenants, repositories = schema.tenants.c, schema.repositories.c
    if target.scope == "repo":
        statement = select(repositories.repository_id).where(
            repositories.tenant_id == source.tenant_id, repositories.repository_id == target.number
        )
    else:
        named = tenants.installation_id if target.scope == "installation" else tenants.account_id
        statement = select(tenants.account_id).where(tenants.tenant_id == source.tenant_id, named == target.number)
    row = source.fetch_one(statement)
    if row is None:
        raise Problem("no-such-resource")
    return target._replace(text=render_account(row.account_id)) if target.is_whole else target


def _lies_under(prefix: str) -> ColumnElement[bool]:
    columns = schema.memory.c
    return or_(columns.canonical_key == prefix, columns.canonical_key.startswith(f"{prefix}/", autoescape=True))


def _list_covered(transaction: Transaction, target: Target) -> Sequence[Row[Any]]:
    """Return the live entries that a revocation takes: all there are, or what lies under the prefix by whole segments."""
    live = schema.memory.c.state.in_(sorted(LIVE))
    if target.is_whole:
        return list_entries(transaction, live)
    found = list_entries(transaction, _lies_under(target.text), live)
    return [entry for entry in found if is_denied(entry.canonical_key, [target.text])]


def revoke_prefix(transaction: Transaction, person: PersonPrincipal, request: RevokeRequest) -> Revoked:
    """Revoke whatever lies under a prefix of whole segments, or is the account's, now and later, and trace who had it.

    Raises:
        Problem: `malformed-request`: it is no prefix; `no-such-resource`: of no repository, account or installation of the
            tenant.
    """
    target = _find_target(transaction, request.prefix)
    covered = _list_covered(transaction, target)
    ids = revoke_entries(transaction, person, covered, prefix=target.text, reason=request.reason)
    runs, uses = trace_newest(transaction, ids)
    return Revoked(prefix=target.text, entries=len(ids), runs=runs, uses=uses)


def restore_prefix(transaction: Transaction, person: PersonPrincipal, request: RevokeRequest) -> Revoked:
    """Take a prefix off the list of what is revoked. Entries stay revoked until each is restored.

    Raises:
        Problem: `malformed-request`: it is no prefix; `no-such-resource`: it is not in the list.
    """
    target = _find_target(transaction, request.prefix)
    columns = schema.revocations.c
    taken = transaction.execute(
        delete(schema.revocations).where(columns.tenant_id == transaction.tenant_id, columns.prefix == target.text)
    )
    if not taken:
        raise Problem("no-such-resource", "The prefix is not revoked.")
    transaction.append_event("memory.restore_prefix", {"count": taken})
    transaction.append_audit(
        actor=person.actor,
        action="memory.restore_prefix",
        subject="memory",
        detail={"count": taken, "of": _name_owner(target.text)},
    )
    return Revoked(prefix=target.text, entries=0, runs=())
