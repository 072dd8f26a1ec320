"""What YAML we read, with which places, and what we refuse."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from coven_action.core.configuration.yaml_reading import MAX_BYTES, MAX_DEPTH, read_yaml
from coven_action.core.configuration.yaml_tree import EMPTY, Misread, Place, find_node, find_place
from tests.fuzzing import examples


def _codes(text):
    return [(mistake.code, mistake.line, mistake.column) for mistake in read_yaml(text).mistakes]


def test_values_are_read_plainly():
    document = read_yaml("a: text\nb: [1, -2, 0, true, false, ~, '3', null]\nc:\n  d: |\n    block\n")

    assert not document.mistakes
    assert document.root.value == {
        "a": "text",
        "b": (1, -2, 0, True, False, None, "3", None),
        "c": {"d": "block\n"},
    }


@pytest.mark.parametrize(
    "word",
    ["on", "yes", "Off", "TRUE", "1.0", "1:30", "0o7", "010", "0x1F", "1_000", "+5", "2026-01-01", ".inf", "1" * 30],
)
def test_a_word_that_yaml_takes_for_something_else_is_no_value(word):
    value = read_yaml(f"a: {word}").root.value["a"]

    assert value == (word if word == "0o7" else Misread(word))


def test_every_key_and_value_knows_its_place():
    root = read_yaml("a:\n  - b: [1, 'two']\n    c:\n").root

    assert find_place(root, ("a", 0, "b", 1)) == Place(2, 12, 5)
    assert find_place(root, ("a", 0, "b"), at_key=True) == Place(2, 5, 1)
    assert find_place(root, ("a", 0, "b")) == Place(2, 8, 1)
    assert find_place(root, ("a", 0, "c")) == Place(3, 7, 1)
    assert find_place(root, ()) == Place(1, 1, 1)


@pytest.mark.parametrize("missing", [("x",), (0,), ("a", 0, "x"), ("a", 7), ("a", "x"), ("a", 0, "b", 0, "x")])
def test_a_path_that_leads_nowhere_is_placed_under_what_exists(missing):
    root = read_yaml("a:\n  - b: [1]\n").root

    assert find_place(root, missing).line in {1, 2}
    assert find_node(root, missing) in (
        root,
        find_node(root, ("a",)),
        find_node(root, ("a", 0)),
        find_node(root, ("a", 0, "b", 0)),
    )


def test_text_over_several_lines_is_underlined_on_its_first():
    root = read_yaml('a: "one\n  two"\n').root

    assert find_place(root, ("a",)) == Place(1, 4, 4)


def test_a_byte_order_mark_moves_no_column():
    assert find_place(read_yaml("\ufeffa: 1").root, ("a",), at_key=True) == Place(1, 1, 1)


@pytest.mark.parametrize("text", ["", "\n\n", "# only a comment\n"])
def test_an_empty_text_is_a_mapping_without_keys(text):
    document = read_yaml(text)

    assert document.readable
    assert document.root == EMPTY
    assert not document.mistakes


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a: 1\na: 2", [("duplicate-key", 2, 1)]),
        ("a: 1\n'a': 2\na: 3", [("duplicate-key", 2, 1), ("duplicate-key", 3, 1)]),
        ("a: &x 1\nb: *x", [("yaml-feature", 1, 4), ("yaml-feature", 2, 4)]),
        ("a: &x {b: 1}", [("yaml-feature", 1, 4)]),
        ("&x a: 1", [("yaml-feature", 1, 1)]),
        ("a: 1\n*x : 2", [("yaml-feature", 2, 1)]),
        ("a: !!python/object/apply:os.system [id]", [("yaml-feature", 1, 4)]),
        ("a: !!str 1", [("yaml-feature", 1, 4)]),
        ("a: ! b", [("yaml-feature", 1, 4)]),
        ("a: {<<: {b: 1}}", [("yaml-feature", 1, 5)]),
        ("=: 1", [("yaml-feature", 1, 1)]),
        ("on: 1\n1: 2\n~: 3\n1.0: 4", [("yaml-feature", line, 1) for line in (1, 2, 3, 4)]),
        ("? [a, b]\n: 1", [("yaml-feature", 1, 3)]),
        ("? {a: b}\n: 1", [("yaml-feature", 1, 3)]),
        ("%YAML 1.1\n---\na: 1", [("yaml-feature", 1, 1)]),
        ("%TAG ! tag:example.com,2026:\n---\na: 1", [("yaml-feature", 1, 1)]),
        ("a: 1\n---\nb: 2", [("yaml-feature", 2, 1)]),
        ("---\na: 1\n...\n---\nb: 2", [("yaml-feature", 4, 1)]),
        ("[" * 100, [("yaml-feature", 1, MAX_DEPTH + 1)]),
        ("a: [", [("invalid-yaml", 1, 5)]),
        ("a: 1\n b: 2", [("invalid-yaml", 2, 3)]),
        ("a:\n\tb: 1", [("invalid-yaml", 2, 1)]),
        ("a: *missing", [("yaml-feature", 1, 4)]),
        ('a: "\\Uffffffff"', [("invalid-yaml", 1, 7)]),
        ("%YAML " + "9" * 5000 + ".1\n---\na", [("invalid-yaml", 1, 7)]),
        ("a: \x1b[2J", [("invalid-yaml", 1, 4)]),
        ("a\x00: \ud800", [("invalid-yaml", 1, 2), ("invalid-yaml", 1, 5)]),
        ("a: 1\rb: 2", [("invalid-yaml", 1, 5)]),
        ("a: \u2028b\u0085", [("invalid-yaml", 1, 4), ("invalid-yaml", 1, 6)]),
        ("a: 1 # \u202e", [("invalid-yaml", 1, 8)]),
        ("#" * (MAX_BYTES + 1), [("config-too-large", 1, 1)]),
        ("界" * (MAX_BYTES // 3 + 1), [("config-too-large", 1, 1)]),
    ],
)
def test_what_hides_its_meaning_is_refused_with_its_place(text, expected):
    assert _codes(text) == expected


def test_a_file_of_the_largest_size_is_read():
    assert not read_yaml("#" * MAX_BYTES).mistakes


def test_deep_nesting_stops_at_the_bound():
    assert not read_yaml("[" * (MAX_DEPTH - 1) + "1" + "]" * (MAX_DEPTH - 1)).mistakes
    assert not read_yaml("[" * (MAX_DEPTH + 1) + "]" * (MAX_DEPTH + 1)).readable


def test_windows_line_ends_move_no_place():
    assert _codes("a: 1\r\nb: &x 2\r\n") == [("yaml-feature", 2, 4)]


FRAGMENTS = [
    "a",
    "b: ",
    "- ",
    "\n",
    "  ",
    "[",
    "]",
    "{",
    "}",
    ",",
    ": ",
    "&x ",
    "*x",
    "!!str ",
    "? ",
    '"',
    "'",
    "\\U",
    "|",
    ">",
    "\t",
    "---\n",
    "...",
    "%YAML ",
    "#",
    "<<",
    "on",
    "1",
    "\r",
    "\u2028",
    "é",
    "界",
    "\x00",
    "\ufeff",
]


@given(st.lists(st.sampled_from(FRAGMENTS), max_size=40).map("".join) | st.text(max_size=200))
@examples(150)
def test_any_text_is_read_without_an_exception_and_every_place_lies_inside_it(text):
    document = read_yaml(text)

    for mistake in document.mistakes:
        line = document.lines[mistake.line - 1]
        assert mistake.source_line == line
        assert 1 <= mistake.column <= len(line) + 1
