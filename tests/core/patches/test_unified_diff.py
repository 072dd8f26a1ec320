"""Reading unified diffs."""

import pytest

from coven_action.core.patches.unified_diff import UnifiedDiffError, is_diff_start, parse_file_diff

HUNK = "@@ -1,2 +1,2 @@ def f():\n one\n-two\n+TWO\n"


def parse(text):
    return parse_file_diff(text.split("\n"), 0)


@pytest.mark.parametrize(
    ("header", "old_path", "new_path"),
    [
        ("--- a/x\n+++ b/x\n", "x", "x"),
        ("--- a/x\t2026-01-01 00:00:00 +0000\n+++ b/x\t2026-01-02\n", "x", "x"),
        ("--- a/with space\t\n+++ b/with space\t\n", "with space", "with space"),
        ('--- "a/\\303\\244\\t\\"\\\\"\n+++ "b/\\303\\244\\t\\"\\\\"\n', 'ä\t"\\', 'ä\t"\\'),
        ("--- x\n+++ x\n", "x", "x"),
        ("--- src/x\n+++ src/x\n", "src/x", "src/x"),
        ("--- a/x\n+++ a/x\n", "x", "x"),
        ("--- i/x\n+++ w/x\n", "x", "x"),
        ("--- old/src/x\n+++ new/src/x\n", "src/x", "src/x"),
        ("--- x.orig\n+++ x\n", "x", "x"),
        ("--- /dev/null\n+++ b/x\n", None, "x"),
        ("--- a/x\n+++ /dev/null\n", "x", None),
        ("--- /etc/passwd\n+++ /etc/passwd\n", "/etc/passwd", "/etc/passwd"),
        ("--- a//x\n+++ b//x\n", "/x", "/x"),
        ("diff --git a/x b/x\nindex 1..2 100644\n--- a/x\n+++ b/x\n", "x", "x"),
        ("diff --git a/x b/y\nsimilarity index 90%\nrename from x\nrename to y\n--- a/x\n+++ b/y\n", "x", "y"),
        ("diff --git a/x b/y\ncopy from x\ncopy to y\n--- a/x\n+++ b/y\n", "x", "y"),
    ],
)
def test_names_are_read_with_and_without_prefix(header, old_path, new_path):
    found, index = parse(header + HUNK + "\nThanks!")
    assert (found.old_path, found.new_path) == (old_path, new_path)
    assert found.path == (new_path or old_path)
    assert len(found.hunks) == 1
    assert found.counts() == (1, 1)
    assert index == header.count("\n") + 4
    assert parse(found.render())[0].hunks == found.hunks


@pytest.mark.parametrize(
    ("text", "old_path", "new_path"),
    [
        ("diff --git a/x y b/x y\nold mode 100644\nnew mode 100755\n", "x y", "x y"),
        ('diff --git "a/\\303\\244" "b/\\303\\244"\nold mode 100644\nnew mode 100755\n', "ä", "ä"),
        ("diff --git a/x b/x\nnew file mode 100644\nindex 0000000..e69de29\n", None, "x"),
        ("diff --git a/x b/x\ndeleted file mode 100644\nindex e69de29..0000000\n", "x", None),
        ('diff --git "a/\\001" b/y\nrename from "\\001"\nrename to y\n', "\x01", "y"),
        ("diff --git a/x b/x\nindex 1..2\nGIT binary patch\nliteral 3\nabc\n\nliteral 0\nHc\n\n", "x", "x"),
        ("diff --git a/x b/x\nindex 1..2\nGIT binary patch\nliteral 3\nabc", "x", "x"),
    ],
)
def test_changes_without_hunks_are_read(text, old_path, new_path):
    found, _ = parse(text)
    assert (found.old_path, found.new_path) == (old_path, new_path)
    assert not found.hunks
    assert parse(found.render())[0] == found


