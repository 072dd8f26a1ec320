"""What a program may reach while it works, and what of this machine it takes to confine it. Pure values.

A request names everything: what it does not name is not there. Paths are absolute and the same inside and outside,
so that a message of the program can be understood outside.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

MIB: Final = 1024 * 1024
START: Final = "import sys; sys.path.insert(0, sys.argv.pop(1)); import entry; entry.main()"
"""How Python starts the entry: as a module, which need not be compiled each time. Its folder is the first argument."""
LAST_PORT: Final = 65535
RELAY_PORT: Final = 8377
"""Where the relay listens inside, on loopback, in a network of its own: nothing else listens there."""


@dataclass(frozen=True, slots=True)
class Bind:
    """A file or folder of this machine that exists inside, under the same path.

    Attributes:
        path: Absolute.
        writable: Whether it may be changed.
    """

    path: str
    writable: bool = False


@dataclass(frozen=True, slots=True)
class SandboxLimits:
    """The bounds of the whole tree of processes; wall clock and output are `ProcessLimits`.

    Attributes:
        memory_bytes: Resident memory of all processes together, and data of each.
        processes: Processes and threads at a time.
        workspace_bytes: Size of the working folder; no single file may grow larger.
        scratch_bytes: Size of each temporary file system: /tmp and /dev/shm.
    """

    memory_bytes: int = 8192 * MIB
    processes: int = 1024
    workspace_bytes: int = 4096 * MIB
    scratch_bytes: int = 1024 * MIB


@dataclass(frozen=True, slots=True)
class SandboxRequest:
    """One program to confine.

    Attributes:
        argv: The program, absolute or looked up in the PATH of `environment`, and its arguments.
        environment: Its whole environment; no secret.
        folder: Its working folder, writable.
        binds: What else of this machine exists inside.
        gateway: The path of the one socket that leads out; empty where none does.
        relay_port: Where on loopback the relay forwards to that socket.
        limits: The bounds of the tree.
        network: Whether the program shares the machine's network, see `network.py`; never beside a gateway, which would
            then be a way out among others.
    """

    argv: tuple[str, ...]
    environment: Mapping[str, str]
    folder: str
    binds: tuple[Bind, ...] = ()
    gateway: str = ""
    relay_port: int = RELAY_PORT
    limits: SandboxLimits = SandboxLimits()
    network: bool = False

    def __post_init__(self) -> None:
        paths = [self.folder, *(bind.path for bind in self.binds), *([self.gateway] if self.gateway else [])]
        if not self.argv:
            raise ValueError("a request names a program")
        for path in paths:
            if not is_plain_path(path):
                raise ValueError(f"not an absolute path without `..`: {path!r}")
        if not 1 <= self.relay_port <= LAST_PORT:
            raise ValueError(f"no port: {self.relay_port}")
        if self.network and self.gateway:
            raise ValueError("a gateway is the only way out, or none")


@dataclass(frozen=True, slots=True)
class Machine:
    """What of this machine a sandbox is built from, as the adapter found it.

    Attributes:
        architecture: `x86_64` or `aarch64`; another one has no filter of system calls and so no sandbox.
        bubblewrap: The programs to try, absolute, best first.
        sudo: The words that make a command root's: empty where this process is root, None where nothing does.
        shell: A POSIX shell.
        python: The interpreter that runs what we start inside, not through any link.
        python_home: The folder that interpreter needs.
        programs: The folder of `entry.py`, `relay.py` and `probe.py`.
        folders: Folders of the system that hold programs and libraries: `/usr`, and `/lib` where that is a folder.
        links: Links beside them: (`/lib`, `usr/lib`).
        landlock: The version of Landlock that the kernel offers; 0 for none.
        uid: The user this process runs as.
        gid: Its group.
    """

    architecture: str
    bubblewrap: tuple[str, ...]
    sudo: tuple[str, ...] | None
    shell: str
    python: str
    python_home: str
    programs: str
    folders: tuple[str, ...]
    links: tuple[tuple[str, str], ...]
    landlock: int
    uid: int
    gid: int


@dataclass(frozen=True, slots=True)
class Place:
    """The private folder of one sandbox: what it is told, outside of what the program can write.

    Attributes:
        folder: Holds `order`, `filter` and the `etc` of the sandbox.
        scratch: A folder for temporary files where /tmp is not the sandbox's own; else unused.
    """

    folder: str
    scratch: str

    @property
    def order(self) -> str:
        """What the entry is told."""
        return f"{self.folder}/order"

    @property
    def filter(self) -> str:
        """The filter of system calls, as the kernel takes it."""
        return f"{self.folder}/filter"

    @property
    def etc(self) -> str:
        """The few files that stand in /etc inside."""
        return f"{self.folder}/etc"


@dataclass(frozen=True, slots=True)
class Launch:
    """A request, made into what has to be started and written.

    Attributes:
        argv: To be started with an empty environment, in the root folder.
        order: The directives for the entry, in order: (word, value).
        filter: The filter that bubblewrap loads; empty where the entry loads it.
    """

    argv: tuple[str, ...]
    order: tuple[tuple[str, str], ...]
    filter: bytes = b""


def is_plain_path(path: str) -> bool:
    """Say whether a path is absolute, is not the root itself, and leads nowhere by `..` or an empty name."""
    names = path.split("/")
    return len(names) > 1 and names[0] == "" and not {"", ".", ".."} & set(names[1:]) and "\0" not in path


def render_order(order: tuple[tuple[str, str], ...]) -> bytes:
    """Return the directives as the entry reads them: `word value`, each ended by a zero byte.

    Raises:
        ValueError: A value holds a zero byte, which would begin a directive of its own, or half of a surrogate pair.
    """
    for word, value in order:
        if "\0" in word or "\0" in value:
            raise ValueError(f"a zero byte in the directive {word}")
    return b"".join(f"{word} {value}".encode("utf-8", "surrogateescape") + b"\0" for word, value in order)


def build_order(request: SandboxRequest, *, user: tuple[int, int] | None = None) -> tuple[tuple[str, str], ...]:
    """Return what every entry is told: environment, limits, relay, folder.

    Args:
        request: What to confine.
        user: (uid, gid) to become first; None to stay.
    """
    limits = request.limits
    order = [("env", f"{name}={value}") for name, value in request.environment.items()]
    # man 2 setrlimit: DATA is what a process may write to, FSIZE the size of a file, NPROC counts within the user
    # namespace. AS is not limited: runtimes with a collector reserve far more addresses than they use.
    order += [
        ("limit", f"data {limits.memory_bytes}"),
        ("limit", f"fsize {limits.workspace_bytes}"),
        ("limit", f"nproc {limits.processes}"),
    ]
    if request.gateway:
        # Taken hold of before another user is become, who may not enter the socket's folder.
        order.append(("gateway", request.gateway))
    if user is not None:
        order.append(("user", f"{user[0]} {user[1]}"))
    if request.gateway:
        order.append(("relay", str(request.relay_port)))
    order.append(("folder", request.folder))
    return tuple(order)


def build_etc(uid: int, gid: int, *, network: bool = False) -> dict[str, str]:
    """Return the files of /etc inside, by name: enough to have a name and to find loopback, and nothing of the machine.

    Args:
        uid: The user inside.
        gid: Its group.
        network: Whether other hosts are found as well. Only by asking a name server: what else a machine has for that, a
            service behind a socket or a bus, is not there.
    """
    return {
        "passwd": f"agent:x:{uid}:{gid}:agent:/tmp:/bin/sh\n",
        "group": f"agent:x:{gid}:\n",
        "hosts": "127.0.0.1 localhost\n::1 localhost\n",
        "nsswitch.conf": f"passwd: files\ngroup: files\nhosts: files{' dns' if network else ''}\n",
    }
