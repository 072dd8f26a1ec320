"""A workflow becomes a tree with places, whatever is in the file."""

import pytest

from coven_action.core.configuration.yaml_tree import EMPTY
from coven_action.core.workflows.reading import MAX_BYTES, read_workflow
from coven_action.core.workflows.uses import find_child, find_scalar


def test_the_key_on_stays_a_word_and_knows_its_place():
    workflow = read_workflow("name: x\non:\n  issues: {types: [labeled]}\n", path="w.yml")

    assert workflow.mistakes == ()
    found = find_child(workflow.root, "on", "issues", "types")
    assert (found.place.line, found.place.column, found.value) == (3, 19, ("labeled",))


def test_an_alias_is_followed():
    workflow = read_workflow("a: &shared {contents: read}\nb: *shared\n", path="w.yml")

    assert find_scalar(workflow.root, "b", "contents").text == "read"


def test_an_empty_file_has_nothing_in_it():
    assert read_workflow("", path="w.yml").root is EMPTY
    assert find_scalar(read_workflow("a:\n", path="w.yml").root, "a") is None


HOSTILE = [
    ("a: [", "this is not valid YAML"),
    ("a: 'b", "this is not valid YAML"),
    ("a: *nobody", "this is not valid YAML"),
    ("a: 1\n---\nb: 2\n", "this is not valid YAML"),
    ("a: \x07", "this is not valid YAML"),
    ("a: \udcff", "this is not valid YAML"),
    ('a: "\\Uffffffff"', "this is not valid YAML"),
    ("{a: " * 2000, "this is not valid YAML"),
    ("a: " + "[" * 60 + "]" * 60, "the file is nested too deeply, or its aliases make it too large"),
    ("a: &a [*a]", "the file is nested too deeply, or its aliases make it too large"),
    (
        "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n"
        + "".join(f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]\n" for n in range(1, 9)),
        "the file is nested too deeply, or its aliases make it too large",
    ),
    ("x" * (MAX_BYTES + 1), "the file is larger than 256 KiB"),
    ("? [a]\n: b\n", "a key must be one word"),
    ("a: 1\na: 2\n", "this key is written twice"),
]


@pytest.mark.parametrize(("text", "reason"), HOSTILE, ids=lambda value: value[:20].encode("unicode_escape").decode())
def test_what_cannot_be_read_is_told(text, reason):
    assert read_workflow(text, path="w.yml").mistakes[0].reason == reason


def test_a_value_over_several_lines_has_a_place():
    workflow = read_workflow("if: |\n  a\n  b\n", path="w.yml")

    assert find_scalar(workflow.root, "if").place.length == 1
