"""From each event to a draft pull request, or to nothing: `plan`, `run` and `publish` together, on the local GitHub."""

import pytest

from tests.scenario import CONFIGURATION, MENDED, Scene, ScriptedRuntime, run_process

REQUESTS_OF_A_TASK = 14
REQUESTS_OF_A_PLAN = 8


def test_a_label_becomes_a_draft_pull_request_a_check_and_one_comment(scene):
    issue = scene.open_issue()
    run = scene.start(scene.label(issue), runtime=run_process)

    assert run.finish() == 0

    (pull_request,), (check,), (comment,) = scene.pull_requests, scene.check_runs, scene.comments(issue)
    head = scene.branches()["coven/issue-1"]
    assert pull_request.draft
    assert pull_request.head_ref == "coven/issue-1"
    assert pull_request.base_ref == "main"
    assert pull_request.issue.body.startswith("Closes #1.")
    assert pull_request.issue.title == "Fix: total() rounds wrong (#1)"
    assert scene.git("show", f"{head}:src/tax.py") == MENDED
    assert scene.history("coven/issue-1") == [head]
    assert (check.head_sha, check.name, check.conclusion) == (head, "Coven", "neutral")
    assert check.external_id == run.context.task.external_id
    assert check.title.endswith("published, not checked")
    assert f"draft PR #{pull_request.issue.number} is ready" in comment.body
    assert comment.edits, "the acknowledgement was edited in place"
    assert "coven:fix" not in scene.labels(issue)


def test_the_check_is_created_after_the_pull_request(scene):
    run = scene.start(scene.label(scene.open_issue()))

    assert run.finish() == 0

    posts = [request for request in run.requests["publish"] if request.startswith("POST")]
    assert posts == ["POST /repos/acme/billing/pulls", "POST /repos/acme/billing/check-runs"]


def test_an_ordinary_task_stays_within_its_requests(scene):
    run = scene.start(scene.label(scene.open_issue()))

    run.finish()

    assert len(run.requests["plan"]) <= REQUESTS_OF_A_PLAN
    assert run.requests["run"] == []
    assert sum(map(len, run.requests.values())) <= REQUESTS_OF_A_TASK


def test_the_outputs_say_what_was_published(scene):
    run = scene.start(scene.label(scene.open_issue()))

    run.finish()

    assert run.outputs["conclusion"] == "neutral"
    assert run.outputs["pull-request-number"] == "2"
    assert run.outputs["pull-request-url"] == f"{scene.github.url}/acme/billing/pull/2"
    assert run.outputs["branch"] == "coven/issue-1"
    assert run.outputs["head-sha"] == scene.branches()["coven/issue-1"]
    assert run.outputs["evidence-path"] == str(run.documents / "evidence.json")


def test_an_assignment_to_a_machine_account_starts_its_familiar(github, tmp_path):
    rule = "    assignee: cody-machine\nrouting:\n  - {when: {assignee: cody-machine}, familiar: cody}\n"
    scene = Scene(github, tmp_path, configuration=CONFIGURATION + rule)
    issue = scene.open_issue()

    assert scene.start(scene.assign(issue, "Cody-Machine")).finish() == 0
    assert len(scene.pull_requests) == 1


@pytest.mark.parametrize("command", ["/coven fix", "/cody fix", "/cody fix and say why\n"])
def test_a_command_on_the_issue_works_on_the_issue(scene, command):
    issue = scene.open_issue()
    run = scene.start(scene.comment(issue, command))

    assert run.finish() == 0
    assert len(scene.pull_requests) == 1
    assert run.planned.work.text.title == "total() rounds wrong"
    assert "`/cody fix …` on it" in scene.comments(issue)[0].body


def test_a_command_on_our_pull_request_adds_a_commit_to_it(scene):
    issue = scene.open_issue()
    scene.start(scene.label(issue)).finish()
    (pull_request,) = scene.pull_requests
    first = pull_request.head_sha
    readme = ScriptedRuntime(lambda workspace: (workspace / "README.md").write_text("# Bills\n"))
    event = scene.comment(pull_request.issue, "/cody fix say Bills in the README")

    assert scene.start(event, runtime=readme).finish() == 0

    assert len(scene.pull_requests) == 1
    assert scene.history("coven/issue-1")[1:] == [first]
    assert pull_request.issue.title == "Fix: total() rounds wrong (#1)"
    assert pull_request.issue.body.startswith("Closes #1.")
    assert len(scene.comments(pull_request.issue)) == 1


def test_a_dispatch_works_on_the_issue_it_names(scene):
    issue = scene.open_issue()
    run = scene.start(scene.dispatch(issue.number))

    assert run.finish() == 0
    assert len(scene.pull_requests) == 1
    assert len(run.requests["plan"]) <= REQUESTS_OF_A_PLAN


# Events that nobody addressed to us: (what happens, how).
QUIET = {
    "own label": lambda scene, issue: scene.label(issue, sender=scene.world.actions_bot),
    "own comment": lambda scene, issue: scene.comment(issue, "/coven fix", scene.world.actions_bot),
    "a remark": lambda scene, issue: scene.comment(issue, "I would type /coven fix here."),
    "a quotation": lambda scene, issue: scene.comment(issue, "> /coven fix\n\nWhat does it do?"),
}


