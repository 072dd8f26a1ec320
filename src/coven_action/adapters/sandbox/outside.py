"""The world outside a sandbox, as a probe should not reach it: baits laid for it, and what this machine really has.

Everything that is laid is taken up again on leaving. What the probe could not know (a datagram that arrived, a daemon
that is still there) is looked at here, afterwards.
"""

import contextlib
import ctypes
import errno
import fcntl
import json
import os
import platform
import pwd
import secrets
import socket
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, Self

from coven_action.core.contract.platforms import find_architecture
from coven_action.core.sandbox.probes import ProbeResult

PROBE: Final = "probe.py"
LOOPBACK: Final = "127.0.0.1"
OTHER_LOOPBACK: Final = "127.0.0.2"
# Asked where the machine names no server: in TEST-NET-2 nobody answers, but a packet could leave.
NO_NAME_SERVER: Final = "198.51.100.53"
CREDENTIALS: Final = (
    ".ssh", ".git-credentials", ".netrc", ".aws/credentials", ".config/gh/hosts.yml", ".config/gcloud", ".npmrc",
    ".docker/config.json", ".kube/config", ".pypirc", ".gnupg", ".config/git/credentials",
)  # fmt: skip
SYSTEM_CREDENTIALS: Final = ("/etc/shadow", "/etc/ssl/private", "/etc/sudoers")
START_FILES: Final = (".bashrc", ".bash_profile", ".profile", ".zshrc", ".gitconfig", ".config/git", ".local/bin")
SYSTEM_START_FILES: Final = ("/etc/profile", "/etc/bash.bashrc", "/etc/gitconfig", "/usr/local/bin")
RUNNER_FILES: Final = ("GITHUB_ENV", "GITHUB_PATH", "GITHUB_OUTPUT", "GITHUB_STATE", "GITHUB_STEP_SUMMARY")
RUNNER_FOLDERS: Final = ("RUNNER_TEMP", "RUNNER_TOOL_CACHE", "AGENT_TOOLSDIRECTORY", "GITHUB_ACTION_PATH")
SERVICES: Final = (
    "/run/docker.sock", "/var/run/docker.sock", "/run/containerd/containerd.sock", "/run/podman/podman.sock",
    "/run/dbus/system_bus_socket", "/run/systemd/private", "/run/systemd/resolve/io.systemd.Resolve",
    "/run/snapd.socket", "/run/nscd/socket",
)  # fmt: skip

ADD_KEY: Final = {"x86_64": 248, "aarch64": 217}
KEYCTL: Final = {"x86_64": 250, "aarch64": 219}
KEYCTL_UNLINK: Final = 9
KEY_SPEC_SESSION_KEYRING: Final = -3
IPC_PRIVATE: Final = 0
IPC_RMID: Final = 0


