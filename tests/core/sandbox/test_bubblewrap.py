from dataclasses import replace

import pytest

from coven_action.core.sandbox.bubblewrap import NAMESPACES, build_bubblewrap, build_root_bubblewrap
from coven_action.core.sandbox.network import NETWORK_FILES, NETWORK_FOLDERS
from coven_action.core.sandbox.request import START, Bind
from coven_action.core.sandbox.seccomp import build_filter
from tests.core.sandbox.requests import MACHINE, PLACE, REQUEST

ORDINARY = build_bubblewrap("/usr/bin/bwrap", REQUEST, MACHINE, PLACE)
AS_ROOT = build_root_bubblewrap("/usr/bin/bwrap", REQUEST, MACHINE, PLACE, (1001, 1002))
WITHOUT_GATEWAY = replace(REQUEST, gateway="")
WITH_NETWORK = replace(WITHOUT_GATEWAY, network=True)


def find(argv, *words):
    """Where these words stand together."""
    return next(at for at in range(len(argv)) if tuple(argv[at : at + len(words)]) == words)


def has(argv, *words):
    return any(tuple(argv[at : at + len(words)]) == words for at in range(len(argv)))


@pytest.mark.parametrize("launch", [ORDINARY, AS_ROOT], ids=["ordinary", "root"])
@pytest.mark.parametrize(
    "words",
    [
        *[(namespace,) for namespace in NAMESPACES],
        ("--die-with-parent",),
        ("--new-session",),
        ("--as-pid-1",),
        ("--cap-drop", "ALL"),
        ("--seccomp", "9"),
        ("--hostname", "sandbox"),
        ("--proc", "/proc"),
        ("--dev", "/dev"),
        ("--ro-bind", "/usr", "/usr"),
        ("--ro-bind", "/lib64", "/lib64"),
        ("--symlink", "usr/bin", "/bin"),
        ("--ro-bind", "/opt/python", "/opt/python"),
        ("--ro-bind", "/opt/coven/inside", "/run/coven/programs"),
        ("--ro-bind", "/run-temp/told/order", "/run/coven/order"),
        ("--ro-bind", "/run-temp/told/etc", "/etc"),
        ("--ro-bind-try", "/etc/ld.so.cache", "/etc/ld.so.cache"),
        ("--ro-bind", "/run-temp/gateway.sock", "/run/coven/gateway"),
        ("--ro-bind", "/opt/agent", "/opt/agent"),
        ("--bind", "/srv/run/home", "/srv/run/home"),
        ("--bind", "/srv/run/tree", "/srv/run/tree"),
        ("--ro-bind-try", "/proc/sys", "/proc/sys"),
        ("--ro-bind-try", "/proc/pressure", "/proc/pressure"),
        ("--remount-ro", "/"),
        ("--remount-ro", "/dev"),
        ("--size", "1073741824", "--tmpfs", "/tmp"),
        ("--size", "1073741824", "--tmpfs", "/dev/shm"),
    ],
    ids=" ".join,
)
def test_every_sandbox_has(launch, words):
    assert has(launch.argv, *words)


def test_an_ordinary_user_has_a_user_namespace_and_stays_itself():
    assert has(ORDINARY.argv, "--unshare-user")
    assert "user" not in dict(ORDINARY.order)
    assert "--cap-add" not in ORDINARY.argv
    assert ORDINARY.argv[0] == "/bin/sh"


def test_root_needs_no_user_namespace_and_becomes_another_user_inside():
    assert AS_ROOT.argv[:3] == ("/usr/bin/sudo", "-n", "--")
    assert "--unshare-user" not in AS_ROOT.argv
    assert dict(AS_ROOT.order)["user"] == "1001 1002"
    added = [AS_ROOT.argv[at + 1] for at, word in enumerate(AS_ROOT.argv) if word == "--cap-add"]
    assert added == ["CAP_SETUID", "CAP_SETGID"]
    assert find(AS_ROOT.argv, "--cap-drop", "ALL") < find(AS_ROOT.argv, "--cap-add", "CAP_SETUID")


@pytest.mark.parametrize("user", [(0, 0), (0, 5), (5, 0)])
def test_nobody_becomes_root_inside(user):
    with pytest.raises(ValueError, match="root"):
        build_root_bubblewrap("/usr/bin/bwrap", REQUEST, MACHINE, PLACE, user)


def test_without_a_way_to_root_there_is_no_sandbox_of_roots():
    with pytest.raises(ValueError, match="root"):
        build_root_bubblewrap("/usr/bin/bwrap", REQUEST, replace(MACHINE, sudo=None), PLACE, (5, 5))


def test_the_program_is_started_by_the_entry_with_the_order():
    at = ORDINARY.argv.index("--", 5)

    assert ORDINARY.argv[at:] == (
        "--",
        "/opt/python/bin/python3.11",
        "-I",
        "-S",
        "-c",
        START,
        "/run/coven/programs",
        "/run/coven/order",
        "--",
        "/opt/agent",
        "--headless",
    )


def test_environment_and_relay_travel_by_the_order_not_the_command_line():
    assert ("env", "GREETING=hello world") in ORDINARY.order
    assert {("gateway", "/run/coven/gateway"), ("relay", "8377")} <= set(ORDINARY.order)
    assert not any("hello world" in word for word in ORDINARY.argv)


def test_the_entry_stays_as_the_first_process():
    assert ORDINARY.order[-1] == AS_ROOT.order[-1] == ("first", "")


