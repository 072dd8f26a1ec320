"""An order names hosts that can be compared, and never a key."""

import pytest
from pydantic import ValidationError

from coven_action.core.gateway.order import Budget, GatewayOrder, TestNetwork, is_key


def build(**fields):
    return GatewayOrder(
        **{"provider": "anthropic", "host": "api.test", "budget": Budget(requests=1), "socket": "/run/s", **fields}
    )


def test_an_order_survives_the_pipe():
    order = build(hosts=("pypi.org",), prefix="/api/v2.1", prices={}, models=("m",))

    assert GatewayOrder.model_validate_json(order.model_dump_json()) == order


@pytest.mark.parametrize(
    "fields",
    [
        {"host": "API.test"},
        {"host": "api.test:443"},
        {"host": "127.0.0.1"},
        {"host": "*.test"},
        {"hosts": ("pypi.org", "*")},
        {"hosts": ("api.test",)},
        {"prefix": "/../v2"},
        {"prefix": "/a/./b"},
        {"prefix": "api"},
        {"prefix": "/api/"},
        {"prefix": "/api\n"},
        {"prefix": "/%61"},
        {"prefix": "/api?x"},
        {"budget": {"requests": 0}},
        {"budget": {"requests": 1, "tokens": 0}},
        {"budget": {"requests": 1, "cost_usd": float("inf")}},
        {"budget": {}},
        {"provider": "other"},
        {"parallel": 0},
        {"key": "secret"},
    ],
)
def test_an_order_that_is_unclear_is_refused(fields):
    with pytest.raises(ValidationError):
        build(**fields)


def test_the_port_is_443_but_in_the_test_network():
    network = TestNetwork(certificates="", routes={"api.test": 4433})

    assert build().get_port("api.test") == 443
    assert build(internal_be_careful_test_network=network).get_port("api.test") == 4433
    assert build(internal_be_careful_test_network=network).get_port("pypi.org") == 443


@pytest.mark.parametrize("key", ["sk-12345", "x" * 4096, "!~!~!~!~"])
def test_a_key(key):
    assert is_key(key)


@pytest.mark.parametrize(
    "key",
    [
        "",
        "1234567",
        "x" * 4097,
        "with space",
        "with\r\nline",
        "with\ttab",
        "not-ASCII-\N{LATIN SMALL LETTER E WITH ACUTE}",
        "delete\x7f",
    ],
)
def test_no_key(key):
    assert not is_key(key)
