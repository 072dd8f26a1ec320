"""A stage's conversation with the endpoint: bounded, repeated under one key, and kept when it cannot be had."""

import json
from datetime import UTC, datetime

import httpx
import pytest

from coven_action.adapters.hosted_endpoint import STAGE_SECONDS, HostedEndpoint, Patience
from coven_action.client import EndpointRefused, EndpointUnreachable, EndpointUnreadable
from coven_action.core.endpoint.wire import (
    AuditHead,
    BundleRequest,
    EventsRequest,
    FinishRequest,
    RelayRequest,
    RunEvent,
)
from coven_action.core.redaction.redactor import Redactor
from coven_action.errors import DocumentError, Error
from tests.core.memory.values import TOKEN

URL = "https://coven.example.com"
NOW = datetime(2026, 11, 21, 12, tzinfo=UTC)
SESSION = {
    "token": "cvs_1_secret", "expires_at": "2026-11-21T12:15:00Z", "tenant_id": 1, "repository_id": 9, "run_id": 7,
    "run_attempt": 1, "tier": "T1", "witness": {"seq": 1, "head": "a" * 64}, "witnessed": "first",
    "scopes": {"read": "repo", "tenant_shared": False, "propose": True, "validate_entries": False, "reason": "ok"},
}  # fmt: skip
ACCEPTED = {"first": 1, "last": 1}
EVENTS = EventsRequest(events=(RunEvent(type="note", at=NOW, data={"text": f"the token is {TOKEN}"}),))


class Server:
    """Answers each request with the next of its answers; an exception is a broken connection."""

    def __init__(self, *answers):
        self.answers = list(answers)
        self.requests = []

    def __call__(self, request):
        self.requests.append(request)
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        if isinstance(answer, Exception):
            raise answer
        return answer


class Time:
    """A clock that moves when somebody sleeps, and by a step with each look."""

    def __init__(self, step=0.0):
        self.now, self.step, self.slept = 0.0, step, []

    def monotonic(self):
        self.now += self.step
        return self.now

    def sleep(self, seconds):
        self.slept.append(seconds)
        self.now += seconds


def good(document, status=200):
    return httpx.Response(status, json=document)


def problem(status, code="overloaded", **headers):
    return httpx.Response(status, json={"code": code, "detail": "said so"}, headers=headers)


def connect(server, *, time=None, kept=None, keeps=True):
    time = time or Time()
    kept = [] if kept is None else kept

    def keep(kind, key, document):
        kept.append((kind, key, document))
        return keeps

    return HostedEndpoint(
        URL,
        request_token=lambda audience: f"id-token-for-{audience}",
        redactor=Redactor.build(),
        keep=keep,
        patience=Patience(monotonic=time.monotonic, sleep=time.sleep, jitter=lambda: 0.5),
        transport=httpx.MockTransport(server),
    )


def test_a_session_is_opened_with_a_token_for_the_endpoint_and_used_from_then_on():
    server = Server(good(SESSION, 201), good(ACCEPTED, 202), httpx.Response(204))
    endpoint = connect(server)

    endpoint.open(AuditHead(seq=1, head="a" * 64))
    endpoint.deliver("events", EVENTS, "key-1")
    endpoint.close()

    first, second, third = server.requests
    assert first.headers["authorization"] == f"Bearer id-token-for-{URL}"
    assert json.loads(first.content)["witness"]["seq"] == 1
    assert second.headers["authorization"] == "Bearer cvs_1_secret"
    assert second.headers["idempotency-key"] == "key-1"
    assert (third.method, third.url.path) == ("DELETE", "/v1/session")


def test_nothing_leaves_with_a_secret_in_it():
    server = Server(good(SESSION, 201), good(ACCEPTED, 202))
    endpoint = connect(server)
    endpoint.open(None)

    endpoint.deliver("events", EVENTS, "key-1")

    assert TOKEN.encode() not in server.requests[1].content


def test_what_has_no_room_for_the_cover_is_neither_sent_nor_kept_and_is_told_without_the_secret():
    kept = []
    server = Server(good(SESSION, 201), good(ACCEPTED, 202))
    endpoint = connect(server, kept=kept)
    endpoint.open(None)

    with pytest.raises(Error) as told:
        endpoint.deliver(
            "finish", FinishRequest(state="done", links={"comment": f"https://github.com/{TOKEN}"}), "key-1"
        )

    assert (told.value.code, len(server.requests), kept) == ("endpoint-not-told", 1, [])
    assert TOKEN not in str(told.value)
    assert "FinishRequest: there is no room for what covers a secret: links.comment" in told.value.message


@pytest.mark.parametrize(
    "first", [httpx.ConnectError("x"), httpx.ReadTimeout("x"), problem(503), problem(429), problem(408)]
)
def test_what_may_be_mended_is_tried_again_under_the_same_key(first):
    server = Server(good(SESSION, 201), first, good(ACCEPTED, 202))
    endpoint = connect(server)
    endpoint.open(None)

    endpoint.deliver("events", EVENTS, "key-1")

    assert [request.headers["idempotency-key"] for request in server.requests[1:]] == ["key-1", "key-1"]


