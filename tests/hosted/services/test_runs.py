"""What becomes of runs that wait, are refused, are lost, begin again and say late how they ended; and what is counted of them."""

from datetime import UTC, datetime

import pytest

from coven_action.core.endpoint.admission import GIVEN_UP_SECONDS, WAIT_SECONDS
from coven_action.hosted.services.enrolment import TenantEnrolment, enrol_tenant
from coven_action.hosted.services.metering import find_differences
from coven_action.hosted.services.retention import sweep
from tests.hosted.databases import ON_BOTH_SLOWLY
from tests.hosted.deployment import make_policy, make_report, open_session
from tests.hosted.memory_world import world
from tests.hosted.routes.test_relay import envelope, relay
from tests.hosted.routes.test_runs import finish
from tests.identity_tokens import ISSUER

pytestmark = ON_BOTH_SLOWLY

__all__ = ["world"]
THREAD = "issue-1"
BEFORE_MIDNIGHT = datetime(2026, 11, 21, 23, 59, 50, tzinfo=UTC)


@pytest.fixture
def start(client, clock):
    """Opens a session of a run, now: `start(5)`, `start(5, 2)` for its second attempt."""

    def open_one(run_id, attempt=1, **claims):
        return open_session(client, clock(), run_id=str(run_id), run_attempt=str(attempt), **claims)

    return open_one


def decide(session, **changes):
    """Report a run on the thread of these tests, and return what it is told."""
    return session.report(thread=THREAD, **changes).json()["decision"]


def read_run(client, admin, number=1):
    return client.get(f"/v1/runs/{number}", headers=admin).json()


def list_attempts(client, admin, number=1):
    attempts = read_run(client, admin, number)["attempts"]
    return [(each["attempt"], each["state"], each["failure_reason"]) for each in attempts]


def read_usage(client, admin, *groups):
    asked = {"since": "2026-11-01", "until": "2026-12-31", "group": ",".join(groups)}
    rows = client.get("/v1/usage", headers=admin, params=asked).json()["rows"]
    return {(*row["group"].values(), row["measure"]): row["amount"] for row in rows}


# --- who waits, and who does not any more


@pytest.mark.parametrize(("passed", "decision"), [(GIVEN_UP_SECONDS, "wait"), (GIVEN_UP_SECONDS + 1, "granted")])
def test_a_run_that_asks_no_more_holds_nobody_up(start, clock, passed, decision):
    holder, waiting = start(1), start(2)
    assert [decide(holder), decide(waiting)] == ["granted", "wait"]
    finish(holder)
    clock.advance(seconds=passed)

    assert decide(start(3)) == decision


def test_a_run_that_goes_on_asking_keeps_its_place(start, clock):
    holder, second, third = (start(number) for number in (1, 2, 3))
    assert [decide(each) for each in (holder, second, third)] == ["granted", "wait", "wait"]
    for _ in range(5):
        clock.advance(seconds=WAIT_SECONDS)
        assert [decide(third), decide(second)] == ["wait", "wait"]
    finish(holder)

    assert [decide(third), decide(second)] == ["wait", "granted"]


def test_a_run_that_comes_back_after_it_gave_up_waits_from_then_on(start, clock):
    holder, second, third = (start(number) for number in (1, 2, 3))
    assert [decide(holder), decide(second)] == ["granted", "wait"]
    clock.advance(minutes=5)
    assert decide(third) == "wait"
    clock.advance(seconds=1)
    assert decide(second) == "wait"
    finish(holder)

    assert [decide(second), decide(third)] == ["wait", "granted"]


def test_a_new_attempt_waits_from_its_own_beginning(start, clock):
    earlier = start(1)
    decide(earlier)
    finish(earlier, state="failed")
    holder, waiting = start(2), start(3)
    assert [decide(holder), decide(waiting)] == ["granted", "wait"]
    again = start(1, 2)
    clock.advance(seconds=1)
    assert decide(again) == "wait"
    finish(holder)

    assert [decide(again), decide(waiting)] == ["wait", "granted"]


def test_a_run_that_says_it_waits_no_more_holds_nobody_up_from_then_on(start, client, admin):
    holder, waiting = start(1), start(2)
    assert [decide(holder), decide(waiting)] == ["granted", "wait"]
    finish(waiting, state="cancelled", failure_reason="declined", conclusion=None)
    finish(holder)

    assert decide(start(3)) == "granted"
    assert list_attempts(client, admin, 2) == [(1, "cancelled", "declined")]


