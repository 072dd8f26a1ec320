"""Serve one connection from the sandbox: read a request, ask the rules, forward, pass the answer on.

h11 reads and writes the HTTP of this side, after `parse_head` has refused what could be read in two ways. A client is
answered before it may speak again: whoever sends earlier, or hangs up, ends the request, and with it what it costs.
"""

import asyncio
import contextlib
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, field
from typing import Any, Final

import h11

from coven_action.adapters.gateway.tunnel import carry, close, read_hello
from coven_action.adapters.gateway.upstream import Upstream
from coven_action.core.gateway.bodies import ModelRequest, read_model_request
from coven_action.core.gateway.hosts import check_host_header, verify_tunnel_target
from coven_action.core.gateway.masking import KeyMask, build_key_forms, mask_bytes
from coven_action.core.gateway.metering import Ledger
from coven_action.core.gateway.order import GatewayOrder
from coven_action.core.gateway.refusals import NO_RETRY, Refused, render_refusal
from coven_action.core.gateway.requests import Head, build_upstream_headers, check_content, find_endpoint, parse_head
from coven_action.core.gateway.responses import Answer, read_answer
from coven_action.core.gateway.usage import Reading, Tokens, UsageReader

CHUNK_BYTES: Final = 64 * 1024
LINGER_SECONDS: Final = 2.0
"""How long a refused client may go on sending. Hanging up at once would take the answer from it."""


@dataclass
class House:
    """What the connections of one gateway share.

    Args:
        order: How it works.
        key: The model's key.
        upstream: The hosts outside.
        notify: Told of what people may want to see while the run goes on.
    """

    order: GatewayOrder
    key: str = field(repr=False)
    upstream: Upstream
    notify: Callable[[dict[str, Any]], None]

    def __post_init__(self) -> None:
        """Open the account."""
        self.forms = build_key_forms(self.key)
        self.ledger = Ledger(self.order.budget, self.order.prices)
        self.turns = asyncio.Semaphore(self.order.parallel)
        self._is_end_told = False

    def note_refusal(self, refused: Refused) -> None:
        """Put a refusal into the account, and tell of a host that is refused for the first time."""
        host = self.ledger.refuse(refused)
        if host is not None:
            self.notify({"event": "refused", "host": host, "reason": refused.reason})
        self.tell_end()

    def tell_end(self) -> None:
        """Tell once that the budget has ended the run."""
        if self.ledger.ended_because is not None and not self._is_end_told:
            self._is_end_told = True
            self.notify({"event": "ended", "because": self.ledger.ended_because})


class _HungUp(Exception):
    """Raised where the client has left."""


