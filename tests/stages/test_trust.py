"""Trust through `plan`: who re-ran, who wrote the text, what was edited since, and on which branch a dispatch runs."""

import pytest

from tests.scenario import CONFIGURATION, PATCH, Scene


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


COMMANDED = CONFIGURATION.replace("runtime: patch", "runtime: {command: [agent]}")


@pytest.mark.parametrize("comment", ["/coven fix", "/coven fix please keep it small"])
@pytest.mark.parametrize("configuration", [CONFIGURATION, COMMANDED], ids=["patch", "command"])
def test_a_maintainers_words_lend_no_trust_to_the_strangers_issue_they_are_read_with(
    github, tmp_path, configuration, comment
):
    scene = Scene(github, tmp_path, configuration=configuration + "memory: {enabled: true}\n")
    issue = scene.open_issue(body=PATCH, author=github.outsider)

    work = scene.start(scene.comment(issue, comment)).plan().work

    assert "round half up" in work.brief.task.issue_body
    assert github.outsider.id in [author.id for author in work.text.authors]
    assert (work.trust.scope, work.trust.memory.write_scopes) == ("external", ())
    assert "the text is from outside" in work.trust.reason
    policy = work.brief.memory_policy
    assert (policy.enabled, policy.shareable_only, policy.write_scopes) == (True, True, ())


def test_a_maintainers_words_on_a_maintainers_issue_stay_a_maintainers(scene):
    issue = scene.open_issue(body=PATCH)

    trust = scene.start(scene.comment(issue, "/coven fix please keep it small")).plan().work.trust

    assert trust.scope == "maintainer"
    assert [one.part for one in trust.contributions] == ["trigger", "text"]


def test_what_a_listed_bot_wrote_stays_a_strangers_though_the_bot_may_ask(github, tmp_path):
    bot = github.world.add_user("helper[bot]", kind="Bot")
    scene = Scene(github, tmp_path, configuration=CONFIGURATION + f"allow_bots: [{bot.id}]\n")
    issue = scene.open_issue(body=PATCH, author=bot)

    trust = scene.start(scene.label(issue, sender=bot)).plan().work.trust

    assert trust.scope == "external"
    assert trust.memory.write_scopes == ()
    assert "the text is from outside" in trust.reason


def test_a_listed_bot_that_asks_for_a_maintainers_text_counts_as_a_collaborator(github, tmp_path):
    bot = github.world.add_user("helper[bot]", kind="Bot")
    scene = Scene(github, tmp_path, configuration=CONFIGURATION + f"allow_bots: [{bot.id}]\n")

    trust = scene.start(scene.label(scene.open_issue(body=PATCH), sender=bot)).plan().work.trust

    assert trust.scope == "collaborator"


def test_a_dispatch_that_is_run_again_after_an_edit_asks_for_a_new_one(scene):
    issue = scene.open_issue(body=PATCH)
    event = scene.dispatch(issue.number)
    scene.github.faults.add(method="POST", path_regex="/pulls$", times=10, status=500)
    assert scene.start(event, run_id=7).finish() == 1
    scene.github.faults.clear()
    scene.world.clock = _later(scene.world.clock)
    scene.world.edit_issue(issue, scene.github.outsider, body=PATCH + "Something else.")
    scene.world.clock = _later(scene.world.clock)

    again = scene.start(event, run_id=7, attempt=2)

    assert again.plan().refusal.code == "edited-since-trigger"
    assert scene.pull_requests == []


def test_a_dispatch_that_is_run_again_goes_on_where_nothing_was_edited(scene):
    issue = scene.open_issue(body=PATCH)
    scene.world.clock = _later(scene.world.clock)
    scene.world.edit_issue(issue, scene.github.maintainer, title="As it was when the workflow was dispatched")
    scene.world.clock = _later(scene.world.clock)
    event = scene.dispatch(issue.number)
    scene.github.faults.add(method="POST", path_regex="/pulls$", times=10, status=500)
    assert scene.start(event, run_id=7).finish() == 1
    scene.github.faults.clear()
    scene.world.clock = _later(scene.world.clock)

    assert scene.start(event, run_id=7, attempt=2).finish() == 0
    assert len(scene.pull_requests) == 1


def test_a_dispatch_on_another_branch_starts_nothing(scene):
    issue = scene.open_issue(body=PATCH)
    event = scene.dispatch(issue.number)
    event.payload["ref"] = "refs/heads/feature"

    decided = scene.start(event).plan()

    assert decided.refusal.code == "not-default-branch"


def _later(clock):
    from datetime import timedelta

    return lambda: clock() + timedelta(minutes=5)
