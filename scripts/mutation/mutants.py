"""Every small fault that is planted into a module, one at a time. Pure: a syntax tree in, mutants out.

Beside conditions and numbers the *tables* are mutated (each row and each element of a collection is left out once),
because most rules of this project are tables, which tools that mutate functions alone never touch. A sentence for people
is emptied rather than changed: that something is said is tested, its wording is free.
"""

import ast
import copy
import re
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from types import CodeType
from typing import Any, cast

Replacement = tuple[str, ast.AST]
_Setter = Callable[[Any], None]

_COMPARISONS: dict[type[ast.cmpop], tuple[type[ast.cmpop], ...]] = {
    ast.Eq: (ast.NotEq,),
    ast.NotEq: (ast.Eq,),
    ast.Lt: (ast.LtE, ast.GtE),
    ast.LtE: (ast.Lt, ast.Gt),
    ast.Gt: (ast.GtE, ast.LtE),
    ast.GtE: (ast.Gt, ast.Lt),
    ast.In: (ast.NotIn,),
    ast.NotIn: (ast.In,),
    ast.Is: (ast.IsNot,),
    ast.IsNot: (ast.Is,),
}
_OPERATORS: dict[type[ast.operator], type[ast.operator]] = {
    ast.Add: ast.Sub,
    ast.Sub: ast.Add,
    ast.Mult: ast.FloorDiv,
    ast.FloorDiv: ast.Mult,
    ast.BitOr: ast.BitAnd,
    ast.BitAnd: ast.BitOr,
}
_OTHER_FUNCTIONS = {"min": "max", "max": "min", "any": "all", "all": "any", "sorted": "list", "reversed": "list"}
_OTHER_METHODS = {
    "startswith": "endswith",
    "endswith": "startswith",
    "fullmatch": "match",
    "split": "rsplit",
    "partition": "rpartition",
    "rpartition": "partition",
}
# Left out, these leave a text as an attacker wrote it.
_NORMALISERS = frozenset(
    {"casefold", "lower", "lstrip", "removeprefix", "removesuffix", "replace", "rstrip", "strip", "upper"}
)
# What stands in their brackets is for the type checker, not for the program.
_TYPE_FORMS = frozenset(
    {
        "Callable",
        "Final",
        "Iterable",
        "Iterator",
        "Mapping",
        "Sequence",
        "dict",
        "frozenset",
        "list",
        "set",
        "tuple",
        "type",
    }
)


@dataclass(frozen=True, slots=True)
class Mutant:
    """One planted fault.

    Args:
        name: What is changed and where, without line numbers: it stays the same while the code around it changes.
        line: Where, in the file as it is now.
        function: First line of the outermost function whose body holds the change; 0 where none does.
        code: The whole module with the fault.
    """

    name: str
    line: int
    function: int
    code: CodeType


@dataclass(frozen=True, slots=True)
class _Place:
    """A node, how to put another in its place, and where it stands."""

    node: ast.AST
    put: _Setter
    scope: str
    function: int


def iterate_mutants(source: str, file_name: str) -> Iterator[Mutant]:
    """Yield every mutant of a module that is not the same program."""
    tree = ast.parse(source)
    original = compile(source, file_name, "exec")
    seen: Counter[str] = Counter()
    for place in list(_walk(tree, "module", 0)):
        for label, replacement in _replace(place.node):
            place.put(ast.fix_missing_locations(ast.copy_location(replacement, place.node)))
            code = compile(tree, file_name, "exec")
            place.put(place.node)
            if code != original:
                name = f"{place.scope}: {label}"
                seen[name] += 1
                numbered = f"{name} ({seen[name]})" if seen[name] > 1 else name
                yield Mutant(numbered, getattr(place.node, "lineno", 0), place.function, code)


def _walk(node: ast.AST, scope: str, function: int) -> Iterator[_Place]:
    for name, value in ast.iter_fields(node):
        if (type(node), name) in _LEFT_ALONE or _is_type_form(node, name):
            continue
        if isinstance(value, list):
            for index, child in enumerate(value):
                if isinstance(child, ast.AST) and not _is_docstring(child) and not _is_part(child, node):
                    yield from _visit(child, _put_item(value, index), name, scope, function)
        elif isinstance(value, ast.AST):
            yield from _visit(value, _put_field(node, name), name, scope, function)


def _visit(child: ast.AST, put: _Setter, field: str, scope: str, function: int) -> Iterator[_Place]:
    if field == "annotation":
        # Of a type, only what checks at run time is mutated: `Field(...)`, validators, `Literal[...]`.
        for place in _walk(child, scope, function):
            if isinstance(place.node, ast.Call) or _is_inside_check(place.node, child):
                yield place
        return
    yield _Place(child, put, scope, function)
    if isinstance(child, ast.FunctionDef | ast.ClassDef):
        inner = child.name if scope == "module" else f"{scope}.{child.name}"
        starts = min([child.lineno, *(one.lineno for one in child.decorator_list)])
        is_function = isinstance(child, ast.FunctionDef)
        for place in _walk(child, inner, function):
            in_body = is_function and _is_in_body(place.node, cast("ast.FunctionDef", child))
            yield _Place(place.node, place.put, place.scope, starts if in_body else place.function)
    else:
        yield from _walk(child, scope, function)


