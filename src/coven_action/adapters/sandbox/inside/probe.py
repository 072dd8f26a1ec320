"""Tries every escape from the sandbox it runs in, and says what came of each.

A program of its own, started inside as `python -I -S probe.py WORLD`; it imports the standard library only and is
imported by nobody. WORLD is a document that says what lies outside: baits that were laid for this probe, and what
this machine really has. One line of JSON on stdout answers. It reads nothing that it reaches: to open it is the escape.
"""

import contextlib
import ctypes
import errno
import fcntl
import json
import os
import pty
import resource
import select
import signal
import socket
import stat
import subprocess
import sys
import tempfile
import termios
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

WAIT_SECONDS = 10
LIBC = ctypes.CDLL(None, use_errno=True)

# TEST-NET-2 and the documentation prefix: nobody answers there, but a packet that could leave is a way out.
FAR_IPV4, FAR_IPV6 = "198.51.100.1", "2001:db8::1"
METADATA = ((socket.AF_INET, "169.254.169.254"), (socket.AF_INET6, "fd00:ec2::254"))
LOOPBACK = {"127.0.0.1", "127.0.0.2", "::1"}
HTTPS, HTTP, DNS = 443, 80, 53
NO_WAY = {
    errno.EACCES, errno.EPERM, errno.ENETUNREACH, errno.EHOSTUNREACH, errno.ENETDOWN, errno.EADDRNOTAVAIL,
    errno.EAFNOSUPPORT, errno.EPROTONOSUPPORT, errno.ESOCKTNOSUPPORT, errno.EPROTOTYPE, errno.ENOPROTOOPT, errno.ENOENT,
}  # fmt: skip
IPPROTO_MPTCP = 262
MSG_FASTOPEN = 0x20000000
AF_VSOCK, VSOCK_HOST = 40, 2
# A question for the address of `example.invalid`, RFC 1035.
DNS_QUESTION = b"\x2a\x2a\x01\x00\x00\x01\x00\x00\x00\x00\x00\x00\x07example\x07invalid\x00\x00\x01\x00\x01"

CLONE_NEWUSER = 0x10000000
PTRACE_SEIZE = 0x4206
PR_GET_NO_NEW_PRIVS = 39
KERNEL_LOG_READ_ALL = 3  # man 2 syslog
KEYCTL_GET_KEYRING_ID, KEYCTL_READ = 0, 11
KEY_SPEC_SESSION_KEYRING = -3
# Machine -> numbers of clone and keyctl.
CALLS = {"x86_64": {"clone": 56, "keyctl": 250}, "aarch64": {"clone": 220, "keyctl": 219}}

SYSTEM_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
SETUID_PROGRAMS = ("su", "mount", "umount", "passwd", "newgrp", "chsh", "gpasswd", "pkexec", "fusermount3", "sudo")
SETTINGS = ("/sys/kernel/uevent_helper", "/sys/fs/cgroup/cgroup.procs", "/sys/power/state")
# Not settings: what belongs to processes stands under their numbers and under these names, which lead there.
NO_SETTINGS = {"self", "thread-self", "net", "mounts"}
# Opened and closed only. Not every device may be: opening a watchdog starts it.
DEVICES = (
    "mem", "kmem", "port", "kmsg", "kvm", "fuse", "net/tun", "vsock", "vhost-vsock", "mapper/control", "loop-control",
    "loop0", "dm-0", "sda", "sda1", "vda", "vda1", "xvda", "nvme0n1", "nvme0n1p1", "root",
)  # fmt: skip
STANDARD_STREAMS = {"0", "1", "2"}
OWN_VARIABLES = {"LC_CTYPE", "TMPDIR"}
"""Set by Python itself, and by a sandbox that has no /tmp of its own."""

World = dict[str, Any]


class NotTried(Exception):
    """Raised where an escape could not be tried, with the reason."""


# --- files


def reach_gateway(world: World) -> str | None:
    """Return None where the gateway answers and the own folder can be written; raise otherwise."""
    with tempfile.TemporaryFile(dir=world["folder"]), tempfile.TemporaryFile():
        pass
    with socket.create_connection(("127.0.0.1", world["gateway_port"]), WAIT_SECONDS) as connection:
        answer = connection.recv(100)
    if answer != world["gateway_answer"].encode():
        raise NotTried("the gateway's socket did not answer")
    return None


