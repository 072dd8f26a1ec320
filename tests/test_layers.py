"""Who may import whom, and what the core may not reach at all.

`core` decides and touches nothing; `adapters` touch one outside thing each and decide nothing; `stages` lead from one to
the other through their ports; `cli` puts them together. The imports are read from the source, wherever they stand.
"""

import ast
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent / "src" / "coven_action"
PACKAGE = "coven_action"

# Layer -> what of ours it may import. The whole package is named where only its version is taken.
OURS = {
    "error_codes": set(),
    "errors": {"error_codes"},
    "core": {"core", "errors", "error_codes"},
    "adapters": {"core", "errors", "error_codes"},
    "stages": {"core", "errors", "error_codes", "stages"},
    "runtimes": {"core", "errors", "error_codes", "runtimes", PACKAGE},
    "emulator": {"core", "errors", "error_codes", "emulator"},
    "hosted": {"core", "errors", "error_codes", "hosted", PACKAGE},
    "client": {"core", "errors", "error_codes"},
    "cli": {
        "core",
        "errors",
        "error_codes",
        "adapters",
        "stages",
        "runtimes",
        "emulator",
        "hosted",
        "client",
        "cli",
        PACKAGE,
    },
    "__main__": {"cli"},
    "__init__": set(),
}
# The language of the core's values, and so of everybody who handles them.
VALUES = {"pydantic", "pydantic_core"}
# Adapter -> its one outside library, with what that library brings and raises.
ADAPTERS = {
    "actions": {"actions_toolkit"},
    "gateway": {"certifi", "h11"},
    "github_api": {"github", "requests", "urllib3"},
    "github_artifacts": {"httpx"},
    "hosted_endpoint": {"httpx"},
    "outbox": {"nacl"},
    "id_token": {"httpx"},
    "runtime_install": {"requests", "urllib3"},
    "templates": {"jinja2"},
}
# The one adapter that speaks to the endpoint, through the client that users have too.
CLIENT_ADAPTER = "hosted_endpoint"
# Adapter -> the others that it stands on: what is confined is started, bounded and ended as any program is, and what a
# program has left is removed in one way.
STANDS_ON = {"sandbox": {"runtime_process", "removal"}, "git": {"removal"}}
LIBRARIES = {
    "core": VALUES | {"yaml"},
    "stages": VALUES,
    "runtimes": VALUES,
    "emulator": {"cryptography", "jwt", "starlette", "uvicorn", "jinja2", "markupsafe", "markdown_it"},
    "hosted": VALUES
    | {
        "alembic",
        "cryptography",
        "fastapi",
        "httpx",
        "jinja2",
        "jwt",
        "markupsafe",
        "nacl",
        "prometheus_client",
        "psycopg",
        "pysqlite3",
    }
    | {"sqlalchemy", "starlette", "uvicorn", "uvloop"},
    "client": VALUES | {"httpx"},
    "cli": VALUES | {"click", "rich", "yaml"},
}
# The part of the standard library that only computes.
PURE = {
    "abc", "base64", "binascii", "bisect", "codecs", "collections", "collections.abc", "dataclasses", "difflib", "enum",
    "functools", "gzip", "hashlib", "html", "html.parser", "ipaddress", "itertools", "json", "math", "operator", "re", "shlex",
    "stat", "string", "struct", "tarfile", "textwrap", "types", "typing", "unicodedata", "urllib.parse", "xml.parsers",
    "zipfile", "zlib",
}  # fmt: skip
# Modules that also reach outside, and the names in them that do not.
PARTLY_PURE = {
    "datetime": {"UTC", "date", "datetime", "timedelta", "timezone"},
    "io": {"BytesIO"},
    "pathlib": {"PurePath", "PurePosixPath", "PureWindowsPath"},
    "signal": {"Signals"},
}
# What asks the clock, the file system or chance, however the module came in.
FORBIDDEN_CALLS = {"open", "input", "print", "exec", "eval", "compile", "__import__", "breakpoint"}
FORBIDDEN_METHODS = {
    "now", "utcnow", "today", "monotonic", "perf_counter", "urandom", "uuid4", "getenv", "read_text", "write_text",
    "read_bytes", "write_bytes", "import_module",
}  # fmt: skip
CLOCKS = {"date", "datetime", "time"}


def list_modules() -> list[Path]:
    """Every module but the demo's repository, which is data."""
    return sorted(path for path in ROOT.rglob("*.py") if "demo_files" not in path.parts)


def name_layer(path: Path) -> str:
    return path.relative_to(ROOT).parts[0].removesuffix(".py")


