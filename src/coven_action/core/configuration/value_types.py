"""The kinds of values a configuration may hold: what is accepted, what is said otherwise, and how an editor is told.

Pure. Each kind is one small value that pydantic meets inside `Annotated[...]`. It refuses with a `PydanticCustomError`
whose type is a code of `errors.CODES` and whose context holds a `sentence` that follows the key's name, and a `note`.
"""

import re
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final

from pydantic import GetCoreSchemaHandler, GetJsonSchemaHandler
from pydantic_core import CoreSchema, PydanticCustomError, core_schema

from coven_action.core.configuration.mistakes import quote, render_allowed
from coven_action.core.configuration.quantities import (
    DURATION_PATTERN,
    MONEY_PATTERN,
    SIZE_PATTERN,
    parse_duration,
    parse_money,
    parse_size,
)
from coven_action.core.configuration.yaml_tree import Misread

_ZERO_WIDTH_JOINER: Final = "\u200d"  # It holds compound emoji together, which people do use in labels.


def build_refusal(code: str, sentence: str, note: str = "") -> PydanticCustomError:
    """Return the error that carries one of our codes through pydantic."""
    return PydanticCustomError(code, "{sentence}", {"sentence": sentence, "note": note})


def build_wrong_type(expected: str) -> PydanticCustomError:
    """Return the error for a value of another kind; the sentence is made where the YAML node is known."""
    return PydanticCustomError("wrong-type", "must be {expected}", {"expected": expected})


def render_value(value: object) -> str:
    """Return a scalar as a message repeats it: text between quotation marks, anything else as YAML writes it."""
    if isinstance(value, Misread):
        return quote(value.text)[1:-1]
    return quote(value) if isinstance(value, str) else str(value).lower()


class WrittenValue(ABC):
    """A kind of value, as pydantic meets it in an annotation."""

    @abstractmethod
    def parse(self, value: object) -> object:
        """Return what `value` means, or raise the `PydanticCustomError` that says what is wrong with it."""

    @abstractmethod
    def json_schema(self) -> dict[str, Any]:
        """Return the JSON Schema of the value as it is written."""

    def __get_pydantic_core_schema__(self, source: object, handler: GetCoreSchemaHandler) -> CoreSchema:
        return core_schema.no_info_plain_validator_function(self.parse)

    def __get_pydantic_json_schema__(self, schema: CoreSchema, handler: GetJsonSchemaHandler) -> dict[str, Any]:
        return self.json_schema()


@dataclass(frozen=True, slots=True)
class Text(WrittenValue):
    """Printable text on one line.

    Args:
        max_length: In characters.
        pattern: What the whole text must match.
        advice: What to write, after `; `.
    """

    max_length: int
    pattern: str
    advice: str

    def parse(self, value: object) -> str:
        """Return the text unchanged."""
        if not isinstance(value, str):
            raise build_wrong_type("text")
        if not value.strip():
            raise build_refusal("invalid-value", f"is empty; {self.advice}")
        if len(value) > self.max_length:
            raise build_refusal("invalid-value", f"is {len(value)} characters long; {self.advice}")
        if not value.replace(_ZERO_WIDTH_JOINER, "").isprintable():
            raise build_refusal("invalid-value", f"is {quote(value)}, which holds invisible characters; {self.advice}")
        if not re.fullmatch(self.pattern, value):
            raise build_refusal("invalid-value", f"is {quote(value)}; {self.advice}")
        return value

    def json_schema(self) -> dict[str, Any]:
        """Return a string with its length and, anchored, its pattern."""
        return {"type": "string", "minLength": 1, "maxLength": self.max_length, "pattern": f"^(?:{self.pattern})$"}


@dataclass(frozen=True, slots=True)
class Choice(WrittenValue):
    """One of a few words or numbers."""

    allowed: tuple[str | int, ...]

    def parse(self, value: object) -> str | int:
        """Return the choice unchanged; `true` is not 1 here, whatever Python thinks."""
        kinds = {type(choice) for choice in self.allowed}
        if type(value) not in kinds:
            raise build_wrong_type("text" if str in kinds else "a whole number")
        if value not in self.allowed:
            words = [str(choice) for choice in self.allowed]
            raise build_refusal("invalid-value", f"is {render_value(value)}", render_allowed(str(value), words))
        return value

    def json_schema(self) -> dict[str, Any]:
        """Return the closed list."""
        return {"enum": list(self.allowed)}


