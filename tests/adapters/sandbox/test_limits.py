"""Bounds of a tree: what is measured, and the kernel's cgroups where they are ours."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from coven_action.adapters.sandbox import limits as limits_module
from coven_action.adapters.sandbox.limits import (
    BY_CGROUP,
    BY_WATCHER,
    Cgroup,
    LimitedTree,
    find_parents,
    limit_tree,
    measure_folder,
    measure_tree,
)
from coven_action.core.sandbox.request import MIB, SandboxLimits
from tests.sandboxes import missing


def test_a_folder_is_as_large_as_what_it_takes_on_disk(tmp_path):
    (tmp_path / "a").mkdir()
    (tmp_path / "a/file").write_bytes(b"x" * MIB)
    (tmp_path / "sparse").touch()
    os.truncate(tmp_path / "sparse", 1 << 40)
    os.link(tmp_path / "a/file", tmp_path / "second-name")
    (tmp_path / "loop").symlink_to(tmp_path)

    size, hidden = measure_folder(tmp_path)

    assert MIB <= size < MIB + 64 * 1024
    assert not hidden


def test_a_folder_that_is_gone_takes_nothing(tmp_path):
    assert measure_folder(tmp_path / "none") == (0, False)


def test_a_folder_that_cannot_be_looked_into_is_told(tmp_path, monkeypatch):
    (tmp_path / "closed").mkdir()
    real = os.scandir

    def scandir(path):
        if path.endswith("closed"):
            raise PermissionError
        return real(path)

    monkeypatch.setattr(limits_module.os, "scandir", scandir)

    assert measure_folder(tmp_path)[1]


def test_what_is_hidden_is_seen_by_the_disk(tmp_path, monkeypatch):
    tree = LimitedTree(("true",), SandboxLimits(workspace_bytes=MIB), tmp_path)
    monkeypatch.setattr(limits_module, "measure_folder", lambda _: (0, True))
    monkeypatch.setattr(limits_module, "measure_tree", lambda _: (0, 0))
    free = limits_module._get_free_bytes(tmp_path)
    monkeypatch.setattr(limits_module, "_get_free_bytes", lambda _: free - 64 * MIB)

    assert not tree.is_within_bounds(1)
    assert tree.exceeded == "workspace"


@pytest.mark.parametrize(
    ("measured", "exceeded"),
    [((0, 0), ""), ((100, 5), ""), ((101, 0), "memory"), ((0, 6), "processes"), ((101, 6), "memory")],
)
def test_each_bound_is_named(tmp_path, monkeypatch, measured, exceeded):
    monkeypatch.setattr(limits_module, "measure_tree", lambda _: measured)
    tree = LimitedTree(("true",), SandboxLimits(memory_bytes=100, processes=5), tmp_path)

    assert tree.is_within_bounds(1) == (not exceeded)
    monkeypatch.setattr(limits_module, "measure_tree", lambda _: (0, 0))
    assert tree.is_within_bounds(1) == (not exceeded)
    assert tree.exceeded == exceeded


def test_a_tree_is_everything_below_a_process():
    code = "held = bytearray(30 << 20); print('up', flush=True); input()"
    with subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        process.stdout.readline()
        memory, processes = measure_tree(os.getpid())
        process.communicate(b"\n")

    assert memory > 30 * MIB
    assert processes >= 1
    assert measure_tree(process.pid) == (0, 0)


# --- cgroups; a folder stands in for the kernel's where no controller is ours


@pytest.fixture
def parent(tmp_path, monkeypatch):
    """A folder that takes settings as the kernel's would; nothing in it can hold a process."""
    real = Path.mkdir

    def mkdir(self, *args, **options):
        real(self, *args, **options)
        if self.parent == tmp_path:
            for name in ("memory.max", "memory.swap.max", "memory.oom.group", "pids.max", "cgroup.procs"):
                (self / name).touch()

    monkeypatch.setattr(limits_module.Path, "mkdir", mkdir)
    return tmp_path


def test_the_bounds_are_written_before_anything_joins(parent):
    (parent / "cgroup.subtree_control").touch()

    cgroup = Cgroup.make(parent, SandboxLimits(memory_bytes=7, processes=9))

    settings = {path.name: path.read_text() for path in cgroup.folder.iterdir()}
    assert settings == {
        "memory.max": "7",
        "memory.swap.max": "0",
        "memory.oom.group": "1",
        "pids.max": "9",
        "cgroup.procs": "0\n",
    }
    assert (parent / "cgroup.subtree_control").read_text() == "+memory +pids"


def test_what_cannot_join_is_not_started(tmp_path):
    done = subprocess.run(
        Cgroup(tmp_path / "none").join(("echo", "started")), capture_output=True, text=True, check=False
    )

    assert done.returncode != 0
    assert done.stdout == ""


def test_without_controllers_there_is_no_cgroup(tmp_path):
    assert Cgroup.make(tmp_path, SandboxLimits()) is None
    assert list(tmp_path.iterdir()) == []


def test_where_nothing_may_be_made_there_is_no_cgroup(tmp_path):
    assert Cgroup.make(tmp_path / "none", SandboxLimits()) is None


@pytest.mark.parametrize(
    ("name", "text", "exceeded"),
    [
        ("memory.events", "low 0\noom 3\noom_kill 1\n", "memory"),
        ("memory.events", "low 0\noom 3\noom_kill 0\n", ""),
        ("pids.events", "max 2\n", "processes"),
        ("pids.events", "max 0\n", ""),
        ("other", "max 2\n", ""),
    ],
)
def test_the_kernels_word_is_read(tmp_path, name, text, exceeded):
    (tmp_path / name).write_text(text)

    assert Cgroup(tmp_path).find_exceeded() == exceeded


def test_a_tree_says_what_limits_it(tmp_path, monkeypatch):
    made = Cgroup(tmp_path / "made")
    made.folder.mkdir()
    (made.folder / "pids.events").write_text("max 1\n")
    monkeypatch.setattr(limits_module, "find_parents", lambda: iter([tmp_path]))
    monkeypatch.setattr(limits_module.Cgroup, "remove", lambda self: removed.append(self.folder))
    removed = []

    with limit_tree(("true",), SandboxLimits(), tmp_path) as tree:
        assert (tree.argv, tree.limited_by) == (("true",), BY_WATCHER)
    monkeypatch.setattr(limits_module.Cgroup, "make", lambda *_: made)
    with limit_tree(("true",), SandboxLimits(), tmp_path) as tree:
        assert (tree.argv, tree.limited_by) == (made.join(("true",)), BY_CGROUP)

    assert tree.exceeded == "processes"
    assert removed[-1] == made.folder


def test_what_is_left_in_a_cgroup_is_killed_with_it():
    parent = next(find_parents(), None)
    if parent is None or not os.access(parent, os.W_OK):
        missing("no cgroup of version 2 can be made here", needs_root=True)
    cgroup = Cgroup(parent / f"coven-test-{os.getpid()}")
    cgroup.folder.mkdir()
    with subprocess.Popen(cgroup.join(("sleep", "600"))) as process:
        while str(process.pid) not in (cgroup.folder / "cgroup.procs").read_text().split():
            assert process.poll() is None

        cgroup.remove()

        assert process.wait() == -9
    assert not cgroup.folder.exists()
