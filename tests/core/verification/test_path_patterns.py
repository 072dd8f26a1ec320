"""Paths as the most forgiving file system sees them, and what a pattern over them means."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from coven_action.core.verification.path_patterns import (
    MAXIMUM_PATTERN_LENGTH,
    PATTERN_ADVICE,
    PATTERN_FORM,
    PatternSet,
    abbreviates,
    find_pattern_mistake,
    fold_path,
    is_short_name,
    meet,
    names_meet,
    parse_pattern,
    prepare_patterns,
    resolve_dots,
)
from tests.fuzzing import examples


def covers(pattern: str, path: str) -> bool:
    return PatternSet((pattern,)).covers(fold_path(path))


# Pattern -> (what it covers, what it does not).
MEANINGS = {
    "migrations/**": (
        ["migrations", "migrations/a.sql", "migrations/a/b.sql", "MIGRATIONS/a", "migrations./a", "migra\u200btions/a"],
        ["src/migrations/a.sql", "migrations2/a", "migration", "my/migrations"],
    ),
    "migrations": (["migrations", "migrations/a", "src/migrations/deep/a"], ["migrations.md", "amigrations/a"]),
    "/migrations": (["migrations", "migrations/a/b"], ["src/migrations/a"]),
    "src/*": (["src/a", "src/a/b/c"], ["src", "lib/src/a"]),
    "src/*.py": (["src/a.py", "src/.py", "src/a.py/b"], ["src/a.pyc", "src/b/a.py", "a.py"]),
    "*.sql": (["a.sql", "deep/down/a.sql", "a.b.sql"], ["a.sql2", "sql"]),
    "a?c": (["abc", "x/a-c"], ["ac", "abbc", "a/c"]),
    "**/db/*.sql": (["db/a.sql", "x/y/db/a.sql"], ["db/x/a.sql", "db.sql"]),
    "src/**/test/**": (["src/test", "src/test/a", "src/a/b/test/c"], ["src/a", "test/src/a"]),
    "a/**/b/**/c": (["a/b/c", "a/x/b/y/z/c", "a/b/b/c/c"], ["a/c", "a/b", "b/c"]),
    "**": (["a", "a/b", "..."], []),
    "pages/?id?.tsx": (["pages/[id].tsx", "pages/(id).tsx"], ["pages/id.tsx"]),
    "d*c*b*": (["dcb", "d-c-c-b-", "x/dacab"], ["dbc", "cdcb"]),
    "Stra\u00dfe/**": (["strasse/a", "STRASSE/a", "Stra\u1e9ee/a"], ["strase/a"]),
    "caf\u00e9/**": (["cafe\u0301/a", "CAFE\u0301/a", "cafe\u200b\u0301/a"], ["cafe/a"]),
    "(a|b)+$": (["(a|b)+$", "x/(A|B)+$/y"], ["a", "b", "aa"]),
    # As Windows shortens it.
    "a/migrations/**": (["a/migrat~1/x", "A/MIGRAT~12/x", "a/mi4f0a~1/x"], ["a/migra-1/x", "a/nigrat~1/x", "a/mi4f0g~1/x"]),
}  # fmt: skip


@pytest.mark.parametrize(
    ("pattern", "path", "covered"),
    [
        (pattern, path, covered)
        for pattern, (inside, outside) in MEANINGS.items()
        for covered, paths in ((True, inside), (False, outside))
        for path in paths
    ],
)
def test_a_pattern_covers_what_it_says(pattern, path, covered):
    assert re.fullmatch(PATTERN_FORM, pattern)
    assert not find_pattern_mistake(pattern)
    assert covers(pattern, path) is covered


def test_a_set_covers_what_any_of_its_patterns_covers_and_an_empty_one_nothing():
    patterns = PatternSet(("*.sql", "src/*", "docs"))

    covered = [path for path in ("a.sql", "src/a", "docs/a", "lib/a") if patterns.covers(fold_path(path))]
    assert covered == ["a.sql", "src/a", "docs/a"]
    assert not PatternSet(()).covers(("",))


def test_a_star_in_a_path_is_a_letter_like_any_other():
    assert not covers("docs/**", "**/agents.md")
    assert not covers("docs/**", "*/x")
    assert not covers("abc/x", "a?c/x")


NOT_PATTERNS = [
    "", "!a", "a**", "**a", "a/**b", "***", "a//b", "//a", "a/", "/", "a.", "a ", "a./b", "a /b", "./a", "../a", "a/..",
    "a/./b", ".", "..", "[ab]", "a{b,c}", "a\\b", "a:b", "a]", "}",
]  # fmt: skip


@pytest.mark.parametrize("text", NOT_PATTERNS)
def test_what_other_languages_of_patterns_mean_is_no_pattern(text):
    assert re.fullmatch(PATTERN_FORM, text) is None


@pytest.mark.parametrize(
    "text",
    [
        "a/\uff0a\uff0a",
        "\uff0agit",
        "a\u2026",
        "a\u3002\uff0e",
        "a\u2047",
        "a*\u200d*b",
        "a\u200d",
        "a\uff0fb",
        "a\u3000",
        "a\uff1ab",
    ],
)
def test_a_pattern_that_would_be_compared_as_another_is_a_mistake(text):
    assert "take for others" in find_pattern_mistake(text)


@pytest.mark.parametrize(
    "text", ["a/*", "\u0434\u043e\u043a/**", "\u6587\u6863/*.md", "caf\u00e9", "Stra\u00dfe", "\uff21", "TEXT"]
)
def test_letters_of_any_script_may_stand_in_a_pattern(text):
    assert find_pattern_mistake(text) == ""


def test_people_are_told_what_a_pattern_may_hold():
    assert {"*", "?", "**"} <= set(re.findall(r"\*+|\?", PATTERN_ADVICE))


def test_patterns_are_prepared_once():
    assert prepare_patterns(("a", "b/*")) is prepare_patterns(("a", "b/*"))


def describe(names, segments):
    """The meaning of a pattern once more, as plainly as it can be said."""
    if not names:
        return True
    if names[0] is None:
        return any(describe(names[1:], segments[skipped:]) for skipped in range(len(segments) + 1))
    return bool(segments) and is_meant(names[0], segments[0]) and describe(names[1:], segments[1:])


def is_meant(name, segment):
    if not name:
        return not segment
    if name[0] == "*":
        return any(is_meant(name[1:], segment[skipped:]) for skipped in range(len(segment) + 1))
    return bool(segment) and name[0] in {"?", segment[0]} and is_meant(name[1:], segment[1:])


NAMES = st.text("ab*?", min_size=1, max_size=5).filter(lambda name: "**" not in name)
PATTERNS = st.lists(st.one_of(st.just("**"), NAMES), min_size=1, max_size=4).map("/".join)
PATHS = st.lists(st.text("ab*", min_size=1, max_size=4), min_size=1, max_size=5)


@given(PATTERNS, PATHS)
@examples(500)
def test_matching_agrees_with_the_meaning_said_plainly(pattern, segments):
    assert PatternSet((pattern,)).covers(tuple(segments)) is describe(parse_pattern(pattern), segments)


@given(NAMES, NAMES, st.text("ab", max_size=5))
@examples(300)
def test_two_names_that_mean_one_text_meet(one, other, text):
    if is_meant(one, text) and is_meant(other, text):
        assert names_meet(one, other)
    assert names_meet(one, other) is names_meet(other, one)


@pytest.mark.parametrize(
    ("one", "other", "met"),
    [
        ("a*", "*b", True), ("a*", "b*", False), ("a?", "?b", True), ("ab", "a", False), ("*", "", True), ("", "", True),
        ("a*c", "ab", False), ("?", "", False), ("a*", "", False), ("", "*a", False), ("**", "*", True), ("a*b*c", "a*bc", True),
    ],
)  # fmt: skip
def test_names_meet_where_some_text_is_meant_by_both(one, other, met):
    assert names_meet(one, other) is met


def test_sequences_of_anything_meet():
    assert meet(("a", None, "d"), ("a", "b", "c", "d"), str.startswith)
    assert not meet(("a", None, "d"), (None, "c"), str.startswith)


@pytest.mark.parametrize(
    ("segment", "name", "short"),
    [
        ("github~1", ".github", True), ("git~1", ".git", True), ("github~1.x", ".github", True),
        ("gi7eba~1", ".gitmodules", True),
        ("gitmod~4", ".gitmodules", True), ("claude~10", ".claude", True), ("aiderc~1.yml", ".aider*", True),
        ("mydocu~1", "my documents", True), ("github~", ".github", False), ("github~x", ".github", False),
        ("giphub~1", ".github", False), ("githubx~1", ".github", False), ("git~1.long", ".git", False), ("~1", ".git", False),
        (".github", ".github", False), ("a~1.bcd", "a.bcdef", True), ("github~1.", ".github", True),
        ("github~123456", ".github", True), ("github~1234567", ".github", False), ("migrati~1", "migrations", False),
        ("ab12cd~1", "ab12cdef", True), ("ab12cd~1", "abc", True), ("ab12cd~1", "acb", False), ("ab12cd~1", "ab12cd*", True),
    ],
)  # fmt: skip
def test_the_short_form_of_a_long_name_is_recognised(segment, name, short):
    assert abbreviates(segment, name) is short
    assert is_short_name(segment) or not short


@pytest.mark.parametrize(
    "name", ["github~", "github~x", "~1", ".github", "git~1.long", "git~1x", "a~1~1", "github~1234567"]
)
def test_any_other_name_is_no_short_form(name):
    assert not is_short_name(name)


@pytest.mark.parametrize(
    ("segments", "walked"),
    [
        (("a", "b"), ("a", "b")), (("a", "..", "b"), ("b",)), (("..", "..", "b"), ("b",)), ((".", "", "a"), ("a",)),
        (("a", ".."), ()), (("...",), ("...",)), (("a", "b", "c", "..", "d"), ("a", "b", "d")),
    ],
)  # fmt: skip
def test_steps_in_a_path_are_walked(segments, walked):
    assert resolve_dots(segments) == walked


ANY_PATH = st.text(st.characters(exclude_characters="\0", exclude_categories=("Cs",)), min_size=1, max_size=20)


@given(ANY_PATH)
@examples(200)
def test_case_never_matters_to_a_folded_path(path):
    assert fold_path(path)
    ascii_path = path.encode("ascii", "ignore").decode()
    assert fold_path(ascii_path.upper()) == fold_path(ascii_path.lower())


@given(ANY_PATH)
@examples(200)
def test_a_folded_path_folds_to_itself(path):
    assert fold_path("/".join(fold_path(path))) == fold_path(path)


def test_what_folding_case_takes_apart_is_joined_again():
    assert fold_path("\u00df\u0301") == fold_path("s\u015b")


@given(ANY_PATH)
@examples(200)
def test_what_is_covered_stays_covered_one_folder_deeper(path):
    segments = fold_path(path)
    for patterns in (PatternSet(("*a*", "src/*")), PatternSet(("**/x",))):
        assert not patterns.covers(segments) or patterns.covers((*segments, "deeper"))


def test_a_hostile_pattern_and_path_do_not_take_long():
    """Counted in steps of the walk, so that no clock decides: the product of the lengths bounds them."""
    steps = 0

    def agree(one, other):
        nonlocal steps
        steps += 1
        return one == other

    pattern = ("a", None) * 100
    assert len(pattern) == MAXIMUM_PATTERN_LENGTH
    assert not meet((*pattern, "b"), "a" * 500, agree)
    assert 0 < steps <= len(pattern) * 502
    assert not covers("*a" * 90 + "b", "a" * 4000)