def read_outside(world: World) -> str | None:
    """Open files beside the sandbox."""
    return first(path for path in world["files"] if opens(path, os.O_RDONLY))


def change_modes(world: World) -> str | None:
    """Change mode and extended attributes of files outside, and of one that may only be read."""
    return first(path for path in (*world["files"], world["given"]) if changes(path))


def changes(path: str) -> bool:
    """Say whether a file's mode, by name or by descriptor, or an attribute can be changed; the mode stays what it was."""

    def by_descriptor() -> None:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        try:
            os.fchmod(descriptor, stat.S_IMODE(os.fstat(descriptor).st_mode))
        finally:
            os.close(descriptor)

    attempts: tuple[Callable[[], None], ...] = (
        lambda: Path(path).chmod(stat.S_IMODE(Path(path).stat().st_mode)),
        by_descriptor,
        lambda: os.setxattr(path, "user.coven-probe", b"x"),
    )
    return any(succeeds(attempt) for attempt in attempts)


def succeeds(attempt: Callable[[], None]) -> bool:
    """Say whether an attempt raises no OSError."""
    try:
        attempt()
    except OSError:
        return False
    return True


def read_home(world: World) -> str | None:
    """List the home folder of the runner's user."""
    return first(place["path"] for place in world["homes"] if lists(place))


def read_credentials(world: World) -> str | None:
    """Open files, and list folders, where credentials lie."""
    return first(
        place["path"] for place in world["credentials"] if lists(place) or reaches(place, os.O_RDONLY | os.O_NONBLOCK)
    )


def find_variables(world: World) -> str | None:
    """Look for variables beyond those that were given."""
    return first(sorted(set(os.environ) - set(world["environment"]) - OWN_VARIABLES))


def find_descriptors(world: World) -> str | None:
    """Look for descriptors beyond the standard streams; the one that lists them is gone when it is looked at."""
    del world
    for path in sorted(Path("/proc/self/fd").iterdir()):
        if path.name not in STANDARD_STREAMS:
            with contextlib.suppress(FileNotFoundError):
                return f"descriptor {path.name}: {path.readlink()}"
    return None


def read_shared_memory(world: World) -> str | None:
    """Open a file of shared memory, and attach to a segment of System V."""
    path = str(world["shared_memory"]["path"])
    if path and opens(path, os.O_RDONLY):
        return path
    segment = world["shared_memory"]["segment"]
    if segment is None:
        raise NotTried("no segment of shared memory could be laid out")
    LIBC.shmat.restype = ctypes.c_void_p
    reached = LIBC.shmat(ctypes.c_int(segment), None, 0o10000)
    if reached == ctypes.c_void_p(-1).value:
        return None
    LIBC.shmdt(ctypes.c_void_p(reached))
    return f"segment {segment}"


def write_runner_files(world: World) -> str | None:
    """Open for writing what the runner reads after the step."""
    return first(place["path"] for place in world["runner_files"] if reaches(place, os.O_WRONLY | os.O_APPEND))


def write_runner_folders(world: World) -> str | None:
    """Make a file in the runner's folders."""
    return first(place["path"] for place in world["runner_folders"] if creates(place))


def write_start_files(world: World) -> str | None:
    """Open for writing, or make, what shells and git start."""
    return first(
        place["path"]
        for place in world["start_files"]
        if creates(place) or reaches(place, os.O_WRONLY | os.O_APPEND | os.O_NONBLOCK)
    )


def first(found: Iterable[str]) -> str | None:
    """Return the first that was found, or None."""
    return next(iter(found), None)


def opens(path: str, flags: int) -> bool:
    """Say whether a path can be opened."""
    try:
        os.close(os.open(path, flags | os.O_NOCTTY | os.O_CLOEXEC))
    except OSError:
        return False
    return True


def reaches(place: World, flags: int) -> bool:
    """Say whether the very file outside can be opened: another file of the same name is the sandbox's own."""
    try:
        descriptor = os.open(place["path"], flags | os.O_NOCTTY | os.O_CLOEXEC)
    except OSError:
        return False
    try:
        found = os.fstat(descriptor)
    finally:
        os.close(descriptor)
    return not stat.S_ISDIR(found.st_mode) and is_same(found, place)


