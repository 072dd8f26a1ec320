"""The outermost layer of the local GitHub: bounds each request, injects faults, and records what was said.

An `Exchange` is kept for every request; bodies only of the REST and GraphQL interfaces. The Authorization header is
never recorded.
"""

import asyncio
import json
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from coven_action.emulator.faults import Fault, Faults

MAX_PUSH: Final = 64 * 1024 * 1024
MAX_DOCUMENT: Final = 8 * 1024 * 1024
_KEPT: Final = 20_000
_HEADERS: Final = frozenset({"accept", "content-type", "user-agent", "x-github-api-version"})


@dataclass(slots=True)
class Exchange:
    """One request and its answer.

    Attributes:
        path: As sent, percent-encoding kept, without the query.
        status: 0 where the connection was closed without an answer.
        faulted: Whether a fault answered, delayed or dropped it.
    """

    method: str
    path: str
    query: str
    request_headers: Mapping[str, str]
    request_body: bytes = b""
    status: int = 0
    response_headers: Mapping[str, str] = field(default_factory=dict)
    response_body: bytes = b""
    faulted: bool = False

    @property
    def kind(self) -> str:
        """`graphql`, `rest`, `git`, `emulator` or `page`."""
        if self.path in {"/graphql", "/api/graphql"}:
            return "graphql"
        if ".git/" in self.path:
            return "git"
        prefix = self.path.split("/")[1]
        return {"api": "rest", "_emulator": "emulator", "_blobs": "emulator", "oidc": "emulator"}.get(prefix, "page")

    @property
    def content_type(self) -> str:
        """The media type of the answer, with its parameters."""
        return self.response_headers.get("content-type", "")


class ExchangeLayer:
    """ASGI middleware around the whole application.

    Args:
        app: The application.
        faults: Asked for each request.
        close: Closes the connection of a client address without an answer.
    """

    def __init__(self, app: ASGIApp, faults: Faults, close: Callable[[tuple[str, int]], None]) -> None:
        self.app = app
        self.faults = faults
        self.close = close
        self.exchanges: deque[Exchange] = deque(maxlen=_KEPT)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] != "http":
            return
        exchange = _begin(scope)
        self.exchanges.append(exchange)
        recorder = _Recorder(exchange, receive, send)
        fault = self.faults.find_fault(exchange.method, exchange.path)
        if fault is None:
            await self.app(scope, recorder.receive, recorder.send)
            return
        exchange.faulted = True
        await asyncio.sleep(fault.delay)
        await self._break(fault, scope, recorder)

    async def _break(self, fault: Fault, scope: Scope, recorder: "_Recorder") -> None:
        if fault.drop:
            await self._hang_up(scope, recorder)
        elif fault.drop_after:
            await self.app(scope, recorder.receive, recorder.swallow)
            await self._hang_up(scope, recorder)
        elif fault.status is not None:
            await _answer_fault(fault, recorder)
        else:
            await self.app(scope, recorder.receive, recorder.send)

    async def _hang_up(self, scope: Scope, recorder: "_Recorder") -> None:
        self.close(tuple(scope["client"]))
        while (await recorder.original_receive())["type"] != "http.disconnect":
            continue


def _begin(scope: Scope) -> Exchange:
    headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]}
    return Exchange(
        method=scope["method"],
        path=scope["raw_path"].decode("latin-1"),
        query=scope["query_string"].decode("latin-1"),
        request_headers={name: value for name, value in headers.items() if name in _HEADERS},
    )


async def _answer_fault(fault: Fault, recorder: "_Recorder") -> None:
    await recorder.drain()
    body = fault.body if isinstance(fault.body, bytes) else json.dumps(fault.body or {"message": "injected"}).encode()
    headers = {"content-type": "application/json; charset=utf-8", "content-length": str(len(body))} | {
        name.lower(): value for name, value in fault.headers.items()
    }
    raw = [(name.encode("latin-1"), value.encode("latin-1")) for name, value in headers.items()]
    await recorder.send({"type": "http.response.start", "status": fault.status, "headers": raw})
    await recorder.send({"type": "http.response.body", "body": body})


class RequestTooLargeError(Exception):
    """Raised inside a request whose body grows beyond `MAX_PUSH` (git) or `MAX_DOCUMENT` (all else)."""


class _Recorder:
    """The two channels of one request, with a copy of what passes into its exchange."""

    def __init__(self, exchange: Exchange, receive: Receive, send: Send) -> None:
        self.exchange = exchange
        self.original_receive = receive
        self.original_send = send
        self.received = 0
        self.maximum = MAX_PUSH if exchange.kind == "git" else MAX_DOCUMENT
        self.chunks: list[bytes] = []
        self.keeps_bodies = exchange.kind in {"rest", "graphql"}
        self.ended = False

    async def receive(self) -> Message:
        message = await self.original_receive()
        body: bytes = message.get("body", b"")
        self.ended = self.ended or not message.get("more_body", False)
        self.received += len(body)
        if self.received > self.maximum:
            raise RequestTooLargeError
        if self.keeps_bodies:
            self.chunks.append(body)
            self.exchange.request_body = b"".join(self.chunks) if self.ended else b""
        return message

    async def drain(self) -> None:
        while not self.ended:
            await self.receive()

    async def send(self, message: Message) -> None:
        self._record(message)
        await self.original_send(message)

    async def swallow(self, message: Message) -> None:
        """Take an answer that the client shall not see."""

    def _record(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.exchange.status = message["status"]
            headers: list[tuple[bytes, bytes]] = list(message.get("headers", []))
            self.exchange.response_headers = {
                name.decode("latin-1").lower(): value.decode("latin-1") for name, value in headers
            }
        elif self.keeps_bodies:
            self.exchange.response_body += message.get("body", b"")


def read_json(exchange: Exchange) -> Any:
    """Return the JSON of an answer."""
    return json.loads(exchange.response_body)
