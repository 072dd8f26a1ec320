"""Only the exit code of a check of ours on the result makes a success; whatever is printed decides nothing."""

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from coven_action.core.checks.conclusion import (
    Judged,
    compare_claims,
    describe_claims,
    describe_result,
    describe_run,
    judge_checks,
    judge_run,
)
from coven_action.core.checks.document import Checks
from coven_action.core.checks.results import (
    MAX_CHECKS,
    MAX_COUNT,
    MAX_FAILURES,
    MAX_LINE,
    MAX_LINES,
    MAX_TAIL,
    MAX_TEST_NAME,
    CheckCommand,
    CheckResult,
    CheckRun,
    Failure,
    build_counts,
)
from coven_action.core.contract.result import ClaimedTest
from coven_action.core.documents import MAXIMUM_DOCUMENT_BYTES, Isolation, TaskIdentity, write_document
from tests.core.checks.corpus import counts, observe, read_output
from tests.fuzzing import examples

TASK = TaskIdentity(repository_id=7, event_name="issues", run_id=42, run_attempt=1)
ISOLATION = Isolation(demanded="enforced", reached="enforced", note="")
BASE, TIP = "a" * 40, "b" * 40


def run(exit_code: int | None = 0, **fields) -> CheckRun:
    return CheckRun(**{"exit_code": exit_code, "duration_seconds": 48.0, "output_bytes": 0, **fields})


PASSED = run(0, counts=counts(214))
FAILED = run(1, counts=counts(9, 3))
RUNS = {
    "passed": run(0),
    "passed with counts": PASSED,
    "passed, contradictory": run(0, counts=counts(9, 3)),
    "failed": run(1),
    "failed with counts of success": run(1, counts=counts(500)),
    "failed with counts": FAILED,
    "command not found": run(127),
    "killed": run(None, signal=11),
    "killed, and yet an exit code": run(0, signal=9),
    "timed out": run(None, timed_out=True),
    "timed out, and yet an exit code": run(0, timed_out=True),
    "not started": run(None),
    "fault": run(None, fault="the sandbox did not start"),
    "fault, and yet an exit code": run(0, fault="the memory limit was hit"),
}
JUDGED = {
    "passed": "passed",
    "passed with counts": "passed",
    "passed, contradictory": "passed",
    "failed": "failed",
    "failed with counts of success": "failed",
    "failed with counts": "failed",
    "command not found": "failed",
    "killed": "failed",
    "killed, and yet an exit code": "failed",
}


def build(*results: CheckResult, **fields) -> Checks:
    given_fields = {
        "task": TASK,
        "base_sha": BASE,
        "tip_sha": TIP,
        "observed_on": "separate_runner",
        "isolation": ISOLATION,
        "results": results,
    }
    return Checks(**(given_fields | fields))


def result(after: CheckRun, before: CheckRun | None = None, name: str = "tests") -> CheckResult:
    return CheckResult(name=name, base=before, result=after)


def command(name: str = "tests", line: str = "make test") -> CheckCommand:
    return CheckCommand(name=name, run=line, timeout_seconds=600)


def judge(checks: Checks | None, *commands: CheckCommand, **fields):
    return judge_checks(checks, commands, **({"task": TASK, "base_sha": BASE, "tip_sha": TIP} | fields))


@pytest.mark.parametrize("name", RUNS)
def test_a_run_is_judged_by_how_it_ended(name):
    assert judge_run(RUNS[name]) == JUDGED.get(name, "could-not-run")


_BY_RUN = {"passed": Judged.PASSED, "failed": Judged.FAILED, "could-not-run": Judged.FAULT}


@pytest.mark.parametrize(("before", "after"), list(itertools.product((None, *RUNS), RUNS)))
def test_the_result_alone_decides_whatever_the_base_did(before, after):
    judgement = judge(build(result(RUNS[after], RUNS.get(before or ""))), command())

    assert judgement.judged is _BY_RUN[judge_run(RUNS[after])]


@pytest.mark.parametrize(("first", "second"), list(itertools.product(RUNS, RUNS)))
def test_only_all_checks_passing_is_passed(first, second):
    checks = build(result(RUNS[first], name="a"), result(RUNS[second], name="b"))
    judgement = judge(checks, command("a"), command("b"))
    ended = {judge_run(RUNS[first]), judge_run(RUNS[second])}

    assert (judgement.judged is Judged.PASSED) == (ended == {"passed"})
    assert (judgement.judged is Judged.FAULT) == ("could-not-run" in ended)
    assert judgement.publishes == ("could-not-run" not in ended)
    assert judgement.rows[0].standing == max(
        (row.standing for row in judgement.rows), key=("passed", "failed-before-too", "failed", "could-not-run").index
    )


@pytest.mark.parametrize(("failing_checks", "publishes"), [("draft", True), ("nothing", False)])
def test_failing_checks_are_published_as_the_configuration_says(failing_checks, publishes):
    judgement = judge(build(result(FAILED)), command(), failing_checks=failing_checks)

    assert (judgement.judged, judgement.publishes) == (Judged.FAILED, publishes)


