"""The composite action on a real workflow runner, against the local GitHub: what a user's job does."""

import base64

import pytest

from tests.e2e.workflow_runner import WorkflowRunner, find_act
from tests.scenario import PATCH, Scene, build_patch


@pytest.fixture
def scene(github, tmp_path):
    find_act()
    return Scene(github, tmp_path)


@pytest.fixture
def runner(scene, tmp_path):
    return WorkflowRunner(scene, tmp_path / "runner")


def test_a_label_gives_a_draft_pull_request_with_a_check_run_once_and_a_re_run_changes_nothing(scene, runner):
    issue = scene.open_issue(body=PATCH)
    event = scene.label(issue)

    first = runner.run(event, run_id=7)

    assert first.exit_code == 0, first.log
    (pull_request,) = scene.pull_requests
    (check_run,) = scene.check_runs
    (comment,) = scene.comments(issue)
    assert pull_request.draft
    assert check_run.head_sha == pull_request.head_sha == scene.branches()["coven/issue-1"]
    assert check_run.conclusion == "neutral"
    assert first.outputs["pull-request-number"] == str(pull_request.issue.number)
    assert first.outputs["conclusion"] == "neutral"
    assert "coven:fix" not in scene.labels(issue)
    before, text = scene.counts(issue), comment.body

    again = runner.run(event, run_id=7, attempt=2)

    assert again.exit_code == 0, again.log
    assert scene.counts(issue) == before
    assert scene.comments(issue)[0].body == text
    assert again.outputs["decision"] == "published"
    assert again.outputs["pull-request-number"] == first.outputs["pull-request-number"]


@pytest.mark.slow
def test_a_comment_and_a_dispatch_do_the_same(scene, runner):
    issue, other = scene.open_issue(body=PATCH), scene.open_issue(body=PATCH)

    commented = runner.run(scene.comment(issue, "/cody fix"), run_id=8)
    dispatched = runner.run(scene.dispatch(other.number), run_id=9)

    assert (commented.exit_code, dispatched.exit_code) == (0, 0), commented.log + dispatched.log
    assert [request.head_ref for request in scene.pull_requests] == ["coven/issue-1", "coven/issue-2"]
    assert len(scene.check_runs) == 2


@pytest.mark.slow
def test_a_stranger_is_declined_and_nothing_is_started(scene, runner):
    issue = scene.open_issue(body=PATCH)

    job = runner.run(scene.comment(issue, "/cody fix", sender=scene.github.outsider), run_id=10)

    assert job.exit_code == 0, job.log
    assert job.outputs["decision"] == "decline"
    assert scene.pull_requests == []
    (comment,) = scene.comments(issue)
    assert "write access" in comment.body


@pytest.mark.slow
def test_a_patch_that_does_not_apply_fails_the_job_and_says_why(scene, runner):
    issue = scene.open_issue(body=build_patch(before="def other():\n    pass\n", after="x = 1\n"))

    job = runner.run(scene.label(issue), run_id=11)

    assert job.exit_code == 1
    assert job.outputs["conclusion"] == "failure"
    assert scene.pull_requests == []
    assert "could not do it" in scene.comments(issue)[0].body


@pytest.mark.slow
def test_a_failed_job_can_be_re_run_and_goes_on_in_the_same_place(scene, runner):
    issue = scene.open_issue(body=PATCH)
    event = scene.label(issue)
    scene.github.faults.add(method="POST", path_regex="/pulls$", times=10, status=500)

    failed = runner.run(event, run_id=12)
    scene.github.faults.clear()
    repaired = runner.run(event, run_id=12, attempt=2)

    assert (failed.exit_code, repaired.exit_code) == (1, 0), repaired.log
    assert scene.counts(issue) == {"comments": 1, "pull requests": 1, "checks": 1, "commits": 1}


@pytest.mark.slow
def test_no_secret_is_printed_in_any_form(scene, runner):
    job = runner.run(scene.label(scene.open_issue(body=PATCH)), run_id=13)

    for secret in (scene.github.token, "canary-model-key-0123456789"):
        forms = (secret, base64.b64encode(secret.encode()).decode(), secret[::-1], secret.encode().hex())
        assert not any(form in job.log for form in forms)


@pytest.mark.slow
def test_without_uv_the_environment_is_made_by_pip(scene, tmp_path):
    runner = WorkflowRunner(scene, tmp_path / "runner", with_uv=False)
    issue = scene.open_issue(body=PATCH)

    job = runner.run(scene.label(issue), run_id=14)

    assert job.exit_code == 0, job.log
    assert len(scene.pull_requests) == 1


def test_a_python_that_is_not_there_is_an_error_with_a_remedy(scene, runner):
    job = runner.run(scene.label(scene.open_issue(body=PATCH)), run_id=15, python="python0")

    assert job.exit_code == 1
    assert "actions/setup-python" in job.log
    assert scene.pull_requests == []
