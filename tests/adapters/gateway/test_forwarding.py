"""Through the gateway: the key goes to one host and nowhere else, and answers come back as they were given."""

import base64
import json
import threading

import httpx
import pytest

from coven_action.core.gateway.refusals import REASONS
from tests.adapters.gateway.parties import (
    HOST,
    KEY,
    MODEL,
    PLACEHOLDER,
    Authority,
    Client,
    ModelHost,
    build_event,
    build_message,
    build_order,
    build_request,
    start_gateway,
)


def test_the_host_gets_the_real_key_and_nothing_of_the_agents(scene):
    headers = {
        "authorization": f"Bearer {PLACEHOLDER}",
        "cookie": "agent=1",
        "proxy-authorization": "Basic agent",
        "x-forwarded-for": "10.0.0.1",
        "connection": "keep-alive, x-secret",
        "x-secret": "agent",
        "openai-organization": "agent",
        "anthropic-beta": "some-feature",
        "user-agent": "a client",
    }
    reply = scene.ask(headers=headers.items())

    (asked,) = scene.host.asked
    assert (reply.status, reply.body) == (200, build_message())
    assert asked.all("x-api-key") == [KEY]
    assert PLACEHOLDER not in asked.text
    assert sorted(name.lower() for name, _ in asked.headers) == [
        "accept-encoding", "anthropic-beta", "anthropic-version", "content-length", "content-type", "host",
        "user-agent", "x-api-key",
    ]  # fmt: skip
    assert asked.all("anthropic-beta") == ["some-feature"]


def test_name_in_the_connection_and_host_header_are_the_hosts(scene):
    for host in ("127.0.0.1:4100", "localhost", "[::1]:80", HOST, f"{HOST}:443"):
        assert scene.ask(host=host).status == 200

    assert {(asked.server_name, *asked.all("host")) for asked in scene.host.asked} == {(HOST, HOST)}


def test_connections_are_kept_on_both_sides(folder, authority, host):
    with start_gateway(build_order(folder, authority, {HOST: host.port})) as gateway, Client(gateway.socket) as client:
        replies = [client.ask() for _ in range(5)]

    assert [reply.status for reply in replies] == [200] * 5
    assert host.connections == 1


def test_a_chunked_body_and_a_client_that_waits_for_a_nod_are_served(scene):
    with Client(scene.gateway.socket) as client:
        data = json.dumps({"model": MODEL, "messages": []}).encode()
        client.send(
            b"POST /v1/messages?beta=true HTTP/1.1\r\nHost: localhost\r\ncontent-type: application/json\r\n"
            b"transfer-encoding: chunked\r\nexpect: 100-continue\r\n\r\n"
        )
        assert client.read_head().status == 100
        client.send(b"%x\r\n%s\r\n0\r\nx-api-key: trailer\r\n\r\n" % (len(data), data))
        assert client.read_reply().status == 200

    (asked,) = scene.host.asked
    assert (asked.target, asked.body) == ("/v1/messages?beta=true", data)
    assert asked.all("content-length") == [str(len(data))]
    assert asked.all("transfer-encoding") == []


def test_the_list_of_models_is_asked_for_with_the_key_and_without_a_body(scene):
    assert scene.ask(method="GET", target="/v1/models").status == 200

    (asked,) = scene.host.asked
    assert (asked.method, asked.body, asked.all("x-api-key")) == ("GET", b"", [KEY])


def test_openai_gets_a_bearer_key_a_prefix_and_is_asked_for_usage(folder, authority, host):
    order = build_order(folder, authority, {HOST: host.port}, provider="openai", prefix="/api")
    host.answer = lambda handler: handler.reply(
        200, b'{"model": "gpt", "usage": {"prompt_tokens": 7, "completion_tokens": 2}}'
    )
    with start_gateway(order) as gateway, Client(gateway.socket) as client:
        assert client.ask({"stream": True}, target="/v1/chat/completions").status == 200
        assert client.ask({"input": "hi", "stream": True}, target="/v1/responses").status == 200
        assert client.ask(target="/v1/messages").json["error"]["code"] == "path_not_allowed"
        report = gateway.report()

    assert [asked.target for asked in host.asked] == ["/api/v1/chat/completions", "/api/v1/responses"]
    assert [asked.all("authorization") for asked in host.asked] == [[f"Bearer {KEY}"]] * 2
    assert not any(asked.all("x-api-key") or PLACEHOLDER in asked.text for asked in host.asked)
    assert json.loads(host.asked[0].body)["stream_options"] == {"include_usage": True}
    assert (report.requests, report.input_tokens, report.output_tokens) == (2, 14, 4)