def _is_in_body(node: ast.AST, function: ast.FunctionDef) -> bool:
    return any(node is inner for statement in function.body for inner in ast.walk(statement))


def _is_inside_check(node: ast.AST, annotation: ast.AST) -> bool:
    holders = [one for one in ast.walk(annotation) if isinstance(one, ast.Call) or _names(one, "Literal")]
    return any(node is inner for holder in holders for inner in ast.walk(holder) if inner is not holder)


def _names(node: ast.AST, name: str) -> bool:
    return isinstance(node, ast.Subscript) and isinstance(node.value, ast.Name) and node.value.id == name


def _put_item(values: list[Any], index: int) -> _Setter:
    return lambda node: values.__setitem__(index, node)


def _put_field(holder: ast.AST, field: str) -> _Setter:
    return lambda node: setattr(holder, field, node)


def _is_docstring(node: ast.AST) -> bool:
    return isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)


def _is_part(child: ast.AST, holder: ast.AST) -> bool:
    """Whether a text is mutated together with what holds it: a row of a table, a piece of a sentence."""
    if isinstance(holder, ast.JoinedStr):
        return _is_sentence_with_values(holder)
    if not isinstance(child, ast.Constant):
        return False
    return isinstance(holder, ast.Set | ast.List | ast.Tuple) and all(
        isinstance(one, ast.Constant) for one in holder.elts
    )


def _is_type_form(node: ast.AST, field: str) -> bool:
    return field == "slice" and any(_names(node, name) for name in _TYPE_FORMS)


_LEFT_ALONE = {
    (ast.arg, "annotation"),
    (ast.FunctionDef, "returns"),
    (ast.FunctionDef, "decorator_list"),
    (ast.ClassDef, "decorator_list"),
    (ast.ClassDef, "bases"),
    (ast.Dict, "keys"),
    (ast.FormattedValue, "format_spec"),
}


def _replace(node: ast.AST) -> Iterator[Replacement]:
    """Yield what may stand in place of a node, each with a name."""
    for label, replacement in _MUTATORS.get(type(node), _nothing)(node):
        if label:
            yield label, replacement
        else:
            yield f"{ast.unparse(node)} -> {ast.unparse(replacement) or repr('')}", replacement


def _nothing(node: ast.AST) -> Iterator[Replacement]:
    del node
    yield from ()


def _with(node: ast.AST, **fields: object) -> ast.AST:
    changed = copy.copy(node)
    for name, value in fields.items():
        setattr(changed, name, value)
    return changed


def _without(values: list[Any], index: int) -> list[Any]:
    return values[:index] + values[index + 1 :]


def _compare(node: ast.Compare) -> Iterator[Replacement]:
    for index, operator in enumerate(node.ops):
        for other in _COMPARISONS[type(operator)]:
            yield "", _with(node, ops=[*node.ops[:index], other(), *node.ops[index + 1 :]])


def _boolean(node: ast.BoolOp) -> Iterator[Replacement]:
    yield "", _with(node, op=ast.Or() if isinstance(node.op, ast.And) else ast.And())
    for index in range(len(node.values)):
        rest = _without(node.values, index)
        yield "", _with(node, values=rest) if len(rest) > 1 else rest[0]


def _unary(node: ast.UnaryOp) -> Iterator[Replacement]:
    yield "", node.operand


def _binary(node: ast.BinOp | ast.AugAssign) -> Iterator[Replacement]:
    if type(node.op) in _OPERATORS:
        yield "", _with(node, op=_OPERATORS[type(node.op)]())


def _constant(node: ast.Constant) -> Iterator[Replacement]:
    value = node.value
    if isinstance(value, bool):
        yield "", _with(node, value=not value)
    elif isinstance(value, int):
        yield from (("", _with(node, value=other)) for other in ((value + 1, value - 1) if value > 0 else (value + 1,)))
    elif isinstance(value, str):
        yield "", _with(node, value="" if _is_sentence(value) else value + "X")
        for match in re.finditer(r"(?<=[{,])[0-9]+(?=[,}])", value):
            other = value[: match.start()] + str(int(match[0]) + 1) + value[match.end() :]
            yield "", _with(node, value=other)
    elif isinstance(value, bytes):
        yield "", _with(node, value=b"" if b" " in value.strip() else value + b"X")


def _is_sentence(text: str) -> bool:
    return " " in text.strip()