@dataclass
class Outside:
    """The baits, and the document that tells the probe of them.

    Args:
        folder: A folder of ours that the sandbox is not given.
        workspace: The folder that it is given.
        environ: The runner's environment, whose files and folders are named by it.
        port: The port of the gateway inside.
    """

    folder: Path
    workspace: Path
    environ: Mapping[str, str]
    port: int
    token: str = field(default_factory=lambda: f"coven-bait-{secrets.token_hex(16)}")

    def __enter__(self) -> Self:
        with contextlib.ExitStack() as stack:
            # As the gateway's own: open to every user, in a folder that nobody else may enter.
            (self.folder / "gateway").mkdir(mode=0o700)
            self.gateway = str(self.folder / "gateway/socket")
            stack.enter_context(_answer(Path(self.gateway), self.token))
            self.bait_file = _write(self.folder / "secret", self.token)
            self.runner_file = _write(self.folder / "env", "")
            self.start_folder = self.folder / "hooks"
            self.start_folder.mkdir()
            self.bait, self.descriptor = stack.enter_context(_keep_process(self.token))
            self.shared = stack.enter_context(_share_memory(self.token))
            self.key = stack.enter_context(_lay_key(self.token))
            self.service = str(self.folder / "service.sock")
            stack.enter_context(_listen_at(Path(self.service)))
            stack.enter_context(_listen(socket.AF_UNIX, f"\0{self.token}"))
            self.tcp = stack.enter_context(_listen(socket.AF_INET, (LOOPBACK, 0)))
            self.udp = stack.enter_context(contextlib.closing(socket.socket(socket.AF_INET, socket.SOCK_DGRAM)))
            self.udp.bind((LOOPBACK, 0))
            self.other_ipv4 = _try_listen(stack, socket.AF_INET, (OTHER_LOOPBACK, self.port))
            self.other_ipv6 = _try_listen(stack, socket.AF_INET6, ("::1", self.port))
            self._stack = stack.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    @property
    def lock(self) -> Path:
        """What the daemon holds as long as it lives."""
        return self.workspace / "daemon.lock"

    def describe(self, variables: Iterable[str], readable: Path) -> str:
        """Return the document for the probe.

        Args:
            variables: The names of those that the sandbox is given.
            readable: A file that it is given, for reading only.
        """
        homes = list_homes(self.environ)
        checkout = Path(self.environ.get("GITHUB_WORKSPACE") or self.folder)
        runner = [self.environ[name] for name in RUNNER_FILES if self.environ.get(name)]
        folders = [self.environ[name] for name in RUNNER_FOLDERS if self.environ.get(name)]
        actions = [str(Path(folder).parent / "_actions") for folder in folders[:1]]
        world: dict[str, Any] = {
            "architecture": find_architecture(platform.machine()),
            "folder": str(self.workspace),
            "lock": str(self.lock),
            "gateway_port": self.port,
            "gateway_answer": self.token,
            "files": [str(self.bait_file)],
            "homes": _identify(homes),
            "credentials": _identify(
                [*_join(homes, CREDENTIALS), *SYSTEM_CREDENTIALS, str(checkout / ".git/config"), str(self.bait_file)]
            ),
            "environment": sorted(variables),
            "given": str(readable),
            "shared_memory": self.shared,
            "runner_files": _identify([str(self.runner_file), *runner]),
            "runner_folders": _identify([str(self.folder), *folders, *actions]),
            "start_files": _identify(
                [*_join(homes, START_FILES), *SYSTEM_START_FILES, str(checkout / ".git/hooks"), str(self.start_folder)]
            ),
            "bait": {"pid": self.bait.pid, "descriptor": self.descriptor, "token": self.token},
            "unix_sockets": [self.service, *SERVICES],
            "abstract_socket": self.token,
            "tcp_port": self.tcp.getsockname()[1],
            "udp_port": self.udp.getsockname()[1],
            "has_other_ipv4": self.other_ipv4,
            "has_other_ipv6": self.other_ipv6,
            "name_servers": _list_name_servers() or [NO_NAME_SERVER],
            "key": self.key,
        }
        return json.dumps(world)

    def look(self) -> Iterator[ProbeResult]:
        """Yield what can be seen only from here, after the end: it adds escapes and takes none away."""
        self.udp.setblocking(False)
        with contextlib.suppress(BlockingIOError):
            if self.udp.recv(len(self.token)) == self.token.encode():
                yield ProbeResult(probe="udp", outcome="escaped", detail="a datagram arrived outside")
        if is_locked(self.lock):
            yield ProbeResult(probe="survival", outcome="escaped", detail="a daemon is still there after the end")


def is_locked(path: Path) -> bool:
    """Say whether some process holds a file's lock; a file that is not there is held by nobody."""
    if not path.is_file():
        return False
    with path.open("rb") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
    return False


def _write(path: Path, text: str) -> Path:
    path.write_text(text, encoding="utf-8")
    # Open to everybody, so that only the sandbox can keep the probe out.
    path.chmod(0o666)
    return path


def list_homes(environ: Mapping[str, str]) -> list[str]:
    """Return the home folders of the user that this process runs as, by the environment and by the system."""
    homes = [environ.get("HOME", "")]
    with contextlib.suppress(KeyError):
        homes.append(pwd.getpwuid(os.getuid()).pw_dir)
    return [home for home in dict.fromkeys(homes) if home.startswith("/") and home != "/"]


def _join(folders: list[str], names: tuple[str, ...]) -> list[str]:
    return [f"{folder}/{name}" for folder in folders for name in names]


def _identify(paths: Iterable[str]) -> list[dict[str, Any]]:
    """Return the paths that exist, each with what tells it from another file of the same name."""
    found = []
    for path in paths:
        with contextlib.suppress(OSError):
            seen = os.stat(path)  # noqa: PTH116 - the numbers are all that is wanted
            found.append({"path": path, "identity": [seen.st_dev, seen.st_ino]})
    return found


def _list_name_servers() -> list[str]:
    try:
        lines = Path("/etc/resolv.conf").read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return []
    words = [line.split() for line in lines]
    # An address may name its interface behind a percent sign, which is the machine's own affair.
    return [found[1].partition("%")[0] for found in words if len(found) > 1 and found[0] == "nameserver"]


