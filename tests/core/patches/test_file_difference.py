"""A difference is short, and safe to print whatever the file says."""

from coven_action.core.patches.file_difference import MAX_COMPARED, MAX_SHOWN, MAX_WIDTH, render_difference


def test_changed_lines_are_shown_with_their_neighbours():
    assert render_difference("a\nb\nc\n", "a\nB\nc\n", path="f").splitlines() == [
        "--- f as it is",
        "+++ f as it would be",
        "@@ -1,3 +1,3 @@",
        " a",
        "-b",
        "+B",
        " c",
    ]


def test_a_long_difference_is_cut():
    lines = render_difference("", "".join(f"{n}\n" for n in range(100)), path="f").splitlines()

    assert len(lines) == MAX_SHOWN + 1
    assert lines[-1] == "… 63 more lines"


def test_a_long_line_is_cut():
    assert len(render_difference("", "x" * 1000, path="f").splitlines()[-1]) == MAX_WIDTH + 1


def test_a_file_too_long_to_compare_is_only_counted():
    assert render_difference("x\n" * (MAX_COMPARED + 1), "y\n", path="f") == "f has 1001 lines, ours 1."


def test_nothing_reaches_the_terminal_as_a_command():
    text = render_difference("\x1b[31m\tred\udcff\u202e", "", path="f")

    assert r"-\x1b[31m    red\udcff\u202e" in text
