"""What the job of a familiar leaves is never believed: `publish` refuses it, or takes nothing of it, and says so."""

import json
import os

import pytest

from coven_action.cli.stage import MAXIMUM_BUNDLE_BYTES
from coven_action.core.documents import MAXIMUM_DOCUMENT_BYTES
from coven_action.core.sandbox.probes import Attempt
from coven_action.core.stage_environment import CHECKS_SHA256, OUTCOME_SHA256
from tests.e2e.separate_jobs import Jobs
from tests.scenario import CONFIGURATION, Scene, ScriptedRuntime


def mark_slow_but(attacks, *quick):
    """Return the attacks as parameters, of which the ordinary suite makes a few."""
    return [
        pytest.param(attack, id=attack.__name__, marks=() if attack in quick else pytest.mark.slow)
        for attack in attacks
    ]


@pytest.fixture
def jobs(github, tmp_path):
    """A run whose familiar has done its work; what it left is about to be downloaded by `publish`."""
    scene = Scene(github, tmp_path)
    event = scene.label(scene.open_issue())
    run = scene.start(event, run_id=7)
    run.plan()
    run.work()
    found = Jobs(scene, event, run_id=7)
    found.take_from(run)
    return found


def test_what_is_as_it_was_left_is_published(jobs):
    assert jobs.publish() == 0
    assert len(jobs.scene.pull_requests) == 1
    assert jobs.outputs["conclusion"] == "neutral"


def replace_plan(jobs):
    path = jobs.received / "plan/plan.json"
    path.write_bytes(path.read_bytes().replace(b"coven/issue-1", b"coven/other-1"))


def replace_outcome(jobs):
    path = jobs.received / "run/outcome.json"
    document = json.loads(path.read_bytes())
    path.write_text(json.dumps(document | {"summary": "All tests pass."}))


def vouch_for_nothing(jobs):
    del jobs.digests[OUTCOME_SHA256]


def replace_bundle(jobs):
    (jobs.received / "run/changes.bundle").write_bytes(b"# v2 git bundle\n")


def leave_nothing(jobs):
    for path in (jobs.received / "run").iterdir():
        path.unlink()


def link_outcome(jobs):
    path = jobs.received / "run/outcome.json"
    path.rename(jobs.received / "outcome.json")
    path.symlink_to(jobs.received / "outcome.json")


def grow_outcome(jobs):
    path = jobs.received / "run/outcome.json"
    os.truncate(path, MAXIMUM_DOCUMENT_BYTES + 1)


def grow_bundle(jobs):
    os.truncate(jobs.received / "run/changes.bundle", MAXIMUM_BUNDLE_BYTES + 1)


# What was done to what the jobs left -> what a person reads on the issue.
TOLD = {
    replace_outcome: "outcome.json is not the document that the earlier stage wrote",
    vouch_for_nothing: "Nobody has vouched for outcome.json",
    replace_bundle: "The bundle is not the one the run wrote",
    leave_nothing: "outcome.json cannot be read",
    link_outcome: "outcome.json cannot be read",
    grow_outcome: "outcome.json has more than",
    grow_bundle: "The bundle is not the one the run wrote",
}


@pytest.mark.slow_after(1)
@pytest.mark.parametrize("attack", mark_slow_but(TOLD, replace_outcome, replace_bundle, link_outcome))
def test_what_is_not_as_it_was_left_is_refused_and_told(jobs, attack):
    attack(jobs)

    assert jobs.publish() == 1
    assert jobs.scene.pull_requests == []
    assert jobs.scene.branches() == {}
    (comment,) = jobs.scene.comments(jobs.scene.repository.issues[1])
    assert TOLD[attack] in comment.body


CHECKED = CONFIGURATION + 'verify: [{name: rounding, run: "grep -q round src/tax.py"}]\n'


@pytest.fixture
def checked_jobs(github, tmp_path):
    """A run whose checks, observed by `verify`, fail after the change as before it."""
    scene = Scene(github, tmp_path, configuration=CHECKED)
    event = scene.label(scene.open_issue())
    run = scene.start(event, run_id=7, runtime=ScriptedRuntime(_append_a_comment))
    run.confinement.proved = Attempt(backend="bubblewrap", level="enforced")
    run.plan()
    run.work()
    run.verify()
    found = Jobs(scene, event, run_id=7)
    found.take_from(run)
    return found


