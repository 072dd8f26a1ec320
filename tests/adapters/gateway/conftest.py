"""One gateway for all tests of a file that need nothing special of it; each starts with a quiet host."""

from types import SimpleNamespace

import pytest

from coven_action.core.gateway.order import Budget
from tests.adapters.gateway.parties import HOST, Authority, Client, ModelHost, build_order, start_gateway


@pytest.fixture(scope="session")
def authority(tmp_path_factory):
    return Authority(tmp_path_factory.mktemp("authority"))


@pytest.fixture(scope="session")
def certificate(authority):
    return authority.issue(HOST)


@pytest.fixture
def host(certificate):
    with ModelHost(certificate) as started:
        yield started


@pytest.fixture
def folder(tmp_path):
    tmp_path.chmod(0o700)
    return tmp_path


@pytest.fixture(scope="module")
def shared(authority, certificate, tmp_path_factory):
    """Host and gateway that are shared; `ask` makes one request on a connection of its own."""
    folder = tmp_path_factory.mktemp("shared")
    folder.chmod(0o700)
    with ModelHost(certificate) as started:
        order = build_order(folder, authority, {HOST: started.port}, budget=Budget(requests=10_000))
        with start_gateway(order) as gateway:
            yield SimpleNamespace(host=started, gateway=gateway)


@pytest.fixture
def scene(shared):
    shared.host.answer = None
    shared.host.asked.clear()

    def ask(*given, **more):
        with Client(shared.gateway.socket) as client:
            return client.ask(*given, **more)

    return SimpleNamespace(host=shared.host, gateway=shared.gateway, ask=ask)
