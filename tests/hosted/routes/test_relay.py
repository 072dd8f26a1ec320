"""What earlier runs could not deliver, handed over by a later run of the repository."""

import base64
import json

import pytest
from nacl.public import PublicKey, SealedBox

from coven_action.core.endpoint.relaying import REFUSAL_STATUSES
from coven_action.hosted.app import ROUTERS
from coven_action.hosted.services.relay import ROUTES
from tests.hosted.databases import ON_BOTH_SLOWLY
from tests.hosted.deployment import make_report, open_session
from tests.hosted.routes.test_runs import FINISH

REPOSITORY = 1001


def envelope(kind, body, *, run_id=5, attempt=1, key=None, repository_id=REPOSITORY):
    return {
        "kind": kind,
        "key": key or f"{repository_id}:{run_id}:{attempt}:{kind}:publish",
        "repository_id": repository_id,
        "run_id": run_id,
        "run_attempt": attempt,
        "created_at": "2026-11-21T11:00:00Z",
        "body": json.dumps(body),
    }


def relay(session, *envelopes, sealed=()):
    answer = session.send("POST", "/v1/relay", {"envelopes": envelopes, "sealed": sealed})
    assert answer.status_code == 200, answer.text
    return [(verdict["accepted"], verdict["reason"]) for verdict in answer.json()["verdicts"]]


def report_of(session, run_id=5):
    return envelope("report", make_report({**session.document, "run_id": run_id, "run_attempt": 1}), run_id=run_id)


def events(*texts):
    listed = [{"type": "note", "at": "2026-11-21T11:00:00Z", "data": {"text": text}} for text in texts]
    return {"events": listed}


def test_every_kind_of_envelope_goes_where_its_route_does():
    routes = {(route.name, route.path, route.status_code) for router in ROUTERS for route in router.routes}

    assert {(route.name, route.path, route.status) for route in ROUTES.values()} <= routes


@ON_BOTH_SLOWLY
def test_a_run_that_could_not_be_reported_is_shown_when_it_is_over(client, clock, admin):
    session = open_session(client, clock(), run_id="9")

    verdicts = relay(session, report_of(session), envelope("events", events("late")), envelope("finish", FINISH))

    assert verdicts == [(True, "")] * 3
    run = client.get("/v1/runs/1", headers=admin).json()
    assert (run["run_id"], run["state"]) == (5, "review")
    assert [event["type"] for event in client.get("/v1/runs/1/events", headers=admin).json()["events"]] == [
        "run.relayed",
        "note",
        "run.finished",
    ]


@ON_BOTH_SLOWLY
def test_what_did_arrive_the_first_time_is_not_done_again(client, clock, admin):
    earlier = open_session(client, clock(), run_id="5")
    earlier.report()
    earlier.send("POST", "/v1/runs/self/events", events("once"), key="1001:5:1:events:publish")

    verdicts = relay(open_session(client, clock(), run_id="9"), envelope("events", events("once")))

    assert verdicts == [(True, "")]
    notes = [e for e in client.get("/v1/events", headers=admin).json()["events"] if e["type"] == "note"]
    assert len(notes) == 1


@ON_BOTH_SLOWLY
def test_a_key_that_has_carried_something_else_is_told(client, clock):
    earlier = open_session(client, clock(), run_id="5")
    earlier.report()
    earlier.send("POST", "/v1/runs/self/events", events("one"), key="1001:5:1:events:publish")

    verdicts = relay(open_session(client, clock(), run_id="9"), envelope("events", events("other")))

    assert verdicts == [(False, "its key has carried another request")]


@ON_BOTH_SLOWLY
def test_the_words_of_another_repositorys_run_are_not_taken(client, clock):
    verdicts = relay(open_session(client, clock()), envelope("finish", FINISH, repository_id=2001))

    assert verdicts == [(False, "it is another repository's")]


@ON_BOTH_SLOWLY
@pytest.mark.parametrize("body", [{}, {"state": "queued"}, []])
def test_a_body_that_is_none_is_told_and_stops_no_other(client, clock, body):
    session = open_session(client, clock(), run_id="9")

    verdicts = relay(session, report_of(session), envelope("finish", body), envelope("events", events("x")))

    assert [accepted for accepted, _ in verdicts] == [True, False, True]


@ON_BOTH_SLOWLY
def test_a_run_that_never_had_a_session_proposes_nothing(client, clock):
    session = open_session(client, clock(), run_id="9")
    proposal = {
        "key": "facts/build",
        "kind": "fact",
        "text": "Run make.",
        "citations": [{"path": "Makefile", "start": 1, "end": 1, "sha256": "a" * 64}],
    }

    verdicts = relay(session, report_of(session), envelope("proposals", {"proposals": [proposal]}))

    assert [accepted for accepted, _ in verdicts] == [True, False]


@ON_BOTH_SLOWLY
@pytest.mark.parametrize(
    "spoil",
    [{"kind": "gossip"}, {"key": "two words"}, {"run_attempt": 0}, {"body": "x" * 2_000_000}, {"new_field": 1}],
    ids=lambda spoil: next(iter(spoil)),
)
def test_an_envelope_that_is_none_is_refused_with_a_status_by_which_the_run_sets_it_aside(client, clock, spoil):
    """A newer run may keep what an older endpoint does not know; what comes behind it is handed over all the same."""
    session = open_session(client, clock(), run_id="9")
    bad = {**report_of(session), **spoil}

    answer = session.send("POST", "/v1/relay", {"envelopes": [bad, report_of(session)], "sealed": []})

    assert answer.status_code in REFUSAL_STATUSES
    assert relay(session, report_of(session)) == [(True, "")]


def seal(document, seal_key):
    box = SealedBox(PublicKey(base64.b64decode(seal_key)))
    return base64.b64encode(box.encrypt(json.dumps(document).encode())).decode()


@ON_BOTH_SLOWLY
def test_a_sealed_envelope_is_opened_here_alone(client, clock):
    session = open_session(client, clock(), run_id="9")
    key = session.document["seal_key"]
    foreign = seal(report_of(session), base64.b64encode(b"\x09" + bytes(31)).decode())

    verdicts = relay(
        session, sealed=[seal(report_of(session), key), foreign, "no base64!", seal({"no": "envelope"}, key)]
    )

    assert [accepted for accepted, _ in verdicts] == [True, False, False, False]


@ON_BOTH_SLOWLY
def test_relaying_asks_for_a_key_like_every_write(client, clock):
    session = open_session(client, clock())

    answer = client.post("/v1/relay", json={}, headers=session.headers)

    assert (answer.status_code, answer.json()["code"]) == (400, "idempotency-key-missing")
