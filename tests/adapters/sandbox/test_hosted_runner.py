"""A stand-in for hosted runners: where new user namespaces are refused, the level that is reached is stated truly.

It is a filter of system calls here and a security module there: what a job on GitHub sees is only simulated.
"""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pydantic
import pytest

from coven_action.adapters.sandbox import machine as machine_module
from coven_action.adapters.sandbox.machine import find_bubblewrap, find_landlock, find_sudo
from tests.sandboxes import get_sandbox, missing, need_open_checkout, open_base, refuse_user_namespaces

ROOT = os.geteuid() == 0
USER = 61234
REPOSITORY = Path(__file__).parents[3]
# A program that starts as root and stays it, as sudo does: the interpreter itself, with the bit set.
BECOME_ROOT = "import os, sys; os.setgid(0); os.setuid(0); os.execvp(sys.argv[1], sys.argv[1:])"


@pytest.fixture
def base():
    if not any(find_bubblewrap()):
        missing("bubblewrap is not installed")
    with open_base() as folder:
        if ROOT:
            os.chown(folder, USER, USER)
        yield folder


def find_python():
    """An interpreter of this version that any user can start."""
    candidates = (Path(sys.executable).resolve(), Path(f"/usr/bin/python3.{sys.version_info.minor}"))
    for python in candidates:
        if python.exists() and all(parent.stat().st_mode & 1 for parent in python.parents):
            return python
    missing("no interpreter that another user can start", needs_root=True)
    raise AssertionError


def become_hosted_runner():
    refuse_user_namespaces()
    if ROOT:
        os.setgroups([])
        os.setgid(USER)
        os.setuid(USER)


def try_as_hosted_runner(base, *sudo, landlock="yes"):
    need_open_checkout()
    search = [REPOSITORY, REPOSITORY / "src", Path(pydantic.__file__).parents[1]]
    bubblewrap = ":".join(str(path.parent) for path in find_bubblewrap())
    done = subprocess.run(
        [find_python(), "-P", Path(__file__).with_name("hosted_runner.py"), base, landlock, *sudo],
        env={
            "PATH": f"{bubblewrap}:/usr/bin:/bin",
            "PYTHONPATH": ":".join(map(str, search)),
            "PYTHONDONTWRITEBYTECODE": "1",
            "HOME": str(base),
        },
        preexec_fn=become_hosted_runner,
        capture_output=True,
        text=True,
        check=False,
        cwd="/",
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def list_levels(answer):
    return [(attempt["backend"], attempt["level"]) for attempt in answer["attempts"]]


def list_bubblewraps(level):
    return [("bubblewrap", level) for _ in find_bubblewrap()]


def test_without_sudo_landlock_reaches_partial_and_no_more(base):
    if find_landlock() < 6:
        missing("this kernel's Landlock does not limit TCP and signals")

    answer = try_as_hosted_runner(base)

    assert ("bubblewrap", "none") in list_levels(answer)
    assert ("root-bubblewrap", "none") in list_levels(answer)
    assert list_levels(answer)[-1] == ("landlock", "partial")
    assert answer["backend"] == "landlock"
    assert answer["attempts"][0]["reason"]
    assert answer["left"] == []


def test_without_sudo_and_landlock_nothing_is_reached(base):
    answer = try_as_hosted_runner(base, landlock="no")

    assert {level for _, level in list_levels(answer)} == {"none"}
    assert all(attempt["reason"] for attempt in answer["attempts"])
    assert answer["backend"] is None


def test_with_sudo_everything_is_held_by_another_user(base):
    if not ROOT:
        missing("a stand-in for sudo can be made by root alone", needs_root=True)
    sudo = base / "become-root"
    shutil.copy(find_python(), sudo)
    sudo.chmod(0o4755)
    if os.statvfs(base).f_flag & os.ST_NOSUID:
        missing("this file system knows no setuid programs", needs_root=True)

    answer = try_as_hosted_runner(base, str(sudo), "-I", "-S", "-c", BECOME_ROOT)

    assert list_levels(answer)[-1] == ("root-bubblewrap", "enforced")
    assert answer["backend"] == "root-bubblewrap"
    assert answer["said"] == f"{USER} []\n" * 2
    assert answer["left"] == []


def test_the_filter_refuses_what_a_hosted_runner_refuses():
    done = subprocess.run(
        ["unshare", "--user", "true"], preexec_fn=refuse_user_namespaces, capture_output=True, check=False
    )

    assert done.returncode != 0
    assert b"not permitted" in done.stderr


# --- whether sudo asks for a password


@pytest.fixture
def ordinary(monkeypatch):
    monkeypatch.setattr(machine_module.os, "geteuid", lambda: 1000)


@pytest.mark.parametrize(("code", "found"), [(0, True), (1, False)])
@pytest.mark.usefixtures("ordinary")
def test_sudo_counts_only_where_it_asks_for_nothing(tmp_path, monkeypatch, code, found):
    program = tmp_path / "sudo"
    program.write_text(f'#!/bin/sh\n[ "$*" = "-n -- true" ] || exit 9\nexit {code}\n')
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))

    assert find_sudo() == ((str(program), "-n", "--") if found else None)


@pytest.mark.usefixtures("ordinary")
def test_without_sudo_nothing_makes_a_command_roots(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))

    assert find_sudo() is None


@pytest.mark.skipif(not ROOT, reason="root alone needs nothing to be root")
def test_root_needs_no_sudo():
    assert find_sudo() == ()
    assert get_sandbox("bubblewrap").machine.sudo == ()
