"""What a run may read of memory and propose to it, now: its claims ∩ the account's policy ∩ its own report ∩ its trust.

Asked anew for every request, so that what was withdrawn is withdrawn from the next one on. Every side can only narrow; a
side that says nothing grants nothing.
"""

from dataclasses import dataclass
from typing import Any, Final

from sqlalchemy import and_, bindparam, select

from coven_action.core.memory.grants import MEMORY_GRANTS, MemoryGrant, intersect_grants, intersect_scopes
from coven_action.core.memory.keys import is_denied
from coven_action.core.memory.policy_block import MemoryPolicy, MemoryScope, RetentionPolicy, TrustScope, Visibility
from coven_action.hosted.principals import RunPrincipal
from coven_action.hosted.problems import Problem
from coven_action.hosted.services.policies import build_policy, limit_policy, list_revoked
from coven_action.hosted.store import schema
from coven_action.hosted.store.commands import Reading
from coven_action.hosted.store.prepared_query import PreparedQuery
from coven_action.hosted.store.transaction import MeterKey, Transaction

_RUNS: Final = schema.runs.c
_ATTEMPTS: Final = schema.run_attempts.c
_REPOSITORIES: Final = schema.repositories.c
_POLICY: Final = (
    select(schema.policies.c.document)
    .where(schema.policies.c.tenant_id == bindparam("of_tenant"), schema.policies.c.kind == "memory")
    .order_by(schema.policies.c.version.desc())
    .limit(1)
)
# All that decides, but for what is revoked, in one statement: it is asked twice for every bundle.
_SIDES: Final = PreparedQuery(
    select(
        _RUNS.number,
        _RUNS.installation_id,
        _ATTEMPTS.report,
        _REPOSITORIES.visibility,
        _REPOSITORIES.default_branch,
        _REPOSITORIES.status,
        _REPOSITORIES.tenant_shared,
        schema.tenants.c.account_id,
        schema.tenants.c.status.label("account_status"),
        _POLICY.scalar_subquery().label("policy"),
    )
    .join(
        schema.repositories,
        and_(_REPOSITORIES.tenant_id == _RUNS.tenant_id, _REPOSITORIES.repository_id == _RUNS.repository_id),
    )
    .join(schema.tenants, schema.tenants.c.tenant_id == _REPOSITORIES.tenant_id)
    .join(
        schema.run_attempts,
        and_(
            _ATTEMPTS.tenant_id == _RUNS.tenant_id,
            _ATTEMPTS.repository_id == _RUNS.repository_id,
            _ATTEMPTS.run_id == _RUNS.run_id,
            _ATTEMPTS.attempt == bindparam("of_attempt"),
        ),
    )
    .where(
        _RUNS.tenant_id == bindparam("of_tenant"),
        _RUNS.repository_id == bindparam("of_repository"),
        _RUNS.run_id == bindparam("of_run"),
    )
)


@dataclass(frozen=True, slots=True)
class MemoryAuthority:
    """What holds for a run at one moment.

    Args:
        number: The run's number for people.
        repository_id: Where it works.
        account_id: Whose that is.
        default_branch: As enrolled; entries that name no branch are for it.
        base_branch: The one that the run was reported for.
        trust_scope: As reported.
        read_scopes: Scopes whose entries it may read; empty where it reads nothing.
        write_scopes: Scopes it may propose into.
        shareable_only: Whether it reads only what is marked shareable.
        approval_required: Whether the account asks for a person.
        reported_approval_required: Whether its report, or its trust, does.
        visibilities: What token and enrolment say of the repository.
        denied: Revoked canonical keys and prefixes, the endpoint's and the reported ones.
        retention: The account's.
        installation_id: Whose use it is, 0 where nobody said.
        familiar: Who works.
        task_kind: What for.
        reason: Why it reads nothing, where it does not.
    """

    number: int
    repository_id: int
    account_id: int
    default_branch: str
    base_branch: str
    trust_scope: TrustScope
    read_scopes: tuple[MemoryScope, ...]
    write_scopes: tuple[MemoryScope, ...]
    shareable_only: bool
    approval_required: bool
    reported_approval_required: bool
    visibilities: tuple[Visibility, ...]
    denied: tuple[str, ...]
    retention: RetentionPolicy
    installation_id: int
    familiar: str
    task_kind: str
    reason: str

    @property
    def meter_key(self) -> MeterKey:
        """Whose use it is."""
        return MeterKey(self.installation_id, self.repository_id, self.familiar, self.task_kind)

    def list_branches(self, branch: str) -> tuple[str, ...]:
        """Return under which names the entries for a base branch stand in the table of terms."""
        return (branch, "") if branch == self.default_branch else (branch,)

    def may_read(self, entry: Any, branch: str, now: int) -> bool:
        """Say whether an entry may be read, whatever led to it.

        Args:
            entry: A row of `memory` with the `branches` of its version.
            branch: The base branch of the work.
            now: Milliseconds.
        """
        own = entry.repository_id == self.repository_id if entry.scope == "repo" else entry.repository_id is None
        return (
            own
            and entry.state == "approved"
            and entry.scope in self.read_scopes
            and (entry.shareable or not self.shareable_only)
            and branch in (entry.branches or (self.default_branch,))
            and (entry.expires_at is None or entry.expires_at > now)
            and not is_denied(entry.canonical_key, self.denied)
        )


