"""Decide the memory policy of a run: configuration ∩ endpoint ∩ trust. Pure: facts and grants in, the block out.

Every side can only narrow. A side that says nothing where it should speak (an endpoint that is configured and granted
nothing, an id that is missing) switches memory off, and the block's one line names the side that narrowed it.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from coven_action.core.memory.grants import (
    MEMORY_GRANTS,
    EndpointGrant,
    MemoryGrant,
    MemorySettings,
    intersect_grants,
    intersect_scopes,
)
from coven_action.core.memory.policy_block import (
    BranchScope,
    MemoryPolicy,
    MemoryScope,
    RepositoryScope,
    RetentionPolicy,
    TenantScope,
    TrustScope,
    disabled_memory_policy,
)

# Files of one repository are all there is without an endpoint: nothing in them is shared by an account.
_FILE_STORE: Final[tuple[MemoryScope, ...]] = ("repo",)
_SCOPE_NAMES: Final[dict[MemoryScope, str]] = {"repo": "this repository's", "tenant_shared": "the account's shared"}


@dataclass(frozen=True, slots=True)
class MemoryFacts:
    """What GitHub says about the run.

    Args:
        tenant: The account that owns the repository.
        repository: The repository.
        branch: The branch worked on.
        trust_scope: The lowest trust of everything that feeds the run.
    """

    tenant: TenantScope
    repository: RepositoryScope
    branch: BranchScope
    trust_scope: TrustScope


def decide_memory_policy(
    facts: MemoryFacts,
    *,
    settings: MemorySettings,
    trust: MemoryGrant,
    hosted: bool = False,
    endpoint_grant: EndpointGrant | None = None,
    revoked: Iterable[str] = (),
) -> MemoryPolicy:
    """Return the block for the brief; complete, whether memory is on or off.

    Args:
        facts: Ids, names and the trust scope.
        settings: The `memory` section of the default branch's configuration.
        trust: The intersection of the grants of everything that feeds the run (`intersect_grants`).
        hosted: Whether `hosted.url` is configured; then the endpoint must have granted something.
        endpoint_grant: What the endpoint granted; None where there is none, or where it gave no answer.
        revoked: Canonical keys and prefixes of `revoked.txt`.
    """
    tenant = facts.tenant
    if endpoint_grant is not None and tenant.installation_id is None:
        tenant = tenant.model_copy(update={"installation_id": endpoint_grant.installation_id})
    facts = MemoryFacts(tenant, facts.repository, facts.branch, facts.trust_scope)
    obstacle = _find_obstacle(facts, settings, endpoint_grant, hosted=hosted)
    if obstacle is not None:
        return _switch_off(facts, obstacle)
    return _combine(facts, settings, trust, endpoint_grant, hosted=hosted, revoked=tuple(revoked))


def _find_obstacle(
    facts: MemoryFacts, settings: MemorySettings, endpoint_grant: EndpointGrant | None, *, hosted: bool
) -> str | None:
    """Return why memory cannot be on at all, from the side that is nearest to the reader outwards."""
    obstacles = (
        (not settings.enabled, "memory.enabled is not set in the configuration"),
        (facts.repository.repository_id is None, "the repository's id is unknown"),
        (hosted and facts.tenant.account_id is None, "the id of the repository's account is unknown"),
        (hosted and endpoint_grant is None, "the endpoint granted nothing"),
        (endpoint_grant is not None and not endpoint_grant.enabled, "the endpoint has it off"),
    )
    return next((reason for holds, reason in obstacles if holds), None)


def _combine(
    facts: MemoryFacts,
    settings: MemorySettings,
    trust: MemoryGrant,
    endpoint: EndpointGrant | None,
    *,
    hosted: bool,
    revoked: tuple[str, ...],
) -> MemoryPolicy:
    granted = _limit_trust(facts, trust)
    stores: tuple[MemoryScope, ...] = _FILE_STORE if endpoint is None else endpoint.read_scopes
    read = intersect_scopes(settings.read, granted.read_scopes, stores)
    if not read:
        return _switch_off(facts, f"nothing is left to read ({_name_reader(facts, settings, granted)})")
    write = intersect_scopes(
        settings.write, granted.write_scopes, _FILE_STORE if endpoint is None else endpoint.write_scopes, read
    )
    sharer = _find_sharer(facts, granted, endpoint, hosted=hosted)
    approval_required = _needs_approval(facts, settings, granted, endpoint)
    return MemoryPolicy(
        enabled=True,
        tenant_scope=facts.tenant,
        repo_scope=facts.repository,
        branch_scope=facts.branch,
        trust_scope=facts.trust_scope,
        read_scopes=read,
        write_scopes=write,
        shareable_only=bool(sharer),
        approval_required=approval_required,
        retention_policy=_shorten(settings, endpoint),
        denied=tuple(sorted({*revoked, *(endpoint.denied if endpoint is not None else ())})),
        reason=_render_reason(
            read=_list_scopes(read),
            shareable=sharer,
            write=_list_scopes(write),
            write_limit=_name_writer(facts, settings, granted),
            approval_required=approval_required,
        ),
    )


def _limit_trust(facts: MemoryFacts, trust: MemoryGrant) -> MemoryGrant:
    """Return the grant of trust, never wider than the scope people are shown, nor than a fork's where the head is one."""
    rows = [trust, MEMORY_GRANTS[facts.trust_scope]]
    if not facts.branch.same_repository:
        rows.append(MEMORY_GRANTS["fork_pr"])
    return intersect_grants(rows)


