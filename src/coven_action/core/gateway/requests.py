"""Which requests are forwarded to a model, and with which headers. Pure: the bytes of a head in, an answer out.

Everything is a list of what is known; the rest is refused, or dropped where dropping is safe. What is forwarded is built
anew from these lists, never copied: no byte of the agent's request line, framing or credentials reaches the host.
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final

from coven_action.core.gateway.refusals import Provider, Refused

HEAD_BYTES: Final = 32 * 1024
"""The request line and the headers, with their final empty line."""
ANTHROPIC_VERSION: Final = b"2023-06-01"
"""https://docs.anthropic.com/en/api/versioning"""

Headers = Iterable[tuple[bytes, bytes]]


@dataclass(frozen=True, slots=True)
class Endpoint:
    """A path that is forwarded.

    Attributes:
        method: The one method.
        path: The whole path.
        queries: The queries that may follow it, whole.
        metered: Whether an answer spends tokens.
    """

    method: bytes
    path: re.Pattern[bytes]
    queries: frozenset[bytes] = frozenset({b""})
    metered: bool = False


@dataclass(frozen=True, slots=True)
class Head:
    """A request line and headers that may be parsed: nothing in them can be read in two ways."""

    method: bytes
    target: bytes
    headers: tuple[tuple[bytes, bytes], ...]

    def find(self, name: bytes) -> bytes | None:
        """Return the value of a header, given in lower case, or None. Repeated ones are joined."""
        values = [value for key, value in self.headers if key == name]
        return b", ".join(values) if values else None


_MODEL: Final = rb"/v1/models(?:/[A-Za-z0-9][A-Za-z0-9._-]{0,127})?"
_BETA: Final = frozenset({b"", b"beta=true"})
ENDPOINTS: Final[Mapping[Provider, tuple[Endpoint, ...]]] = {
    "anthropic": (
        Endpoint(b"POST", re.compile(rb"/v1/messages"), _BETA, metered=True),
        Endpoint(b"POST", re.compile(rb"/v1/messages/count_tokens"), _BETA),
        Endpoint(b"GET", re.compile(_MODEL), _BETA),
    ),
    "openai": (
        Endpoint(b"POST", re.compile(rb"/v1/chat/completions"), metered=True),
        Endpoint(b"POST", re.compile(rb"/v1/responses"), metered=True),
        Endpoint(b"GET", re.compile(_MODEL)),
    ),
}
CREDENTIALS: Final = frozenset({b"authorization", b"cookie", b"proxy-authorization", b"x-api-key"})
"""Dropped like every header that is not forwarded. They stand here so that nobody adds one."""

# Header -> how many bytes of it are forwarded at most. Neither says who is billed nor where to.
_FORWARDED: Final[Mapping[bytes, int]] = {
    b"accept": 256,
    b"anthropic-beta": 2048,
    b"anthropic-version": 32,
    b"openai-beta": 2048,
    b"user-agent": 256,
}
_LINE: Final = re.compile(rb"([A-Z]{1,16}) ([!-~]{1,4096}) HTTP/1\.1")
# RFC 9110, section 5.5, without what is obsolete: no bytes above ASCII, no line that continues the one before.
_HEADER: Final = re.compile(rb"([!#$%&'*+.^_`|~0-9A-Za-z-]{1,64}):[ \t]*([!-~](?:[\t -~]*[!-~])?)?[ \t]*")
_LENGTH: Final = re.compile(rb"[0-9]{1,12}")


def parse_head(raw: bytes) -> Head:
    r"""Return the head of a request.

    Args:
        raw: The bytes up to and with the empty line, lines ending in CR LF.

    Raises:
        Refused: `malformed-request`, `ambiguous-framing` or `upgrade`. A bare CR or LF, a folded line, a space before the
            colon, two lengths, a length beside `Transfer-Encoding`: whatever two parsers may read differently
            (https://datatracker.ietf.org/doc/html/rfc9112#section-11.2).
    """
    line, *fields = raw.removesuffix(b"\r\n\r\n").split(b"\r\n")
    request = _LINE.fullmatch(line)
    matches = [_HEADER.fullmatch(field) for field in fields]
    if request is None or not all(matches):
        raise Refused("malformed-request")
    headers = tuple((match[1].lower(), match[2] or b"") for match in matches if match)
    head = Head(request[1], request[2], headers)
    _check_framing(head)
    return head


def _check_framing(head: Head) -> None:
    lengths = [value for name, value in head.headers if name == b"content-length"]
    encodings = [value.lower() for name, value in head.headers if name == b"transfer-encoding"]
    if sum(name == b"host" for name, _ in head.headers) != 1:
        raise Refused("malformed-request")
    if len(lengths) + len(encodings) > 1 or encodings not in ([], [b"chunked"]):
        raise Refused("ambiguous-framing")
    if lengths and not _LENGTH.fullmatch(lengths[0]):
        raise Refused("ambiguous-framing")
    if head.find(b"upgrade") is not None or head.find(b"http2-settings") is not None:
        raise Refused("upgrade")


def find_endpoint(provider: Provider, head: Head) -> Endpoint:
    """Return the endpoint that a request means.

    The path is compared byte by byte: one with `%`, `..`, `//`, `;` or a host in front is another path.

    Raises:
        Refused: `host-not-allowed`, `path-not-allowed` or `method-not-allowed`.
    """
    if not head.target.startswith(b"/"):
        host = re.match(rb"[A-Za-z]+://([^/?#]*)", head.target)
        raise Refused("host-not-allowed" if host else "path-not-allowed", host=host[1].decode() if host else None)
    path, mark, query = head.target.partition(b"?")
    found = [endpoint for endpoint in ENDPOINTS[provider] if endpoint.path.fullmatch(path)]
    if not found or not any(query in endpoint.queries for endpoint in found) or (mark and not query):
        raise Refused("path-not-allowed")
    for endpoint in found:
        if endpoint.method == head.method:
            return endpoint
    raise Refused("method-not-allowed")


def check_content(head: Head, *, has_body: bool) -> None:
    """Refuse a body whose bytes are not the JSON that is checked.

    Raises:
        Refused: `content-type`.
    """
    kind = (head.find(b"content-type") or b"").lower().replace(b" ", b"")
    plain = head.find(b"content-encoding") is None
    if has_body and not (plain and kind in {b"application/json", b"application/json;charset=utf-8"}):
        raise Refused("content-type")


def build_upstream_headers(
    provider: Provider, head: Head, *, host: str, key: str, length: int | None
) -> list[tuple[bytes, bytes]]:
    """Return the headers with which a request goes to the model's host.

    Args:
        provider: Decides under which name the key goes.
        head: The agent's request.
        host: The model's host, which is also the name in the TLS connection.
        key: The real key. Whatever the agent sent as one is not looked at.
        length: Bytes of the body, or None where there is none.

    Raises:
        Refused: `headers-too-large`.
    """
    kept = {name: value for name in _FORWARDED if (value := head.find(name)) is not None}
    if any(len(value) > _FORWARDED[name] for name, value in kept.items()):
        raise Refused("headers-too-large")
    if provider == "anthropic":
        kept.setdefault(b"anthropic-version", ANTHROPIC_VERSION)
    secret = (b"x-api-key", key.encode()) if provider == "anthropic" else (b"authorization", b"Bearer " + key.encode())
    body = [] if length is None else [(b"content-type", b"application/json"), (b"content-length", b"%d" % length)]
    # Usage is read and the key is masked in plain bytes only.
    return [(b"host", host.encode()), secret, (b"accept-encoding", b"identity"), *kept.items(), *body]
