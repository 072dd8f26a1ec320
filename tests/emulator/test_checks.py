"""Check Runs and workflow runs over REST."""

from datetime import UTC, datetime

import pytest

CHECKS = "/repos/acme/billing/check-runs"
NOTE = {"path": "a", "start_line": 1, "end_line": 1, "annotation_level": "notice", "message": "m"}


@pytest.fixture
def sha(push_branch):
    return push_branch("topic", {"a": "b\n"})


@pytest.fixture
def run(rest, sha):
    return rest.post(CHECKS, {"name": "Cody", "head_sha": sha, "external_id": "7-1"}).json()


def test_a_run_goes_from_queued_to_its_conclusion(rest, run):
    assert (run["status"], run["conclusion"], run["external_id"]) == ("queued", None, "7-1")
    done = rest.patch(f"{CHECKS}/{run['id']}", {"conclusion": "neutral"}).json()
    assert (done["status"], done["conclusion"]) == ("completed", "neutral")
    assert done["completed_at"]


def test_the_commit_of_a_run_never_changes(rest, run, push_branch):
    other = push_branch("other", {"x": "y"})
    changed = rest.patch(f"{CHECKS}/{run['id']}", {"head_sha": other, "details_url": "https://example.com/"}).json()
    assert changed["head_sha"] == run["head_sha"]
    assert changed["details_url"] == run["html_url"]


@pytest.mark.parametrize("head", ["0" * 40, "main", "", "abc", "HEAD", "x" * 40])
def test_a_run_stands_on_a_commit_of_the_repository(rest, sha, head):
    refused = rest.post(CHECKS, {"name": "Cody", "head_sha": head})
    assert refused.status_code == 422
    assert "No commit found" in refused.json()["message"]


def test_annotations_are_added_fifty_at_a_time(rest, run):
    output = {"title": "t", "summary": "s"}
    for _ in range(2):
        notes = [NOTE | {"message": str(number)} for number in range(50)]
        assert rest.patch(f"{CHECKS}/{run['id']}", {"output": output | {"annotations": notes}}).status_code == 200
    refused = rest.patch(f"{CHECKS}/{run['id']}", {"output": output | {"annotations": [NOTE] * 51}})
    assert refused.status_code == 422
    assert rest.get(f"{CHECKS}/{run['id']}").json()["output"]["annotations_count"] == 100
    assert len(rest.get(f"{CHECKS}/{run['id']}/annotations?per_page=100").json()) == 100


@pytest.mark.parametrize(
    ("output", "status"),
    [
        ({"title": "t", "summary": "x" * 65_535}, 200),
        ({"title": "t", "summary": "x" * 65_536}, 422),
        ({"title": "t", "summary": "s", "text": "x" * 65_536}, 422),
        ({"title": "x" * 256, "summary": "s"}, 422),
        ({"title": "t"}, 422),
        ({"summary": "s"}, 422),
        ({"title": 1, "summary": "s"}, 422),
        ("text", 422),
        ({"title": "t", "summary": "s", "annotations": "text"}, 422),
        ({"title": "t", "summary": "s", "annotations": ["text"]}, 422),
        ({"title": "t", "summary": "s", "annotations": [NOTE | {"message": "x" * 65_537}]}, 422),
        ({"title": "t", "summary": "s", "annotations": [NOTE | {"annotation_level": "error"}]}, 422),
        ({"title": "t", "summary": "s", "annotations": [NOTE | {"end_line": 0}]}, 422),
        ({"title": "t", "summary": "s", "annotations": [NOTE | {"end_line": 2, "start_column": 1}]}, 422),
        ({"title": "t", "summary": "s", "annotations": [NOTE | {"title": "x" * 256}]}, 422),
    ],
)
def test_an_output_keeps_githubs_limits_and_a_refused_one_changes_nothing(rest, run, output, status):
    assert rest.patch(f"{CHECKS}/{run['id']}", {"output": output, "conclusion": "success"}).status_code == status
    after = rest.get(f"{CHECKS}/{run['id']}").json()
    assert (after["conclusion"] == "success") == (status == 200)
    assert (after["output"]["title"] == "t") == (status == 200)


@pytest.mark.parametrize(
    "change",
    [{"status": "completed"}, {"conclusion": "stale"}, {"conclusion": "good"}, {"status": 1}, {"completed_at": "noon"}],
)
def test_a_state_that_github_does_not_know_is_refused(rest, run, change):
    assert rest.patch(f"{CHECKS}/{run['id']}", change).status_code == 422


def test_of_equally_named_runs_the_latest_is_listed(rest, sha, run):
    later = rest.post(CHECKS, {"name": "Cody", "head_sha": sha}).json()
    rest.post(CHECKS, {"name": "other", "head_sha": sha})
    path = f"/repos/acme/billing/commits/{sha}/check-runs?check_name=Cody"
    assert [item["id"] for item in rest.get(path).json()["check_runs"]] == [later["id"]]
    assert rest.get(f"{path}&filter=all").json()["total_count"] == 2


def test_a_run_names_the_open_pull_request_of_its_commit(rest, sha, run):
    assert run["pull_requests"] == []
    pull = rest.post("/repos/acme/billing/pulls", {"title": "T", "head": "topic", "base": "main"}).json()
    listed = rest.get(f"{CHECKS}/{run['id']}").json()["pull_requests"]
    assert [item["number"] for item in listed] == [pull["number"]]


def test_a_workflow_run_names_who_ran_it_again(github, rest):
    with github.world.lock:
        github.world.add_workflow_run(
            github.repository,
            github.maintainer,
            "issues",
            run_id=77,
            triggering_actor=github.outsider,
            run_attempt=2,
        )
    document = rest.get("/repos/acme/billing/actions/runs/77").json()
    assert document["actor"]["id"] == github.maintainer.id
    assert document["triggering_actor"]["id"] == github.outsider.id
    assert document["run_attempt"] == 2


def test_a_workflow_run_keeps_the_time_of_its_creation_when_it_is_run_again(github, rest):
    moments = iter([datetime(2026, 1, 5, 9, 0, tzinfo=UTC), datetime(2026, 1, 5, 9, 30, tzinfo=UTC)])
    with github.world.lock:
        github.world.clock = lambda: next(moments)
        for attempt in (1, 2):
            github.world.add_workflow_run(
                github.repository, github.maintainer, "issues", run_id=77, run_attempt=attempt
            )
        github.world.clock = lambda: datetime(2026, 1, 5, 10, 0, tzinfo=UTC)
    document = rest.get("/repos/acme/billing/actions/runs/77").json()
    assert (document["created_at"], document["run_started_at"]) == ("2026-01-05T09:00:00Z", "2026-01-05T09:30:00Z")
