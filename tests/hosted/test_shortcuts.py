"""Routes found by a look into a table: the same answers as by the framework, and nothing that takes parameters."""

import pytest

from coven_action.hosted.app import build_routes
from coven_action.hosted.description import describe_api
from coven_action.hosted.shortcuts import Shortcuts
from tests.hosted.deployment import open_session


def list_shortcuts(app):
    (table,) = (route for route in app.router.routes if isinstance(route, Shortcuts))
    return table


def test_the_busiest_routes_are_in_the_table_and_those_with_parameters_are_not():
    listed = set(list_shortcuts(build_routes())._routes)

    assert {
        ("POST", "/v1/session"),
        ("PUT", "/v1/runs/self"),
        ("POST", "/v1/runs/self/events"),
        ("POST", "/v1/runs/self/finish"),
    } <= listed
    assert not [path for _, path in listed if "{" in path]
    assert ("GET", "/v1/runs") not in listed


def test_the_description_does_not_know_of_the_table():
    app, plain = build_routes(), build_routes()
    plain.router.routes.remove(list_shortcuts(plain))

    assert describe_api(app) == describe_api(plain)


REQUESTS = {
    "done": ("POST", "/v1/runs/self/events", b'{"events": [{"type": "note", "at": "2026-11-21T12:00:00Z"}]}', {}),
    "no JSON": ("POST", "/v1/runs/self/events", b"{", {}),
    "a wrong document": ("POST", "/v1/runs/self/events", b'{"events": []}', {}),
    "another media type": ("POST", "/v1/runs/self/events", b"{}", {"Content-Type": "text/plain"}),
    "too much": ("POST", "/v1/runs/self/events", b" " * 1_100_000, {}),
    "no key": ("POST", "/v1/runs/self/finish", b'{"state": "done"}', {"Idempotency-Key": ""}),
    "a wrong method": ("DELETE", "/v1/runs/self/events", b"{}", {}),
    "a slash too many": ("POST", "/v1/runs/self/events/", b"{}", {}),
    "no such path": ("POST", "/v1/runs/self/nothing", b"{}", {}),
    "parameters nobody asked for": ("PUT", "/v1/runs/self?x=1", b"{}", {}),
    "nobody's token": ("POST", "/v1/runs/self/events", b"{}", {"Authorization": "Bearer x"}),
}


@pytest.mark.parametrize("case", REQUESTS)
def test_a_request_is_answered_as_without_the_table(client, clock, case):
    method, path, body, headers = REQUESTS[case]
    session = open_session(client, clock())
    assert session.report().status_code == 200
    sent = {**session.headers, "Content-Type": "application/json", "Idempotency-Key": "key", **headers}

    first = client.request(method, path, content=body, headers=sent)
    client.app.router.routes.remove(list_shortcuts(client.app))
    second = client.request(method, path, content=body, headers=sent)

    replayed = {"idempotency-replayed"} if first.is_success else set()
    assert (second.status_code, second.content) == (first.status_code, first.content)
    assert set(second.headers) - replayed == set(first.headers)
