"""An outcome whose parts contradict each other was not written by `run`."""

import pytest

from coven_action.core.documents import MAX_ATTEMPTS, Attempt, Fault, TriedChecks
from coven_action.core.verification.contract import find_contradiction
from tests.core.samples import DIGEST, TIP_SHA, build_outcome

ATTEMPT = Attempt(
    exit_code=0,
    signal=None,
    duration_seconds=0.1,
    timed_out=False,
    output_bytes=0,
    output_truncated=False,
    processes_left_behind=0,
)
TRIED = TriedChecks(attempt=1, rows=())
FAULT = Fault(stage="run", code="runtime-crashed", message="It crashed.")
REVIEW = {
    "mode": "none", "evidence_status": "not_applicable", "reviewed_files": [], "supporting_files": [], "findings": [],
    "tests_run": [], "no_findings_reason": None, "limitations": [],
}  # fmt: skip
RESULT = {
    "contract_version": "3", "status": "success", "branch": "", "commits": [], "files_changed": [], "summary": "Done.",
    "pr_body": "", "review": REVIEW, "exit_reason": None,
}  # fmt: skip


def outcome(**changes):
    parts = {"attempts": (ATTEMPT,), "result": RESULT, "tip_sha": TIP_SHA, "bundle_sha256": DIGEST}
    return build_outcome(**{**parts, **changes})


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"tip_sha": None, "bundle_sha256": None},
        {"verdict": "nothing-changed", "tip_sha": None, "bundle_sha256": None},
        {"verdict": "fault", "fault": FAULT},
        {"verdict": "fault", "fault": FAULT, "result": None},
        {"verdict": "fault", "fault": FAULT, "result": None, "attempts": (), "tip_sha": None, "bundle_sha256": None},
        {"verdict": "failed", "result": {**RESULT, "status": "failure"}},
        {"attempts": (ATTEMPT,) * MAX_ATTEMPTS},
        {"attempts": (ATTEMPT, ATTEMPT), "tries": (TRIED,)},
        {"attempts": (ATTEMPT, ATTEMPT), "tries": (TRIED, TRIED)},
        {"verdict": "fault", "fault": FAULT, "result": None, "attempts": (ATTEMPT, ATTEMPT), "tries": (TRIED,)},
    ],
)
def test_what_run_writes_says_one_thing(changes):
    assert find_contradiction(outcome(**changes)) == ""


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"verdict": "fault"}, "the verdict and the fault"),
        ({"fault": FAULT}, "the verdict and the fault"),
        ({"verdict": "nothing-changed", "fault": FAULT}, "the verdict and the fault"),
        ({"tip_sha": None}, "a commit and its bundle"),
        ({"bundle_sha256": None}, "a commit and its bundle"),
        ({"attempts": (ATTEMPT,) * (MAX_ATTEMPTS + 1)}, "at most 5 attempts"),
        ({"attempts": (), "verdict": "failed"}, "a result needs an attempt"),
        ({"attempts": ()}, "a result needs an attempt"),
        ({"tries": (TRIED, TRIED)}, "tried at most once after each attempt"),
        ({"attempts": (), "result": None, "verdict": "failed", "tries": (TRIED,)}, "tried at most once"),
        ({"attempts": (), "result": None}, "there is no result"),
        ({"result": None}, "there is no result"),
        ({"result": {}}, "breaks the runtime's contract at contract_version"),
        ({"result": {**RESULT, "contract_version": "4"}}, "breaks the runtime's contract at contract_version"),
        ({"result": {**RESULT, "review": {**REVIEW, "tests_run": [{}]}}}, "at review.tests_run.0.command"),
        ({"result": {**RESULT, "more": 1}}, "breaks the runtime's contract at more"),
        (
            {"result": {**RESULT, "contract_version": "2", "exit_reason": "infra_error"}},
            "breaks the runtime's contract at its beginning",
        ),
    ],
)
def test_what_contradicts_itself_is_named(changes, said):
    assert said in find_contradiction(outcome(**changes))