@pytest.mark.parametrize("failing_checks", ["draft", "nothing"])
@pytest.mark.parametrize(
    ("judged", "publishes"), [(Judged.PASSED, True), (Judged.NONE_CONFIGURED, True), (Judged.FAULT, False)]
)
def test_everything_else_is_published_or_not_whatever_the_configuration_says(failing_checks, judged, publishes):
    checks = {
        Judged.PASSED: build(result(PASSED)),
        Judged.NONE_CONFIGURED: None,
        Judged.FAULT: build(result(run(None))),
    }
    commands = () if judged is Judged.NONE_CONFIGURED else (command(),)
    judgement = judge(checks[judged], *commands, failing_checks=failing_checks)

    assert (judgement.judged, judgement.publishes) == (judged, publishes)


def test_no_check_configured_is_no_pass_even_beside_forged_checks():
    judgement = judge(build(result(PASSED)))

    assert (judgement.judged, judgement.rows) == (Judged.NONE_CONFIGURED, ())


@pytest.mark.parametrize(
    ("checks", "finding"),
    [
        (None, "no observed checks were handed over"),
        (build(), "the observed checks are of another list of checks"),
        (build(result(PASSED, name="lint")), "the observed checks are of another list of checks"),
        (build(result(PASSED), result(PASSED)), "the observed checks are of another list of checks"),
        (build(result(PASSED), result(PASSED, name="lint")), "the observed checks are of another list of checks"),
        (build(result(PASSED), tip_sha=BASE), "the observed checks are of another commit"),
        (build(result(PASSED), base_sha=TIP), "the observed checks are of another base commit"),
        (
            build(result(PASSED), task=TASK.model_copy(update={"run_attempt": 2}), tip_sha=BASE),
            "the observed checks are of another task and another commit",
        ),
    ],
)
def test_checks_of_anything_else_are_a_fault(checks, finding):
    judgement = judge(checks, command())

    assert (judgement.judged, judgement.publishes, judgement.rows) == (Judged.FAULT, False, ())
    assert judgement.finding == finding


def test_why_there_are_none_is_said():
    assert judge(None, command(), missing="its digest is missing").finding == "its digest is missing"


def test_why_a_check_could_not_be_run_is_said():
    checks = build(result(run(None, timed_out=True), name="a"), result(run(None, fault="no sandbox"), name="b"))

    assert judge(checks, command("a"), command("b")).finding == (
        "could not be run on the result: a (timed out after 48 s), b (could not run: no sandbox)"
    )


def test_the_finding_names_the_checks_that_decided():
    results = (result(PASSED, name="a"), result(FAILED, name="b"), result(FAILED, FAILED, name="c"))
    judgement = judge(build(*results), command("a"), command("b"), command("c"))

    assert judgement.finding == "failed on the result: b, c"
    assert [row.name for row in judgement.rows] == ["b", "c", "a"]


@pytest.mark.parametrize(
    ("before", "after", "text"),
    [
        (run(0, counts=counts(212)), PASSED, "tests 212 → 214 passed"),
        (PASSED, PASSED, "tests 214 passed"),
        (run(0), run(0), "tests clean"),
        (FAILED, run(0, counts=counts(12)), "tests base 3 failed, 9 passed → now 12 passed"),
        (run(0, counts=counts(3, 0, 1)), PASSED, "tests base 3 passed, 1 skipped → now 214 passed"),
        (run(0), PASSED, "tests base clean → now 214 passed"),
        (run(0, counts=counts()), PASSED, "tests base clean → now 214 passed"),
        (None, PASSED, "tests 214 passed, base not run"),
        (run(2), run(0), "tests base failed (exit 2) → now clean"),
        (FAILED, FAILED, "tests 3 failed, 9 passed"),
    ],
)
def test_a_check_is_told_in_one_line(before, after, text):
    assert describe_result(result(after, before)).text == text


@pytest.mark.parametrize(
    ("observed", "text"),
    [
        (run(0), "clean"),
        (run(2), "failed (exit 2)"),
        (run(2, counts=counts(12)), "failed (exit 2), 12 passed"),
        (run(1, counts=counts(1, 2, 3, 1)), "2 failed, 1 error, 1 passed, 3 skipped"),
        (run(1, counts=counts(0, 0, 0, 2)), "2 errors"),
        (run(None, signal=11), "killed by signal 11"),
        (run(None, timed_out=True), "timed out after 48 s"),
        (run(None), "could not run"),
        (run(0, fault="no sandbox"), "could not run: no sandbox"),
    ],
)
def test_a_run_is_told_in_a_few_words(observed, text):
    assert describe_run(observed) == text


@pytest.mark.parametrize(
    ("before", "after", "standing", "notes"),
    [
        (PASSED, PASSED, "passed", ()),
        (None, PASSED, "passed", ("it was not run on the base",)),
        (run(None), PASSED, "passed", ("it could not be run on the base",)),
        (FAILED, FAILED, "failed-before-too", ("it failed before the change too",)),
        (PASSED, FAILED, "failed", ()),
        (FAILED, run(None), "could-not-run", ()),
        (
            PASSED,
            run(0, counts=counts(9, 0, 0, 1)),
            "passed",
            ("it exits with 0 although it reports failures; the exit code holds",),
        ),
    ],
)
def test_what_a_reader_must_know_is_noted(before, after, standing, notes):
    row = describe_result(result(after, before))

    assert (row.standing, row.notes) == (standing, notes)


