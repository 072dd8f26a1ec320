"""Who may approve, when policy may, and how long it lasts."""

import itertools
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from coven_action.core.endpoint.approval import (
    BY_POLICY,
    DAY,
    ProposalFacts,
    compute_expiry,
    find_conflict_of_interest,
    find_obstacle,
    find_unused_days,
)
from coven_action.core.memory.policy_block import RetentionPolicy

CLEAN = ProposalFacts(
    trust_scope="maintainer",
    scope="repo",
    visibilities=("private", "private"),
    flags=(),
    is_new=True,
    shareable=False,
    approval_required=False,
    reported_approval_required=False,
)


def test_policy_approves_a_clean_new_entry_of_a_maintainers_run_in_a_private_repository():
    assert find_obstacle(CLEAN) is None


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"approval_required": True}, "the account asks"),
        ({"reported_approval_required": True}, "the repository asks"),
        ({"trust_scope": "scheduled"}, "trust is scheduled"),
        ({"trust_scope": "collaborator"}, "trust is collaborator"),
        ({"trust_scope": "external"}, "trust is external"),
        ({"trust_scope": "fork_pr"}, "trust is fork_pr"),
        ({"scope": "tenant_shared"}, "whole account"),
        ({"visibilities": ("public",)}, "not private"),
        ({"visibilities": ("private", "internal")}, "not private"),
        ({"visibilities": ("internal", "private", "private")}, "not private"),
        ({"visibilities": ()}, "not private"),
        ({"flags": ("near_duplicate:mem_0123456789abcdef",)}, "something to look at"),
        ({"is_new": False}, "stands already"),
        ({"shareable": True}, "outsiders"),
    ],
)
def test_each_single_doubt_asks_for_a_person(change, said):
    assert said in find_obstacle(replace(CLEAN, **change))


def test_of_all_combinations_one_alone_needs_no_person():
    """Let nothing mean no: whatever else is true besides, a doubt stays one."""
    changes = {
        "trust_scope": ("maintainer", "scheduled", "collaborator", "external", "fork_pr"),
        "scope": ("repo", "tenant_shared"),
        "visibilities": (("private",), ("public",), ("internal", "private"), ()),
        "flags": ((), ("conflict:mem_0123456789abcdef",)),
        "is_new": (True, False),
        "shareable": (False, True),
        "approval_required": (False, True),
        "reported_approval_required": (False, True),
    }
    free = [
        values
        for values in itertools.product(*changes.values())
        if find_obstacle(ProposalFacts(**dict(zip(changes, values, strict=True)))) is None
    ]

    assert free == [("maintainer", "repo", ("private",), (), True, False, False, False)]


@pytest.mark.parametrize(
    ("approver", "asker", "separate", "refused"),
    [
        ("person:7", 7, False, False),
        ("person:7", 7, True, True),
        ("person:8", 7, True, False),
        ("person:77", 7, True, False),
        ("person:7", None, True, False),
        ("admin", 7, False, False),
        ("admin", 7, True, True),
        ("admin", None, True, False),
    ],
)
def test_two_people_are_two_people(approver, asker, separate, refused):
    conflict = find_conflict_of_interest(approver, asker, separate_approver=separate)

    assert (conflict is not None) == refused


@pytest.mark.parametrize(
    ("approved_by", "unused_days", "days"),
    [(BY_POLICY, 90, 28), (BY_POLICY, 7, 7), ("person:7", 90, 90), ("person:7", 30, 30), ("admin", 400, 90)],
)
def test_what_policy_approved_lasts_less_and_the_account_may_set_less_still(approved_by, unused_days, days):
    assert find_unused_days(approved_by, RetentionPolicy(unused_days=unused_days)) == days


def test_use_postpones_expiry_up_to_the_hard_maximum():
    retention = RetentionPolicy(max_age_days=100, unused_days=90)

    def expires(used_at):
        return compute_expiry(approved_at=1000, used_at=used_at, approved_by="person:7", retention=retention)

    assert expires(None) == 1000 + 90 * DAY
    assert expires(1000 + 5 * DAY) == 1000 + 95 * DAY
    assert expires(1000 + 50 * DAY) == 1000 + 100 * DAY
    # A use from before the approval, of an earlier wording, shortens nothing.
    assert expires(1000 - 50 * DAY) == 1000 + 90 * DAY


@given(
    approved_at=st.integers(0, 2**45),
    used_after=st.none() | st.integers(-400 * DAY, 400 * DAY),
    approved_by=st.sampled_from([BY_POLICY, "admin", "person:7"]),
    max_age=st.integers(1, 1000),
    unused=st.integers(1, 1000),
)
def test_nothing_outlives_the_maximum_and_no_use_shortens(approved_at, used_after, approved_by, max_age, unused):
    retention = RetentionPolicy(max_age_days=max_age, unused_days=unused)
    used_at = None if used_after is None else approved_at + used_after
    expiry = compute_expiry(approved_at=approved_at, used_at=used_at, approved_by=approved_by, retention=retention)
    without = compute_expiry(approved_at=approved_at, used_at=None, approved_by=approved_by, retention=retention)

    assert approved_at < without <= expiry <= approved_at + max_age * DAY
