"""How a task ends: nothing looks better than it was."""

import itertools
from typing import get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from coven_action.core.checks.conclusion import Judged, judge_checks
from coven_action.core.checks.document import Checks
from coven_action.core.checks.results import CheckCommand, CheckResult, CheckRun
from coven_action.core.documents import Fault, Isolation, Outcome, TaskIdentity, Verdict
from coven_action.core.publication.endings import (
    ENDINGS,
    PUBLISHED_ENDINGS,
    REFUSED_ENDINGS,
    Ending,
    decide_ending,
)
from coven_action.core.verification.changes import DiffStatistics
from coven_action.core.verification.findings import refuse_for
from coven_action.core.verification.verification import CONTRACT, STEPS, Facts, find_refusal, verify
from tests.core.samples import BASE_SHA, LIMITS, TIP_SHA, build_outcome, changed
from tests.fuzzing import examples

FAULT = Fault(stage="publish", code="git-failed", message="git push ended with 1")
STALE = Verdict(step="freshness", result="refused", finding="the branch was changed")
REFUSED = Verdict(step="secrets", result="refused", finding="what looks like a secret was found")
UNSEEN = Verdict(step="evidence", result="refused", finding="failed on the result: tests")
VERDICTS = get_args(Outcome.model_fields["verdict"].annotation)
STATUSES = (None, "success", "partial", "failure", "needs_input")


def decide(verdict="worked", refusal=None, judged=Judged.NONE_CONFIGURED, *, fault=None, has_changes=True, status=None):
    outcome = build_outcome(verdict=verdict, result=None if status is None else {"status": status})
    return decide_ending(outcome, fault, has_changes=has_changes, refusal=refusal, judged=judged)


def test_every_ending_has_a_row_and_one_concludes_as_success():
    assert set(ENDINGS) == set(Ending)
    assert [ending for ending, rule in ENDINGS.items() if rule.conclusion == "success"] == [Ending.VERIFIED]


def test_only_a_published_result_is_remembered_as_published():
    assert {Ending.VERIFIED, Ending.PUBLISHED, Ending.PARTIAL, Ending.FAILING} == PUBLISHED_ENDINGS
    assert all((rule.state == "published") == (ending in PUBLISHED_ENDINGS) for ending, rule in ENDINGS.items())


def test_the_job_fails_where_the_conclusion_is_failure_and_no_pull_request_carries_it():
    for ending, rule in ENDINGS.items():
        assert rule.exit_code == (rule.conclusion == "failure" and ending not in PUBLISHED_ENDINGS)
        assert (rule.state == "failed") == (rule.exit_code == 1)


@pytest.mark.parametrize(
    ("judged", "status", "ending"),
    [
        (Judged.PASSED, "success", Ending.VERIFIED),
        (Judged.PASSED, None, Ending.VERIFIED),
        (Judged.PASSED, "failure", Ending.VERIFIED),
        (Judged.PASSED, "partial", Ending.PARTIAL),
        (Judged.NONE_CONFIGURED, "success", Ending.PUBLISHED),
        (Judged.NONE_CONFIGURED, "partial", Ending.PARTIAL),
        (Judged.FAILED, "success", Ending.FAILING),
        (Judged.FAILED, "partial", Ending.FAILING),
        (Judged.FAULT, "success", Ending.FAULT),
        (Judged.FAULT, "partial", Ending.FAULT),
        (None, "success", Ending.FAULT),
        (None, "partial", Ending.FAULT),
    ],
)
def test_a_result_that_nothing_refuses_ends_as_our_checks_and_the_runtime_say(judged, status, ending):
    assert decide(judged=judged, status=status) is ending


@pytest.mark.parametrize(
    ("refusal", "judged", "ending"),
    [
        (UNSEEN, Judged.FAILED, Ending.CHECKS_FAILED),
        (UNSEEN, Judged.FAULT, Ending.FAULT),
        (UNSEEN, Judged.PASSED, Ending.FAULT),
        (UNSEEN, None, Ending.FAULT),
        (REFUSED, Judged.FAULT, Ending.REFUSED),
        (REFUSED, Judged.FAILED, Ending.REFUSED),
        (STALE, Judged.FAILED, Ending.STALE),
        (STALE, Judged.PASSED, Ending.STALE),
    ],
)
def test_the_first_step_that_refuses_decides(refusal, judged, ending):
    assert decide(refusal=refusal, judged=judged) is ending


