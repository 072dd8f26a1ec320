"""What a condition of a workflow comes to, as far as it can be known before it runs.

Pure. An expression is evaluated with the few values that a trigger fixes; whatever depends on anything else is `UNKNOWN`.
So `False` means that the condition can never hold for that trigger, and only that is ever reported.
https://docs.github.com/en/actions/reference/workflows-and-actions/expressions
"""

import json
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Final

from coven_action.core.records import Record

MAX_LENGTH: Final = 8192
"""Longer expressions are not looked at; people cannot read them either."""

MAX_DEPTH: Final = 40

_TOKEN: Final = re.compile(
    r"\s*(?:(?P<text>'(?:[^']|'')*')|(?P<number>-?[0-9]+)(?![\w.])|(?P<name>[A-Za-z_][A-Za-z0-9_-]*)"
    r"|(?P<sign>&&|\|\||==|!=|<=|>=|[<>!().,\[\]*]))"
)
_WRAPPED: Final = re.compile(r"\s*\$\{\{(?P<inner>(?:(?!\$\{\{|\}\}).)*)\}\}\s*", re.DOTALL)


class Unknown(Record):
    """The value of what only a run can know."""


UNKNOWN: Final = Unknown()


class _Items(Record):
    """A list. Unlike Python's, an empty one holds as a condition, and two lists are never found equal."""

    values: tuple[object, ...]


_CONSTANTS: Final[Mapping[str, object]] = {"true": True, "false": False, "null": None}


def evaluate_condition(text: str, known: Mapping[str, object]) -> bool | None:
    """Return whether an `if:` holds, None where only a run can tell.

    Args:
        text: The condition as written, with or without `${{ }}`.
        known: Values by their lower-case path, `github.event.label.name`; None says that the path and all below it is
            absent. What is not named is unknown.
    """
    wrapped = _WRAPPED.fullmatch(text)
    value = evaluate(wrapped["inner"] if wrapped else text, known)
    return None if value is UNKNOWN else bool(value)


def evaluate(text: str, known: Mapping[str, object]) -> object:
    """Return the value of an expression; `UNKNOWN` also where it cannot be read. See `evaluate_condition`."""
    tokens = _split(text)
    if tokens is None:
        return UNKNOWN
    evaluation = _Evaluation(tokens, known)
    try:
        value = evaluation.read_any(MAX_DEPTH)
    except _UnreadableError:
        return UNKNOWN
    return value if evaluation.is_at_end() else UNKNOWN


def _split(text: str) -> list[tuple[str, str]] | None:
    """Return kind and text of each token, None where something is no token of GitHub's."""
    if len(text) > MAX_LENGTH:
        return None
    tokens, position, end = [], 0, len(text.rstrip())
    while position < end:
        match = _TOKEN.match(text, position)
        if match is None:
            return None
        tokens.append((str(match.lastgroup), match[match.lastgroup or 0]))
        position = match.end()
    return tokens


class _UnreadableError(Exception):
    """Raised inside this module for an expression that does not follow the grammar."""


