"""How mistakes are shown: their place, their line, safe to print."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from coven_action.core.configuration.mistakes import (
    MAX_LINE,
    InvalidConfigError,
    Mistake,
    find_suggestion,
    quote,
    render_location,
    render_mistakes,
)
from tests.fuzzing import examples

PATH = ".github/coven.yml"


def _render_excerpt(line, column, length=1):
    mistake = Mistake("invalid-value", 1, column, "it is wrong", "mend it", line, length)
    return render_mistakes([mistake], path=PATH).splitlines()[1:-1]


def test_a_mistake_names_file_line_column_and_code_and_underlines_what_is_meant():
    mistake = Mistake(
        "unknown-key", 9, 5, "familiars.cody.modle is not a key here", "did you mean `mode`?", "    modle: 1", 5
    )

    assert render_mistakes([mistake], path=PATH) == (
        ".github/coven.yml:9:5: error[unknown-key]: familiars.cody.modle is not a key here\n"
        "  |     modle: 1\n"
        "  |     ^^^^^ did you mean `mode`?\n"
        "1 error. Nothing was run."
    )


def test_a_mistake_whose_message_says_it_all_takes_one_line():
    mistake = Mistake("invalid-duration", 21, 44, 'limits.time is "10 min"; write 10m', "", "ignored", 6)

    assert render_mistakes([mistake, mistake], path=PATH).splitlines() == [
        '.github/coven.yml:21:44: error[invalid-duration]: limits.time is "10 min"; write 10m',
        '.github/coven.yml:21:44: error[invalid-duration]: limits.time is "10 min"; write 10m',
        "2 errors. Nothing was run.",
    ]


def test_thousands_of_mistakes_are_counted_and_the_first_hundred_are_shown():
    lines = render_mistakes([Mistake("invalid-value", 1, 1, "it is wrong")] * 5000, path=PATH).splitlines()

    assert len(lines) == 101
    assert lines[-1] == "5000 errors. The first 100 are shown. Nothing was run."


def test_the_exception_carries_the_mistakes_and_prints_them_all():
    error = InvalidConfigError([Mistake("invalid-value", 1, 2, "it is wrong")], path=PATH)

    assert error.code == "invalid-config"
    assert str(error) == "[invalid-config] .github/coven.yml has 1 error"
    assert error.diagnostics() == ".github/coven.yml:1:2: error[invalid-value]: it is wrong\n1 error. Nothing was run."


@pytest.mark.parametrize(
    ("line", "column", "shown", "carets"),
    [
        ("a: b", 4, "a: b", "   ^"),
        ("", 1, "", "^"),
        ("ab", 3, "ab", "  ^"),
        ("\ta: b", 2, " a: b", " ^"),
        ("界: b", 4, "界: b", "    ^"),
        ("e\u0301: b", 5, "e\u0301: b", "   ^"),
        ("\x1b[2J: b", 7, "\\x1b[2J: b", " " * 9 + "^"),
        ("\ud800 b", 3, "\\ud800 b", " " * 7 + "^"),
    ],
)
def test_carets_stand_below_what_they_mean(line, column, shown, carets):
    assert _render_excerpt(line, column) == [f"  | {shown}".rstrip(), f"  | {carets} mend it"]


@pytest.mark.parametrize(("column", "marked"), [(1, "a"), (5000, "b"), (9999, "c")])
def test_a_long_line_is_cut_around_the_place(column, marked):
    line = "a" + "-" * 4998 + "b" + "-" * 4998 + "c"

    shown, carets = _render_excerpt(line, column)

    assert len(shown) <= MAX_LINE + len("  | ……")
    assert shown[carets.index("^")] == marked


def test_what_is_long_is_underlined_no_further_than_it_is_shown():
    shown, carets = _render_excerpt("x" * 1000, 1, 1000)

    assert carets.count("^") == MAX_LINE
    assert shown.endswith("x…")


@given(st.text(), st.integers(1, 300), st.integers(1, 300))
@examples(150)
def test_nothing_of_a_line_reaches_the_terminal_raw(line, column, length):
    excerpt = _render_excerpt(line, min(column, len(line) + 1), length)

    assert len(excerpt) == 2
    assert all(character.isprintable() for row in excerpt for character in row)


def test_quoted_text_is_escaped_and_cut():
    assert quote("a\x1b\u202eb") == '"a\\x1b\\u202eb"'
    assert quote("x" * 61) == '"' + "x" * 60 + '…"'


@pytest.mark.parametrize(
    ("location", "shown"),
    [
        ((), "the file"),
        (("verify", 0, "timeout"), "verify[0].timeout"),
        (("familiars", "a b"), 'familiars."a b"'),
        (("familiars", ""), 'familiars.""'),
        ((0,), "[0]"),
    ],
)
def test_a_path_is_shown_as_people_write_it(location, shown):
    assert render_location(location) == shown


def test_a_suggestion_is_near_or_absent():
    assert find_suggestion("familars", ["familiars", "routing"]) == "familiars"
    assert find_suggestion("xyzzy", ["familiars", "routing"]) is None
    assert find_suggestion("f" * 65, ["f" * 65]) is None
