"""The gateway's process: nobody can read the key in it, and it ends when we do, however we do."""

import asyncio
import json
import os
import signal
import socket
import ssl
import stat
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from coven_action.adapters.gateway import process, program
from coven_action.adapters.gateway.conversation import House
from coven_action.adapters.gateway.process import Gateway
from coven_action.adapters.gateway.upstream import Upstream, build_tls_context
from coven_action.errors import RuntimeFault
from tests.adapters.gateway.parties import HOST, KEY, Client, build_order, build_request, start_gateway

LINUX = pytest.mark.skipif(sys.platform != "linux", reason="/proc is Linux's")
NOBODY = 65534


def wait_until(condition):
    deadline = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < deadline, "it never came to that"
        time.sleep(0.01)


def is_alive(pid):
    try:
        state = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8")
    except FileNotFoundError:
        return False
    return state.rpartition(")")[2].split()[0] != "Z"


@pytest.fixture
def order(folder, authority, host):
    return build_order(folder, authority, {HOST: host.port})


@LINUX
def test_the_key_is_in_no_variable_argument_descriptor_or_file(order, folder):
    job = {
        "MODEL_API_KEY": KEY,
        "SSLKEYLOGFILE": str(folder / "keys"),
        "HTTPS_PROXY": "http://evil.test",
        "PATH": "/bin",
    }
    with start_gateway(order, environment=job | {"SSL_CERT_DIR": "/etc/ssl/certs"}) as gateway:
        with Client(gateway.socket) as client:
            assert client.ask().status == 200
        proc = Path(f"/proc/{gateway.pid}")
        arguments, ours = (proc / "cmdline").read_bytes(), Path("/proc/self/cmdline").read_bytes()
        if os.geteuid() == 0:
            variables = (proc / "environ").read_bytes()
            targets = {str(link.readlink()) for link in (proc / "fd").iterdir()}
            assert b"SSL_CERT_DIR=/etc/ssl/certs" in variables.split(b"\0")
            assert {line.split(b"=")[0] for line in variables.split(b"\0") if line} <= {b"SSL_CERT_DIR", b"LC_CTYPE"}
            assert KEY.encode() not in variables
            assert {target.split(":")[0] for target in targets} <= {"pipe", "socket", "anon_inode", "/dev/null"}
        else:
            # Its memory is closed to everybody but root, and with it what /proc tells of it.
            with pytest.raises(PermissionError):
                (proc / "environ").read_bytes()

    assert KEY.encode() not in arguments + ours
    assert [path for path in folder.rglob("*") if path.is_file() and KEY.encode() in path.read_bytes()] == []


SECRETIVE = """
import ctypes, os, sys
from coven_action.adapters.gateway import program
if os.geteuid() == 0:
    os.setgroups([]); os.setgid(65534); os.setuid(65534)
ctypes.CDLL(None).prctl(program.PR_SET_DUMPABLE, 1, 0, 0, 0)
if sys.argv[1] == "closed":
    program.close_own_memory()
print("ready", flush=True)
sys.stdin.read()
"""


@LINUX
@pytest.mark.parametrize(("memory", "denials"), [("closed", 4), ("open", 0)])
def test_another_process_of_the_same_user_cannot_look_into_it(memory, denials):
    as_nobody = {"user": NOBODY, "group": NOBODY, "extra_groups": []} if os.geteuid() == 0 else {}
    argv = [sys.executable, "-I", "-c", SECRETIVE, memory]
    with subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, cwd="/") as secretive:
        assert secretive.stdout.readline() == b"ready\n"
        proc = f"/proc/{secretive.pid}"
        script = f"for f in environ maps mem; do head -c 1 {proc}/$f; done; ls {proc}/fd"
        looked = subprocess.run(["sh", "-c", script], capture_output=True, check=False, cwd="/", **as_nobody)
        secretive.stdin.close()
        assert secretive.wait(30) == 0

    assert looked.stderr.count(b"Permission denied") == denials


def test_nothing_the_process_says_holds_the_key(order, host):
    events = []
    host.answer = lambda handler: handler.reply(401, json.dumps({"error": KEY}).encode())
    with start_gateway(order, on_event=events.append) as gateway:
        for more in ({"target": f"http://{KEY}/"}, {"host": KEY}, {"target": f"{KEY}:443", "method": "CONNECT"}, {}):
            with Client(gateway.socket) as client:
                reply = client.ask(**more)
                assert KEY not in repr(reply)
        report = gateway.report()

    assert KEY not in repr(events)
    assert KEY not in report.model_dump_json()
    assert KEY.lower() not in report.model_dump_json()
    assert KEY not in repr(vars(gateway))


