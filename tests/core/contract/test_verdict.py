import json

import pytest

from coven_action.core.contract.contract import parse_result
from coven_action.core.contract.process_report import ProcessReport
from coven_action.core.contract.verdict import BOUNDS, judge_runtime
from coven_action.error_codes import CODES
from coven_action.errors import RuntimeFault

REPORT = {
    "exit_code": 0,
    "signal": None,
    "duration_seconds": 1.0,
    "cpu_seconds": 0.5,
    "timed_out": False,
    "output_flooded": False,
    "output_bytes": 10,
    "output_truncated": False,
    "stdout_tail": b"",
    "killed_orphans": 0,
    "survivors": False,
    "supervised": True,
    "note": "",
}
REVIEW = {
    "mode": "none",
    "evidence_status": "not_applicable",
    "reviewed_files": [],
    "supporting_files": [],
    "findings": [],
    "tests_run": [],
    "no_findings_reason": None,
    "limitations": [],
}
MISSING = RuntimeFault("runtime-no-result", "The runtime wrote no result.")
MALFORMED = RuntimeFault("malformed-result", "The result is no JSON object.")
ENDS = [(code, None) for code in (0, 1, 2, 3, 101, 137, None)] + [(None, 9), (None, 15), (None, 99)]
CLAIMS = [
    (status, reason)
    for status in ("success", "failure", "partial", "needs_input")
    for reason in (None, "test_failure", "ambiguous_spec", "git_conflict", "infra_error")
]


def report(**changes):
    return ProcessReport(**{**REPORT, **changes})


def result(status, reason):
    document = {
        "contract_version": "3",
        "status": status,
        "exit_reason": reason,
        "branch": "HEAD",
        "commits": [],
        "files_changed": [],
        "summary": "I'll look at it.",
        "pr_body": "",
        "review": REVIEW,
    }
    return parse_result(json.dumps(document).encode())


# The exit-code table of the runtime, and what each row means once the tree has been looked at.
@pytest.mark.parametrize(
    ("status", "reason", "exit_code", "changed", "kind", "code"),
    [
        ("success", None, 0, True, "worked", None),
        ("success", None, 0, False, "nothing-changed", "nothing-changed"),
        ("partial", None, 0, True, "worked", None),
        ("partial", None, 0, False, "nothing-changed", "nothing-changed"),
        ("failure", "ambiguous_spec", 1, True, "worked", None),
        ("failure", "ambiguous_spec", 1, False, "nothing-changed", "nothing-changed"),
        ("failure", "infra_error", 2, True, "fault", "runtime-broke-off"),
        ("failure", "infra_error", 2, False, "fault", "runtime-broke-off"),
        ("failure", "test_failure", 1, True, "worked", None),
        ("failure", "test_failure", 1, False, "failed", "runtime-failed"),
        ("failure", "git_conflict", 1, True, "failed", "runtime-failed"),
        ("failure", None, 1, True, "failed", "runtime-failed"),
        ("needs_input", "ambiguous_spec", 1, True, "needs-input", "needs-input"),
        ("needs_input", None, 3, False, "needs-input", "needs-input"),
        ("success", "infra_error", 0, True, "fault", "runtime-broke-off"),
        ("needs_input", "infra_error", 0, True, "fault", "runtime-broke-off"),
        ("success", "git_conflict", 0, True, "failed", "runtime-failed"),
    ],
)
def test_the_result_and_the_tree_decide(status, reason, exit_code, changed, kind, code):
    verdict = judge_runtime(report(exit_code=exit_code), result(status, reason), tree_changed=changed)

    assert (verdict.kind, verdict.code) == (kind, code)


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"timed_out": True, "exit_code": None, "signal": 15}, "runtime-timeout"),
        ({"timed_out": True}, "runtime-timeout"),
        ({"output_flooded": True}, "runtime-flooded"),
        ({"survivors": True, "timed_out": True}, "runtime-not-contained"),
        ({"supervised": False, "exit_code": None}, "runtime-not-contained"),
        ({"exit_code": None, "signal": 9}, "runtime-crashed"),
        ({"exit_code": None, "signal": 99}, "runtime-crashed"),
        ({"exit_code": 101}, "runtime-crashed"),
        ({"exit_code": None}, "runtime-crashed"),
        ({"exit_code": 1}, "runtime-crashed"),
    ],
)
def test_a_run_that_was_cut_off_is_a_fault_though_its_result_says_success(changes, code):
    verdict = judge_runtime(report(**changes), result("success", None), tree_changed=True)

    assert (verdict.kind, verdict.code) == ("fault", code)


@pytest.mark.parametrize(
    ("changes", "fault", "code"),
    [
        ({"exit_code": 0}, MISSING, "runtime-no-result"),
        ({"exit_code": 1}, MISSING, "runtime-crashed"),
        ({"exit_code": 2}, MISSING, "runtime-crashed"),
        ({"exit_code": None, "signal": 6}, MISSING, "runtime-crashed"),
        ({"exit_code": 0}, MALFORMED, "malformed-result"),
        ({"exit_code": 1}, MALFORMED, "malformed-result"),
    ],
)
@pytest.mark.parametrize("changed", [True, False])
def test_a_run_without_a_result_is_a_fault_whatever_the_tree_holds(changes, fault, code, changed):
    verdict = judge_runtime(report(**changes), fault, tree_changed=changed)

    assert (verdict.kind, verdict.code) == ("fault", code)


def test_the_sentence_names_the_signal():
    verdict = judge_runtime(report(exit_code=None, signal=9), MISSING, tree_changed=False)

    assert "SIGKILL" in verdict.sentence


@pytest.mark.parametrize(("status", "reason"), CLAIMS)
@pytest.mark.parametrize(("exit_code", "signal"), ENDS)
@pytest.mark.parametrize("changed", [True, False])
def test_only_a_proper_end_with_a_changed_tree_looks_green(status, reason, exit_code, signal, changed):
    verdict = judge_runtime(report(exit_code=exit_code, signal=signal), result(status, reason), tree_changed=changed)

    assert verdict.sentence
    assert verdict.code is None or verdict.code in CODES
    if verdict.kind == "worked":
        assert changed
        assert signal is None
        assert exit_code in {0, 1, 2}
        assert reason not in {"infra_error", "git_conflict"}
        assert status != "needs_input"


@pytest.mark.parametrize("bound", BOUNDS)
@pytest.mark.parametrize("changed", [True, False])
def test_what_was_ended_at_a_bound_says_which(bound, changed):
    verdict = judge_runtime(report(), result("success", None), tree_changed=changed, passed_bound=bound)

    assert (verdict.kind, verdict.code) == ("fault", bound)
    assert CODES[bound].remedy


def test_processes_that_could_not_be_ended_come_before_a_bound():
    verdict = judge_runtime(report(survivors=True), MISSING, tree_changed=True, passed_bound="limit-memory")

    assert verdict.code != "limit-memory"
