"""`serve` and `migrate`: the first start, the second, how it stops, and what it refuses."""

import json
import signal
import socket
import stat
import subprocess
import sys
import urllib.error
import urllib.request

import pytest
from click.testing import CliRunner

from coven_action.cli.enrol import command as enrol
from coven_action.cli.memory import command as memory
from coven_action.cli.migrate import command as migrate
from coven_action.cli.serve import command as serve_command
from coven_action.errors import Error
from coven_action.hosted.server import check_exposure, hold_database, listen, prepare_database, serve
from coven_action.hosted.settings import Settings
from coven_action.hosted.store.migrations import HEAD

SERVE = [sys.executable, "-P", "-m", "coven_action", "serve"]
LOCAL = "http://localhost:1"
PUBLIC = "https://coven.example"


@pytest.fixture
def data(tmp_path):
    return tmp_path / "made" / "coven.db"


class Running:
    """A started server; its lines are read as they come."""

    def __init__(self, *argv):
        self.process = subprocess.Popen(
            [*SERVE, *map(str, argv)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        self.said = [self.process.stdout.readline()]
        self.url = self.said[0].removeprefix("The endpoint listens on ").strip()

    def ask(self, path, **headers):
        request = urllib.request.Request(f"{self.url}{path}", headers=headers)
        try:
            with urllib.request.urlopen(request, timeout=20) as answer:
                return answer.status, json.loads(answer.read())
        except urllib.error.HTTPError as error:
            with error:
                return error.code, json.loads(error.read())

    def stop(self, sent=signal.SIGTERM):
        if sent is not None:
            self.process.send_signal(sent)
        rest, logged = self.process.communicate(timeout=30)
        return self.process.returncode, "".join(self.said) + rest, logged


def test_the_first_start_makes_what_is_needed_and_tells_the_token_once(data):
    first = Running("--data", data, "--port", 0)
    token = first.process.stdout.readline().rpartition(" ")[2].strip()

    assert token.startswith("cva_")
    assert first.ask("/readyz") == (200, {"status": "ready"})
    assert first.ask("/v1/runs")[0] == 401
    # Known, but there is no account yet whose runs it could ask for.
    assert first.ask("/v1/runs", Authorization=f"Bearer {token}")[1]["code"] == "tenant-missing"
    assert {path.name: stat.S_IMODE(path.stat().st_mode) & 0o077 for path in data.parent.iterdir()} == {
        path.name: 0 for path in data.parent.iterdir()
    }
    assert {path.name for path in data.parent.iterdir()} >= {"coven.db", "coven.db.key"}
    code, _, logged = first.stop()
    assert (code, token in logged) == (0, False)

    second = Running("--data", data, "--port", 0, "--public-url", LOCAL)
    assert second.process.stdout.readline() == f"Runs reach it as {LOCAL}\n"
    assert second.ask("/v1/runs", Authorization=f"Bearer {token}")[1]["code"] == "tenant-missing"
    with pytest.raises(Error) as refused, hold_database(data):
        pass
    assert refused.value.code == "database-in-use"
    code, said = stop_while_a_request_is_under_way(second, token)
    assert (code, "cva_" in said) == (0, False)


def test_where_others_reach_it_the_administrator_decides_at_a_port_of_this_machine(data):
    prepare_database(data)
    account = ["--account", "ada", "--account-id", "501", "--memory"]
    assert CliRunner().invoke(enrol, ["--data", str(data), *account]).exit_code == 0
    running = Running("--data", data, "--port", 0, "--admin-port", 0, "--public-url", PUBLIC)
    public, admin, token = (running.process.stdout.readline().strip() for _ in range(3))
    url, token = admin.removeprefix("The administrator reaches it as ").partition(",")[0], token.rpartition(" ")[2]
    given = {"COVEN_TOKEN": token}

    listed = CliRunner().invoke(memory, ["--endpoint", url, "list"], env=given)
    elsewhere = CliRunner().invoke(memory, ["--endpoint", running.url, "list"], env=given)

    assert (public, url.startswith("http://127.0.0.1:"), url == running.url) == (
        f"Runs reach it as {PUBLIC}",
        True,
        False,
    )
    assert listed.exit_code == 0, listed.output
    assert elsewhere.exit_code == 1
    assert "401 not-authenticated" in str(elsewhere.exception)
    page = urllib.request.Request(f"{running.url}/runs/1")
    with pytest.raises(urllib.error.HTTPError) as refused:
        urllib.request.urlopen(page, timeout=20)
    with refused.value as error:
        assert f"{url}/runs/NUMBER" in error.read().decode()
    assert running.stop()[0] == 0


def stop_while_a_request_is_under_way(running, token):
    """Send half a request, ask the server to stop, see that it says so, and send the other half."""
    with socket.create_connection(("127.0.0.1", int(running.url.rpartition(":")[2]))) as connection:
        connection.sendall(
            b"POST /v1/session HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer x.y.z\r\nContent-Length: 2\r\n\r\n{"
        )
        # A request on a connection of its own has been answered since, so this one has been taken.
        assert running.ask("/readyz")[0] == 200
        running.process.send_signal(signal.SIGTERM)
        assert await_draining(running) == "store-closing"
        connection.sendall(b"}")
        assert connection.recv(100).startswith(b"HTTP/1.1 401 ")
    code, said, _ = running.stop(None)
    return code, said


def await_draining(running):
    status = 200
    while status == 200:
        status, answer = running.ask("/readyz")
    assert status == 503
    return answer["code"]


# --- what is refused before anything is made


@pytest.mark.parametrize(
    ("host", "public_url", "refused"),
    [
        ("127.0.0.1", None, False),
        ("::1", None, False),
        ("localhost", "http://localhost:80", False),
        ("127.0.0.1", PUBLIC, False),
        ("0.0.0.0", PUBLIC, False),
        ("0.0.0.0", None, True),
        ("::", "http://coven.example", True),
        ("192.0.2.1", "http://127.0.0.1:8766", True),
    ],
)
def test_other_machines_are_served_by_https_only(tmp_path, host, public_url, refused):
    given = {"data": tmp_path / "coven.db", "host": host} | ({"public_url": public_url} if public_url else {})
    settings = Settings(**given)

    if not refused:
        check_exposure(settings)
        return
    with pytest.raises(Error) as raised:
        serve(settings, announce=pytest.fail)
    assert raised.value.code == "invalid-setting"
    assert "--public-url https://" in raised.value.remedy
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("host", "public_url", "local"),
    [
        ("127.0.0.1", "http://127.0.0.1:8766", True),
        ("::1", "http://[::1]:8766", True),
        ("127.0.0.1", PUBLIC, False),
        ("0.0.0.0", "https://localhost", False),
    ],
)
def test_the_administrators_token_is_for_this_machine_alone(tmp_path, host, public_url, local):
    assert Settings(data=tmp_path / "x", host=host, public_url=public_url).is_local is local


@pytest.mark.parametrize("option", ["--port", "--admin-port"])
def test_an_address_that_is_taken_is_said(option):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]

        with pytest.raises(Error, match=str(port)) as raised:
            listen("127.0.0.1", port, option)

    assert raised.value.code == "address-in-use"
    assert f"{option} NUMBER" in raised.value.remedy