def test_a_run_that_is_refused_is_over_with_its_reason_and_holds_nobody_up(start, client, admin, clock):
    first = start(1)
    assert decide(first, per_day=1) == "granted"
    finish(first)

    refused = start(2).report(thread=THREAD, per_day=1).json()

    assert (refused["decision"], refused["code"], refused["state"]) == ("refused", "quota-exceeded", "cancelled")
    assert list_attempts(client, admin, 2) == [(1, "cancelled", "declined")]
    (told,) = (each for each in client.get("/v1/runs/2/events", headers=admin).json()["events"])
    assert (told["type"], "limits.per_day of 1" in told["data"]["reason"]) == ("run.refused", True)
    clock.advance(days=1)
    assert decide(start(3), per_day=1) == "granted"


def test_a_run_that_was_refused_may_ask_again(start, client, admin, clock):
    clock.moment = BEFORE_MIDNIGHT
    first, second = start(1), start(2)
    assert [each.report(per_day=1).json()["decision"] for each in (first, second)] == ["granted", "refused"]
    clock.advance(seconds=20)

    assert second.report(per_day=1).json()["decision"] == "granted"
    assert list_attempts(client, admin, 2) == [(1, "running", None)]
    assert read_run(client, admin, 2)["finished_at"] is None


def test_a_run_that_was_reported_when_it_was_over_waits_for_nothing(start):
    session = start(9)
    body = make_report({**session.document, "run_id": 5, "run_attempt": 1}, thread=THREAD)
    assert relay(session, envelope("report", body)) == [(True, "")]

    # A pull request's claims are the least trusted, like those of a run that never had a session: who came first decides.
    assert decide(start(6, event_name="pull_request"), event_name="pull_request") == "granted"


def test_a_later_attempt_that_was_reported_when_it_was_over_waits_for_nothing(start):
    earlier = start(5)
    assert decide(earlier) == "granted"
    finish(earlier, state="failed")
    body = make_report({**earlier.document, "run_attempt": 2}, thread=THREAD)
    assert relay(start(9), envelope("report", body, attempt=2)) == [(True, "")]

    assert decide(start(6, event_name="pull_request"), event_name="pull_request") == "granted"


# --- how an attempt ends


LATE = {
    "its lease expired": {"lease_seconds": 60},
    "it waited for a day": {"before": {}},
    "it was refused": {"before": {"per_day": 1}, "per_day": 1},
}


@pytest.mark.parametrize("case", LATE.values(), ids=LATE)
def test_the_end_that_a_run_says_takes_the_place_of_ours(start, client, admin, clock, deployment, tenant, case):
    other = start(1)
    other.report(**{"thread": THREAD, "lease_seconds": 86_400, **case["before"]} if "before" in case else {})
    session = start(2)
    session.report(thread=THREAD, **{name: value for name, value in case.items() if name != "before"})
    clock.advance(days=1, seconds=1)
    deployment.write(tenant, sweep)
    (guessed,) = list_attempts(client, admin, 2)
    assert guessed[1] in {"failed", "cancelled"}

    late = start(2)
    assert finish(late, state="done", conclusion="success").status_code == 200

    assert list_attempts(client, admin, 2) == [(1, "done", None)]
    assert (read_run(client, admin, 2)["state"], read_run(client, admin, 2)["conclusion"]) == ("done", "success")
    assert finish(late, state="failed").json()["code"] == "wrong-state"
    assert read_usage(client, admin)["input_tokens",] == 5


def test_that_its_lease_expired_is_no_end_that_a_run_may_say(start, client, admin):
    session = start(1)
    session.report()

    answers = [finish(session, state="failed", failure_reason="lease_expired") for _ in range(3)]

    assert [answer.status_code for answer in answers] == [422] * 3
    assert (read_run(client, admin)["state"], "input_tokens" in str(read_usage(client, admin))) == ("running", False)


def test_an_attempt_that_has_ended_begins_no_more(start, client, admin):
    session = start(1)
    session.report(thread=THREAD)
    finish(session)

    answer = session.report(thread=THREAD, lease_seconds=7_200)

    assert (answer.status_code, answer.json()["code"]) == (409, "wrong-state")
    assert (read_run(client, admin)["state"], read_run(client, admin)["lease_until"]) == ("review", None)
    assert decide(start(2)) == "granted"


def test_the_very_report_of_an_attempt_that_has_ended_is_answered_as_before(start, client, admin):
    session = start(1)
    report = make_report(session.document)
    first = session.send("PUT", "/v1/runs/self", report, key="k")
    finish(session)

    again = session.send("PUT", "/v1/runs/self", report, key="k")

    assert (again.content, again.headers["idempotency-replayed"]) == (first.content, "true")
    assert read_run(client, admin)["state"] == "review"