def lists(place: World) -> bool:
    """Say whether the very folder outside can be listed."""
    try:
        folder = Path(place["path"])
        next(folder.iterdir(), None)
        return is_same(folder.stat(), place)
    except OSError:
        return False


def creates(place: World) -> bool:
    """Say whether a file can be made in the very folder outside; it is removed again."""
    try:
        if not is_same(Path(place["path"]).stat(), place):
            return False
        with tempfile.NamedTemporaryFile(prefix=".coven-probe-", dir=place["path"]):
            return True
    except OSError:
        return False


def is_same(found: os.stat_result, place: World) -> bool:
    """Compare with what was seen outside."""
    return bool([found.st_dev, found.st_ino] == place["identity"])


# --- processes


def list_processes(world: World) -> str | None:
    """Look for the bait's words in every command line that can be read."""
    return find_token(world, "cmdline")


def read_environments(world: World) -> str | None:
    """Look for the bait's words in every environment that can be read."""
    return find_token(world, "environ")


def find_token(world: World, name: str) -> str | None:
    """Return the file of the process table, by number or as listed, that holds the bait's words."""
    numbers = {str(world["bait"]["pid"])}
    with contextlib.suppress(OSError):
        numbers |= {path.name for path in Path("/proc").iterdir() if path.name.isdigit()}
    for number in sorted(numbers - {str(os.getpid())}):
        with contextlib.suppress(OSError):
            if world["bait"]["token"].encode() in Path(f"/proc/{number}/{name}").read_bytes():
                return f"/proc/{number}/{name}"
    return None


def read_memory(world: World) -> str | None:
    """Open the bait's memory."""
    pid = find_bait(world)
    return None if pid is None or not opens(f"/proc/{pid}/mem", os.O_RDONLY) else f"/proc/{pid}/mem"


def find_bait(world: World) -> int | None:
    """Return the bait's number; None where this is another process table, in which it means another process."""
    try:
        Path("/proc/1/stat").read_bytes()
    except OSError:
        # No table that could be asked: the number may well be the bait's.
        return int(world["bait"]["pid"])
    try:
        words = Path(f"/proc/{world['bait']['pid']}/cmdline").read_bytes()
        return int(world["bait"]["pid"]) if world["bait"]["token"].encode() in words else None
    except OSError:
        return None


def read_descriptors(world: World) -> str | None:
    """Open what the bait holds open."""
    pid = find_bait(world)
    path = f"/proc/{pid}/fd/{world['bait']['descriptor']}"
    return None if pid is None or not opens(path, os.O_RDONLY) else path


def follow_links(world: World) -> str | None:
    """Follow what processes inside run, stand in and have open; a program that confines us may be a file outside."""
    del world
    with contextlib.suppress(OSError):
        for process in Path("/proc").iterdir():
            if process.name.isdigit():
                links = [process / "exe", process / "cwd", process / "root"]
                with contextlib.suppress(OSError):
                    links += (process / "fd").iterdir()
                if found := first(str(link) for link in links if leads_outside(link)):
                    return found
    return None


def leads_outside(link: Path) -> bool:
    """Say whether a link of the process table leads to another file than its name does, or to one that can be written."""
    try:
        name = link.readlink()
        found, flags = link.stat(), os.statvfs(link).f_flag
    except OSError:
        return False
    if not name.is_absolute() or not (stat.S_ISREG(found.st_mode) or stat.S_ISDIR(found.st_mode)):
        return False
    try:
        here, here_flags = name.stat(), os.statvfs(name).f_flag
    except OSError:
        return True
    same = (found.st_dev, found.st_ino) == (here.st_dev, here.st_ino)
    return not same or (flags ^ here_flags) & os.ST_RDONLY != 0


def trace(world: World) -> str | None:
    """Seize the bait, which is let go when this process ends."""
    pid, nothing = find_bait(world), ctypes.c_void_p(None)
    if pid is None or LIBC.ptrace(ctypes.c_long(PTRACE_SEIZE), ctypes.c_long(pid), nothing, nothing) < 0:
        return None
    return f"process {pid}"


def send_signal(world: World) -> str | None:
    """Signal the bait with nothing, and set one of its limits to what it is."""
    pid = find_bait(world)
    if pid is None:
        return None
    attempts = (lambda: os.kill(pid, 0), lambda: resource.prlimit(pid, resource.RLIMIT_CORE, (0, 0)) and None)
    return f"process {pid}" if any(succeeds(attempt) for attempt in attempts) else None


