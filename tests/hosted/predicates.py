"""Take one condition that names the tenant out of the endpoint, and put it back: the proof that a test would notice.

A condition is a comparison with `tenant_id` (or with `issuer`, by which an account is told from one of the same number)
in a query of the services, of the store's transaction or of authentication. It is made to hold for every row, in the
running code: of functions by their code object, of statements that a module builds once by building them anew.
"""

import ast
import importlib
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import CodeType, FunctionType, ModuleType
from typing import Any, Final, NamedTuple

from sqlalchemy import Executable

from coven_action.hosted.store.prepared import Prepared
from coven_action.hosted.store.prepared_query import PreparedQuery

HOSTED: Final = Path(__file__).resolve().parents[2] / "src/coven_action/hosted"
FILES: Final = (
    *sorted((HOSTED / "services").glob("*.py")),
    HOSTED / "store/transaction.py",
    HOSTED / "authentication.py",
)
NAMES: Final = frozenset({"tenant_id", "issuer"})


class Predicate(NamedTuple):
    """A condition: where it stands, and as the how-manieth of its function or statement.

    Args:
        module: The module's last names: `services.runs`.
        place: The function or the name that the statement is assigned to.
        ordinal: Counted from 1 within the place.
    """

    module: str
    place: str
    ordinal: int

    def __str__(self) -> str:
        return f"{self.module}.{self.place}[{self.ordinal}]"


def _is_predicate(node: ast.Compare) -> bool:
    if len(node.ops) != 1 or not isinstance(node.ops[0], ast.Eq):
        return False
    left = node.left
    # `(columns[name] == value for name, value in row.items())` is how some ask for a row by its whole key.
    return (isinstance(left, ast.Attribute) and left.attr in NAMES) or isinstance(left, ast.Subscript)


def _is_query(node: ast.Compare) -> bool:
    """Say whether a comparison is one of columns, and not one of values in Python."""
    source = ast.unparse(node.left)
    return source.endswith(("columns.tenant_id", "columns.issuer", ".c.tenant_id", ".c.issuer", "columns[name]")) or (
        isinstance(node.left, ast.Attribute) and isinstance(node.left.value, ast.Name) and source.endswith(".tenant_id")
    )


