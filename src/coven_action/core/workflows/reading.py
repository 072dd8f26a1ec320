"""Read a workflow file into a tree that knows where everything was written.

Pure. Unlike a configuration of ours, a workflow may use anchors and aliases, and its key `on` is a word that YAML 1.1
takes for a truth value. Aliases are followed, within a bound, so that no file can multiply itself into our memory.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import yaml

from coven_action.core.configuration.yaml_tree import EMPTY, Entry, MappingNode, Node, Place, Scalar, SequenceNode

MAX_BYTES: Final = 256 * 1024
MAX_NODES: Final = 20_000
MAX_DEPTH: Final = 40

_KINDS: Final[Mapping[str, str]] = {"tag:yaml.org,2002:null": "nothing"}


@dataclass(frozen=True, slots=True)
class Unreadable:
    """Why a workflow, or a key in it, cannot be read.

    Args:
        line: Line, from 1.
        column: Column, from 1.
        reason: One sentence, without a full stop; free of the file's own words.
    """

    line: int
    column: int
    reason: str


@dataclass(frozen=True, slots=True)
class WorkflowText:
    """A workflow file as read.

    Args:
        path: As a person knows it.
        root: Its tree; a mapping without keys where it could not be read.
        lines: Its lines.
        mistakes: What could not be read.
    """

    path: str
    root: Node
    lines: tuple[str, ...] = ()
    mistakes: tuple[Unreadable, ...] = ()


def read_workflow(text: str, *, path: str) -> WorkflowText:
    """Return the tree of a workflow file. Never raises: what cannot be read is told in `mistakes`."""
    if len(text.encode("utf-8", "surrogatepass")) > MAX_BYTES:
        return WorkflowText(
            path, EMPTY, mistakes=(Unreadable(1, 1, f"the file is larger than {MAX_BYTES // 1024} KiB"),)
        )
    lines = tuple(re.split(r"\r?\n", text))
    try:
        node: Any = yaml.compose(text, Loader=yaml.SafeLoader)
    except yaml.MarkedYAMLError as error:
        mark: Any = error.problem_mark or error.context_mark
        mistake = Unreadable(mark.line + 1, mark.column + 1, "this is not valid YAML")
        return WorkflowText(path, EMPTY, lines, (mistake,))
    except (yaml.YAMLError, ValueError, OverflowError, RecursionError):
        # A character that YAML does not allow, an escape out of range, brackets by the thousand.
        return WorkflowText(path, EMPTY, lines, (Unreadable(1, 1, "this is not valid YAML"),))
    reading = _Reading()
    try:
        root = EMPTY if node is None else reading.convert(node, MAX_DEPTH)
    except _TooLargeError:
        mistake = Unreadable(1, 1, "the file is nested too deeply, or its aliases make it too large")
        return WorkflowText(path, EMPTY, lines, (mistake,))
    return WorkflowText(path, root, lines, tuple(reading.mistakes))


class _TooLargeError(Exception):
    """Raised inside this module when the tree passes its bounds."""


class _Reading:
    """The conversion of one file; counts what it has made, because an alias is converted wherever it stands."""

    def __init__(self) -> None:
        self.mistakes: list[Unreadable] = []
        self._nodes = 0

    def convert(self, node: Any, depth: int) -> Node:
        self._nodes += 1
        if depth == 0 or self._nodes > MAX_NODES:
            raise _TooLargeError
        place = _find_place(node)
        if isinstance(node, yaml.MappingNode):
            return self._convert_mapping(node, place, depth)
        if isinstance(node, yaml.SequenceNode):
            return SequenceNode(place, tuple(self.convert(item, depth - 1) for item in node.value))
        return Scalar(place, node.value, _KINDS.get(node.tag, "text"), quoted=node.style is not None)

    def _convert_mapping(self, node: Any, place: Place, depth: int) -> MappingNode:
        entries: dict[str, Entry] = {}
        for key_node, value_node in node.value:
            key = self.convert(key_node, depth - 1)
            value = self.convert(value_node, depth - 1)
            if not isinstance(key, Scalar):
                self.mistakes.append(Unreadable(key.place.line, key.place.column, "a key must be one word"))
            elif key.text in entries:
                self.mistakes.append(Unreadable(key.place.line, key.place.column, "this key is written twice"))
            else:
                entries[key.text] = Entry(key, value)
        return MappingNode(place, entries)


def _find_place(node: Any) -> Place:
    start, end = node.start_mark, node.end_mark
    length = end.column - start.column if end.line == start.line else 1
    return Place(start.line + 1, start.column + 1, max(1, length))
