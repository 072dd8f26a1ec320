"""Cover secrets in everything that leaves: one redactor, for whole texts and for streams, and the type of its output.

Pure. `Redacted` can be built by the redactor alone, and what sends text outward accepts nothing else; the type checker
guards the way out. Rendering happens first, redaction last: text composed of redacted parts is redacted again as a
whole. Memory is constant, work linear in the text; a whole text and the same text in any chunks give the same output.
"""

import codecs
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import chain
from types import MappingProxyType
from typing import Final, Self

from coven_action.core.redaction.assignments import find_assignments
from coven_action.core.redaction.encodings import LiveValues
from coven_action.core.redaction.search import find_places, find_shapes

WINDOW: Final = 16 * 1024
"""Bytes that are looked at beyond what is decided: a secret up to this long is seen whole at any place."""

BLOCK: Final = 31 * WINDOW
"""Bytes decided at a time. Large, because a pass over a block has a fixed price and reads the window again."""

_CONTEXT: Final = 256
"""Bytes before the block that an expression or a piece may need to look back at."""

_ROUNDS: Final = 4
"""Covering a secret can lay bare the boundary of its neighbour; the search is repeated so often at most."""

_FEW: Final = 16
"""Up to so many secrets in a block, the search is repeated in their lines alone; beyond, in the whole block."""

_SURROGATES: Final = re.compile("[\ud800-\udfff]")
_CONTINUATION: Final = bytes(range(0x80, 0xC0))
_BUILDER: Final = object()

_Span = tuple[int, int, str]


class Redacted(str):
    """Text in which secrets are covered. Only a `Redactor` builds it; every operation of `str` gives a plain `str`."""

    __slots__ = ("counts",)

    counts: Mapping[str, int]
    """How many secrets of each kind were covered."""

    def __new__(cls, text: str, counts: Mapping[str, int], *, builder: object) -> Self:
        """Refuse to be built by anybody but the redactor."""
        if builder is not _BUILDER:
            raise TypeError("Redacted is built by Redactor.redact alone.")
        redacted = super().__new__(cls, text)
        redacted.counts = MappingProxyType(dict(counts))
        return redacted

    @property
    def is_clean(self) -> bool:
        """Whether nothing had to be covered."""
        return not self.counts

    def cut(self, length: int) -> "Redacted":
        """Return the first `length` characters; the beginning of a redacted text is redacted."""
        return Redacted(self[:length], self.counts, builder=_BUILDER)


@dataclass(frozen=True, slots=True)
class Finding:
    """Where a secret stands and of which kind it is; never the secret.

    Args:
        kind: What the replacement names.
        start: Index of its first character.
        end: Index after its last character.
    """

    kind: str
    start: int
    end: int


@dataclass(frozen=True, slots=True)
class Redactor:
    """Finds and covers registered live values and secrets of known shapes.

    Args:
        live: The registered values, indexed; use `Redactor.build`.
    """

    live: LiveValues = field(repr=False)

    @classmethod
    def build(cls, live_values: Iterable[str] = ()) -> Self:
        """Build a redactor that knows these live values besides the known shapes."""
        return cls(LiveValues.build(live_values))

    @property
    def ignored(self) -> int:
        """How many live values are too short or too plain to be searched."""
        return self.live.ignored

    def redact(self, text: str | bytes) -> Redacted:
        """Return the text with each secret replaced by `[redacted: kind]`.

        Bytes that are no UTF-8, and lone surrogates, become U+FFFD: they could not be sent.
        """
        stream = self.stream()
        parts = [stream.feed(text), stream.finish()]
        return Redacted("".join(parts), stream.counts, builder=_BUILDER)

    def stream(self) -> "RedactionStream":
        """Return a stream that covers secrets in chunks as they come."""
        return RedactionStream(self)

    def find(self, text: str | bytes) -> tuple[Finding, ...]:
        """Return what `redact` would cover, in order. Indices are those of the text, of bytes once decoded."""
        data = _encode(text if isinstance(text, str) else text.decode("utf-8", "replace"))
        segments = _Segments(self)
        pieces = chain(segments.feed(data), segments.finish())
        findings: list[Finding] = []
        index = 0
        for segment in pieces:
            end = index + len(segment.text.translate(None, _CONTINUATION))
            if segment.is_marked:
                findings.append(Finding(segment.kind, index, end))
            elif segment.kind:
                findings[-1] = Finding(findings[-1].kind, findings[-1].start, end)
            index = end
        return tuple(findings)

    def find_spans(self, view: bytes) -> list[_Span]:
        """Return the spans to cover in a stretch of bytes, in order and apart from each other."""
        spans = _merge(self._search(view))
        fresh = spans
        for _ in range(_ROUNDS):
            if not fresh:
                break
            masked = _mask(view, spans)
            found = [span for start, end in _lines_around(masked, fresh) for span in self._search(masked, start, end)]
            fresh = _merge(found)
            spans = _merge([*spans, *fresh])
        return spans

    def _search(self, view: bytes, start: int = 0, end: int | None = None) -> list[_Span]:
        part = view[start:end]
        places = find_places(part)
        found = chain(self.live.find_spans(part), find_shapes(part, places), find_assignments(part, places))
        return [(first + start, last + start, kind) for first, last, kind in found]


