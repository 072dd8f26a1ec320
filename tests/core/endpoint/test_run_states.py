"""The states of a run, and what becomes of one that says nothing any more."""

from typing import get_args

import pytest

from coven_action.core.endpoint.run_states import DECLINED, ENDED, FORGOTTEN, LOST, STATES, guess_end
from coven_action.core.endpoint.wire import EndReason, FailureReason


def test_a_run_has_ended_or_an_end_can_be_guessed():
    assert {state for state in STATES if guess_end(state) is None} == ENDED


@pytest.mark.parametrize(("state", "guess"), [("running", LOST), ("queued", FORGOTTEN)])
def test_what_was_at_work_is_lost_and_what_waited_is_forgotten(state, guess):
    assert guess_end(state) is guess


@pytest.mark.parametrize("guess", [LOST, FORGOTTEN, DECLINED], ids=lambda guess: guess.reason or guess.state)
def test_a_guess_is_an_end(guess):
    assert guess.state in ENDED
    assert guess.reason is None or guess.reason in {each for part in get_args(EndReason) for each in get_args(part)}


def test_that_nothing_was_heard_is_no_word_of_a_run():
    assert LOST.reason not in get_args(FailureReason)
