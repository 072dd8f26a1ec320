"""Bounds of a whole tree of processes: by the kernel's cgroups where they are ours to use, else by watching.

The watcher looks a few times a second, so that a tree can be over a bound for that long. Limits of each single process
(`SandboxLimits`) hold besides, at once. What is in force is named by `LimitedTree.limited_by`.
"""

import contextlib
import os
import stat
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from coven_action.core.sandbox.request import SandboxLimits

BY_CGROUP: Final = "cgroup v2, and a watcher for the size of the working folder"
BY_WATCHER: Final = "limits of each process, and a watcher over the tree"
PAGE_BYTES: Final = os.sysconf("SC_PAGE_SIZE")
BLOCK_BYTES: Final = 512
"""Unit of `st_blocks`, whatever the file system (man 3 stat)."""
WALK_SHARE: Final = 10
"""A walk through the working folder is not repeated before ten times its duration has passed."""
JOIN: Final = 'echo 0 >"$0" && exec "$@"'
"""`$0` is the cgroup's list of processes; what cannot join is not started."""
KILL_SECONDS: Final = 10.0


@dataclass
class LimitedTree:
    """A command line with bounds, and the question whether they hold.

    Attributes:
        argv: What to start.
        limits: The bounds.
        folder: The working folder, whose size is bounded.
        limited_by: What holds memory and processes.
        exceeded: Which bound was passed: `memory`, `processes` or `workspace`; empty while none is.
    """

    argv: tuple[str, ...]
    limits: SandboxLimits
    folder: Path
    limited_by: str = BY_WATCHER
    exceeded: str = ""
    _free_at_start: int = 0
    _next_walk: float = 0.0

    def __post_init__(self) -> None:
        self._free_at_start = _get_free_bytes(self.folder)

    def is_within_bounds(self, root: int) -> bool:
        """Look at everything that descends from the process `root`; what was exceeded once stays so."""
        if not self.exceeded:
            memory, processes = measure_tree(root)
            if memory > self.limits.memory_bytes:
                self.exceeded = "memory"
            elif processes > self.limits.processes:
                self.exceeded = "processes"
            elif self._measure_folder() > self.limits.workspace_bytes:
                self.exceeded = "workspace"
        return not self.exceeded

    def _measure_folder(self) -> int:
        """Return the size of the folder, or 0 while it was walked through only just now."""
        started = time.monotonic()
        if started < self._next_walk:
            return 0
        size, hidden = measure_folder(self.folder)
        if hidden:
            # What may not be looked into is on the same disk.
            size = max(size, self._free_at_start - _get_free_bytes(self.folder))
        ended = time.monotonic()
        self._next_walk = ended + WALK_SHARE * (ended - started)
        return size


@contextmanager
def limit_tree(argv: tuple[str, ...], limits: SandboxLimits, folder: Path) -> Iterator[LimitedTree]:
    """Yield a command line with bounds; the cgroup that was made for it is emptied and removed on leaving."""
    cgroup = next(filter(None, (Cgroup.make(parent, limits) for parent in find_parents())), None)
    if cgroup is None:
        yield LimitedTree(argv, limits, folder)
        return
    tree = LimitedTree(cgroup.join(argv), limits, folder, limited_by=BY_CGROUP)
    try:
        yield tree
    finally:
        tree.exceeded = tree.exceeded or cgroup.find_exceeded()
        cgroup.remove()


def measure_tree(root: int, proc: Path = Path("/proc")) -> tuple[int, int]:
    """Return the private resident bytes, and the number of threads, of everything below a process."""
    children: dict[int, list[int]] = {}
    threads: dict[int, int] = {}
    for name in (path.name for path in proc.iterdir()):
        if name.isdigit():
            with contextlib.suppress(OSError, ValueError, IndexError):
                # man 5 proc_pid_stat: the parent is the second field behind the command, threads the eighteenth.
                fields = (proc / name / "stat").read_bytes().rpartition(b")")[2].split()
                children.setdefault(int(fields[1]), []).append(int(name))
                threads[int(name)] = int(fields[17])
    below = list(children.get(root, []))
    for pid in below:
        below.extend(children.get(pid, []))
    return sum(_measure_memory(proc, pid) for pid in below), sum(threads[pid] for pid in below)


def _measure_memory(proc: Path, pid: int) -> int:
    with contextlib.suppress(OSError, ValueError):
        _, resident, shared, *_ = (proc / str(pid) / "statm").read_bytes().split()
        return (int(resident) - int(shared)) * PAGE_BYTES
    return 0


