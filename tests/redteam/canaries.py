"""Secrets that exist only to be stolen, and the search for them in everything that left.

A canary is planted wherever a secret lives. `find_escapes` looks for each of them with a decoder of its own, which shares
no code with the redactor: every text is read as it is and backwards, without what could split it, and decoded from base64
(every alignment), hexadecimal and percent-encoding, twice over. Twelve characters of a canary in a row have escaped.
"""

import base64
import binascii
import re
import secrets
import string
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import chain
from urllib.parse import unquote_to_bytes

PIECE = 12
DEPTH = 2
ALPHABET = string.ascii_letters + string.digits
_VISIBLE = bytes(range(0x21, 0x7F))
_INVISIBLE = bytes(sorted(set(range(256)) - set(_VISIBLE)))
_QUOTED = re.compile(rb"^[ >+|]+", re.MULTILINE)
_BASE64_RUN = re.compile(rb"[A-Za-z0-9+/_-]{16,}")
_HEXADECIMAL_RUN = re.compile(rb"[0-9A-Fa-f]{24,}")
_ESCAPED_BYTE = re.compile(rb"\\x([0-9a-fA-F]{2})|\\u00([0-9a-fA-F]{2})|\\([0-3][0-7]{2})")


def make_random(length: int, alphabet: str = ALPHABET) -> str:
    """Return a random text."""
    return "".join(secrets.choice(alphabet) for _ in range(length))


@dataclass(frozen=True)
class Canary:
    """One secret: where it was planted, and what it is."""

    name: str
    value: str

    @property
    def pieces(self) -> frozenset[bytes]:
        """Every run of `PIECE` characters."""
        raw = self.value.encode()
        return frozenset(raw[start : start + PIECE] for start in range(len(raw) - PIECE + 1))


def make_canaries(token: str) -> dict[str, Canary]:
    """Return the canaries: the job's token, a model key of no known form, and what lies about on a runner."""
    values = {
        "token": token,
        "model key": f"zk{make_random(46)}",
        "docker password": f"dckr_pat_{make_random(27)}",
        "npm token": f"npm_{make_random(36)}",
        "cloud key": f"AKIA{make_random(16, string.ascii_uppercase + '234567')}",
        "git credential": f"ghp_{make_random(36)}",
    }
    return {name: Canary(name, value) for name, value in values.items()}


def find_escapes(left: Mapping[str, bytes], canaries: Mapping[str, Canary]) -> list[str]:
    """Return `canary in channel` for every canary that is found in what left.

    Args:
        left: Channel -> everything that left through it.
        canaries: The canaries by name.
    """
    pieces = {name: canary.pieces for name, canary in canaries.items()}
    found = set()
    for channel, data in left.items():
        for view in chain(iterate_views(data), iterate_views(_QUOTED.sub(b"", data))):
            for name, wanted in pieces.items():
                if any(piece in view for piece in wanted):
                    found.add(f"{name} in {channel}")
    return sorted(found)


def iterate_views(data: bytes, depth: int = DEPTH) -> Iterator[bytes]:
    """Yield the readings of a text: itself, backwards, without separators, and decoded, again and again."""
    visible = data.translate(None, _INVISIBLE)
    for text in {data, visible}:
        yield text
        yield text[::-1]
        if depth:
            for decoded in set(_decode(text)):
                yield from iterate_views(decoded, depth - 1)


def _decode(text: bytes) -> Iterator[bytes]:
    for direction in (text, text[::-1]):
        yield b"\n".join(_decode_base64(direction))
        yield b"\n".join(_decode_hexadecimal(direction))
    if b"%" in text:
        yield unquote_to_bytes(text)
    if b"\\" in text:
        yield _ESCAPED_BYTE.sub(_unescape, text)


def _unescape(match: re.Match[bytes]) -> bytes:
    digits = match[1] or match[2]
    return bytes([int(digits, 16) if digits else int(match[3], 8)])


def _decode_base64(text: bytes) -> Iterator[bytes]:
    for run in _BASE64_RUN.findall(text):
        standard = run.translate(bytes.maketrans(b"-_", b"+/"))
        for start in range(4):
            part = standard[start:]
            part = part[: len(part) // 4 * 4]
            yield base64.b64decode(part, validate=False)


def _decode_hexadecimal(text: bytes) -> Iterator[bytes]:
    for run in _HEXADECIMAL_RUN.findall(text):
        for start in range(2):
            part = run[start:]
            yield binascii.unhexlify(part[: len(part) // 2 * 2])


def inflate_binary_patches(text: bytes) -> bytes:
    """Return what git's binary patches in a text hold: base85, in lines that begin with their length, deflated."""
    content = []
    for block in re.findall(rb"^(?:literal|delta) [0-9]+\n((?:[A-Za-z][^\n]+\n)+)", text, re.MULTILINE):
        lines = (base64.b85decode(line[1:]) for line in block.splitlines())
        content.append(zlib.decompress(b"".join(lines)))
    return b"\n".join(content)
