"""The public codes: every one that is raised is explained, and every one that is explained can happen."""

import ast
import functools
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from coven_action import errors
from coven_action.error_codes import CODES
from coven_action.errors import ConfigError, Error, GitHubError

ROOT = Path(__file__).parent.parent / "src" / "coven_action"
# Functions that take a code as their first argument, and the module each is in.
HELPERS = {
    ("core/trust/trust.py", "_denied"),
    ("core/contract/verdict.py", "_fault"),
    ("core/github_errors.py", "_simple"),
}
# Marked as refusals although no `Refusal` carries them: they are endings of a run that did start.
ENDINGS = {"nothing-changed", "needs-input"}


@functools.cache
def read_trees() -> dict[str, ast.Module]:
    # The local GitHub answers with GitHub's codes, which are not ours; of its own it has only errors.
    return {
        path.relative_to(ROOT).as_posix(): ast.parse(path.read_text(encoding="utf-8"))
        for path in sorted(ROOT.rglob("*.py"))
        if "demo_files" not in path.parts
    }


@functools.cache
def find_errors() -> set[str]:
    """The names of `Error` and of every class that derives from it, wherever it is defined."""
    classes = [node for tree in read_trees().values() for node in ast.walk(tree) if isinstance(node, ast.ClassDef)]
    names = {"Error"}
    while (
        more := {
            found.name for found in classes for base in found.bases if isinstance(base, ast.Name) and base.id in names
        }
        - names
    ):
        names |= more
    return names


def name_call(node: ast.Call) -> str:
    return node.func.id if isinstance(node.func, ast.Name) else getattr(node.func, "attr", "")


def list_strings(node: ast.expr) -> list[str]:
    """The literals an expression can be: `"a"`, or both sides of `"a" if x else "b"` and `x or "b"`."""
    if isinstance(node, ast.IfExp):
        return [*list_strings(node.body), *list_strings(node.orelse)]
    if isinstance(node, ast.BoolOp):
        return [text for value in node.values for text in list_strings(value)]
    return [node.value] if isinstance(node, ast.Constant) and isinstance(node.value, str) else []


def find_codes(path: str, tree: ast.Module) -> Iterator[tuple[str, str, int]]:
    """Yield (what carries it, code, line) for each literal code that a module hands to something."""
    for node in ast.walk(tree):
        if not isinstance(node, ast.Call):
            continue
        name = name_call(node)
        takes_code = name in find_errors() or (path, name) in HELPERS
        carriers = node.args[:1] if takes_code else []
        if not path.startswith("emulator/") or name in find_errors():
            carriers = [*carriers, *(keyword.value for keyword in node.keywords if keyword.arg == "code")]
        for code in (text for carrier in carriers for text in list_strings(carrier)):
            yield name, code, node.lineno


@functools.cache
def list_carried() -> list[tuple[str, str, str, int]]:
    return [(path, *found) for path, tree in read_trees().items() for found in find_codes(path, tree)]


def test_every_code_that_is_raised_is_in_the_table():
    unknown = [f"{path}:{line}: {code}" for path, _, code, line in list_carried() if code not in CODES]

    assert list_carried()
    assert unknown == []


def find_words(tree: ast.Module) -> Iterator[str]:
    """Yield every literal text of a module; a docstring that only mentions a code is another text."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            yield node.value


def test_every_code_in_the_table_can_happen():
    used = {word for path, tree in read_trees().items() if path != "errors.py" for word in find_words(tree)}

    assert sorted(set(CODES) - used) == []


def test_the_codes_marked_as_refusals_are_those_that_refusals_carry():
    refused = {
        code
        for path, name, code, _ in list_carried()
        if name == "Refusal" or (path, name) == ("core/trust/trust.py", "_denied")
    }
    marked = {code for code, meaning in CODES.items() if meaning.refusal}

    assert marked - ENDINGS == refused
    assert marked >= ENDINGS


def test_no_refusal_is_raised_as_an_error():
    marked = {code for code, meaning in CODES.items() if meaning.refusal}

    assert [(path, line) for path, name, code, line in list_carried() if name in find_errors() and code in marked] == []


def test_the_helpers_that_take_a_code_exist():
    defined = {
        (path, node.name)
        for path, tree in read_trees().items()
        for node in ast.walk(tree)
        if isinstance(node, ast.FunctionDef)
    }

    assert defined >= HELPERS


@pytest.mark.parametrize("code", CODES)
def test_a_code_is_kebab_case_and_says_in_sentences_what_happened_and_what_to_do(code):
    meaning = CODES[code]

    assert re.fullmatch(r"[a-z]+(-[a-z0-9]+)*", code)
    for sentence in (meaning.meaning, meaning.remedy):
        assert sentence[0].isupper() or sentence[0] == "`"
        assert sentence.strip() == sentence
        assert "\n" not in sentence
        assert sentence.endswith((".", "”."))


def test_an_error_says_where_what_and_what_to_do():
    error = GitHubError("rate-limited", "GitHub's rate limit stopped GET /x.", place="GET /x")

    assert str(error) == "[rate-limited] GitHub's rate limit stopped GET /x."
    assert error.exit_code == 1
    assert error.diagnostics() == (
        "GET /x: error[rate-limited]: GitHub's rate limit stopped GET /x.\n  Re-run the job later."
    )


@pytest.mark.parametrize("remedy", ["Do this.", ""])
def test_a_better_remedy_takes_the_tables_place(remedy):
    error = ConfigError("missing-config", "There is none.", remedy=remedy)

    assert error.remedy == remedy
    assert error.diagnostics() == f"error[missing-config]: There is none.\n  {remedy}"


def test_an_error_without_a_public_code_cannot_be_raised():
    with pytest.raises(KeyError):
        Error("made-up", "x")


def test_errors_of_ours_are_told_apart_from_everything_else():
    kinds = [kind for kind in vars(errors).values() if isinstance(kind, type) and issubclass(kind, Exception)]

    assert all(issubclass(kind, Error) for kind in kinds)
    assert all((kind.__doc__ or "").startswith("Raised ") for kind in kinds)