@pytest.mark.parametrize("status", [400, 401, 403, 404, 409, 410, 413, 422, 428])
def test_a_refusal_is_an_answer_and_is_kept_for_nobody(status):
    kept = []
    server = Server(good(SESSION, 201), problem(status, "not-permitted"))
    endpoint = connect(server, kept=kept)
    endpoint.open(None)

    with pytest.raises(EndpointRefused) as refused:
        endpoint.deliver("finish", FinishRequest(state="done"), "key-1")

    assert (refused.value.status, refused.value.problem) == (status, "not-permitted")
    assert (len(server.requests), kept) == (2, [])


@pytest.mark.parametrize(
    ("status", "kind"),
    [(400, DocumentError), (413, DocumentError), (422, DocumentError), (401, EndpointRefused), (403, EndpointRefused),
     (404, EndpointRefused), (409, EndpointRefused), (410, EndpointRefused), (429, EndpointRefused),
     (500, EndpointRefused), (503, EndpointRefused)],
)  # fmt: skip
def test_what_is_refused_of_an_outbox_whoever_brings_it_is_told_apart(status, kind):
    """A document error is about the envelopes; any other refusal may be none for a later run."""
    endpoint = connect(Server(good(SESSION, 201), problem(status, "request-invalid")))
    endpoint.open(None)

    with pytest.raises(kind) as refused:
        endpoint.relay(RelayRequest(sealed=("x",)), "key-1")

    assert f"The endpoint answered {status} request-invalid: said so" in refused.value.message
    assert (refused.value.code == "envelope-refused") == (kind is DocumentError)


def test_what_cannot_be_delivered_is_kept_redacted_under_its_key():
    kept = []
    endpoint = connect(Server(httpx.ConnectError("x")), kept=kept)
    with pytest.raises(EndpointUnreachable):
        endpoint.open(None)

    assert endpoint.deliver("events", EVENTS, "key-1") is None
    assert [(kind, key) for kind, key, _ in kept] == [("events", "key-1")]
    assert TOKEN not in kept[0][2].model_dump_json()


def test_what_can_be_neither_delivered_nor_kept_is_told():
    endpoint = connect(Server(httpx.ConnectError("x")), keeps=False)
    with pytest.raises(EndpointUnreachable):
        endpoint.open(None)

    with pytest.raises(EndpointUnreachable):
        endpoint.deliver("finish", FinishRequest(state="done"), "key-1")


def test_once_the_stages_time_is_used_up_nothing_more_is_tried():
    server, time = Server(problem(503)), Time(step=0.3)
    endpoint = connect(server, time=time)
    with pytest.raises(EndpointRefused):
        endpoint.open(None)
    asked = len(server.requests)

    with pytest.raises(EndpointRefused):
        endpoint.get_grant()

    assert len(server.requests) == asked
    assert sum(time.slept) < STAGE_SECONDS


def test_a_server_that_names_a_longer_time_than_there_is_is_not_waited_for():
    server, time = Server(problem(503, **{"Retry-After": "60"})), Time()
    endpoint = connect(server, time=time)

    with pytest.raises(EndpointRefused):
        endpoint.fetch_bundle(BundleRequest(branch="main"), "key-1") if endpoint.open(None) else None

    assert (len(server.requests), time.slept) == (1, [])


def test_waiting_for_a_thread_is_not_counted_among_the_tries():
    server, time = Server(good(SESSION, 201), problem(503), good(ACCEPTED, 202)), Time()
    endpoint = connect(server, time=time)
    endpoint.open(None)

    endpoint.wait(100)
    endpoint.deliver("events", EVENTS, "key-1")

    assert len(server.requests) == 3


def test_a_redirect_is_not_followed():
    server = Server(httpx.Response(302, headers={"Location": "https://evil.example.com/"}), good(SESSION, 201))
    endpoint = connect(server)

    with pytest.raises(EndpointRefused):
        endpoint.open(None)

    assert {request.url.host for request in server.requests} == {"coven.example.com"}


@pytest.mark.parametrize("body", [b"", b"[]", b"{}", b"\xff", b'{"token": 1}', b" " * (9 * 1024 * 1024)])
def test_an_answer_that_is_none_is_told(body):
    endpoint = connect(Server(httpx.Response(201, content=body)))

    with pytest.raises(EndpointUnreadable):
        endpoint.open(None)


def test_a_session_that_cannot_be_ended_ends_by_itself():
    server = Server(good(SESSION, 201), httpx.ConnectError("x"))
    endpoint = connect(server)
    endpoint.open(None)

    endpoint.close()
    endpoint.close()

    assert server.requests[-1].method == "DELETE"
