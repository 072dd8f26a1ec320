"""The states of a run and the steps between them."""

import pytest

from coven_action.core.endpoint.run_states import ENDED, STATES, STEPS, may_step


def test_every_state_has_its_steps():
    assert set(STEPS) == set(STATES)
    assert all(targets <= set(STATES) for targets in STEPS.values())


@pytest.mark.parametrize("state", STATES)
def test_staying_is_always_possible(state):
    assert may_step(state, state)


@pytest.mark.parametrize("state", sorted(ENDED))
def test_a_new_attempt_begins_again_from_every_end(state):
    assert may_step(state, "queued")
    assert may_step(state, "running")


@pytest.mark.parametrize(
    ("state", "target"),
    [
        ("done", "failed"),
        ("done", "cancelled"),
        ("failed", "done"),
        ("cancelled", "review"),
        ("superseded", "done"),
        ("needs_input", "done"),
        ("running", "queued"),
    ],
)
def test_an_end_is_not_replaced_by_another(state, target):
    assert not may_step(state, target)


def test_a_run_whose_report_was_lost_may_still_end():
    assert all(may_step("queued", end) for end in ("done", "failed", "review", "needs_input", "cancelled"))


def test_what_was_reviewed_is_done():
    assert may_step("review", "done")
