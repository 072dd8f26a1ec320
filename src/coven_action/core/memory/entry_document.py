"""What may be written at the head of an entry's file: keys, kinds of values, defaults, and the rules between keys. Pure.

The file is `.github/coven/memory/<namespace>/<name>.md`: front matter between two lines of three hyphens, then the text.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import date
from typing import Annotated, Any, Final

from pydantic import Field

from coven_action.core.configuration.document import ANY
from coven_action.core.configuration.mistakes import quote
from coven_action.core.configuration.rules import Finding
from coven_action.core.configuration.value_types import (
    Choice,
    Text,
    TruthValue,
    WholeNumber,
    WrittenValue,
    build_refusal,
    build_wrong_type,
)
from coven_action.core.configuration.yaml_tree import Misread
from coven_action.core.memory.entries import (
    KINDS,
    MAX_CITATIONS,
    MAX_CITED_LINES,
    MAX_LINE_NUMBER,
    EntryKind,
    EntryScope,
    is_citable,
)
from coven_action.core.records import Record

MAX_BRANCHES: Final = 20

_GITHUB_ID: Final = WholeNumber(1, 2**53 - 1, "as GitHub numbers runs")
_NUMBER: Final = WholeNumber(1, 2**31 - 1, "as GitHub numbers pull requests")
_LINE: Final = WholeNumber(1, MAX_LINE_NUMBER, "a line number")
_PERSON: Final = Text(100, r".+", "a person is 1 to 100 characters on one line")
_BRANCH: Final = Text(244, r"[^\s~^:?*\[\\]+", "write a branch's name, without patterns")
_SHA256: Final = Text(64, r"[0-9a-f]{64}", "it is computed by `coven-action memory add`, 64 hexadecimal digits")


@dataclass(frozen=True, slots=True)
class CalendarDate(WrittenValue):
    """A day such as 2027-01-31. YAML takes the plain word for a date of its own, which is the same day here."""

    def parse(self, value: object) -> date:
        """Return the day."""
        text = value.text if isinstance(value, Misread) else value
        if not isinstance(text, str):
            raise build_wrong_type("a date such as 2027-01-31")
        if not re.fullmatch(r"[0-9]{4}-[0-9]{2}-[0-9]{2}", text):
            raise build_refusal("invalid-value", f"is {quote(text)}; write a date such as 2027-01-31")
        try:
            return date.fromisoformat(text)
        except ValueError as error:
            raise build_refusal("invalid-value", f"is {quote(text)}, a day that does not exist") from error

    def json_schema(self) -> dict[str, Any]:
        """Return a string in the form of RFC 3339's full date."""
        return {"type": "string", "format": "date"}


@dataclass(frozen=True, slots=True)
class TreePath(WrittenValue):
    """A path of the repository that may be cited."""

    def parse(self, value: object) -> str:
        """Return the path unchanged."""
        if not isinstance(value, str):
            raise build_wrong_type("text")
        if not is_citable(value):
            advice = (
                "write the path of a file from the repository's top folder, with `/`; memory and .git prove nothing"
            )
            raise build_refusal("invalid-value", f"is {quote(value)}; {advice}")
        return value

    def json_schema(self) -> dict[str, Any]:
        """Return a string with its length."""
        return {"type": "string", "minLength": 1, "maxLength": 400}


class WrittenCitation(Record):
    """Lines that show what the text says."""

    path: Annotated[str, TreePath()]
    start: Annotated[int, _LINE]
    end: Annotated[int, _LINE]
    sha256: Annotated[str, _SHA256]


class WrittenSource(Record):
    """Where the entry comes from."""

    run: Annotated[int | None, _GITHUB_ID] = None
    pull_request: Annotated[int | None, _NUMBER] = None
    person: Annotated[str | None, _PERSON] = None


class WrittenEntry(Record):
    """The front matter."""

    kind: Annotated[EntryKind, Choice(KINDS)]
    scope: Annotated[EntryScope, Choice(("repo",))] = "repo"
    shareable: Annotated[bool, TruthValue()] = False
    branches: tuple[Annotated[str, _BRANCH], ...] = Field(default=(), min_length=1, max_length=MAX_BRANCHES)
    source: WrittenSource
    citations: tuple[WrittenCitation, ...] = Field(min_length=1, max_length=MAX_CITATIONS)
    expires: Annotated[date | None, CalendarDate()] = None


SECTIONS: Final[Mapping[tuple[str, ...], type[Record]]] = {
    (): WrittenEntry,
    ("source",): WrittenSource,
    ("citations", ANY): WrittenCitation,
}
"""Every mapping of the front matter that has keys of ours."""


def find_rule_mistakes(document: Mapping[str, Any]) -> Iterator[Finding]:
    """Yield what the keys of the front matter say against one another; tolerant of what has another shape."""
    source = document.get("source")
    if isinstance(source, dict) and ("person" in source) == ("run" in source):
        note = "write `person: login`, or `run: id` with its `pull_request: number`"
        yield Finding("invalid-value", ("source",), "names a run or a person, one of them", note)
    citations = document.get("citations")
    for position, citation in enumerate(citations if isinstance(citations, tuple) else ()):
        if isinstance(citation, dict):
            yield from _check_range(position, citation.get("start"), citation.get("end"))


def _check_range(position: int, start: object, end: object) -> Iterator[Finding]:
    if type(start) is int and type(end) is int and not start <= end < start + MAX_CITED_LINES:
        sentence = f"is {end}; write {start} to {start + MAX_CITED_LINES - 1}: the range begins at {start}"
        yield Finding("out-of-range", ("citations", position, "end"), sentence)
