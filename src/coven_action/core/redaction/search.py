"""Find the secrets of known shapes in a text, in linear time.

Pure. The literals of all shapes and prefixes, and the names of assignments, are searched at once; the expressions are
tried only where one of theirs stands. Most tokens consist of letters, digits and `_.~-` alone. What was found of these
counts where the whole run of such bytes in which it stands can be a token.
"""

import re
from bisect import bisect_right
from collections.abc import Iterator
from itertools import chain
from typing import Final

from coven_action.core.redaction.assignments import NAMES
from coven_action.core.redaction.pairs import Literals, Places
from coven_action.core.redaction.shapes import OTHER_SHAPES, PREFIXES, TOKEN, TOKEN_SHAPES, Span

_ALNUM: Final = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"
_ALNUM_BYTES: Final = frozenset(bytes([byte]) for byte in _ALNUM)
_TOKEN_BYTES: Final = _ALNUM + b"_.~-"
_FOLD: Final = bytes(ord("a" if byte in _TOKEN_BYTES else " ") for byte in range(256))
_HEX: Final = b"0123456789abcdef-"
_WORDS: Final = b"abcdefghijklmnopqrstuvwxyz_.~-"
_ALNUM_RUN: Final = re.compile(rb"[A-Za-z0-9]+")

_LABEL: Final = rb"(?:[A-Z0-9]{1,16} ){0,3}PRIVATE KEY(?: BLOCK)?-----"
_BEGIN: Final = re.compile(rb"-----BEGIN " + _LABEL)
_END: Final = re.compile(rb"-----END " + _LABEL)
# A block whose end is missing goes on while lines look like base64. Line ends may be escaped, lines may be indented,
# quoted, or marked as a diff marks them.
_AFTER_BODY: Final = re.compile(rb"(?=[^A-Za-z0-9+/=\s\"'\\>|-])")
_BODY_LINE: Final = re.compile(rb"[A-Za-z0-9+/=]{40}")
_SHORTEST_BODY: Final = 40  # a program that names the first and the last line has less between them
_KEY_KIND: Final = "private key"
_LONGEST_KEY: Final = 12 * 1024


_FIRST_LINE: Final = b"-----BEGIN "
_LITERALS: Final = Literals(
    (*chain.from_iterable(shape.literals for shape in (*TOKEN_SHAPES, *OTHER_SHAPES)), *PREFIXES, _FIRST_LINE), NAMES
)


def find_places(text: bytes) -> Places:
    """Return where the literals stand that known shapes and assignments begin with."""
    return _LITERALS.find(text)


def find_shapes(text: bytes, places: Places) -> Iterator[Span]:
    """Yield start, end and kind of every secret of a known shape, given `find_places(text)`. Spans may overlap."""
    if not places:
        return
    tokens = chain.from_iterable(shape.find_spans(text, places) for shape in TOKEN_SHAPES)
    yield from _keep_tokens(text, [*tokens, *_find_prefixed(text, places)])
    for shape in OTHER_SHAPES:
        yield from shape.find_spans(text, places)
    if _FIRST_LINE in places:
        yield from _find_private_keys(text)


def _keep_tokens(text: bytes, spans: list[Span]) -> Iterator[Span]:
    """Yield the spans in runs that can hold a token; words, and hashes and UUIDs in hexadecimal, cannot."""
    if not spans:
        return
    folded = text.translate(_FOLD) + b" "
    first = last = 0
    is_kept = False
    for span in spans:
        if not first <= span[0] < last:
            first, last = folded.rfind(b" ", 0, span[0]) + 1, folded.find(b" ", span[0])
            run = text[first:last]
            is_kept = len(run) >= TOKEN and run.strip(_WORDS) != b"" and run.translate(None, _HEX) != b""
        if is_kept:
            yield span


def _find_prefixed(text: bytes, places: Places) -> Iterator[Span]:
    for prefix, (kind, shortest, longest) in PREFIXES.items():
        for start in places.get(prefix, ()):
            if text[max(start - 1, 0) : start] not in _ALNUM_BYTES:
                place = start + len(prefix)
                tail = _ALNUM_RUN.match(text, place, place + longest + 1)
                if tail and shortest <= tail.end() - place <= longest:
                    yield start, tail.end(), kind


def _find_private_keys(text: bytes) -> Iterator[Span]:
    """Yield the private key blocks of RFC 7468 and OpenPGP, from the first dash to the last, complete or not."""
    ends = [(match.start(), match.end()) for match in _END.finditer(text)]
    done = 0
    for begin in _BEGIN.finditer(text):
        if begin.start() < done:
            continue
        after = bisect_right(ends, (begin.end(), 0))
        if after < len(ends) and ends[after][1] - begin.start() <= _LONGEST_KEY:
            done = ends[after][1]
            if ends[after][0] - begin.end() >= _SHORTEST_BODY:
                yield begin.start(), done, _KEY_KIND
            continue
        rest = _AFTER_BODY.search(text, begin.end())
        done = rest.start() if rest else len(text)
        if _BODY_LINE.search(text, begin.end(), done):
            yield begin.start(), done, _KEY_KIND
