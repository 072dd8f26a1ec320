"""The fixtures themselves: a run's way through the application, so that a fault in them is not sought elsewhere."""

from tests.hosted.deployment import open_session


def test_a_run_reports_appends_and_finishes(client, clock, admin):
    session = open_session(client, clock(), run_id="5")

    assert session.document["run_id"] == 5
    assert session.report().json()["decision"] == "granted"
    assert session.append("one", "two").status_code == 202
    assert session.send("POST", "/v1/runs/self/finish", {"state": "done"}).status_code == 200
    assert client.get("/v1/runs/1", headers=admin).json()["state"] == "done"
    assert [each["data"] for each in client.get("/v1/runs/1/events", headers=admin).json()["events"][1:3]] == [
        {"text": "one"},
        {"text": "two"},
    ]


def test_the_clock_is_the_tests(client, clock):
    session = open_session(client, clock())
    clock.advance(minutes=16)

    assert session.report().status_code == 401


def test_a_session_is_no_longer_than_it_may_be_whatever_the_clock_does(client, clock):
    session = open_session(client, clock())
    assert session.report().status_code == 200
    clock.advance(seconds=-20)
    assert session.report().status_code == 200
    clock.advance(hours=-1)

    assert session.report().status_code == 401
