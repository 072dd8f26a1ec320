"""A job for each stage, on a real workflow runner: what reaches whom, and that nothing a familiar's job leaves is believed."""

import pytest

from coven_action.core.stage_environment import ID_TOKEN, MODEL_KEY, TOKEN
from tests.e2e.isolated_runner import IsolatedRunner
from tests.e2e.workflow_runner import find_act
from tests.scenario import CONFIGURATION, PATCH, Scene


@pytest.fixture
def scene(github, tmp_path):
    find_act()
    return Scene(github, tmp_path)


@pytest.fixture
def runner(scene, tmp_path):
    return IsolatedRunner(scene, tmp_path / "runner")


# Before the change the check fails, and after it passes.
CHECKED = (
    CONFIGURATION
    + """\
verify:
  - {name: rounding, run: "grep -q round src/tax.py"}
"""
)


def test_a_label_gives_a_draft_pull_request_through_four_jobs(scene, runner):
    scene.commit({".github/coven.yml": CHECKED})
    issue = scene.open_issue(body=PATCH)

    done = runner.run(scene.label(issue), run_id=7)

    assert done.exit_code == 0, done.log
    (pull_request,) = scene.pull_requests
    assert pull_request.draft
    assert done.outputs["pull-request-number"] == str(pull_request.issue.number)
    (check,) = scene.check_runs
    assert (check.conclusion, len(scene.comments(issue))) == ("success", 1)
    assert "| rounding | failed (exit 1) | clean |" in pull_request.issue.body
    assert runner.artifacts() == {
        "coven-1": ["evidence.json"],
        "coven-log-1": ["agent.log"],
        "coven-plan-1": ["plan.json"],
        "coven-run-1": ["changes.bundle", "outcome.json"],
        "coven-verify-1": ["checks.json"],
    }
    look_at_what_the_stages_could_see(runner, scene.github.token)


def look_at_what_the_stages_could_see(runner, token):
    work = runner.seen_by("run")
    assert not set(ID_TOKEN) & set(work)
    # Unlike GitHub's runner, act gives a composite action's steps their inputs: https://github.com/actions/runner/issues/665
    assert not [name for name, value in work.items() if token in value and name != "INPUT_GITHUB-TOKEN"]
    assert work[MODEL_KEY] == "canary-model-key-0123456789"
    observing = runner.seen_by("verify")
    assert not {*ID_TOKEN, MODEL_KEY} & set(observing)
    assert not [name for name, value in observing.items() if token in value and name != "INPUT_GITHUB-TOKEN"]
    assert "canary-model-key-0123456789" not in observing.values()
    for stage in ("plan", "publish"):
        seen = runner.seen_by(stage)
        assert seen[TOKEN] == token
        assert set(ID_TOKEN) <= set(seen)
        assert MODEL_KEY not in seen
        assert "canary-model-key-0123456789" not in seen.values()


REPLACE = """
path = store / "coven-plan-1.zip"
with zipfile.ZipFile(path) as packed:
    plan = packed.read("plan.json")
assert b'"patch"' in plan
with zipfile.ZipFile(path, "w") as packed:
    packed.writestr("plan.json", plan.replace(b"coven/issue-1", b"main"))
"""


@pytest.mark.slow
def test_a_familiar_s_job_that_replaces_the_plan_is_refused(scene, runner):
    issue = scene.open_issue(body=PATCH)
    runner.tamper(REPLACE)

    done = runner.run(scene.label(issue), run_id=8)

    assert done.exit_code == 1
    assert "plan.json is not the document that the earlier stage wrote" in done.log
    assert (scene.pull_requests, scene.check_runs, scene.branches()) == ([], [], {})


# The job of the familiar names its own artifact as that of `verify`, before that one can.
FORGE = """
with zipfile.ZipFile(store / "coven-verify-1.zip", "w") as packed:
    packed.writestr("checks.json", "{}")
"""


@pytest.mark.slow
def test_a_familiar_s_job_that_forges_the_checks_is_refused(scene, runner):
    scene.commit({".github/coven.yml": CHECKED})
    issue = scene.open_issue(body=PATCH)
    runner.tamper(FORGE)

    done = runner.run(scene.label(issue), run_id=9)

    assert done.exit_code == 1
    assert (scene.pull_requests, scene.check_runs, scene.branches()) == ([], [], {})
    (comment,) = scene.comments(issue)
    assert "failed in `verify`" in comment.body


@pytest.mark.slow
def test_a_stranger_starts_no_second_job(scene, runner):
    issue = scene.open_issue(body=PATCH)

    done = runner.run(scene.label(issue, sender=scene.github.outsider), run_id=10)

    assert done.exit_code == 0, done.log
    assert done.outputs["decision"] == "decline"
    assert runner.artifacts() == {}