def _name_place(statement: ast.stmt) -> str:
    if isinstance(statement, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
        return statement.name
    target = statement.target if isinstance(statement, ast.AnnAssign) else statement.targets[0]  # type: ignore[attr-defined] # an assignment
    return ast.unparse(target)


def _iterate_places(tree: ast.Module) -> Iterator[tuple[str, ast.AST]]:
    """Yield functions, methods and statements of a module with their names."""
    for statement in tree.body:
        if isinstance(statement, ast.ClassDef):
            for method in statement.body:
                if isinstance(method, ast.FunctionDef | ast.AsyncFunctionDef):
                    yield f"{statement.name}.{method.name}", method
        elif isinstance(statement, ast.FunctionDef | ast.AsyncFunctionDef | ast.Assign | ast.AnnAssign):
            yield _name_place(statement), statement


def _list_predicates_in(place: ast.AST) -> list[ast.Compare]:
    found = [
        node for node in ast.walk(place) if isinstance(node, ast.Compare) and _is_predicate(node) and _is_query(node)
    ]
    return sorted(found, key=lambda node: (node.lineno, node.col_offset))


def list_predicates() -> tuple[Predicate, ...]:
    """Return every condition there is, in the order of the files."""
    return tuple(
        Predicate(_name_module(path), name, ordinal)
        for path in FILES
        for name, place in _iterate_places(ast.parse(path.read_text(encoding="utf-8")))
        for ordinal in range(1, len(_list_predicates_in(place)) + 1)
    )


def _name_module(path: Path) -> str:
    return ".".join(path.relative_to(HOSTED).with_suffix("").parts)


class _Disabling(ast.NodeTransformer):
    """Replaces one comparison by one that holds for every row and still takes the same parameters."""

    def __init__(self, target: ast.Compare) -> None:
        self._target = target

    def visit_Compare(self, node: ast.Compare) -> ast.AST:
        """Replace it."""
        self.generic_visit(node)
        if node is not self._target:
            return node
        source, opposite = ast.unparse(node), ast.unparse(ast.Compare(node.left, [ast.NotEq()], node.comparators))
        if isinstance(node.left, ast.Subscript):
            always = f"(({source}) if name != 'tenant_id' else ({ast.unparse(node.left)}.is_not(None)))"
        else:
            always = f"(({source}) | ({opposite}))"
        return ast.copy_location(ast.parse(always, mode="eval").body, node)


def _compile_without(predicate: Predicate) -> tuple[ModuleType, ast.AST, CodeType]:
    """Return the module, the place and the module's code without the condition."""
    module = importlib.import_module(f"coven_action.hosted.{predicate.module}")
    tree = ast.parse(Path(str(module.__file__)).read_text(encoding="utf-8"))
    place = dict(_iterate_places(tree))[predicate.place]
    changed = _Disabling(_list_predicates_in(place)[predicate.ordinal - 1]).visit(tree)
    return module, place, compile(ast.fix_missing_locations(changed), str(module.__file__), "exec")


def rebuild_without(function: FunctionType, ordinal: int = 1) -> FunctionType:
    """Return a copy of a function of the endpoint without one of its conditions."""
    module = function.__module__.removeprefix("coven_action.hosted.")
    _, _, code = _compile_without(Predicate(module, function.__qualname__, ordinal))
    copy = FunctionType(
        _find_code(code, function.__qualname__), function.__globals__, function.__name__, function.__defaults__
    )
    copy.__kwdefaults__ = function.__kwdefaults__
    return copy


def _is_statement(value: Any) -> bool:
    if isinstance(value, dict):
        return bool(value) and all(map(_is_statement, value.values()))
    return isinstance(value, Executable | Prepared | PreparedQuery)


def rebuild_statement(predicate: Predicate, name: str) -> Any:
    """Return a statement of a module as it would be without a condition of the statement it is built from."""
    module, _, code = _compile_without(predicate)
    return vars(_run_module(module, code))[name]


@contextmanager
def disabled(predicate: Predicate) -> Iterator[None]:
    """Run without a condition until the block ends."""
    module, place, code = _compile_without(predicate)
    if isinstance(place, ast.FunctionDef | ast.AsyncFunctionDef):
        replaced = _function_replaced(_get_function(module, predicate.place), _find_code(code, predicate.place))
    else:
        replaced = _statements_replaced(module, code)
    try:
        with replaced:
            _forget_built(module)
            yield
    finally:
        _forget_built(module)


def _forget_built(module: ModuleType) -> None:
    """Let a module build anew the statements that its functions keep once they have built them."""
    for value in vars(module).values():
        if hasattr(value, "cache_clear"):
            value.cache_clear()


def _get_function(module: ModuleType, place: str) -> FunctionType:
    found: Any = module
    for name in place.split("."):
        found = vars(found)[name]
    return found  # type: ignore[no-any-return] # a function or a method


def _find_code(code: CodeType, place: str) -> CodeType:
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            if constant.co_qualname == place:
                return constant
            if place.startswith(f"{constant.co_qualname}."):
                return _find_code(constant, place)
    raise LookupError(place)


@contextmanager
def _function_replaced(function: FunctionType, code: CodeType) -> Iterator[None]:
    original = function.__code__
    function.__code__ = code
    try:
        yield
    finally:
        function.__code__ = original


def _run_module(module: ModuleType, code: CodeType) -> ModuleType:
    """Return a module as it would be with other code."""
    again = ModuleType("coven_action_without_a_predicate")
    again.__file__ = module.__file__
    sys.modules[again.__name__] = again
    try:
        exec(code, vars(again))
    finally:
        del sys.modules[again.__name__]
    return again


@contextmanager
def _statements_replaced(module: ModuleType, code: CodeType) -> Iterator[None]:
    """Take the statements of a module, and whatever is built from them, from the changed source."""
    again = _run_module(module, code)
    replaced = {name: value for name, value in vars(module).items() if _is_statement(value)}
    for name in replaced:
        setattr(module, name, vars(again)[name])
    try:
        yield
    finally:
        for name, value in replaced.items():
            setattr(module, name, value)
