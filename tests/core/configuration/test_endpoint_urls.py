"""What a configuration may name as its endpoint."""

import pytest

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


def test_other_protocols_are_no_plain_urls():
    assert not is_plain_url("ftp://example.com")
