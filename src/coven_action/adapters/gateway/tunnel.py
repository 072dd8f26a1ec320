"""Carry the bytes of one tunnel, once its first ones have named the host that was asked for."""

import asyncio
from collections.abc import Callable
from typing import Final

from coven_action.adapters.gateway.upstream import Stream
from coven_action.core.gateway.client_hello import HelloError, read_server_name
from coven_action.core.gateway.refusals import Refused

CHUNK_BYTES: Final = 64 * 1024
HELLO_SECONDS: Final = 30.0
CLOSE_SECONDS: Final = 2.0


async def read_hello(reader: asyncio.StreamReader, host: str) -> bytes:
    """Return the first bytes of a connection, which hold a whole ClientHello that names `host`.

    Raises:
        Refused: `tunnel-name`: they name another host, none, or do not come.
    """
    data = b""
    try:
        async with asyncio.timeout(HELLO_SECONDS):
            while (name := read_server_name(data)) is None:
                chunk = await reader.read(CHUNK_BYTES)
                if not chunk:
                    raise Refused("tunnel-name", host=host)
                data += chunk
    except (HelloError, TimeoutError) as error:
        raise Refused("tunnel-name", host=host) from error
    if name != host:
        raise Refused("tunnel-name", host=name)
    return data


async def carry(inside: Stream, outside: Stream, *, limit: int, note: Callable[[int], None]) -> None:
    """Carry bytes both ways until one side ends.

    Args:
        inside: The agent's side.
        outside: The host's.
        limit: Bytes in both directions together.
        note: Told of every chunk's length.

    Raises:
        Refused: `tunnel-too-large`.
    """
    left = limit

    async def pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal left
        while chunk := await reader.read(CHUNK_BYTES):
            left -= len(chunk)
            if left < 0:
                raise Refused("tunnel-too-large")
            note(len(chunk))
            writer.write(chunk)
            await writer.drain()

    pumps = [asyncio.ensure_future(pump(inside[0], outside[1])), asyncio.ensure_future(pump(outside[0], inside[1]))]
    try:
        done, _ = await asyncio.wait(pumps, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in pumps:
            task.cancel()
        results = await asyncio.gather(*pumps, return_exceptions=True)
    for task, result in zip(pumps, results, strict=True):
        # A side that hangs up has ended its tunnel, whichever way it did.
        if task in done and isinstance(result, Exception) and not isinstance(result, ConnectionError):
            raise result


async def close(writer: asyncio.StreamWriter) -> None:
    """Close a connection, and give what was written a moment to leave; whoever does not take it does not get it."""
    writer.close()
    try:
        async with asyncio.timeout(CLOSE_SECONDS):
            await writer.wait_closed()
    except OSError:  # it is broken, which is closed, or slow: a timeout is one as well
        writer.transport.abort()
