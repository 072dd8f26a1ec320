"""Reach the hosts outside: the model's, by HTTP over verified TLS, and others for a tunnel. Decides nothing.

The connection, the name in it and the `Host` header are of the one host of the order. Redirects are not followed, proxies
of the environment not asked, and nothing is decompressed. Whatever interrupts a request, its connection is gone at once:
a host that goes on writing to nobody goes on costing money.
"""

import asyncio
import contextlib
import socket
import ssl
from collections.abc import AsyncIterator, Iterator, Sequence
from typing import Any, Final

import certifi
import h11

from coven_action.core.gateway.hosts import is_public_address
from coven_action.core.gateway.order import GatewayOrder
from coven_action.core.gateway.refusals import Refused

CHUNK_BYTES: Final = 64 * 1024
ANSWER_HEAD_BYTES: Final = 64 * 1024
IDLE_SECONDS: Final = 30.0
"""How long an unused connection is kept. Shorter than servers usually do, or the next request would find it closed."""
LOOPBACK: Final = "127.0.0.1"
Stream = tuple[asyncio.StreamReader, asyncio.StreamWriter]


class Connection:
    """One connection to the model's host, for one request after another.

    Args:
        stream: Connected, with TLS.
        silence_seconds: How long the host may be silent.
    """

    def __init__(self, stream: Stream, silence_seconds: float) -> None:
        self._reader, self._writer = stream
        self._silence_seconds = silence_seconds
        self._http = h11.Connection(h11.CLIENT, max_incomplete_event_size=ANSWER_HEAD_BYTES)
        self._idle_since = 0.0

    async def ask(
        self, method: bytes, path: bytes, headers: Sequence[tuple[bytes, bytes]], body: bytes
    ) -> h11.Response:
        """Send a request and return the head of its answer."""
        request = h11.Request(method=method, target=path, headers=list(headers))
        data = [self._http.send(event) for event in (request, h11.Data(data=body), h11.EndOfMessage())]
        self._writer.write(b"".join(filter(None, data)))
        async with asyncio.timeout(self._silence_seconds):
            await self._writer.drain()
        while not isinstance(event := await self._next_event(), h11.Response):
            if not isinstance(event, h11.InformationalResponse):
                raise h11.RemoteProtocolError("there is no answer")
        return event

    async def read(self) -> AsyncIterator[bytes]:
        """Yield the body of the answer as it comes."""
        while isinstance(event := await self._next_event(), h11.Data):
            yield bytes(event.data)
        if not isinstance(event, h11.EndOfMessage):
            raise h11.RemoteProtocolError("the answer has no end")

    def free(self) -> bool:
        """Make it ready for another request; return False where it cannot be."""
        if self._http.our_state is not h11.DONE or self._http.their_state is not h11.DONE:
            return False
        if self._http.trailing_data[0]:
            return False  # the host spoke without being asked
        self._http.start_next_cycle()
        self._idle_since = asyncio.get_running_loop().time()
        return True

    def is_fresh(self) -> bool:
        """Whether it may still be used: not idle for too long, and the host has neither closed it nor spoken."""
        idle = asyncio.get_running_loop().time() - self._idle_since
        return idle < IDLE_SECONDS and not self._reader.at_eof() and not self._writer.transport.is_closing()

    def abort(self) -> None:
        """Close it at once."""
        self._writer.transport.abort()

    async def _next_event(self) -> Any:
        while (event := self._http.next_event()) is h11.NEED_DATA:
            async with asyncio.timeout(self._silence_seconds):
                self._http.receive_data(await self._reader.read(CHUNK_BYTES))
        return event


class Answered:
    """An answer whose body has not been read.

    Args:
        response: Its head.
        connection: Where the body comes from.
    """

    def __init__(self, response: h11.Response, connection: Connection) -> None:
        self.status = response.status_code
        self.headers = tuple(response.headers)
        self._connection = connection

    async def read(self) -> AsyncIterator[bytes]:
        """Yield the body as it comes.

        Raises:
            Refused: `upstream-broke-off`.
        """
        with meeting_faults():
            async for chunk in self._connection.read():
                yield chunk


