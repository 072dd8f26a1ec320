"""A workflow that publishes with the token of the customer's own App: what its bot account did is known to be ours."""

import pytest

from coven_action.core.publication.status_marker import parse_marker
from coven_action.core.stage_environment import TOKEN
from coven_action.emulator.state import Token
from coven_action.emulator.world import ALL_PERMISSIONS
from coven_action.stages.plan import Demands
from tests.scenario import CONFIGURATION, ScriptedRuntime

pytestmark = pytest.mark.slow
REVIEW = "coven:needs-review"


class App:
    """An App of the customer's, installed in the repository."""

    def __init__(self, scene):
        self.scene = scene
        self.bot = scene.world.add_user("acme-coven[bot]", kind="Bot")
        self.token = "ghs_" + "app0" * 10
        scene.world.tokens[self.token] = Token(
            self.token, self.bot, {"metadata": "read", **ALL_PERMISSIONS}, frozenset({scene.repository.id}), True, 5000
        )

    def start(self, event, *, is_said=True, **facts):
        """Return a run whose `publish` has the App's token, as docs/hosted.md shows it."""
        run = self.scene.start(event, isolation="none", **facts)
        run.demands = Demands(isolation="none", app_bot_id=self.bot.id if is_said else None)
        publish = run.publish

        def publish_with_the_apps_token():
            run.environment[TOKEN] = self.token
            return publish()

        run.publish = publish_with_the_apps_token
        return run

    def comments(self, issue):
        return [comment for comment in issue.comments if comment.user is self.bot]


@pytest.fixture
def app(scene):
    return App(scene)


def _write(name, text):
    return ScriptedRuntime(lambda workspace: (workspace / name).write_text(text))


def _change_a_manifest_and_take_it_back(scene, app, issue, **facts):
    """Let two tasks publish: the first needs a person's look, and after the second nothing of that is left."""
    mend = ScriptedRuntime(
        lambda workspace: ((workspace / "package.json").write_text("{}\n"), (workspace / "notes.md").write_text("x\n"))
    )
    assert app.start(scene.label(issue), runtime=mend, **facts).finish() == 0
    (pull_request,) = scene.pull_requests
    assert scene.labels(pull_request.issue) == [REVIEW]
    assert pull_request.issue.user is app.bot
    take_back = ScriptedRuntime(lambda workspace: (workspace / "package.json").unlink())
    assert app.start(scene.label(issue), runtime=take_back, **facts).finish() == 0
    return pull_request.issue


@pytest.mark.parametrize(("is_said", "left"), [(True, []), (False, [REVIEW])], ids=["said", "not said"])
def test_a_label_that_the_app_put_on_is_taken_off_again(scene, app, is_said, left):
    issue = scene.open_issue()
    pull_request = _change_a_manifest_and_take_it_back(scene, app, issue, is_said=is_said)

    assert app.start(scene.label(issue), runtime=_write("README.md", "# Bills\n"), is_said=is_said).finish() == 0

    assert scene.labels(pull_request) == left


def test_a_label_that_a_person_put_back_is_theirs(scene, app):
    issue = scene.open_issue()
    pull_request = _change_a_manifest_and_take_it_back(scene, app, issue)
    scene.world.remove_label(pull_request, REVIEW, scene.github.maintainer)
    scene.world.add_labels(scene.repository, pull_request, [REVIEW], scene.github.maintainer)

    assert app.start(scene.label(issue), runtime=_write("README.md", "# Bills\n")).finish() == 0

    assert scene.labels(pull_request) == [REVIEW]


def test_a_comment_that_the_app_wrote_again_is_found_by_the_next_run(scene, app):
    issue = scene.open_issue()
    run = app.start(scene.label(issue), run_id=7)
    run.plan()
    (comment,) = scene.comments(issue)
    scene.remove_comment(issue, comment)
    run.work()
    assert run.publish() == 0
    (written,) = app.comments(issue)
    assert "draft PR #2 is ready" in written.body

    again = app.start(scene.label(issue), run_id=7, attempt=2)
    assert again.plan().decision == "published"
    assert app.start(scene.label(issue), runtime=_write("README.md", "# Bills\n")).finish() == 0

    assert (scene.comments(issue), app.comments(issue)) == ([], [written])
    assert parse_marker(written.body).state == "published"


def test_a_comment_whose_answer_was_lost_is_not_written_twice(scene, app):
    issue = scene.open_issue()
    run = app.start(scene.label(issue))
    run.environment[TOKEN] = app.token
    scene.github.faults.add(method="POST", path_regex="/comments$", drop_after=True, times=1)

    assert run.plan().decision == "proceed"
    assert len(app.comments(issue)) == 1


OWN_DEEDS = {
    "its label": lambda scene, issue, bot: scene.label(issue, sender=bot),
    "its comment": lambda scene, issue, bot: scene.comment(issue, "/coven fix", bot),
    "its dispatch": lambda scene, issue, bot: scene.dispatch(issue.number, sender=bot),
}


@pytest.mark.parametrize("happens", OWN_DEEDS.values(), ids=OWN_DEEDS)
def test_what_the_app_did_starts_nothing_even_where_its_bot_is_listed(scene, app, happens):
    scene.commit({".github/coven.yml": CONFIGURATION + f"allow_bots: [{app.bot.id}]\n"})
    issue = scene.open_issue()
    run = app.start(happens(scene, issue, app.bot))

    assert run.finish() == 0
    assert run.planned.refusal.code == "own-event"
    assert run.requests == {"plan": [], "publish": []}


def test_a_marker_of_another_app_is_still_not_ours(scene, app):
    issue = scene.open_issue()
    event = scene.label(issue)
    app.start(event, run_id=7).finish()
    marker = scene.comments(issue)[0].body
    other = scene.open_issue("another")
    stranger = scene.world.add_user("acme-coven", kind="Bot")
    copied = scene.world.add_comment(scene.repository, other, stranger, marker)

    assert app.start(scene.label(other)).plan().decision == "proceed"
    assert copied.body == marker


@pytest.mark.parametrize("direction", ["to the App", "from the App"])
def test_a_repository_may_change_whose_token_it_gives_while_a_pull_request_is_open(scene, app, direction):
    issue = scene.open_issue()
    starts = [scene.start, app.start] if direction == "to the App" else [app.start, scene.start]
    assert starts[0](scene.label(issue)).finish() == 0

    assert starts[1](scene.label(issue), runtime=_write("README.md", "# Bills\n")).finish() == 0

    old, new = scene.check_runs
    assert old.user is not new.user
    assert new.head_sha == scene.pull_requests[0].head_sha
    assert not old.title.startswith("superseded")
