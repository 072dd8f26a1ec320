"""What the gateway does not forward: whatever can be read in two ways, means another place, or asks for too much."""

import json
import threading

import pytest

from coven_action.core.gateway.order import Budget
from tests.adapters.gateway.parties import (
    HOST,
    KEY,
    MODEL,
    Client,
    ModelHost,
    build_order,
    build_request,
    start_gateway,
)

HEAD = b"POST /v1/messages HTTP/1.1\r\nHost: localhost\r\ncontent-type: application/json\r\n"
BODY = json.dumps({"model": MODEL, "messages": []}).encode()
LENGTH = b"content-length: %d\r\n" % len(BODY)
CHUNKS = b"%x\r\n%s\r\n0\r\n\r\n" % (len(BODY), BODY)
SECOND = b"GET /v1/models HTTP/1.1\r\nHost: localhost\r\n\r\n"


# Each is a way to have one request more, or another one, than a simple reader sees.
SMUGGLED = {
    "length and chunks": HEAD + LENGTH + b"transfer-encoding: chunked\r\n\r\n" + CHUNKS,
    "chunks and length": HEAD + b"transfer-encoding: chunked\r\n" + LENGTH + b"\r\n" + BODY,
    "two lengths": HEAD + LENGTH + b"content-length: 5\r\n\r\n" + BODY,
    "the same length twice": HEAD + LENGTH + LENGTH + b"\r\n" + BODY,
    "a list of lengths": HEAD + b"content-length: 5, 5\r\n\r\n" + BODY,
    "a signed length": HEAD + b"content-length: +%d\r\n\r\n" % len(BODY) + BODY,
    "a negative length": HEAD + b"content-length: -1\r\n\r\n" + BODY,
    "chunks within something": HEAD + b"transfer-encoding: gzip, chunked\r\n\r\n" + CHUNKS,
    "chunks twice": HEAD + b"transfer-encoding: chunked\r\ntransfer-encoding: chunked\r\n\r\n" + CHUNKS,
    "identity": HEAD + b"transfer-encoding: identity\r\n" + LENGTH + b"\r\n" + BODY,
    "xchunked": HEAD + b"transfer-encoding: xchunked\r\n\r\n" + CHUNKS,
    "a folded line": HEAD + b"transfer-encoding:\r\n chunked\r\n\r\n" + CHUNKS,
    "a folded second line": HEAD + LENGTH + b"accept: a\r\n\tb\r\n\r\n" + BODY,
    "a space before the colon": HEAD + b"content-length : %d\r\n\r\n" % len(BODY) + BODY,
    "a bare line feed": HEAD + b"accept: a\ntransfer-encoding: chunked\r\n" + LENGTH + b"\r\n" + BODY,
    "a bare return": HEAD + b"accept: a\rtransfer-encoding: chunked\r\n" + LENGTH + b"\r\n" + BODY,
    "a zero byte": HEAD + b"accept: a\0b\r\n" + LENGTH + b"\r\n" + BODY,
    "bytes above ASCII": HEAD + b"accept: \xff\r\n" + LENGTH + b"\r\n" + BODY,
    "a name without a colon": HEAD + b"transfer-encoding\r\n" + LENGTH + b"\r\n" + BODY,
    "an empty name": HEAD + b": chunked\r\n" + LENGTH + b"\r\n" + BODY,
    "a second request at once": HEAD + LENGTH + b"\r\n" + BODY + SECOND,
    "a second request in the chunks": HEAD + b"transfer-encoding: chunked\r\n\r\n" + CHUNKS + SECOND,
    "a chunk that is no number": HEAD + b"transfer-encoding: chunked\r\n\r\nzz\r\n" + CHUNKS,
    "two hosts": HEAD + b"Host: evil.test\r\n" + LENGTH + b"\r\n" + BODY,
    "no host": HEAD.replace(b"Host: localhost\r\n", b"") + LENGTH + b"\r\n" + BODY,
    "an older version": HEAD.replace(b"HTTP/1.1", b"HTTP/1.0") + LENGTH + b"\r\n" + BODY,
    "a later version": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    "no version": b"GET /v1/models\r\n\r\n",
    "two spaces": HEAD.replace(b"POST /", b"POST  /") + LENGTH + b"\r\n" + BODY,
    "a method in small letters": HEAD.replace(b"POST", b"post") + LENGTH + b"\r\n" + BODY,
    "an empty line first": b"\r\n" + HEAD + LENGTH + b"\r\n" + BODY,
    "a websocket": HEAD + LENGTH + b"connection: upgrade\r\nupgrade: websocket\r\n\r\n" + BODY,
    "HTTP/2 in the clear": HEAD + LENGTH + b"upgrade: h2c\r\nhttp2-settings: AAMAAABk\r\n\r\n" + BODY,
    "a body where none belongs": SECOND[:-2] + b"content-length: 5\r\n\r\nhello",
    "TLS": b"\x16\x03\x01\x00\x05hello\r\n\r\n",
}


