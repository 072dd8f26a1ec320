"""A YAML document as a tree that knows where everything was written.

Pure. YAML 1.1, which pyyaml speaks, reads `on`, `1:30` and `0o7` as something other than text. Such a value is kept as
`Misread`, so that whoever reads the tree can say what happened instead of going on with a surprise.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

_DECIMAL: Final = re.compile(r"0|-?[1-9][0-9]{0,17}")


@dataclass(frozen=True, slots=True)
class Place:
    """Where something was written: line and column from 1, and how many characters of that line it covers."""

    line: int
    column: int
    length: int = 1


@dataclass(frozen=True, slots=True)
class Misread:
    """A word that YAML 1.1 takes for something other than text, and that no setting of ours means."""

    text: str


@dataclass(frozen=True, slots=True)
class Scalar:
    """One word or number.

    Args:
        place: Where it stands.
        text: As written, without quotation marks.
        kind: What YAML reads it as: `text`, `true or false`, `a number`, `nothing`, `a date`, …
        quoted: Whether it was written in quotation marks or as a block of text.
    """

    place: Place
    text: str
    kind: str
    quoted: bool

    @property
    def value(self) -> str | int | bool | Misread | None:
        """The value a reader expects: text, a decimal number, true, false or nothing; `Misread` for the rest."""
        if self.kind == "text":
            return self.text
        if self.kind == "nothing":
            return None
        if self.text in ("true", "false"):
            return self.text == "true"
        return int(self.text) if _DECIMAL.fullmatch(self.text) else Misread(self.text)


@dataclass(frozen=True, slots=True)
class Entry:
    """One key with its value."""

    key: Scalar
    value: "Node"


@dataclass(frozen=True, slots=True)
class MappingNode:
    """Keys with their values, each key once."""

    place: Place
    entries: Mapping[str, Entry]

    @property
    def value(self) -> dict[str, Any]:
        """The plain mapping, without places."""
        return {key: entry.value.value for key, entry in self.entries.items()}


@dataclass(frozen=True, slots=True)
class SequenceNode:
    """A list."""

    place: Place
    items: tuple["Node", ...]

    @property
    def value(self) -> tuple[Any, ...]:
        """The plain list, without places; a tuple, because our models are frozen."""
        return tuple(item.value for item in self.items)


Node = Scalar | MappingNode | SequenceNode


EMPTY: Final = MappingNode(Place(1, 1), {})
"""The tree of a text that says nothing: a mapping without keys."""


def find_node(root: Node, location: Iterable[str | int]) -> Node:
    """Return the value at a path of keys and positions; the nearest above it where the path leads nowhere."""
    return _follow(root, location)[1]


def find_place(root: Node, location: Sequence[str | int], *, at_key: bool = False) -> Place:
    """Return where a path stands: its value, or its key; for a key that is missing, the key it is missing under."""
    key_place, node, complete = _follow(root, location)
    return node.place if complete and not at_key else key_place


def _follow(root: Node, location: Iterable[str | int]) -> tuple[Place, Node, bool]:
    """Return the place of the last key found, its value, and whether the whole path was found."""
    key_place, node = Place(1, 1), root
    for part in location:
        child = _find_child(node, part)
        if child is None:
            return key_place, node, False
        key_place, node = child
    return key_place, node, True


def _find_child(node: Node, part: str | int) -> tuple[Place, Node] | None:
    if isinstance(node, MappingNode) and isinstance(part, str) and part in node.entries:
        entry = node.entries[part]
        return entry.key.place, entry.value
    if isinstance(node, SequenceNode) and isinstance(part, int) and part < len(node.items):
        return node.items[part].place, node.items[part]
    return None
