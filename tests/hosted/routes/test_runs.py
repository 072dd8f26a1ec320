"""Runs over the real application: reported, admitted, ended, shown; and nobody else's."""

import pytest

from coven_action.hosted.routes.runs import FEW_EVENTS
from tests.hosted.databases import ON_BOTH_SLOWLY
from tests.hosted.deployment import open_session

pytestmark = ON_BOTH_SLOWLY
FINISH = {"state": "review", "conclusion": "neutral", "usage": {"input_tokens": 5, "output_tokens": 7}}


def finish(session, key=None, **changes):
    return session.send("POST", "/v1/runs/self/finish", {**FINISH, **changes}, key=key)


def list_event_types(client, admin):
    return [event["type"] for event in client.get("/v1/events", headers=admin).json()["events"]]


def test_a_run_is_admitted_says_what_happens_and_ends(client, clock, admin):
    session = open_session(client, clock())

    admitted = session.report(thread="issue-1").json()
    session.append("one", "two")
    finished = finish(session).json()

    assert (admitted["decision"], admitted["number"], admitted["state"]) == ("granted", 1, "running")
    assert (finished["state"], finished["conclusion"], finished["lease_until"]) == ("review", "neutral", None)
    assert list_event_types(client, admin) == ["run.granted", "note", "note", "run.finished"]
    assert [each["usage"]["input_tokens"] for each in client.get("/v1/runs/1", headers=admin).json()["attempts"]] == [5]


def test_the_sequence_of_events_has_no_gap(client, clock, admin):
    for run_id in ("1", "2", "3"):
        session = open_session(client, clock(), run_id=run_id)
        session.report()
        session.append("x")

    page = client.get("/v1/events", headers=admin).json()

    assert [event["seq"] for event in page["events"]] == list(range(1, 7))
    assert client.get("/v1/events", headers=admin, params={"cursor": page["cursor"]}).json()["events"] == []


@pytest.mark.parametrize(("count", "shares"), [(1, True), (FEW_EVENTS, True), (FEW_EVENTS + 1, False)])
def test_only_a_request_with_a_few_events_may_share_its_commit(client, clock, deployment, monkeypatch, count, shares):
    session = open_session(client, clock())
    session.report()
    write, commands = deployment.store.write, []
    monkeypatch.setattr(deployment.store, "write", lambda command: commands.append(command) or write(command))

    assert session.append(*["one"] * count).json()["last"] == count + 1

    assert [command.appending for command in commands] == [shares]


def test_a_second_run_on_the_thread_waits_until_the_first_has_ended(client, clock):
    first, second = (open_session(client, clock(), run_id=run_id) for run_id in ("1", "2"))
    first.report(thread="issue-1")

    waiting = second.report(thread="issue-1").json()
    finish(first)
    granted = second.report(thread="issue-1").json()

    assert (waiting["decision"], waiting["code"]) == ("wait", "thread-busy")
    assert granted["decision"] == "granted"


def test_a_lease_ends_by_itself(client, clock):
    first = open_session(client, clock(), run_id="1")
    first.report(thread="issue-1", lease_seconds=60)
    clock.advance(seconds=61)

    assert open_session(client, clock(), run_id="2").report(thread="issue-1").json()["decision"] == "granted"


def test_other_threads_are_not_held_up(client, clock):
    open_session(client, clock(), run_id="1").report(thread="issue-1")

    assert open_session(client, clock(), run_id="2").report(thread="issue-2").json()["decision"] == "granted"


def test_the_repositorys_own_limit_of_a_day_is_kept(client, clock):
    decisions = [
        open_session(client, clock(), run_id=str(number)).report(per_day=2).json()["decision"] for number in (1, 2, 3)
    ]
    clock.advance(days=1)

    assert decisions == ["granted", "granted", "refused"]
    assert open_session(client, clock(), run_id="4").report(per_day=2).json()["decision"] == "granted"


def test_a_re_run_is_a_new_attempt_of_the_same_run(client, clock, admin):
    first = open_session(client, clock(), run_id="1")
    first.report()
    finish(first, state="failed", failure_reason="runtime_failed", conclusion="failure")
    again = open_session(client, clock(), run_id="1", run_attempt="2")

    assert again.report().json()["number"] == 1
    run = client.get("/v1/runs/1", headers=admin).json()
    assert [(each["attempt"], each["state"]) for each in run["attempts"]] == [(1, "failed"), (2, "running")]
    assert (run["state"], run["failure_reason"]) == ("running", None)
    assert first.report().json()["code"] == "wrong-state", "the earlier attempt is over"


