"""The process that stands between us and a runtime, so that nothing the runtime starts can outlive it.

A program of its own, started by `runtime_process` as `python -I -S runtime_supervisor.py`; it imports the standard
library only and is imported by nobody. It is the runtime's parent and, on Linux, the reaper of whatever the runtime's
processes leave behind: a daemon that forks twice and opens its own session still becomes a child of this process, so
that "no child is left" is a fact the kernel states.

Protocol: one line of JSON on stdin says what to start; any byte after it, or the end of stdin, means "end it all": when
our own program dies, however it dies, its end of the pipe closes. One line of JSON on stdout reports the end.
"""

import contextlib
import ctypes
import json
import os
import resource
import select
import signal
import sys
import time
from typing import Any, NoReturn

PR_SET_DUMPABLE = 4  # linux/prctl.h
PR_SET_CHILD_SUBREAPER = 36  # linux/prctl.h; man 2 PR_SET_CHILD_SUBREAPER
WEAK_NOTE = "A process that leaves its process group can outlive the run on this platform."
POLL_SECONDS = 0.02
STOP_ROUNDS = 20
"""How often newly forked processes are looked for before the ones found so far are killed."""


class Supervisor:
    """Starts one program, waits for its end or the order to end it, and then ends everything it left.

    Args:
        order: `argv`, `environment`, `cwd`, `stdout` and `stderr` (file descriptors), `grace_seconds` between the
            request to end and the end by force, `kill_seconds` allowed for the latter, and `proc`, where the process
            table is mounted.
    """

    def __init__(self, order: dict[str, Any]) -> None:
        self.order = order
        self.root = 0
        self.status: int | None = None
        self.asked_to_end = False
        self.ended_pids: set[int] = set()
        self.wake_read, self.wake_write = os.pipe()
        os.set_blocking(self.wake_write, False)
        os.set_blocking(self.wake_read, False)
        signal.set_wakeup_fd(self.wake_write, warn_on_full_buffer=False)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            signal.signal(number, self._note_request)

    def _note_request(self, *_: object) -> None:
        self.asked_to_end = True

    def run(self) -> dict[str, Any]:
        """Return the report."""
        adopts_orphans = become_reaper()
        note = "" if adopts_orphans and has_process_table(self.order["proc"]) else WEAK_NOTE
        failure = self._start()
        if failure is not None:
            os.waitpid(self.root, 0)
            return failure
        close_own_memory()
        while self._reap() and self.status is None and not self.asked_to_end:
            self._wait(None)
        survivors = self._end_everything()
        return {
            "exit_code": self._exit_code(),
            "signal": self._signal(),
            "killed_orphans": len(self.ended_pids - {self.root}),
            "survivors": survivors,
            "cpu_seconds": sum(resource.getrusage(resource.RUSAGE_CHILDREN)[:2]),
            "note": note,
        }

    def _start(self) -> dict[str, Any] | None:
        """Start the program; return None, or where and with which error the start failed."""
        streams = (self.order["stdout"], self.order["stderr"])
        for stream in streams:
            os.set_inheritable(stream, False)
        failure_read, failure_write = os.pipe()
        self.root = os.fork()
        if self.root == 0:
            become_program(self.order, failure_write)
        for descriptor in (failure_write, *streams):
            os.close(descriptor)
        with os.fdopen(failure_read, "rb") as failure:
            text = failure.read(200)
        return json.loads(text) if text else None

    def _wait(self, seconds: float | None) -> None:
        """Sleep until a child ends, a signal or an order comes, or the time is over."""
        watched = [self.wake_read] if self.asked_to_end else [self.wake_read, sys.stdin.fileno()]
        ready, _, _ = select.select(watched, [], [], seconds)
        if self.wake_read in ready:
            with contextlib.suppress(BlockingIOError):
                os.read(self.wake_read, 4096)
        if sys.stdin.fileno() in ready:
            self.asked_to_end = True

    def _reap(self) -> bool:
        """Collect the children that have ended; return whether any child is left."""
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return False
            if pid == 0:
                return True
            if pid == self.root:
                self.status = status

    def _end_everything(self) -> bool:
        """Ask, wait, and kill until the kernel says that no child is left; return whether any is left all the same."""
        self.asked_to_end = True
        if not self._something_left():
            return False
        self._signal_all(signal.SIGTERM)
        # A stopped process hears nothing before it goes on.
        self._signal_all(signal.SIGCONT)
        if self._wait_for_nothing_left(self.order["grace_seconds"]):
            return False
        deadline = time.monotonic() + self.order["kill_seconds"]
        while time.monotonic() < deadline:
            self._stop_all()
            self._signal_all(signal.SIGKILL)
            if self._wait_for_nothing_left(POLL_SECONDS):
                return False
        return True

    def _stop_all(self) -> None:
        """Stop processes until no new one appears: what forks faster than it is found would never be killed."""
        stopped: set[int] = set()
        for _ in range(STOP_ROUNDS):
            fresh = set(self._targets()) - stopped
            if not fresh:
                return
            for target in fresh:
                send(target, signal.SIGSTOP)
            stopped |= fresh

    def _wait_for_nothing_left(self, seconds: float) -> bool:
        deadline = time.monotonic() + seconds
        while self._something_left():
            left = deadline - time.monotonic()
            if left <= 0:
                return False
            self._wait(min(left, POLL_SECONDS))
        return True

    def _something_left(self) -> bool:
        return self._reap() or bool(self._group())

    def _signal_all(self, number: int) -> None:
        for target in self._targets():
            if send(target, number):
                self.ended_pids.add(target)

    def _targets(self) -> list[int]:
        """Return what to signal: all living descendants, or the process group where there is no process table."""
        found = find_descendants(self.order["proc"])
        return self._group() if found is None else found

    def _group(self) -> list[int]:
        """Return the negated process group while it has members; nothing on a platform with a process table."""
        if has_process_table(self.order["proc"]):
            return []
        return [-self.root] if send(-self.root, 0) else []

    def _exit_code(self) -> int | None:
        return os.WEXITSTATUS(self.status) if self.status is not None and os.WIFEXITED(self.status) else None

    def _signal(self) -> int | None:
        return os.WTERMSIG(self.status) if self.status is not None and os.WIFSIGNALED(self.status) else None


