"""Finding diffs and suggestions in the text of an issue."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from coven_action.core.patches.extraction import Patch, Suggestion, extract_diffs
from coven_action.core.patches.suggestion_place import SuggestionPlace
from tests.counted_work import find_growth
from tests.fuzzing import examples

DIFF = "--- a/x.py\n+++ b/x.py\n@@ -1,3 +1,3 @@\n one\n-two\n+TWO\n three\n"


def extract(markdown):
    return extract_diffs(markdown, repository="acme/billing")


def paths(markdown):
    return [diff.path for block in extract(markdown).blocks if isinstance(block, Patch) for diff in block.files]


def indent(text, prefix):
    return "".join(prefix + line + "\n" for line in text.splitlines())


@pytest.mark.parametrize(
    "markdown",
    [
        f"```diff\n{DIFF}```",
        f"```diff\n{DIFF}",
        f"``` diff title\n{DIFF}```",
        f"```patch\n{DIFF}```   ",
        f"```Diff\n{DIFF}```",
        f"~~~diff\n{DIFF}~~~",
        f"~~~~~ udiff\n{DIFF}~~~~~~",
        f"````diff\n```\n{DIFF}````",
        f"```\n{DIFF}```",
        f"```text\n{DIFF}```",
        DIFF,
        f"diff --git a/x.py b/x.py\nindex 123..456 100644\n{DIFF}",
        f"Words before.\n{DIFF}Words after.\n",
        f"```diff\n{DIFF}```".replace("\n", "\r\n"),
        indent(f"```diff\n{DIFF}```", "  "),
        indent(f"```diff\n{DIFF}```", "> "),
        indent(f"```diff\n{DIFF}```", "> > "),
        "- Do this:\n\n" + indent(f"```diff\n{DIFF}```", "  "),
        "1. ```diff\n" + indent(f"{DIFF}```", "   "),
        f"<!-- a template's hint -->\n```diff\n{DIFF}```",
        f"<!-- one --> <!-- two -->\n{DIFF}",
        f"<!--\nhint\n-->\n```diff\n{DIFF}```",
        f"The marker `<!--` is text.\n\n```diff\n{DIFF}```",
        f"An arrow <!-- that never ends\n\n```diff\n{DIFF}```",
        f"An arrow <!-- that never ends\n```diff\n{DIFF}```",
        f"<details>\n\n```diff\n{DIFF}```\n</details>",
    ],
)
def test_a_diff_is_found_wherever_people_put_it(markdown):
    extraction = extract(markdown)
    assert [diff.render() for block in extraction.blocks for diff in block.files] == [
        ("diff --git a/x.py b/x.py\nindex 123..456 100644\n" if "index" in markdown else "") + DIFF
    ]
    assert extraction.notes == ()


@pytest.mark.parametrize(
    ("markdown", "reason"),
    [
        ("", None),
        ("No change here.\n---\n+++ nor here\n", None),
        ("--- a/x\n+++ b/x\n", None),
        (f"<!--\n{DIFF}-->\n", "inside an HTML comment"),
        (f"<!--\n\n{DIFF}", "inside an HTML comment"),
        (f"Words <!-- hidden\n{DIFF}--> seen", "inside an HTML comment"),
        (f"```python\ndiff --git a/x.py b/x.py\n{DIFF}```", "marked `python` holds a diff"),
        (f"```python\n{DIFF}```", None),
        ("```diff\n- old\n+ new\n```", "names no file"),
        ("```diff\nnothing\n```", None),
        ("```\n- a list\n```", None),
    ],
)
def test_what_is_not_taken_leaves_a_note(markdown, reason):
    extraction = extract(markdown)
    assert extraction.blocks == ()
    assert not any(note.fatal for note in extraction.notes)
    if reason is None:
        assert extraction.notes == ()
    else:
        assert reason in extraction.notes[0].reason


@pytest.mark.parametrize(
    ("markdown", "line"),
    [
        ("```diff\n" + DIFF.replace("3", "4") + "```", 4),
        ("Words\n\n" + DIFF.replace("-1,3", "-1,2"), 5),
        (DIFF + "+one line too many\n", 8),
        ("```suggestion\nx\n```", 1),
        ("diff --git a/x b/x\nBinary files a/x and b/x differ\n" + DIFF, 2),
    ],
)
def test_a_broken_diff_is_fatal_and_its_line_is_named(markdown, line):
    notes = [note for note in extract(markdown).notes if note.fatal]
    assert [note.line for note in notes] == [line]


def test_a_quote_that_ends_ends_its_block():
    assert paths(indent("```diff\n" + DIFF, "> ") + "\n" + DIFF.replace("x.py", "y.py")) == ["x.py", "y.py"]


def test_one_block_may_hold_several_files_and_several_blocks_keep_their_order():
    second, third = DIFF.replace("x.py", "y.py"), DIFF.replace("x.py", "z.py")
    extraction = extract(f"```diff\n{DIFF}\n{second}```\n\n```diff\n{third}```\n")
    assert [[diff.path for diff in block.files] for block in extraction.blocks] == [["x.py", "y.py"], ["z.py"]]
    assert [block.line for block in extraction.blocks] == [1, 19]


def test_carriage_returns_of_a_form_vanish_and_those_of_the_text_stay():
    form = extract(f"```diff\n{DIFF}```\n".replace("\n", "\r\n")).blocks[0].files[0]
    mixed = extract("```diff\n" + DIFF.replace("two\n", "two\r\n") + "```\n").blocks[0].files[0]
    assert not form.has_carriage_returns()
    assert mixed.hunks[0].lines[1] == "-two\r"


COMMIT = "0123456789abcdef0123456789abcdef01234567"


@pytest.mark.parametrize(
    ("before", "place"),
    [
        (f"https://github.com/acme/billing/blob/{COMMIT}/src/a.py#L3-L5", (("src/a.py",), 3, 5, COMMIT)),
        (f"See [here](https://ghe.example/Acme/Billing/blob/{COMMIT}/a%20b.py?plain=1#L3C1-L5C9):",
         (("a b.py",), 3, 5, COMMIT)),
        ("<https://github.com/acme/billing/blob/main/src/a.py#L3>", (("src/a.py", "a.py"), 3, 3, None)),
        ("src/a.py#L3-L5", (("src/a.py",), 3, 5, None)),
        ("In `./src/a.py:3-5`, please:\n", (("src/a.py",), 3, 5, None)),
        ("Makefile:3\n\n", (("Makefile",), 3, 3, None)),
        ("**a.py:3** at 10:30", (("a.py",), 3, 3, None)),
        ("old.py:1\nnew.py:2", (("new.py",), 2, 2, None)),
    ],
)  # fmt: skip
def test_a_suggestion_knows_its_place(before, place):
    extraction = extract(f"{before}\n```suggestion\nx = 1\n\n```\n")
    assert extraction.notes == ()
    assert extraction.blocks == (Suggestion(extraction.blocks[0].line, SuggestionPlace(*place), ("x = 1", "")),)


@pytest.mark.parametrize(
    "before",
    [
        "",
        "Please change this.",
        "a.py:3\n\n\n\n",
        "a.py:5-3",
        "a.py:0",
        "10:30",
        f"https://github.com/other/billing/blob/{COMMIT}/a.py#L3",
        "https://github.com/acme/billing/blob/main#L3",
        f"https://github.com/acme/billing/blob/{COMMIT}#L3",
        f"https://github.com/acme/billing/blob/{COMMIT}/a.py",
        "https://example.com/a.py:3",
        "x" * 10000 + " a.py:3",
    ],
)
def test_a_suggestion_without_a_place_is_fatal(before):
    extraction = extract(f"{before}\n```suggestion\nx\n```\n")
    assert extraction.blocks == ()
    assert extraction.notes[0].fatal


# Texts of any size that would take a careless reader more than one look: size -> text, and the size of a long one.
HOSTILE = {
    "spaces": (lambda size: " " * size + "x", 300_000),
    "quotation marks": (lambda size: "> " * size, 150_000),
    "one long fence": (lambda size: "`" * size, 300_000),
    "fences that are none": (lambda size: "``` `\n" * size, 40_000),
    "comments that stay open": (lambda size: "<!--" * size, 75_000),
    "comments that are empty": (lambda size: "<!---->" * size, 40_000),
    "comments that an empty line ends": (lambda size: "<!-- x\n\n" * size, 30_000),
    "headers without names": (lambda size: "--- \n+++ \n@@ \n" * size, 20_000),
    "headers of git": (lambda size: "diff --git a b\n" * size, 20_000),
    "suggestions without a place": (lambda size: "```suggestion\n```\n" * size, 15_000),
    "suggestions after a long line": (lambda size: "a" * 3_000 + ":1\n```suggestion\n```\n" * size, 15_000),
    "numbers of lists": (lambda size: "1." * size, 100_000),
    "marks of lists": (lambda size: "- " * size + "```", 150_000),
    "hunks that promise much": (lambda size: "@@ -1,999999999 +1,999999999 @@\n" * size, 9_000),
    "files that promise much": (
        lambda size: ("--- a/x\n+++ b/x\n@@ -1,999999999 +1,9 @@\n" + " \n" * 8) * size,
        4_000,
    ),
    "spans of two lengths": (lambda size: "`` ` " * size, 60_000),
    "a hunk that breaks off": (
        lambda size: "```diff\n--- a/x\n+++ b/x\n@@ -1,9999999 +1,9999999 @@\n" + " \n" * size,
        100_000,
    ),
    "links to nowhere": (
        lambda size: "https://github.com/acme/billing/blob/" * size + "\n```suggestion\n```",
        8_000,
    ),
    "a deep path": (lambda size: "diff --git a/" + "x/" * size + "\nold mode 1\n", 100_000),
}


@pytest.mark.parametrize(("build", "long"), HOSTILE.values(), ids=HOSTILE)
def test_hostile_text_is_read_in_linear_work(build, long):
    del long

    assert find_growth(lambda size: extract(build(size)), 100) == ""


@pytest.mark.parametrize(("build", "long"), HOSTILE.values(), ids=HOSTILE)
def test_a_long_hostile_text_is_read_to_its_end(build, long):
    """Work inside the matching of expressions is not counted; if it were quadratic, this would take minutes."""
    found = extract(build(long))

    assert not any(isinstance(block, Patch) for block in found.blocks)


LINES = st.sampled_from(
    ["```", "```diff", "~~~", "````", "> ```diff", "- ```", "<!--", "-->", "a <!-- b", "", " ", "x.py:1",
     "```suggestion", "rename from x", "copy from a", "deleted file mode 100644", "-- ", "index 1..2",
     "--- a/x", "+++ b/x", "@@ -1 +1 @@", "@@ -1,2 +1,2 @@", "-a", "+b", " c", "\\ No newline at end of file", "\r",
     "diff --git a/x b/x", "new file mode 100644", "rename from a", "rename to b", "GIT binary patch", "literal 3",
     "--- /dev/null", "+++ /dev/null", '--- "a/\\303', "Binary files a and b differ", "diff --cc x", "@@ -x @@"]
)  # fmt: skip


@examples(300)
@given(st.lists(LINES, max_size=30))
def test_any_text_gives_an_answer_and_what_is_found_reads_the_same_again(lines):
    for block in extract("\n".join(lines)).blocks:
        if isinstance(block, Patch):
            text = "".join(diff.render() for diff in block.files)
            again = extract(f"````````diff\n{text}````````")
            assert [diff for found in again.blocks for diff in found.files] == list(block.files)