def test_the_socket_is_for_us_alone_and_gone_afterwards(order):
    with start_gateway(order) as gateway:
        assert stat.S_IMODE(gateway.socket.stat().st_mode) == 0o600
        assert stat.S_IMODE(gateway.socket.parent.stat().st_mode) == 0o700
    assert not gateway.socket.exists()

    shared = order.model_copy(update={"is_socket_shared": True})
    with start_gateway(shared) as gateway:
        assert stat.S_IMODE(gateway.socket.stat().st_mode) == 0o666


@LINUX
def test_when_our_program_is_killed_the_gateway_ends(order, tmp_path):
    order_file = tmp_path / "order.json"
    order_file.write_text(order.model_dump_json(), encoding="utf-8")
    script = (
        "import sys, time; from pathlib import Path\n"
        "from coven_action.adapters.gateway.process import Gateway\n"
        "from coven_action.core.gateway.order import GatewayOrder\n"
        "order = GatewayOrder.model_validate_json(Path(sys.argv[1]).read_text())\n"
        f"with Gateway(order, {KEY!r}, environment={{}}) as gateway:\n"
        "    print(gateway.pid, flush=True); time.sleep(600)\n"
    )
    with subprocess.Popen([sys.executable, "-P", "-c", script, str(order_file)], stdout=subprocess.PIPE) as ours:
        pid = int(ours.stdout.readline())
        assert is_alive(pid)
        ours.kill()
    wait_until(lambda: not is_alive(pid))

    assert not Path(order.socket).exists()


def test_asked_to_end_it_ends_with_its_account(order):
    with start_gateway(order) as gateway:
        with Client(gateway.socket) as client:
            client.ask()
        os.kill(gateway.pid, signal.SIGTERM)
        wait_until(lambda: not is_alive(gateway.pid))
        report = gateway.report()

    assert report.requests == 1


def test_killed_it_leaves_no_account_and_that_is_an_error(order):
    with start_gateway(order) as gateway:
        os.kill(gateway.pid, signal.SIGKILL)
        with pytest.raises(RuntimeFault) as caught:
            gateway.report()

    assert caught.value.code == "gateway-lost"


def test_stopped_it_is_killed(order, monkeypatch):
    monkeypatch.setattr(process, "END_SECONDS", 0.1)
    with start_gateway(order) as gateway:
        os.kill(gateway.pid, signal.SIGSTOP)

    assert not is_alive(gateway.pid)
    with pytest.raises(RuntimeFault):
        gateway.report()


def test_a_request_under_way_does_not_hold_up_the_end(order, host):
    asked, released = threading.Event(), threading.Event()

    def answer(_):
        asked.set()
        released.wait(30)

    host.answer = answer
    with start_gateway(order) as gateway, Client(gateway.socket) as client:
        client.send(build_request())
        assert asked.wait(30)
        report = gateway.report()
        released.set()

    assert (report.requests, report.estimated_answers, report.output_tokens) == (1, 1, 100)


def open_to_others(folder):
    folder.chmod(0o755)


def take_the_place(folder):
    (folder / "gateway.sock").write_text("", encoding="utf-8")


def remove(folder):
    folder.rmdir()


@pytest.mark.parametrize(
    ("spoil", "words"),
    [(open_to_others, "ours alone"), (take_the_place, "in use"), (remove, "No such file")],
)
def test_a_place_that_is_not_ours_is_not_used(folder, authority, spoil, words):
    inner = folder / "inner"
    inner.mkdir(mode=0o700)
    order = build_order(inner, authority, {})
    spoil(inner)
    with pytest.raises(RuntimeFault, match=words) as caught, start_gateway(order):
        pass

    assert caught.value.code == "gateway-not-started"


def test_a_path_that_is_too_long_for_a_socket_is_said_so(folder, authority):
    long = folder / ("x" * 120)
    long.mkdir(mode=0o700)
    with pytest.raises(RuntimeFault, match="too long"), start_gateway(build_order(long, authority, {})):
        pass


@pytest.mark.parametrize(
    "key",
    ["", "short", "with space inside it", "line\r\nx-evil: injected", "k\N{LATIN SMALL LETTER E WITH ACUTE}y-of-it", 7],
)
def test_a_key_that_cannot_be_one_is_refused_without_being_repeated(order, key):
    line = json.dumps({"key": key, "order": order.model_dump(mode="json")}).encode()
    with pytest.raises(ValueError, match="visible ASCII") as caught:
        program.parse_line(line)

    assert not key or str(key) not in str(caught.value)