def _joined(node: ast.JoinedStr) -> Iterator[Replacement]:
    """Empty a sentence as a whole; a name for machines is changed part by part instead, by `_constant`."""
    if _is_sentence_with_values(node):
        yield "", ast.Constant("")


def _is_sentence_with_values(node: ast.JoinedStr) -> bool:
    return any(isinstance(part, ast.Constant) and " " in str(part.value) for part in node.values)


def _collection(node: ast.Tuple | ast.List | ast.Set) -> Iterator[Replacement]:
    if isinstance(node, ast.Tuple | ast.List) and not isinstance(node.ctx, ast.Load):
        return
    for index, element in enumerate(node.elts):
        rest = _without(node.elts, index)
        empty = ast.Call(func=ast.Name("set", ast.Load()), args=[], keywords=[])
        replacement = empty if isinstance(node, ast.Set) and not rest else _with(node, elts=rest)
        yield f"{_clip(node)} without {ast.unparse(element)}", replacement


def _dictionary(node: ast.Dict) -> Iterator[Replacement]:
    for index, (key, value) in enumerate(zip(node.keys, node.values, strict=True)):
        name = ast.unparse(key) if key is not None else f"**{ast.unparse(value)}"
        yield (
            f"{_clip(node)} without {name}",
            _with(node, keys=_without(node.keys, index), values=_without(node.values, index)),
        )


def _clip(node: ast.AST) -> str:
    text = ast.unparse(node)
    return text if len(text) <= 60 else f"{text[:60]}…"  # noqa: PLR2004  (what still reads well in a list)


def _call(node: ast.Call) -> Iterator[Replacement]:
    for index, keyword in enumerate(node.keywords):
        yield (
            f"{ast.unparse(node.func)}(…) without {ast.unparse(keyword)}",
            _with(node, keywords=_without(node.keywords, index)),
        )
    if isinstance(node.func, ast.Name) and node.func.id in _OTHER_FUNCTIONS:
        yield "", _with(node, func=ast.Name(_OTHER_FUNCTIONS[node.func.id], ast.Load()))
    if isinstance(node.func, ast.Attribute):
        if node.func.attr in _NORMALISERS:
            yield "", node.func.value
        # Without a limit, `split` and `rsplit` are the same.
        if node.func.attr in _OTHER_METHODS and (node.func.attr != "split" or node.keywords or len(node.args) > 1):
            yield "", _with(node, func=_with(node.func, attr=_OTHER_METHODS[node.func.attr]))


def _slice(node: ast.Slice) -> Iterator[Replacement]:
    for field in ("lower", "upper"):
        if getattr(node, field) is not None:
            yield f"[{ast.unparse(node)}] without {field}", _with(node, **{field: None})


def _condition(node: ast.If | ast.While | ast.IfExp) -> Iterator[Replacement]:
    for value in (True, False):
        yield f"condition {ast.unparse(node.test)} -> {value}", _with(node, test=ast.Constant(value))


def _comprehension(node: ast.comprehension) -> Iterator[Replacement]:
    for index, condition in enumerate(node.ifs):
        yield f"filter {ast.unparse(condition)} left out", _with(node, ifs=_without(node.ifs, index))


def _return(node: ast.Return) -> Iterator[Replacement]:
    # None and False are one answer to whoever asks yes or no.
    if node.value is not None and not (isinstance(node.value, ast.Constant) and not node.value.value):
        yield "", _with(node, value=ast.Constant(None))


def _statement(node: ast.Expr | ast.Raise) -> Iterator[Replacement]:
    yield f"{ast.unparse(node)} left out", ast.Pass()


def _break(node: ast.Break) -> Iterator[Replacement]:
    del node
    yield "", ast.Continue()


def _continue(node: ast.Continue) -> Iterator[Replacement]:
    del node
    yield "", ast.Break()


def _decorated(node: ast.FunctionDef) -> Iterator[Replacement]:
    for index, decorator in enumerate(node.decorator_list):
        label = f"{node.name} without @{ast.unparse(decorator)}"
        yield label, _with(node, decorator_list=_without(node.decorator_list, index))


_MUTATORS: dict[type[ast.AST], Callable[[Any], Iterator[Replacement]]] = {
    ast.Compare: _compare,
    ast.BoolOp: _boolean,
    ast.UnaryOp: _unary,
    ast.BinOp: _binary,
    ast.AugAssign: _binary,
    ast.Constant: _constant,
    ast.JoinedStr: _joined,
    ast.Tuple: _collection,
    ast.List: _collection,
    ast.Set: _collection,
    ast.Dict: _dictionary,
    ast.Call: _call,
    ast.Slice: _slice,
    ast.If: _condition,
    ast.While: _condition,
    ast.IfExp: _condition,
    ast.comprehension: _comprehension,
    ast.Return: _return,
    ast.Expr: _statement,
    ast.Raise: _statement,
    ast.Break: _break,
    ast.Continue: _continue,
    ast.FunctionDef: _decorated,
}