def find_authority(source: Reading | Transaction, principal: RunPrincipal) -> MemoryAuthority:
    """Return what the session's attempt of its run may do with memory now, by what that very attempt reported.

    Raises:
        Problem: `no-such-resource`: this attempt of the run has not been reported, so that nobody knows who feeds it.
    """
    session = principal.session
    place = {
        "of_tenant": source.tenant_id,
        "of_repository": session.repository_id,
        "of_run": session.run_id,
        "of_attempt": session.run_attempt,
    }
    row = source.fetch_one(_SIDES, place)
    if row is None:
        raise Problem("no-such-resource", "This attempt has not been reported; PUT /v1/runs/self comes first.")
    reported = MemoryPolicy.model_validate(row.report["memory_policy"])
    grant = limit_policy(build_policy(row.policy), session.scopes, list_revoked(source, session.repository_id))
    trust = _limit_trust(reported, row.report["trust_scope"])
    obstacle = _find_obstacle(reported, row, session.repository_id, endpoint_enabled=grant.enabled)
    read: tuple[MemoryScope, ...] = ()
    if not obstacle:
        allowed = intersect_scopes(grant.read_scopes, reported.read_scopes, trust.read_scopes)
        read = tuple(scope for scope in allowed if scope == "repo" or row.tenant_shared)
        obstacle = "" if read else "claims, policy, report and trust share no scope"
    visibilities = (session.visibility, row.visibility, reported.repo_scope.visibility)
    return MemoryAuthority(
        number=row.number,
        repository_id=session.repository_id,
        account_id=row.account_id,
        default_branch=row.default_branch,
        base_branch=reported.branch_scope.base_ref,
        trust_scope=row.report["trust_scope"],
        read_scopes=read,
        write_scopes=intersect_scopes(grant.write_scopes, reported.write_scopes, trust.write_scopes, read),
        shareable_only=(
            grant.shareable_only or reported.shareable_only or trust.shareable_only or "public" in visibilities
        ),
        approval_required=grant.approval_required,
        reported_approval_required=reported.approval_required or trust.approval_forced,
        visibilities=visibilities,
        denied=tuple(sorted({*grant.denied, *reported.denied})),
        retention=grant.retention,
        installation_id=row.installation_id,
        familiar=row.report["familiar"],
        task_kind=row.report["task_kind"],
        reason=obstacle,
    )


def _limit_trust(reported: MemoryPolicy, trust_scope: TrustScope) -> MemoryGrant:
    """Return what trust allows: the narrowest of all that the report says about it."""
    rows = [MEMORY_GRANTS[trust_scope], MEMORY_GRANTS[reported.trust_scope]]
    if not reported.branch_scope.same_repository:
        rows.append(MEMORY_GRANTS["fork_pr"])
    return intersect_grants(rows)


def _find_obstacle(reported: MemoryPolicy, row: Any, repository_id: int, *, endpoint_enabled: bool) -> str:
    """Return why the run has nothing to do with memory at all, "" where it has."""
    active = (row.status, row.account_status) == ("enrolled", "active")
    named = (reported.tenant_scope.account_id, reported.repo_scope.repository_id)
    obstacles = (
        (not active, "the repository is suspended"),
        (not endpoint_enabled, "the account's memory is off, or the run's claims allow none"),
        (not reported.enabled, "the run reported that its memory is off"),
        (named != (row.account_id, repository_id), "the report names another account or repository"),
    )
    return next((reason for holds, reason in obstacles if holds), "")
