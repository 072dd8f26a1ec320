"""The place where a result goes moves during the run: stale where the two conflict, noted where they do not. With real git."""

import pytest

from coven_action.emulator import git_store
from tests.scenario import MENDED, Scene, ScriptedRuntime

THEIRS = "def total(net, rate):\n    return net\n"


def _append(name: str, text: str) -> ScriptedRuntime:
    def work(workspace):
        with (workspace / name).open("a") as stream:
            stream.write(text)

    return ScriptedRuntime(work)


def _worked(scene: Scene, event, **facts):
    run = scene.start(event, **facts)
    run.plan()
    run.work()
    return run


def _freshness(run):
    return next(verdict for verdict in run.evidence.verdicts if verdict.step == "freshness")


def _on_pull_request(scene: Scene, runtime=None):
    """Return a second task, worked, on a pull request that a first one opened."""
    issue = scene.open_issue()
    scene.start(scene.label(issue)).finish()
    return _worked(scene, scene.label(issue), runtime=runtime or _append("README.md", "More.\n"))


def test_a_base_that_moved_without_a_conflict_is_noted_and_the_result_published_as_it_is(scene):
    run = _worked(scene, scene.label(scene.open_issue()))
    now = scene.commit({"notes.md": "theirs\n"})

    assert run.publish() == 0

    assert run.evidence.ending == "published"
    base = run.planned.work.target.base_sha
    assert scene.git("rev-parse", "coven/issue-1^").strip() == base
    said = f"main moved to {now[:12]} during the run; the result still merges with it"
    assert (_freshness(run).result, _freshness(run).finding) == ("passed", said)
    (check,) = scene.check_runs
    for text in (check.summary, scene.pull_requests[0].issue.body, scene.comments(scene.repository.issues[1])[0].body):
        assert "ain moved to" in text
    assert len(run.requests["publish"]) <= 20


@pytest.mark.slow_after(1)
@pytest.mark.parametrize(
    "files",
    [{"src/tax.py": THEIRS}, {"src/tax.py": None}, {"src/tax.py": None, "src/tax.py/inner.py": "x = 1\n"}],
    ids=["the same lines", "the file is gone", "a folder in its place"],
)
def test_a_base_that_moved_in_a_conflicting_way_makes_the_result_stale_and_nothing_is_pushed(scene, files):
    run = _worked(scene, scene.label(scene.open_issue()))
    now = scene.commit(files)

    assert run.publish() == 0

    assert (run.evidence.ending, run.evidence.conclusion) == ("stale", "neutral")
    assert _freshness(run).finding.startswith(f"main moved to {now[:12]} during the run, and the result conflicts with")
    assert "src/tax.py" in _freshness(run).finding
    assert (scene.branches(), scene.pull_requests, scene.check_runs) == ({}, [], [])
    comment = scene.comments(scene.repository.issues[1])[0].body
    assert "was overtaken" in comment
    assert "Nothing was pushed. Trigger again to work on top of what is there now." in comment
    assert b"round(net" in run.read("changes.patch")
    assert run.outputs["conclusion"] == "neutral"


def test_the_same_change_on_the_base_is_no_conflict(scene):
    run = _worked(scene, scene.label(scene.open_issue()))
    scene.commit({"src/tax.py": MENDED})

    assert run.publish() == 0
    assert run.evidence.ending == "published"


def test_a_rewritten_base_makes_the_result_stale(scene):
    run = _worked(scene, scene.label(scene.open_issue()))
    scene.git("branch", "kept", "main")
    scene.git("update-ref", "refs/heads/main", scene.git("rev-list", "--max-parents=0", "main").strip())

    assert run.publish() == 0
    assert (run.evidence.ending, _freshness(run).result) == ("stale", "refused")
    assert "main was rewritten during the run" in _freshness(run).finding
    assert set(scene.branches()) == {"kept"}


def test_a_base_that_moved_on_too_far_makes_the_result_stale(scene, monkeypatch):
    monkeypatch.setattr("coven_action.adapters.git.publication.HISTORY_DEPTH", 3)
    run = _worked(scene, scene.label(scene.open_issue()))
    for number in range(4):
        scene.commit({"notes.md": f"{number}\n"})

    assert run.publish() == 0
    assert "moved on too far to compare" in _freshness(run).finding
    assert scene.branches() == {}


@pytest.mark.slow
def test_a_merge_of_an_older_branch_into_the_base_is_a_move_like_any_other(scene):
    scene.commit({"feature.md": "theirs\n"}, "feature")
    scene.commit({"notes.md": "theirs\n"})
    run = _worked(scene, scene.label(scene.open_issue()))
    with scene.world.lock:
        tree = scene.git("merge-tree", "--write-tree", "main", "feature").strip()
        merged = scene.git("commit-tree", tree, "-p", "main", "-p", "feature", "-m", "Merge feature").strip()
        scene.git("update-ref", "refs/heads/main", merged)

    assert run.publish() == 0
    assert run.evidence.ending == "published"
    assert "still merges" in _freshness(run).finding


