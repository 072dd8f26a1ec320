"""Who may approve a wording, when policy may do it by itself, and how long what was approved lives. Pure.

A run proposes and never approves. Moments are whole milliseconds since 1970.
"""

from dataclasses import dataclass
from typing import Final

from coven_action.core.memory.policy_block import MemoryScope, RetentionPolicy, TrustScope, Visibility

BY_POLICY: Final = "policy"
"""Stands as `approved_by` where no person did."""

PENDING_DAYS: Final = 14
"""A proposal that nobody has decided about until then expires."""

UNUSED_DAYS_BY_POLICY: Final = 28
UNUSED_DAYS_BY_PERSON: Final = 90
"""An approved entry that no run was offered for so long expires; the account may set less."""

DAY: Final = 86_400_000


@dataclass(frozen=True, slots=True)
class ProposalFacts:
    """What automatic approval depends on.

    Args:
        trust_scope: Of the run, as reported.
        scope: Where the entry would live.
        visibilities: What the token and the enrolment say of the repository; either may have heard later than the other.
        flags: What the screens and comparisons found.
        is_new: Whether nobody has ever decided about the key: what a person decided, policy does not replace.
        shareable: Whether runs that outsiders feed would read it.
        approval_required: Whether the account asks for a person.
        reported_approval_required: Whether the run's reported memory policy does.
    """

    trust_scope: TrustScope
    scope: MemoryScope
    visibilities: tuple[Visibility, ...]
    flags: tuple[str, ...]
    is_new: bool
    shareable: bool
    approval_required: bool
    reported_approval_required: bool


def find_obstacle(facts: ProposalFacts) -> str | None:
    """Return why a person has to approve, the first reason; None where policy may."""
    obstacles = (
        (facts.approval_required, "the account asks for a person's approval"),
        (facts.reported_approval_required, "the repository asks for a person's approval"),
        (facts.trust_scope != "maintainer", f"the run's trust is {facts.trust_scope}"),
        (facts.scope != "repo", "it is for the whole account"),
        (not facts.visibilities or set(facts.visibilities) != {"private"}, "the repository is not private"),
        (facts.shareable, "outsiders' runs would read it"),
        (not facts.is_new, "a decision about its key stands already"),
        (bool(facts.flags), "there is something to look at"),
    )
    return next((reason for holds, reason in obstacles if holds), None)


def find_conflict_of_interest(approver: str, asker_id: int | None, *, separate_approver: bool) -> str | None:
    """Return why somebody may not approve, None where they may.

    Args:
        approver: `person:<id>`, or `admin` for whoever holds the local administrator's token.
        asker_id: GitHub's id of the person whose request the proposing run worked on; None where no run proposed it.
        separate_approver: Whether the account or the operator asks for two people.
    """
    if not separate_approver or asker_id is None:
        return None
    if not approver.startswith("person:"):
        return "two people are asked for, and the local administrator's token does not say who holds it"
    if approver == f"person:{asker_id}":
        return "two people are asked for, and the proposal comes from your own request"
    return None


def find_unused_days(approved_by: str, retention: RetentionPolicy) -> int:
    """Return after how many days without use an entry expires."""
    ours = UNUSED_DAYS_BY_POLICY if approved_by == BY_POLICY else UNUSED_DAYS_BY_PERSON
    return min(ours, retention.unused_days)


def compute_expiry(*, approved_at: int, used_at: int | None, approved_by: str, retention: RetentionPolicy) -> int:
    """Return when an approved entry expires: unused for too long, or older than the account allows at all."""
    last = max(approved_at, used_at if used_at is not None else approved_at)
    return min(
        last + find_unused_days(approved_by, retention) * DAY,
        approved_at + retention.max_age_days * DAY,
    )
