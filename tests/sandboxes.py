"""Sandboxes for tests: found or skipped, weakened in one respect, and run under a stand-in for a hosted runner."""

import ctypes
import os
import platform
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from coven_action.adapters.sandbox.machine import find_machine, is_closed
from coven_action.adapters.sandbox.sandbox import Sandbox, build_unconfined, list_sandboxes
from coven_action.core.contract.process_report import ProcessReport
from coven_action.core.sandbox.backends import build_launch
from coven_action.core.sandbox.request import Launch, Machine, SandboxRequest
from coven_action.core.sandbox.seccomp import CLONE_NEWUSER, EPERM, Rule, assemble

Weaken = Callable[[Launch, SandboxRequest], Launch]
ARCHITECTURE = {"x86_64": "x86_64", "aarch64": "aarch64"}.get(platform.machine(), "")


def missing(reason: str, *, needs_root: bool = False) -> None:
    """Skip, or fail where everything is required; what needs root is required of root alone."""
    required = os.environ.get("REQUIRE_ALL") and (os.geteuid() == 0 or not needs_root)
    pytest.fail(reason) if required else pytest.skip(reason)


def get_sandbox(backend: str, machine: Machine | None = None) -> Sandbox:
    """Return a sandbox of this machine; `none` stands for the one that confines nothing."""
    found = machine or find_machine()
    if backend == "none":
        return build_unconfined(found)
    for sandbox in list_sandboxes(found):
        if sandbox.backend == backend:
            return sandbox
    missing(f"{backend} cannot be built here", needs_root=backend == "root-bubblewrap")
    raise AssertionError


def close_programs(sandbox: Sandbox, folder: Path) -> Sandbox:
    """Return the same sandbox, with what it starts inside in a folder that its owner alone may enter."""
    programs = folder / "closed" / "inside"
    shutil.copytree(sandbox.machine.programs, programs)
    programs.parent.chmod(0o700)
    return replace(sandbox, machine=replace(sandbox.machine, programs=str(programs)))


def need_open_checkout() -> None:
    """Skip where the tests' own files are closed to the user that a test becomes."""
    if os.geteuid() == 0 and is_closed(Path(__file__).resolve().parent):
        missing("this checkout lies where its owner alone may enter, and the test runs as another user")


def weaken(sandbox: Sandbox, how: Weaken) -> Sandbox:
    """Return the same sandbox, but for what `how` takes away."""

    def build(*args, **options):
        return how(build_launch(*args, **options), args[1])

    return replace(sandbox, build=build)


@contextmanager
def open_base() -> Iterator[Path]:
    """A folder that any user may enter: pytest's own are closed to whom root becomes."""
    with tempfile.TemporaryDirectory(prefix="coven-test-", ignore_cleanup_errors=True) as folder:
        Path(folder).chmod(0o755)
        yield Path(folder)


# --- what can be taken away


def drop(launch: Launch, *words: str) -> Launch:
    """Without these words, which stand together."""
    argv = list(launch.argv)
    at = next(at for at in range(len(argv)) if tuple(argv[at : at + len(words)]) == words)
    del argv[at : at + len(words)]
    return replace(launch, argv=tuple(argv))


def mount(launch: Launch, *words: str) -> Launch:
    """With these words behind all other mounts."""
    at = launch.argv.index("--remount-ro")
    return replace(launch, argv=(*launch.argv[:at], *words, *launch.argv[at:]))


def tell(launch: Launch, *directives: tuple[str, str]) -> Launch:
    """With these directives behind the others."""
    return replace(launch, order=(*launch.order, *directives))


def untell(launch: Launch, *words: str) -> Launch:
    """Without these directives."""
    return replace(launch, order=tuple(told for told in launch.order if told[0] not in words))


def refuse_only(launch: Launch, rules: tuple[Rule, ...]) -> Launch:
    """With a filter of these rules."""
    return replace(launch, filter=assemble(ARCHITECTURE, rules))


# --- a runner that sees to nothing


def run_plainly(argv, *, environment, cwd, limits, write, within_bounds) -> ProcessReport:
    """Run a program and leave what it leaves: what `run_process` would end stays."""
    with subprocess.Popen(
        argv, env=environment, cwd=cwd, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
    ) as process:
        line = process.stdout.readline()
        write(line)
        code = process.wait(limits.seconds)
    return ProcessReport(
        exit_code=code,
        signal=None,
        duration_seconds=0.0,
        cpu_seconds=0.0,
        timed_out=False,
        output_flooded=False,
        output_bytes=len(line),
        output_truncated=False,
        stdout_tail=line,
        killed_orphans=0,
        survivors=False,
        supervised=False,
        note="",
    )


# --- the stand-in for a hosted runner

PR_SET_NO_NEW_PRIVS = 38
PR_SET_SECCOMP = 22
SECCOMP_MODE_FILTER = 2
CLONE_WITHOUT_FLAGS = Rule("clone3", 38)
HOSTED_RUNNER = (
    Rule("unshare", EPERM, 0, bits=CLONE_NEWUSER),
    Rule("clone", EPERM, 0, bits=CLONE_NEWUSER),
    CLONE_WITHOUT_FLAGS,
)
"""New user namespaces are refused, as Ubuntu 24.04 refuses them to programs without a profile."""


def refuse_user_namespaces() -> None:
    """Refuse new user namespaces to this process and all it starts, for good. Root keeps its other rights.

    Root may load a filter without giving up new privileges, so that what it starts is as a hosted runner's is.
    """
    library = ctypes.CDLL(None, use_errno=True)
    if os.geteuid() != 0:
        library.prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
    code = assemble(ARCHITECTURE, HOSTED_RUNNER)
    steps = ctypes.create_string_buffer(code, len(code))

    class Program(ctypes.Structure):
        _fields_ = (("length", ctypes.c_ushort), ("steps", ctypes.c_void_p))

    program = Program(len(code) // 8, ctypes.addressof(steps))
    if library.prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, ctypes.byref(program), 0, 0):
        raise OSError(ctypes.get_errno(), "no filter could be loaded")


def has_route() -> bool:
    """Whether a packet could leave this machine."""
    lines = Path("/proc/net/route").read_text(encoding="ascii").splitlines()[1:]
    return any(line.split()[1] == "00000000" for line in lines)
