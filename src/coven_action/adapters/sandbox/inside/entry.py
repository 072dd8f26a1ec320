"""The first program inside a sandbox: it takes the last steps of the confinement and becomes the program itself.

A program of its own, started as `python -I -S entry.py ORDER -- PROGRAM ARGUMENTS`; it imports the standard library only
and is imported by nobody. ORDER holds directives, `word value`, each ended by a zero byte, obeyed in order. Whatever
cannot be obeyed ends the start: there is no way past a directive to the program.
"""

from __future__ import annotations

import os
import resource
import sys

TYPE_CHECKING = False
if TYPE_CHECKING:  # `typing` alone would add a third to the time that the start takes
    from collections.abc import Callable
    from typing import NoReturn

REFUSED = 125
NOT_STARTED = 127
ENDED_BY_SIGNAL = 128
"""Added to the number of the signal, as shells do."""
WAITING_CONNECTIONS = 128
PR_SET_NO_NEW_PRIVS = 38  # linux/prctl.h
PR_SET_SECCOMP = 22
SECCOMP_MODE_FILTER = 2
LANDLOCK_CREATE_RULESET = 444  # the same numbers on every architecture
LANDLOCK_ADD_RULE = 445
LANDLOCK_RESTRICT_SELF = 446
LANDLOCK_RULE_PATH, LANDLOCK_RULE_PORT = 1, 2
FILE_RIGHTS = 0b1100_0000_0000_0111  # execute, write, read, truncate, ioctl: what a rule on a file may grant
CAPABILITY_VERSION = 0x20080522  # linux/capability.h, the third version
INSTRUCTION_BYTES = 8
LIMITS = {"data": resource.RLIMIT_DATA, "fsize": resource.RLIMIT_FSIZE, "nproc": resource.RLIMIT_NPROC}


