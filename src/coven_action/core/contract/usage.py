"""What a coven-code run cost, read from what it printed. Pure, bounded, and never a reason to fail.

With `--output-format json` the runtime prints one final JSON object on stdout; the result file carries no such data.
The text it streams before that is noise, and may contain anything, forged usage included: only the last object counts.
All figures are the runtime's claims; what a gateway has counted itself is better.
"""

from collections.abc import Mapping
from typing import Any, Final

from coven_action.core.records import Record
from coven_action.core.strict_json import StrictJSONError, parse_json_object

SCANNED_BYTES: Final = 512 * 1024
"""Bytes at the end of stdout that are looked at."""
MAX_CANDIDATES: Final = 16
"""Places that are tried as the start of the final object, from the last one backwards."""
_BEGINNINGS: Final = (b"\n{", b'{"', b"{\n")
MAX_TOKENS: Final = 10**12
MAX_COST_USD: Final = 10**6


class Usage(Record):
    """Tokens and money of one run, as the runtime says.

    Attributes:
        input_tokens: Read by the model and held by no cache.
        output_tokens: Written by the model.
        cache_creation_input_tokens: Read and put into the provider's cache.
        cache_read_input_tokens: Read from the provider's cache.
        cost_usd: In US dollars; None where the runtime gave no amount that can be believed.
    """

    input_tokens: int = 0
    output_tokens: int = 0
    cache_creation_input_tokens: int = 0
    cache_read_input_tokens: int = 0
    cost_usd: float | None = None


def add_usage(one: Usage | None, other: Usage | None) -> Usage | None:
    """Return what two attempts spent together; None where neither says anything. One without an amount leaves it unknown."""
    if one is None or other is None:
        return one or other
    costs = (one.cost_usd, other.cost_usd)
    return Usage(
        input_tokens=one.input_tokens + other.input_tokens,
        output_tokens=one.output_tokens + other.output_tokens,
        cache_creation_input_tokens=one.cache_creation_input_tokens + other.cache_creation_input_tokens,
        cache_read_input_tokens=one.cache_read_input_tokens + other.cache_read_input_tokens,
        cost_usd=None if costs[0] is None or costs[1] is None else costs[0] + costs[1],
    )


def parse_usage(stdout: bytes) -> Usage | None:
    """Return the usage that the last JSON object on stdout states, or None.

    Args:
        stdout: The end of the standard output, as many bytes as were kept.
    """
    text = stdout[-SCANNED_BYTES:].rstrip()
    if not text.endswith(b"}"):
        return None
    end = len(text)
    for _ in range(MAX_CANDIDATES):
        # The object may be printed on one line or indented, on a line of its own or right after streamed text.
        start = max(text.rfind(beginning, 0, end) for beginning in _BEGINNINGS)
        if start < 0:
            return _read(text)
        usage = _read(text[start:].lstrip())
        if usage is not None:
            return usage
        end = start
    return None


def _read(candidate: bytes) -> Usage | None:
    try:
        document = parse_json_object(candidate, max_bytes=SCANNED_BYTES)
    except StrictJSONError:
        return None
    counts = document.get("usage")
    return _build(counts, document) if isinstance(counts, dict) and "result" in document else None


def _build(counts: Mapping[str, Any], document: Mapping[str, Any]) -> Usage | None:
    read, written = _count(counts.get("input_tokens")), _count(counts.get("output_tokens"))
    if read is None or written is None:
        return None
    return Usage(
        input_tokens=read,
        output_tokens=written,
        cache_creation_input_tokens=_count(counts.get("cache_creation_input_tokens")) or 0,
        cache_read_input_tokens=_count(counts.get("cache_read_input_tokens")) or 0,
        cost_usd=_cost(document.get("cost_usd")),
    )


def _count(value: object) -> int | None:
    """Return a number of tokens; a Boolean, a fraction, a negative or an absurd number is none."""
    if isinstance(value, bool) or not isinstance(value, int):
        return None
    return value if 0 <= value <= MAX_TOKENS else None


def _cost(value: object) -> float | None:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return float(value) if 0 <= value <= MAX_COST_USD else None