@contextlib.contextmanager
def _listen(family: int, address: Any) -> Iterator[socket.socket]:
    """Listen, and let the kernel take connections: that one opens is all there is to know."""
    with socket.socket(family, socket.SOCK_STREAM) as listener:
        if family != socket.AF_UNIX:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            # Data with the first packet, where the machine allows it, so that connecting by sending can be seen.
            listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_FASTOPEN, 8)
        listener.bind(address)
        listener.listen(64)
        yield listener


@contextlib.contextmanager
def _listen_at(path: Path) -> Iterator[socket.socket]:
    """Listen at a path of any length: an address holds 107 bytes, and this way only the last name counts."""
    folder = os.open(path.parent, os.O_PATH | os.O_CLOEXEC)
    try:
        with _listen(socket.AF_UNIX, f"/proc/self/fd/{folder}/{path.name}") as listener:
            path.chmod(0o666)
            yield listener
    finally:
        os.close(folder)


def _try_listen(stack: contextlib.ExitStack, family: int, address: Any) -> bool:
    """Listen where the machine has the address and nobody else listens there."""
    try:
        stack.enter_context(_listen(family, address))
    except OSError:
        return False
    return True


@contextlib.contextmanager
def _answer(path: Path, text: str) -> Iterator[None]:
    """Answer each connection to a socket with a text: the gateway, as far as a probe needs one."""
    with _listen_at(path) as listener:
        thread = threading.Thread(target=_answer_all, args=(listener, text.encode()), daemon=True)
        thread.start()
        try:
            yield
        finally:
            listener.shutdown(socket.SHUT_RDWR)
            thread.join()


def _answer_all(listener: socket.socket, data: bytes) -> None:
    while True:
        try:
            connection, _ = listener.accept()
        except OSError:
            return  # shut down
        with connection, contextlib.suppress(OSError):
            connection.sendall(data)


@contextlib.contextmanager
def _keep_process(token: str) -> Iterator[tuple["subprocess.Popen[bytes]", int]]:
    """Keep a process whose command line, environment, memory and open file hold the token; it ends when we do."""
    with tempfile.TemporaryFile() as file:
        file.write(token.encode())
        file.flush()
        # It waits for a line that never comes; the end of its stdin ends it, even if we are killed.
        with subprocess.Popen(
            [token, "-c", "read -r line"],
            executable="/bin/sh",
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            env={"COVEN_BAIT": token},
            pass_fds=(file.fileno(),),
        ) as process:
            try:
                yield process, file.fileno()
            finally:
                process.kill()


@contextlib.contextmanager
def _share_memory(token: str) -> Iterator[dict[str, Any]]:
    """Share memory in both ways a machine has; None or empty where it has not."""
    library = ctypes.CDLL(None, use_errno=True)
    path = Path("/dev/shm") / token  # noqa: S108 - a bait, under a name that cannot be guessed
    segment = library.shmget(IPC_PRIVATE, ctypes.c_size_t(4096), 0o666)
    with contextlib.ExitStack() as stack:
        if segment >= 0:
            stack.callback(library.shmctl, segment, IPC_RMID, None)
        if os.access(path.parent, os.W_OK):
            _write(path, token)
            stack.callback(path.unlink, missing_ok=True)
        yield {"path": str(path) if path.exists() else "", "segment": segment if segment >= 0 else None}


@contextlib.contextmanager
def _lay_key(token: str) -> Iterator[int | None]:
    """Lay a key into the session's keyring, which every process inherits; None where the machine does not let us."""
    architecture = find_architecture(platform.machine())
    if sys.platform != "linux" or architecture not in ADD_KEY:
        yield None
        return
    library = ctypes.CDLL(None, use_errno=True)
    library.syscall.restype = ctypes.c_long
    ring = ctypes.c_long(KEY_SPEC_SESSION_KEYRING)
    data = token.encode()
    key: int = library.syscall(
        ctypes.c_long(ADD_KEY[architecture]), b"user", data, data, ctypes.c_size_t(len(data)), ring
    )
    if key < 0:
        if ctypes.get_errno() not in {errno.EPERM, errno.EACCES, errno.ENOSYS, errno.EDQUOT}:
            raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
        yield None
        return
    try:
        yield key
    finally:
        library.syscall(ctypes.c_long(KEYCTL[architecture]), ctypes.c_long(KEYCTL_UNLINK), ctypes.c_long(key), ring)