class Entry:
    """Obeys directives; `become` ends in the program."""

    def __init__(self) -> None:
        self.environment: dict[str, str] = {}
        self.ruleset = -1
        self.gateway = -1
        self.is_first = False

    def obey(self, word: str, value: str) -> None:
        """Obey one directive; an unknown one is an error."""
        obeyers: dict[str, Callable[[str], None]] = {
            "env": self.set_variable,
            "limit": set_limit,
            "user": become_user,
            "gateway": self.take_gateway,
            "relay": self.start_relay,
            "folder": os.chdir,
            "first": self.be_first,
            "landlock": self.open_ruleset,
            "path": self.allow_path,
            "port": self.allow_port,
            "restrict": self.restrict,
            "filter": load_filter,
        }
        obeyers[word](value)

    def set_variable(self, value: str) -> None:
        """Take `NAME=VALUE` into the program's environment."""
        name, _, text = value.partition("=")
        self.environment[name] = text

    def be_first(self, value: str) -> None:
        """Stay as the first process of a process table of its own, which ends with it."""
        del value
        self.is_first = True

    def take_gateway(self, value: str) -> None:
        """Take hold of a socket without connecting to it: who holds it needs no way to its folder."""
        self.gateway = os.open(value, os.O_PATH | os.O_CLOEXEC)

    def start_relay(self, value: str) -> None:
        """Listen at PORT of loopback, and leave the rest to the relay. What connects before it is up waits in line."""
        import _socket  # noqa: PLC0415 - `socket` around it costs as much as all the rest of the start

        if self.gateway < 0:
            raise ValueError("no gateway")
        listener = _socket.socket(_socket.AF_INET, _socket.SOCK_STREAM)
        listener.setsockopt(_socket.SOL_SOCKET, _socket.SO_REUSEADDR, 1)
        listener.bind(("127.0.0.1", int(value)))
        listener.listen(WAITING_CONNECTIONS)
        own = os.getpid()
        # Forked twice: the relay is no child of the program, which may wait for children of its own.
        child = os.fork()
        if child == 0:
            if os.fork() == 0:
                become_relay(listener.fileno(), self.gateway, own)
            os._exit(0)
        os.waitpid(child, 0)
        listener.close()
        os.close(self.gateway)

    def open_ruleset(self, value: str) -> None:
        """Begin the rules of Landlock: `FILES NETWORK SCOPES`, the rights that are refused unless a rule grants them."""
        import ctypes  # noqa: PLC0415 - costs milliseconds, and only the weaker sandbox needs it

        files, network, scopes = (int(part) for part in value.split())
        # The kernel takes a shorter struct from older programs; a field it does not know must be absent or zero.
        attributes = (ctypes.c_uint64 * 3)(files, network, scopes)
        size = 8 * (3 if scopes else 2 if network else 1)
        self.ruleset = call(LANDLOCK_CREATE_RULESET, ctypes.byref(attributes), size, 0)

    def allow_path(self, value: str) -> None:
        """Grant `RIGHTS PATH`; a path that is not there needs no rule."""
        import ctypes  # noqa: PLC0415 - as above

        rights_text, _, path = value.partition(" ")
        try:
            descriptor = os.open(path, os.O_PATH | os.O_CLOEXEC)
        except FileNotFoundError:
            return
        rights = int(rights_text)
        if not os.path.isdir(path):  # noqa: PTH112 - pathlib would double the time to start
            rights &= FILE_RIGHTS
        # struct landlock_path_beneath_attr is packed: 8 and 4 bytes.
        rule = rights.to_bytes(8, sys.byteorder) + descriptor.to_bytes(4, sys.byteorder)
        call(LANDLOCK_ADD_RULE, self.ruleset, LANDLOCK_RULE_PATH, ctypes.c_char_p(rule), 0)
        os.close(descriptor)

    def allow_port(self, value: str) -> None:
        """Grant `RIGHTS PORT`."""
        import ctypes  # noqa: PLC0415 - as above

        rights, port = (int(part) for part in value.split())
        rule = rights.to_bytes(8, sys.byteorder) + port.to_bytes(8, sys.byteorder)
        call(LANDLOCK_ADD_RULE, self.ruleset, LANDLOCK_RULE_PORT, ctypes.c_char_p(rule), 0)

    def restrict(self, value: str) -> None:
        """Close the rules: from here on they hold for this process and all it starts."""
        del value
        set_option(PR_SET_NO_NEW_PRIVS, 1, 0)
        call(LANDLOCK_RESTRICT_SELF, self.ruleset, 0)
        os.close(self.ruleset)

    def become(self, argv: list[str]) -> NoReturn:
        """Become the program, or start it and stay until it ends."""
        reset_signals()
        if self.is_first and (program := os.fork()):
            stay_until(program)
        os.execvpe(argv[0], argv, self.environment)  # noqa: S606 - argv is a list, no shell


def reset_signals() -> None:
    """Undo what Python did, and whoever started us: a signal that is ignored stays so in the program (man 7 signal)."""
    # `signal` around it costs milliseconds; the stubs know that one alone.
    import _signal  # type: ignore[import-not-found]  # noqa: PLC0415

    for number in _signal.valid_signals() - {_signal.SIGKILL, _signal.SIGSTOP}:
        _signal.signal(number, _signal.SIG_DFL)


def stay_until(program: int) -> NoReturn:
    """Bury whatever ends, and end as the program did; the kernel then ends everything else of this table."""
    while True:
        pid, status = os.wait()
        if pid == program:
            code = os.waitstatus_to_exitcode(status)
            os._exit(code if code >= 0 else ENDED_BY_SIGNAL - code)


def set_limit(value: str) -> None:
    """Lower a limit of this process and all it starts: `NAME NUMBER`; one that is lower already stays."""
    name, number = value.split()
    before = resource.getrlimit(LIMITS[name])[1]
    limit = int(number) if before == resource.RLIM_INFINITY else min(int(number), before)
    resource.setrlimit(LIMITS[name], (limit, limit))


