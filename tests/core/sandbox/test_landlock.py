from dataclasses import replace

import pytest

from coven_action.core.sandbox.landlock import DEVICES, build_landlock, get_handled
from coven_action.core.sandbox.network import NETWORK_FILES, NETWORK_FOLDERS
from coven_action.core.sandbox.request import START
from coven_action.core.sandbox.seccomp import build_filter
from tests.core.sandbox.requests import MACHINE, PLACE, REQUEST

LAUNCH = build_landlock(REQUEST, MACHINE, PLACE)


def list_paths(launch):
    return {
        path: int(rights) for word, value in launch.order if word == "path" for rights, path in [value.split(" ", 1)]
    }


# https://docs.kernel.org/userspace-api/landlock.html, "Previous limitations"
@pytest.mark.parametrize(
    ("version", "handled"),
    [
        (0, (0, 0, 0)),
        (1, (0x1FFF, 0, 0)),
        (2, (0x3FFF, 0, 0)),
        (3, (0x7FFF, 0, 0)),
        (4, (0x7FFF, 3, 0)),
        (5, (0xFFFF, 3, 0)),
        (6, (0xFFFF, 3, 3)),
        (7, (0xFFFF, 3, 3)),
        (11, (0xFFFF, 3, 3)),
    ],
)
def test_each_version_refuses_what_it_can(version, handled):
    assert get_handled(version) == handled


def test_what_is_needed_can_be_read_and_no_more():
    paths = list_paths(LAUNCH)

    for path in ("/usr", "/lib64", "/bin", "/opt/python", "/opt/coven/inside", "/opt/agent", "/proc/self"):
        assert paths[path] == 0b1101
    for path in DEVICES:
        assert paths[path] == 1 << 14 | 0b110
    for path in ("/srv/run/tree", "/run-temp/scratch", "/srv/run/home"):
        assert paths[path] == 0xFFFF
    assert not {"/", "/proc", "/etc", "/home", "/tmp", "/dev", "/run-temp/told"} & set(paths)


def test_rights_that_a_version_does_not_know_are_not_granted():
    paths = list_paths(build_landlock(REQUEST, replace(MACHINE, landlock=1), PLACE))

    assert all(rights <= 0x1FFF for rights in paths.values())


def test_tcp_leads_to_the_gateways_port_alone():
    assert [value for word, value in LAUNCH.order if word == "port"] == ["2 8377"]
    for other in (replace(REQUEST, gateway=""), REQUEST):
        machine = MACHINE if other is not REQUEST else replace(MACHINE, landlock=3)
        assert "port" not in dict(build_landlock(other, machine, PLACE).order)


def test_the_relay_starts_before_the_rules_hold_and_the_filter_comes_last():
    words = [word for word, _ in LAUNCH.order]

    assert words.index("relay") < words.index("landlock") < words.index("path")
    assert words[-2:] == ["restrict", "filter"]


def test_who_stays_the_runners_user_may_not_change_what_it_owns():
    changed = build_landlock(REQUEST, MACHINE, PLACE, (5, 6))

    assert dict(LAUNCH.order)["filter"] == build_filter("x86_64", shared=True, same_user=True).hex()
    assert dict(changed.order)["filter"] == build_filter("x86_64", shared=True).hex()


def test_temporary_files_have_a_folder_of_their_own():
    told = [
        value
        for word, value in build_landlock(replace(REQUEST, environment={"TMPDIR": "/tmp"}), MACHINE, PLACE).order
        if word == "env"
    ]

    assert told[-1] == "TMPDIR=/run-temp/scratch"


def test_root_becomes_another_user_and_others_stay():
    assert dict(build_landlock(REQUEST, MACHINE, PLACE, (5, 6)).order)["user"] == "5 6"
    assert "user" not in dict(LAUNCH.order)


def test_the_entry_is_started_where_it_lies():
    assert LAUNCH.argv == (
        "/opt/python/bin/python3.11",
        "-I",
        "-S",
        "-c",
        START,
        "/opt/coven/inside",
        "/run-temp/told/order",
        "--",
        "/opt/agent",
        "--headless",
    )
    assert LAUNCH.filter == b""


def test_without_landlock_there_is_no_sandbox():
    with pytest.raises(ValueError, match="no Landlock"):
        build_landlock(REQUEST, replace(MACHINE, landlock=0), PLACE)


@pytest.mark.parametrize(
    ("version", "without", "with_network"),
    [(3, "32767 0 0", "32767 0 0"), (4, "32767 3 0", "32767 0 0"), (7, "65535 3 3", "65535 0 3")],
)
def test_the_network_costs_the_rules_of_ports_and_no_others(version, without, with_network):
    machine = replace(MACHINE, landlock=version)
    request = replace(REQUEST, gateway="")

    assert dict(build_landlock(request, machine, PLACE).order)["landlock"] == without
    launch = build_landlock(replace(request, network=True), machine, PLACE)
    assert dict(launch.order)["landlock"] == with_network
    assert "port" not in dict(launch.order)


@pytest.mark.parametrize("user", [None, (5, 6)], ids=["same user", "another user"])
def test_with_the_network_hosts_can_be_found_and_trusted(user):
    request = replace(REQUEST, gateway="")
    without, with_network = (
        build_landlock(changed, MACHINE, PLACE, user) for changed in (request, replace(request, network=True))
    )
    added = {path: rights for path, rights in list_paths(with_network).items() if path not in list_paths(without)}

    assert added == dict.fromkeys({*NETWORK_FILES, *NETWORK_FOLDERS} - {"/etc/hosts"}, 0b1101)
    assert dict(with_network.order)["filter"] == (
        build_filter("x86_64", shared=True, same_user=user is None, network=True).hex()
    )
