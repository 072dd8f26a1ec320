"""Read what an answer cost while it passes: tokens, out of JSON or a stream of events, in either style. Pure, bounded.

Only the structure that the provider wrote is read; what the model wrote stands inside its strings and cannot forge it.
Counts in a stream are totals so far, so the largest of each holds. `Reading.is_complete` says whether the end of the answer
was seen: until then the last count may be missing.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, fields
from typing import Any, Final, Self

from coven_action.core.gateway.refusals import Provider
from coven_action.core.strict_json import StrictJSONError, parse_json_object

MAX_EVENT_BYTES: Final = 8 * 1024 * 1024
"""An event or document beyond this is not read; the answer then counts as one whose end was not seen."""
MAX_DEPTH: Final = 128
MAX_TOKENS: Final = 10**12
_BOM: Final = b"\xef\xbb\xbf"
# The events of a Responses stream that end it: https://platform.openai.com/docs/api-reference/responses-streaming
_RESPONSE_ENDS: Final = frozenset({"response.completed", "response.incomplete", "response.failed"})
# Bytes that every event has which is worth reading: a count, or the end.
_MARKS: Final = (b'"usage"', b'"message_stop"')


@dataclass(frozen=True, slots=True)
class Tokens:
    """Tokens of one or more answers; each token is in one of the four.

    Attributes:
        input: Read by the model and held by no cache.
        output: Written by the model.
        cache_creation: Read and put into the provider's cache.
        cache_read: Read from the provider's cache.
    """

    input: int = 0
    output: int = 0
    cache_creation: int = 0
    cache_read: int = 0

    @property
    def total(self) -> int:
        """All of them."""
        return self.input + self.output + self.cache_creation + self.cache_read

    def __add__(self, other: "Tokens") -> "Tokens":
        return Tokens(*(getattr(self, field.name) + getattr(other, field.name) for field in fields(self)))

    def max(self, other: "Tokens") -> "Tokens":
        """Return the larger of each count."""
        return Tokens(*(max(getattr(self, field.name), getattr(other, field.name)) for field in fields(self)))

    @classmethod
    def read(cls, usage: Mapping[str, Any]) -> Self | None:
        """Return the counts of a `usage` object of either style; None where it holds none."""
        counts = {name: _count(usage.get(name)) for name in _COUNTS}
        if all(count is None for count in counts.values()):
            return None
        first = counts["input_tokens"] or counts["prompt_tokens"] or 0
        # OpenAI's counts of the input contain what came from the cache or was put there; Anthropic's stand beside it.
        details = usage.get("input_tokens_details") or usage.get("prompt_tokens_details")
        details = details if isinstance(details, dict) else {}
        cached, written = (_count(details.get(name)) or 0 for name in ("cached_tokens", "cache_write_tokens"))
        return cls(
            input=max(first - cached - written, 0),
            output=counts["output_tokens"] or counts["completion_tokens"] or 0,
            cache_creation=written or _count(usage.get("cache_creation_input_tokens")) or 0,
            cache_read=cached or _count(usage.get("cache_read_input_tokens")) or 0,
        )


_COUNTS: Final = ("input_tokens", "output_tokens", "prompt_tokens", "completion_tokens")


@dataclass(frozen=True, slots=True)
class Reading:
    """What an answer said of its own cost.

    Attributes:
        tokens: The counts that were seen.
        model: The model that answered; empty where none was named.
        is_complete: Whether the answer's end and a count were seen.
    """

    tokens: Tokens
    model: str
    is_complete: bool


class UsageReader:
    """Reads one answer as it passes.

    Args:
        provider: How the host speaks.
        is_streamed: Whether the answer is a stream of events; else it is one JSON object.
    """

    def __init__(self, provider: Provider, *, is_streamed: bool) -> None:
        self._provider = provider
        self._events = EventReader() if is_streamed else None
        self._document = bytearray()
        self._tokens: Tokens | None = None
        self._model = ""
        self._ended = False

    def feed(self, chunk: bytes) -> None:
        """Take the next bytes."""
        if self._events is None:
            self._document += chunk[: max(MAX_EVENT_BYTES + 1 - len(self._document), 0)]
            return
        for data in self._events.feed(chunk):
            if data == b"[DONE]":
                self._ended = True
            elif any(mark in data for mark in _MARKS):
                self._take_event(_parse(data))

    def finish(self) -> Reading:
        """Return what was seen."""
        if self._events is None:
            document = _parse(bytes(self._document))
            self._take(document)
            self._ended = True
        return Reading(self._tokens or Tokens(), self._model, self._ended and self._tokens is not None)

    def _take_event(self, event: Mapping[str, Any]) -> None:
        kind = event.get("type")
        if kind == "message_stop":
            self._ended = True
        elif kind == "message_start":
            self._take(_get_object(event, "message"))
        elif kind in _RESPONSE_ENDS:
            self._take(_get_object(event, "response"))
            self._ended = True
        elif self._provider == "openai" or kind == "message_delta":
            self._take(event)

    def _take(self, document: Mapping[str, Any]) -> None:
        tokens = Tokens.read(_get_object(document, "usage"))
        if tokens is not None:
            self._tokens = tokens.max(self._tokens or Tokens())
        model = document.get("model")
        if isinstance(model, str) and not self._model:
            self._model = model


class EventReader:
    """Divides a stream of bytes into the data of its events.

    The format: https://html.spec.whatwg.org/multipage/server-sent-events.html#parsing-an-event-stream. An event that is
    larger than `MAX_EVENT_BYTES` is left out.
    """

    def __init__(self) -> None:
        self._line = bytearray()
        self._is_blank = True
        self._data: list[bytes] = []
        self._size = 0
        self._after_return = False
        self._begun = False

    def feed(self, chunk: bytes) -> Iterator[bytes]:
        """Yield the data of each event that is complete now."""
        if self._after_return and chunk:
            chunk = chunk.removeprefix(b"\n")
            self._after_return = False
        self._after_return = self._after_return or chunk.endswith(b"\r")
        pieces = chunk.replace(b"\r\n", b"\n").replace(b"\r", b"\n").split(b"\n")
        for piece in pieces[:-1]:
            self._append(piece)
            if self._is_blank:
                yield from self._take_data()
            else:
                self._take_line()
        self._append(pieces[-1])

    def _append(self, piece: bytes) -> None:
        self._is_blank = self._is_blank and not piece
        self._size += len(piece)
        if self._size <= MAX_EVENT_BYTES:
            self._line += piece

    def _take_line(self) -> None:
        line = bytes(self._line)
        self._line.clear()
        self._is_blank = True
        if not self._begun:
            self._begun = True
            line = line.removeprefix(_BOM)
        name, _, value = line.partition(b":")
        if name == b"data":
            self._data.append(value.removeprefix(b" "))

    def _take_data(self) -> Iterator[bytes]:
        data, size = b"\n".join(self._data), self._size
        self._data, self._size = [], 0
        if data and size <= MAX_EVENT_BYTES:
            yield data


def _parse(data: bytes) -> Mapping[str, Any]:
    """Return a JSON object; an empty one for whatever cannot be read in one way only."""
    try:
        return parse_json_object(data, max_bytes=MAX_EVENT_BYTES, max_depth=MAX_DEPTH)
    except StrictJSONError:
        return {}


def _get_object(document: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    value = document.get(name)
    return value if isinstance(value, dict) else {}


def _count(value: object) -> int | None:
    """Return a number of tokens; a Boolean, a fraction, a negative or an absurd number is none."""
    return value if type(value) is int and 0 <= value <= MAX_TOKENS else None