def test_one_process_serves_a_database(data):
    with hold_database(data), pytest.raises(Error) as raised:
        CliRunner().invoke(serve_command, ["--data", str(data), "--port", "0"], catch_exceptions=False)

    assert raised.value.code == "database-in-use"
    with hold_database(data):
        pass


@pytest.mark.parametrize(
    "make", [lambda path: path.write_bytes(b"x" * 9000), lambda path: path.mkdir()], ids=["garbage", "folder"]
)
def test_what_is_no_database_is_refused(tmp_path, make):
    path = tmp_path / "coven.db"
    make(path)

    with pytest.raises(Error) as raised:
        prepare_database(path)

    assert raised.value.code == "database-unusable"


def test_where_the_database_lies_has_to_be_said(monkeypatch):
    monkeypatch.delenv("COVEN_DATA", raising=False)
    result = CliRunner().invoke(serve_command, [])

    assert result.exit_code == 2
    assert "--data PATH" in result.output


def test_a_setting_that_is_none_is_said(tmp_path):
    arguments = ["--data", str(tmp_path / "x"), "--public-url", "coven.example/"]

    with pytest.raises(Error, match="public_url") as raised:
        CliRunner().invoke(serve_command, arguments, catch_exceptions=False)

    assert raised.value.code == "invalid-setting"


# --- migrate


def test_migrate_makes_the_tables_once(data):
    runs = [CliRunner().invoke(migrate, ["--data", str(data)], catch_exceptions=False) for _ in range(2)]

    assert [each.output for each in runs] == [
        f"{data} was made with version {HEAD}.\n",
        f"{data} has version {HEAD} already.\n",
    ]
    assert stat.S_IMODE(data.stat().st_mode) == 0o600


def test_migrate_leaves_a_database_that_is_served_alone(data):
    with hold_database(data), pytest.raises(Error) as raised:
        CliRunner().invoke(migrate, ["--data", str(data)], catch_exceptions=False)

    assert raised.value.code == "database-in-use"


@pytest.mark.parametrize("command", [serve_command, migrate])
def test_the_help_teaches(command):
    said = CliRunner().invoke(command, ["--help"]).output

    assert "Example" in said
    assert "Exit codes: 0 " in said
