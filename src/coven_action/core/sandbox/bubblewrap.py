"""The command line of bubblewrap for a request. Pure.

bwrap(1): https://manpages.debian.org/bookworm/bubblewrap/bwrap.1.en.html. Every namespace is named: `--unshare-all`
takes the user and cgroup namespaces only where it can get them, and would go on without.
"""

from dataclasses import replace
from pathlib import PurePosixPath
from typing import Final

from coven_action.core.sandbox.landlock import SCOPE_ABSTRACT_SOCKETS, get_handled
from coven_action.core.sandbox.network import NETWORK_FILES, NETWORK_FOLDERS
from coven_action.core.sandbox.request import START, Launch, Machine, Place, SandboxRequest, build_order
from coven_action.core.sandbox.seccomp import build_filter

NETWORK_NAMESPACE: Final = "--unshare-net"
NAMESPACES: Final = ("--unshare-ipc", "--unshare-pid", NETWORK_NAMESPACE, "--unshare-uts", "--unshare-cgroup")
USER_NAMESPACE: Final = "--unshare-user"
ENDINGS: Final = ("--die-with-parent", "--new-session")
# The first process inside is the entry, not bubblewrap's own: that one's program is a file outside, open to its owner by
# /proc/1/exe.
FIRST_PROCESS: Final = "--as-pid-1"
NO_CAPABILITIES: Final = ("--cap-drop", "ALL")
# What the entry needs to become the user, and loses by becoming it.
CAPABILITIES_TO_LEAVE_ROOT: Final = ("--cap-add", "CAP_SETUID", "--cap-add", "CAP_SETGID")
HOSTNAME: Final = "sandbox"

PROGRAMS: Final = "/run/coven/programs"
ORDER: Final = "/run/coven/order"
GATEWAY: Final = "/run/coven/gateway"
# The loader's cache and Debian's links between programs: neither is a secret, and programs do not start without them.
# They are bound over what stands for them in the sandbox's own /etc.
SYSTEM_FILES: Final = ("/etc/ld.so.cache", "/etc/alternatives")
# Some of the kernel's files are open to everybody, and more of them to a root that has lost its capabilities, up to a check
# when they are written. bubblewrap covers what its own user may write of the others.
KERNEL_FILES: Final = ("/proc/sys", "/proc/pressure")
# `$0` is the filter; sudo closes what it inherits, so the shell that opens it stands behind sudo.
OPEN_FILTER: Final = 'exec "$@" 9<"$0"'
FILTER_DESCRIPTOR: Final = "9"


def build_bubblewrap(program: str, request: SandboxRequest, machine: Machine, place: Place) -> Launch:
    """Confine by a user namespace, which needs no privilege."""
    return _build(program, (USER_NAMESPACE,), request, machine, place, user=None)


def build_root_bubblewrap(
    program: str, request: SandboxRequest, machine: Machine, place: Place, user: tuple[int, int]
) -> Launch:
    """Confine as root, where the kernel refuses a user namespace to others, and become `user` inside.

    Args:
        program: bubblewrap.
        request: What to confine.
        machine: Its `sudo` is not None.
        place: The folder of this sandbox.
        user: (uid, gid), not root's: the owner of the working folder, who can then work in it.

    Raises:
        ValueError: `user` is root, or nothing makes a command root's.
    """
    if machine.sudo is None or 0 in user:
        raise ValueError("root is needed outside and refused inside")
    launch = _build(program, CAPABILITIES_TO_LEAVE_ROOT, request, machine, place, user=user)
    return Launch((*machine.sudo, *launch.argv), launch.order, launch.filter)


def _build(
    program: str,
    privilege: tuple[str, ...],
    request: SandboxRequest,
    machine: Machine,
    place: Place,
    *,
    user: tuple[int, int] | None,
) -> Launch:
    namespaces = (name for name in NAMESPACES if not (request.network and name == NETWORK_NAMESPACE))
    argv = (
        *(machine.shell, "-c", OPEN_FILTER, place.filter),
        *(program, *namespaces, *ENDINGS, FIRST_PROCESS, *NO_CAPABILITIES, *privilege),
        *("--seccomp", FILTER_DESCRIPTOR, "--hostname", HOSTNAME),
        *_list_files(request, machine, place),
        *("--remount-ro", "/dev", "--remount-ro", "/", "--chdir", "/", "--"),
        *(machine.python, "-I", "-S", "-c", START, PROGRAMS, ORDER, "--", *request.argv),
    )
    inside = replace(request, gateway=GATEWAY if request.gateway else "")
    scopes = _scope_abstract_sockets(machine) if request.network else ()
    order = (*build_order(inside, user=user), *scopes, ("first", ""))
    return Launch(argv, order, build_filter(machine.architecture, network=request.network))


def _scope_abstract_sockets(machine: Machine) -> tuple[tuple[str, str], ...]:
    """Return directives that keep the program from abstract sockets outside, which belong to the network it shares."""
    scopes = get_handled(machine.landlock)[2] & SCOPE_ABSTRACT_SOCKETS
    return (("landlock", f"0 0 {scopes}"), ("restrict", "")) if scopes else ()


def _list_files(request: SandboxRequest, machine: Machine, place: Place) -> tuple[str, ...]:
    """Return every mount: what stands later covers what stands earlier, so temporary ones come before the binds."""
    size = str(request.limits.scratch_bytes)
    words = ["--proc", "/proc", "--dev", "/dev"]
    words += [word for path in KERNEL_FILES for word in ("--ro-bind-try", path, path)]
    for folder in ("/dev/shm", "/tmp"):  # noqa: S108 - inside, these are file systems of the sandbox alone
        words += ["--perms", "1777", "--size", size, "--tmpfs", folder]
    words += [word for path in machine.folders for word in ("--ro-bind", path, path)]
    words += [word for path, target in machine.links for word in ("--symlink", target, path)]
    words += [word for path in _list_parents(request, machine) for word in ("--perms", "0755", "--dir", path)]
    words += ["--ro-bind", place.etc, "/etc"]
    shared = (*SYSTEM_FILES, *((*NETWORK_FILES, *NETWORK_FOLDERS) if request.network else ()))
    words += [word for path in shared for word in ("--ro-bind-try", path, path)]
    if not _is_below(machine.python_home, machine.folders):
        words += ["--ro-bind", machine.python_home, machine.python_home]
    words += ["--ro-bind", machine.programs, PROGRAMS, "--ro-bind", place.order, ORDER]
    if request.gateway:
        words += ["--ro-bind", request.gateway, GATEWAY]
    readable = tuple(bind.path for bind in request.binds if not bind.writable)
    for bind in request.binds:
        # What is there already is not bound again: a link in its place would lead bubblewrap to a file that it cannot make.
        others = tuple(path for path in readable if path != bind.path)
        if bind.writable or not _is_below(bind.path, others):
            words += ["--bind" if bind.writable else "--ro-bind", bind.path, bind.path]
    return (*words, "--bind", request.folder, request.folder)


def _list_parents(request: SandboxRequest, machine: Machine) -> tuple[str, ...]:
    """Return the folders above every bind, outer ones first: bubblewrap would make them for root alone."""
    paths = [request.folder, machine.python_home, PROGRAMS, *(bind.path for bind in request.binds)]
    parents = {str(parent): None for path in paths for parent in reversed(PurePosixPath(path).parents)}
    return tuple(path for path in parents if path != "/" and not _is_below(path, machine.folders))


def _is_below(path: str, folders: tuple[str, ...]) -> bool:
    return any(path == folder or path.startswith(f"{folder}/") for folder in folders)
