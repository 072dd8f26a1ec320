"""The filter of system calls, assembled for the kernel. Pure: tables in, bytes out.

Namespaces hide files, processes and networks; what they do not hide is refused here: the keyrings of the user, typing
into a terminal, sockets that no network namespace holds (a virtual machine's line to its host), new user namespaces
with their capabilities, and the call that makes other calls unseen (io_uring).

man 2 seccomp; struct sock_filter and seccomp_data: include/uapi/linux/filter.h and seccomp.h. The numbers of the calls
are those of arch/x86/entry/syscalls/syscall_64.tbl and include/uapi/asm-generic/unistd.h.
"""

import struct
from dataclasses import dataclass
from typing import Final

EPERM: Final = 1
ENOSYS: Final = 38
EAFNOSUPPORT: Final = 97

ARCHITECTURES: Final = {"x86_64": 0xC000003E, "aarch64": 0xC00000B7}  # AUDIT_ARCH_* of linux/audit.h
X32_BIT: Final = 0x40000000

ABSENT: Final = -1
# Call -> its number on (x86_64, aarch64).
CALLS: Final = {
    "ioctl": (16, 29),
    "shmget": (29, 194),
    "shmat": (30, 196),
    "shmctl": (31, 195),
    "socket": (41, 198),
    "sendto": (44, 206),
    "sendmsg": (46, 211),
    "socketpair": (53, 199),
    "clone": (56, 220),
    "semget": (64, 190),
    "semop": (65, 193),
    "semctl": (66, 191),
    "chmod": (90, ABSENT),
    "fchmod": (91, 52),
    "chown": (92, ABSENT),
    "fchown": (93, 55),
    "lchown": (94, ABSENT),
    "syslog": (103, 116),
    "setxattr": (188, 5),
    "lsetxattr": (189, 6),
    "fsetxattr": (190, 7),
    "fchownat": (260, 54),
    "fchmodat": (268, 53),
    "prlimit64": (302, 261),
    "msgget": (68, 186),
    "msgsnd": (69, 189),
    "msgrcv": (70, 188),
    "msgctl": (71, 187),
    "semtimedop": (220, 192),
    "mq_open": (240, 180),
    "add_key": (248, 217),
    "request_key": (249, 218),
    "keyctl": (250, 219),
    "unshare": (272, 97),
    "perf_event_open": (298, 241),
    "sendmmsg": (307, 269),
    "setns": (308, 268),
    "bpf": (321, 280),
    "userfaultfd": (323, 282),
    "io_uring_setup": (425, 425),
    "io_uring_enter": (426, 426),
    "io_uring_register": (427, 427),
    "clone3": (435, 435),
    "fchmodat2": (452, 452),
    "setxattrat": (463, 463),
}

CLONE_NEWUSER: Final = 0x10000000
TIOCSTI: Final = 0x5412
TIOCLINUX: Final = 0x541C
AF_UNIX, AF_INET, AF_INET6, AF_NETLINK = 1, 2, 10, 16
SOCK_STREAM, SOCK_RAW, SOCK_PACKET = 1, 3, 10
SOCK_TYPE_MASK: Final = 0xF
IPPROTO_TCP: Final = 6
MSG_FASTOPEN: Final = 0x20000000


@dataclass(frozen=True, slots=True)
class Rule:
    """One refusal.

    Attributes:
        call: A key of `CALLS`.
        errno: What the program is told.
        argument: Which argument is looked at, from 0; None to refuse whatever the arguments.
        mask: The bits of it that count.
        only: Refuse where the masked argument is one of these.
        unless: Refuse where the masked argument is none of these.
        bits: Refuse where any of these bits is set.
        families: Refuse only where the first argument, the family of a socket, is one of these; empty for any.
    """

    call: str
    errno: int
    argument: int | None = None
    mask: int = 0xFFFFFFFF
    only: tuple[int, ...] = ()
    unless: tuple[int, ...] = ()
    bits: int = 0
    families: tuple[int, ...] = ()


