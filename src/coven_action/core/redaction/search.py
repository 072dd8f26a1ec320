"""Find the secrets of known shapes in a text, in linear time.

Pure. Most tokens consist of letters, digits and `_.~-` alone. A text is folded so that all of these become one byte;
searching the folded text for `TOKEN` such bytes in a row finds every run that is long enough, and only these runs,
set side by side, are searched for the literals of the table. What a log holds besides is read once.
"""

import re
from bisect import bisect_right
from collections.abc import Iterable, Iterator
from itertools import accumulate
from typing import Final

from coven_action.core.redaction.shapes import OTHER_SHAPES, PREFIXES, TOKEN, TOKEN_SHAPES, Shape, Span

_ALNUM: Final = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"
_ALNUM_BYTES: Final = frozenset(bytes([byte]) for byte in _ALNUM)
_TOKEN_BYTES: Final = _ALNUM + b"_.~-"
_FOLD: Final = bytes(ord("a" if byte in _TOKEN_BYTES else " ") for byte in range(256))
_LONG_ENOUGH: Final = b"a" * TOKEN
_HEX: Final = b"0123456789abcdef-"
_WORDS: Final = b"abcdefghijklmnopqrstuvwxyz_.~-"

_SEPARATED: Final = tuple(re.compile(rb"%s(?=[A-Za-z0-9]{%d})" % (re.escape(end), TOKEN)) for end in (b"_", b"-", b"."))
_PREFIXES: Final = tuple(PREFIXES)
_LONGEST_PREFIX: Final = max(map(len, PREFIXES))
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


def find_shapes(text: bytes) -> Iterator[Span]:
    """Yield start, end and kind of every secret of a known shape. Spans may overlap."""
    runs = list(_find_runs(text))
    if runs:
        yield from _find_tokens(text, runs)
    yield from _find_listed(text, OTHER_SHAPES)
    if b"-----BEGIN " in text:
        yield from _find_private_keys(text)


def _find_runs(text: bytes) -> Iterator[tuple[int, int]]:
    """Yield start and end of the runs that can hold a token; words, and hashes and UUIDs in hexadecimal, cannot."""
    folded = text.translate(_FOLD) + b" "
    start = folded.find(_LONG_ENOUGH)
    while start >= 0:
        end = folded.find(b" ", start)
        run = text[start:end]
        if run.strip(_WORDS) and run.translate(None, _HEX):
            yield start, end
        start = folded.find(_LONG_ENOUGH, end)


def _find_tokens(text: bytes, runs: list[tuple[int, int]]) -> Iterator[Span]:
    """Yield the tokens in the runs, which are searched side by side, a line each."""
    beside = b"\n".join([text[start:end] for start, end in runs])
    found = [*_find_listed(beside, TOKEN_SHAPES), *_find_prefixed(beside)]
    if found:
        lines = list(accumulate((end - start + 1 for start, end in runs), initial=0))
        for start, end, kind in found:
            line = bisect_right(lines, start) - 1
            shift = runs[line][0] - lines[line]
            yield start + shift, end + shift, kind


def _find_listed(text: bytes, shapes: Iterable[Shape]) -> Iterator[Span]:
    for shape in shapes:
        if not shape.literals or any(literal in text for literal in shape.literals):
            yield from shape.find_spans(text)


def _find_prefixed(text: bytes) -> Iterator[Span]:
    for expression in _SEPARATED:
        for match in expression.finditer(text):
            place = match.end()
            head = text[max(place - _LONGEST_PREFIX - 1, 0) : place]
            if head.endswith(_PREFIXES):
                yield from _read_prefixed(text, head, place)


def _read_prefixed(text: bytes, head: bytes, place: int) -> Iterator[Span]:
    for prefix, (kind, shortest, longest) in PREFIXES.items():
        if head.endswith(prefix) and head[: -len(prefix)][-1:] not in _ALNUM_BYTES:
            tail = _ALNUM_RUN.match(text, place, place + longest + 1)
            if tail and shortest <= tail.end() - place <= longest:
                yield place - len(prefix), tail.end(), kind


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