@pytest.mark.slow
def test_a_pull_requests_base_that_moved_without_a_conflict_is_noted(scene):
    run = _on_pull_request(scene)
    scene.commit({"notes.md": "theirs\n"})

    assert run.publish() == 0
    assert run.evidence.ending == "published"
    assert "still merges with it" in _freshness(run).finding
    assert len(scene.history("coven/issue-1")) == 2


def test_a_pull_requests_base_that_moved_in_a_conflicting_way_makes_the_result_stale(scene):
    run = _on_pull_request(scene)
    before = scene.branches()
    scene.commit({"README.md": "# theirs\n"})

    assert run.publish() == 0
    assert run.evidence.ending == "stale"
    assert _freshness(run).finding.endswith("and the result conflicts with it: README.md")
    assert scene.branches() == before
    assert [check.name for check in scene.check_runs] == ["Coven", "Coven (not published)"]


@pytest.mark.slow
def test_a_conflict_that_a_pull_request_had_before_does_not_stop_the_work_on_it(scene):
    issue = scene.open_issue()
    scene.start(scene.label(issue)).finish()
    scene.commit({"src/tax.py": THEIRS})
    run = _worked(scene, scene.label(issue), runtime=_append("README.md", "More.\n"))
    scene.commit({"notes.md": "theirs\n"})

    assert run.publish() == 0
    assert run.evidence.ending == "published"
    assert _freshness(run).finding.endswith("conflicts with it, as it did before: src/tax.py")


@pytest.mark.slow
def test_branches_that_parted_long_ago_are_said_to_be_beyond_our_sight(scene, monkeypatch):
    monkeypatch.setattr("coven_action.adapters.git.publication.HISTORY_DEPTH", 3)
    issue = scene.open_issue()
    scene.start(scene.label(issue)).finish()
    for number in range(4):
        scene.commit({"notes.md": f"{number}\n"})
    run = _worked(scene, scene.label(issue), runtime=_append("README.md", "More.\n"))
    scene.commit({"notes.md": "theirs\n"})

    assert run.publish() == 0
    assert run.evidence.ending == "published"
    assert "parted too long ago" in _freshness(run).finding


def test_a_pull_request_that_was_closed_during_the_run_is_not_pushed_to(scene):
    run = _on_pull_request(scene)
    before = scene.branches()
    scene.merge(scene.pull_requests[0])

    assert run.publish() == 0
    assert run.evidence.ending == "stale"
    assert _freshness(run).finding == "pull request #2 was closed during the run"
    assert scene.branches() == before


@pytest.mark.slow
def test_a_pull_request_that_was_given_another_base_during_the_run_is_not_pushed_to(scene):
    scene.commit({"notes.md": "x\n"}, "release")
    run = _on_pull_request(scene)
    before = scene.branches()
    scene.pull_requests[0].base_ref = "release"

    assert run.publish() == 0
    assert run.evidence.ending == "stale"
    assert "was given another base during the run: release in place of main" in _freshness(run).finding
    assert scene.branches() == before
    assert "Trigger again" in scene.comments(scene.repository.issues[1])[0].body


@pytest.mark.slow
@pytest.mark.parametrize("asked_on", ["the issue", "the pull request"])
def test_a_pull_request_keeps_the_base_that_a_person_gave_it(scene, asked_on):
    issue = scene.open_issue()
    scene.start(scene.label(issue)).finish()
    release = scene.commit({"notes.md": "x\n"}, "release")
    (pull_request,) = scene.pull_requests
    pull_request.base_ref = "release"
    event = scene.label(issue) if asked_on == "the issue" else scene.comment(pull_request.issue, "/coven fix say more")
    run = scene.start(event, runtime=_append("README.md", "More.\n"))

    assert run.finish() == 0

    target = run.planned.work.target
    assert (target.base_ref, target.base_ref_sha, target.pull_request) == (
        "release",
        release,
        pull_request.issue.number,
    )
    assert run.planned.work.brief.memory_policy.branch_scope.base_ref == "release"
    assert run.evidence.ending == "published"
    assert pull_request.base_ref == "release"
    assert run.requests["plan"].count("GET /repos/acme/billing/git/ref/heads/release") == 1
    bodies = [exchange.request_body for exchange in scene.github.exchanges if exchange.method == "PATCH"]
    assert not any(b'"base"' in body for body in bodies)


@pytest.mark.slow
def test_where_git_is_too_old_to_merge_what_both_changed_counts_as_a_conflict(scene, monkeypatch):
    monkeypatch.setattr("coven_action.adapters.git.merging.MERGE_TREE_VERSION", (99,))
    one = _worked(scene, scene.label(scene.open_issue()))
    scene.commit({"notes.md": "theirs\n"})
    assert one.publish() == 0
    assert one.evidence.ending == "published"

    other = _worked(scene, scene.label(scene.open_issue()))
    scene.commit({"src/tax.py": THEIRS})
    assert other.publish() == 0
    assert other.evidence.ending == "stale"
    assert git_store.resolve_commit(scene.repository.path, "refs/heads/coven/issue-3") is None