def test_the_end_of_an_earlier_attempt_is_its_own_and_is_counted_once(start, client, admin):
    first = start(1)
    first.report(thread=THREAD)
    second = start(1, 2)
    assert decide(second) == "granted"
    assert list_attempts(client, admin) == [(1, "failed", "lease_expired"), (2, "running", None)]

    answers = [finish(first), finish(first)]

    assert [answer.status_code for answer in answers] == [200, 409]
    assert list_attempts(client, admin) == [(1, "review", None), (2, "running", None)]
    assert decide(start(2)) == "wait", "the thread is the later attempt's"
    assert finish(second, state="done").status_code == 200
    assert read_run(client, admin)["state"] == "done"
    assert read_usage(client, admin)["input_tokens",] == 10


def test_an_earlier_attempt_that_waited_is_over_when_the_next_begins(start, client, admin):
    assert [decide(start(1)), decide(start(2)), decide(start(2, 2))] == ["granted", "wait", "wait"]

    assert list_attempts(client, admin, 2) == [(1, "cancelled", None), (2, "queued", None)]


def test_a_new_attempt_of_an_old_run_is_given_its_day(start, client, admin, clock, deployment, tenant):
    earlier = start(1)
    earlier.report()
    finish(earlier, state="failed")
    clock.advance(days=2)
    assert [decide(start(2)), decide(start(1, 2))] == ["granted", "wait"]

    deployment.write(tenant, sweep)

    assert list_attempts(client, admin)[-1] == (2, "queued", None)


def test_a_swept_run_and_its_attempt_are_shown_as_they_ended(start, client, admin, clock, deployment, tenant):
    assert [decide(start(1), lease_seconds=86_400), decide(start(2))] == ["granted", "wait"]
    clock.advance(days=1, seconds=1)
    deployment.write(tenant, sweep)

    for number, state, reason in ((1, "failed", "lease_expired"), (2, "cancelled", None)):
        run = read_run(client, admin, number)
        (attempt,) = run["attempts"]
        assert (run["state"], attempt["state"], attempt["failure_reason"]) == (state, state, reason)
        assert attempt["finished_at"] == run["finished_at"] == "2026-11-22T12:00:01Z"
        page = client.get(f"/runs/{number}", headers=admin).text
        assert not {"<td>running</td>", "<td>queued</td>"} & set(page.replace("\n", "").split(" "))
        assert f"<td>1</td><td>{state}</td>" in page


# --- what is relayed


def relay_as(world, run_id, attempt, *bodies):
    """Relay what an attempt could not say itself, by a run of its own."""
    listed = [envelope(kind, body, run_id=run_id, attempt=attempt) for kind, body in bodies]
    return relay(world.open(), *listed)


ENDED = {"state": "done", "usage": {"input_tokens": 5}}
PROPOSAL = {
    "key": "facts/build",
    "kind": "fact",
    "text": "The build takes ten minutes.",
    "citations": [{"path": "Makefile", "start": 1, "end": 1, "sha256": "a" * 64}],
}
PULL_REQUEST = {"event_name": "pull_request"}


@pytest.mark.parametrize(
    ("earlier", "later", "taken"),
    [({}, PULL_REQUEST, True), (PULL_REQUEST, {}, False)],
    ids=["a trusted one before another", "another before a trusted one"],
)
def test_what_an_earlier_attempt_proposed_is_weighed_by_its_own_claims(world, earlier, later, taken):
    for attempt, claims in (("1", earlier), ("2", later)):
        session = world.open(5, run_attempt=attempt, **claims)
        assert session.report(**claims).status_code == 200

    verdicts = relay_as(world, 5, 1, ("proposals", {"proposals": [PROPOSAL]}))

    assert [accepted for accepted, _ in verdicts] == [taken]
    assert len(world.list_ids()) == taken


@pytest.mark.parametrize(("doubtful", "trusted"), [(1, 2), (2, 1)], ids=["the earlier", "the later"])
def test_what_an_attempt_proposed_is_trusted_as_that_attempt_reported(world, doubtful, trusted):
    for attempt, trust in sorted({doubtful: "collaborator", trusted: "maintainer"}.items()):
        world.report(world.open(5, run_attempt=str(attempt)), trust=trust)

    assert relay_as(world, 5, doubtful, ("proposals", {"proposals": [PROPOSAL]})) == [(True, "")]

    (memory_id,) = world.list_ids()
    (waiting,) = world.read(memory_id)["waiting"]
    assert waiting["trust_scope"] == "collaborator", "policy would have approved it of a maintainer"


