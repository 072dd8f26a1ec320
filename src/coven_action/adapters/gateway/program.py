"""The gateway's process: it holds the model's key, and nobody else does while the agent works.

A program of its own, started by `process` as `python -I -m coven_action.adapters.gateway.program`. Its environment, its
arguments and the file system never hold the key. Other processes of the same user may not look into it.

Protocol: one line of JSON on stdin, `{"key": …, "order": …}` (see `GatewayOrder`); any byte after it, or the end of stdin,
means "end": when our own program dies, however it dies, its end of the pipe closes. On stdout one line of JSON for each
event: `waiting` (for the order, with memory and pipes closed to others), `ready`, `answered`, `refused` (a host, the first
time), `ended` (the budget), `fault`, and at the end `report`.
"""

import asyncio
import contextlib
import ctypes
import json
import os
import resource
import signal
import socket
import stat
import sys
import traceback
from pathlib import Path
from typing import Any, Final

from pydantic import ValidationError

from coven_action.adapters.gateway.conversation import Conversation, House
from coven_action.adapters.gateway.tunnel import close
from coven_action.adapters.gateway.upstream import Upstream
from coven_action.core.gateway.masking import build_key_forms, mask_bytes
from coven_action.core.gateway.order import GatewayOrder, is_key
from coven_action.core.gateway.refusals import Refused
from coven_action.core.gateway.requests import HEAD_BYTES

MAX_LINE: Final = 4 * 1024 * 1024
BACKLOG: Final = 128
PR_SET_DUMPABLE: Final = 4  # linux/prctl.h
STDIN: Final = 0
STDOUT: Final = 1


class Voice:
    """Writes events to stdout, the key covered. A reader that is gone is no reason to fail: its end is ours as well."""

    def __init__(self, forms: frozenset[bytes]) -> None:
        self._forms = forms

    def say(self, event: dict[str, Any]) -> None:
        """Write one event."""
        line = mask_bytes(json.dumps(event).encode(), self._forms) + b"\n"
        with contextlib.suppress(BrokenPipeError):
            while line:
                line = line[os.write(STDOUT, line) :]


class Server:
    """Listens, and holds one conversation for each connection.

    Args:
        house: What the connections share.
    """

    def __init__(self, house: House) -> None:
        self._house = house
        self._tasks: set[asyncio.Task[None]] = set()

    async def run(self, listener: socket.socket) -> None:
        """Serve until stdin says otherwise, then hang up on everybody."""
        ending = asyncio.Event()
        loop = asyncio.get_running_loop()
        loop.add_reader(STDIN, ending.set)
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            loop.add_signal_handler(number, ending.set)
        server = await asyncio.start_unix_server(self._accept, sock=listener, limit=HEAD_BYTES, backlog=BACKLOG)
        self._house.notify({"event": "ready"})
        await ending.wait()
        loop.remove_reader(STDIN)
        server.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self._house.upstream.close()

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.get_running_loop().create_task(self._serve(reader, writer))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        conversation = Conversation(self._house, reader, writer)
        try:
            if len(self._tasks) > self._house.order.connections:
                await conversation.refuse(Refused("too-many-connections"))
            else:
                await conversation.run()
        except ConnectionError:
            writer.transport.abort()  # it left while it was being refused, which is noted
        except asyncio.CancelledError:
            writer.transport.abort()  # the end waits for nobody
            raise
        except Exception as error:  # noqa: BLE001 - one request fails, is noted, and the others go on
            self._house.ledger.note_fault(name_place(error))
            writer.transport.abort()
        finally:
            await close(writer)


def name_place(error: BaseException) -> str:
    """Return what failed and where in the source; never the message, in which anything may stand."""
    frame = traceback.extract_tb(error.__traceback__)[-1]
    return f"{type(error).__name__} at {Path(frame.filename).name}:{frame.lineno}"


def read_line() -> bytes:
    """Return the first line of stdin, read without a buffer that would keep what follows.

    Raises:
        ValueError: It does not end within `MAX_LINE` bytes.
    """
    line = bytearray()
    while not line.endswith(b"\n"):
        chunk = os.read(STDIN, 64 * 1024)
        line += chunk
        if not chunk or len(line) > MAX_LINE:
            raise ValueError("stdin does not begin with one line")
    return bytes(line)


def parse_line(line: bytes) -> tuple[GatewayOrder, str]:
    """Return the order and the key.

    Raises:
        ValueError: Something in it cannot be used; the message does not hold the key.
    """
    try:
        document = json.loads(line)
        key = document.pop("key")
        order = GatewayOrder.model_validate_json(json.dumps(document["order"]))
    except ValidationError as error:
        raise ValueError("; ".join(f"{'.'.join(map(str, at['loc']))}: {at['msg']}" for at in error.errors())) from None
    except (KeyError, TypeError, AttributeError, json.JSONDecodeError):
        raise ValueError("stdin does not hold an order") from None
    if not isinstance(key, str) or not is_key(key):
        raise ValueError("the key is not one piece of visible ASCII")
    return order, key


def listen(order: GatewayOrder) -> socket.socket:
    """Return the listening socket, in a folder that nobody else may enter.

    Raises:
        OSError: The socket cannot be made there, or something is there already.
        ValueError: The folder is not ours alone.
    """
    folder = Path(order.socket).parent.lstat()
    if not stat.S_ISDIR(folder.st_mode) or folder.st_uid != os.geteuid() or folder.st_mode & 0o077:
        raise ValueError("the folder of the socket is not ours alone (mode 0700)")
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    os.umask(0o177)
    listener.bind(order.socket)
    if order.is_socket_shared:
        Path(order.socket).chmod(0o666)
    return listener


def close_own_memory() -> None:
    """Keep other processes of the same user from reading this one's memory, and the kernel from writing it to a file."""
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_DUMPABLE, 0, 0, 0, 0)


def serve(order: GatewayOrder, key: str, voice: Voice) -> None:
    """Serve until the end, and report."""
    house = House(order, key, Upstream(order), voice.say)
    listener = listen(order)
    try:
        asyncio.run(Server(house).run(listener))
    finally:
        Path(order.socket).unlink(missing_ok=True)
        report = house.ledger.report(is_test_network=order.internal_be_careful_test_network is not None)
        voice.say({"event": "report", "report": report.model_dump(mode="json")})


def main() -> int:
    """Serve what stdin orders; return the exit code."""
    close_own_memory()
    voice = Voice(frozenset())
    voice.say({"event": "waiting"})
    try:
        order, key = parse_line(read_line())
        voice = Voice(build_key_forms(key))
        serve(order, key, voice)
    except (OSError, ValueError) as error:
        voice.say({"event": "fault", "what": str(error)})
        return 1
    except Exception as error:  # noqa: BLE001 - the outermost boundary of a program whose stderr nobody reads
        voice.say({"event": "fault", "what": name_place(error)})
        return 3
    return 0


if __name__ == "__main__":
    sys.exit(main())