def find_imports(source: str, package: tuple[str, ...]) -> Iterator[tuple[str, str]]:
    """Yield (module, name) of every import, relative ones resolved; the name is "" for `import module`."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield alias.name, ""
        elif isinstance(node, ast.ImportFrom):
            above = package[: len(package) - node.level + 1] if node.level else ()
            module = ".".join((*above, *filter(None, [node.module])))
            for alias in node.names:
                yield module, alias.name


def read_imports(path: Path) -> Iterator[tuple[str, str]]:
    package = (PACKAGE, *path.relative_to(ROOT).parts[:-1])
    return find_imports(path.read_text(encoding="utf-8"), package)


def find_wrong_import(layer: str, module: str, name: str, libraries: set[str], adapter: str = "") -> str | None:
    """Return what is wrong with an import, or None. The files of one adapter's folder may import one another."""
    first, *rest = module.split(".")
    if adapter and rest[:2] == ["adapters", adapter] and len(rest) > 2:
        return None
    if adapter and len(rest) == 2 and rest[0] == "adapters" and rest[1] in STANDS_ON.get(adapter, ()):
        return None
    if first == PACKAGE:
        if (layer, adapter, rest[:1]) == ("adapters", CLIENT_ADAPTER, ["client"]):
            return None
        # `from coven_action import core` imports the layer by name; `from coven_action import __version__` does not.
        target = rest[0] if rest else (name if name in OURS else PACKAGE)
        return None if target in OURS[layer] else f"{layer} imports {target}"
    if first in sys.stdlib_module_names:
        return find_impure_import(module, name) if layer == "core" else None
    return None if first in libraries else f"{layer} imports {first}"


def find_impure_import(module: str, name: str) -> str | None:
    if module in PURE or (module == "urllib" and name == "parse"):
        return None
    # A module imported whole is held to its names by `find_impure_uses`.
    if module in PARTLY_PURE and (not name or name in PARTLY_PURE[module]):
        return None
    return f"core imports {module}.{name}".rstrip(".")


def find_impure_uses(source: str) -> Iterator[str]:
    """Yield what a module of the core does beyond computing. `facts.today` is a value; `date.today` asks the clock."""
    tree = ast.parse(source)
    called = {id(node.func) for node in ast.walk(tree) if isinstance(node, ast.Call)}
    for node in ast.walk(tree):
        if isinstance(node, ast.Name) and node.id in FORBIDDEN_CALLS and id(node) in called:
            yield f"line {node.lineno}: {node.id}("
        if isinstance(node, ast.Attribute):
            owner = ast.unparse(node.value)
            if node.attr in FORBIDDEN_METHODS and (id(node) in called or owner.split(".")[-1] in CLOCKS):
                yield f"line {node.lineno}: {owner}.{node.attr}"
            if owner in PARTLY_PURE and owner != "datetime" and node.attr not in PARTLY_PURE[owner]:
                yield f"line {node.lineno}: {owner}.{node.attr}"


def name_adapter(path: Path) -> str:
    """Return an adapter's name: that of its folder, or of its file."""
    parts = path.relative_to(ROOT).parts
    return parts[1].removesuffix(".py") if parts[0] == "adapters" else ""


def get_libraries(path: Path) -> set[str]:
    if name_layer(path) == "adapters":
        return ADAPTERS.get(name_adapter(path) or path.stem, set()) | VALUES
    return LIBRARIES.get(name_layer(path), set())


def test_every_module_belongs_to_a_layer():
    assert {name_layer(path) for path in list_modules()} <= set(OURS)


@pytest.mark.parametrize("layer", sorted({name_layer(path) for path in list_modules()}))
def test_a_layer_imports_only_what_it_may(layer):
    wrong = [
        f"{path.relative_to(ROOT)}: {found}"
        for path in list_modules()
        if name_layer(path) == layer
        for module, name in read_imports(path)
        if (found := find_wrong_import(layer, module, name, get_libraries(path), name_adapter(path)))
    ]

    assert wrong == []


@pytest.mark.parametrize("adapter", ADAPTERS)
def test_the_table_of_adapters_says_what_is_so(adapter):
    files = [ROOT / "adapters" / f"{adapter}.py", *(ROOT / "adapters" / adapter).glob("*.py")]
    imported = {module.split(".")[0] for path in files if path.exists() for module, _ in read_imports(path)}

    assert imported >= ADAPTERS[adapter]


def test_the_core_asks_neither_clock_nor_chance_nor_files():
    wrong = [
        f"{path.relative_to(ROOT)}: {found}"
        for path in list_modules()
        if name_layer(path) == "core"
        for found in find_impure_uses(path.read_text(encoding="utf-8"))
    ]

    assert wrong == []