class Conversation:
    """One connection of a client.

    Args:
        house: What it shares with the others.
        reader: What the client sends. Its limit is `HEAD_BYTES`.
        writer: What it is sent.
    """

    def __init__(self, house: House, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._house = house
        self._reader = reader
        self._writer = writer
        self._http = h11.Connection(h11.SERVER)
        self._heard = b""
        self._is_tunnel = False

    async def run(self) -> None:
        """Answer request after request until the client leaves, or a refusal makes going on unsafe."""
        try:
            while await self._answer_one():
                pass
        except (_HungUp, ConnectionError):
            # Whoever has left waits for no answer; what the request had cost is charged where it was sent.
            self._writer.transport.abort()

    async def refuse(self, refused: Refused) -> None:
        """Tell the client why not, as far as it can still be told, and let it finish speaking."""
        self._house.note_refusal(refused)
        if not self._is_tunnel and self._http.our_state in {h11.IDLE, h11.SEND_RESPONSE}:
            status, body = render_refusal(self._house.order.provider, refused.reason)
            headers = [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(body))]
            retry = [] if status >= 500 else [NO_RETRY]  # noqa: PLR2004 - a fault of the host may pass
            await self._send(h11.Response(status_code=status, headers=[*headers, (b"connection", b"close"), *retry]))
            await self._send(h11.Data(data=body))
            await self._send(h11.EndOfMessage())
        await self._linger()

    async def _linger(self) -> None:
        """Read on what a refused client is still sending, within bounds."""
        self._writer.write_eof()
        left = self._house.order.request_bytes
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(LINGER_SECONDS):
                while left > 0 and (chunk := await self._reader.read(CHUNK_BYTES)):
                    left -= len(chunk)

    async def _answer_one(self) -> bool:
        """Answer one request; return whether another may follow."""
        self._http = h11.Connection(h11.SERVER)
        try:
            head = await self._read_head()
            if head is None:
                return False
            if head.method == b"CONNECT":
                await self._open_tunnel(head)
                return False
            await self._forward(head)
        except Refused as refused:
            await self.refuse(refused)
            return False
        return self._http.our_state is h11.DONE and self._http.their_state is h11.DONE

    async def _read_head(self) -> Head | None:
        """Return the next head; None where the client has ended the connection."""
        try:
            raw = self._heard + await self._reader.readuntil(b"\r\n\r\n")
        except asyncio.IncompleteReadError as error:
            if self._heard or error.partial:
                raise Refused("malformed-request") from error
            return None
        except asyncio.LimitOverrunError as error:
            raise Refused("headers-too-large") from error
        self._heard = b""
        head = parse_head(raw)
        if head.method != b"CONNECT":
            self._http.receive_data(raw)
            self._next_event()
        return head

    def _next_event(self) -> Any:
        try:
            return self._http.next_event()
        except h11.RemoteProtocolError as error:
            raise Refused("malformed-request") from error

    async def _read_body(self, limit: int) -> bytes:
        """Return the body, once it is there as a whole and nothing follows it."""
        data = bytearray()
        while not isinstance(event := self._next_event(), h11.EndOfMessage):
            if isinstance(event, h11.Data):
                data += event.data
                if len(data) > limit:
                    raise Refused("body-too-large")
                continue
            if self._http.they_are_waiting_for_100_continue:
                await self._send(h11.InformationalResponse(status_code=100, headers=[]))
            chunk = await self._reader.read(CHUNK_BYTES)
            if not chunk:
                raise _HungUp
            self._http.receive_data(chunk)
        if self._http.trailing_data[0]:
            raise Refused("early-bytes")
        return bytes(data)

    async def _forward(self, head: Head) -> None:
        """Do what a request asks for, if the rules have it."""
        house, order = self._house, self._house.order
        house.ledger.check()
        check_host_header((head.find(b"host") or b"").decode(), order.host)
        endpoint = find_endpoint(order.provider, head)
        has_body = endpoint.method == b"POST"
        check_content(head, has_body=has_body)
        async with house.turns:
            data = await self._read_body(order.request_bytes if has_body else 0)
            asked = None
            if has_body:
                asked = read_model_request(order.provider, data, models=order.models, max_bytes=order.request_bytes)
            length = len(asked.body) if asked else None
            headers = build_upstream_headers(order.provider, head, host=order.host, key=house.key, length=length)
            number = house.ledger.admit(order.host)
            exchange = _Exchange(house, asked if endpoint.metered else None, number)
            path = order.prefix.encode() + head.target
            work = self._exchange(exchange, endpoint.method, path, headers, asked.body if asked else b"")
            await self._while_listening(exchange, work)

    async def _while_listening(self, exchange: "_Exchange", work: Coroutine[Any, Any, None]) -> None:
        """Do the work for as long as the client waits for it in silence."""
        task = asyncio.ensure_future(work)
        listening = asyncio.ensure_future(self._reader.read(1))
        try:
            await asyncio.wait({task, listening}, return_when=asyncio.FIRST_COMPLETED)
            if exchange.is_answered:
                # The client may speak again as soon as it has the last byte, before we know that it has it.
                await asyncio.wait({task})
        finally:
            listening.cancel()
            task.cancel()
            _, heard = await asyncio.gather(task, listening, return_exceptions=True)
        self._heard = heard if isinstance(heard, bytes) else b""
        if not task.cancelled():
            task.result()
        elif self._heard:
            raise Refused("early-bytes")
        else:
            raise _HungUp

    async def _exchange(
        self, exchange: "_Exchange", method: bytes, path: bytes, headers: list[tuple[bytes, bytes]], body: bytes
    ) -> None:
        """Send a request on and its answer back. However it ends, what was spent is charged."""
        house = self._house
        try:
            async with house.upstream.request(method, path, headers, body) as response:
                exchange.status = response.status
                answer = read_answer(response.status, response.headers, max_bytes=house.order.response_bytes)
                exchange.begin(answer)
                await self._send_answer(answer)
                async for chunk in response.read():
                    await self._send(h11.Data(data=exchange.take(chunk)))
        except Refused as refused:
            exchange.settle(hung_up=False, was_sent=refused.reason != "upstream-unreachable")
            raise
        except BaseException:
            exchange.settle(hung_up=True)
            raise
        exchange.settle(hung_up=False)
        await self._send(h11.Data(data=exchange.mask.finish()))
        exchange.is_answered = True
        await self._send(h11.EndOfMessage())

    async def _send_answer(self, answer: Answer) -> None:
        forms = self._house.forms
        headers = [(name, mask_bytes(value, forms)) for name, value in answer.headers]
        if answer.length is not None:
            headers.append((b"content-length", b"%d" % answer.length))
        await self._send(h11.Response(status_code=answer.status, headers=headers))

    async def _send(self, event: h11.Event) -> None:
        """Write, and wait where the client is slow."""
        data = self._http.send(event)
        if data:
            self._writer.write(data)
            await self._writer.drain()

    async def _open_tunnel(self, head: Head) -> None:
        house = self._house
        house.ledger.check()
        if head.find(b"content-length") is not None or head.find(b"transfer-encoding") is not None:
            raise Refused("ambiguous-framing")
        host = verify_tunnel_target(head.target.decode(), house.order.hosts)
        outside = await house.upstream.open_tunnel(host)
        try:
            self._writer.write(b"HTTP/1.1 200 Connection Established\r\n\r\n")
            self._is_tunnel = True
            hello = await read_hello(self._reader, host)
            house.ledger.use(host)
            outside[1].write(hello)
            await carry(
                (self._reader, self._writer),
                outside,
                limit=house.order.tunnel_bytes,
                note=lambda count: house.ledger.use(host, transferred=count),
            )
        finally:
            await close(outside[1])