def test_events_pass_one_by_one_while_the_host_still_writes(scene):
    arrived = [threading.Event() for _ in range(3)]

    def answer(handler):
        handler.begin_events()
        for number, event in enumerate(arrived):
            handler.send_chunk(build_event({"type": "ping", "number": number}))
            assert event.wait(30)
        handler.send_chunk(build_event({"type": "message_stop"}))
        handler.send_chunk(b"")

    scene.host.answer = answer
    with Client(scene.gateway.socket) as client:
        client.send(build_request({"stream": True}))
        assert client.read_head().get("content-type") == "text/event-stream"
        for number, event in enumerate(arrived):
            assert json.loads(client.read_chunk().split(b"data: ")[1])["number"] == number
            event.set()
        assert b"message_stop" in client.read_chunk()
        assert client.read_chunk() == b""
        assert client.ask({"stream": True}).status == 200


def test_an_ordinary_client_is_served(scene):
    def answer(handler):
        if handler.server.owner.asked[-1].method == "GET":
            handler.reply(200, b'{"data": []}')
            return
        handler.begin_events()
        handler.send_chunk(build_event({"type": "ping"}))
        handler.send_chunk(build_event({"type": "message_stop"}))
        handler.send_chunk(b"")

    scene.host.answer = answer
    transport = httpx.HTTPTransport(uds=str(scene.gateway.socket))
    with httpx.Client(
        transport=transport, base_url="http://127.0.0.1:4100", headers={"x-api-key": PLACEHOLDER}
    ) as client:
        assert client.get("/v1/models").json() == {"data": []}
        for _ in range(2):
            with client.stream("POST", "/v1/messages", json={"model": MODEL, "stream": True}) as reply:
                assert [line for line in reply.iter_lines() if line.startswith("event")] == [
                    "event: ping",
                    "event: message_stop",
                ]
        refused = client.post("/v1/files", json={})

    assert (refused.status_code, refused.json()["error"]["type"]) == (404, "not_found_error")
    assert {key for asked in scene.host.asked for key in asked.all("x-api-key")} == {KEY}


def test_errors_of_the_host_come_back_as_they_are_and_cost_nothing(folder, authority, host):
    error = b'{"type": "error", "error": {"type": "overloaded_error", "message": "busy"}}'
    host.answer = lambda handler: handler.reply(
        529, error, headers=[("retry-after", "7"), ("set-cookie", "a=b"), ("anthropic-organization-id", "org")]
    )
    with start_gateway(build_order(folder, authority, {HOST: host.port})) as gateway:
        with Client(gateway.socket) as client:
            reply = client.ask()
        report = gateway.report()

    assert (reply.status, reply.body, reply.get("retry-after")) == (529, error, "7")
    assert reply.get("set-cookie") is reply.get("anthropic-organization-id") is reply.get("server") is None
    assert (report.requests, report.input_tokens, report.output_tokens, report.estimated_answers) == (1, 0, 0, 0)


def test_a_redirect_is_neither_followed_nor_passed_on(folder, authority, host):
    with ModelHost(authority.issue("evil.test")) as evil:
        order = build_order(folder, authority, {HOST: host.port, "evil.test": evil.port})
        with start_gateway(order) as gateway:
            for status in (301, 302, 303, 307, 308):
                place = ("location", "https://evil.test/v1/messages")
                host.answer = lambda handler, status=status, place=place: handler.reply(status, b"{}", headers=[place])
                with Client(gateway.socket) as client:
                    reply = client.ask()
                assert reply.status == 502
                assert "redirect" in reply.json["error"]["message"]
                assert reply.get("location") is None
            report = gateway.report()

    assert (len(host.asked), evil.connections) == (5, 0)
    assert report.refusals == {"upstream-redirect": 5}


