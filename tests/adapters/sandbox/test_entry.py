"""The entry, started by itself: every directive is obeyed, or the program never starts."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from coven_action.adapters.sandbox.inside import entry
from coven_action.core.sandbox.request import START, render_order
from tests.sandboxes import missing

PROGRAMS = Path(entry.__file__).parent


def start(folder, order, *argv, mark="--", first=None):
    path = folder / "order"
    path.write_bytes(order if isinstance(order, bytes) else render_order(tuple(order)))
    return subprocess.run(
        [sys.executable, "-I", "-S", "-c", START, PROGRAMS, path, mark, *argv],
        env={"STRAY": "1"},
        capture_output=True,
        text=True,
        check=False,
        cwd="/",
        preexec_fn=first,
    )


def test_the_program_gets_the_environment_of_the_order_and_no_other(tmp_path):
    done = start(tmp_path, [("env", "PATH=/usr/bin:/bin"), ("env", "A=x=y\nz")], "env")

    assert (done.returncode, done.stdout) == (0, "PATH=/usr/bin:/bin\nA=x=y\nz\n")


# Signals 32 and 33 are the C library's own: whoever started the tests may ignore them, and no program can say otherwise.
OF_THE_C_LIBRARY = 0b11 << 31


def ignore_signals():
    """As a shell does for what it starts in the background, and nohup for whatever it starts."""
    for number in (signal.SIGINT, signal.SIGQUIT, signal.SIGHUP, signal.SIGTERM, signal.SIGRTMIN):
        signal.signal(number, signal.SIG_IGN)


@pytest.mark.parametrize("first", [None, ignore_signals], ids=["nobody", "a shell"])
def test_no_signal_is_ignored_for_the_program(tmp_path, first):
    order = [("env", "PATH=/usr/bin:/bin")]
    done = start(tmp_path, order, "grep", "SigIgn", "/proc/self/status", first=first)

    name, ignored = done.stdout.split()
    assert name == "SigIgn:"
    assert int(ignored, 16) & ~OF_THE_C_LIBRARY == 0


@pytest.mark.parametrize(("script", "code"), [("exit 5", 5), ("kill -9 $$", 137), ("kill -TERM $$", 143), ("true", 0)])
@pytest.mark.parametrize("first", [[("first", "")], []], ids=["first", "itself"])
def test_it_ends_as_the_program_does(tmp_path, script, code, first):
    done = start(tmp_path, first, "/bin/sh", "-c", script)

    assert done.returncode == (code if first or code < 128 else 128 - code)


def test_it_starts_in_the_folder(tmp_path):
    done = start(tmp_path, [("env", "PATH=/usr/bin:/bin"), ("folder", str(tmp_path))], "pwd")

    assert done.stdout == f"{tmp_path}\n"


@pytest.mark.parametrize(
    ("name", "number", "option"), [("data", 1 << 30, "-d"), ("fsize", 1 << 20, "-f"), ("nproc", 99, "-p")]
)
def test_limits_hold_for_good(tmp_path, name, number, option):
    unit = {"data": 1024, "fsize": 512, "nproc": 1}[name]
    done = start(tmp_path, [("limit", f"{name} {number}")], "/bin/sh", "-c", f"ulimit -S {option}; ulimit -H {option}")

    assert done.stdout.split() == [str(number // unit)] * 2


def test_a_limit_that_is_lower_already_stays(tmp_path):
    order = [("limit", "fsize 1048576"), ("limit", "fsize 2097152")]

    assert start(tmp_path, order, "/bin/sh", "-c", "ulimit -f").stdout.split() == ["2048"]


@pytest.mark.parametrize(
    "order",
    [
        [("wish", "well")],
        [("limit", "stars 5")],
        [("limit", "data much")],
        [("user", "root")],
        [("folder", "/no/such/folder")],
        [("gateway", "/no/such/socket")],
        [("gateway", "/dev/null"), ("relay", "70000")],
        [("gateway", "/dev/null"), ("relay", "x")],
        [("relay", "8377")],
        [("port", "2 80")],
        [("path", "4 /usr")],
        [("restrict", "")],
        [("filter", "no hexadecimal")],
        [("filter", "00")],
        [("landlock", "1")],
        [("landlock", f"{1 << 40} 0 0")],
        b"\0",
        b"\xff 1\0",
    ],
    ids=str,
)
def test_what_cannot_be_obeyed_ends_the_start(tmp_path, order):
    if order == [("user", "root")] and os.geteuid() != 0:
        order = [("user", "0 0")]

    done = start(tmp_path, order, "/bin/echo", "started")

    assert done.returncode == 125
    assert done.stdout == ""
    assert done.stderr.startswith("sandbox: ")


@pytest.mark.parametrize(("mark", "argv"), [("--", ()), ("-", ("/bin/true",))])
def test_without_a_program_nothing_starts(tmp_path, mark, argv):
    assert start(tmp_path, [], *argv, mark=mark).returncode == 125


def test_without_an_order_nothing_starts(tmp_path):
    done = subprocess.run(
        [sys.executable, "-I", "-S", "-c", START, PROGRAMS, tmp_path / "none", "--", "/bin/echo", "started"],
        capture_output=True,
        text=True,
        check=False,
    )

    assert (done.returncode, done.stdout) == (125, "")


def test_root_becomes_another_user_for_good(tmp_path):
    if os.geteuid() != 0:
        missing("only root can become another user", needs_root=True)

    done = start(tmp_path, [("user", "61234 61235")], "/bin/sh", "-c", "id; grep Cap /proc/self/status")

    assert "uid=61234 gid=61235 groups=61235" in done.stdout
    capabilities = dict(line.split() for line in done.stdout.splitlines() if line.startswith("Cap"))
    assert {capabilities[name] for name in ("CapInh:", "CapPrm:", "CapEff:", "CapAmb:")} == {"0" * 16}
