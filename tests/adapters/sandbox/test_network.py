"""A program with the network, on a fake internet: it finds hosts by their names, as on the machine itself."""

import os

import pytest

from coven_action.adapters.runtime_process import run_process
from coven_action.adapters.sandbox.running import run_confined
from coven_action.core.contract.process_output import ProcessLimits
from coven_action.core.sandbox.request import SandboxRequest
from tests.redteam.internet import EVIL, Internet, run_there
from tests.sandboxes import get_sandbox, missing, open_base

FETCH = """
import socket
try:
    with socket.create_connection(("packages.example.test", 443), timeout=10) as connection:
        connection.sendall(b"hello")
    print("reached")
except OSError:
    print("kept")
"""


def fetch(backend, *, network):
    """Return what the program said, and what the fake internet saw of it."""

    def there():
        with open_base() as base, Internet() as internet:
            sandbox, folder = get_sandbox(backend), base / "workspace"
            folder.mkdir()
            request = SandboxRequest(
                argv=(sandbox.machine.python, "-I", "-S", "-c", FETCH),
                environment={"PATH": "/usr/bin:/bin"},
                folder=str(folder),
                network=network,
            )
            output = bytearray()
            limits = ProcessLimits(seconds=60, grace_seconds=0.0)
            run_confined(sandbox, request, run=run_process, base=base, limits=limits, write=output.extend)
            return output.decode().strip(), internet.look()

    return run_there(there)


@pytest.mark.parametrize("backend", ["bubblewrap", "root-bubblewrap", "landlock"])
def test_a_program_with_the_network_finds_hosts_by_name(backend):
    if not os.access("/etc/resolv.conf", os.R_OK):
        missing("this machine asks no name server")

    said, seen = fetch(backend, network=True)

    assert said == "reached"
    assert [(arrival.address, arrival.data) for arrival in seen if arrival.protocol == "tcp"] == [(EVIL, b"hello")]
    assert any(b"packages" in arrival.data for arrival in seen if arrival.protocol == "dns")


@pytest.mark.parametrize("backend", ["bubblewrap", "root-bubblewrap", "landlock"])
def test_a_program_without_it_does_not_even_ask(backend):
    assert fetch(backend, network=False) == ("kept", [])
