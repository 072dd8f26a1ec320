"""The same run again, the next label, and what people do meanwhile: nothing is doubled, nothing of theirs is lost."""

import pytest

from tests.scenario import MENDED, Scene, ScriptedRuntime

ONE_OF_EACH = {"comments": 1, "pull requests": 1, "checks": 1, "commits": 1}


def _append(name: str, text: str):
    def work(workspace):
        with (workspace / name).open("a") as stream:
            stream.write(text)

    return ScriptedRuntime(work)


def test_a_published_task_that_is_run_again_adds_nothing(scene):
    issue = scene.open_issue()
    event = scene.label(issue)
    first = scene.start(event, run_id=7)
    first.finish()
    head = scene.branches()["coven/issue-1"]
    body = scene.comments(issue)[0].body
    again = scene.start(event, run_id=7, attempt=2)

    assert again.finish() == 0

    assert again.planned.decision == "published"
    assert scene.counts(issue) == ONE_OF_EACH
    assert (scene.branches()["coven/issue-1"], scene.comments(issue)[0].body) == (head, body)
    assert all(request.startswith("GET") for requests in again.requests.values() for request in requests)
    kept = ("conclusion", "pull-request-number", "pull-request-url", "branch", "head-sha")
    assert {name: again.outputs[name] for name in kept} == {name: first.outputs[name] for name in kept}


@pytest.mark.slow
def test_an_older_task_that_is_run_again_adds_nothing_either(scene):
    issue = scene.open_issue()
    event = scene.label(issue)
    scene.start(event, run_id=7).finish()
    scene.start(scene.label(issue), run_id=8, runtime=_append("README.md", "More.\n")).finish()
    counts = scene.counts(issue)
    again = scene.start(event, run_id=7, attempt=2)

    assert again.finish() == 0
    assert again.planned.decision == "published"
    assert again.outputs["head-sha"] == scene.branches()["coven/issue-1"]
    assert scene.counts(issue) == counts


def test_a_new_label_adds_a_commit_to_the_open_pull_request(scene):
    issue = scene.open_issue()
    scene.start(scene.label(issue)).finish()
    first = scene.branches()["coven/issue-1"]

    assert scene.start(scene.label(issue), runtime=_append("README.md", "More.\n")).finish() == 0

    second = scene.branches()["coven/issue-1"]
    assert scene.history("coven/issue-1") == [second, first]
    assert scene.counts(issue) == {**ONE_OF_EACH, "checks": 2, "commits": 2}
    old, new = scene.check_runs
    assert (old.head_sha, old.conclusion, old.title) == (first, "neutral", f"superseded by {second[:12]}")
    assert (new.head_sha, new.conclusion) == (second, "neutral")
    assert "is updated" in scene.comments(issue)[0].body


@pytest.mark.slow_after(1)
@pytest.mark.parametrize("end", ["merged", "closed"])
def test_after_the_pull_request_is_closed_a_new_label_opens_another(scene, end):
    issue = scene.open_issue()
    scene.start(scene.label(issue)).finish()
    (old,) = scene.pull_requests
    scene.merge(old) if end == "merged" else scene.world.set_state(old.issue, "closed")
    left = scene.branches()["coven/issue-1"]

    assert scene.start(scene.label(issue), run_id=55).finish() == 0

    assert scene.branches()["coven/issue-1"] == left
    assert scene.pull_requests[1].head_ref == "coven/issue-1-55"
    assert scene.pull_requests[1].draft
    assert len(scene.comments(issue)) == 1


def test_a_persons_commit_during_the_run_is_not_overwritten(scene):
    issue = scene.open_issue()
    scene.start(scene.label(issue)).finish()
    run = scene.start(scene.label(issue), runtime=_append("README.md", "More.\n"))
    run.plan()
    theirs = scene.commit({"notes.md": "mine\n"}, "coven/issue-1")
    run.work()

    assert run.publish() == 0

    assert run.evidence.ending == "stale"
    assert scene.branches()["coven/issue-1"] == theirs
    assert "overtaken" in scene.comments(issue)[0].body
    assert b"More." in run.read("changes.patch")
    assert [check.head_sha for check in scene.check_runs if check.name == "Coven (not published)"] == [theirs]


