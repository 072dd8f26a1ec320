import pytest
from hypothesis import given
from hypothesis import strategies as st

from coven_action.core.sandbox.request import (
    MIB,
    Bind,
    SandboxLimits,
    SandboxRequest,
    build_etc,
    build_order,
    is_plain_path,
    render_order,
)
from tests.core.sandbox.requests import PLACE, REQUEST


@pytest.mark.parametrize("path", ["/a", "/a/b.c", "/a b", "/ä", "/a..b", "/..a"])
def test_plain_paths(path):
    assert is_plain_path(path)


@pytest.mark.parametrize(
    "path", ["", "/", "//", "a", "./a", "/a/", "/a//b", "/a/../b", "/..", "/a/.", "/a\0b", "~/a", "//a"]
)
def test_paths_that_lead_elsewhere_are_not_plain(path):
    assert not is_plain_path(path)


@pytest.mark.parametrize(
    "wrong",
    [
        {"argv": ()},
        {"folder": "tree"},
        {"folder": "/a/../b"},
        {"gateway": "gateway.sock"},
        {"binds": (Bind("/a/./b"),)},
        {"relay_port": 0},
        {"relay_port": 65536},
        {"network": True, "gateway": "/gateway.sock"},
    ],
)
def test_a_request_that_cannot_be_meant_is_refused(wrong):
    said = {"argv": ("a",), "environment": {}, "folder": "/a"}

    assert SandboxRequest(**said)
    with pytest.raises(ValueError, match=r"^(a request names|not an absolute|no port|a gateway is the only way)"):
        SandboxRequest(**(said | wrong))


def test_the_order_says_everything_the_entry_needs():
    limits = SandboxLimits(memory_bytes=MIB, processes=5, workspace_bytes=2 * MIB)
    request = SandboxRequest(("a",), {"A": "1", "B": "x=y"}, "/tree", gateway="/sock et", limits=limits)

    assert build_order(request, user=(7, 8)) == (
        ("env", "A=1"),
        ("env", "B=x=y"),
        ("limit", "data 1048576"),
        ("limit", "fsize 2097152"),
        ("limit", "nproc 5"),
        ("gateway", "/sock et"),
        ("user", "7 8"),
        ("relay", "8377"),
        ("folder", "/tree"),
    )


def test_without_a_gateway_and_another_user_the_order_names_neither():
    words = [word for word, _ in build_order(SandboxRequest(("a",), {}, "/tree"))]

    assert words == ["limit", "limit", "limit", "folder"]


def test_an_order_is_rendered_in_order():
    assert render_order((("env", "A=1\nB"), ("folder", "/ä"))) == "env A=1\nB\0folder /ä\0".encode()


@pytest.mark.parametrize("directive", [("env", "A=1\0user 0 0"), ("env\0user 0 0", "A=1")])
def test_no_value_can_begin_a_directive_of_its_own(directive):
    with pytest.raises(ValueError, match="zero byte"):
        render_order((directive,))


def test_what_no_environment_of_this_machine_can_hold_is_refused():
    with pytest.raises(ValueError, match="surrogates not allowed"):
        render_order((("env", "\udd00=1"),))


# Half of a pair stands for no byte: what is read from an environment never has one.
NAMES = st.text(st.characters(exclude_characters="\0=", exclude_categories=["Cs"]), min_size=1)


@given(st.dictionaries(NAMES, st.text()))
def test_every_environment_comes_back_or_is_refused(environment):
    order = build_order(SandboxRequest(("a",), environment, "/tree"))
    if any("\0" in value for value in environment.values()):
        with pytest.raises(ValueError, match="zero byte"):
            render_order(order)
        return
    told = render_order(order).decode("utf-8", "surrogateescape").split("\0")[:-1]
    words = [directive.partition(" ") for directive in told]
    found = dict(value.split("=", 1) for word, _, value in words if word == "env")

    assert found == environment


def test_bytes_of_names_that_are_no_text_pass_unchanged():
    name = b"/\xff".decode("utf-8", "surrogateescape")

    assert render_order((("folder", name),)) == b"folder /\xff\0"


def test_the_etc_inside_knows_one_user():
    files = build_etc(7, 8)

    assert files["passwd"] == "agent:x:7:8:agent:/tmp:/bin/sh\n"
    assert files["group"] == "agent:x:8:\n"
    assert set(files) == {"passwd", "group", "hosts", "nsswitch.conf"}


def test_other_hosts_have_names_where_there_is_a_network():
    with_network, without = build_etc(7, 8, network=True), build_etc(7, 8)

    assert "hosts: files dns\n" in with_network["nsswitch.conf"]
    assert "hosts: files\n" in without["nsswitch.conf"]
    assert {name for name in without if with_network[name] != without[name]} == {"nsswitch.conf"}


def test_what_a_sandbox_is_told_lies_in_its_place():
    assert (PLACE.order, PLACE.filter, PLACE.etc) == (
        "/run-temp/told/order",
        "/run-temp/told/filter",
        "/run-temp/told/etc",
    )
    assert REQUEST.relay_port == 8377
