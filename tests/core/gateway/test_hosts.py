"""Names are compared as wholes, and an address is public or refused."""

import pytest

from coven_action.core.gateway.hosts import (
    check_host_header,
    is_host_name,
    is_public_address,
    show_host,
    verify_tunnel_target,
)
from coven_action.core.gateway.refusals import Refused


@pytest.mark.parametrize(
    "name", ["api.anthropic.com", "localhost", "a-b.c1.example", "xn--bcher-kva.example", "a" * 63]
)
def test_a_host_name(name):
    assert is_host_name(name)


@pytest.mark.parametrize(
    "name",
    [
        "", "Api.example", "example.com.", ".example", "a..b", "-a.b", "a-.b", "a_b.c", "*.example", "a b", "a\n",
        "bücher.example",
        "127.0.0.1", "127.1", "2130706433", "0x7f000001", "0x7f.1", "1.2.3.4.5", "[::1]", "::1", "a.b:443", "user@a.b", "a/b",
        "a" * 64, ".".join(["a" * 60] * 5),
    ],
)  # fmt: skip
def test_no_host_name(name):
    assert not is_host_name(name)


@pytest.mark.parametrize(("target", "host"), [("pypi.org:443", "pypi.org"), ("PyPI.org:443", "pypi.org")])
def test_a_tunnel_goes_to_a_host_of_the_list(target, host):
    assert verify_tunnel_target(target, {"pypi.org"}) == host


@pytest.mark.parametrize(
    "target",
    [
        "pypi.org", "pypi.org:80", "pypi.org:0443", "pypi.org:443:443", "pypi.org.:443", "evil.org:443", "pypi.org.evil.org:443",
        "sub.pypi.org:443", "pypi.org:443/", "a@pypi.org:443", "", ":443", "127.0.0.1:443", "[::1]:443", "https://pypi.org:443",
        "pypi.org\n:443", "pypi.org:443\n",
    ],
)  # fmt: skip
def test_a_tunnel_goes_nowhere_else(target):
    with pytest.raises(Refused) as caught:
        verify_tunnel_target(target, {"pypi.org"})

    assert (caught.value.reason, caught.value.host) == ("host-not-allowed", target)


def test_an_empty_list_allows_nothing():
    with pytest.raises(Refused):
        verify_tunnel_target("pypi.org:443", ())
    with pytest.raises(Refused):
        verify_tunnel_target(":443", ())


@pytest.mark.parametrize(
    "value", ["127.0.0.1", "127.0.0.1:4100", "LOCALHOST:1", "[::1]:4100", "Model.test", "model.test:443"]
)
def test_a_client_names_the_relay_or_the_model(value):
    check_host_header(value, "model.test")


@pytest.mark.parametrize(
    "value",
    ["", "model.test:80", "model.test.", "127.0.0.2", "127.0.0.1:", "127.0.0.1.evil.test", "evil.test", "localhost:1/"],
)
def test_a_client_that_names_another_host_is_refused(value):
    with pytest.raises(Refused) as caught:
        check_host_header(value, "model.test")

    assert caught.value.host == value


@pytest.mark.parametrize(
    "address",
    ["8.8.8.8", "140.82.121.4", "2606:4700::6810:84e5", "64:ff9b::808:808", "2002:808:808::1", "::ffff:8.8.8.8"],
)
def test_a_public_address(address):
    assert is_public_address(address)


@pytest.mark.parametrize(
    "address",
    [
        "127.0.0.1", "127.8.8.8", "0.0.0.0", "10.0.0.1", "172.16.0.1", "192.168.1.1", "100.64.0.1", "100.100.100.200",
        "169.254.169.254", "169.254.170.2", "192.0.0.192", "168.63.129.16", "198.18.0.1", "224.0.0.1", "239.1.1.1", "240.0.0.1",
        "255.255.255.255", "::", "::1", "fe80::1", "fe80::1%eth0", "fd00:ec2::254", "fc00::1", "ff02::1", "::ffff:127.0.0.1",
        "::ffff:169.254.169.254", "::127.0.0.1", "64:ff9b::7f00:1", "64:ff9b::a9fe:a9fe", "64:ff9b:1::a00:1", "2002:7f00:1::",
        "2002:a9fe:a9fe::1", "2001:0:4136:e378:8000:63bf:80ff:fffe", "2001:db8::1", "", "localhost", "8.8.8.8:443", "0x7f.1",
        "127.1", "168.63.129.16 ",
    ],
)  # fmt: skip
def test_no_public_address(address):
    assert not is_public_address(address)


@pytest.mark.parametrize(
    ("text", "shown"),
    [("Evil.test:443", "evil.test:443"), ("[::1]:443", "[::1]:443"), ("@team", "(unreadable)"), ("a\nb", "(unreadable)"),
     ("", "(unreadable)"), ("a" * 254, "(unreadable)"), ("::warning::x y", "(unreadable)")],
)  # fmt: skip
def test_what_an_agent_wrote_is_shown_where_it_is_plain(text, shown):
    assert show_host(text) == shown