REFUSED: Final = (
    Rule("add_key", EPERM),
    Rule("request_key", EPERM),
    Rule("keyctl", EPERM),
    Rule("bpf", EPERM),
    Rule("perf_event_open", EPERM),
    Rule("userfaultfd", EPERM),
    Rule("setns", EPERM),
    Rule("syslog", EPERM),
    # Told as absent, so that libraries take the older way: glibc falls back to clone, which can be looked into.
    Rule("io_uring_setup", ENOSYS),
    Rule("io_uring_enter", ENOSYS),
    Rule("io_uring_register", ENOSYS),
    Rule("clone3", ENOSYS),
    Rule("unshare", EPERM, 0, bits=CLONE_NEWUSER),
    Rule("clone", EPERM, 0, bits=CLONE_NEWUSER),
    Rule("ioctl", EPERM, 1, only=(TIOCSTI, TIOCLINUX)),
)
"""What every sandbox refuses."""

OWN: Final = (Rule("socket", EAFNOSUPPORT, 0, unless=(AF_UNIX, AF_INET, AF_INET6, AF_NETLINK)),)
"""Where the sandbox has namespaces of its own: only the kinds of sockets that a network namespace holds."""

NO_RAW_PACKETS: Final = Rule(
    "socket", EPERM, 1, mask=SOCK_TYPE_MASK, only=(SOCK_RAW, SOCK_PACKET), families=(AF_INET, AF_INET6)
)
"""What the kernel refuses to whom it has given nothing, refused once more where the network is the machine's."""

OWN_WITH_NETWORK: Final = (*OWN, NO_RAW_PACKETS)
"""Where it has namespaces of its own but for the network."""

FOREIGN_MEMORY: Final = (
    *(
        Rule(call, EPERM)
        for call in (
            *("shmget", "shmat", "shmctl", "semget", "semop", "semtimedop", "semctl"),
            *("msgget", "msgsnd", "msgrcv", "msgctl", "mq_open"),
        )
    ),
    # Landlock leaves extended attributes to whoever may write a file, wherever it lies.
    Rule("setxattr", EPERM),
    Rule("lsetxattr", EPERM),
    Rule("fsetxattr", EPERM),
    Rule("setxattrat", EPERM),
    # Limits of another process of the same user.
    Rule("prlimit64", EPERM, 0, unless=(0,)),
    # A pair of datagram sockets could send to any address.
    Rule("socketpair", EPERM, 1, mask=SOCK_TYPE_MASK, unless=(SOCK_STREAM,)),
)
"""Where the sandbox has no namespaces of its own: what belongs to other programs of the machine."""

SHARED: Final = (
    Rule("socket", EAFNOSUPPORT, 0, unless=(AF_INET,)),
    Rule("socket", EPERM, 1, mask=SOCK_TYPE_MASK, unless=(SOCK_STREAM,)),
    # Landlock looks at TCP alone, not at Multipath TCP (https://github.com/landlock-lsm/linux/issues/54) ...
    Rule("socket", EPERM, 2, unless=(0, IPPROTO_TCP)),
    # ... and not at a connection that is opened by sending (https://github.com/landlock-lsm/linux/issues/41).
    Rule("sendto", EPERM, 3, bits=MSG_FASTOPEN),
    Rule("sendmsg", EPERM, 2, bits=MSG_FASTOPEN),
    Rule("sendmmsg", EPERM, 3, bits=MSG_FASTOPEN),
    *FOREIGN_MEMORY,
)
"""Where it shares the machine's network and memory: TCP over IPv4, whose ports Landlock limits, and nothing else."""

SHARED_WITH_NETWORK: Final = (
    # Landlock does not look at sockets that are files, so there are none: services of the machine listen at them.
    Rule("socket", EAFNOSUPPORT, 0, unless=(AF_INET, AF_INET6, AF_NETLINK)),
    NO_RAW_PACKETS,
    *FOREIGN_MEMORY,
)
"""Where it shares them and may use the network: whatever goes over IP, and the question which addresses there are."""

SAME_USER: Final = tuple(
    Rule(call, EPERM) for call in ("chmod", "fchmod", "fchmodat", "fchmodat2", "chown", "fchown", "lchown", "fchownat")
)
"""Where it runs as the runner's own user besides: Landlock lets an owner change what is not content, anywhere."""

