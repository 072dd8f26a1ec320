"""A fake internet in a network namespace of its own: every address is there, and whoever reaches one is noted.

Every IPv4 and IPv6 address leads to this machine's loopback, where the ports that attacks use are listened at. What arrives
waits with the kernel until `look` is called, so that nothing has to answer and no thread to be waited for; but a name
server answers every question, or names could not be found. It takes root: a namespace of one thread cannot be made along
with a user namespace.
"""

import contextlib
import ctypes
import fcntl
import os
import select
import socket
import struct
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Self

from tests.sandboxes import missing

EVIL = "203.0.113.66"
EVIL_IPV6 = "2001:db8::66"
NAME_SERVER = "203.0.113.53"
METADATA = "169.254.169.254"
METADATA_IPV6 = "fd00:ec2::254"
TCP_PORTS = (22, 53, 80, 443, 8080)
UDP_PORTS = (123, 443, 4444)
ABSTRACT = "coven-redteam-internet"

CLONE_NEWNET = 0x40000000
SIOCSIFFLAGS = 0x8914
IFF_UP = 0x1
# linux/rtnetlink.h
RTM_NEWROUTE, NLM_F_REQUEST, NLM_F_ACK, NLM_F_CREATE = 24, 0x1, 0x4, 0x400
RT_TABLE_LOCAL, RTPROT_BOOT, RT_SCOPE_HOST, RTN_LOCAL, RTA_OIF = 255, 3, 254, 2, 4
LOOPBACK_INDEX = 1
IP_PKTINFO, IPV6_RECVPKTINFO, IPV6_PKTINFO = 8, 49, 50
TYPE_A, CLASS_IN = 1, 1


@dataclass(frozen=True)
class Arrival:
    """Something that reached the fake internet: by which protocol, at which address and port, and its first bytes."""

    protocol: str
    address: str
    port: int
    data: bytes


def run_there(action: Callable[[], Any]) -> Any:
    """Do something in a network namespace of its own, with the fake internet's routes, and return what came of it."""
    if os.geteuid() != 0:
        missing("only root can make a network namespace for a thread", needs_root=True)
    result: list[Any] = []
    failure: list[BaseException] = []

    def enter() -> None:
        try:
            leave_network()
            lay_routes()
            result.append(action())
        except BaseException as error:  # noqa: BLE001 - raised again where the thread is waited for
            failure.append(error)

    thread = threading.Thread(target=enter)
    thread.start()
    thread.join()
    if failure:
        raise failure[0]
    return result[0]


def leave_network() -> None:
    """Move this thread, and what it starts, into a network of its own."""
    library = ctypes.CDLL(None, use_errno=True)
    if library.unshare(CLONE_NEWNET):
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))