def connect_unix(world: World) -> str | None:
    """Connect to sockets by their path."""
    return first(path for path in world["unix_sockets"] if connects_unix(path))


def connect_abstract(world: World) -> str | None:
    """Connect to a socket without a path."""
    return "the bait's" if connects_unix("\0" + world["abstract_socket"]) else None


def connects_unix(address: str) -> bool:
    """Say whether something listens there; datagram sockets refuse streams only after they were reached."""
    folder, _, name = address.rpartition("/")
    try:
        with contextlib.ExitStack() as stack:
            if folder:
                # An address holds 107 bytes, a path more: this way only its last name counts.
                descriptor = os.open(folder, os.O_PATH | os.O_CLOEXEC)
                stack.callback(os.close, descriptor)
                address = f"/proc/self/fd/{descriptor}/{name}"
            connection = stack.enter_context(socket.socket(socket.AF_UNIX, socket.SOCK_STREAM))
            connection.settimeout(WAIT_SECONDS)
            connection.connect(address)
    except OSError as error:
        return error.errno == errno.EPROTOTYPE
    return True


# --- privilege


def use_sudo(world: World) -> str | None:
    """Run `sudo -n true`."""
    del world
    try:
        done = subprocess.run(
            ("sudo", "-n", "true"), stdin=subprocess.DEVNULL, capture_output=True, timeout=WAIT_SECONDS, check=False
        )
    except (FileNotFoundError, PermissionError):
        return None
    return "`sudo -n true` ended well" if done.returncode == 0 else None


def use_setuid(world: World) -> str | None:
    """Start setuid programs and let the loader tell whose rights they have; the kernel's own word comes first."""
    del world
    if LIBC.prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0) != 1:
        return "new privileges are not ruled out"
    for folder in SYSTEM_PATH.split(":"):
        for name in SETUID_PROGRAMS:
            path = f"{folder}/{name}"
            if is_setuid(path) and gains(path):
                return path
    return None


def is_setuid(path: str) -> bool:
    """Say whether a program is another user's and starts as that user."""
    try:
        found = Path(path).stat()
    except OSError:
        return False
    return bool(found.st_mode & stat.S_ISUID) and found.st_uid != os.getuid()


def gains(path: str) -> bool:
    """Start a program with the loader's own report on, man 8 ld.so: it names the user, and is off where rights were gained."""
    try:
        done = subprocess.run(
            (path, "--version"), env={"LD_SHOW_AUXV": "1"}, stdin=subprocess.DEVNULL, capture_output=True,
            timeout=WAIT_SECONDS, check=False,
        )  # fmt: skip
    except (OSError, subprocess.TimeoutExpired):
        return False
    return any(line.split() == [b"AT_EUID:", b"0"] for line in done.stdout.splitlines())


def use_capabilities(world: World) -> str | None:
    """Look for capabilities, then mount, become another user and rename the host."""
    for line in Path("/proc/self/status").read_text(encoding="ascii").splitlines():
        name, _, value = line.partition(":")
        if name in {"CapInh", "CapPrm", "CapEff", "CapAmb"} and int(value, 16):
            return f"{name} {value.strip()}"
    attempts: dict[str, Callable[[], bool]] = {
        "mount": mounts,
        "setuid": lambda: LIBC.setuid(0 if os.getuid() else 1) == 0,
        "sethostname": lambda: LIBC.sethostname(os.uname().nodename.encode(), len(os.uname().nodename)) == 0,
        "chroot": lambda: LIBC.chroot(os.fsencode(world["folder"])) == 0,
    }
    return first(name for name, attempt in attempts.items() if in_child(attempt))


def mounts() -> bool:
    """Say whether a file system can be mounted; it is taken off again."""
    with tempfile.TemporaryDirectory() as folder:
        if LIBC.mount(b"none", os.fsencode(folder), b"tmpfs", 0, None):
            return False
        LIBC.umount2(os.fsencode(folder), 0)
    return True


