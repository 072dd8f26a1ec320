"""A lean HTTP/1.1 client: one request at a time on a connection that stays open, and nothing that a test does not need."""

import asyncio
from typing import Final

_HEAD_END: Final = b"\r\n\r\n"
_LENGTH: Final = b"content-length: "


class RawConnection(asyncio.Protocol):
    """A connection to the endpoint. `await open_raw(port)` makes one.

    Attributes:
        head: Status line and headers of the last answer, in lower case.
    """

    def __init__(self) -> None:
        self.head = b""
        self._transport: asyncio.Transport | None = None
        self._received = b""
        self._answer: asyncio.Future[tuple[int, bytes]] | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport

    def connection_lost(self, exc: Exception | None) -> None:
        if self._answer is not None and not self._answer.done():
            self._answer.set_exception(ConnectionResetError("the connection ended before the answer"))

    def data_received(self, data: bytes) -> None:
        self._received += data
        end = self._received.find(_HEAD_END)
        if end < 0:
            return
        head = self._received[:end].lower()
        place = head.find(_LENGTH)
        length = int(head[place + len(_LENGTH) :].split(b"\r\n", 1)[0]) if place >= 0 else 0
        total = end + len(_HEAD_END) + length
        if len(self._received) < total:
            return
        body = self._received[end + len(_HEAD_END) : total]
        self._received = self._received[total:]
        self.head = head
        self._answer.set_result((int(head[9:12]), body))

    def send(self, request: bytes) -> "asyncio.Future[tuple[int, bytes]]":
        """Send the bytes of a request; the future gives status and body, or raises `ConnectionError`."""
        self._answer = asyncio.get_running_loop().create_future()
        if self._transport is None or self._transport.is_closing():
            self._answer.set_exception(ConnectionResetError("the connection is closed"))
        else:
            self._transport.write(request)
        return self._answer

    def close(self) -> None:
        if self._transport is not None:
            self._transport.close()


async def open_raw(port: int) -> RawConnection:
    """Connect to a port of this machine."""
    _, connection = await asyncio.get_running_loop().create_connection(RawConnection, "127.0.0.1", port)
    return connection


def render_request(method: str, path: str, token: str, key: str, body: bytes) -> bytes:
    """Return the bytes of a write."""
    head = (
        f"{method} {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: Bearer {token}\r\nIdempotency-Key: {key}\r\n"
        f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    return head.encode() + body