@dataclass(frozen=True, slots=True)
class TruthValue(WrittenValue):
    """true or false, as YAML writes them; nothing else stands for either."""

    def parse(self, value: object) -> bool:
        """Return the value unchanged."""
        if not isinstance(value, bool):
            raise build_wrong_type("true or false")
        return value

    def json_schema(self) -> dict[str, Any]:
        """Return a boolean."""
        return {"type": "boolean"}


@dataclass(frozen=True, slots=True)
class WholeNumber(WrittenValue):
    """A whole number within bounds, each there for a reason."""

    minimum: int
    maximum: int
    reason: str

    def parse(self, value: object) -> int:
        """Return the number unchanged."""
        if type(value) is not int:
            raise build_wrong_type("a whole number")
        if not self.minimum <= value <= self.maximum:
            sentence = f"is {value}; write {self.minimum} to {self.maximum}: {self.reason}"
            raise build_refusal("out-of-range", sentence)
        return value

    def json_schema(self) -> dict[str, Any]:
        """Return an integer with its bounds."""
        return {"type": "integer", "minimum": self.minimum, "maximum": self.maximum}


@dataclass(frozen=True, slots=True)
class Quantity(WrittenValue):
    """A number with a unit, within bounds; its value is a plain number of seconds, bytes or cents.

    Args:
        code: The code where the unit or the form is wrong.
        read: From the text to the number; raises `ValueError` with advice.
        pattern: What `read` accepts, for editors.
        minimum: As written.
        maximum: As written.
        reason: Why these bounds.
    """

    code: str
    read: Callable[[str], int]
    pattern: str
    minimum: str
    maximum: str
    reason: str

    def parse(self, value: object) -> int:
        """Return the seconds, bytes or cents."""
        if isinstance(value, dict | tuple) or value is None:
            raise build_wrong_type("text")
        try:
            amount = self.read(value) if isinstance(value, str) else self.read("")
        except ValueError as error:
            raise build_refusal(self.code, f"is {render_value(value)}; {error}") from error
        if not self.read(self.minimum) <= amount <= self.read(self.maximum):
            sentence = f"is {render_value(value)}; write {self.minimum} to {self.maximum}: {self.reason}"
            raise build_refusal("out-of-range", sentence)
        return amount

    def json_schema(self) -> dict[str, Any]:
        """Return the written form; bounds over mixed units are beyond a pattern, so they are only described."""
        return {"type": "string", "pattern": f"^{self.pattern}$", "examples": [self.minimum, self.maximum]}


def build_duration(minimum: str, maximum: str, reason: str) -> Quantity:
    """Return the kind of a duration such as `30m`, in seconds."""
    return Quantity("invalid-duration", parse_duration, DURATION_PATTERN, minimum, maximum, reason)


def build_size(minimum: str, maximum: str, reason: str) -> Quantity:
    """Return the kind of a size such as `4MiB`, in bytes."""
    return Quantity("invalid-size", parse_size, SIZE_PATTERN, minimum, maximum, reason)


def build_money(minimum: str, maximum: str, reason: str) -> Quantity:
    """Return the kind of an amount of money such as `5 USD`, in cents."""
    return Quantity("invalid-money", parse_money, MONEY_PATTERN, minimum, maximum, reason)


@dataclass(frozen=True, slots=True)
class ReservedText(WrittenValue):
    """Text of a kind, except some words that mean something else.

    Args:
        text: The kind.
        reserved: The words.
        reason: What they mean.
    """

    text: Text
    reserved: Sequence[str]
    reason: str

    def parse(self, value: object) -> str:
        """Return the text unchanged."""
        text = self.text.parse(value)
        if text in self.reserved:
            raise build_refusal("invalid-value", f"is {quote(text)}; {self.reason}")
        return text

    def json_schema(self) -> dict[str, Any]:
        """Return the schema of the text without the reserved words."""
        return {**self.text.json_schema(), "not": {"enum": list(self.reserved)}}


@dataclass(frozen=True, slots=True)
class CheckedText(WrittenValue):
    """Text of a kind that a rule has something further to say about.

    Args:
        text: The kind.
        find_mistakes: Rules in their order; each says what is wrong, after `; `, or "".
    """

    text: Text
    find_mistakes: Sequence[Callable[[str], str]]

    def parse(self, value: object) -> str:
        """Return the text unchanged."""
        text = self.text.parse(value)
        for find_mistake in self.find_mistakes:
            mistake = find_mistake(text)
            if mistake:
                raise build_refusal("invalid-value", f"is {quote(text)}; {mistake}")
        return text

    def json_schema(self) -> dict[str, Any]:
        """Return the schema of the text; the rules are beyond a pattern."""
        return self.text.json_schema()