def open_user_namespace(world: World) -> str | None:
    """Open one by both calls that can."""
    clone = get_call("clone", world)
    if in_child(lambda: LIBC.unshare(CLONE_NEWUSER) == 0):
        return "unshare"
    flags = ctypes.c_long(CLONE_NEWUSER | signal.SIGCHLD)
    zero = ctypes.c_long(0)
    pid = LIBC.syscall(ctypes.c_long(clone), flags, zero, zero, zero, zero)
    if pid == 0:
        os._exit(0)
    if pid > 0:
        os.waitpid(pid, 0)
        return "clone"
    return None


def write_settings(world: World) -> str | None:
    """Open every file of the kernel's in the process table for writing, and ask for its log; nothing is written."""
    del world
    if LIBC.klogctl(KERNEL_LOG_READ_ALL, ctypes.create_string_buffer(1), 1) >= 0:
        return "the kernel's log"
    return first(path for path in (*SETTINGS, *list_kernel_files("/proc")) if opens(path, os.O_WRONLY | os.O_NONBLOCK))


def list_kernel_files(top: str) -> Iterator[str]:
    """Yield the files below /proc that are not a process's; what cannot be listed cannot be opened by a listed name."""
    for folder, folders, files in os.walk(top):
        if folder == top:
            folders[:] = [name for name in folders if not name.isdigit() and name not in NO_SETTINGS]
            files = [name for name in files if name not in NO_SETTINGS]  # noqa: PLW2901 - the walk goes on unchanged
        yield from (f"{folder}/{name}" for name in files)


def open_devices(world: World) -> str | None:
    """Open devices for reading; nothing is read."""
    del world
    return first(f"/dev/{name}" for name in DEVICES if opens(f"/dev/{name}", os.O_RDONLY | os.O_NONBLOCK))


def read_keyring(world: World) -> str | None:
    """Ask for the session's keyring, then read the key that was laid into it outside."""
    number = ctypes.c_long(get_call("keyctl", world))
    LIBC.syscall.restype = ctypes.c_long
    asked = LIBC.syscall(
        number, ctypes.c_long(KEYCTL_GET_KEYRING_ID), ctypes.c_long(KEY_SPEC_SESSION_KEYRING), ctypes.c_long(0)
    )
    if asked < 0 and ctypes.get_errno() in {errno.EPERM, errno.EACCES, errno.ENOSYS}:
        return None
    if world["key"] is None:
        raise NotTried("no key could be laid out, and keyrings answer inside")
    buffer = ctypes.create_string_buffer(100)
    read = LIBC.syscall(
        number, ctypes.c_long(KEYCTL_READ), ctypes.c_long(world["key"]), buffer, ctypes.c_long(len(buffer))
    )
    return f"key {world['key']}" if read >= 0 else None


def type_into_terminal(world: World) -> str | None:
    """Open the terminal of this session, and type into one of our own, which shows whether the kernel lets anybody."""
    del world
    if opens("/dev/tty", os.O_RDWR):
        return "/dev/tty is open"
    try:
        leader, follower = pty.openpty()
    except OSError:
        return None
    try:
        return "typing is possible" if in_child(lambda: types(follower)) else None
    finally:
        os.close(leader)
        os.close(follower)


def types(terminal: int) -> bool:
    """Make a terminal this session's own and type one character into it."""
    os.setsid()
    fcntl.ioctl(terminal, termios.TIOCSCTTY, 0)
    fcntl.ioctl(terminal, termios.TIOCSTI, b"x")
    return True


def in_child(attempt: Callable[[], bool]) -> bool:
    """Say whether an attempt succeeds, in a process of its own that can be left changed; what it raises is a failure."""
    child = os.fork()
    if child == 0:
        code = 1
        try:
            code = 0 if attempt() else 1
        finally:
            os._exit(code)
    return os.waitpid(child, 0)[1] == 0


def get_call(name: str, world: World) -> int:
    """Return the number of a system call."""
    if world["architecture"] not in CALLS:
        raise NotTried(f"the number of {name} is not known for {world['architecture']}")
    return CALLS[world["architecture"]][name]


# --- the end


def leave_daemon(world: World) -> str | None:
    """Leave a daemon behind that holds a lock in the folder; whether it still does is looked at outside, afterwards."""
    ready, told = os.pipe()
    child = os.fork()
    if child == 0:
        os.setsid()
        if os.fork() == 0:
            become_daemon(world["lock"], told)
        os._exit(0)
    os.close(told)
    os.waitpid(child, 0)
    with os.fdopen(ready, "rb") as file:
        if file.read(1) != b"+":
            raise NotTried("no daemon could be started")
    return None