@pytest.mark.parametrize(
    ("text", "line", "message"),
    [
        ("diff --cc x\nindex 1,2..3\n", 0, "combined diff"),
        ("diff --git a/x b/x\n--- a/x\nhello\n", 1, "must follow"),
        ("diff --git a/x b/x\n--- a/x", 1, "must follow"),
        ("diff --git a/x b/x\n--- a/x\n+++ b/x\n", 0, "no hunk"),
        ("diff --git a/x b/x\n\n", 0, "nothing is said about `x`"),
        ("diff --git a/x b/y\nold mode 1\nnew mode 2\n", 0, "cannot be told apart"),
        ('diff --git "a/x" "b/y"\nold mode 1\n', 0, "cannot be told apart"),
        ('diff --git "a/x\nold mode 1\n', 0, "cannot be told apart"),
        ("diff --git /dev/null /dev/null\nold mode 1\n", 0, "cannot be told apart"),
        ("diff --git a/x b/x\nBinary files a/x and b/x differ\n", 1, "git diff --binary"),
        ("diff --git a/x b/y\nrename from x\n", 0, "one half"),
        ("diff --git a/x b/y\nrename from x\nrename from y\n", 0, "two things"),
        ("diff --git a/x b/y\nrename from x\ncopy to y\n", 0, "two things"),
        ("diff --git a/x b/x\nnew file mode 100644\ndeleted file mode 100644\n", 0, "two things"),
        ("--- a/x\n+++ b/y\n" + HUNK, 0, "differ, and it is no rename"),
        ("--- /dev/null\n+++ /dev/null\n" + HUNK, 0, "both names"),
        ('--- "a/\\9"\n+++ b/x\n' + HUNK, 0, "cannot be read"),
        ('--- "a/\\377"\n+++ b/x\n' + HUNK, 0, "cannot be read"),
        ("--- a/x\n+++ b/x\n@@ nonsense @@\n", 2, "not of the form"),
        ("--- a/x\n+++ b/x\n@@ -1,3 +1,3 @@\n one\n", 2, "number of lines"),
        ("--- a/x\n+++ b/x\n@@ -1,3 +1,3 @@\n one\n*two\n three\n", 2, "number of lines"),
        ("--- a/x\n+++ b/x\n@@ -1,1 +1,2 @@\n one\n two\n", 2, "number of lines"),
        ("--- a/x\n+++ b/x\n" + HUNK + " three\n", 6, "more lines"),
        ("--- a/x\n+++ b/x\n" + HUNK + "-three\n", 6, "more lines"),
        ("--- a/x\n+++ b/x\n" + HUNK + "+three\n", 6, "more lines"),
    ],
)
def test_what_git_would_misread_is_refused(text, line, message):
    with pytest.raises(UnifiedDiffError, match=message) as refused:
        parse(text)
    assert refused.value.line == line


@pytest.mark.parametrize(
    "follower", ["", "-- \n2.39.5", "--\n2.39.5", "   \n", "diff --git a/y b/y", "--- a/y\n+++ b/y\n@@ "]
)
def test_a_hunk_ends_where_its_header_says(follower):
    found, index = parse("--- a/x\n+++ b/x\n" + HUNK + follower)
    assert len(found.hunks[0].lines) == 3
    assert index == 6


def test_the_mark_of_a_missing_line_feed_and_empty_context_lines_stay():
    text = (
        "--- a/x\n+++ b/x\n@@ -1,3 +1,3 @@\n\r\n\n-a\n\\ No newline at end of file\n+b\n\\ No newline at end of file\n"
    )
    found, index = parse(text + "\nWords")
    hunk = found.hunks[0]
    assert index == 9
    assert (hunk.old_lines(), hunk.new_lines()) == (["\r", "", "a"], ["\r", "", "b"])
    assert not hunk.has_context_after()
    assert found.with_carriage_returns().hunks[0].lines == (
        " \r\r", " \r", "-a", "\\ No newline at end of file", "+b", "\\ No newline at end of file",
    )  # fmt: skip


def test_a_diff_begins_with_its_names_and_a_hunk():
    assert is_diff_start(["--- a/x", "+++ b/x", "@@ -1 +1 @@"], 0)
    assert not is_diff_start(["--- a/x", "+++ b/x"], 0)
    assert not is_diff_start(["--- a/x", "hello", "@@ -1 +1 @@"], 0)


def test_every_path_is_listed_once():
    assert parse("diff --git a/x b/y\nrename from x\nrename to y\n")[0].paths == ("x", "y")
    assert parse("--- /dev/null\n+++ b/x\n@@ -0,0 +1 @@\n+1\n")[0].paths == ("x",)