@pytest.mark.parametrize("case", SMUGGLED)
def test_what_could_be_read_in_two_ways_reaches_nobody(scene, case):
    with Client(scene.gateway.socket) as client:
        client.send(SMUGGLED[case])
        reply = client.read_reply()
        rest = client.read_rest()

    assert 400 <= reply.status < 500
    assert (reply.get("connection"), reply.get("x-should-retry")) == ("close", "false")
    assert reply.json["error"]["message"].startswith("Coven gateway: ")
    assert (rest, scene.host.asked) == (b"", [])


TARGETS = [
    "/v1/../v1/messages", "/v1/./messages", "//v1/messages", "/v1//messages", "/v1/messages/", "/v1/messages/../files",
    "/v1%2fmessages", "/v1/%6dessages", "/v1/messages%00", "/v1/messages;a=b", "/v1\\messages", "/v1/messages?",
    "/v1/messages?beta=true&x=1", "/v1/messages?x", "/v1/messages#f", "/V1/messages", "/v1/messages/batches", "/v1/files",
    "/v1/chat/completions", "/v1/models/../files", "/v1/models/%2e%2e", "/", "*", "v1/messages", f"{HOST}:443",
]  # fmt: skip


@pytest.mark.parametrize("target", TARGETS)
def test_a_path_that_is_not_in_the_list_is_no_path(scene, target):
    assert scene.ask(target=target).status == 404
    assert scene.host.asked == []


