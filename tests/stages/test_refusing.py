"""What people see of a refusal, whatever stands on the thread: what was there stays, and nobody from outside touches it."""

import pytest

from coven_action.client import EndpointUnreachable
from coven_action.core.publication.status_marker import parse_marker
from tests.scenario import CONFIGURATION, ScriptedRuntime
from tests.stages.test_history import FakeEndpoint, admission

HOSTED = CONFIGURATION + "hosted: {url: https://coven.example.com%s}\n"
QUESTION = {
    "status": "needs_input",
    "exit_reason": "ambiguous_spec",
    "pr_body": "Down or up?",
    "summary": "Down or up?",
}
ASKED_AGAIN = "**Coven** was asked again and did not start: "


def _publish(scene, issue):
    assert scene.start(scene.label(issue)).finish() == 0


def _fail(scene, issue):
    crash = ScriptedRuntime(result=None, report={"exit_code": 1})
    assert scene.start(scene.label(issue), runtime=crash).finish() == 1


def _ask_back(scene, issue):
    asking = ScriptedRuntime(work=lambda _: None, result=QUESTION)
    assert scene.start(scene.label(issue), runtime=asking).finish() == 0


def _begin(scene, issue):
    assert scene.start(scene.label(issue)).plan().decision == "proceed"


# What stands on the thread: (how it came there, what people read there).
STANDING = {
    "a pull request": (_publish, "draft PR #2 is ready"),
    "a failure": (_fail, "failed in `run`"),
    "a question": (_ask_back, "needs an answer"),
    "work under way": (_begin, "is working on this"),
}


@pytest.fixture(params=STANDING.values(), ids=STANDING)
def standing(request, scene):
    """A thread on which something stands, and what people read there."""
    happened, reads = request.param
    issue = scene.open_issue()
    happened(scene, issue)
    return issue, reads


def _refuse(scene, issue, endpoint, more=""):
    """Label an issue where an endpoint refuses what is asked, and return the run."""
    scene.commit({".github/coven.yml": HOSTED % more})
    run = scene.start(scene.label(issue))
    run.connect_for_plan = lambda _: endpoint
    assert run.finish() == 0
    return run


def _read(scene, issue):
    """Return what our one comment on a thread says."""
    (comment,) = scene.comments(issue)
    return comment.body


UNREACHABLE = EndpointUnreachable("endpoint-unreachable", "GET /: no answer (ConnectError).")
WAIT = admission("wait", retry_after=50, reason="nova works here in run 4")
REFUSALS = {
    "admission-refused": ({"report": admission("refused", reason="20 tasks are used up")}, ""),
    "thread-busy": ({"report": WAIT, "deliver": None}, ""),
    "endpoint-required": ({"open": UNREACHABLE}, ", required: true"),
}


@pytest.mark.slow_after(1)
@pytest.mark.parametrize("code", REFUSALS)
def test_a_label_that_is_refused_is_told_beside_the_pull_request_and_taken_off(scene, code):
    issue = scene.open_issue()
    _publish(scene, issue)
    before = _read(scene, issue)
    answers, more = REFUSALS[code]

    run = _refuse(scene, issue, FakeEndpoint(**answers), more)

    assert run.planned.refusal.code == code
    above, _, below = _read(scene, issue).partition(ASKED_AGAIN)
    assert above.startswith(before.rstrip())
    assert run.planned.refusal.remedy in below
    assert "Pull request #2 stays as it is." in below
    assert f"{run.context.task.run_id}/attempts/1) · `{code}`" in below
    assert "coven:fix" not in scene.labels(issue)


@pytest.mark.slow_after(2)
def test_a_refusal_leaves_what_stands_and_says_its_sentence_below(scene, standing):
    issue, reads = standing
    before = _read(scene, issue)

    _refuse(scene, issue, FakeEndpoint(report=admission("refused", reason="20 tasks are used up")))

    body = _read(scene, issue)
    assert body.startswith(before.rstrip())
    assert reads in body
    assert f"{ASKED_AGAIN}The endpoint does not admit this run: 20 tasks are used up." in body
    assert "coven:fix" not in scene.labels(issue)