def test_the_first_failure_is_told_in_five_lines():
    row = describe_result(result(observe(read_output("pytest"))))

    assert row.failing == (
        "test_books · test_tax.py:20",
        "ConnectionError: no ledger at localhost:5432",
        '>       raise ConnectionError("no ledger at localhost:5432")',
        "test_tax.py:20: ConnectionError",
    )
    assert len(describe_result(result(observe(read_output("jest")))).failing) == 5


@pytest.mark.parametrize(
    ("after", "failing"),
    [
        (run(0, failures=(Failure(message="printed by a test"),)), ()),
        (run(1, failures=(Failure(message="m", file="a.c"),)), ("a.c", "m")),
        (run(1, failures=(Failure(message="m"),)), ("m",)),
        (run(3, tail="1\n\n2\n3\n4\n5\n6"), ("2", "3", "4", "5", "6")),
        (run(3), ()),
    ],
)
def test_a_failure_without_a_name_is_told_as_well(after, failing):
    assert describe_result(result(after)).failing == failing


def claim(status: str, line: str = "make test") -> ClaimedTest:
    return ClaimedTest(command=line, status=status, output_summary=None)


@pytest.mark.parametrize(
    ("claimed", "after", "row", "text"),
    [
        (claim("passed"), PASSED, ("passed", "214 passed", True), "the familiar claimed the same"),
        (claim("passed", " make   test "), PASSED, ("passed", "214 passed", True), "the familiar claimed the same"),
        (
            claim("passed"),
            FAILED,
            ("passed", "3 failed, 9 passed", False),
            "the familiar claimed otherwise: make test passed",
        ),
        (claim("failed"), PASSED, ("failed", "214 passed", False), "the familiar claimed otherwise: make test failed"),
        (claim("failed"), FAILED, ("failed", "3 failed, 9 passed", True), "the familiar claimed the same"),
        (
            claim("passed"),
            run(None),
            ("passed", "could not run", False),
            "the familiar claimed otherwise: make test passed",
        ),
        (claim("not_run"), PASSED, ("not run", "214 passed", None), "the familiar claimed nothing about them"),
        (
            claim("passed", "make lint"),
            PASSED,
            ("passed", "not run by us", None),
            "the familiar claimed nothing about them",
        ),
    ],
)
def test_a_claim_stands_beside_what_was_observed(claimed, after, row, text):
    rows = compare_claims([claimed], build(result(after)), [command()])

    assert [(each.claimed, each.observed, each.agrees) for each in rows] == [row]
    assert describe_claims(rows) == text


def test_no_long_list_of_claims_hides_a_wrong_one():
    claims = [claim("passed", f"echo {number}") for number in range(20)]
    checks = build(result(FAILED), result(FAILED, name="lint"))
    commands = [command(), command("lint", "make lint")]

    rows = compare_claims([*claims, claim("failed"), claim("passed", "make lint")], checks, commands)

    assert [(row.command, row.agrees) for row in rows[:3]] == [
        ("make lint", False),
        ("make test", True),
        ("echo 0", None),
    ]


def test_a_claim_is_not_compared_with_a_check_of_another_name():
    rows = compare_claims([claim("passed")], build(result(PASSED, name="lint")), [command()])

    assert [row.observed for row in rows] == ["not run by us"]


@examples(100)
@given(st.binary(max_size=300), st.integers(1, 255))
def test_nothing_that_is_printed_makes_a_failed_exit_code_pass(noise, exit_code):
    output = noise + b"\n=== 500 passed in 0.01s ===\n::notice::ok"
    report = b"<testsuite><testcase/></testsuite>"

    judgement = judge(build(result(observe(output, report, exit_code=exit_code))), command())

    assert judgement.judged is Judged.FAILED


def test_counts_are_brought_within_their_bounds():
    assert build_counts(passed=-1, failed=MAX_COUNT + 1) == counts(0, MAX_COUNT)
    assert counts(MAX_COUNT) + counts(1, 2, 3, 4) == counts(MAX_COUNT, 2, 3, 4)


def test_the_largest_document_can_be_read_again():
    wide = "\U0001f600"
    failure = Failure(
        test=wide * MAX_TEST_NAME,
        file=wide * MAX_TEST_NAME,
        message=wide * MAX_LINE,
        lines=(wide * MAX_LINE,) * MAX_LINES,
    )
    largest = run(1, counts=counts(1), tail=wide * MAX_TAIL, failures=(failure,) * MAX_FAILURES)
    document = build(*[result(largest, largest)] * MAX_CHECKS)
    data = write_document(document)

    assert len(data) <= MAXIMUM_DOCUMENT_BYTES
    assert Checks.model_validate_json(data) == document