def encode_gzip(handler):
    handler.reply(200, b"\x1f\x8b\x08", headers=[("content-encoding", "gzip")])


def answer_page(handler):
    handler.reply(200, b"<p>hello</p>", kind="text/html")


def change_protocol(handler):
    handler.send_response(101)
    handler.send_header("upgrade", "websocket")
    handler.send_header("connection", "upgrade")
    handler.end_headers()


@pytest.mark.parametrize(
    ("answer", "reason"),
    [(encode_gzip, "upstream-answer"), (answer_page, "upstream-answer"), (change_protocol, "upstream-broke-off")],
)
def test_an_answer_that_cannot_be_read_is_not_passed_on(scene, answer, reason):
    scene.host.answer = answer
    reply = scene.ask()

    assert reply.status == 502
    assert reply.json["error"]["message"] == f"Coven gateway: {REASONS[reason].sentence}"


@pytest.mark.parametrize("is_announced", [True, False])
def test_an_oversized_answer_is_cut_and_charged(folder, authority, host, is_announced):
    def answer(handler):
        if is_announced:
            handler.reply(200, b" " * 5000)
            return
        handler.begin_events()
        for _ in range(100):
            handler.send_chunk(b":" + b" " * 100 + b"\n")
        handler.send_chunk(b"")

    host.answer = answer
    order = build_order(folder, authority, {HOST: host.port}, response_bytes=4000)
    with start_gateway(order) as gateway:
        with Client(gateway.socket) as client:
            client.send(build_request())
            got = client.read_rest()
        report = gateway.report()

    assert len(got) < 6000
    assert not got.endswith(b"0\r\n\r\n")
    assert report.refusals == {"upstream-too-large": 1}
    assert (report.estimated_answers, report.output_tokens) == (1, 100)


def announce_close(handler):
    handler.send_response(200)
    handler.send_header("content-type", "application/json")
    handler.send_header("content-length", "100")
    handler.end_headers()
    handler.wfile.write(b'{"usage')
    handler.close_connection = True


def test_an_answer_that_breaks_off_breaks_off_here_as_well(folder, authority, host):
    host.answer = announce_close
    with start_gateway(build_order(folder, authority, {HOST: host.port})) as gateway:
        with Client(gateway.socket) as client:
            client.send(build_request())
            got = client.read_rest()
        report = gateway.report()

    assert b"content-length: 100" in got
    assert got.split(b"\r\n\r\n")[1] in {b'{"usage', b'{"usag'}  # the end may look like the beginning of the key
    assert report.refusals == {"upstream-broke-off": 1}
    assert (report.estimated_answers, report.output_tokens) == (1, 3)


def test_a_silent_host_is_given_up(folder, authority, host):
    released = threading.Event()
    host.answer = lambda _: released.wait(30)
    order = build_order(folder, authority, {HOST: host.port}, silence_seconds=0.2)
    with start_gateway(order) as gateway:
        with Client(gateway.socket) as client:
            reply = client.ask()
        released.set()
        report = gateway.report()

    assert (reply.status, reply.get("x-should-retry")) == (502, None)
    assert report.refusals == {"upstream-broke-off": 1}