class _Evaluation:
    """One pass over the tokens, by recursive descent: `||` binds weakest, then `&&`, comparisons, `!`."""

    def __init__(self, tokens: Sequence[tuple[str, str]], known: Mapping[str, object]) -> None:
        self._tokens = tokens
        self._known = known
        self._position = 0

    def is_at_end(self) -> bool:
        return self._position == len(self._tokens)

    def read_any(self, depth: int) -> object:
        if depth == 0:
            raise _UnreadableError
        value = self._read_all(depth)
        while self._take("||"):
            value = _or(value, self._read_all(depth))
        return value

    def _read_all(self, depth: int) -> object:
        value = self._read_comparison(depth)
        while self._take("&&"):
            value = _and(value, self._read_comparison(depth))
        return value

    def _read_comparison(self, depth: int) -> object:
        value = self._read_negation(depth)
        while True:
            for sign, compare in _COMPARISONS.items():
                if self._take(sign):
                    value = compare(value, self._read_negation(depth))
                    break
            else:
                return value

    def _read_negation(self, depth: int) -> object:
        negations = 0
        while self._take("!"):
            negations += 1
        value = self._read_value(depth)
        if not negations or value is UNKNOWN:
            return value
        return bool(value) == (negations % 2 == 0)

    def _read_value(self, depth: int) -> object:
        if self._take("("):
            value = self.read_any(depth - 1)
            self._demand(")")
            return value
        kind, text = self._next()
        if kind == "text":
            return text[1:-1].replace("''", "'")
        if kind == "number":
            return int(text)
        if kind != "name":
            raise _UnreadableError
        if self._take("("):
            return _call(text, self._read_arguments(depth - 1))
        return self._read_path(text, depth)

    def _read_arguments(self, depth: int) -> list[object]:
        if self._take(")"):
            return []
        arguments = [self.read_any(depth)]
        while self._take(","):
            arguments.append(self.read_any(depth))
        self._demand(")")
        return arguments

    def _read_path(self, first: str, depth: int) -> object:
        parts: list[object] = [first]
        while True:
            if self._take("."):
                kind, text = self._next()
                parts.append(text if kind == "name" else UNKNOWN)
            elif self._take("["):
                parts.append(UNKNOWN if self._take("*") else self.read_any(depth - 1))
                self._demand("]")
            else:
                return self._look_up(parts)

    def _look_up(self, parts: Sequence[object]) -> object:
        if len(parts) == 1 and str(parts[0]).lower() in _CONSTANTS:
            return _CONSTANTS[str(parts[0]).lower()]
        path = ""
        for part in parts:
            if not isinstance(part, str):
                return UNKNOWN
            path = f"{path}.{part.lower()}".removeprefix(".")
            if self._known.get(path, UNKNOWN) is None:
                return None  # GitHub gives null for whatever is below nothing.
        return self._known.get(path, UNKNOWN)

    def _take(self, sign: str) -> bool:
        if not self.is_at_end() and self._tokens[self._position] == ("sign", sign):
            self._position += 1
            return True
        return False

    def _demand(self, sign: str) -> None:
        if not self._take(sign):
            raise _UnreadableError

    def _next(self) -> tuple[str, str]:
        if self.is_at_end():
            raise _UnreadableError
        self._position += 1
        return self._tokens[self._position - 1]


def _or(left: object, right: object) -> object:
    if left is UNKNOWN:
        return True if right is not UNKNOWN and right else UNKNOWN
    return left or right


def _and(left: object, right: object) -> object:
    if left is UNKNOWN:
        return False if right is not UNKNOWN and not right else UNKNOWN
    return left and right


def _equal(left: object, right: object) -> object:
    if isinstance(left, str) and isinstance(right, str):
        return left.casefold() == right.casefold()
    # GitHub compares values of different kinds as numbers; nobody should rely on that, so it stays unknown.
    comparable = type(left) is type(right) and isinstance(left, bool | int | None)
    return left == right if comparable else UNKNOWN


def _not_equal(left: object, right: object) -> object:
    equal = _equal(left, right)
    return UNKNOWN if equal is UNKNOWN else not equal


def _leave_open(*operands: object) -> object:
    del operands
    return UNKNOWN


_COMPARISONS: Final[Mapping[str, Callable[[object, object], object]]] = {
    "==": _equal,
    "!=": _not_equal,
    "<=": _leave_open,
    ">=": _leave_open,
    "<": _leave_open,
    ">": _leave_open,
}


def _call(name: str, arguments: list[object]) -> object:
    function = _FUNCTIONS.get((name.lower(), len(arguments)))
    if function is None or any(argument is UNKNOWN for argument in arguments):
        return UNKNOWN
    return function(*arguments)


def _starts_with(text: object, start: object) -> object:
    return _fold(text).startswith(_fold(start)) if _is_text(text) and _is_text(start) else UNKNOWN


def _ends_with(text: object, end: object) -> object:
    return _fold(text).endswith(_fold(end)) if _is_text(text) and _is_text(end) else UNKNOWN


def _contains(where: object, what: object) -> object:
    if isinstance(where, _Items):
        found = [_equal(item, what) for item in where.values]
        return True if True in found else UNKNOWN if UNKNOWN in found else False
    return _fold(what) in _fold(where) if _is_text(where) and _is_text(what) else UNKNOWN


def _from_json(text: object) -> object:
    try:
        value = json.loads(text) if isinstance(text, str) else UNKNOWN
    except (ValueError, RecursionError):
        return UNKNOWN
    if isinstance(value, list):
        return _Items(values=tuple(value))
    return value if isinstance(value, str | bool | int | None) else UNKNOWN


def _is_text(value: object) -> bool:
    return value is None or isinstance(value, str)


def _fold(value: object) -> str:
    return "" if value is None else str(value).casefold()


_FUNCTIONS: Final[Mapping[tuple[str, int], Callable[..., object]]] = {
    ("always", 0): lambda: True,
    ("startswith", 2): _starts_with,
    ("endswith", 2): _ends_with,
    ("contains", 2): _contains,
    ("fromjson", 1): _from_json,
}