def become_daemon(path: str, told: int) -> None:
    """Hold the lock for ever, deaf to requests to end."""
    try:
        for number in (signal.SIGTERM, signal.SIGHUP, signal.SIGINT):
            signal.signal(number, signal.SIG_IGN)
        fcntl.flock(os.open(path, os.O_RDWR | os.O_CREAT, 0o600), fcntl.LOCK_EX | fcntl.LOCK_NB)
        for stream in range(3):
            os.close(stream)
        os.write(told, b"+")
        os.close(told)
        while True:
            signal.pause()
    finally:
        os._exit(1)


# --- the network


def connect_ports(world: World) -> str | None:
    """Connect to other ports than the gateway's, also by the ways that a look at `connect` alone does not see."""
    near = ("127.0.0.1", world["tcp_port"])
    return (
        connect(socket.AF_INET, near)
        or connect(socket.AF_INET, near, protocol=IPPROTO_MPTCP)
        or connect(socket.AF_INET, near, by_sending=True)
        or connect(socket.AF_INET, (FAR_IPV4, HTTPS))
        or connect(socket.AF_INET6, (FAR_IPV6, HTTPS))
    )


def connect_ipv4(world: World) -> str | None:
    """Connect to another IPv4 address, by the gateway's port."""
    near = connect(socket.AF_INET, ("127.0.0.2", world["gateway_port"])) if world["has_other_ipv4"] else None
    return near or connect(socket.AF_INET, (FAR_IPV4, world["gateway_port"]))


def connect_ipv6(world: World) -> str | None:
    """Connect to another IPv6 address, by the gateway's port."""
    near = connect(socket.AF_INET6, ("::1", world["gateway_port"])) if world["has_other_ipv6"] else None
    return near or connect(socket.AF_INET6, (FAR_IPV6, world["gateway_port"]))


def connect_metadata(world: World) -> str | None:
    """Connect to where clouds keep credentials of the machine."""
    ports = (HTTP, world["gateway_port"])
    return first(
        reached for family, address in METADATA for port in ports if (reached := connect(family, (address, port)))
    )


def connect(family: int, address: tuple[str, int], *, protocol: int = 0, by_sending: bool = False) -> str | None:
    """Return the address where a connection opens or is under way; None where the kernel shows no way to it."""
    try:
        with socket.socket(family, socket.SOCK_STREAM, protocol) as connection:
            connection.setblocking(False)
            try:
                if by_sending:
                    connection.sendto(b"x", MSG_FASTOPEN, address)
                else:
                    connection.connect(address)
            except BlockingIOError:
                if is_refused(connection, address[0]):
                    return None
    except OSError as error:
        if error.errno in NO_WAY or (error.errno == errno.ECONNREFUSED and address[0] in LOOPBACK):
            return None
        if error.errno != errno.ECONNREFUSED:
            raise
    return f"{address[0]} port {address[1]}"


def is_refused(connection: socket.socket, host: str) -> bool:
    """Say whether loopback refuses a connection under way, so that nobody is there; far away it is not waited for."""
    if host not in LOOPBACK:
        return False
    select.select([], [connection], [], WAIT_SECONDS)
    return connection.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR) == errno.ECONNREFUSED


def send_udp(world: World) -> str | None:
    """Send to the bait, which is looked at outside, and to an address where nobody answers."""
    send(socket.AF_INET, ("127.0.0.1", world["udp_port"]), world["bait"]["token"].encode())
    far = ((socket.AF_INET, FAR_IPV4), (socket.AF_INET6, FAR_IPV6))
    return first(address for family, address in far if send(family, (address, HTTPS), b"x"))


def ask_name_server(world: World) -> str | None:
    """Send a question to each name server of the machine; one on loopback has to answer, another has to be reachable."""
    for address in map(str, world["name_servers"]):
        family = socket.AF_INET6 if ":" in address else socket.AF_INET
        if address.startswith("127.") or address == "::1":
            if answers(family, address):
                return address
        elif send(family, (address, DNS), DNS_QUESTION):
            return address
    return None