class Upstream:
    """The hosts outside, as one order allows them.

    Args:
        order: Says which host, and how long it may take.
    """

    def __init__(self, order: GatewayOrder) -> None:
        self._order = order
        network = order.internal_be_careful_test_network
        self._tls = build_tls_context(network.certificates if network else None)
        self._idle: list[Connection] = []

    @contextlib.asynccontextmanager
    async def request(
        self, method: bytes, path: bytes, headers: Sequence[tuple[bytes, bytes]], body: bytes
    ) -> AsyncIterator[Answered]:
        """Send a request to the model's host and give its answer, whose body has not been read.

        Raises:
            Refused: `upstream-unreachable`: no connection, or no trusted certificate of that name; nothing was sent.
                `upstream-broke-off`: no answer in time, none that is HTTP, or not to its end.
        """
        connection = self._find_idle() or await self._connect()
        try:
            with meeting_faults():
                response = await connection.ask(method, path, headers, body)
            yield Answered(response, connection)
            if connection.free():
                self._idle.append(connection)
        finally:
            if connection not in self._idle:
                connection.abort()

    async def open_tunnel(self, host: str) -> Stream:
        """Open a plain connection to a host of the order, for a tunnel.

        Raises:
            Refused: `tunnel-unreachable`, or `address-not-public`: some address of the name is not.
        """
        try:
            async with asyncio.timeout(self._order.connect_seconds):
                *others, last = await self._find_addresses(host)
                for address in others:
                    with contextlib.suppress(OSError):  # one that is not reached from here; the next may be
                        return await asyncio.open_connection(*address)
                return await asyncio.open_connection(*last)
        except OSError as error:
            raise Refused("tunnel-unreachable", host=host) from error

    def close(self) -> None:
        """Close what is kept open."""
        for connection in self._idle:
            connection.abort()

    def _find_idle(self) -> Connection | None:
        while self._idle:
            connection = self._idle.pop()
            if connection.is_fresh():
                return connection
            connection.abort()
        return None

    async def _connect(self) -> Connection:
        order = self._order
        network = order.internal_be_careful_test_network
        address = LOOPBACK if network and order.host in network.routes else order.host
        try:
            async with asyncio.timeout(order.connect_seconds):
                stream = await asyncio.open_connection(
                    address,
                    order.get_port(order.host),
                    ssl=self._tls,
                    server_hostname=order.host,
                    happy_eyeballs_delay=0.25,
                )
        except OSError as error:
            raise Refused("upstream-unreachable") from error
        return Connection(stream, order.silence_seconds)

    async def _find_addresses(self, host: str) -> list[tuple[str, int]]:
        """Return where to connect to: resolved once, checked, and then used, so that no second answer counts."""
        network, port = self._order.internal_be_careful_test_network, self._order.get_port(host)
        if network is not None and host in network.routes:
            return [(LOOPBACK, port)]
        found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
        addresses = [str(entry[4][0]) for entry in found]
        if not addresses or not all(map(is_public_address, addresses)):
            raise Refused("address-not-public", host=host)
        return [(address, port) for address in addresses]


@contextlib.contextmanager
def meeting_faults() -> Iterator[None]:
    """Turn what can go wrong with a connection that stands into a refusal. A timeout and a fault of TLS are OSErrors."""
    try:
        yield
    except (OSError, h11.RemoteProtocolError) as error:
        raise Refused("upstream-broke-off") from error


def build_tls_context(certificates: str | None) -> ssl.SSLContext:
    """Return the context that verifies a host's name and certificate.

    Args:
        certificates: Trusted instead of everything else; None for the system's and certifi's. A runner behind a firewall
            that ends TLS has the firewall's certificate among the system's.
    """
    context = ssl.create_default_context(cadata=certificates)
    if certificates is None:
        context.load_verify_locations(certifi.where())
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_alpn_protocols(["http/1.1"])
    return context
