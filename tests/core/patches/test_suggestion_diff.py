"""Suggestions as diffs against the real file."""

import pytest

from coven_action.core.patches.extraction import Suggestion
from coven_action.core.patches.suggestion_diff import SuggestionError, build_suggestion_diff
from coven_action.core.patches.suggestion_place import SuggestionPlace
from coven_action.core.patches.unified_diff import parse_file_diff


def suggest(start, end, *lines):
    return Suggestion(1, SuggestionPlace(("x",), start, end), lines)


@pytest.mark.parametrize(
    ("content", "suggestions", "expected"),
    [
        (b"1\n2\n3\n4\n5\n6\n", [suggest(5, 5, "V")], "@@ -2,5 +2,5 @@\n 2\n 3\n 4\n-5\n+V\n 6\n"),
        (b"1\n2\n3\n", [suggest(1, 3)], "@@ -1,3 +0,0 @@\n-1\n-2\n-3\n"),
        (b"1\n2\n3\n", [suggest(2, 2, "a", "b")], "@@ -1,3 +1,4 @@\n 1\n-2\n+a\n+b\n 3\n"),
        (b"1\n2\n3\n", [suggest(3, 3, "c"), suggest(1, 1, "a")], "@@ -1,3 +1,3 @@\n-1\n+a\n 2\n-3\n+c\n"),
        (b"1\n2\n3\n", [suggest(1, 1, "1"), suggest(3, 3, "c")], "@@ -1,3 +1,3 @@\n 1\n 2\n-3\n+c\n"),
        (b"1\r\n2\r\n", [suggest(2, 2, "b")], "@@ -1,2 +1,2 @@\n 1\r\n-2\r\n+b\r\n"),
        (b"1\n2", [suggest(2, 2, "b")],
         "@@ -1,2 +1,2 @@\n 1\n-2\n\\ No newline at end of file\n+b\n\\ No newline at end of file\n"),
        (b"1\n2", [suggest(1, 1, "a")], "@@ -1,2 +1,2 @@\n-1\n+a\n 2\n\\ No newline at end of file\n"),
        (b"1\n2", [suggest(2, 2)], "@@ -1,2 +1,1 @@\n 1\n-2\n\\ No newline at end of file\n"),
        (b"1", [suggest(1, 1)], "@@ -1,1 +0,0 @@\n-1\n\\ No newline at end of file\n"),
    ],
)  # fmt: skip
def test_a_suggestion_becomes_a_hunk(content, suggestions, expected):
    text = build_suggestion_diff("x", content, suggestions).render()
    assert text == "diff --git a/x b/x\n--- a/x\n+++ b/x\n" + expected
    assert parse_file_diff(text.split("\n"), 0)[0].render() == text


@pytest.mark.parametrize(
    ("content", "suggestions", "message"),
    [
        (b"\xff", [suggest(1, 1, "a")], "not UTF-8"),
        (b"", [suggest(1, 1, "a")], "has 0 lines"),
        (b"1\n", [suggest(2, 2, "a")], "replaces line 2"),
        (b"1\n2\n3\n", [suggest(1, 2, "a"), suggest(2, 3, "b")], "two suggestions replace line 2"),
        (b"1\n", [suggest(1, 1, "1")], "already holds"),
    ],
)
def test_a_suggestion_that_does_not_fit_is_refused(content, suggestions, message):
    with pytest.raises(SuggestionError, match=message):
        build_suggestion_diff("x", content, suggestions)
