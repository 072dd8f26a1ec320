"""Every probe notices its escape: the sandbox is weakened in that respect, and the level drops."""

import os
import socket
from dataclasses import replace
from pathlib import Path

import pytest

from coven_action.adapters.runtime_process import run_process
from coven_action.adapters.sandbox.inside.probe import DEVICES, TRIES
from coven_action.adapters.sandbox.machine import find_machine
from coven_action.adapters.sandbox.proving import prove
from coven_action.core.isolation import LEVELS
from coven_action.core.sandbox.bubblewrap import KERNEL_FILES, NO_CAPABILITIES, OPEN_FILTER
from coven_action.core.sandbox.probes import PROBE_NAMES, PROBES
from coven_action.core.sandbox.seccomp import OWN, REFUSED
from tests.processes import end_processes_that_name
from tests.sandboxes import (
    drop,
    get_sandbox,
    has_route,
    missing,
    mount,
    open_base,
    refuse_only,
    run_plainly,
    tell,
    untell,
    weaken,
)

RULES = (*REFUSED, *OWN)
ROOT = os.geteuid() == 0


@pytest.fixture(scope="module")
def base():
    with open_base() as folder:
        home = folder / "home"
        (home / ".ssh").mkdir(parents=True)
        for name in (".netrc", ".bashrc", "env", "actions"):
            (home / name).write_text("canary")
        (folder / "runner").mkdir()
        (folder / "bin").mkdir()
        (folder / "bin/sudo").write_text("#!/bin/sh\nexit 0\n")
        (folder / "bin/sudo").chmod(0o755)
        yield folder


@pytest.fixture(scope="module")
def prove_weakened(base):
    """Prove a sandbox that lacks something; several probes may look at the same one."""
    environ = {"HOME": str(base / "home"), "GITHUB_ENV": str(base / "home/env"), "RUNNER_TEMP": str(base / "runner")}
    known = {}

    def prove_once(name, how, backend="bubblewrap", run=run_process):
        if name not in known:
            sandbox = weaken(get_sandbox(backend), lambda launch, request: how(launch, Path(request.folder).parent))
            known[name] = prove(sandbox, run, base, environ)
        return known[name]

    return prove_once


def without(*calls):
    return tuple(rule for rule in RULES if rule.call not in calls)


def share_network(launch, _):
    return drop(launch, "--unshare-net")


def share_first_process(launch, _):
    return untell(drop(launch, "--as-pid-1"), "first")


def share_processes(launch, _):
    return mount(drop(share_first_process(launch, _), "--unshare-pid"), "--ro-bind", "/proc", "/proc")


def share_all_devices(launch, _):
    return mount(drop(launch, "--remount-ro", "/dev"), "--dev-bind", "/dev", "/dev")


def open_kernel_files(launch, _):
    for path in KERNEL_FILES:
        launch = drop(launch, "--ro-bind-try", path, path)
    return launch


def lift_landlock(launch, _):
    return untell(launch, "restrict", "user")


def bind(kind, *names):
    """Bind what lies beside the sandbox's folders, or in the folder of all of these tests."""

    def how(launch, top):
        path = str(top.joinpath(*names).resolve())
        return mount(launch, kind, path, path)

    return how


# Probe -> what the sandbox lacks: a name, the change, and the backend where it is not bubblewrap.
WEAKENED = {
    "gateway": ("no relay", lambda launch, _: untell(launch, "relay")),
    "file-outside": ("a bind too many", bind("--ro-bind", "outside")),
    "file-modes": ("a bind too many, for writing", bind("--bind", "outside")),
    "home-folder": ("home", bind("--ro-bind", "..", "home")),
    "credential-files": ("netrc", bind("--ro-bind", "..", "home/.netrc")),
    "environment": ("a variable", lambda launch, _: tell(launch, ("env", "STRAY=1"))),
    "descriptors": (
        "a descriptor",
        lambda launch, _: replace(
            launch, argv=tuple(f'{word} 8<"$0"' if word == OPEN_FILTER else word for word in launch.argv)
        ),
    ),
    "shared-memory": ("ipc", lambda launch, _: drop(launch, "--unshare-ipc")),
    "runner-files": ("runner file", bind("--bind", "..", "home/env")),
    "runner-folders": ("runner folder", bind("--bind", "..", "runner")),
    "start-files": ("start file", bind("--bind", "..", "home/.bashrc")),
    "process-list": ("pid", share_processes),
    "process-environment": ("landlock", lift_landlock, "landlock"),
    "process-memory": ("landlock", lift_landlock, "landlock"),
    "process-descriptors": ("landlock", lift_landlock, "landlock"),
    "process-links": ("first process", share_first_process),
    "ptrace": ("landlock", lift_landlock, "landlock"),
    "signal": ("landlock", lift_landlock, "landlock"),
    "unix-socket": ("service", bind("--ro-bind", "outside/service.sock")),
    "sudo": (
        "sudo",
        lambda launch, top: tell(
            bind("--ro-bind", "..", "bin")(launch, top), ("env", f"PATH={(top / '../bin').resolve()}:/usr/bin:/bin")
        ),
    ),
    "setuid": ("privileges", lambda launch, _: untell(launch, "restrict", "filter"), "landlock"),
    "capabilities": ("capabilities", lambda launch, _: drop(mount(launch, "--cap-add", "ALL"), *NO_CAPABILITIES)),
    "user-namespace": ("namespaces", lambda launch, _: refuse_only(launch, without("unshare", "clone", "clone3"))),
    "kernel-settings": ("kernel files", open_kernel_files),
    "devices": ("devices", share_all_devices),
    "keyring": ("keyring", lambda launch, _: refuse_only(launch, without("keyctl"))),
    "terminal-input": ("terminal", lambda launch, _: refuse_only(launch, without("ioctl"))),
    "tcp-ports": ("network", share_network),
    "tcp-ipv4": ("network", share_network),
    "tcp-ipv6": ("network", share_network),
    "udp": ("network", share_network),
    "dns": ("network", share_network),
    "abstract-socket": ("network", share_network),
    "metadata": ("network", share_network),
    # Added capabilities pass through the start of a program for the sandbox's own root alone.
    "raw-socket": (
        "raw",
        lambda launch, _: mount(launch, "--uid", "0", "--gid", "0", "--cap-add", "CAP_NET_RAW"),
    ),
    "host-socket": ("host", lambda launch, _: refuse_only(launch, without("socket"))),
}


