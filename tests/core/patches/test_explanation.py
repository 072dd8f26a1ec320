"""Why a diff does not apply, in sentences."""

import pytest

from coven_action.core.patches.explanation import explain_conflict, find_path_fault, quote
from coven_action.core.patches.unified_diff import parse_file_diff
from tests.counted_work import find_growth

FILE = b"one\ntwo\nthree\nfour\nfive\n"
DIFF = "--- a/x\n+++ b/x\n@@ -2,3 +2,3 @@\n two\n-three\n+THREE\n four\n"
NEW = "--- /dev/null\n+++ b/x\n@@ -0,0 +1,2 @@\n+one\n+two\n"


def explain(diff, content):
    return explain_conflict(parse_file_diff(diff.split("\n"), 0)[0], content)


@pytest.mark.parametrize(
    ("diff", "content", "expected"),
    [
        (DIFF, FILE, None),
        (DIFF, None, "`x` does not exist"),
        (DIFF, b"\xff\n", "not UTF-8 text"),
        (DIFF, FILE.replace(b"three", b"THREE"), "`x`: the hunk at line 2 seems to be applied already"),
        (DIFF, FILE.replace(b"\n", b"\r\n"), "line ends only"),
        (DIFF, FILE.replace(b"three", b"drei"), "line 3 should be `three` and is `drei`"),
        (DIFF, FILE.replace(b"three", b"  three"), "white space only"),
        (DIFF, b"one\ntwo\n", "expects `three` as line 3, but the file ends before"),
        (DIFF, b"one\ntwo", "expects `three` as line 3, but the file ends before"),
        (DIFF, b"", "expects `two` as line 2, but the file ends before"),
        (DIFF.replace("-2,3 +2,3", "-1,3 +1,3"), FILE, "at the beginning of the file"),
        ("--- a/x\n+++ b/x\n@@ -2,1 +2,1 @@\n-two\n+TWO\n", FILE, "three lines of context"),
        (
            "--- a/x\n+++ b/x\n@@ -5,1 +5,1 @@\n-five\n\\ No newline at end of file\n+FIVE\n",
            FILE,
            "line feed at the end",
        ),
        ("--- a/x\n+++ b/x\n@@ -2,2 +1,0 @@\n-two\n-zwei\n", FILE, "line 3 should be `zwei`"),
        (NEW, None, None),
        (NEW, b"one\ntwo\n", "already there with this content"),
        (NEW, b"one\r\ntwo", "already there with this content"),
        (NEW, b"else\n", "already there, and the patch wants to create it"),
        ("diff --git a/x b/x\nold mode 100644\nnew mode 100755\n", b"\xff", None),
    ],
)
def test_a_refusal_is_explained(diff, content, expected):
    found = explain(diff, content)
    assert found == [] if expected is None else expected in found[0]


def test_lines_found_elsewhere_are_no_reason():
    assert explain(DIFF, b"zero\n" * 100 + FILE) == []


def test_the_last_lines_that_are_not_the_last_are_explained():
    diff = "--- a/x\n+++ b/x\n@@ -1,1 +1,1 @@\n-one\n+1\n"
    assert "one that" not in explain(diff, b"one")[:1]
    assert explain(diff, b"one") == []


def test_many_faults_are_cut():
    hunks = "".join(f"@@ -{number},2 +{number},2 @@\n a\n-b\n+c\n" for number in range(1, 50))
    assert len(explain("--- a/x\n+++ b/x\n" + hunks, b"x\n" * 100)) == 10


@pytest.mark.parametrize(
    ("path", "word"),
    [
        ("/etc/passwd", "absolute"),
        ("C:/x", "absolute"),
        ("c:x", "absolute"),
        ("../x", "no plain path"),
        ("a/../../x", "no plain path"),
        ("a\\..\\x", "no plain path"),
        ("./a", "no plain path"),
        ("a//b", "no plain path"),
        ("", "no plain path"),
        ("a/", "no plain path"),
        ("a\0b", "no plain path"),
        (".git/config", "git's own"),
        ("sub/.GIT/config", "git's own"),
        ("GIT~1/config", "git's own"),
        (".git . /config", "git's own"),
        (".git::$INDEX_ALLOCATION/config", "git's own"),
        (".g\u200dit/config", "git's own"),
        ("x/.git", "git's own"),
    ],
)
def test_paths_that_leave_the_tree_are_refused(path, word):
    assert word in find_path_fault(path)


@pytest.mark.parametrize(
    "path", ["a", ".github/workflows/x.yml", ".gitignore", ".gitattributes", "a..b/c", "...", "git", "x.git"]
)
def test_ordinary_paths_are_not(path):
    assert find_path_fault(path) is None


def test_foreign_text_cannot_leave_its_quotation():
    assert quote("a`b\n@everyone\u202e") == "`a'b\N{REPLACEMENT CHARACTER}@everyone\N{REPLACEMENT CHARACTER}`"
    assert quote("") == "` `"
    assert len(quote("x" * 1000)) == 83


def _search(count):
    diff = f"--- a/x\n+++ b/x\n@@ -1,{count} +1,{count - 1} @@\n" + " a\n" * (count - 1) + "-b\n"
    return explain(diff, b"a\n" * 2 * count)


def test_a_hostile_file_is_searched_in_linear_work():
    assert find_growth(_search, 300) == ""


def test_a_long_hostile_file_is_searched_to_its_end():
    """Work inside one search of a text is not counted; if it were quadratic, this would take minutes."""
    (sentence,) = _search(100_000)

    assert sentence == "`x`: the hunk at line 1 seems to be applied already"