def become_reaper() -> bool:
    """Make this process the parent of all orphans among its descendants; return whether the platform can."""
    return set_process_option(PR_SET_CHILD_SUBREAPER, 1)


def close_own_memory() -> None:
    """Close this process's memory and descriptors to other processes of the same user, where that is possible."""
    set_process_option(PR_SET_DUMPABLE, 0)


def set_process_option(option: int, value: int) -> bool:
    """Call prctl; return False on a platform that has no such call, or where it fails."""
    return sys.platform == "linux" and bool(ctypes.CDLL(None).prctl(option, value, 0, 0, 0) == 0)


def become_program(order: dict[str, Any], failure_write: int) -> NoReturn:
    """Turn the forked child into the program; on failure tell the parent and exit."""
    step = "cwd"
    try:
        os.setsid()
        signal.set_wakeup_fd(-1)
        # Python ignores these two, and an ignored signal stays ignored in the program that is started.
        for number in (signal.SIGPIPE, signal.SIGXFSZ):
            signal.signal(number, signal.SIG_DFL)
        # A memory image on disk would hold whatever the program held.
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        prefer_for_out_of_memory(order["proc"])
        os.chdir(order["cwd"])
        step = "exec"
        os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
        os.dup2(order["stdout"], 1)
        os.dup2(order["stderr"], 2)
        os.execvpe(order["argv"][0], order["argv"], order["environment"])  # noqa: S606 - argv is a list, no shell
    except (OSError, ValueError) as error:
        errno = getattr(error, "errno", None)
        os.write(failure_write, json.dumps({"failed": step, "errno": errno}).encode())
    finally:
        os._exit(127)


def prefer_for_out_of_memory(proc: str) -> None:
    """When memory runs out, let the kernel choose the runtime rather than the process that watches it."""
    with contextlib.suppress(OSError), open(f"{proc}/self/oom_score_adj", "w", encoding="ascii") as file:  # noqa: PTH123
        file.write("500")


def send(target: int, number: int) -> bool:
    """Send a signal; return False where nobody is there or the process is not ours to signal."""
    try:
        os.kill(target, number)
    except (ProcessLookupError, PermissionError):
        return False
    return True


def has_process_table(proc: str) -> bool:
    """Whether the processes of this machine can be listed."""
    return os.path.isdir(f"{proc}/self")  # noqa: PTH112 - pathlib would double the time to start


def find_descendants(proc: str) -> list[int] | None:
    """Return the living descendants of this process, parents first; None where there is no process table."""
    children: dict[int, list[int]] = {}
    if not has_process_table(proc):
        return None
    living: set[int] = set()
    for name in os.listdir(proc):  # noqa: PTH208
        if name.isdigit():
            parent, alive = read_parent(f"{proc}/{name}/stat")
            children.setdefault(parent, []).append(int(name))
            if alive:
                living.add(int(name))
    found = list(children.get(os.getpid(), []))
    for pid in found:
        found.extend(children.get(pid, []))
    return [pid for pid in found if pid in living]


def read_parent(path: str) -> tuple[int, bool]:
    """Return a process's parent and whether it is alive; (0, False) for one that is gone."""
    try:
        with open(path, "rb") as file:  # noqa: PTH123
            # man 5 proc_pid_stat: the command in parentheses may itself contain anything, parentheses included.
            state, parent = file.read().rpartition(b")")[2].split()[:2]
    except (OSError, ValueError):
        return 0, False
    return int(parent), state not in (b"Z", b"X")


def read_order() -> dict[str, Any]:
    """Return what to start. Bytes after the line are left unread: they are the order to end."""
    line = bytearray()
    while not line.endswith(b"\n"):
        chunk = os.read(sys.stdin.fileno(), 1 << 16)
        if not chunk:
            sys.exit(0)  # our own program died before it had said what to start
        line += chunk
    order: dict[str, Any] = json.loads(line)
    return order


def main() -> None:
    """Supervise one program."""
    report = Supervisor(read_order()).run()
    os.write(sys.stdout.fileno(), json.dumps(report).encode() + b"\n")


if __name__ == "__main__":
    main()