def _needs_approval(
    facts: MemoryFacts, settings: MemorySettings, granted: MemoryGrant, endpoint: EndpointGrant | None
) -> bool:
    """Say whether anybody asks for a person's approval. In files approval is a merge, whatever the configuration says."""
    return (
        endpoint is None
        or endpoint.approval_required
        or settings.approval == "required"
        or granted.approval_forced
        or facts.repository.visibility != "private"
    )


def _shorten(settings: MemorySettings, endpoint: EndpointGrant | None) -> RetentionPolicy:
    own = RetentionPolicy(max_age_days=settings.max_age_days, unused_days=settings.unused_days)
    theirs = endpoint.retention if endpoint is not None else own
    return RetentionPolicy(
        max_age_days=min(own.max_age_days, theirs.max_age_days), unused_days=min(own.unused_days, theirs.unused_days)
    )


def _switch_off(facts: MemoryFacts, reason: str) -> MemoryPolicy:
    return disabled_memory_policy(
        tenant_scope=facts.tenant,
        repo_scope=facts.repository,
        branch_scope=facts.branch,
        trust_scope=facts.trust_scope,
        reason=f"Memory is off: {reason}.",
    )


def _list_scopes(scopes: tuple[MemoryScope, ...]) -> str:
    return " and ".join(_SCOPE_NAMES[scope] for scope in scopes)


def _name_reader(facts: MemoryFacts, settings: MemorySettings, granted: MemoryGrant) -> str:
    """Name the side that leaves nothing to read."""
    if not settings.read:
        return "configuration"
    return _name_trust(facts) if not granted.read_scopes else "configuration, trust and store share no scope"


def _find_sharer(facts: MemoryFacts, granted: MemoryGrant, endpoint: EndpointGrant | None, *, hosted: bool) -> str:
    """Return the name of the side that leaves only shareable entries, "" where none does."""
    sides = (
        (granted.shareable_only, _name_trust(facts)),
        (endpoint is not None and endpoint.shareable_only, "endpoint"),
        (hosted and facts.repository.visibility == "public", "public repository"),
    )
    return next((name for holds, name in sides if holds), "")


def _name_writer(facts: MemoryFacts, settings: MemorySettings, granted: MemoryGrant) -> str:
    """Name the side that would leave nothing to propose into."""
    if not granted.write_scopes:
        return _name_trust(facts)
    return "configuration" if not settings.write else "endpoint"


def _name_trust(facts: MemoryFacts) -> str:
    return "fork" if not facts.branch.same_repository else f"trust: {facts.trust_scope}"


def _render_reason(*, read: str, shareable: str, write: str, write_limit: str, approval_required: bool) -> str:
    reads = f"{read} entries marked shareable ({shareable})" if shareable else f"{read} entries"
    approval = "a person approves" if approval_required else "clean ones are approved by policy"
    proposes = f"proposes to {write} memory, {approval}" if write else f"proposes nothing ({write_limit})"
    return f"Memory is on: reads {reads}; {proposes}."
