"""Run a program and everything it starts, within limits, and leave nothing of it behind.

The program gets exactly the environment it is given, an empty stdin, and a session of its own. However the run ends
(by itself, by a limit, by an interrupt, by our own death), the whole tree of processes ends with it;
`runtime_supervisor` is the parent that sees to that. Nothing here waits for the end of a pipe: an orphan may hold it
open for ever. One run at a time in a process.
"""

import contextlib
import ctypes
import errno
import json
import math
import os
import selectors
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from io import FileIO
from pathlib import Path
from typing import Any, Final, Self

from coven_action.core.contract.process_output import ProcessLimits, ProcessOutput
from coven_action.core.contract.process_report import ProcessReport
from coven_action.errors import RuntimeFault

SUPERVISOR: Final = Path(__file__).with_name("runtime_supervisor.py")
READ_BYTES: Final = 64 * 1024
REPORT_BYTES: Final = 4096
SUPERVISOR_MARGIN_SECONDS: Final = 5.0
"""What the supervisor may take beyond its own limits before it counts as lost: what it watches may have stopped it."""
POLL_SECONDS: Final = 0.01
WATCH_SECONDS: Final = 0.2
PR_SET_CHILD_SUBREAPER: Final = 36  # linux/prctl.h
PR_GET_CHILD_SUBREAPER: Final = 37
NOT_FOUND: Final = frozenset({errno.ENOENT, errno.EACCES, errno.ENOTDIR, errno.EISDIR})


def run_process(
    argv: Sequence[str],
    *,
    environment: Mapping[str, str],
    cwd: Path,
    limits: ProcessLimits,
    write: Callable[[bytes], object],
    within_bounds: Callable[[int], bool] | None = None,
    proc: Path = Path("/proc"),
) -> ProcessReport:
    """Run a program to its end and report how it ended.

    Args:
        argv: The program, looked up in the given PATH, and its arguments.
        environment: Its whole environment.
        cwd: Where it starts.
        limits: The bounds of the run.
        write: Where its output goes, in whole lines (see `ProcessOutput`). What it raises ends the tree and is raised.
        within_bounds: Asked every `WATCH_SECONDS` with the number of the process that the tree descends from; False
            ends the tree.
        proc: The process table. Without one, only the process group is known.

    Raises:
        RuntimeFault: `runtime-not-installed` or `runtime-not-started`.
    """
    order = {
        "argv": list(argv),
        "environment": dict(environment),
        "cwd": str(cwd),
        "proc": str(proc),
        "grace_seconds": limits.grace_seconds,
        "kill_seconds": limits.kill_seconds,
    }
    output = ProcessOutput(limits, write)
    with _adopting_orphans(), _Run(order, limits) as run:
        run.watch(output, within_bounds)
    return _build_report(run, output, argv[0])


class _Run:
    """One supervised run; leaving the context ends whatever is left of it."""

    def __init__(self, order: dict[str, Any], limits: ProcessLimits) -> None:
        self.order = order
        self.limits = limits
        self.ending_seconds = limits.grace_seconds + limits.kill_seconds + SUPERVISOR_MARGIN_SECONDS
        self.started = time.monotonic()
        self.seconds = 0.0
        self.timed_out = False
        self.report_text = bytearray()
        self.older_children = _find_foreign_children(Path(order["proc"]))
        self.adopted: set[int] = set()
        self.left_over = False

    def __enter__(self) -> Self:
        self.streams: dict[str, FileIO] = {}
        theirs: dict[str, FileIO] = {}
        for name in ("stdout", "stderr", "report"):
            self.streams[name], theirs[name] = _make_pipe()
            os.set_blocking(self.streams[name].fileno(), False)
        theirs["control"], self.control = _make_pipe()
        try:
            self.supervisor = _start_supervisor(theirs)
        except OSError as error:
            _close([*self.streams.values(), self.control])
            raise RuntimeFault("runtime-not-started", f"The supervisor could not be started: {error}.") from error
        finally:
            _close(theirs.values())
        self.order |= {"stdout": theirs["stdout"].name, "stderr": theirs["stderr"].name}
        # A supervisor that died at once is noticed by the report it did not write.
        with contextlib.suppress(BrokenPipeError):
            _write_all(self.control, json.dumps(self.order).encode() + b"\n")
        return self

    def __exit__(self, *_: object) -> None:
        self.end()
        try:
            self.supervisor.wait(0 if self.left_over else self.ending_seconds)
        except subprocess.TimeoutExpired:
            self.supervisor.kill()
            self.supervisor.wait()
        if not self.report:
            self._end_adopted()
        self.seconds = time.monotonic() - self.started
        _close(self.streams.values())

    @property
    def report(self) -> dict[str, Any]:
        """The supervisor's report; empty where it was lost before it could write one."""
        return parse_report(bytes(self.report_text))

    def watch(self, output: ProcessOutput, within_bounds: Callable[[int], bool] | None) -> None:
        """Take output until the supervisor has reported the end, or is lost."""
        next_step = self.started + self.limits.seconds
        next_look = self.started + WATCH_SECONDS if within_bounds else math.inf
        outside = False
        ending = False
        with selectors.DefaultSelector() as selector:
            for name, stream in self.streams.items():
                selector.register(stream, selectors.EVENT_READ, name)
            running = True
            while running:
                now = time.monotonic()
                if ending and now >= next_step:
                    self.left_over = True
                    break
                if within_bounds and not ending and now >= next_look:
                    outside = not within_bounds(self.supervisor.pid)
                    next_look = time.monotonic() + WATCH_SECONDS
                if not ending and (now >= next_step or output.flooded or outside):
                    self.timed_out = now >= next_step
                    ending, next_step = True, now + self.ending_seconds
                    self.end()
                for key, _ in selector.select(min(next_step, next_step if ending else next_look) - now):
                    if not self._read(key.data, output):
                        selector.unregister(key.fileobj)
                        running = running and key.data != "report"
        self._drain(output)
        output.finish()

    def end(self) -> None:
        """Order the supervisor to end everything; a second order changes nothing."""
        self.control.close()

    def _read(self, name: str, output: ProcessOutput) -> bool:
        """Take what is there; return False at the end of the stream."""
        chunk = self.streams[name].read(READ_BYTES)
        if name == "report":
            self.report_text += (chunk or b"")[: REPORT_BYTES - len(self.report_text)]
        elif chunk:
            output.take(name, chunk)
        return chunk is None or bool(chunk)

    def _drain(self, output: ProcessOutput) -> None:
        """Take what the pipes still hold, without waiting for their end."""
        for name in ("stdout", "stderr"):
            while not output.flooded and (chunk := self.streams[name].read(READ_BYTES)):
                output.take(name, chunk)

    def _end_adopted(self) -> None:
        """Kill what became our own child because the supervisor was lost, until nothing more does."""
        proc = Path(self.order["proc"])
        deadline = time.monotonic() + self.limits.kill_seconds
        while (adopted := _find_foreign_children(proc) - self.older_children) and time.monotonic() < deadline:
            self.adopted |= adopted
            for pid in adopted:
                with contextlib.suppress(ProcessLookupError, PermissionError):
                    os.kill(pid, signal.SIGKILL)
                with contextlib.suppress(ChildProcessError):
                    os.waitpid(pid, os.WNOHANG)
            time.sleep(POLL_SECONDS)
        self.left_over = bool(adopted) or not proc.is_dir()


