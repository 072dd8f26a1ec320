"""What a configuration may name as its endpoint."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from coven_action.core.configuration.endpoint_urls import (
    find_endpoint_mistake,
    find_oversight_mistake,
    is_plain_url,
    render_oversight_url,
)


@pytest.mark.parametrize(
    "url",
    ["https://coven.example.com", "https://coven.example.com:8443/base", "http://127.0.0.1:8766", "http://[::1]:1"],
)
def test_an_endpoint_is_https_or_on_this_machine(url):
    assert find_endpoint_mistake(url) == ""


@pytest.mark.parametrize(
    ("url", "mistake"),
    [
        ("http://coven.example.com", "https://"),
        ("http://127.0.0.1.example.com", "https://"),
        ("https://", "https://"),
        ("https://coven.example.com:0", "https://"),
        ("https://coven.example.com:99999", "https://"),
        ("https://[::1", "https://"),
        ("https://coven.example.com/", "slash"),
        ("https://Coven.example.com", "lower-case"),
        ("ftp://localhost", "https://"),
        ("https://user@coven.example.com", "https://"),
        ("https://coven.example.com?x=1", "without ?"),
        ("https://coven.example.com/#top", "without ?"),
    ],
)
def test_what_is_no_endpoint_is_refused(url, mistake):
    assert mistake in find_endpoint_mistake(url)


@pytest.mark.parametrize(
    ("url", "good"),
    [
        ("https://example.com/runs/{run}", True),
        ("https://example.com/runs/", False),
        ("https://example.com/{run}/{run}", False),
        ("https://example.com/{run}/{secret}", False),
        ("http://example.com/{run}", False),
    ],
)
def test_the_address_of_a_run_names_its_place_once(url, good):
    assert (find_oversight_mistake(url) == "") is good


def test_the_address_of_a_run_holds_its_number():
    assert render_oversight_url("https://example.com/runs?n={run}", 17) == "https://example.com/runs?n=17"


@pytest.mark.parametrize(
    ("url", "plain"),
    [
        ("https://example.com", True),
        ("https://example.com/{run}?n=1", True),
        ("https://[2001:db8::1]:8443", True),
        ("https://xn--zrich-kva.example", True),
        ("http://127.0.0.1:8766", True),
        ("http://localhost", True),
        ("http://[::1]", True),
        # other protocols, to this machine too
        ("ftp://example.com", False),
        ("ftp://localhost", False),
        ("file://127.0.0.1/etc/passwd", False),
        ("javascript://localhost/%0aalert(1)", False),
        ("ws://localhost", False),
        ("gopher://[::1]/", False),
        ("HTTPS://example.com", False),
        ("//localhost", False),
        ("localhost:8766", False),
        ("", False),
        # http beyond this machine
        ("http://example.com", False),
        ("http://localhost.example.com", False),
        ("http://127.0.0.1.example.com", False),
        ("http://127.1", False),
        ("http://0.0.0.0:8766", False),
        ("http://10.0.0.1", False),
        # hosts that two readers would find at different places, or that come with a secret
        ("https://", False),
        ("https:///path", False),
        ("https://:443", False),
        ("https://example.com:", False),
        ("https://example.com:0", False),
        ("https://example.com:65536", False),
        ("https://user:secret@example.com", False),
        ("http://localhost@example.com", False),
        ("http://example.com@localhost", False),
        ("http://localhost\\@example.com", False),
        ("https://exa\nmple.com", False),
        ("https://example.com\t", False),
        (" https://example.com", False),
        ("https://example.com/a b", False),
        ("https://zürich.example", False),
        ("https://example。com", False),
        ("https://[::1", False),
    ],
)
def test_a_plain_url_is_https_or_http_to_this_machine(url, plain):
    assert is_plain_url(url) is plain


@given(
    scheme=st.from_regex(r"[a-z][a-z0-9+.-]{0,8}", fullmatch=True),
    host=st.sampled_from(["localhost", "127.0.0.1", "[::1]", "example.com"]),
)
def test_no_other_scheme_is_plain_whatever_the_host(scheme, host):
    assert is_plain_url(f"{scheme}://{host}") is (scheme == "https" or (scheme == "http" and host != "example.com"))