def test_the_end_and_the_uses_of_an_earlier_attempt_are_taken_and_counted_once(world, client, admin):
    memory_id = world.remember()
    version = world.read(memory_id)["version"]
    first = world.start(5)
    assert world.offer(first, "rounding") == [memory_id]
    world.report(world.open(5, run_attempt="2"))
    use = {"id": memory_id, "version": version, "kind": "cited", "reference": ""}

    for _ in range(2):
        assert relay_as(world, 5, 1, ("uses", {"uses": [use]}), ("finish", ENDED)) == [(True, "")] * 2

    assert world.list_uses(memory_id) == [(5, "cited"), (5, "offered")]
    run = next(each for each in client.get("/v1/runs", headers=admin).json()["runs"] if each["run_id"] == 5)
    assert list_attempts(client, admin, run["number"]) == [(1, "done", None), (2, "running", None)]
    assert read_usage(client, admin)["input_tokens",] == 5


def test_a_later_attempt_that_could_not_report_itself_is_shown_when_it_is_over(world, client, admin):
    earlier = world.start(5)
    finish(earlier, state="failed", failure_reason="runtime_failed")
    report = make_report({**earlier.document, "run_attempt": 2})

    assert relay_as(world, 5, 2, ("report", report), ("finish", ENDED)) == [(True, "")] * 2

    assert list_attempts(client, admin) == [(1, "failed", "runtime_failed"), (2, "done", None)]
    assert (read_run(client, admin)["attempt"], read_run(client, admin)["state"]) == (2, "done")


@pytest.mark.parametrize(
    ("passed", "attempt", "state"),
    [(600, 2, "queued"), (599, 1, "running")],
    ids=["its lease is over", "it holds its thread"],
)
def test_what_is_told_of_a_later_attempt_takes_nothing_from_one_that_is_at_work(
    world, client, admin, clock, passed, attempt, state
):
    earlier = world.start(5)
    clock.advance(seconds=passed)
    report = make_report({**earlier.document, "run_attempt": 2})

    assert relay_as(world, 5, 2, ("report", report)) == [(True, "")]

    run = read_run(client, admin)
    assert (run["attempt"], run["state"], run["lease_until"] is None) == (attempt, state, attempt == 2)
    assert [each["attempt"] for each in run["attempts"]] == [1, 2]
    assert relay_as(world, 5, 2, ("finish", ENDED)) == [(True, "")]
    assert list_attempts(client, admin)[1] == (2, "done", None)


def test_what_is_told_of_a_later_attempt_takes_no_place_from_one_that_waits(start, client, admin, clock):
    holder, waiting = start(1), start(2)
    assert [decide(holder), decide(waiting)] == ["granted", "wait"]
    told = envelope("report", make_report({**waiting.document, "run_attempt": 2}), run_id=2, attempt=2)

    assert relay(start(9), told) == [(True, "")]

    finish(holder)
    assert [decide(start(3)), decide(waiting)] == ["wait", "granted"]


def test_an_attempt_that_was_told_of_before_it_begins_speaks_for_itself(world, client, admin):
    first = world.start(5)
    told = make_report({**first.document, "run_attempt": 2})
    assert relay_as(world, 5, 2, ("report", told)) == [(True, "")]
    assert list_attempts(client, admin) == [(1, "running", None), (2, "cancelled", None)]
    second = world.open(5, run_attempt="2")

    assert second.report().json()["state"] == "running"

    assert list_attempts(client, admin) == [(1, "failed", "lease_expired"), (2, "running", None)]
    assert [finish(second).status_code, finish(first).status_code] == [200, 200]


def test_an_attempt_whose_end_was_told_of_before_it_begins_has_ended(world):
    first = world.start(5)
    told = make_report({**first.document, "run_attempt": 2})
    relay_as(world, 5, 2, ("report", told), ("finish", ENDED))

    assert world.open(5, run_attempt="2").report().json()["code"] == "wrong-state"


def test_a_report_that_is_another_attempts_than_its_envelope_says_is_not_taken(world, client, admin):
    report = make_report({**world.open(5).document, "run_attempt": 7})

    assert relay_as(world, 5, 1, ("report", report)) == [
        (False, "The report names another attempt than the one it is relayed for.")
    ]
    assert client.get("/v1/runs", headers=admin).json()["runs"] == []


