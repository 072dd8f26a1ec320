"""The filter, run by a small machine for the kernel's instructions: what a call is answered, for each table."""

import struct

import pytest

from coven_action.core.sandbox.seccomp import (
    ABSENT,
    ARCHITECTURES,
    CALLS,
    CLONE_NEWUSER,
    EAFNOSUPPORT,
    ENOSYS,
    EPERM,
    MSG_FASTOPEN,
    REFUSED,
    SAME_USER,
    TIOCLINUX,
    TIOCSTI,
    Rule,
    assemble,
    build_filter,
)

ALLOWED = 0
OWN, SHARED = False, True
AF_UNIX, AF_INET, AF_INET6, AF_NETLINK, AF_PACKET, AF_VSOCK = 1, 2, 10, 16, 17, 40
STREAM, DATAGRAM, RAW, PACKET, CLOSE_ON_EXEC = 1, 2, 3, 10, 0o2000000


def run(program, architecture, number, *arguments):
    """Return the error number that the filter answers with; 0 where it lets the call pass."""
    padded = [*arguments, *[0] * (6 - len(arguments))]
    data = struct.pack("<iIQ6Q", number, architecture, 0, *(value & (1 << 64) - 1 for value in padded))
    steps = list(struct.iter_unpack("<HBBI", program))
    at = accumulator = 0
    while True:
        code, yes, no, value = steps[at]
        at += 1
        if code == 0x20:
            accumulator = struct.unpack_from("<I", data, value)[0]
        elif code == 0x54:
            accumulator &= value
        elif code == 0x15:
            at += yes if accumulator == value else no
        elif code == 0x45:
            at += yes if accumulator & value else no
        elif code == 0x35:
            at += yes if accumulator >= value else no
        else:
            assert code == 0x06
            return {0x7FFF0000: 0, 0x00050000: value & 0xFFFF}[value & 0xFFFF0000]


def call(architecture, shared, name, *arguments, same_user=False, network=False):
    number = CALLS[name][list(ARCHITECTURES).index(architecture)]
    program = build_filter(architecture, shared=shared, same_user=same_user, network=network)
    return run(program, ARCHITECTURES[architecture], number, *arguments)