def _append_a_comment(workspace):
    with (workspace / "src/tax.py").open("a") as stream:
        stream.write("# later\n")


def test_checks_as_they_were_observed_are_told(checked_jobs):
    assert checked_jobs.publish() == 0
    assert checked_jobs.outputs["conclusion"] == "failure"
    assert len(checked_jobs.scene.pull_requests) == 1


def pass_checks(jobs):
    _pass(jobs.received / "verify/checks.json")


def _pass(path):
    document = json.loads(path.read_bytes())
    for result in document["results"]:
        result["result"]["exit_code"] = 0
    path.write_text(json.dumps(document))


def vouch_for_no_checks(jobs):
    jobs.digests[CHECKS_SHA256] = ""


def leave_no_checks(jobs):
    (jobs.received / "verify/checks.json").unlink()


def bring_checks_along(jobs):
    """The job of the familiar leaves checks among its own documents, and those of `verify` are missing."""
    (jobs.received / "verify/checks.json").rename(jobs.received / "run/checks.json")
    _pass(jobs.received / "run/checks.json")


def link_checks(jobs):
    path = jobs.received / "verify/checks.json"
    path.rename(jobs.received / "checks.json")
    path.symlink_to(jobs.received / "checks.json")


def grow_checks(jobs):
    os.truncate(jobs.received / "verify/checks.json", MAXIMUM_DOCUMENT_BYTES + 1)


FORGERIES = (pass_checks, vouch_for_no_checks, leave_no_checks, bring_checks_along, link_checks, grow_checks)


@pytest.mark.slow_after(1)
@pytest.mark.parametrize("attack", mark_slow_but(FORGERIES, pass_checks, bring_checks_along))
def test_checks_that_nobody_vouches_for_are_never_a_success(checked_jobs, attack):
    attack(checked_jobs)

    assert checked_jobs.publish() == 1
    assert checked_jobs.scene.pull_requests == []
    assert checked_jobs.outputs["conclusion"] == "failure"
    (comment,) = checked_jobs.scene.comments(checked_jobs.scene.repository.issues[1])
    assert "failed in `verify`" in comment.body


@pytest.mark.slow
def test_another_plan_is_refused_before_anybody_is_told_anything(jobs, capfd):
    replace_plan(jobs)
    before = len(jobs.scene.github.requests)

    assert jobs.publish() == 1
    assert len(jobs.scene.github.requests) == before
    assert "plan.json is not the document that the earlier stage wrote" in "".join(capfd.readouterr())


@pytest.mark.slow
def test_what_no_stage_reads_is_not_taken_along(jobs):
    """Planted where the stages of another job would look: git's home, another evidence, an outbox, a repository."""
    planted = {
        "git/.gitconfig": "[core]\n\tfsmonitor = touch taken",
        "evidence.json": "{}",
        "outbox/4-a.json": "{}",
        "plan.json": "{}",
        "proposed-memory/x.md": "planted",
        "agent.log": "planted",
        "../plan/other.json": "{}",
    }
    for name, content in planted.items():
        path = jobs.received / "run" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content)

    assert jobs.publish() == 0
    left = {path.name for path in jobs.documents("publish").rglob("*")}
    assert not {".gitconfig", "4-a.json", "x.md", "agent.log", "other.json"} & left
    assert json.loads((jobs.documents("publish") / "evidence.json").read_bytes())["conclusion"] == "neutral"


@pytest.mark.slow
def test_a_plan_that_was_not_handed_over_ends_the_familiar_s_job_too(github, tmp_path, capfd):
    scene = Scene(github, tmp_path)
    jobs = Jobs(scene, scene.label(scene.open_issue()), run_id=7)
    jobs.plan()
    replace_plan(jobs)

    with pytest.raises(FileNotFoundError):
        jobs.work()
    assert "plan.json is not the document that the earlier stage wrote" in "".join(capfd.readouterr())
