"""Edits after the trigger: noted on a first attempt, a reason to ask anew on a re-run."""

from datetime import timedelta

import pytest

from coven_action.core.refusals import Refusal
from coven_action.core.trust.edits import Edits, decide_late_edits, describe_late_edits, find_late_edits
from tests.core.samples import commented, dispatched, labeled

LABELED, COMMENTED = labeled(), commented()
MINUTE = timedelta(minutes=1)


def edits(event, offset, *names):
    at = event.triggered_at + offset
    return Edits(**dict.fromkeys(names, at))


@pytest.mark.parametrize(
    ("field", "name"), [("renamed_at", "title"), ("body_edited_at", "body"), ("comment_edited_at", "comment")]
)
@pytest.mark.parametrize("event", [LABELED, COMMENTED], ids=["label", "comment"])
def test_what_was_edited_after_the_trigger_is_named(event, field, name):
    assert find_late_edits(edits(event, MINUTE, field), event, since=event.triggered_at) == (name,)


@pytest.mark.parametrize("offset", [-MINUTE, timedelta(0)])
def test_an_edit_before_the_trigger_is_part_of_the_frozen_text(offset):
    before = edits(LABELED, offset, "renamed_at", "body_edited_at")

    assert find_late_edits(before, LABELED, since=LABELED.triggered_at) == ()


def test_a_text_that_was_never_edited_is_not_late():
    assert find_late_edits(Edits(), LABELED, since=LABELED.triggered_at) == ()


@pytest.mark.parametrize(("offset", "late"), [(MINUTE, ("title", "body")), (timedelta(0), ()), (-MINUTE, ())])
def test_a_dispatch_is_held_against_the_moment_its_run_was_created(offset, late):
    created_at = LABELED.triggered_at
    found = edits(LABELED, offset, "renamed_at", "body_edited_at")

    assert dispatched().triggered_at is None
    assert find_late_edits(found, dispatched(), since=created_at) == late


def test_the_body_of_a_pull_request_is_our_own_and_counts_for_nothing():
    event = commented("/coven fix it", pull_request=True)
    since = event.triggered_at

    assert find_late_edits(edits(event, MINUTE, "body_edited_at"), event, since=since) == ()
    assert find_late_edits(edits(event, MINUTE, "comment_edited_at"), event, since=since) == ("comment",)


@pytest.mark.parametrize(
    ("late", "attempt", "declined"), [((), 1, False), (("body",), 1, False), ((), 2, False), (("body",), 2, True)]
)
def test_only_a_rerun_after_an_edit_is_declined(late, attempt, declined):
    answer = decide_late_edits(late, run_attempt=attempt)

    assert isinstance(answer, Refusal) == declined
    if isinstance(answer, Refusal):
        assert answer.code == "edited-since-trigger"
        assert not answer.quiet


def test_people_are_told_what_changed():
    answer = decide_late_edits(("title", "body"), run_attempt=2)

    assert answer is not None
    assert answer.reason.startswith("The title and body changed since")
    assert answer.remedy.startswith("Trigger again: ")
    assert describe_late_edits(("body",)) == "the body changed after the trigger; the text as of the trigger was used"
    assert describe_late_edits(()) == ""
