"""Read the server name out of the first bytes of a TLS connection. Pure, bounded, and closed where in doubt.

A tunnel was asked for by name; the ClientHello says which name is meant. Where many hosts share an address, the second
decides. A hello without a name, with two, with an encrypted one, or one that cannot be read whole, is no hello of the
host that is allowed.

The format: RFC 8446, sections 4.1.2 and 5.1; RFC 6066, section 3. The encrypted one: https://datatracker.ietf.org/doc/draft-ietf-tls-esni/
"""

from typing import Final

MAX_HELLO_BYTES: Final = 32 * 1024
"""A hello with post-quantum key shares has about 2 KiB."""

_RECORD_HEADER: Final = 5
_HANDSHAKE_HEADER: Final = 4
_MAX_RECORD: Final = 1 << 14
_HANDSHAKE: Final = 22
_CLIENT_HELLO: Final = 1
_TLS_MAJOR: Final = 3
_RANDOM: Final = 32
_SERVER_NAME: Final = 0
_HOST_NAME: Final = 0
# The name inside is read by whoever answers, so another host could be meant than the one outside says.
_ENCRYPTED_CLIENT_HELLO: Final = 0xFE0D


class HelloError(ValueError):
    """Raised for bytes that do not begin with a ClientHello that names one host in the clear."""


class _Reader:
    """Takes fields from the front of some bytes; too few of them are an error."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._place = 0

    @property
    def left(self) -> int:
        return len(self._data) - self._place

    def take(self, count: int) -> bytes:
        if count > self.left:
            raise HelloError("a field is longer than what holds it")
        self._place += count
        return self._data[self._place - count : self._place]

    def number(self, size: int) -> int:
        return int.from_bytes(self.take(size), "big")

    def vector(self, size: int) -> "_Reader":
        """Take a length of `size` bytes and what it counts."""
        return _Reader(self.take(self.number(size)))


def read_server_name(data: bytes) -> str | None:
    """Return the host that a ClientHello names, or None where more bytes are needed.

    Args:
        data: The connection's first bytes, from the first on.

    Raises:
        HelloError: They are no ClientHello, or not one that names exactly one host in the clear.
    """
    hello = _collect_hello(data)
    return None if hello is None else _find_name(_Reader(hello))


def _collect_hello(data: bytes) -> bytes | None:
    """Return the body of the first handshake message, which may be spread over records."""
    message = bytearray()
    place = 0
    while len(data) - place >= _RECORD_HEADER:
        kind, major = data[place], data[place + 1]
        length = int.from_bytes(data[place + 3 : place + _RECORD_HEADER], "big")
        if kind != _HANDSHAKE or major != _TLS_MAJOR or not 0 < length <= _MAX_RECORD:
            raise HelloError("this is no TLS handshake")
        fragment = data[place + _RECORD_HEADER : place + _RECORD_HEADER + length]
        message += fragment
        wanted = _measure(message)
        if wanted is not None and len(message) >= wanted:
            return bytes(message[_HANDSHAKE_HEADER:wanted])
        if len(fragment) < length:
            break
        place += _RECORD_HEADER + length
    if len(data) > MAX_HELLO_BYTES:
        raise HelloError("the ClientHello is too large")
    return None


def _measure(message: bytearray) -> int | None:
    """Return the length of the handshake message, once it is known."""
    if message and message[0] != _CLIENT_HELLO:
        raise HelloError("the first message is no ClientHello")
    if len(message) < _HANDSHAKE_HEADER:
        return None
    length = _HANDSHAKE_HEADER + int.from_bytes(message[1:_HANDSHAKE_HEADER], "big")
    if length > MAX_HELLO_BYTES:
        raise HelloError("the ClientHello is too large")
    return length


def _find_name(hello: _Reader) -> str:
    if hello.number(1) != _TLS_MAJOR:
        raise HelloError("this version of TLS is unknown")
    hello.take(1 + _RANDOM)
    hello.vector(1)  # session id
    hello.vector(2)  # cipher suites
    hello.vector(1)  # compression methods
    extensions = hello.vector(2)
    if hello.left:
        raise HelloError("something follows the extensions")
    names: list[str] = []
    while extensions.left:
        kind, content = extensions.number(2), extensions.vector(2)
        if kind == _ENCRYPTED_CLIENT_HELLO:
            raise HelloError("the name is encrypted")
        if kind == _SERVER_NAME:
            names.append(_read_name(content))
    if len(names) != 1:
        raise HelloError("it does not name one host")
    return names[0]


def _read_name(content: _Reader) -> str:
    entries = content.vector(2)
    kind, name = entries.number(1), entries.vector(2)
    if kind != _HOST_NAME or entries.left or content.left:
        raise HelloError("the list of names holds something else than one host name")
    try:
        return name.take(name.left).decode("ascii").lower()
    except UnicodeDecodeError as error:
        raise HelloError("the name is not ASCII") from error