def measure_folder(folder: Path) -> tuple[int, bool]:
    """Return the bytes that a tree of files takes on disk, and whether some folder in it could not be looked into."""
    size, hidden, seen = 0, False, set()
    waiting = [os.fspath(folder)]
    while waiting:
        try:
            with os.scandir(waiting.pop()) as entries:
                for entry in entries:
                    with contextlib.suppress(FileNotFoundError):
                        found = entry.stat(follow_symlinks=False)
                        if stat.S_ISDIR(found.st_mode):
                            waiting.append(entry.path)
                        # A file with several names is there once.
                        if found.st_nlink == 1 or found.st_ino not in seen:
                            size += found.st_blocks * BLOCK_BYTES
                        seen.add(found.st_ino)
        except FileNotFoundError:
            continue
        except OSError:
            hidden = True
    return size, hidden


def _get_free_bytes(folder: Path) -> int:
    found = os.statvfs(folder)
    return found.f_bfree * found.f_frsize


@dataclass
class Cgroup:
    """A cgroup of version 2 for one tree: https://docs.kernel.org/admin-guide/cgroup-v2.html.

    Attributes:
        folder: Its folder in the kernel's file system.
    """

    folder: Path
    _before: dict[str, int] = field(default_factory=dict)

    @classmethod
    def make(cls, parent: Path, limits: SandboxLimits) -> "Cgroup | None":
        """Make one below `parent` and prove that a process can join it; None where the kernel or its owner refuses."""
        cgroup = cls(parent / f"coven-{os.getpid()}-{time.monotonic_ns()}")
        settings = {
            "memory.max": str(limits.memory_bytes),
            "memory.swap.max": "0",
            "memory.oom.group": "1",
            "pids.max": str(limits.processes),
        }
        try:
            with contextlib.suppress(OSError):
                # Refused where the parent has processes of its own; it may have been allowed before us.
                _write(parent / "cgroup.subtree_control", "+memory +pids")
            cgroup.folder.mkdir()
        except OSError:
            return None
        try:
            for name, value in settings.items():
                _write(cgroup.folder / name, value)
            subprocess.run(cgroup.join(("true",)), check=True, capture_output=True, timeout=KILL_SECONDS)
        except (OSError, subprocess.SubprocessError):
            cgroup.remove()
            return None
        return cgroup

    def join(self, argv: tuple[str, ...]) -> tuple[str, ...]:
        """Return a command line that joins first."""
        return ("/bin/sh", "-c", JOIN, str(self.folder / "cgroup.procs"), *argv)

    def find_exceeded(self) -> str:
        """Return the bound at which the kernel ended or refused something; empty for none."""
        for name, key, bound in (("memory.events", "oom_kill", "memory"), ("pids.events", "max", "processes")):
            with contextlib.suppress(OSError):
                for line in (self.folder / name).read_text(encoding="ascii").splitlines():
                    found, _, count = line.partition(" ")
                    if found == key and int(count):
                        return bound
        return ""

    def remove(self) -> None:
        """Kill what is left in it, wait for the end, and remove it."""
        with contextlib.suppress(OSError):
            _write(self.folder / "cgroup.kill", "1")
        deadline = time.monotonic() + KILL_SECONDS
        while self.folder.exists() and time.monotonic() < deadline:
            try:
                self.folder.rmdir()
            except OSError:
                time.sleep(0.01)


def _write(path: Path, value: str) -> None:
    """Write a setting that the kernel offers; what it does not offer is not made."""
    with path.open("r+", encoding="ascii") as file:
        file.write(value)


def find_parents() -> Iterator[Path]:
    """Yield the cgroups of version 2 below which one of ours could be made: our own, and the one above it."""
    mount = _find_mount()
    if mount is None:
        return
    with contextlib.suppress(OSError):
        for line in Path("/proc/self/cgroup").read_text(encoding="utf-8").splitlines():
            number, _, path = line.partition("::")
            if number == "0":
                own = mount / path.lstrip("/")
                yield own
                if own != mount:
                    yield own.parent


def _find_mount() -> Path | None:
    # man 5 proc_pid_mountinfo: behind the lone dash stands the type; the mount point is the fifth field.
    with contextlib.suppress(OSError):
        for line in Path("/proc/self/mountinfo").read_text(encoding="utf-8").splitlines():
            fields, _, kind = line.partition(" - ")
            if kind.startswith("cgroup2 "):
                return Path(fields.split()[4])
    return None
