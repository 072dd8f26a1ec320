"""How a task ends: nothing looks better than it was."""

import itertools
from typing import get_args

import pytest

from coven_action.core.documents import Fault, Outcome, Verdict
from coven_action.core.publication.endings import ENDINGS, Ending, decide_ending
from tests.core.samples import build_outcome

FAULT = Fault(stage="publish", code="git-failed", message="git push ended with 1")
STALE = Verdict(step="freshness", result="refused", finding="the branch was changed")
REFUSED = Verdict(step="secrets", result="refused", finding="what looks like a secret was found")
VERDICTS = get_args(Outcome.model_fields["verdict"].annotation)


def test_every_ending_has_a_row_and_none_concludes_as_success():
    assert set(ENDINGS) == set(Ending)
    assert all(rule.conclusion != "success" for rule in ENDINGS.values())


def test_only_a_published_result_is_remembered_as_published():
    assert [ending for ending, rule in ENDINGS.items() if rule.state == "published"] == [Ending.PUBLISHED]


def test_the_job_fails_exactly_where_the_conclusion_is_failure():
    for rule in ENDINGS.values():
        assert (rule.exit_code, rule.conclusion == "failure") in {(1, True), (0, False)}
        assert (rule.state == "failed") == (rule.exit_code == 1)


@pytest.mark.parametrize(
    ("verdict", "has_changes", "refusal", "ending"),
    [
        ("worked", True, None, Ending.PUBLISHED),
        ("worked", True, REFUSED, Ending.REFUSED),
        ("worked", True, STALE, Ending.STALE),
        ("worked", False, None, Ending.NOTHING_CHANGED),
        ("worked", False, REFUSED, Ending.NOTHING_CHANGED),
        ("nothing-changed", False, None, Ending.NOTHING_CHANGED),
        ("nothing-changed", True, None, Ending.NOTHING_CHANGED),
        ("needs-input", False, None, Ending.NEEDS_INPUT),
        ("needs-input", True, None, Ending.NEEDS_INPUT),
        ("failed", False, None, Ending.COULD_NOT),
        ("failed", True, None, Ending.COULD_NOT),
        ("failed", True, STALE, Ending.COULD_NOT),
        ("fault", False, None, Ending.FAULT),
        ("fault", True, None, Ending.FAULT),
    ],
)
def test_an_ending_follows_from_what_was_found(verdict, has_changes, refusal, ending):
    outcome = build_outcome(verdict=verdict)

    assert decide_ending(outcome, None, has_changes=has_changes, refusal=refusal) is ending


@pytest.mark.parametrize("verdict", VERDICTS)
@pytest.mark.parametrize("has_changes", [True, False])
@pytest.mark.parametrize("refusal", [None, STALE, REFUSED], ids=["none", "stale", "refused"])
def test_a_fault_never_publishes(verdict, has_changes, refusal):
    outcome = build_outcome(verdict=verdict)

    assert decide_ending(outcome, FAULT, has_changes=has_changes, refusal=refusal) is Ending.FAULT


def test_nothing_is_published_unless_the_run_worked_our_clone_shows_it_and_nothing_refuses():
    cases = itertools.product(VERDICTS, [None, FAULT], [True, False], [None, STALE, REFUSED])
    published = [
        case
        for case in cases
        if decide_ending(build_outcome(verdict=case[0]), case[1], has_changes=case[2], refusal=case[3])
        is Ending.PUBLISHED
    ]

    assert published == [("worked", None, True, None)]