def test_an_ended_run_is_ended_once(client, clock):
    session = open_session(client, clock())
    session.report()

    first, replayed = finish(session, key="k"), finish(session, key="k")

    assert first.content == replayed.content
    assert replayed.headers["idempotency-replayed"] == "true"
    assert finish(session, state="failed").json()["code"] == "wrong-state"


def test_usage_that_is_told_twice_counts_once(client, clock, deployment, tenant):
    session = open_session(client, clock())
    session.report()

    answers = [finish(session, key="k"), finish(session, key="k"), finish(session, usage={"input_tokens": 9})]

    assert [answer.status_code for answer in answers] == [200, 200, 409]
    assert read_meter(deployment, tenant, "input_tokens") == 5


def read_meter(deployment, tenant, measure):
    from sqlalchemy import func, select

    from coven_action.hosted.store import schema

    statement = select(func.sum(schema.meters.c.amount)).where(schema.meters.c.measure == measure)
    return deployment.read(tenant, lambda reading: reading.fetch_one(statement))[0]


def test_an_attempt_whose_end_comes_late_does_not_end_the_next(client, clock):
    first = open_session(client, clock(), run_id="1")
    first.report()
    open_session(client, clock(), run_id="1", run_attempt="2").report()

    late = finish(first).json()

    assert (late["attempt"], late["state"], late["conclusion"]) == (2, "running", None)
    assert finish(first).json()["code"] == "wrong-state", "it has ended once"


def test_the_usage_of_each_attempt_counts(client, clock, deployment, tenant):
    for attempt in ("1", "2"):
        session = open_session(client, clock(), run_id="1", run_attempt=attempt)
        session.report()
        finish(session)

    assert read_meter(deployment, tenant, "input_tokens") == 10


@pytest.mark.parametrize(
    ("path", "document"),
    [
        ("/v1/runs/self/events", {"events": [{"type": "note", "at": "2026-11-21T12:00:00Z", "data": {}}]}),
        ("/v1/runs/self/finish", FINISH),
    ],
)
def test_a_run_that_was_not_reported_says_nothing(client, clock, path, document):
    answer = open_session(client, clock()).send("POST", path, document)

    assert (answer.status_code, answer.json()["code"]) == (404, "no-such-resource")


@pytest.mark.parametrize("change", [{"attempt": 2}, {"event_name": "push"}])
def test_a_report_that_contradicts_the_signed_claims_is_refused(client, clock, change):
    assert open_session(client, clock()).report(**change).status_code == 422


def test_too_many_events_are_refused_and_the_end_is_not(client, clock, mocker):
    mocker.patch("coven_action.hosted.services.events.MAX_EVENTS_OF_RUN", 3)
    mocker.patch("coven_action.hosted.services.events.EARLY_WARNING_EVENTS", 2)
    session = open_session(client, clock())
    session.report()

    accepted, refused = session.append("1", "2"), session.append("3", "4")

    assert accepted.json()["left"] == 1
    assert (refused.status_code, refused.json()["code"]) == (429, "too-many-events")
    assert finish(session).status_code == 200


def test_runs_are_listed_newest_first_page_by_page(client, clock, admin):
    for number in range(1, 6):
        open_session(client, clock(), run_id=str(number)).report()

    first = client.get("/v1/runs", headers=admin, params={"limit": 2}).json()
    second = client.get("/v1/runs", headers=admin, params={"limit": 2, "before": first["next"]}).json()
    last = client.get("/v1/runs", headers=admin, params={"limit": 2, "before": second["next"]}).json()

    assert [[run["number"] for run in page["runs"]] for page in (first, second, last)] == [[5, 4], [3, 2], [1]]
    assert last["next"] is None


def test_runs_are_filtered(client, clock, admin):
    open_session(client, clock(), run_id="1").report()
    ended = open_session(client, clock(), run_id="2")
    ended.report()
    finish(ended)

    by_state = client.get("/v1/runs", headers=admin, params={"state": "review"}).json()["runs"]
    by_repository = client.get("/v1/runs", headers=admin, params={"repository_id": 7}).json()["runs"]

    assert ([run["number"] for run in by_state], by_repository) == ([2], [])


def test_the_events_of_one_run_are_its_own(client, clock, admin):
    for run_id in ("1", "2"):
        session = open_session(client, clock(), run_id=run_id)
        session.report()
        session.append(f"of {run_id}")

    events = client.get("/v1/runs/2/events", headers=admin).json()["events"]

    assert [event["data"].get("text") for event in events if event["type"] == "note"] == ["of 2"]