class _Exchange:
    """One request and its answer, as far as they are counted and covered.

    Args:
        house: Whose account it is charged to.
        asked: What was asked; None for a request that spends nothing.
        number: Of the request in this run.
    """

    def __init__(self, house: House, asked: ModelRequest | None, number: int) -> None:
        self._house = house
        self._asked = asked
        self._number = number
        self._reader: UsageReader | None = None
        self._bytes = 0
        self._is_settled = False
        self.mask = KeyMask(house.forms)
        self.status: int | None = None
        self.is_answered = False

    def begin(self, answer: Answer) -> None:
        """Take the head of an answer that is passed on."""
        self._reader = UsageReader(self._house.order.provider, is_streamed=answer.is_streamed)

    def take(self, chunk: bytes) -> bytes:
        """Count a chunk of the answer, and return what of it may be passed on by now.

        Raises:
            Refused: `upstream-too-large`.
        """
        self._bytes += len(chunk)
        if self._bytes > self._house.order.response_bytes:
            raise Refused("upstream-too-large")
        if self._reader is not None:
            self._reader.feed(chunk)
        return self.mask.feed(chunk)

    def settle(self, *, hung_up: bool, was_sent: bool = True) -> None:
        """Charge what was spent, once.

        Args:
            hung_up: Whether the client ended it.
            was_sent: Whether the host can have seen the request.
        """
        spends = self.status is None or 200 <= self.status < 300  # noqa: PLR2004 - errors are free
        if self._asked is None or self._is_settled or not was_sent or not spends:
            return
        self._is_settled = True
        reading = self._reader.finish() if self._reader else Reading(Tokens(), "", is_complete=False)
        # An answer that was not even read to see what it cost may have cost everything.
        unseen = hung_up or (self.status is not None and self._reader is None)
        tokens = self._house.ledger.charge(self._asked, reading, hung_up=unseen, answer_bytes=self._bytes)
        self._house.notify(
            {
                "event": "answered",
                "request": self._number,
                "model": self._asked.model,
                "tokens": tokens.total,
                "is_estimate": not reading.is_complete,
            }
        )
        self._house.tell_end()
