"""What each side grants of memory: trust, the configuration, the endpoint. Pure values and their intersection.

A grant only ever loses by being combined. Nothing to combine grants nothing, and no value of this module can name a
familiar's global memory, because the scopes are those of `MemoryScope`.
"""

from collections.abc import Iterable, Mapping
from functools import reduce
from typing import Annotated, Any, Final, Literal, Self

from pydantic import BeforeValidator, Field, model_validator

from coven_action.core.memory.policy_block import (
    DEFAULT_MAX_AGE_DAYS,
    DEFAULT_UNUSED_DAYS,
    MemoryScope,
    RetentionPolicy,
    TrustScope,
)
from coven_action.core.records import Record

SCOPES: Final[tuple[MemoryScope, ...]] = ("repo", "tenant_shared")
"""Every scope there is, in the order in which lists of them are written."""


def _order(scopes: Any) -> Any:
    """Return a list of scopes in our order, each once; what is no such list is left to the model to refuse."""
    if isinstance(scopes, tuple | list | set | frozenset) and set(scopes) <= set(SCOPES):
        return tuple(scope for scope in SCOPES if scope in scopes)
    return scopes


Scopes = Annotated[tuple[MemoryScope, ...], BeforeValidator(_order)]
"""A set of scopes, written as a tuple in the order of `SCOPES`, so that equal sets are equal values."""


class MemoryGrant(Record):
    """What one input of a run is trusted with.

    Args:
        read_scopes: Scopes whose entries may be read.
        write_scopes: Scopes into which entries may be proposed; never wider than `read_scopes`.
        shareable_only: Whether only entries that are marked shareable may be read.
        approval_forced: Whether a person approves whatever is proposed, whatever the configuration says.
    """

    read_scopes: Scopes = ()
    write_scopes: Scopes = ()
    shareable_only: bool = True
    approval_forced: bool = True

    @model_validator(mode="after")
    def _check_width(self) -> Self:
        if not set(self.write_scopes) <= set(self.read_scopes):
            raise ValueError("a write scope is never wider than the read scope")
        return self


NOTHING: Final = MemoryGrant()
"""The grant of nobody: no scope at all."""

_OUTSIDER: Final = MemoryGrant(read_scopes=("repo",))

MEMORY_GRANTS: Final[Mapping[TrustScope, MemoryGrant]] = {
    "maintainer": MemoryGrant(
        read_scopes=("repo", "tenant_shared"), write_scopes=("repo",), shareable_only=False, approval_forced=False
    ),
    "scheduled": MemoryGrant(read_scopes=("repo",), write_scopes=("repo",), shareable_only=False),
    "collaborator": MemoryGrant(read_scopes=("repo",), write_scopes=("repo",), shareable_only=False),
    "external": _OUTSIDER,
    "fork_pr": _OUTSIDER,
}
"""What an input is trusted with, by the trust scope of whom it comes from. Only the trusted rows may propose."""


class EndpointGrant(Record):
    """What the endpoint grants the verified claims of a run.

    Args:
        enabled: Whether the account's memory is on there.
        read_scopes: Scopes that may be read.
        write_scopes: Scopes that may be proposed into.
        shareable_only: Whether only shareable entries may be read.
        approval_required: Whether a person approves every proposal.
        retention: How long entries live there, in days.
        denied: Revoked canonical keys or whole-segment prefixes.
        installation_id: Of the App, where the account enrolled one.
    """

    enabled: bool
    read_scopes: Scopes = ()
    write_scopes: Scopes = ()
    shareable_only: bool = True
    approval_required: bool = True
    retention: RetentionPolicy = RetentionPolicy()
    denied: tuple[str, ...] = ()
    installation_id: Annotated[int, Field(gt=0)] | None = None


class MemorySettings(Record):
    """What the repository's configuration says about memory.

    Args:
        enabled: Whether memory is on; off unless written.
        read: Scopes that may be read.
        write: Scopes that may be proposed into.
        approval: Whether a person approves every proposal.
        separate_approver: Whether whoever asked for the work may not approve what it proposed.
        max_age_days: How long an entry may live.
        unused_days: How long it may lie unread.
    """

    enabled: bool = False
    read: Scopes = ("repo",)
    write: Scopes = ("repo",)
    approval: Literal["required", "automatic"] = "required"
    separate_approver: bool = False
    max_age_days: Annotated[int, Field(gt=0)] = DEFAULT_MAX_AGE_DAYS
    unused_days: Annotated[int, Field(gt=0)] = DEFAULT_UNUSED_DAYS


def intersect_scopes(*sets: Iterable[MemoryScope]) -> tuple[MemoryScope, ...]:
    """Return the scopes that all of the sets hold, in the order of `SCOPES`; no set at all holds nothing."""
    known = [set(scopes) for scopes in sets]
    return tuple(scope for scope in SCOPES if known and all(scope in held for held in known))


def intersect_grants(grants: Iterable[MemoryGrant]) -> MemoryGrant:
    """Return what all of the grants allow: one for each input that feeds the run. No input grants nothing."""
    listed = tuple(grants)
    return reduce(_intersect, listed) if listed else NOTHING


def _intersect(one: MemoryGrant, other: MemoryGrant) -> MemoryGrant:
    return MemoryGrant(
        read_scopes=intersect_scopes(one.read_scopes, other.read_scopes),
        write_scopes=intersect_scopes(one.write_scopes, other.write_scopes),
        shareable_only=one.shareable_only or other.shareable_only,
        approval_forced=one.approval_forced or other.approval_forced,
    )