def answers(family: int, address: str) -> bool:
    """Say whether a name server answers; where nobody is there the kernel says so at once."""
    try:
        with socket.socket(family, socket.SOCK_DGRAM) as question:
            question.settimeout(WAIT_SECONDS)
            question.connect((address, DNS))
            question.send(DNS_QUESTION)
            return bool(question.recv(512))
    except TimeoutError:
        return True  # somebody took it
    except OSError:
        return False


def send(family: int, address: tuple[str, int], data: bytes) -> bool:
    """Say whether a datagram could leave."""
    try:
        with socket.socket(family, socket.SOCK_DGRAM) as sender:
            sender.sendto(data, address)
    except OSError as error:
        if error.errno in NO_WAY:
            return False
        raise
    return True


def open_raw_socket(world: World) -> str | None:
    """Open sockets that see or make whole packets."""
    del world
    kinds = (
        (socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_ICMP),
        (socket.AF_INET, socket.SOCK_DGRAM, socket.IPPROTO_ICMP),
        (socket.AF_PACKET, socket.SOCK_RAW, 0),
    )
    return first(
        f"family {family} type {kind}" for family, kind, protocol in kinds if opens_socket(family, kind, protocol)
    )


def open_host_socket(world: World) -> str | None:
    """Open the line to the host of a virtual machine, man 7 vsock; a machine that has none answers that at once."""
    del world
    if not opens_socket(AF_VSOCK, socket.SOCK_STREAM, 0):
        return None
    try:
        with socket.socket(AF_VSOCK, socket.SOCK_STREAM) as connection:
            connection.setblocking(False)
            connection.connect((VSOCK_HOST, HTTPS))
    except OSError as error:
        if error.errno in {*NO_WAY, errno.ENODEV}:
            return None
    return "the host's end was reached"


def opens_socket(family: int, kind: int, protocol: int) -> bool:
    """Say whether a socket of this kind can be made."""
    try:
        socket.socket(family, kind, protocol).close()
    except OSError as error:
        if error.errno in NO_WAY:
            return False
        raise
    return True


TRIES: dict[str, Callable[[World], str | None]] = {
    "gateway": reach_gateway,
    "file-outside": read_outside,
    "file-modes": change_modes,
    "home-folder": read_home,
    "credential-files": read_credentials,
    "environment": find_variables,
    "descriptors": find_descriptors,
    "shared-memory": read_shared_memory,
    "runner-files": write_runner_files,
    "runner-folders": write_runner_folders,
    "start-files": write_start_files,
    "process-list": list_processes,
    "process-environment": read_environments,
    "process-memory": read_memory,
    "process-descriptors": read_descriptors,
    "process-links": follow_links,
    "ptrace": trace,
    "signal": send_signal,
    "unix-socket": connect_unix,
    "sudo": use_sudo,
    "setuid": use_setuid,
    "capabilities": use_capabilities,
    "user-namespace": open_user_namespace,
    "kernel-settings": write_settings,
    "devices": open_devices,
    "keyring": read_keyring,
    "terminal-input": type_into_terminal,
    "survival": leave_daemon,
    "tcp-ports": connect_ports,
    "tcp-ipv4": connect_ipv4,
    "tcp-ipv6": connect_ipv6,
    "udp": send_udp,
    "dns": ask_name_server,
    "raw-socket": open_raw_socket,
    "abstract-socket": connect_abstract,
    "metadata": connect_metadata,
    "host-socket": open_host_socket,
}


def judge(attempt: Callable[[World], str | None], world: World) -> tuple[str, str]:
    """Return (outcome, detail); whatever goes wrong means that the escape was not tried."""
    try:
        reached = attempt(world)
    except NotTried as reason:
        return "not tried", str(reason)
    except Exception as error:  # noqa: BLE001 - each probe stands alone, and what fails is told
        return "not tried", f"{type(error).__name__}: {error}"
    return ("held", "") if reached is None else ("escaped", reached)


def main() -> None:
    """Try everything."""
    world = json.loads(Path(sys.argv[1]).read_bytes())
    results = []
    for name, attempt in TRIES.items():
        outcome, detail = judge(attempt, world)
        results.append({"probe": name, "outcome": outcome, "detail": detail})
    sys.stdout.write(json.dumps(results) + "\n")


if __name__ == "__main__":
    main()