@pytest.mark.parametrize("architecture", ARCHITECTURES)
@pytest.mark.parametrize(
    ("shared", "answer", "name", "arguments"),
    [
        *[
            (shared, EPERM, name, ())
            for shared in (OWN, SHARED)
            for name in ("add_key", "request_key", "keyctl", "bpf", "perf_event_open", "userfaultfd", "setns", "syslog")
        ],
        *[
            (shared, ENOSYS, name, ())
            for shared in (OWN, SHARED)
            for name in ("io_uring_setup", "io_uring_enter", "io_uring_register", "clone3")
        ],
        (OWN, EPERM, "unshare", (CLONE_NEWUSER,)),
        (OWN, EPERM, "unshare", (CLONE_NEWUSER | 0x20000,)),
        (OWN, ALLOWED, "unshare", (0x20000,)),
        (OWN, EPERM, "clone", (CLONE_NEWUSER | 17,)),
        (OWN, ALLOWED, "clone", (17,)),
        (OWN, EPERM, "ioctl", (0, TIOCSTI)),
        (OWN, EPERM, "ioctl", (0, TIOCLINUX)),
        # The kernel looks at the lower half of the number alone.
        (OWN, EPERM, "ioctl", (0, TIOCSTI | 1 << 32)),
        (OWN, ALLOWED, "ioctl", (0, 0x5401)),
        (OWN, ALLOWED, "ioctl", (TIOCSTI, 0x5413)),
        *[(OWN, ALLOWED, "socket", (family, STREAM)) for family in (AF_UNIX, AF_INET, AF_INET6, AF_NETLINK)],
        *[(OWN, EAFNOSUPPORT, "socket", (family, STREAM)) for family in (0, AF_PACKET, 31, 38, AF_VSOCK)],
        (OWN, ALLOWED, "socket", (AF_INET, DATAGRAM)),
        (OWN, ALLOWED, "sendto", (3, 0, 0, MSG_FASTOPEN)),
        (OWN, ALLOWED, "shmat", ()),
        (SHARED, ALLOWED, "socket", (AF_INET, STREAM, 0)),
        (SHARED, ALLOWED, "socket", (AF_INET, STREAM | CLOSE_ON_EXEC, 6)),
        (SHARED, EPERM, "socket", (AF_INET, STREAM, 262)),
        (SHARED, EPERM, "socket", (AF_INET, DATAGRAM, 0)),
        (SHARED, EPERM, "socket", (AF_INET, DATAGRAM | CLOSE_ON_EXEC, 0)),
        (SHARED, EPERM, "socket", (AF_INET, 3, 1)),
        *[(SHARED, EAFNOSUPPORT, "socket", (family, STREAM)) for family in (AF_UNIX, AF_INET6, AF_NETLINK, AF_VSOCK)],
        (SHARED, EPERM, "sendto", (3, 0, 0, MSG_FASTOPEN | 0x4000)),
        (SHARED, EPERM, "sendmsg", (3, 0, MSG_FASTOPEN)),
        (SHARED, EPERM, "sendmmsg", (3, 0, 1, MSG_FASTOPEN)),
        (SHARED, ALLOWED, "sendto", (3, 0, 0, 0x4000)),
        (SHARED, ALLOWED, "sendmsg", (3, MSG_FASTOPEN, 0)),
        (SHARED, ALLOWED, "prlimit64", (0, 7)),
        (SHARED, EPERM, "prlimit64", (4711, 7)),
        (SHARED, ALLOWED, "fchmod", ()),
        *[(SHARED, EPERM, name, ()) for name in ("setxattr", "lsetxattr", "fsetxattr", "setxattrat")],
        (OWN, ALLOWED, "setxattr", ()),
        (OWN, ALLOWED, "prlimit64", (4711, 7)),
        (SHARED, ALLOWED, "socketpair", (AF_UNIX, STREAM)),
        (SHARED, EPERM, "socketpair", (AF_UNIX, DATAGRAM)),
        *[
            (SHARED, EPERM, name, ())
            for name in (
                "shmget",
                "shmat",
                "shmctl",
                "semget",
                "semop",
                "semtimedop",
                "semctl",
                "msgget",
                "msgsnd",
                "msgrcv",
                "msgctl",
                "mq_open",
            )
        ],
    ],
)
def test_what_a_call_is_answered(architecture, shared, answer, name, arguments):
    assert call(architecture, shared, name, *arguments) == answer


@pytest.mark.parametrize("architecture", ARCHITECTURES)
@pytest.mark.parametrize(
    ("shared", "answer", "name", "arguments"),
    [
        *[
            (shared, ALLOWED, "socket", (family, kind))
            for shared in (OWN, SHARED)
            for family in (AF_INET, AF_INET6)
            for kind in (STREAM, DATAGRAM, STREAM | CLOSE_ON_EXEC, DATAGRAM | CLOSE_ON_EXEC)
        ],
        *[
            (shared, EPERM, "socket", (family, kind))
            for shared in (OWN, SHARED)
            for family in (AF_INET, AF_INET6)
            for kind in (RAW, PACKET, RAW | CLOSE_ON_EXEC)
        ],
        *[(shared, EAFNOSUPPORT, "socket", (AF_PACKET, RAW)) for shared in (OWN, SHARED)],
        *[(shared, EAFNOSUPPORT, "socket", (AF_VSOCK, STREAM)) for shared in (OWN, SHARED)],
        # How programs ask which addresses the machine has.
        *[(shared, ALLOWED, "socket", (AF_NETLINK, RAW | CLOSE_ON_EXEC)) for shared in (OWN, SHARED)],
        (OWN, ALLOWED, "socket", (AF_UNIX, STREAM)),
        (SHARED, EAFNOSUPPORT, "socket", (AF_UNIX, STREAM)),
        *[(shared, ALLOWED, "sendto", (3, 0, 0, MSG_FASTOPEN)) for shared in (OWN, SHARED)],
        (OWN, ALLOWED, "shmget", ()),
        (SHARED, EPERM, "shmget", ()),
        (SHARED, EPERM, "setxattr", ()),
        (SHARED, EPERM, "prlimit64", (4711, 7)),
        *[(shared, EPERM, "keyctl", ()) for shared in (OWN, SHARED)],
        *[(shared, EPERM, "unshare", (CLONE_NEWUSER,)) for shared in (OWN, SHARED)],
    ],
)
def test_what_a_call_is_answered_where_the_network_is_the_machines(architecture, shared, answer, name, arguments):
    assert call(architecture, shared, name, *arguments, network=True) == answer


