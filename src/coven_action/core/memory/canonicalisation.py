"""JSON in its one canonical form, for hashing: RFC 8785 (JSON Canonicalization Scheme). Pure.

Covers what our documents hold: text, whole numbers, true, false, null, lists and objects. A fraction is refused rather
than written in a form that another implementation might not agree with. https://www.rfc-editor.org/rfc/rfc8785
"""

import json
from collections.abc import Mapping
from typing import Any, Final

# Section 3.2.2.3 and appendix D: a number is an IEEE 754 double, which holds whole numbers up to here exactly.
LARGEST_INTEGER: Final = 2**53 - 1
_encode: Final = json.JSONEncoder(ensure_ascii=False).encode


def canonicalise(value: Any) -> bytes:
    """Return the canonical bytes of a value; equal values give equal bytes in every implementation.

    Raises:
        ValueError: The value holds something that is not covered: a fraction, a number beyond ±(2^53 - 1), half of a
            surrogate pair, a key that is no text, or an object of another kind.
    """
    return _render(value).encode()


def _render(value: Any) -> str:
    # `True` is an `int` to Python, so the literals come first.
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    if isinstance(value, str):
        return _render_text(value)
    if isinstance(value, int):
        return _render_integer(value)
    if isinstance(value, Mapping):
        return _render_object(value)
    if isinstance(value, list | tuple):
        return f"[{','.join(_render(item) for item in value)}]"
    raise ValueError(f"{type(value).__name__} has no canonical form here")


def _render_text(text: str) -> str:
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise ValueError("half of a surrogate pair has no canonical form") from error
    # Section 3.2.2.2 is ECMAScript's JSON.stringify, which escapes just what Python's encoder escapes.
    return _encode(text)


def _render_integer(number: int) -> str:
    if abs(number) > LARGEST_INTEGER:
        raise ValueError("the number is larger than a JSON number holds exactly")
    return str(number)


def _render_object(value: Mapping[Any, Any]) -> str:
    if not all(isinstance(key, str) for key in value):
        raise ValueError("a key that is no text has no canonical form")
    # Section 3.2.3: keys are ordered by their UTF-16 code units, which differs from Python's order beyond U+FFFF.
    ordered = sorted(value, key=lambda key: key.encode("utf-16-be", "surrogatepass"))
    return "{" + ",".join(f"{_render_text(key)}:{_render(value[key])}" for key in ordered) + "}"