def test_a_commit_that_arrives_just_before_the_push_is_not_overwritten(scene, monkeypatch):
    from coven_action.adapters.git.publication import GitPublicationRepository

    issue = scene.open_issue()
    run = scene.start(scene.label(issue))
    run.plan()
    run.work()
    push = GitPublicationRepository.push

    def interrupted(*arguments, **named):
        scene.commit({"notes.md": "mine\n"}, "coven/issue-1")
        push(*arguments, **named)

    monkeypatch.setattr(GitPublicationRepository, "push", interrupted)

    assert run.publish() == 0
    assert run.evidence.ending == "stale"
    assert scene.git("show", "coven/issue-1:notes.md") == "mine\n"
    assert scene.pull_requests == []


def _amend(scene, branch):
    """Let a person amend our newest commit, message and author kept, and push it; return its SHA."""
    message = scene.git("show", "--no-patch", "--format=%B", branch)
    tree = scene.git("rev-parse", scene.commit({"notes.md": "mine\n"}, branch) + "^{tree}").strip()
    amended = scene.git("commit-tree", tree, "-p", f"{branch}~2", "-m", message.strip()).strip()
    scene.git("update-ref", f"refs/heads/{branch}", amended)
    assert "Coven-Task: " in scene.git("show", "--no-patch", "--format=%B", branch)
    return amended


def test_our_commit_that_a_person_has_amended_is_theirs(scene):
    issue = scene.open_issue()
    event = scene.label(issue)
    scene.github.faults.add(method="POST", path_regex="/pulls$", status=500, times=50)
    assert scene.start(event, run_id=7).finish() == 1
    scene.github.faults.clear()
    theirs = _amend(scene, "coven/issue-1")

    assert scene.start(event, run_id=7, attempt=2).finish() == 0

    assert scene.branches()["coven/issue-1"] == theirs
    assert scene.pull_requests[0].head_ref == "coven/issue-1-7"


@pytest.mark.slow
def test_on_an_open_pull_request_an_amended_commit_is_worked_on_top_of(scene):
    issue = scene.open_issue()
    event = scene.label(issue)
    scene.github.faults.add(method="POST", path_regex="/check-runs$", status=500, times=50)
    assert scene.start(event, run_id=7, runtime=_append("README.md", "One.\n")).finish() == 1
    scene.github.faults.clear()
    theirs = _amend(scene, "coven/issue-1")

    assert scene.start(event, run_id=7, attempt=2, runtime=_append("README.md", "Two.\n")).finish() == 0

    assert scene.history("coven/issue-1")[1:] == [theirs]
    assert scene.git("show", "coven/issue-1:notes.md") == "mine\n"


def test_a_persons_branch_of_our_name_is_left_alone(scene):
    issue = scene.open_issue()
    theirs = scene.commit({"notes.md": "mine\n"}, "coven/issue-1")

    assert scene.start(scene.label(issue), run_id=31).finish() == 0
    assert scene.branches()["coven/issue-1"] == theirs
    assert scene.pull_requests[0].head_ref == "coven/issue-1-31"


@pytest.mark.slow
def test_both_names_taken_by_people_give_a_third(scene):
    issue = scene.open_issue()
    theirs = [scene.commit({"notes.md": "mine\n"}, name) for name in ("coven/issue-1", "coven/issue-1-31")]

    assert scene.start(scene.label(issue), run_id=31).finish() == 0
    branches = scene.branches()
    assert [branches["coven/issue-1"], branches["coven/issue-1-31"]] == theirs
    assert scene.pull_requests[0].head_ref == "coven/issue-1-31001"


@pytest.mark.slow
def test_the_branch_of_issue_11_is_not_that_of_issue_1(scene):
    issue = scene.open_issue()
    scene.commit({"notes.md": "mine\n"}, "coven/issue-11")

    assert scene.start(scene.label(issue)).finish() == 0
    assert scene.pull_requests[0].head_ref == "coven/issue-1"


# Where publishing breaks: (the requests that fail, what the first attempt still leaves).
BREAKS = {
    "before the push": ({"method": "POST", "path_regex": "git-receive-pack$"}, {"commits": 0, "pull requests": 0}),
    "after the push": (
        {"method": "POST", "path_regex": "git-receive-pack$", "drop_after": True, "times": 1},
        {"commits": 1, "pull requests": 1},
    ),
    "at the pull request": ({"method": "POST", "path_regex": "/pulls$"}, {"commits": 1, "pull requests": 0}),
    "at the check": ({"method": "POST", "path_regex": "/check-runs$"}, {"pull requests": 1, "checks": 0}),
    "at the comment": ({"method": "PATCH", "path_regex": "/comments/"}, {"pull requests": 1, "checks": 1}),
}