# linux/bpf_common.h and filter.h: load a word, the classes of jump, AND and return.
_LOAD, _AND, _JUMP_EQUAL, _JUMP_SET, _JUMP_ABOVE, _RETURN = 0x20, 0x54, 0x15, 0x45, 0x35, 0x06
_ALLOW: Final = 0x7FFF0000
_REFUSE: Final = 0x00050000
_NUMBER_OFFSET, _ARCHITECTURE_OFFSET, _ARGUMENTS_OFFSET = 0, 4, 16
_INSTRUCTION = struct.Struct("<HBBI")
_Instruction = tuple[int, int, int, int]


def build_filter(architecture: str, *, shared: bool = False, same_user: bool = False, network: bool = False) -> bytes:
    """Return the filter of a sandbox.

    Args:
        architecture: A key of `ARCHITECTURES`.
        shared: Whether the sandbox shares the machine's network and memory rather than having its own.
        same_user: Whether it then runs as the user that this process runs as.
        network: Whether the program may use the machine's network.

    Raises:
        ValueError: Nobody knows the numbers of this architecture's calls.
    """
    with_network, without = (SHARED_WITH_NETWORK, SHARED) if shared else (OWN_WITH_NETWORK, OWN)
    sockets = with_network if network else without
    return assemble(architecture, (*REFUSED, *sockets, *(SAME_USER if same_user else ())))


def assemble(architecture: str, rules: tuple[Rule, ...]) -> bytes:
    """Return a filter that refuses what a rule refuses, and every call of a foreign instruction set.

    Raises:
        ValueError: Nobody knows the numbers of this architecture's calls.
    """
    if architecture not in ARCHITECTURES:
        raise ValueError(f"no numbers of system calls for {architecture}")
    column = list(ARCHITECTURES).index(architecture)
    program: list[_Instruction] = [
        (_LOAD, 0, 0, _ARCHITECTURE_OFFSET),
        (_JUMP_EQUAL, 1, 0, ARCHITECTURES[architecture]),
        (_RETURN, 0, 0, _REFUSE | ENOSYS),
    ]
    if architecture == "x86_64":
        # The x32 calls have the same architecture and numbers of their own.
        program += [
            (_LOAD, 0, 0, _NUMBER_OFFSET),
            (_JUMP_ABOVE, 0, 1, X32_BIT),
            (_RETURN, 0, 0, _REFUSE | ENOSYS),
        ]
    for rule in rules:
        if CALLS[rule.call][column] != ABSENT:
            program += _assemble_rule(rule, CALLS[rule.call][column])
    return b"".join(_INSTRUCTION.pack(*step) for step in (*program, (_RETURN, 0, 0, _ALLOW)))


def _assemble_rule(rule: Rule, number: int) -> list[_Instruction]:
    """Return the steps of one rule: they end the filter with a refusal, or lead to the step behind them."""
    look = _assemble_condition(rule)
    families = _assemble_families(rule, len(look) + 1)
    return [
        (_LOAD, 0, 0, _NUMBER_OFFSET),
        (_JUMP_EQUAL, 0, len(families) + len(look) + 1, number),
        *families,
        *look,
        (_RETURN, 0, 0, _REFUSE | rule.errno),
    ]


def _assemble_families(rule: Rule, behind: int) -> list[_Instruction]:
    """Return the steps that go on to the next for a family that is meant, and past the `behind` next ones for others."""
    if not rule.families:
        return []
    last = len(rule.families) - 1
    jumps = ((_JUMP_EQUAL, last - at, 0 if at < last else behind, value) for at, value in enumerate(rule.families))
    return [(_LOAD, 0, 0, _ARGUMENTS_OFFSET), *jumps]


def _assemble_condition(rule: Rule) -> list[_Instruction]:
    if rule.argument is None:
        return []
    # The lower half of the argument, little-endian: every one looked at is an int, or flags below bit 32.
    load: list[_Instruction] = [(_LOAD, 0, 0, _ARGUMENTS_OFFSET + 8 * rule.argument), (_AND, 0, 0, rule.mask)]
    if rule.bits:
        return [*load, (_JUMP_SET, 0, 1, rule.bits)]
    if rule.only:
        # Equal to one: on to the refusal; equal to none: past it.
        last = len(rule.only) - 1
        return [*load, *((_JUMP_EQUAL, last - at, 0 if at < last else 1, value) for at, value in enumerate(rule.only))]
    return [*load, *((_JUMP_EQUAL, len(rule.unless) - at, 0, value) for at, value in enumerate(rule.unless))]