@pytest.mark.parametrize("method", ["PUT", "DELETE", "PATCH", "HEAD", "OPTIONS", "TRACE", "GET"])
def test_a_method_that_is_not_in_the_list_is_not_forwarded(scene, method):
    with Client(scene.gateway.socket) as client:
        client.send(f"{method} /v1/messages HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
        assert client.read_head().status == 405
    assert scene.host.asked == []


# What is asked for -> how it stands in the report.
OTHER_HOSTS = [
    ({"target": "http://evil.test/v1/messages"}, "evil.test"),
    ({"target": f"https://{HOST}/v1/messages"}, HOST),
    ({"host": "spoofed.test"}, "spoofed.test"),
    ({"host": "169.254.169.254"}, "169.254.169.254"),
    ({"host": f"{HOST}.evil.test"}, f"{HOST}.evil.test"),
    ({"host": f"{HOST}:80"}, f"{HOST}:80"),
    ({"host": "<b>@team"}, "(unreadable)"),
    ({"target": f"{HOST}:443", "method": "CONNECT"}, f"{HOST}:443"),
    ({"target": "evil.test:443", "method": "CONNECT"}, "evil.test:443"),
    ({"target": "tunnel.test:80", "method": "CONNECT"}, "tunnel.test:80"),
    ({"target": "tunnel.test", "method": "CONNECT"}, "tunnel.test"),
    ({"target": "tunnel.test.:443", "method": "CONNECT"}, "tunnel.test.:443"),
    ({"target": "sub.tunnel.test:443", "method": "CONNECT"}, "sub.tunnel.test:443"),
    ({"target": "[::1]:443", "method": "CONNECT"}, "[::1]:443"),
]


def test_another_host_is_refused_and_recorded(folder, authority, host):
    order = build_order(folder, authority, {HOST: host.port, "tunnel.test": host.port}, hosts=("tunnel.test",))
    events = []
    with start_gateway(order, on_event=events.append) as gateway:
        for more, _ in OTHER_HOSTS * 2:
            with Client(gateway.socket) as client:
                assert client.ask(**more).status == 403
        report = gateway.report()

    shown = sorted(shown for _, shown in OTHER_HOSTS)
    assert [(count.host, count.count) for count in report.hosts_refused] == [(name, 2) for name in shown]
    assert sorted(event["host"] for event in events if event["event"] == "refused") == shown
    assert report.refusals == {"host-not-allowed": 2 * len(shown)}
    assert (report.requests, report.hosts_used, host.connections) == (0, (), 0)


TOO_MUCH = [
    (build_request(headers=[("x", "y" * 40_000)]), 431),
    (build_request(headers=[("accept", "y" * 300)]), 431),
    (build_request(b"{" + b" " * 3000 + b"}"), 413),
    (HEAD + b"transfer-encoding: chunked\r\n\r\nff\r\n" + b" " * 255 + b"\r\n800\r\n" + b" " * 2048, 413),
    (build_request(b"[]"), 400),
    (build_request(b'{"model": "a", "model": "b"}'), 400),
    (build_request({"model": None}), 400),
    (build_request({"mcp_servers": [{"url": "https://evil.test"}]}), 403),
    (build_request(b"model=a").replace(b"application/json", b"text/plain"), 415),
    (build_request(headers=[("content-encoding", "gzip")]), 415),
]


def test_too_much_or_too_unclear_is_refused_and_the_next_is_served(folder, authority, host):
    with start_gateway(build_order(folder, authority, {HOST: host.port}, request_bytes=2000)) as gateway:
        for request, status in TOO_MUCH:
            with Client(gateway.socket) as client:
                client.send(request)
                assert client.read_reply().status == status
            with Client(gateway.socket) as client:
                assert client.ask().status == 200
        assert gateway.report().faults == {}

    assert len(host.asked) == len(TOO_MUCH)


def test_a_client_that_speaks_before_it_is_answered_is_hung_up_on(folder, authority, host):
    asked, ended = threading.Event(), threading.Event()

    def answer(handler):
        asked.set()
        handler.begin_events()
        try:
            while True:
                handler.send_chunk(b": waiting\n\n")
        except OSError:
            ended.set()

    host.answer = answer
    with start_gateway(build_order(folder, authority, {HOST: host.port})) as gateway:
        with Client(gateway.socket) as client:
            client.send(build_request())
            assert asked.wait(30)
            client.send(SECOND)
            assert ended.wait(30)
            client.read_rest()
        report = gateway.report()

    assert report.refusals == {"early-bytes": 1}
    assert report.output_tokens == 100
    assert len(host.asked) == 1


# --- the budget


def test_after_the_last_request_the_run_ends_in_the_providers_words(folder, authority, host):
    events = []
    order = build_order(folder, authority, {HOST: host.port}, budget=Budget(requests=2))
    with start_gateway(order, on_event=events.append) as gateway, Client(gateway.socket) as client:
        assert [client.ask().status for _ in range(2)] == [200, 200]
        assert gateway.ended_because is None
        reply = client.ask()
        report = gateway.report()

    assert (reply.status, reply.get("x-should-retry")) == (403, "false")
    assert reply.json == {
        "type": "error",
        "error": {
            "type": "permission_error",
            "message": "Coven gateway: The run's budget of model requests is used up.",
        },
    }
    assert gateway.ended_because == report.ended_because == "budget-requests"
    assert {"event": "ended", "because": "budget-requests"} in events
    assert (report.requests, len(host.asked)) == (2, 2)


@pytest.mark.parametrize(
    ("budget", "reason"),
    [
        (Budget(requests=10, tokens=15), "budget-tokens"),
        (Budget(requests=10, cost_usd=0.000105), "budget-cost"),
    ],
)
def test_what_is_spent_ends_the_run_as_soon_as_it_is_known(folder, authority, host, budget, reason):
    prices = {MODEL: {"input": 3.0, "output": 15.0, "cache_creation": 3.75, "cache_read": 0.3}}
    order = build_order(folder, authority, {HOST: host.port}, budget=budget, prices=prices, provider="openai")
    host.answer = lambda handler: handler.reply(
        200, json.dumps({"model": MODEL, "usage": {"prompt_tokens": 10, "completion_tokens": 5}}).encode()
    )
    with start_gateway(order) as gateway:
        with Client(gateway.socket) as client:
            assert client.ask(target="/v1/chat/completions").status == 200
            reply = client.ask(target="/v1/chat/completions")
        with Client(gateway.socket) as client:
            assert client.ask(method="GET", target="/v1/models").status == 403
        report = gateway.report()

    assert reply.status == 403
    assert reply.json["error"]["code"] == reason.replace("-", "_")
    assert report.ended_because == reason
    assert (report.cost_usd, report.requests, len(host.asked)) == (0.000105, 1, 1)


def test_streamed_usage_is_counted_in_both_styles(folder, authority, host):
    start = {
        "model": f"{MODEL}-20260101",
        "usage": {"input_tokens": 9, "cache_read_input_tokens": 90, "output_tokens": 1},
    }

    def answer(handler):
        handler.begin_events()
        handler.send_chunk(
            b"event: message_start\ndata: " + json.dumps({"type": "message_start", "message": start}).encode()
        )
        handler.send_chunk(b'\n\nevent: message_delta\ndata: {"type": "message_delta", "usage": {"output_to')
        handler.send_chunk(b'kens": 77}}\n\nevent: message_stop\ndata: {"type": "message_stop"}\n\n')
        handler.send_chunk(b"")

    host.answer = answer
    prices = {MODEL: {"input": 3.0, "output": 15.0, "cache_creation": 3.75, "cache_read": 0.3}}
    with start_gateway(build_order(folder, authority, {HOST: host.port}, prices=prices)) as gateway:
        with Client(gateway.socket) as client:
            assert client.ask({"stream": True}).status == 200
        report = gateway.report()

    assert (report.input_tokens, report.cache_read_input_tokens, report.output_tokens) == (9, 90, 77)
    assert report.estimated_answers == 0
    assert report.cost_usd == round((9 * 3 + 90 * 0.3 + 77 * 15) / 10**6, 6)


def test_the_key_goes_to_no_host_but_the_models_whatever_is_asked(folder, authority, host):
    with ModelHost(authority.issue("tunnel.test")) as other:
        order = build_order(folder, authority, {HOST: host.port, "tunnel.test": other.port}, hosts=("tunnel.test",))
        with start_gateway(order) as gateway:
            for more in ({}, {"host": "tunnel.test"}, {"target": "https://tunnel.test/v1/messages"}):
                with Client(gateway.socket) as client:
                    client.ask(**more)

    assert other.asked == []
    assert [asked.all("x-api-key") for asked in host.asked] == [[KEY]]