def lay_routes() -> None:
    """Bring loopback up, and make every address of both kinds one of this machine's."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as control:
        fcntl.ioctl(control, SIOCSIFFLAGS, struct.pack("16sH14x", b"lo", IFF_UP))
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, socket.NETLINK_ROUTE) as netlink:
        for family in (socket.AF_INET, socket.AF_INET6):
            route = struct.pack(
                "BBBBBBBBI", family, 0, 0, 0, RT_TABLE_LOCAL, RTPROT_BOOT, RT_SCOPE_HOST, RTN_LOCAL, 0
            ) + struct.pack("HHI", 8, RTA_OIF, LOOPBACK_INDEX)
            flags = NLM_F_REQUEST | NLM_F_ACK | NLM_F_CREATE
            netlink.send(struct.pack("IHHII", 16 + len(route), RTM_NEWROUTE, flags, 1, 0) + route)
            (error,) = struct.unpack_from("i", netlink.recv(4096), 16)
            if error:
                raise OSError(-error, os.strerror(-error))


class Internet:
    """The hosts of the fake internet; a context, to be entered in its namespace.

    Args:
        names: What the name server answers: a name -> its address; every other name is `EVIL`'s.
    """

    def __init__(self, names: dict[str, str] | None = None) -> None:
        self._names = names or {}

    def __enter__(self) -> Self:
        with contextlib.ExitStack() as stack:
            self._streams, self._datagrams = {}, {}
            for family in (socket.AF_INET, socket.AF_INET6):
                for port in TCP_PORTS:
                    self._streams[family, port] = stack.enter_context(_bind(family, socket.SOCK_STREAM, port))
                for port in UDP_PORTS:
                    self._datagrams[family, port] = stack.enter_context(_bind(family, socket.SOCK_DGRAM, port))
            self._unix = stack.enter_context(socket.socket(socket.AF_UNIX))
            self._unix.bind(f"\0{ABSTRACT}")
            self._unix.listen()
            self._unix.setblocking(False)
            self._questions: list[Arrival] = []
            stack.enter_context(self._answer_questions())
            self._stack = stack.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def look(self) -> list[Arrival]:
        """Return everything that has arrived by now."""
        found = list(self._questions)
        for listener in self._streams.values():
            found += (Arrival("tcp", *_where(peer), _read_now(peer)) for peer in _accept_all(listener))
        for (family, port), listener in self._datagrams.items():
            with contextlib.suppress(BlockingIOError):
                while True:
                    data, address = _receive(listener, family)
                    found.append(Arrival("udp", address, port, data))
        found += (Arrival("unix", ABSTRACT, 0, b"") for _ in _accept_all(self._unix))
        return found

    @contextlib.contextmanager
    def _answer_questions(self) -> Iterator[None]:
        """Be the name server that any machine asks, over UDP."""
        with (
            _bind(socket.AF_INET, socket.SOCK_DGRAM, 53) as listener,
            _bind(socket.AF_INET6, socket.SOCK_DGRAM, 53) as six,
        ):
            stop = socket.socketpair()
            thread = threading.Thread(target=self._serve_names, args=(listener, six, stop[1]))
            thread.start()
            try:
                yield
            finally:
                stop[0].close()
                thread.join()
                stop[1].close()

    def _serve_names(self, listener: socket.socket, six: socket.socket, stop: socket.socket) -> None:
        while True:
            ready, _, _ = select.select([listener, six, stop], [], [])
            if stop in ready:
                return
            for socket_ in ready:
                family = socket.AF_INET if socket_ is listener else socket.AF_INET6
                with contextlib.suppress(OSError):
                    data, ancillary, _, sender = socket_.recvmsg(4096, 256)
                    address = _read_destination(ancillary, family)
                    self._questions.append(Arrival("dns", address, 53, data))
                    socket_.sendmsg([self._answer(data)], ancillary, 0, sender)

    def _answer(self, question: bytes) -> bytes:
        """Return the answer to one question: an address for A, nothing for other types."""
        at, labels = 12, []
        while length := question[at]:
            labels.append(question[at + 1 : at + 1 + length].decode("latin-1"))
            at += 1 + length
        kind, _ = struct.unpack_from("!HH", question, at + 1)
        address = self._names.get(".".join(labels).lower(), EVIL)
        record = b"\xc0\x0c" + struct.pack("!HHIH", TYPE_A, CLASS_IN, 60, 4) + socket.inet_aton(address)
        answers = record if kind == TYPE_A else b""
        head = question[:2] + struct.pack("!HHHHH", 0x8180, 1, 1 if answers else 0, 0, 0)
        return head + question[12 : at + 5] + answers


def build_question(name: str) -> bytes:
    """Return a question for the address of a name, as a resolver asks it."""
    labels = b"".join(bytes([len(label)]) + label.encode() for label in name.split("."))
    return struct.pack("!HHHHHH", 7, 0x0100, 1, 0, 0, 0) + labels + b"\0" + struct.pack("!HH", TYPE_A, CLASS_IN)


def _bind(family: int, kind: int, port: int) -> socket.socket:
    listener = socket.socket(family, kind)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    if family == socket.AF_INET6:
        listener.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
    if kind == socket.SOCK_DGRAM:
        ipv6 = family == socket.AF_INET6
        listener.setsockopt(
            socket.IPPROTO_IPV6 if ipv6 else socket.IPPROTO_IP, IPV6_RECVPKTINFO if ipv6 else IP_PKTINFO, 1
        )
    listener.bind(("::" if family == socket.AF_INET6 else "0.0.0.0", port))
    if kind == socket.SOCK_STREAM:
        # Data in the first packet is taken, so that connecting by sending can be seen.
        listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_FASTOPEN, 8)
        listener.listen(64)
    listener.setblocking(False)
    return listener


def _accept_all(listener: socket.socket) -> Iterator[socket.socket]:
    with contextlib.suppress(BlockingIOError):
        while True:
            peer, _ = listener.accept()
            with peer:
                yield peer


def _where(peer: socket.socket) -> tuple[str, int]:
    address, port, *_ = peer.getsockname()
    return address, port


def _read_now(peer: socket.socket) -> bytes:
    peer.setblocking(False)
    try:
        return peer.recv(65536)
    except OSError:
        return b""


def _receive(listener: socket.socket, family: int) -> tuple[bytes, str]:
    data, ancillary, _, _ = listener.recvmsg(65536, 256)
    return data, _read_destination(ancillary, family)


def _read_destination(ancillary: list[tuple[int, int, bytes]], family: int) -> str:
    """Return the address that a datagram was sent to."""
    for level, kind, data in ancillary:
        if (level, kind) == (socket.IPPROTO_IP, IP_PKTINFO):
            return socket.inet_ntoa(data[8:12])
        if (level, kind) == (socket.IPPROTO_IPV6, IPV6_PKTINFO):
            return socket.inet_ntop(socket.AF_INET6, data[:16])
    raise AssertionError(f"no address for {family}")