@pytest.mark.slow_after(2)
def test_a_refusal_leaves_what_the_thread_remembers(scene, standing):
    issue, _ = standing
    before = parse_marker(_read(scene, issue))

    assert scene.start(scene.comment(issue, "/cody review")).finish() == 0

    assert before is not None
    assert parse_marker(_read(scene, issue)) == before


@pytest.mark.slow_after(1)
def test_a_second_refusal_takes_the_place_of_the_first(scene, standing):
    issue, reads = standing
    scene.start(scene.comment(issue, "/cody review")).finish()
    scene.start(scene.comment(issue, "/cody dance")).finish()

    body = _read(scene, issue)
    assert reads in body
    assert body.count(ASKED_AGAIN) == 1
    assert "`/cody dance` is not a command" in body


@pytest.mark.slow_after(3)
@pytest.mark.parametrize("who", ["outsider", "triager"])
def test_nobody_from_outside_writes_over_or_below_what_stands(scene, standing, who):
    issue, _ = standing
    before = _read(scene, issue)
    sender = getattr(scene.github, who)
    asked = [scene.comment(issue, text, sender) for text in ("/coven fix", "/cody review")]
    asked.append(scene.label(issue, sender=sender))

    for event in asked:
        run = scene.start(event)
        assert run.finish() == 0
        assert run.planned.decision == "decline"
        assert all(request.startswith("GET") for request in run.requests["plan"])
    assert _read(scene, issue) == before


def test_somebody_from_outside_is_told_once_and_never_instead_of_a_maintainer(scene):
    issue = scene.open_issue()
    scene.start(scene.comment(issue, "/cody review")).finish()
    told = _read(scene, issue)

    scene.start(scene.comment(issue, "/coven fix", scene.github.outsider)).finish()

    assert _read(scene, issue) == told


def test_a_run_under_way_tells_its_end_after_another_was_refused(scene):
    issue = scene.open_issue()
    run = scene.start(scene.label(issue), run_id=7)
    run.plan()
    assert scene.start(scene.comment(issue, "/cody review")).finish() == 0
    run.work()

    assert run.publish() == 0

    assert "draft PR #2 is ready" in _read(scene, issue)
    assert scene.start(scene.label(issue), run_id=7, attempt=2).plan().decision == "published"


@pytest.mark.slow
def test_a_result_that_came_while_the_endpoint_was_asked_stays(scene):
    issue = scene.open_issue()
    working = scene.start(scene.label(issue), run_id=7)
    working.plan()
    working.work()

    class SlowEndpoint(FakeEndpoint):
        def wait(self, seconds):
            if not self.waited:
                assert working.publish() == 0
            super().wait(seconds)

    _refuse(scene, issue, SlowEndpoint(report=WAIT, deliver=None))

    body = _read(scene, issue)
    assert "draft PR #2 is ready" in body
    assert parse_marker(body).state == "published"
    assert f"{ASKED_AGAIN}This thread is taken: nova works here in run 4." in body


def test_a_rerun_after_an_edit_is_told_below_the_failure_it_was_to_mend(scene):
    issue = scene.open_issue()
    event = scene.label(issue)
    scene.github.faults.add(method="POST", path_regex="/pulls$", times=10, status=500)
    assert scene.start(event, run_id=7).finish() == 1
    scene.github.faults.clear()
    _edit_later(scene, issue)

    assert scene.start(event, run_id=7, attempt=2).finish() == 0

    body = _read(scene, issue)
    assert "failed in `publish`" in body
    assert "changed since this run was triggered" in body.partition(ASKED_AGAIN)[2]
    assert parse_marker(body).state == "failed"


