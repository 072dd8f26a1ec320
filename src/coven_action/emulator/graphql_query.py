"""Parse the part of GraphQL's query language that programs here use, and select from objects what it asks for.

Language: https://spec.graphql.org/October2021/. Known: one anonymous or named query, variables, aliases, arguments and
inline fragments. Everything else (mutations, directives, named fragments) is refused by name, never ignored.
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

_TOKEN: Final = re.compile(
    r'\s+|,|#[^\n]*|(\.\.\.|[{}()\[\]:!$=@|&]|"(?:[^"\\\n]|\\.)*"|-?[0-9]+|[_A-Za-z][_0-9A-Za-z]*)'
)
_MAX_QUERY: Final = 100_000
_MAX_DEPTH: Final = 30
_CONSTANTS: Final[Mapping[str, Any]] = {"true": True, "false": False, "null": None}


class QueryError(Exception):
    """Raised for a query that GitHub, or this part of it, does not answer; `kind` is GitHub's type of error."""

    def __init__(self, message: str, kind: str = "") -> None:
        super().__init__(message)
        self.kind = kind


@dataclass(frozen=True, slots=True)
class Selection:
    """A field to read, or an inline fragment (`name` is empty then, and `on` the type it applies to)."""

    name: str
    alias: str
    arguments: Mapping[str, Any]
    children: "tuple[Selection, ...]"
    on: str = ""


@dataclass(frozen=True, slots=True)
class Node:
    """An object to select from: the type's name, and each field's value or the function of the arguments that gives it."""

    type_name: str
    fields: Mapping[str, Any]


def parse_query(text: str, variables: Mapping[str, Any]) -> tuple[Selection, ...]:
    """Return what a query asks for, its variables put in.

    Raises:
        QueryError: For text that is no query, or one outside the known part of the language.
    """
    if len(text) > _MAX_QUERY:
        raise QueryError("the query is too long")
    return _Parser(_split_tokens(text), variables).parse()


def _split_tokens(text: str) -> list[str]:
    tokens, position = [], 0
    while position < len(text):
        found = _TOKEN.match(text, position)
        if found is None:
            raise QueryError(f'Expected one of the known symbols, actual: "{text[position : position + 10]}"')
        if found[1]:
            tokens.append(found[1])
        position = found.end()
    return tokens


class _Parser:
    """Recursive descent over the tokens, bounded in depth."""

    def __init__(self, tokens: list[str], variables: Mapping[str, Any]) -> None:
        self.tokens = tokens
        self.position = 0
        self.variables = variables

    def peek(self) -> str:
        return self.tokens[self.position] if self.position < len(self.tokens) else ""

    def take(self, expected: str | None = None) -> str:
        token = self.peek()
        if not token or (expected is not None and token != expected):
            raise QueryError(f"Expected {expected or 'more'}, actual: {token or 'end of the query'}")
        self.position += 1
        return token

    def parse(self) -> tuple[Selection, ...]:
        if self.peek() != "{":
            if self.take() != "query":
                raise QueryError("only queries are known to this local GitHub")
            if self.peek() not in {"(", "{"}:
                self.take()
            self.skip_definitions()
        selections = self.parse_selections(0)
        if self.peek():
            raise QueryError(f"one query without named fragments is known here, actual: {self.peek()}")
        return selections

    def skip_definitions(self) -> None:
        """Pass over `($name: Type!, ...)`: values are taken from the variables as they come."""
        if self.peek() != "(":
            return
        while self.take() != ")":
            continue

    def parse_selections(self, depth: int) -> tuple[Selection, ...]:
        if depth > _MAX_DEPTH:
            raise QueryError("the query is nested too deeply")
        self.take("{")
        selections = []
        while self.peek() != "}":
            selections.append(self.parse_selection(depth))
        self.take("}")
        return tuple(selections)

    def parse_selection(self, depth: int) -> Selection:
        if self.peek() == "...":
            self.take()
            self.take("on")
            return Selection("", "", {}, on=self.take(), children=self.parse_selections(depth + 1))
        alias = name = self.take()
        if self.peek() == ":":
            self.take()
            name = self.take()
        arguments = self.parse_arguments() if self.peek() == "(" else {}
        children = self.parse_selections(depth + 1) if self.peek() == "{" else ()
        return Selection(name, alias, arguments, children)

    def parse_arguments(self) -> dict[str, Any]:
        self.take("(")
        arguments = {}
        while self.peek() != ")":
            name = self.take()
            self.take(":")
            arguments[name] = self.parse_value()
        self.take(")")
        return arguments

    def parse_value(self) -> Any:
        word = self.take()
        if word.startswith("$"):
            return self.read_variable(self.take())
        if word.startswith("["):
            return self.parse_list()
        if word.startswith('"'):
            return word[1:-1].replace('\\"', '"').replace("\\\\", "\\")
        if word.lstrip("-").isdecimal():
            return int(word)
        return _CONSTANTS.get(word, word)

    def read_variable(self, name: str) -> Any:
        if name not in self.variables:
            raise QueryError(f"Variable ${name} of the query was provided no value")
        return self.variables[name]

    def parse_list(self) -> list[Any]:
        values = []
        while self.peek() != "]":
            values.append(self.parse_value())
        self.take("]")
        return values


def select(value: Any, selections: tuple[Selection, ...]) -> Any:
    """Return what the selections ask of a value.

    Raises:
        QueryError: For a field the type does not have here.
    """
    if isinstance(value, list):
        return [select(item, selections) for item in value]
    if not isinstance(value, Node):
        return value
    if not selections:
        raise QueryError(f"Field must have selections (it returns {value.type_name} but has no selections.)")
    result: dict[str, Any] = {}
    for selection in selections:
        if not selection.name:
            result |= select(value, selection.children) if selection.on == value.type_name else {}
        elif selection.name == "__typename":
            result[selection.alias] = value.type_name
        else:
            result[selection.alias] = select(_read_field(value, selection), selection.children)
    return result


def _read_field(node: Node, selection: Selection) -> Any:
    if selection.name not in node.fields:
        raise QueryError(f"Field '{selection.name}' doesn't exist on type '{node.type_name}'", "undefinedField")
    value = node.fields[selection.name]
    return value(selection.arguments) if callable(value) else value


def build_connection(type_name: str, items: list[Node], name: str) -> Callable[[Mapping[str, Any]], Node]:
    """Return the function that answers a connection: `first` or `last` must be given, at most 100."""

    def answer(arguments: Mapping[str, Any]) -> Node:
        first, last = arguments.get("first"), arguments.get("last")
        if not isinstance(first, int) and not isinstance(last, int):
            message = f"You must provide a `first` or `last` value to properly paginate the `{name}` connection."
            raise QueryError(message, "MISSING_PAGINATION_BOUNDARIES")
        nodes = items[:first] if isinstance(first, int) else items[max(0, len(items) - int(last or 0)) :]
        info = Node("PageInfo", {"hasNextPage": len(nodes) < len(items), "endCursor": None})
        return Node(type_name, {"nodes": nodes, "totalCount": len(items), "pageInfo": info})

    return answer