@pytest.mark.parametrize("cursor", ["1", "e", "e-1", "e99", "x1", "e1 ", "e" + "9" * 30])
def test_a_cursor_that_was_not_given_is_refused(client, admin, cursor):
    answer = client.get("/v1/events", headers=admin, params={"cursor": cursor})

    assert (answer.status_code, answer.json()["code"]) == (400, "cursor-invalid")


def test_a_cursor_below_the_floor_is_told_with_where_to_go_on(client, clock, admin, deployment, tenant):
    from sqlalchemy import update

    from coven_action.hosted.store import schema

    session = open_session(client, clock())
    session.report()
    session.append("1", "2")
    deployment.write(tenant, lambda transaction: transaction.execute(update(schema.heads).values(event_floor=2)))

    answer = client.get("/v1/events", headers=admin, params={"cursor": "e1"})

    assert (answer.status_code, answer.json()["code"], answer.json()["cursor"]) == (410, "cursor-expired", "e2")
    assert [event["seq"] for event in client.get("/v1/events", headers=admin).json()["events"]] == [3]


@pytest.mark.parametrize("path", ["/v1/runs", "/v1/runs/1", "/v1/runs/1/events", "/v1/events"])
def test_what_people_see_a_run_does_not(client, clock, path):
    session = open_session(client, clock())
    session.report()

    answer = session.send("GET", path)

    assert (answer.status_code, answer.json()["code"]) == (403, "not-permitted")


def test_what_a_run_reports_a_person_does_not(client, admin):
    answer = client.post("/v1/runs/self/finish", headers=admin, json=FINISH)

    assert (answer.status_code, answer.json()["code"]) == (403, "not-permitted")


def test_another_accounts_run_is_not_found(client, clock, other_tenant):
    open_session(client, clock()).report()
    from tests.hosted.deployment import ADMIN_TOKEN

    headers = {"Authorization": f"Bearer {ADMIN_TOKEN}", "Coven-Tenant": "globex"}
    missing = client.get("/v1/runs/1", headers=headers)

    assert (missing.status_code, missing.content) == (404, client.get("/v1/runs/999", headers=headers).content)
    assert client.get("/v1/events", headers=headers).json()["events"] == []


def sweep_now(deployment, tenant):
    from coven_action.hosted.services.retention import sweep

    return deployment.write(tenant, sweep).counts


def read_state(client, admin, number=1):
    run = client.get(f"/v1/runs/{number}", headers=admin).json()
    return run["state"], run["failure_reason"]


def test_a_run_whose_lease_is_over_was_lost_until_it_says_how_it_ended(client, clock, admin, deployment, tenant):
    session = open_session(client, clock())
    session.report(lease_seconds=60)
    before = sweep_now(deployment, tenant)
    clock.advance(seconds=61)
    after = sweep_now(deployment, tenant)

    assert ("runs" in before, after["runs"]) == (False, 1)
    assert read_state(client, admin) == ("failed", "lease_expired")
    assert finish(session).status_code == 200
    assert read_state(client, admin) == ("review", None)


def test_a_run_that_waited_for_a_day_waits_no_more(client, clock, admin, deployment, tenant):
    open_session(client, clock(), run_id="1").report(thread="issue-1", lease_seconds=86_400)
    open_session(client, clock(), run_id="2").report(thread="issue-1")
    clock.advance(days=1, seconds=1)
    sweep_now(deployment, tenant)

    assert read_state(client, admin, 1) == ("failed", "lease_expired")
    assert read_state(client, admin, 2) == ("cancelled", None)
    for number in (1, 2):
        run = client.get(f"/v1/runs/{number}", headers=admin).json()
        (attempt,) = run["attempts"]
        assert {name: run[name] for name in ("state", "failure_reason", "finished_at")}.items() <= attempt.items()


def test_a_new_run_goes_on_from_what_earlier_ones_left_for_review(client, clock, admin):
    for run_id, state in (("1", "review"), ("2", "done"), ("3", "needs_input")):
        session = open_session(client, clock(), run_id=run_id)
        session.report(thread="issue-1")
        finish(session, state=state)
    open_session(client, clock(), run_id="4").report(thread="issue-2")
    open_session(client, clock(), run_id="5").report(thread="issue-1")

    states = [read_state(client, admin, number)[0] for number in range(1, 6)]
    assert states == ["superseded", "done", "superseded", "running", "running"]
