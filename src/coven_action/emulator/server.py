"""Start and stop a local GitHub on this machine's loopback address, in a thread of this process."""

import asyncio
import secrets
import socket
import threading
import time
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self

import uvicorn
from uvicorn.protocols.http.h11_impl import H11Protocol

from coven_action.emulator.app import build_app
from coven_action.emulator.exchanges import Exchange
from coven_action.emulator.faults import Faults
from coven_action.emulator.oidc import LocalIssuer
from coven_action.emulator.state import Repository
from coven_action.emulator.world import World
from coven_action.errors import Error

_START_SECONDS: Final = 20
_GRACE_SECONDS: Final = 1
_PAUSE: Final = 0.01


class LocalGitHub:
    """A GitHub that runs here: REST, a little GraphQL, git over HTTP, ID tokens and pages.

    Use it as a context manager; it listens on 127.0.0.1 only.

    Args:
        directory: Where the bare repositories are made.
        port: 0 takes a free one.

    Attributes:
        world: All state, and the functions that change it; hold `world.lock` while reading from another thread.
        issuer: Signs the ID tokens of its workflow runs.
        faults: What is to go wrong.
        admin_key: The value of the header `X-Emulator-Key` for `POST {url}/_emulator/faults`.
    """

    def __init__(self, directory: Path, port: int = 0) -> None:
        self.world = World(directory)
        self.issuer = LocalIssuer(self.world)
        self.faults = Faults()
        self.admin_key = secrets.token_urlsafe(24)
        self._connections: dict[tuple[str, int], Any] = {}
        self._app = build_app(self.world, self.issuer, self.faults, self.admin_key, self._hang_up)
        self._port = port
        self._server: uvicorn.Server | None = None
        self._thread: threading.Thread | None = None

    @property
    def url(self) -> str:
        """The address of the pages and of git: the value of GITHUB_SERVER_URL."""
        return self.world.html_url

    @property
    def api_url(self) -> str:
        """The address of the REST interface: the value of GITHUB_API_URL."""
        return self.world.api_url

    @property
    def graphql_url(self) -> str:
        """The address of the GraphQL interface: the value of GITHUB_GRAPHQL_URL."""
        return f"{self.url}/graphql"

    @property
    def exchanges(self) -> list[Exchange]:
        """Every request so far with its answer, the latest 20,000."""
        return list(self._app.exchanges)

    @property
    def requests(self) -> list[str]:
        """Every request to the REST and GraphQL interfaces so far as `GET /repos/...`, in order."""
        return [
            f"{exchange.method} {exchange.path.removeprefix('/api')}"
            for exchange in self.exchanges
            if exchange.kind in {"rest", "graphql"}
        ]

    def seed_repository(
        self,
        owner: str,
        name: str,
        files: Mapping[str, str | bytes],
        *,
        private: bool = False,
        default_branch: str = "main",
        organization: bool = True,
        description: str | None = None,
    ) -> Repository:
        """Create a repository with one commit that holds `files`; equal files give the same commit."""
        with self.world.lock:
            return self.world.add_repository(
                owner,
                name,
                files,
                private=private,
                default_branch=default_branch,
                organization=organization,
                description=description,
            )

    def start(self) -> Self:
        """Listen, and return when requests are answered.

        Raises:
            Error: `emulator-failed`, when the port is taken or the server does not come up.
        """
        # asyncio switches Nagle's algorithm off only where the protocol is named; else every answer waits 40 ms.
        listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind(("127.0.0.1", self._port))
        except OSError as error:
            listener.close()
            raise Error(
                "emulator-failed", f"port {self._port} of 127.0.0.1 cannot be used: {error.strerror}"
            ) from error
        self.world.html_url = f"http://127.0.0.1:{listener.getsockname()[1]}"
        self._server = _Server(self._build_config())
        self._thread = threading.Thread(target=self._server.run, args=([listener],), name="local-github", daemon=True)
        self._thread.start()
        deadline = time.monotonic() + _START_SECONDS
        while not self._server.started:
            if time.monotonic() > deadline or not self._thread.is_alive():
                raise Error("emulator-failed", "the local GitHub did not start")
            time.sleep(0.002)
        return self

    def stop(self) -> None:
        """End the server and wait until its thread has ended."""
        if self._server is not None and self._thread is not None:
            self._server.should_exit = True
            self._thread.join(_START_SECONDS)
        self._server = self._thread = None

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.stop()

    def _build_config(self) -> uvicorn.Config:
        return uvicorn.Config(
            self._app,
            http=_build_protocol(self._connections),
            ws="none",
            loop="asyncio",
            lifespan="off",
            log_config=None,
            access_log=False,
            server_header=False,
            timeout_keep_alive=30,
        )

    def _hang_up(self, client: tuple[str, int]) -> None:
        with suppress(KeyError):
            self._connections[client].close()


class _Server(uvicorn.Server):
    """uvicorn's server with shorter pauses: it looks every 10 ms whether it shall end, not every 100 ms.

    Tests start hundreds of these; uvicorn's own pauses would be most of their time.
    """

    async def main_loop(self) -> None:
        """Serve until told to end; the Date header is renewed every second."""
        ticks = 0
        while not await self.on_tick(ticks // 10):
            ticks = (ticks + 1) % 864_000
            await asyncio.sleep(_PAUSE)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Stop listening, let answers under way be finished for a second, and hang up."""
        for server in self.servers:
            server.close()
        for listener in sockets or []:
            listener.close()
        for connection in list(self.server_state.connections):
            connection.shutdown()
        for _ in range(round(_GRACE_SECONDS / _PAUSE)):
            if not self.server_state.connections and not self.server_state.tasks:
                return
            await asyncio.sleep(_PAUSE)
        for task in self.server_state.tasks:
            task.cancel()


def _build_protocol(connections: dict[tuple[str, int], Any]) -> type[H11Protocol]:
    """Return uvicorn's protocol with a book of its connections, so that a fault can hang up without an answer."""

    class Protocol(H11Protocol):
        def connection_made(self, transport: Any) -> None:
            connections[transport.get_extra_info("peername")] = transport
            super().connection_made(transport)

        def connection_lost(self, exc: Exception | None) -> None:
            connections.pop(self.transport.get_extra_info("peername"), None)
            super().connection_lost(exc)

    return Protocol
