"""Opens the way to the model for one run: finds a place for its socket, starts the gateway, and says what it refuses."""

import os
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

from coven_action.adapters.gateway.process import Gateway
from coven_action.core.gateway.order import GatewayOrder

MAX_SOCKET_BYTES: Final = 100
"""A socket's path may have 107 bytes: https://man7.org/linux/man-pages/man7/unix.7.html. A few are left for mounts."""


class GatewayOpener:
    """Opens gateways.

    Args:
        environment: The job's variables, of which a gateway is given those that say which authorities are believed.
        say: Takes a line for the log, redacted by whoever prints it.
    """

    def __init__(self, environment: Mapping[str, str], say: Callable[[str], object]) -> None:
        self._environment = environment
        self._say = say

    @contextmanager
    def open(self, order: GatewayOrder, key: str) -> Iterator[Gateway]:
        """Open one, at the path that the order names or, where that is too long for a socket, at one of our own.

        Raises:
            RuntimeFault: `gateway-not-started`.
        """
        with (
            _find_room(order) as placed,
            Gateway(placed, key, environment=self._environment, on_event=self._tell) as gateway,
        ):
            yield gateway

    def _tell(self, event: Mapping[str, Any]) -> None:
        if event.get("event") == "refused":
            self._say(f"gateway: {event.get('host')} is not allowed ({event.get('reason')})")
        elif event.get("event") == "ended":
            self._say(f"gateway: the budget is used up ({event.get('because')}); the run is ended")


@contextmanager
def _find_room(order: GatewayOrder) -> Iterator[GatewayOrder]:
    if len(os.fsencode(order.socket)) <= MAX_SOCKET_BYTES:
        yield order
        return
    with tempfile.TemporaryDirectory(prefix="coven-gateway-", ignore_cleanup_errors=True) as folder:
        yield order.model_copy(update={"socket": str(Path(folder) / "socket")})