def test_a_key_that_is_refused_is_an_error_of_ours(order):
    with pytest.raises(RuntimeFault, match="visible ASCII") as caught, Gateway(order, "a key", environment={}):
        pass

    assert caught.value.code == "gateway-not-started"
    assert "a key" not in caught.value.message


def test_a_program_that_does_not_start_is_an_error(order, monkeypatch):
    monkeypatch.setattr(sys, "executable", "/nonexistent/python")
    with pytest.raises(RuntimeFault) as caught, start_gateway(order):
        pass

    assert caught.value.code == "gateway-not-started"


def test_a_program_that_ends_at_once_is_an_error(order, monkeypatch):
    monkeypatch.setattr(process, "PROGRAM", "this")
    with pytest.raises(RuntimeFault, match="did not start"), start_gateway(order):
        pass


def test_a_program_that_says_nothing_is_not_waited_for(order, monkeypatch):
    monkeypatch.setattr(process, "PROGRAM", "base64")  # reads to the end of stdin
    monkeypatch.setattr(process, "START_SECONDS", 0.1)
    with pytest.raises(RuntimeFault, match="not waiting within"), start_gateway(order):
        pass


def test_what_a_listener_raises_is_raised_at_the_end(order, host):
    heard = []

    def listen(event):
        heard.append(event)
        raise KeyError("listener")

    gateway = start_gateway(order, on_event=listen).__enter__()
    with Client(gateway.socket) as client:
        assert client.ask().status == 200
    assert gateway.report().requests == 1
    with pytest.raises(KeyError, match="listener"):
        gateway.__exit__(None, None, None)

    assert heard == [{"event": "waiting"}]


def test_a_gateway_is_started_once(order):
    gateway = start_gateway(order)
    with pytest.raises(RuntimeError):
        _ = gateway.pid
    with gateway:
        pass
    with pytest.raises(RuntimeError), gateway:
        pass


@pytest.mark.parametrize(
    "line",
    [b"\n", b"[]\n", b"{}\n", b'{"key": "0123456789"}\n', b'{"key": "0123456789", "order": {"host": "UPPER"}}\n', b"{"],
)
def test_an_order_that_cannot_be_read_is_refused_without_the_key(line):
    with pytest.raises(ValueError, match=r".") as caught:
        program.parse_line(line)

    assert "0123456789" not in str(caught.value)


def test_a_program_without_an_order_ends_with_a_reason():
    argv = [sys.executable, "-I", "-m", process.PROGRAM]
    ended = subprocess.run(argv, input=b"", capture_output=True, check=False, env={})

    assert (ended.returncode, ended.stderr) == (1, b"")
    assert [json.loads(line) for line in ended.stdout.splitlines()] == [
        {"event": "waiting"},
        {"event": "fault", "what": "stdin does not begin with one line"},
    ]


def raise_with_the_key():
    raise ValueError(KEY)


def test_a_fault_is_named_by_its_place_and_never_by_what_it_says():
    with pytest.raises(ValueError, match="sk-ant") as caught:
        raise_with_the_key()
    place = program.name_place(caught.value)

    assert place.startswith("ValueError at test_process.py:")
    assert KEY not in place


def test_the_internet_is_verified():
    context = build_tls_context(None)

    assert context.verify_mode is ssl.CERT_REQUIRED
    assert context.check_hostname
    assert context.minimum_version >= ssl.TLSVersion.TLSv1_2
    assert context.cert_store_stats()["x509_ca"] > 50
    assert context.keylog_filename is None


def test_a_client_that_takes_nothing_does_not_hold_up_the_end(order, host):
    answered = threading.Event()

    def answer(handler):
        handler.begin_events()
        try:
            for _ in range(1000):
                handler.send_chunk(b":" * 65536)
                answered.set()
        except OSError:
            pass

    host.answer = answer
    with start_gateway(order) as gateway, Client(gateway.socket) as client:
        client.send(build_request({"stream": True}))
        assert answered.wait(30)
        report = gateway.report()

    assert (report.requests, report.estimated_answers) == (1, 1)


def test_a_defect_of_ours_fails_one_request_and_is_in_the_account(order, monkeypatch):
    class Defective:
        def __init__(self, *_):
            pass

        async def run(self):
            raise_with_the_key()

    async def meet():
        house = House(order, KEY, Upstream(order), print)
        ours, theirs = socket.socketpair()
        with ours:
            await program.Server(house)._serve(*await asyncio.open_unix_connection(sock=theirs))
            assert ours.recv(1) == b""
        return house

    monkeypatch.setattr(program, "Conversation", Defective)
    house = asyncio.run(meet())
    ((place, count),) = house.ledger.report().faults.items()

    assert (place.partition(".py")[0], count) == ("ValueError at test_process", 1)
    assert KEY not in repr(house)