@pytest.mark.slow
def test_a_rerun_of_work_that_died_does_not_say_any_more_that_it_works(scene):
    issue = scene.open_issue()
    _publish(scene, issue)
    event = scene.label(issue)
    scene.start(event, run_id=7).plan()
    _edit_later(scene, issue)

    assert scene.start(event, run_id=7, attempt=2).finish() == 0

    body = _read(scene, issue)
    assert "is working on this" not in body
    assert "**Coven** did not start: " in body
    assert "Pull request #2 stays as it is." in body
    status = parse_marker(body)
    assert (status.state, status.pull_request, len(status.published_tasks)) == ("declined", 2, 1)


@pytest.mark.parametrize("who", ["triager", "helper[bot]"])
def test_whoever_may_not_start_work_does_not_write_by_running_a_maintainers_run_again(scene, who):
    issue = scene.open_issue()
    _fail(scene, issue)
    event = scene.label(issue)
    scene.start(event, run_id=7, runtime=ScriptedRuntime(result=None, report={"exit_code": 1})).finish()
    before = _read(scene, issue)
    _edit_later(scene, issue)
    again = scene.world.add_user(who, kind="Bot") if who.endswith("[bot]") else getattr(scene.github, who)

    run = scene.start(event, run_id=7, attempt=2, rerun_by=again)

    assert run.finish() == 0
    assert run.planned.decision == "decline"
    assert _read(scene, issue) == before


def test_another_maintainer_who_runs_it_again_is_told(scene):
    issue = scene.open_issue()
    event = scene.label(issue)
    scene.start(event, run_id=7, runtime=ScriptedRuntime(result=None, report={"exit_code": 1})).finish()
    _edit_later(scene, issue)
    other = scene.world.add_user("colleague")
    scene.world.add_collaborator(scene.repository, "colleague", "write")

    scene.start(event, run_id=7, attempt=2, rerun_by=other).finish()

    assert ASKED_AGAIN in _read(scene, issue)


@pytest.mark.slow
def test_a_secret_that_somebody_wrote_into_our_comment_is_not_written_again(scene):
    issue = scene.open_issue()
    _publish(scene, issue)
    (comment,) = scene.comments(issue)
    secret = "ghp_" + "a1B2" * 9
    comment.body += f"\n\nuse {secret}\n"

    scene.start(scene.comment(issue, "/cody review")).finish()

    assert secret not in _read(scene, issue)


def test_a_refusal_fits_below_the_longest_comment(scene):
    issue = scene.open_issue()
    _publish(scene, issue)
    (comment,) = scene.comments(issue)
    before = parse_marker(comment.body)
    comment.body = (comment.body + "word " * 20_000)[:65_536]

    assert scene.start(scene.comment(issue, "/cody review")).finish() == 0

    body = _read(scene, issue)
    assert len(body) <= 65_536
    assert "`/cody review` is not a command" in body
    assert parse_marker(body) == before


def test_a_comment_that_cannot_be_read_any_more_gives_way(scene):
    issue = scene.open_issue()
    _publish(scene, issue)
    (comment,) = scene.comments(issue)
    comment.body = comment.body.replace('"state"', '"stat"')

    scene.start(scene.comment(issue, "/cody review")).finish()

    body = _read(scene, issue)
    assert "**Coven** did not start: `/cody review` is not a command" in body
    assert parse_marker(body).state == "declined"


def test_a_label_that_cannot_be_taken_off_ends_the_job_red(scene):
    issue = scene.open_issue()
    _publish(scene, issue)
    scene.github.faults.add(method="DELETE", path_regex="/labels/", status=500, times=50)
    scene.commit({".github/coven.yml": HOSTED % ""})
    run = scene.start(scene.label(issue))
    run.connect_for_plan = lambda _: FakeEndpoint(report=admission("refused", reason="20 tasks are used up"))

    assert run.finish() == 1
    assert run.error.code == "github-unavailable"


def _edit_later(scene, issue):
    """Let somebody change the issue's text, a while after everything else."""
    from datetime import timedelta

    clock = scene.world.clock
    scene.world.clock = lambda: clock() + timedelta(minutes=5)
    scene.world.edit_issue(issue, scene.github.outsider, body="Something else.")