@pytest.mark.parametrize(
    ("layer", "source", "wrong"),
    [
        ("core", "import os", "core imports os"),
        ("core", "import os.path", "core imports os.path"),
        ("core", "from os import environ", "core imports os.environ"),
        ("core", "import time", "core imports time"),
        ("core", "from random import choice", "core imports random.choice"),
        ("core", "import subprocess", "core imports subprocess"),
        ("core", "from pathlib import Path", "core imports pathlib.Path"),
        ("core", "from pathlib import PurePosixPath", None),
        ("core", "import urllib.request", "core imports urllib.request"),
        ("core", "from urllib import request", "core imports urllib.request"),
        ("core", "from urllib import parse", None),
        ("core", "import requests", "core imports requests"),
        ("core", "import yaml", None),
        ("core", "def f():\n    import socket", "core imports socket"),
        (
            "core",
            "if True:\n    try:\n        from secrets import token_hex\n    except E: ...",
            "core imports secrets",
        ),
        ("core", "from coven_action.adapters import git", "core imports adapters"),
        ("core", "from coven_action import adapters", "core imports adapters"),
        ("core", "import coven_action.stages.plan", "core imports stages"),
        ("core", "from ..adapters import git", "core imports adapters"),
        ("core", "from .. import stages", "core imports stages"),
        ("core", "from ..adapters.git import Git", "core imports adapters"),
        ("core", "from . import events", None),
        ("core", "from .events import Actor", None),
        ("core", "from coven_action.errors import Error", None),
        ("core", "from coven_action import __version__", "core imports coven_action"),
        ("adapters", "from coven_action.adapters.git import Git", "adapters imports adapters"),
        ("adapters", "from .git import Git", "adapters imports adapters"),
        ("adapters", "from coven_action.adapters.git.program import Git", "adapters imports adapters"),
        ("adapters", "from coven_action.stages.ports import Clock", "adapters imports stages"),
        ("adapters", "import os", None),
        ("adapters", "import github", "adapters imports github"),
        ("stages", "from coven_action.adapters.git import Git", "stages imports adapters"),
        ("stages", "from coven_action.stages.ports import Clock", None),
        ("stages", "import jinja2", "stages imports jinja2"),
        ("emulator", "from coven_action.stages.plan import plan", "emulator imports stages"),
        ("emulator", "import github", "emulator imports github"),
        ("runtimes", "from coven_action import __version__", None),
        ("errors", "from coven_action.core.trust.events import Actor", "errors imports core"),
    ],
)
def test_the_guard_sees_imports_of_every_form(layer, source, wrong):
    found = [
        sentence
        for module, name in find_imports(source, (PACKAGE, layer))
        if (sentence := find_wrong_import(layer, module, name, LIBRARIES.get(layer, VALUES)))
    ]

    assert bool(found) == bool(wrong)
    assert not wrong or found[0].startswith(wrong)


@pytest.mark.parametrize(
    "source",
    [
        "datetime.now()", "datetime.datetime.now(tz=UTC)", "datetime.utcnow()", "date.today()", "open('x')",
        "__import__('os')", "importlib.import_module('os')", "pathlib.Path('x')", "path.read_text()", "signal.alarm(1)",
        "eval('1')", "time.monotonic()", "print(1)", "clock = datetime.now", "f(datetime.date.today)",
    ],
)  # fmt: skip
def test_the_guard_sees_what_a_pure_module_never_does(source):
    assert list(find_impure_uses(source))


@pytest.mark.parametrize(
    "source",
    [
        "datetime.fromisoformat(x)",
        "signal.Signals(9)",
        "pathlib.PurePosixPath('x')",
        "facts.today",
        "self.now",
        "open = 1",
    ],
)
def test_the_guard_lets_pure_uses_pass(source):
    assert not list(find_impure_uses(source))


# Entry -> what starting there must not load: each costs time that a job or a `--help` would pay for nothing.
HEAVY = ("actions_toolkit", "github", "jinja2", "requests", "rich", "starlette", "uvicorn")
ENTRIES = {
    "coven_action.cli.main": (*HEAVY, "yaml"),
    "coven_action.stages.plan": (*HEAVY, "click"),
    "coven_action.stages.run": (*HEAVY, "click"),
    "coven_action.stages.verify": (*HEAVY, "click"),
    "coven_action.stages.publish": (*HEAVY, "click"),
    "coven_action.adapters.git.publication": (*HEAVY, "click"),
    "coven_action.runtimes.patch": (*HEAVY, "click"),
}


@pytest.mark.parametrize("entry", ENTRIES)
def test_nobody_pays_for_what_is_not_used(entry):
    code = f"import sys, {entry}; print(*sorted(set({ENTRIES[entry]!r}) & set(sys.modules)))"
    loaded = subprocess.run([sys.executable, "-P", "-c", code], capture_output=True, text=True, check=True)

    assert loaded.stdout.split() == []


# In a character class these are characters, not a quantified group.
_CHARACTERS_ONLY = {"core/redaction/shapes.py", "core/sanitising/inert.py"}


@pytest.mark.parametrize("path", sorted(ROOT.rglob("*.py")), ids=lambda path: str(path.relative_to(ROOT)))
def test_no_expression_has_a_possessive_quantifier_over_a_group(path):
    """Python before 3.11.5 matches them wrongly (https://github.com/python/cpython/issues/106052); `(?>(?:…)*)` is right."""
    found = re.search(r"\)(?:\*|\+|\?|\{[0-9,]+\})\+", path.read_text(encoding="utf-8"))

    assert found is None or str(path.relative_to(ROOT)) in _CHARACTERS_ONLY
