"""Tunnels: to hosts of the list, on port 443, for TLS that names the same host, and not to addresses within."""

import socket
import ssl

import pytest

from coven_action.core.gateway.order import Budget
from tests.adapters.gateway.parties import HOST, KEY, Client, ModelHost, build_order, start_gateway

TUNNEL = "packages.test"


@pytest.fixture(scope="module")
def other(authority):
    with ModelHost(authority.issue(TUNNEL)) as started:
        yield started


@pytest.fixture
def tunnels(folder, authority, other):
    other.asked.clear()
    with socket.create_server(("127.0.0.1", 0)) as closed:
        routes = {TUNNEL: other.port, "gone.test": closed.getsockname()[1]}
    order = build_order(
        folder, authority, routes, hosts=(TUNNEL, "gone.test", "localhost"), tunnel_bytes=20_000, provider="openai"
    )
    with start_gateway(order) as gateway:
        yield gateway


def connect(client, host=TUNNEL, *, more=""):
    client.send(f"CONNECT {host}:443 HTTP/1.1\r\nHost: {host}:443\r\n{more}\r\n".encode())
    return client.read_head().status


def speak_tls(client, authority, name):
    context = ssl.create_default_context(cadata=authority.pem)
    context.check_hostname = name is not None
    return context.wrap_socket(client.socket, server_hostname=name)


def fetch(tls, path="/simple/") -> bytes:
    tls.sendall(f"GET {path} HTTP/1.1\r\nHost: {TUNNEL}\r\nconnection: close\r\n\r\n".encode())
    answer = b""
    while chunk := tls.recv(65536):
        answer += chunk
    return answer


def test_a_host_of_the_list_is_reached_end_to_end_without_the_key(tunnels, authority, other):
    with Client(tunnels.socket) as client:
        assert connect(client) == 200
        with speak_tls(client, authority, TUNNEL) as tls:
            assert b"200 OK" in fetch(tls)
    report = tunnels.report()

    (asked,) = other.asked
    assert (asked.server_name, asked.target) == (TUNNEL, "/simple/")
    assert KEY not in asked.text
    (used,) = report.hosts_used
    assert (used.host, used.count) == (TUNNEL, 1)
    assert used.tunnel_bytes > 1000
    assert (report.requests, report.hosts_refused, report.refusals, report.faults) == (0, (), {}, {})


def test_tls_that_names_another_host_or_none_ends_the_tunnel(tunnels, authority, other):
    for name in ("evil.test", HOST, f"sub.{TUNNEL}", None):
        with Client(tunnels.socket) as client:
            assert connect(client) == 200
            with pytest.raises((ssl.SSLError, ConnectionError)):
                speak_tls(client, authority, name)
    report = tunnels.report()

    refused = {count.host: count.count for count in report.hosts_refused}
    assert refused == {"evil.test": 1, HOST: 1, f"sub.{TUNNEL}": 1, TUNNEL: 1}
    assert (report.refusals, report.hosts_used, other.asked) == ({"tunnel-name": 4}, (), [])


def test_what_is_no_tls_ends_the_tunnel(tunnels, other):
    for first in (b"GET / HTTP/1.1\r\nHost: packages.test\r\n\r\n", b"SSH-2.0-OpenSSH_9.2\r\n", b"\x16\x03"):
        with Client(tunnels.socket) as client:
            assert connect(client) == 200
            client.send(first)
            client.socket.shutdown(socket.SHUT_WR)
            assert client.read_rest() == b""

    assert tunnels.report().refusals == {"tunnel-name": 3}
    assert other.asked == []


def test_a_host_that_leads_inside_or_nowhere_is_refused_and_a_tunnel_has_no_body(tunnels):
    asked = [
        ({"host": "localhost"}, 403),
        ({"host": "gone.test"}, 502),
        ({"more": "content-length: 5\r\n"}, 400),
        ({"more": "transfer-encoding: chunked\r\n"}, 400),
    ]
    for more, status in asked:
        with Client(tunnels.socket) as client:
            assert connect(client, **more) == status
    report = tunnels.report()

    assert report.refusals == {"address-not-public": 1, "ambiguous-framing": 2, "tunnel-unreachable": 1}
    assert [count.host for count in report.hosts_refused] == ["gone.test", "localhost"]


def test_more_than_may_pass_ends_the_tunnel(tunnels, authority, other):
    other.answer = lambda handler: handler.reply(200, b"x" * 100_000)
    try:
        with Client(tunnels.socket) as client:
            assert connect(client) == 200
            with speak_tls(client, authority, TUNNEL) as tls:
                assert len(fetch(tls)) < 20_000
    finally:
        other.answer = None
    report = tunnels.report()

    assert report.refusals == {"tunnel-too-large": 1}
    assert report.hosts_used[0].tunnel_bytes <= 20_000


def test_bytes_sent_together_with_the_request_belong_to_the_tunnel(tunnels, authority):
    outgoing, incoming = ssl.MemoryBIO(), ssl.MemoryBIO()
    context = ssl.create_default_context(cadata=authority.pem)
    tls = context.wrap_bio(incoming, outgoing, server_hostname=TUNNEL)
    with pytest.raises(ssl.SSLWantReadError):
        tls.do_handshake()
    hello = outgoing.read()
    with Client(tunnels.socket) as client:
        client.send(f"CONNECT {TUNNEL}:443 HTTP/1.1\r\nHost: {TUNNEL}\r\n\r\n".encode() + hello[:7])
        assert client.read_head().status == 200
        client.send(hello[7:])
        assert client._read.read(3)[:2] == b"\x16\x03"


def test_after_the_budget_no_tunnel_is_opened(folder, authority, other):
    order = build_order(
        folder, authority, {HOST: other.port, TUNNEL: other.port}, hosts=(TUNNEL,), budget=Budget(requests=1)
    )
    with start_gateway(order) as gateway:
        for _ in range(2):
            with Client(gateway.socket) as client:
                client.ask()
        with Client(gateway.socket) as client:
            assert connect(client) == 403