def become_user(value: str) -> None:
    """Become `UID GID` for good; root's capabilities end with it, but for the inheritable ones (man 7 capabilities)."""
    import ctypes  # noqa: PLC0415 - as above

    uid, gid = (int(part) for part in value.split())
    os.setgroups([])
    os.setresgid(gid, gid, gid)
    os.setresuid(uid, uid, uid)
    header = (ctypes.c_uint32 * 2)(CAPABILITY_VERSION, 0)
    if ctypes.CDLL(None, use_errno=True).capset(header, (ctypes.c_uint32 * 6)()):
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))


def load_filter(value: str) -> None:
    """Load the filter of system calls, hexadecimal, which no program started from here can take off."""
    import ctypes  # noqa: PLC0415 - as above

    code = bytes.fromhex(value)
    steps = ctypes.create_string_buffer(code, len(code))

    class Program(ctypes.Structure):
        _fields_ = (("length", ctypes.c_ushort), ("steps", ctypes.c_void_p))

    program = Program(len(code) // INSTRUCTION_BYTES, ctypes.addressof(steps))
    set_option(PR_SET_NO_NEW_PRIVS, 1, 0)
    set_option(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, ctypes.byref(program))


def become_relay(listener: int, gateway: int, served: int) -> NoReturn:
    """Become the relay, which ends with process `served`."""
    try:
        os.setsid()
        nothing = os.open(os.devnull, os.O_RDWR)
        for stream in range(3):
            os.dup2(nothing, stream)
        for descriptor in (listener, gateway):
            os.set_inheritable(descriptor, True)
        relay = os.path.join(os.path.dirname(os.path.abspath(__file__)), "relay.py")  # noqa: PTH100, PTH118, PTH120
        os.execve(sys.executable, [sys.executable, "-I", "-S", relay, str(listener), str(gateway), str(served)], {})  # noqa: S606
    finally:
        os._exit(NOT_STARTED)


def call(number: int, *arguments: object) -> int:
    """Make a system call; raise OSError where the kernel refuses."""
    import ctypes  # noqa: PLC0415 - as above

    library = ctypes.CDLL(None, use_errno=True)
    library.syscall.restype = ctypes.c_long
    converted = [ctypes.c_long(value) if isinstance(value, int) else value for value in arguments]
    result: int = library.syscall(ctypes.c_long(number), *converted)
    if result < 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
    return result


def set_option(option: int, value: int, argument: object) -> None:
    """Call prctl; raise OSError where the kernel refuses."""
    import ctypes  # noqa: PLC0415 - as above

    library = ctypes.CDLL(None, use_errno=True)
    zero = ctypes.c_ulong(0)
    converted = ctypes.c_ulong(argument) if isinstance(argument, int) else argument
    if library.prctl(option, ctypes.c_ulong(value), converted, zero, zero):
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))


def read_order(path: str) -> list[str]:
    """Return the directives."""
    with open(path, "rb") as file:  # noqa: PTH123
        return os.fsdecode(file.read()).split("\0")[:-1]


def check_words(mark: str, argv: list[str]) -> None:
    """Refuse a command line without a program."""
    if mark != "--" or not argv:
        raise ValueError("no program")


def main() -> None:
    """Obey, then become the program."""
    _, path, mark, *argv = sys.argv
    entry = Entry()
    step = "order"
    try:
        check_words(mark, argv)
        for directive in read_order(path):
            step, _, value = directive.partition(" ")
            entry.obey(step, value)
    except (OSError, ValueError, KeyError, OverflowError) as error:
        os.write(2, f"sandbox: {step}: {type(error).__name__}: {error}\n".encode("utf-8", "backslashreplace"))
        sys.exit(REFUSED)
    try:
        entry.become(argv)
    except (OSError, ValueError) as error:
        os.write(2, f"sandbox: {argv[0]} cannot be started: {error}\n".encode("utf-8", "backslashreplace"))
        sys.exit(NOT_STARTED)


if __name__ == "__main__":
    main()