@pytest.mark.parametrize(
    ("verdict", "has_changes", "refusal", "ending"),
    [
        ("worked", True, None, Ending.PUBLISHED),
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
    assert decide(verdict, refusal, has_changes=has_changes) is ending


@pytest.mark.parametrize("verdict", VERDICTS)
@pytest.mark.parametrize("has_changes", [True, False])
@pytest.mark.parametrize("refusal", [None, STALE, REFUSED, UNSEEN], ids=["none", "stale", "refused", "unseen"])
@pytest.mark.parametrize("judged", [None, *Judged])
def test_a_fault_never_publishes(verdict, has_changes, refusal, judged):
    assert decide(verdict, refusal, judged, fault=FAULT, has_changes=has_changes) is Ending.FAULT


_REFUSALS = st.none() | st.builds(
    lambda step: Verdict(step=step, result="refused", finding="x"), st.sampled_from((CONTRACT, *STEPS))
)


@given(
    st.sampled_from(VERDICTS),
    _REFUSALS,
    st.none() | st.sampled_from(Judged),
    st.none() | st.just(FAULT),
    st.booleans(),
    st.sampled_from(STATUSES),
)
@examples(500)
def test_success_and_publication_need_everything_to_be_well(verdict, refusal, judged, fault, has_changes, status):
    ending = decide(verdict, refusal, judged, fault=fault, has_changes=has_changes, status=status)
    is_well = verdict == "worked" and refusal is None and fault is None and has_changes

    assert (ending in PUBLISHED_ENDINGS) == (is_well and judged not in {None, Judged.FAULT})
    assert (ENDINGS[ending].conclusion == "success") == (is_well and judged is Judged.PASSED and status != "partial")


def test_every_ending_can_be_reached():
    cases = itertools.product(
        VERDICTS, [None, STALE, REFUSED, UNSEEN], [None, *Judged], [None, FAULT], [True, False], STATUSES
    )

    assert {
        decide(verdict, refusal, judged, fault=fault, has_changes=has_changes, status=status)
        for verdict, refusal, judged, fault, has_changes, status in cases
    } == set(Ending)


TASK = TaskIdentity(repository_id=7, event_name="issues", run_id=42, run_attempt=1)
RUNS = st.builds(
    CheckRun,
    exit_code=st.sampled_from((None, 0, 0, 0, 1, 127)),
    signal=st.sampled_from((None, None, 9)),
    duration_seconds=st.just(1.0),
    timed_out=st.sampled_from((False, False, True)),
    fault=st.sampled_from(("", "", "no sandbox")),
    output_bytes=st.just(0),
    tail=st.sampled_from(("", "500 passed", "conclusion: success")),
)
# What the document is of, beside the one thing it should be of.
WRONG = (
    {},
    {},
    {},
    {"tip_sha": "e" * 40},
    {"base_sha": "e" * 40},
    {"task": TASK.model_copy(update={"run_attempt": 2})},
)


@given(
    st.lists(st.tuples(st.none() | RUNS, RUNS), max_size=3),
    st.sampled_from(WRONG),
    st.booleans(),
    st.sampled_from(("draft", "nothing")),
    st.sampled_from(STATUSES),
    st.sampled_from(
        ({}, {}, {"secrets": ("a token",)}, {"tip_parents": ()}, {"look_at_target": lambda: refuse_for("x")})
    ),
)
@examples(400)
def test_from_the_document_to_the_conclusion_only_exit_codes_of_ours_make_a_success(
    runs, wrong, is_there, failing_checks, status, broken
):
    commands = [CheckCommand(name=f"check {number}", run="make", timeout_seconds=9) for number in range(len(runs))]
    results = tuple(
        CheckResult(name=command.name, base=base, result=after)
        for command, (base, after) in zip(commands, runs, strict=True)
    )
    right = {"task": TASK, "base_sha": BASE_SHA, "tip_sha": TIP_SHA}
    place = Isolation(demanded="none", reached="none", note="")
    checks = Checks(**{**right, "observed_on": "separate_runner", "isolation": place, "results": results, **wrong})
    judgement = judge_checks(checks if is_there else None, commands, **right, failing_checks=failing_checks)
    facts = Facts(
        files=(changed("src/tax.py"),), statistics=DiffStatistics(files=1), limits=LIMITS, tip_parents=(BASE_SHA,),
        base_sha=BASE_SHA, secrets=(), judgement=judgement,
    )  # fmt: skip
    verdicts = verify(facts.model_copy(update=broken))
    refusal = find_refusal(verdicts)
    ending = decide(refusal=refusal, judged=judgement.judged, status=status)

    is_seen = bool(commands) and is_there and not wrong
    is_clean = all(
        (after.exit_code, after.signal, after.timed_out, after.fault) == (0, None, False, "") for _, after in runs
    )
    assert (ENDINGS[ending].conclusion == "success") == (is_seen and is_clean and not broken and status != "partial")
    assert (ending in PUBLISHED_ENDINGS) == (refusal is None)
    if ending is Ending.VERIFIED:
        assert {verdict.result for verdict in verdicts} == {"passed"}


def test_a_result_that_is_refused_is_neutral_and_carries_no_pull_request_of_its_own():
    assert {decide(refusal=STALE), decide(refusal=REFUSED)} == REFUSED_ENDINGS
    assert {ENDINGS[ending].conclusion for ending in REFUSED_ENDINGS} == {"neutral"}
    assert REFUSED_ENDINGS.isdisjoint(PUBLISHED_ENDINGS)
