"""The rules of Landlock for a request. Pure: the kernel's version in, directives for the entry out.

https://docs.kernel.org/userspace-api/landlock.html. Landlock limits what a process may open, connect and signal; it
hides neither names of files nor the network's addresses, and lets an owner change modes, so that the filter of system
calls has to refuse more.
"""

from typing import Final

from coven_action.core.sandbox.network import NETWORK_FILES, NETWORK_FOLDERS
from coven_action.core.sandbox.request import START, Launch, Machine, Place, SandboxRequest, build_order
from coven_action.core.sandbox.seccomp import build_filter

# linux/landlock.h: LANDLOCK_ACCESS_FS_*, in the order of their bits.
EXECUTE, WRITE_FILE, READ_FILE, READ_DIR = 1 << 0, 1 << 1, 1 << 2, 1 << 3
# Version -> how many rights over files it knows, from the lowest bit.
FILE_RIGHTS: Final = {1: 13, 2: 14, 3: 15, 5: 16}
TRUNCATE: Final = 1 << 14
READ: Final = EXECUTE | READ_FILE | READ_DIR
DEVICE: Final = READ_FILE | WRITE_FILE | TRUNCATE
BIND_TCP, CONNECT_TCP = 1 << 0, 1 << 1
NETWORK_SINCE: Final = 4
SCOPE_ABSTRACT_SOCKETS, SCOPE_SIGNALS = 1 << 0, 1 << 1
SCOPES_SINCE: Final = 6

DEVICES: Final = ("/dev/null", "/dev/zero", "/dev/full", "/dev/random", "/dev/urandom")
SYSTEM_FILES: Final = (
    "/etc/ld.so.cache", "/etc/ld.so.conf", "/etc/ld.so.conf.d", "/etc/alternatives", "/etc/localtime", "/etc/passwd",
    "/etc/group", "/etc/hosts", "/etc/nsswitch.conf",
    # The program's own entry in the process table, as the entry sees it, and what runtimes ask about the machine.
    "/proc/self", "/proc/cpuinfo", "/proc/meminfo", "/proc/stat", "/proc/sys/vm/overcommit_memory",
)  # fmt: skip


def get_handled(version: int) -> tuple[int, int, int]:
    """Return what a version can refuse: rights over files, over the network, scopes."""
    known = max((count for since, count in FILE_RIGHTS.items() if since <= version), default=0)
    network = BIND_TCP | CONNECT_TCP if version >= NETWORK_SINCE else 0
    scopes = SCOPE_ABSTRACT_SOCKETS | SCOPE_SIGNALS if version >= SCOPES_SINCE else 0
    return (1 << known) - 1, network, scopes


def build_landlock(
    request: SandboxRequest, machine: Machine, place: Place, user: tuple[int, int] | None = None
) -> Launch:
    """Confine by Landlock and the filter of system calls, both loaded by the entry.

    Args:
        request: What to confine. With `network`, TCP and UDP lead anywhere.
        machine: Its `landlock` is the version of the kernel.
        place: The folder of this sandbox; its scratch stands for /tmp.
        user: (uid, gid) to become first, where this process is root; None to stay.

    Raises:
        ValueError: The kernel has no Landlock.
    """
    if not machine.landlock:
        raise ValueError("the kernel has no Landlock")
    files, network, scopes = get_handled(machine.landlock)
    network = 0 if request.network else network
    readable = [*machine.folders, *(path for path, _ in machine.links), *SYSTEM_FILES]
    readable += [*NETWORK_FILES, *NETWORK_FOLDERS] if request.network else []
    readable += [machine.python_home, machine.programs, *(bind.path for bind in request.binds if not bind.writable)]
    writable = [request.folder, place.scratch, *(bind.path for bind in request.binds if bind.writable)]
    order = [*build_order(request, user=user), ("env", f"TMPDIR={place.scratch}")]
    order += [("landlock", f"{files} {network} {scopes}")]
    order += [("path", f"{READ & files} {path}") for path in readable]
    order += [("path", f"{DEVICE & files} {path}") for path in DEVICES]
    order += [("path", f"{files} {path}") for path in writable]
    if network and request.gateway:
        order.append(("port", f"{CONNECT_TCP} {request.relay_port}"))
    order.append(("restrict", ""))
    code = build_filter(machine.architecture, shared=True, same_user=user is None, network=request.network)
    order.append(("filter", code.hex()))
    argv = (machine.python, "-I", "-S", "-c", START, machine.programs, place.order, "--", *request.argv)
    return Launch(argv, tuple(order))
