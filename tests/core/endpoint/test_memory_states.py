"""The lifecycle of an entry: every decision in every state."""

import itertools

import pytest

from coven_action.core.endpoint.memory_states import (
    DECISIONS,
    LIVE,
    READABLE,
    RULES,
    STATES,
    find_step,
    list_states,
    settle,
)
from coven_action.core.oidc.authority import Action

# Decision -> the states it is possible in, and what each becomes. What is not here is refused.
POSSIBLE = {
    "propose": {"pending": "pending", "approved": "approved", "stale": "stale", "rejected": "pending",
                "superseded": "pending", "expired": "pending"},
    "approve": {"pending": "approved", "approved": "approved", "stale": "approved"},
    "reject": {"pending": "rejected", "approved": "approved", "stale": "stale"},
    "edit": {"pending": "approved", "approved": "approved", "stale": "approved", "expired": "approved"},
    "revoke": {"pending": "revoked", "approved": "revoked", "stale": "revoked"},
    "restore": {"revoked": "approved", "expired": "approved", "superseded": "approved", "rejected": "approved"},
    "supersede": {"approved": "superseded", "stale": "superseded"},
    "promote": {"approved": "approved"},
    "erase": {"pending": "purged", "approved": "purged", "rejected": "purged", "stale": "purged",
              "superseded": "purged", "revoked": "purged", "expired": "purged"},
    "mark_stale": {"approved": "stale"},
    "hold_again": {"stale": "approved"},
    "expire": {"pending": "expired", "approved": "expired", "stale": "expired"},
}  # fmt: skip


@pytest.mark.parametrize(("decision", "state"), list(itertools.product(DECISIONS, STATES)))
def test_every_decision_in_every_state(decision, state):
    assert find_step(decision, state) == POSSIBLE[decision].get(state)


def test_the_table_has_every_decision_and_its_states_are_told():
    assert set(RULES) == set(DECISIONS) == set(POSSIBLE)
    assert list_states("erase") == ("pending", "approved", "rejected", "stale", "superseded", "revoked", "expired")
    assert list_states("promote") == ("approved",)


def test_nothing_leads_out_of_purged_and_nothing_but_a_person_out_of_revoked():
    assert not [decision for decision in DECISIONS if find_step(decision, "purged")]
    assert {decision for decision in DECISIONS if find_step(decision, "revoked")} == {"restore", "erase"}


def test_no_run_and_no_sweep_makes_a_pending_entry_readable():
    """What leads to `approved` from elsewhere is a person's, but for a stale entry that was approved before."""
    silent = [decision for decision in DECISIONS if RULES[decision].action is None]

    reached = {(decision, state) for decision in silent for state in STATES if find_step(decision, state) == READABLE}

    assert reached == {("propose", "approved"), ("hold_again", "stale")}


def test_each_decision_of_a_person_takes_its_own_right():
    taken = [RULES[decision].action for decision in DECISIONS if RULES[decision].action is not None]

    assert len(set(taken)) == len(taken)
    assert RULES["promote"].action is Action.PROMOTE
    assert RULES["erase"].action is Action.ERASE
    assert {rule.action for rule in RULES.values()} - {None} == set(Action) - {
        Action.VIEW,
        Action.EXPORT,
        Action.POLICY,
    }


def test_a_new_wording_that_holds_replaces_the_old_one_and_a_revocation_takes_what_waits():
    assert {decision for decision in DECISIONS if RULES[decision].replaced == "superseded"} == {"approve", "edit"}
    assert RULES["revoke"].waiting == "revoked"
    assert RULES["expire"].waiting is None
    assert frozenset({"pending", "approved", "stale"}) == LIVE


@pytest.mark.parametrize(
    ("state", "holds", "waits", "settled"),
    [
        ("approved", True, False, "approved"),
        ("approved", False, False, "pending"),
        ("rejected", True, False, "rejected"),
        ("rejected", False, True, "pending"),
        ("expired", True, True, "pending"),
        ("expired", True, False, "expired"),
        ("revoked", False, False, "revoked"),
        ("stale", True, True, "stale"),
    ],
)
def test_what_never_held_waits_again_and_what_waits_is_shown(state, holds, waits, settled):
    assert settle(state, holds=holds, waits=waits) == settled