@pytest.mark.slow_after(1)
@pytest.mark.parametrize(("fault", "left"), BREAKS.values(), ids=BREAKS)
def test_a_failed_task_goes_on_where_it_broke(scene, monkeypatch, fault, left):
    monkeypatch.setattr("coven_action.adapters.git.publication.RETRY_SECONDS", 0.0)
    issue = scene.open_issue()
    event = scene.label(issue)
    breaking = {"status": 500, "times": 50} if "times" not in fault else {}
    scene.github.faults.add(**{**breaking, **fault})
    first = scene.start(event, run_id=7)
    code = first.finish()
    counts = scene.counts(issue)

    assert code == (0 if "drop_after" in fault else 1)
    assert {name: counts[name] for name in left} == left
    assert counts["comments"] == 1

    scene.github.faults.clear()
    second = scene.start(event, run_id=7, attempt=2)
    assert second.finish() == 0

    counts = scene.counts(issue)
    assert {**counts, "checks": 0} == {**ONE_OF_EACH, "checks": 0}
    head = scene.branches()["coven/issue-1"]
    current = [check for check in scene.check_runs if check.head_sha == head]
    assert len(current) == 1
    others = [check.title for check in scene.check_runs if check.head_sha != head]
    assert all(title == f"superseded by {head[:12]}" for title in others)
    assert scene.pull_requests[0].head_sha == head
    assert "is ready" in scene.comments(issue)[0].body or "is updated" in scene.comments(issue)[0].body


def test_a_failed_start_forgets_nothing_that_was_published(scene):
    issue = scene.open_issue()
    event = scene.label(issue)
    scene.start(event, run_id=7).finish()
    scene.commit({".github/coven.yml": "version: 2\n"})
    broken = scene.start(scene.label(issue), run_id=8)
    assert broken.finish() == 1
    assert "Pull request #2 stays as it is." in scene.comments(issue)[0].body
    again = scene.start(event, run_id=7, attempt=2)
    scene.commit({".github/coven.yml": "version: 1\nfamiliars: {cody: {runtime: patch}}\n"})

    assert again.finish() == 0
    assert again.planned.decision == "published"


def test_a_status_comment_that_was_removed_is_written_again(scene):
    issue = scene.open_issue()
    run = scene.start(scene.label(issue), run_id=7)
    run.plan()
    (comment,) = scene.comments(issue)
    scene.remove_comment(issue, comment)
    run.work()

    assert run.publish() == 0
    (written,) = scene.comments(issue)
    assert "is ready" in written.body
    assert scene.start(scene.label(issue), run_id=7, attempt=2).plan().decision == "published"


@pytest.mark.slow_after(1)
@pytest.mark.parametrize("author", ["maintainer", "outsider"])
def test_a_copied_marker_is_not_our_comment(scene: Scene, author):
    issue = scene.open_issue()
    event = scene.label(issue)
    scene.start(event, run_id=7).finish()
    marker = scene.comments(issue)[0].body
    other = scene.open_issue("another")
    copied = scene.world.add_comment(scene.repository, other, getattr(scene.github, author), marker)

    assert scene.start(scene.label(other)).finish() == 0
    assert copied.body == marker
    assert len(scene.comments(other)) == 1


@pytest.mark.slow
def test_our_comment_is_found_on_the_third_page(scene):
    issue = scene.open_issue()
    for number in range(201):
        scene.world.add_comment(scene.repository, issue, scene.github.outsider, f"me too {number}")
    event = scene.label(issue)
    scene.start(event, run_id=7).finish()
    again = scene.start(event, run_id=7, attempt=2)

    assert again.finish() == 0
    assert again.planned.decision == "published"
    assert sum("/comments" in request for request in again.requests["plan"]) == 3


def test_the_mended_file_is_what_the_reader_sees(scene):
    issue = scene.open_issue()
    scene.start(scene.label(issue)).finish()

    assert scene.git("show", "coven/issue-1:src/tax.py") == MENDED