@dataclass(frozen=True, slots=True)
class _Segment:
    """A stretch of ordinary text, where `kind` is empty, or of a secret.

    Args:
        text: The bytes, as they came.
        kind: What the marker names.
        is_marked: Whether the marker stands here; False for ordinary text and the continuation of a secret.
    """

    text: bytes
    kind: str = ""
    is_marked: bool = False

    @property
    def rendered(self) -> bytes:
        """What may leave."""
        if self.is_marked:
            return render_marker(self.kind)
        return b"" if self.kind else self.text


class RedactionStream:
    """Covers secrets in a text that comes in chunks, whatever the chunks are. Memory is constant.

    What is fed comes out once the `WINDOW` after it is known, so a secret is never cut in two.
    """

    def __init__(self, redactor: Redactor) -> None:
        self._segments = _Segments(redactor)
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")
        self._counts: Counter[str] = Counter()

    @property
    def counts(self) -> Mapping[str, int]:
        """How many secrets of each kind were covered so far."""
        return MappingProxyType(dict(self._counts))

    def feed(self, chunk: str | bytes) -> Redacted:
        """Take a chunk; return what can be decided by now, often nothing."""
        return self._render(self._segments.feed(_encode(chunk)), final=False)

    def finish(self) -> Redacted:
        """Return the rest. The stream is at its end then."""
        return self._render(self._segments.finish(), final=True)

    def _render(self, segments: Iterable[_Segment], *, final: bool) -> Redacted:
        counts: Counter[str] = Counter()
        parts: list[str] = []
        for segment in segments:
            counts[segment.kind] += segment.is_marked
            parts.append(self._decoder.decode(segment.rendered))
        parts.append(self._decoder.decode(b"", final))
        counts = +counts
        self._counts.update(counts)
        return Redacted("".join(parts), counts, builder=_BUILDER)


class _Segments:
    """Divides a byte stream at places that do not depend on its chunks, and says of each segment what it is."""

    def __init__(self, redactor: Redactor) -> None:
        self._redactor = redactor
        self._pending: list[bytes] = []
        self._size = 0
        self._context = b""
        self._covered = False

    def feed(self, data: bytes) -> Iterator[_Segment]:
        """Yield the decided segments with their kind, which is empty for ordinary text."""
        self._pending.append(data)
        self._size += len(data)
        if self._size < BLOCK + WINDOW:
            return
        data = b"".join(self._pending)
        start = 0
        while len(data) - start >= BLOCK + WINDOW:
            view = self._context + data[start : start + BLOCK + WINDOW]
            fresh = len(self._context)
            spans = self._redactor.find_spans(view)
            crossing = (end for begin, end, _ in spans if begin < fresh + BLOCK < end)
            cut = next(crossing, fresh + BLOCK)
            yield from self._divide(view, spans, fresh, cut)
            start += cut - fresh
            self._context = view[max(cut - _CONTEXT, 0) : cut]
        self._pending = [data[start:]]
        self._size = len(data) - start

    def finish(self) -> Iterator[_Segment]:
        """Yield the segments of the rest."""
        view = b"".join([self._context, *self._pending])
        self._pending, self._size = [], 0
        yield from self._divide(view, self._redactor.find_spans(view), len(self._context), len(view))

    def _divide(self, view: bytes, spans: list[_Span], fresh: int, cut: int) -> Iterator[_Segment]:
        place = fresh
        for start, end, kind in spans:
            if end <= fresh or start >= cut:
                continue
            begin = max(start, fresh)
            if begin > place:
                yield _Segment(view[place:begin])
                self._covered = False
            # A secret longer than the window was given its marker when its beginning was covered.
            continues = start < fresh and begin == place and self._covered
            yield _Segment(view[begin:end], kind, is_marked=not continues)
            self._covered = True
            place = end
        if place < cut:
            yield _Segment(view[place:cut])
            self._covered = False


def render_marker(kind: str) -> bytes:
    """Return what stands in place of a secret."""
    return f"[redacted: {kind}]".encode()


def _encode(text: str | bytes) -> bytes:
    if isinstance(text, bytes):
        return text
    try:
        return text.encode()
    except UnicodeEncodeError:
        return _SURROGATES.sub("\N{REPLACEMENT CHARACTER}", text).encode()


def _merge(spans: list[_Span]) -> list[_Span]:
    """Return spans in order, overlapping ones as one that bears the kind of the longest."""
    merged: list[_Span] = []
    longest = 0
    for start, end, kind in sorted(spans, key=lambda span: (span[0], -span[1])):
        if merged and start < merged[-1][1]:
            before, last, name = merged[-1]
            if end - start > longest:
                longest, name = end - start, kind
            merged[-1] = before, max(last, end), name
        else:
            merged.append((start, end, kind))
            longest = end - start
    return merged


def _lines_around(view: bytes, spans: list[_Span]) -> Iterator[tuple[int, int]]:
    """Yield the stretches of lines in which the spans stand: only there covering can lay something bare."""
    if len(spans) > _FEW:
        yield 0, len(view)
        return
    done = 0
    for start, end, _ in spans:
        if end > done:
            first = max(view.rfind(b"\n", 0, start) + 1, done)
            done = view.find(b"\n", end) + 1 or len(view)
            yield first, done


def _mask(view: bytes, spans: list[_Span]) -> bytes:
    """Return the view with brackets in place of secrets: to a search they mean what the marker will mean."""
    masked = bytearray(view)
    for start, end, _ in spans:
        masked[start:end] = b"]" * (end - start)
    return bytes(masked)