def test_a_rule_for_some_families_leaves_the_others_to_the_rules_behind_it():
    rule = Rule("socket", EPERM, 1, only=(RAW,), families=(AF_INET, AF_INET6))
    program = assemble("x86_64", (rule, Rule("socket", EAFNOSUPPORT, 0, only=(AF_UNIX,)), Rule("keyctl", EPERM)))
    answers = {
        (family, kind): run(program, ARCHITECTURES["x86_64"], CALLS["socket"][0], family, kind)
        for family in (AF_UNIX, AF_INET, AF_INET6, AF_NETLINK)
        for kind in (STREAM, RAW)
    }

    assert {asked for asked, answer in answers.items() if answer == EPERM} == {(AF_INET, RAW), (AF_INET6, RAW)}
    assert {asked for asked, answer in answers.items() if answer == EAFNOSUPPORT} == {(AF_UNIX, STREAM), (AF_UNIX, RAW)}
    assert run(program, ARCHITECTURES["x86_64"], CALLS["keyctl"][0]) == EPERM


@pytest.mark.parametrize("architecture", ARCHITECTURES)
@pytest.mark.parametrize("rule", SAME_USER, ids=lambda rule: rule.call)
def test_an_owner_changes_nothing_but_content(architecture, rule):
    if CALLS[rule.call][list(ARCHITECTURES).index(architecture)] != ABSENT:
        assert call(architecture, SHARED, rule.call, same_user=True) == EPERM
        assert call(architecture, SHARED, rule.call, same_user=False) == ALLOWED


def test_a_call_that_an_architecture_does_not_have_needs_no_rule():
    assert assemble("aarch64", (Rule("chmod", EPERM),)) == assemble("aarch64", ())
    assert assemble("x86_64", (Rule("chmod", EPERM),)) != assemble("x86_64", ())


@pytest.mark.parametrize("architecture", ARCHITECTURES)
@pytest.mark.parametrize("number", [0, 1, 59, 221, 231, 334, 600])
def test_other_calls_pass(architecture, number):
    assert number in {numbers[list(ARCHITECTURES).index(architecture)] for numbers in CALLS.values()} or (
        run(build_filter(architecture), ARCHITECTURES[architecture], number) == ALLOWED
    )


@pytest.mark.parametrize("architecture", ARCHITECTURES)
@pytest.mark.parametrize("foreign", [0x40000003, 0x40000028, 0])
def test_calls_of_a_foreign_instruction_set_do_not_exist(architecture, foreign):
    assert run(build_filter(architecture), foreign, 1) == ENOSYS


@pytest.mark.parametrize("name", ["keyctl", "socket", "clone"])
def test_calls_by_their_x32_numbers_do_not_exist(name):
    number = CALLS[name][0] | 0x40000000

    assert run(build_filter("x86_64"), ARCHITECTURES["x86_64"], number, AF_VSOCK) == ENOSYS


@pytest.mark.parametrize("architecture", ["", "riscv64", "i386"])
def test_without_numbers_there_is_no_filter(architecture):
    with pytest.raises(ValueError, match="numbers"):
        build_filter(architecture)


@pytest.mark.parametrize("left_out", range(len(REFUSED)))
def test_every_rule_refuses_something_of_its_own(left_out):
    rule = REFUSED[left_out]
    without = assemble("x86_64", (*REFUSED[:left_out], *REFUSED[left_out + 1 :]))
    arguments = [0, 0]
    if rule.argument is not None:
        arguments[rule.argument] = rule.bits or rule.only[0]

    assert run(without, ARCHITECTURES["x86_64"], CALLS[rule.call][0], *arguments) == ALLOWED


def test_a_mask_hides_the_other_bits():
    program = assemble("x86_64", (Rule("socket", EPERM, 1, mask=0xF, only=(3,)),))

    assert run(program, ARCHITECTURES["x86_64"], 41, 0, 0x83) == EPERM
    assert run(program, ARCHITECTURES["x86_64"], 41, 0, 0x82) == ALLOWED
