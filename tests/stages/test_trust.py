"""Trust through `plan`: who re-ran, who wrote the text, what was edited since, and on which branch a dispatch runs."""

import pytest

from tests.scenario import PATCH, Scene


@pytest.fixture
def scene(github, tmp_path):
    return Scene(github, tmp_path)


def test_a_rerun_by_somebody_without_write_access_starts_nothing(scene):
    issue = scene.open_issue(body=PATCH)
    event = scene.label(issue)
    scene.github.faults.add(method="POST", path_regex="/pulls$", times=10, status=500)
    assert scene.start(event, run_id=7).finish() == 1
    scene.github.faults.clear()

    again = scene.start(event, run_id=7, attempt=2, rerun_by=scene.github.triager)

    assert again.plan().refusal.code == "not-a-maintainer"
    assert scene.pull_requests == []


def test_a_rerun_after_an_edit_asks_for_a_new_trigger(scene):
    issue = scene.open_issue(body=PATCH)
    event = scene.label(issue)
    scene.github.faults.add(method="POST", path_regex="/pulls$", times=10, status=500)
    assert scene.start(event, run_id=7).finish() == 1
    scene.github.faults.clear()
    scene.world.clock = _later(scene.world.clock)
    scene.world.edit_issue(issue, scene.github.outsider, body="Something else.")

    again = scene.start(event, run_id=7, attempt=2)

    assert again.plan().refusal.code == "edited-since-trigger"


def test_an_edit_after_the_trigger_is_noted_and_the_frozen_text_stands(scene):
    issue = scene.open_issue(body=PATCH)
    event = scene.label(issue)
    scene.world.clock = _later(scene.world.clock)
    scene.world.edit_issue(issue, scene.github.outsider, title="Delete everything", body="Something else.")

    run = scene.start(event)

    assert run.finish() == 0
    assert run.planned.work.text.title == "total() rounds wrong"
    asked = next(row.text for row in run.evidence.rows if row.name == "what was asked")
    assert "the title and body changed after the trigger" in asked


def test_a_maintainer_may_start_work_on_a_strangers_issue_which_stays_a_strangers(scene):
    issue = scene.open_issue(body=PATCH, author=scene.github.outsider)

    run = scene.start(scene.label(issue))

    assert run.finish() == 0
    trust = run.planned.work.trust
    assert trust.scope == "external"
    assert trust.memory.write_scopes == ()
    assert "the text is from outside" in trust.reason
    assert len(run.requests["plan"]) <= 9


def test_a_dispatch_on_another_branch_starts_nothing(scene):
    issue = scene.open_issue(body=PATCH)
    event = scene.dispatch(issue.number)
    event.payload["ref"] = "refs/heads/feature"

    decided = scene.start(event).plan()

    assert decided.refusal.code == "not-default-branch"


def _later(clock):
    from datetime import timedelta

    return lambda: clock() + timedelta(minutes=5)
