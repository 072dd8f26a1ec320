"""The way to the model for one run: where its socket lies, and what people read of it."""

from pathlib import Path

import pytest

from coven_action.adapters.gateway.opening import MAX_SOCKET_BYTES, GatewayOpener
from coven_action.core.gateway.order import Budget
from coven_action.errors import RuntimeFault
from tests.adapters.gateway.parties import HOST, KEY, Client, build_order


@pytest.fixture
def said():
    return []


@pytest.fixture
def opener(said):
    return GatewayOpener({}, said.append)


def test_the_socket_lies_where_the_order_says(opener, said, folder, authority, host):
    order = build_order(folder, authority, {HOST: host.port})

    with opener.open(order, KEY) as gateway:
        with Client(gateway.socket) as client:
            assert client.ask().status == 200
        assert gateway.socket == folder / "gateway.sock"
        report = gateway.report()

    assert (report.requests, said) == (1, [])


def test_a_path_too_long_for_a_socket_is_replaced_by_one_of_our_own(opener, folder, authority, host):
    deep = folder / ("x" * MAX_SOCKET_BYTES)
    deep.mkdir(mode=0o700)
    order = build_order(deep, authority, {HOST: host.port})

    with opener.open(order, KEY) as gateway:
        place = Path(gateway.socket).parent
        with Client(gateway.socket) as client:
            assert client.ask().status == 200
        assert len(str(gateway.socket)) <= MAX_SOCKET_BYTES
        assert place.stat().st_mode & 0o777 == 0o700

    assert not place.exists()
    assert list(deep.iterdir()) == []


def test_people_read_which_host_was_refused_and_that_the_budget_ended_the_run(opener, said, folder, authority, host):
    order = build_order(folder, authority, {HOST: host.port}, budget=Budget(requests=1))

    with opener.open(order, KEY) as gateway:
        for asked in ({"host": "evil.test"}, {"host": "evil.test"}, {}, {}):
            with Client(gateway.socket) as client:
                client.ask(**asked)
        gateway.report()

    assert said == [
        "gateway: evil.test is not allowed (host-not-allowed)",
        "gateway: the budget is used up (budget-requests); the run is ended",
    ]


def test_a_gateway_that_does_not_start_is_told(opener, folder, authority):
    (folder / "gateway.sock").touch()

    with (
        pytest.raises(RuntimeFault) as caught,
        opener.open(build_order(folder, authority, {}), KEY),
    ):
        raise AssertionError("it was opened")

    assert caught.value.code == "gateway-not-started"
