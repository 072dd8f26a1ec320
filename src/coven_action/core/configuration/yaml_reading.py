"""Read one YAML document into a tree that knows where everything was written, and refuse what invites surprise.

Pure. Only the events of pyyaml's parser are used: nothing is constructed, so no tag can name a type, and no alias can
multiply. Refused are duplicate keys, anchors, aliases, tags, directives, merge keys, several documents, keys that are
no text, control and bidirectional characters, more than 64 KiB and deep nesting. All but syntax errors are collected.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

import yaml

from coven_action.core.configuration.mistakes import Mistake, quote
from coven_action.core.configuration.yaml_tree import EMPTY, Entry, MappingNode, Node, Place, Scalar, SequenceNode

_Loader = Any
"""A `yaml.SafeLoader`, of which only parser and resolver are used; they and their events come without types."""

MAX_BYTES: Final = 64 * 1024
"""A configuration of a hundred familiars is below a tenth of this."""

MAX_DEPTH: Final = 20

# Line breaks that only YAML 1.1 knows would make our line numbers differ from an editor's, a lone carriage return lets
# a terminal overwrite what it shows, and bidirectional controls let a file read differently from what it says
# (https://trojansource.codes). The rest is what YAML calls not printable.
_REFUSED_CHARACTER: Final = re.compile(
    r"[^\t\n\r\x20-\x7e\xa0-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]"
    r"|\r(?!\n)|[\u2028\u2029\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069]"
)

_YAML: Final = "tag:yaml.org,2002:"

_KINDS: Final[Mapping[str, str]] = {
    _YAML + "bool": "true or false",
    _YAML + "int": "a number",
    _YAML + "float": "a number",
    _YAML + "null": "nothing",
    _YAML + "timestamp": "a date",
    _YAML + "merge": "a merge key",
    _YAML + "value": "a default key",
}


@dataclass(frozen=True, slots=True)
class YAMLDocument:
    """What was read.

    Args:
        root: The tree; a mapping without keys where the text is empty or could not be read.
        mistakes: What YAML itself or our restrictions refuse.
        lines: The text by lines, for whoever reports a further mistake.
        readable: Whether the tree is complete, so that further checks make sense.
    """

    root: Node
    mistakes: tuple[Mistake, ...]
    lines: tuple[str, ...]
    readable: bool


def read_yaml(text: str) -> YAMLDocument:
    """Return the tree of the one document in `text`, with everything that had to be refused. Never raises."""
    text = text.removeprefix("\ufeff")  # Editors do not count the byte order mark as a column.
    if len(text.encode("utf-8", "surrogatepass")) > MAX_BYTES:
        message = f"the file is larger than {MAX_BYTES // 1024} KiB"
        return YAMLDocument(EMPTY, (Mistake("config-too-large", 1, 1, message),), (), readable=False)
    lines = tuple(re.split(r"\r?\n", text))
    refused = _find_refused_characters(lines)
    if refused:
        return YAMLDocument(EMPTY, refused, lines, readable=False)
    return _Reading(text, lines).document()


def _find_refused_characters(lines: tuple[str, ...]) -> tuple[Mistake, ...]:
    return tuple(
        Mistake(
            "invalid-yaml",
            number,
            match.start() + 1,
            f"the character U+{ord(match[0]):04X} is not allowed",
            note="remove it; inside quotation marks it may be written as an escape",
            source_line=line,
        )
        for number, line in enumerate(lines, 1)
        for match in _REFUSED_CHARACTER.finditer(line)
    )


class _UnreadableError(Exception):
    """Raised inside this module when the tree cannot be completed; the mistake is already noted."""


@dataclass
class _Reading:
    """One pass over the parser's events."""

    text: str
    lines: tuple[str, ...]
    mistakes: list[Mistake] = field(default_factory=list)

    def document(self) -> YAMLDocument:
        loader: _Loader = yaml.SafeLoader(self.text)
        try:
            root = self._read_stream(loader)
        except _UnreadableError:
            return YAMLDocument(EMPTY, tuple(self.mistakes), self.lines, readable=False)
        except yaml.MarkedYAMLError as error:
            self._refuse_syntax(error.problem_mark, str(error.problem))
            return YAMLDocument(EMPTY, tuple(self.mistakes), self.lines, readable=False)
        except (ValueError, OverflowError):
            # pyyaml lets Python's own complaint through for an escape such as "\Uffffffff" or a `%YAML` number of
            # thousands of digits.
            self._refuse_syntax(loader.get_mark(), "an escape or number is out of range")
            return YAMLDocument(EMPTY, tuple(self.mistakes), self.lines, readable=False)
        finally:
            loader.dispose()
        return YAMLDocument(root, tuple(self.mistakes), self.lines, readable=True)

    def _read_stream(self, loader: _Loader) -> Node:
        loader.get_event()  # the start of the stream
        root = EMPTY if loader.check_event(yaml.StreamEndEvent) else self._read_document(loader)
        if not loader.check_event(yaml.StreamEndEvent):
            place = self._place(loader.peek_event().start_mark)
            self._refuse("yaml-feature", place, "a second document begins here", "write everything in one document")
        return root

    def _read_document(self, loader: _Loader) -> Node:
        start = loader.get_event()
        if start.version or start.tags:
            place = self._place(start.start_mark)
            self._refuse("yaml-feature", place, "a YAML directive is not allowed here", "remove the line")
        root = self._read_node(loader, MAX_DEPTH)
        loader.get_event()  # the end of the document
        return root

    def _read_node(self, loader: _Loader, depth: int) -> Node:
        event = loader.get_event()
        place = self._place(event.start_mark, event.end_mark)
        if depth == 0:
            self._refuse("yaml-feature", place, f"this is nested deeper than {MAX_DEPTH} levels", "flatten it")
            raise _UnreadableError
        if event.anchor is not None or getattr(event, "tag", None) is not None:
            self._refuse_node_property(event, place)
        if isinstance(event, yaml.MappingStartEvent):
            return self._read_mapping(loader, place, depth)
        if isinstance(event, yaml.SequenceStartEvent):
            return self._read_sequence(loader, place, depth)
        return _build_scalar(loader, event, place)

    def _refuse_node_property(self, event: Any, place: Place) -> None:
        """Refuse an alias, an anchor or a tag: the file then says in one place what it means in another."""
        if isinstance(event, yaml.AliasEvent):
            message, note = f"the alias {quote(f'*{event.anchor}')} is not allowed here", "write the value out"
        elif event.anchor is not None:
            message, note = f"the anchor {quote(f'&{event.anchor}')} is not allowed here", "remove it"
        else:
            message, note = (
                f"the tag {quote(event.tag.replace(_YAML, '!!'))} is not allowed here",
                "remove it; text needs no tag",
            )
        self._refuse("yaml-feature", place, message, note)

    def _read_sequence(self, loader: _Loader, place: Place, depth: int) -> SequenceNode:
        items = []
        while not loader.check_event(yaml.SequenceEndEvent):
            items.append(self._read_node(loader, depth - 1))
        loader.get_event()
        return SequenceNode(place, tuple(items))

    def _read_mapping(self, loader: _Loader, place: Place, depth: int) -> MappingNode:
        entries: dict[str, Entry] = {}
        while not loader.check_event(yaml.MappingEndEvent):
            key = self._read_node(loader, depth - 1)
            value = self._read_node(loader, depth - 1)
            if not isinstance(key, Scalar):
                self._refuse("yaml-feature", key.place, "a key must be one word", "write one word before the colon")
            elif key.text in entries:
                self._refuse_duplicate(key, entries[key.text].key)
            else:
                self._check_key(key)
                entries[key.text] = Entry(key, value)
        loader.get_event()
        return MappingNode(place, entries)

    def _check_key(self, key: Scalar) -> None:
        if key.kind in ("text", "an alias"):  # An alias is refused already, wherever it stands.
            return
        quoted = quote(key.text)
        message = f"YAML reads the key {quoted} as {key.kind}"
        note = (
            "write keys out; nothing is merged" if key.kind == "a merge key" else f"write {quoted} in quotation marks"
        )
        self._refuse("yaml-feature", key.place, message, note)

    def _refuse_duplicate(self, key: Scalar, first: Scalar) -> None:
        note = f"first written in line {first.place.line}; keep one"
        self._refuse("duplicate-key", key.place, f"the key {quote(key.text)} is written twice", note)

    def _refuse_syntax(self, mark: Any, problem: str) -> None:
        # The parser's own words may repeat a character of the file, so they are quoted like any of its text.
        self._refuse("invalid-yaml", self._place(mark), "this is not valid YAML", quote(problem)[1:-1])

    def _refuse(self, code: str, place: Place, message: str, note: str) -> None:
        source_line = self.lines[place.line - 1]
        self.mistakes.append(Mistake(code, place.line, place.column, message, note, source_line, place.length))

    def _place(self, start: Any, end: Any = None) -> Place:
        """Return where something stands; what goes on over the next lines is underlined to the end of its first."""
        line = self.lines[start.line]
        column = min(start.column, len(line))
        last = column + 1 if end is None else end.column if end.line == start.line else len(line)
        return Place(start.line + 1, column + 1, max(1, last - column))


def _build_scalar(loader: _Loader, event: Any, place: Place) -> Scalar:
    if isinstance(event, yaml.AliasEvent):
        return Scalar(place, f"*{event.anchor}", "an alias", quoted=False)
    tag = loader.resolve(yaml.ScalarNode, event.value, event.implicit)
    return Scalar(place, event.value, _KINDS.get(tag, "text"), quoted=event.style is not None)