def parse_report(text: bytes) -> dict[str, Any]:
    """Return the supervisor's report; empty where there is none that can be read."""
    try:
        report = json.loads(text)
    except ValueError:
        return {}
    return report if isinstance(report, dict) else {}


def _build_report(run: _Run, output: ProcessOutput, program: str) -> ProcessReport:
    report = run.report
    if "failed" in report:
        raise _explain_failure(program, report)
    return ProcessReport(
        exit_code=report.get("exit_code"),
        signal=report.get("signal"),
        duration_seconds=run.seconds,
        cpu_seconds=report.get("cpu_seconds", 0.0),
        timed_out=run.timed_out,
        output_flooded=output.flooded,
        output_bytes=output.total,
        output_truncated=output.truncated,
        stdout_tail=output.stdout_tail,
        killed_orphans=report.get("killed_orphans", len(run.adopted)),
        survivors=report.get("survivors", run.left_over),
        supervised=bool(report),
        note=report.get("note", ""),
    )


def _explain_failure(program: str, report: Mapping[str, Any]) -> RuntimeFault:
    number = report.get("errno") or errno.EINVAL
    if report["failed"] == "cwd":
        return RuntimeFault("runtime-not-started", f"Its working directory cannot be entered: {os.strerror(number)}.")
    code = "runtime-not-installed" if number in NOT_FOUND else "runtime-not-started"
    return RuntimeFault(code, f"{Path(program).name} cannot be started: {os.strerror(number)}.", place=program)


def _start_supervisor(theirs: Mapping[str, FileIO]) -> "subprocess.Popen[bytes]":
    # Only what Python itself may need to start; the program's environment travels inside the order.
    environment = {name: os.environ[name] for name in ("LD_LIBRARY_PATH",) if name in os.environ}
    return subprocess.Popen(
        [sys.executable, "-I", "-S", "-X", "utf8", str(SUPERVISOR)],
        stdin=theirs["control"],
        stdout=theirs["report"],
        stderr=subprocess.DEVNULL,
        pass_fds=(theirs["stdout"].fileno(), theirs["stderr"].fileno()),
        env=environment,
        cwd="/",
        start_new_session=True,
    )


@contextlib.contextmanager
def _adopting_orphans() -> Iterator[None]:
    """Let orphans become our own children while the supervisor could be killed by what it watches."""
    if sys.platform != "linux":
        yield
        return
    libc = ctypes.CDLL(None)
    before = ctypes.c_int()
    libc.prctl(PR_GET_CHILD_SUBREAPER, ctypes.byref(before), 0, 0, 0)
    libc.prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    try:
        yield
    finally:
        libc.prctl(PR_SET_CHILD_SUBREAPER, before.value, 0, 0, 0)


def _find_foreign_children(proc: Path) -> set[int]:
    """Return our children of another session: what we start ourselves shares ours, and nothing can join it."""
    found = set()
    for path in proc.glob("[0-9]*/stat"):
        try:
            # man 5 proc_pid_stat: after the command in parentheses come state, parent, group and session.
            fields = path.read_bytes().rpartition(b")")[2].split()
        except OSError:
            continue
        if int(fields[1]) == os.getpid() and int(fields[3]) != os.getsid(0):
            found.add(int(path.parent.name))
    return found


def _make_pipe() -> tuple[FileIO, FileIO]:
    reader, writer = os.pipe()
    return FileIO(reader, "rb"), FileIO(writer, "wb")


def _write_all(file: FileIO, data: bytes) -> None:
    while data:
        data = data[file.write(data) :]


def _close(files: Any) -> None:
    for file in files:
        file.close()
