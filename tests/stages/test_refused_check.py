"""A pull request shows that a later result was not published, and still shows what its own head is worth."""

import pytest

from tests.scenario import CONFIGURATION, Scene, ScriptedRuntime

REFUSAL = "Coven (not published)"
CHECKED = CONFIGURATION + 'verify: [{name: readme, run: "grep -q %s README.md"}]\n'


def _append(name, text):
    def work(workspace):
        path = workspace / name
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("a") as stream:
            stream.write(text)

    return ScriptedRuntime(work)


FORBIDDEN = _append(".github/workflows/ci.yml", "on: push\n")
MORE = _append("README.md", "More.\n")


def _refused(scene):
    return [check for check in scene.check_runs if check.name == REFUSAL]


def _worked(scene, issue, runtime=MORE, **facts):
    run = scene.start(scene.label(issue), runtime=runtime, isolation="none", **facts)
    run.plan()
    run.work()
    run.verify()
    return run


@pytest.fixture
def published(scene):
    """A thread whose pull request is open."""
    issue = scene.open_issue()
    assert scene.start(scene.label(issue)).finish() == 0
    return issue


def test_a_refused_result_is_told_on_the_pull_requests_head_beside_its_own_check(scene, published):
    (pull_request,) = scene.pull_requests
    head = pull_request.head_sha
    (before,) = scene.check_runs
    shown = (before.name, before.title, before.conclusion, before.summary)

    run = scene.start(scene.label(published), runtime=FORBIDDEN)
    assert run.finish() == 0

    (check,) = _refused(scene)
    assert (check.head_sha, check.status, check.conclusion) == (head, "completed", "neutral")
    assert check.title == "Cody: result refused"
    assert "**protected-paths** ·" in check.summary
    assert "- `.github/workflows/ci.yml` added" in check.summary
    assert "a maintainer can apply it by hand" in check.summary
    assert f"evidence.json sha256 `{run.digest('evidence.json')}`" in check.summary
    assert (before.name, before.title, before.conclusion, before.summary) == shown
    assert scene.branches()["coven/issue-1"] == pull_request.head_sha == head
    (comment,) = scene.comments(published)
    assert "Pull request #2 stays as it is." in comment.body


@pytest.mark.slow
@pytest.mark.parametrize(("seen", "conclusion"), [("Bills", "failure"), ("Billing", "success")])
def test_a_refused_result_changes_nothing_of_how_the_head_concluded(github, tmp_path, seen, conclusion):
    scene = Scene(github, tmp_path, configuration=CHECKED % seen)
    scene.commit({"README.md": "# Billing\n"})
    issue = scene.open_issue()
    assert _worked(scene, issue, runtime=_append("src/tax.py", "# seen\n")).publish() == 0

    assert _worked(scene, issue, runtime=FORBIDDEN).publish() == 0

    shown = {check.name: check.conclusion for check in scene.check_runs}
    assert shown == {"Coven": conclusion, REFUSAL: "neutral"}


@pytest.mark.slow_after(1)
@pytest.mark.parametrize("moves", ["the head", "the base"])
def test_a_stale_result_is_told_on_the_head_that_the_pull_request_has_by_now(scene, published, moves):
    run = _worked(scene, published)
    if moves == "the head":
        head = scene.commit({"notes.md": "mine\n"}, "coven/issue-1")
    else:
        scene.commit({"README.md": "# theirs\n"})
        head = scene.branches()["coven/issue-1"]

    assert run.publish() == 0

    assert run.evidence.ending == "stale"
    (check,) = _refused(scene)
    assert (check.head_sha, check.conclusion, check.title) == (head, "neutral", "Cody: overtaken by other changes")
    assert "Trigger again to work on top of what is there now." in check.summary
    assert "**freshness** ·" in check.summary


@pytest.mark.slow
def test_a_push_at_the_last_moment_is_told_on_the_pull_request_too(scene, published, monkeypatch):
    from coven_action.adapters.git.publication import GitPublicationRepository

    run = _worked(scene, published)
    push = GitPublicationRepository.push

    def interrupted(*arguments, **named):
        scene.commit({"notes.md": "mine\n"}, "coven/issue-1")
        push(*arguments, **named)

    monkeypatch.setattr(GitPublicationRepository, "push", interrupted)

    assert run.publish() == 0
    assert run.evidence.ending == "stale"
    assert [check.head_sha for check in _refused(scene)] == [scene.branches()["coven/issue-1"]]


@pytest.mark.slow
def test_a_rerun_of_a_refused_task_says_it_again_in_the_same_place(scene, published):
    event = scene.label(published)
    scene.start(event, run_id=7, runtime=FORBIDDEN).finish()
    (check,) = _refused(scene)
    first = check.summary
    again = scene.start(event, run_id=7, attempt=2, runtime=_append(".github/workflows/other.yml", "on: push\n"))

    assert again.finish() == 0

    (check,) = _refused(scene)
    assert check.summary != first
    assert "- `.github/workflows/other.yml` added" in check.summary
    assert "/actions/runs/7/attempts/2" in check.summary
    assert not check.text


@pytest.mark.slow
def test_another_task_that_is_refused_has_a_check_of_its_own(scene, published):
    for run_id in (7, 8):
        scene.start(scene.label(published), run_id=run_id, runtime=FORBIDDEN).finish()

    assert [check.external_id.rpartition("/")[2] for check in _refused(scene)] == ["7", "8"]


@pytest.mark.slow
def test_a_lost_answer_does_not_double_it(scene, published):
    run = _worked(scene, published, runtime=FORBIDDEN)
    scene.github.faults.add(method="POST", path_regex="/check-runs$", drop_after=True, times=1)

    assert run.publish() == 0
    assert len(_refused(scene)) == 1


@pytest.mark.slow
def test_on_a_pull_request_that_was_closed_meanwhile_nothing_is_written(scene, published):
    run = _worked(scene, published, runtime=FORBIDDEN)
    scene.world.set_state(scene.pull_requests[0].issue, "closed")

    assert run.publish() == 0
    assert _refused(scene) == []


def test_a_check_that_cannot_be_written_ends_the_task_as_a_failure_and_a_rerun_mends_it(scene, published):
    event = scene.label(published)
    scene.github.faults.add(method="POST", path_regex="/check-runs$", status=500, times=50)
    broken = scene.start(event, run_id=7, runtime=FORBIDDEN)
    assert broken.finish() == 1
    assert broken.outputs["conclusion"] == "failure"
    scene.github.faults.clear()

    assert scene.start(event, run_id=7, attempt=2, runtime=FORBIDDEN).finish() == 0
    assert [check.conclusion for check in _refused(scene)] == ["neutral"]


def test_a_secret_in_what_is_refused_does_not_reach_the_check(scene, published):
    secret = "ghp_" + "a1B2" * 9

    assert scene.start(scene.label(published), runtime=_append(f"{secret}.txt", f"{secret}\n")).finish() == 0

    (check,) = _refused(scene)
    assert "**secrets** ·" in check.summary
    assert secret not in f"{check.title}{check.summary}{check.text}"