def test_many_clients_are_served_at_once(folder, authority, host):
    order = build_order(folder, authority, {HOST: host.port}, parallel=4)
    statuses = []

    def ask():
        with Client(gateway.socket) as client:
            statuses.extend(client.ask().status for _ in range(3))

    with start_gateway(order) as gateway:
        threads = [threading.Thread(target=ask) for _ in range(20)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        report = gateway.report()

    assert statuses == [200] * 60
    assert (report.requests, report.input_tokens, report.faults) == (60, 600, {})
    assert host.connections <= 4


def test_beyond_the_limit_connections_are_refused(folder, authority, host):
    with start_gateway(build_order(folder, authority, {HOST: host.port}, connections=2)) as gateway:
        with Client(gateway.socket) as first, Client(gateway.socket) as second:
            assert (first.ask().status, second.ask().status) == (200, 200)
            with Client(gateway.socket) as third:
                assert third.read_reply().status == 503
            assert first.ask().status == 200
        report = gateway.report()

    assert report.refusals == {"too-many-connections": 1}


def test_a_client_that_leaves_ends_the_request_at_the_host(folder, authority, host):
    seen, ended = threading.Event(), threading.Event()

    def answer(handler):
        handler.begin_events()
        handler.send_chunk(build_event({"type": "message_start", "message": {"usage": {"input_tokens": 40}}}))
        seen.wait(30)
        try:
            while True:
                handler.send_chunk(b": still here\n\n")
        except OSError:
            ended.set()

    host.answer = answer
    with start_gateway(build_order(folder, authority, {HOST: host.port})) as gateway:
        with Client(gateway.socket) as client:
            client.send(build_request({"stream": True, "max_tokens": 500}))
            client.read_head()
            client.read_chunk()
        seen.set()
        assert ended.wait(30)
        report = gateway.report()

    assert (report.estimated_answers, report.input_tokens, report.output_tokens) == (1, 40, 500)
    assert report.faults == {}


# --- whom it believes


@pytest.mark.parametrize("name", ["other.test", "expired", "unknown authority"])
def test_a_host_whose_certificate_does_not_hold_gets_nothing(folder, authority, tmp_path_factory, name):
    stranger = Authority(tmp_path_factory.mktemp("stranger"))
    certificates = {
        "other.test": lambda: authority.issue("other.test"),
        "expired": lambda: authority.issue(HOST, days=-1),
        "unknown authority": lambda: stranger.issue(HOST),
    }
    with (
        ModelHost(certificates[name]()) as host,
        start_gateway(build_order(folder, authority, {HOST: host.port})) as gateway,
    ):
        with Client(gateway.socket) as client:
            reply = client.ask()
        report = gateway.report()

    assert reply.status == 502
    assert host.asked == []
    assert report.refusals == {"upstream-unreachable": 1}
    assert (report.estimated_answers, report.output_tokens, report.is_test_network) == (0, 0, True)


# --- what comes back of the key

FORMS = {
    "raw": KEY,
    "reversed": KEY[::-1],
    "base64": base64.b64encode(f"x-api-key: {KEY}".encode()).decode(),
    "hex": KEY.encode().hex(),
    "in a sentence": f"invalid key '{KEY}' given",
}


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("status", [200, 401])
def test_a_key_that_the_host_repeats_is_covered(scene, form, status):
    body = build_message(FORMS[form])
    scene.host.answer = lambda handler: handler.reply(status, body, headers=[("request-id", KEY)])
    reply = scene.ask()

    assert (reply.status, len(reply.body)) == (status, len(body))
    assert "****************" in reply.body.decode()
    assert KEY not in repr(reply)
    assert all(KEY[start : start + 12] not in repr(reply) for start in range(len(KEY) - 11))
    assert set(reply.get("request-id")) == {"*"}
    if form in {"reversed", "hex"}:
        assert FORMS[form] not in reply.body.decode()


def test_a_key_that_is_spread_over_chunks_is_covered_and_the_rest_not_delayed(scene):
    passed = threading.Event()

    def answer(handler):
        handler.begin_events()
        handler.send_chunk(b"data: begins " + KEY[:20].encode())
        assert passed.wait(30)
        handler.send_chunk(KEY[20:].encode() + b" ends\n\n")
        handler.send_chunk(b"")

    scene.host.answer = answer
    with Client(scene.gateway.socket) as client:
        client.send(build_request({"stream": True}))
        client.read_head()
        assert client.read_chunk() == b"data: begins "
        passed.set()
        rest = b""
        while chunk := client.read_chunk():
            rest += chunk

    assert rest == b"*" * len(KEY) + b" ends\n\n"