def test_temporary_file_systems_come_before_the_binds_that_may_lie_below_them():
    request = replace(REQUEST, folder="/tmp/tree", binds=(Bind("/tmp/given"),))
    argv = build_bubblewrap("bwrap", request, MACHINE, PLACE).argv

    assert find(argv, "--tmpfs", "/tmp") < find(argv, "--dir", "/tmp") < find(argv, "--bind", "/tmp/tree", "/tmp/tree")
    assert find(argv, "--bind", "/tmp/tree", "/tmp/tree") < find(argv, "--remount-ro", "/")


def test_without_a_gateway_no_socket_is_bound():
    launch = build_bubblewrap("bwrap", replace(REQUEST, gateway=""), MACHINE, PLACE)

    assert "/run/coven/gateway" not in launch.argv
    assert not {"gateway", "relay"} & set(dict(launch.order))


def test_an_interpreter_of_the_system_needs_no_bind():
    launch = build_bubblewrap("bwrap", REQUEST, replace(MACHINE, python_home="/usr"), PLACE)

    assert not has(launch.argv, "--ro-bind", "/opt/python", "/opt/python")
    assert launch.argv.count("--dir") == ORDINARY.argv.count("--dir")


def test_every_folder_above_a_bind_can_be_entered():
    made = [ORDINARY.argv[at + 1] for at, word in enumerate(ORDINARY.argv) if word == "--dir"]

    assert made == ["/srv", "/srv/run", "/opt", "/run", "/run/coven"]
    assert all(has(ORDINARY.argv, "--perms", "0755", "--dir", path) for path in made)


def test_the_filter_is_that_of_a_sandbox_with_its_own_namespaces():
    assert ORDINARY.filter == AS_ROOT.filter == build_filter("x86_64")


def test_nothing_else_of_the_machine_is_bound():
    bound = {ORDINARY.argv[at + 1] for at, word in enumerate(ORDINARY.argv) if word in {"--bind", "--ro-bind"}}

    assert bound == {
        "/usr",
        "/lib64",
        "/opt/python",
        "/opt/coven/inside",
        "/opt/agent",
        "/run-temp/told/order",
        "/run-temp/gateway.sock",
        "/srv/run/home",
        "/srv/run/tree",
        "/run-temp/told/etc",
    }


# --- the machine's network


def build_both(request, machine=MACHINE):
    return (
        build_bubblewrap("bwrap", request, machine, PLACE),
        build_root_bubblewrap("bwrap", request, machine, PLACE, (5, 6)),
    )


@pytest.mark.parametrize("which", [0, 1], ids=["ordinary", "root"])
def test_the_network_costs_that_one_namespace_and_brings_what_finds_and_trusts_hosts(which):
    without, with_network = build_both(WITHOUT_GATEWAY)[which], build_both(WITH_NETWORK)[which]
    shared = [word for path in (*NETWORK_FILES, *NETWORK_FOLDERS) for word in ("--ro-bind-try", path, path)]
    before = list(without.argv)
    before.remove("--unshare-net")
    at = find(before, "--ro-bind-try", "/etc/alternatives", "/etc/alternatives") + 3

    assert list(with_network.argv) == before[:at] + shared + before[at:]
    assert find(with_network.argv, "--ro-bind", PLACE.etc, "/etc") < find(with_network.argv, *shared[:3])


def test_no_private_key_and_no_password_lies_where_the_network_needs_a_file():
    assert not any(
        f"{path}/".startswith(("/etc/ssl/private/", "/etc/pki/tls/private/", "/etc/shadow", "/etc/passwd"))
        or path in {"/etc", "/etc/ssl", "/etc/pki", "/etc/pki/tls"}
        for path in (*NETWORK_FILES, *NETWORK_FOLDERS)
    )


@pytest.mark.parametrize("which", [0, 1], ids=["ordinary", "root"])
def test_abstract_sockets_belong_to_the_network_and_stay_out_of_reach_where_landlock_can_do_it(which):
    with_network = build_both(WITH_NETWORK)[which]
    older = build_both(WITH_NETWORK, replace(MACHINE, landlock=5))[which]
    without = build_both(WITHOUT_GATEWAY)[which]

    assert with_network.order == (*without.order[:-1], ("landlock", "0 0 1"), ("restrict", ""), ("first", ""))
    assert older.order == without.order


@pytest.mark.parametrize("which", [0, 1], ids=["ordinary", "root"])
def test_raw_packets_are_refused_where_the_network_is_the_machines(which):
    assert build_both(WITH_NETWORK)[which].filter == build_filter("x86_64", network=True)
    assert build_both(WITHOUT_GATEWAY)[which].filter == build_filter("x86_64")


def test_what_lies_in_a_folder_that_is_bound_for_reading_is_not_bound_again():
    binds = (
        Bind("/opt/tools"),
        Bind("/opt/tools/bin/python"),
        Bind("/opt/toolset"),
        Bind("/opt/tools/out", writable=True),
    )
    argv = build_bubblewrap("bwrap", replace(REQUEST, binds=binds), MACHINE, PLACE).argv

    assert has(argv, "--ro-bind", "/opt/tools", "/opt/tools")
    assert has(argv, "--ro-bind", "/opt/toolset", "/opt/toolset")
    assert has(argv, "--bind", "/opt/tools/out", "/opt/tools/out")
    assert "/opt/tools/bin/python" not in argv