def has_device():
    for name in DEVICES:
        try:
            os.close(os.open(f"/dev/{name}", os.O_RDONLY | os.O_NONBLOCK))
        except OSError:
            continue
        return True
    return False


def has_ipv6():
    try:
        with socket.socket(socket.AF_INET6) as listener:
            listener.bind(("::1", 0))
    except OSError:
        return False
    return True


def has_host_socket():
    try:
        socket.socket(socket.AF_VSOCK, socket.SOCK_STREAM).close()
    except OSError:
        return False
    return Path("/dev/vsock").exists()


def can_type():
    setting = Path("/proc/sys/dev/tty/legacy_tiocsti")
    return not setting.exists() or setting.read_text().strip() == "1"


def can_trace():
    setting = Path("/proc/sys/kernel/yama/ptrace_scope")
    return ROOT or not setting.exists() or setting.read_text().strip() == "0"


# What the machine itself must have for an escape to be possible at all: (it has, why not).
NEEDED = {
    "devices": (has_device, "this user can open no device at all"),
    "tcp-ipv6": (has_ipv6, "this machine has no IPv6 loopback"),
    "dns": (has_route, "nothing leaves this machine"),
    "metadata": (has_route, "nothing leaves this machine"),
    "host-socket": (has_host_socket, "this machine is no virtual machine with a line to its host"),
    "terminal-input": (can_type, "this kernel lets nobody type into a terminal"),
    "ptrace": (can_trace, "this kernel lets nobody trace a process that is not its own"),
}


def check_possible(probe):
    has, why_not = NEEDED.get(probe, (lambda: True, ""))
    if not has():
        pytest.skip(why_not)


@pytest.mark.parametrize("probe", WEAKENED)
def test_the_level_drops_when_this_escape_is_open(probe, prove_weakened):
    check_possible(probe)
    needed_for = next(known.needed_for for known in PROBES if known.name == probe)

    attempt = prove_weakened(*WEAKENED[probe])

    result = next(result for result in attempt.results if result.probe == probe)
    assert attempt.reason == ""
    assert result.outcome == ("not tried" if probe == "gateway" else "escaped")
    assert result.detail
    assert LEVELS.index(attempt.level) < LEVELS.index(needed_for)


def test_what_outlives_the_end_is_seen(base):
    sandbox = weaken(get_sandbox("bubblewrap"), share_processes)

    attempt = prove(sandbox, run_plainly, base, {})

    assert end_processes_that_name(base) > 0
    assert attempt.level == "none"
    assert {result.probe: result.outcome for result in attempt.results}["survival"] == "escaped"


def test_every_probe_has_its_escape():
    assert set(WEAKENED) | {"survival"} == set(PROBE_NAMES)
    assert list(TRIES) == [name for name in TRIES if name in PROBE_NAMES]
    assert set(TRIES) == set(PROBE_NAMES)


def test_the_sandbox_that_is_shipped_holds_everything(base):
    attempt = prove(get_sandbox("bubblewrap"), run_process, base, os.environ)

    assert [result for result in attempt.results if result.outcome != "held"] == []
    assert attempt.level == "enforced"


def test_as_root_it_holds_everything_without_a_user_namespace_too(base):
    machine = find_machine()
    if machine.sudo is None:
        missing("only root can do without a user namespace", needs_root=True)

    attempt = prove(get_sandbox("root-bubblewrap"), run_process, base, os.environ)

    assert [result for result in attempt.results if result.outcome != "held"] == []
    assert attempt.level == "enforced"


def test_landlock_alone_leaves_the_network(base):
    sandbox = get_sandbox("landlock")
    if sandbox.machine.landlock < 6:
        missing("this kernel's Landlock does not limit TCP and signals")

    attempt = prove(sandbox, run_process, base, os.environ)

    escaped = {result.probe for result in attempt.results if result.outcome != "held"}
    assert attempt.level == "partial"
    assert escaped <= {"tcp-ipv4", "metadata"}
    assert "tcp-ipv4" in escaped