def test_an_earlier_attempt_that_could_not_report_itself_is_added_and_changes_nothing_else(world, client, admin):
    later = world.start(5, claims={"run_attempt": "2"})
    report = make_report({**later.document, "run_attempt": 1}, familiar="owl")

    assert relay_as(world, 5, 1, ("report", report)) == [(True, "")]
    assert list_attempts(client, admin) == [(1, "cancelled", None), (2, "running", None)]
    assert relay_as(world, 5, 1, ("finish", ENDED), ("proposals", {"proposals": [PROPOSAL]})) == [
        (True, ""),
        (False, "The run's claims allow no proposal: the run never had a session."),
    ]

    run = read_run(client, admin)
    assert (run["attempt"], run["state"], run["familiar"], run["lease_until"] is None) == (2, "running", "sage", False)
    assert list_attempts(client, admin) == [(1, "done", None), (2, "running", None)]
    assert read_usage(client, admin, "familiar")["owl", "input_tokens"] == 5


# --- what is counted, and on which day


def test_a_run_of_yesterday_that_begins_again_is_one_more_task_of_today(start, client, admin, clock):
    yesterday = start(1)
    assert yesterday.report(per_day=1).json()["decision"] == "granted"
    finish(yesterday, state="failed")
    clock.advance(days=1)
    today = start(2)
    assert today.report(per_day=1).json()["decision"] == "granted"

    assert start(1, 2).report(per_day=1).json()["decision"] == "refused"
    assert start(1, 3).report(per_day=2).json()["decision"] == "granted"
    runs = {day: amount for (day, measure), amount in read_usage(client, admin, "day").items() if measure == "runs"}
    assert runs == {"2026-11-21": 1, "2026-11-22": 2}


def test_a_run_of_today_that_begins_again_is_no_further_task(start, client, admin):
    first = start(1)
    assert first.report(per_day=1).json()["decision"] == "granted"
    finish(first, state="failed")

    assert start(1, 2).report(per_day=1).json()["decision"] == "granted"
    assert read_usage(client, admin)["runs",] == 1


def test_a_run_that_waited_over_midnight_counts_for_the_day_on_which_it_was_admitted(start, clock):
    clock.moment = BEFORE_MIDNIGHT
    holder, waiting = start(1), start(2)
    assert [decide(holder, per_day=2), decide(waiting, per_day=2)] == ["granted", "wait"]
    clock.advance(seconds=20)
    finish(holder)
    assert decide(waiting, per_day=1) == "granted"

    assert start(3).report(per_day=1).json()["decision"] == "refused"


def test_a_run_at_work_over_midnight_is_not_refused_what_it_has(start, client, admin, clock):
    clock.moment = BEFORE_MIDNIGHT
    session = start(1)
    assert session.report(per_day=1).json()["decision"] == "granted"
    clock.advance(seconds=20)
    assert start(2).report(per_day=1).json()["decision"] == "granted"

    assert session.report(per_day=1).json()["decision"] == "granted"
    runs = {day: amount for (day, measure), amount in read_usage(client, admin, "day").items() if measure == "runs"}
    assert runs == {"2026-11-21": 1, "2026-11-22": 1}


def enrol_installation(deployment, installation):
    enrolment = TenantEnrolment(
        issuer=ISSUER, account_id=501, account_login="acme", installation_id=installation, tier="open"
    )
    deployment.write(0, lambda transaction: enrol_tenant(transaction, enrolment))


@pytest.mark.parametrize(
    ("recorded", "reported", "counted"),
    [(7, None, 7), (None, 9, 9), (7, 9, 7), (None, None, 0)],
    ids=["recorded", "reported", "recorded before reported", "neither"],
)
def test_use_is_counted_by_installation(world, client, admin, deployment, tenant, recorded, reported, counted):
    enrol_installation(deployment, recorded)
    session = world.open(5)
    scope = {"account_id": 501, "account_login": "acme", "installation_id": reported}
    policy = make_policy(1001, trust_scope="maintainer", tenant_scope=scope)
    assert session.report(trust_scope="maintainer", memory_policy=policy).status_code == 200
    session.append("one", "two")
    world.bundle(session, "rounding")
    (verdict,) = world.propose(session, PROPOSAL)
    world.decide(verdict["id"], "approve")
    finish(session)

    usage = read_usage(client, admin, "installation")

    measured = {measure: amount for (installation, measure), amount in usage.items() if installation == counted}
    of_the_run = {"runs": 1, "events": 2, "bundles": 1, "proposals": 1, "input_tokens": 5, "output_tokens": 7}
    of_the_account = {"sessions": 1, "approvals": 1} if counted == recorded or not counted else {}
    assert {**of_the_run, **of_the_account}.items() <= measured.items()
    assert deployment.read(tenant, lambda reading: find_differences(reading, "2026-11-21")) == ()
