"""The memory policy block that stands in every brief, whether memory is on or off.

Pure values. A block that is off grants nothing: no scope, no entry, no proposal; it still names the tenant, the
repository and the branch it was decided for, and says in one line why it is as it is. `write_scopes` are scopes a run
may *propose* into: nothing is written without a decision at the store.
"""

from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

TrustScope = Literal["maintainer", "scheduled", "collaborator", "external", "fork_pr"]
"""Whose words feed the run, from the most trusted to the least."""

MemoryScope = Literal["repo", "tenant_shared"]
"""Where an entry may live. A familiar's global memory is not in the list, so it cannot be granted."""

Visibility = Literal["public", "private", "internal"]

DEFAULT_MAX_AGE_DAYS = 365
DEFAULT_UNUSED_DAYS = 90

_Id = Annotated[int, Field(gt=0)]
_Days = Annotated[int, Field(gt=0)]
_Line = Annotated[str, Field(min_length=1, max_length=300, pattern=r"^[^\r\n]*$")]


class _Block(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)


class TenantScope(_Block):
    """Whose memory it is: the account that owns the repository. Ids decide, the login is a label for people."""

    account_id: _Id | None
    account_login: str
    installation_id: _Id | None = None


class RepositoryScope(_Block):
    """Which repository the run works in. The id decides, owner and name are labels for people."""

    repository_id: _Id | None
    owner: str
    name: str
    visibility: Visibility
    default_branch: str


class BranchScope(_Block):
    """Which branch is worked on, and whether the head lies in the same repository."""

    base_ref: str
    head_ref: str
    same_repository: bool


class RetentionPolicy(_Block):
    """How long an entry may live (days since it was approved) and lie unused (days since it was last read)."""

    max_age_days: _Days = DEFAULT_MAX_AGE_DAYS
    unused_days: _Days = DEFAULT_UNUSED_DAYS
    delete_on_uninstall: Literal[True] = True
    redact_secrets: Literal[True] = True


class MemoryPolicy(_Block):
    """What a run may read from memory and propose to it."""

    enabled: bool
    tenant_scope: TenantScope
    repo_scope: RepositoryScope
    branch_scope: BranchScope
    trust_scope: TrustScope
    read_scopes: tuple[MemoryScope, ...] = Field(default=(), strict=False)
    write_scopes: tuple[MemoryScope, ...] = Field(default=(), strict=False)
    shareable_only: bool = True
    approval_required: bool = True
    retention_policy: RetentionPolicy = RetentionPolicy()
    denied: tuple[str, ...] = Field(default=(), strict=False)
    reason: _Line

    @model_validator(mode="after")
    def _check_grants(self) -> Self:
        if not self.enabled and (self.read_scopes or self.write_scopes):
            raise ValueError("memory that is off grants no scope")
        if not set(self.write_scopes) <= set(self.read_scopes):
            raise ValueError("a write scope is never wider than the read scope")
        if self.trust_scope == "fork_pr" and self.write_scopes:
            raise ValueError("a fork never receives a write scope")
        return self


def disabled_memory_policy(
    *,
    tenant_scope: TenantScope,
    repo_scope: RepositoryScope,
    branch_scope: BranchScope,
    trust_scope: TrustScope,
    reason: str,
) -> MemoryPolicy:
    """Return the block that grants nothing.

    Args:
        tenant_scope: The account that owns the repository.
        repo_scope: The repository the run works in.
        branch_scope: The branch worked on.
        trust_scope: The lowest trust of everything that feeds the run.
        reason: Why memory is off, one line, shown to people.
    """
    return MemoryPolicy(
        enabled=False,
        tenant_scope=tenant_scope,
        repo_scope=repo_scope,
        branch_scope=branch_scope,
        trust_scope=trust_scope,
        reason=reason,
    )