@pytest.mark.parametrize("happens", QUIET.values(), ids=QUIET)
def test_what_is_not_ours_is_left_alone_without_a_request(scene, happens):
    issue = scene.open_issue()
    run = scene.start(happens(scene, issue))

    assert run.finish() == 0
    assert run.planned.decision == "decline"
    assert run.requests == {"plan": [], "publish": []}


def test_an_event_of_another_repository_makes_no_request(scene):
    event = scene.label(scene.open_issue())
    event.payload["repository"]["id"] += 1
    run = scene.start(event)

    assert run.finish() == 0
    assert run.planned.refusal.code == "other-repository"
    assert run.requests["plan"] == []


@pytest.mark.parametrize("name", ["bug", "coven", "coven:fixed"])
def test_an_ordinary_label_starts_nothing_and_is_kept(scene, name):
    issue = scene.open_issue()
    run = scene.start(scene.label(issue, name))

    assert run.finish() == 0
    assert run.planned.refusal.code == "not-routed"
    assert scene.counts(issue) == dict.fromkeys(scene.counts(issue), 0)
    assert name in scene.labels(issue)
    assert all(request.startswith("GET") for request in run.requests["plan"])


def test_a_bot_that_is_not_listed_starts_nothing(scene):
    issue = scene.open_issue()
    bot = scene.world.add_user("helper[bot]", kind="Bot")
    scene.world.add_collaborator(scene.repository, bot.login, "write")
    run = scene.start(scene.label(issue, sender=bot))

    assert run.finish() == 0
    assert run.planned.refusal.code == "bot-not-listed"
    assert scene.comments(issue) == []


def test_a_bot_that_is_listed_may_start_work(github, tmp_path):
    bot = github.world.add_user("helper[bot]", kind="Bot")
    scene = Scene(github, tmp_path, configuration=CONFIGURATION + f"allow_bots: [{bot.id}]\n")

    assert scene.start(scene.label(scene.open_issue(), sender=bot)).finish() == 0
    assert len(scene.pull_requests) == 1


@pytest.mark.parametrize(("who", "code"), [("triager", "not-a-maintainer"), ("outsider", "not-a-maintainer")])
def test_who_may_not_write_is_told_so_once(scene, who, code):
    issue = scene.open_issue()
    sender = getattr(scene.github, who)
    for _ in range(2):
        run = scene.start(scene.comment(issue, "/coven fix", sender))
        assert run.finish() == 0

    assert run.planned.refusal.code == code
    (comment,) = scene.comments(issue)
    assert "did not start: Only somebody with write access" in comment.body
    assert scene.pull_requests == []
    assert "POST" not in " ".join(run.requests["publish"])


def test_a_login_that_changed_hands_starts_nothing(scene):
    issue = scene.open_issue()
    event = scene.label(issue)
    scene.world.rename_user("maintainer", "somebody")
    scene.world.add_collaborator(scene.repository, "maintainer", "admin")
    run = scene.start(event)

    assert run.finish() == 0
    assert run.planned.refusal.code == "identity-mismatch"
    assert scene.pull_requests == []


def test_an_account_that_github_does_not_know_starts_nothing(scene):
    issue = scene.open_issue()
    event = scene.label(issue)
    scene.world.rename_user("maintainer", "somebody")
    run = scene.start(event)

    assert run.finish() == 0
    assert run.planned.refusal.code in {"permission-unknown", "identity-mismatch"}
    assert scene.pull_requests == []


def test_an_error_of_the_permission_api_starts_nothing(scene):
    issue = scene.open_issue()
    scene.github.faults.add(method="GET", path_regex="/permission$", status=500, times=50)
    run = scene.start(scene.label(issue))

    assert run.finish() == 1
    assert run.error.code == "github-unavailable"
    assert scene.comments(issue) == []
    assert not (run.documents / "plan.json").exists()


def test_a_decline_never_overwrites_what_stands_for_a_pull_request(scene):
    issue = scene.open_issue()
    scene.start(scene.label(issue)).finish()
    before = scene.comments(issue)[0].body

    assert scene.start(scene.comment(issue, "/coven fix", scene.github.outsider)).finish() == 0
    assert [comment.body for comment in scene.comments(issue)] == [before]


@pytest.mark.parametrize("command", ["/cody review", "/coven dance"])
def test_an_unknown_command_is_answered_with_the_known_ones(scene, command):
    issue = scene.open_issue()

    assert scene.start(scene.comment(issue, command)).finish() == 0
    (comment,) = scene.comments(issue)
    assert f"`{command.split()[0]} fix`" in comment.body


def test_a_command_on_somebody_elses_pull_request_is_declined(scene):
    scene.commit({"x": "x"}, "topic")
    from coven_action.emulator.state import PullRequest

    issue = scene.open_issue("Topic")
    sha = scene.branches()["topic"]
    base = scene.git("rev-parse", "main").strip()
    scene.repository.pulls[issue.number] = PullRequest(77, issue, scene.repository, "topic", sha, "main", base, False)
    run = scene.start(scene.comment(issue, "/coven fix the colour"))

    assert run.finish() == 0
    assert run.planned.refusal.code == "not-our-pull-request"
    assert scene.git("rev-parse", "topic").strip() == sha
