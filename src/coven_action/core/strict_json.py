"""Read a JSON object that somebody else wrote, strictly and within bounds.

Pure, linear in the input. Python's own parser accepts what JSON forbids (NaN, Infinity) and what has two meanings
(repeated keys, halves of surrogate pairs), turns `1e999` into infinity, and recurses as deep as the input says. A
document that one reader understands so and another otherwise is how checks are passed by, so all of these refuse.
"""

import json
import math
import re
from typing import Any, Final, NoReturn

MAX_DEPTH: Final = 32
"""Levels of nesting. The deepest document of ours has seven."""

# A string (terminated or not) or one bracket. Possessive quantifiers (Python 3.11) keep hostile text linear.
_TOKEN: Final = re.compile(r'"(?>(?:[^"\\]++|\\.)*)"?|[\[{\]}]', re.DOTALL)


class StrictJSONError(ValueError):
    """Raised for bytes that are no acceptable JSON object; the message is one sentence fragment without content."""


def parse_json_object(data: bytes, *, max_bytes: int, max_depth: int = MAX_DEPTH) -> dict[str, Any]:
    """Return the JSON object that `data` holds.

    Args:
        data: The document as it was read, UTF-8.
        max_bytes: Larger documents are refused unread.
        max_depth: Deeper documents are refused unread.

    Raises:
        StrictJSONError: The document is too large, too deep, no UTF-8, no JSON, no object, or ambiguous.
    """
    if len(data) > max_bytes:
        raise StrictJSONError(f"it has {len(data)} bytes, more than the {max_bytes} allowed")
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError as error:
        raise StrictJSONError(f"byte {error.start} is not UTF-8") from error
    _check_depth(text, max_depth)
    try:
        document = json.loads(
            text, object_pairs_hook=_build_object, parse_constant=_refuse_constant, parse_float=_parse_float
        )
    except StrictJSONError:
        raise
    except json.JSONDecodeError as error:
        raise StrictJSONError(f"it is not JSON: {error.msg} at line {error.lineno} column {error.colno}") from error
    except ValueError as error:  # an integer of more digits than Python converts
        raise StrictJSONError("it holds a number that is too long") from error
    if not isinstance(document, dict):
        raise StrictJSONError("it is not a JSON object")
    _check_surrogates(text, document)
    return document


def _check_depth(text: str, max_depth: int) -> None:
    depth = 0
    for token in _TOKEN.finditer(text):
        character = token.group()[0]
        depth += (character in "[{") - (character in "]}")
        if depth > max_depth:
            raise StrictJSONError(f"it is nested deeper than {max_depth} levels")


def _build_object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    built = dict(pairs)
    if len(built) != len(pairs):
        raise StrictJSONError("a key occurs twice in the same object")
    return built


def _refuse_constant(name: str) -> NoReturn:
    raise StrictJSONError(f"{name} is not a JSON number")


def _parse_float(digits: str) -> float:
    number = float(digits)
    if math.isinf(number):
        raise StrictJSONError("it holds a number that is too large")
    return number


def _check_surrogates(text: str, document: dict[str, Any]) -> None:
    # Only an escape can bring in half a pair, since the bytes were valid UTF-8; most documents have none.
    if "\\u" not in text:
        return
    try:
        json.dumps(document, ensure_ascii=False).encode("utf-8")
    except UnicodeEncodeError as error:
        raise StrictJSONError("it holds half of a surrogate pair") from error
