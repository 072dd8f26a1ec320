"""What a familiar reads is what a person sees."""

import re
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from coven_action.core.sanitising import hidden_html, hidden_markdown
from coven_action.core.sanitising.invisible import INVISIBLE_RANGES
from coven_action.core.sanitising.sanitiser import Sanitised, sanitise_input
from tests.fuzzing import examples

REMOVED = [
    ("a comment", "a <!-- X --> b", "a  b"),
    ("a comment over paragraphs", "a <!-- X\n\nX --> b", "a \n b"),
    ("a comment without its end", "a <!-- X\n\nX", "a \n"),
    ("an empty comment does not hide the rest", "a <!--> b --> c", "a  b --> c"),
    ("nested comments", "a <!-- <!-- X --> b", "a  b"),
    ("a reassembling comment", "a <!<!-- X -->-- b", "a -- b"),
    ("CDATA", "a <![CDATA[ X > X ]]> b", "a  b"),
    ("CDATA without its end", "a <![CDATA[ X", "a "),
    ("a processing instruction", "a <?X ?> b", "a  b"),
    ("a processing instruction without its end", "a <?X", "a "),
    ("a declaration", "a <!DOCTYPE X> b", "a  b"),
    ("a declaration without its end", "a <!X", "a "),
    ("a lone opener", "a <! b", "a <! b"),
    ("a bogus comment", "a <! X> b", "a  b"),
    ("tags, not their text", 'a <b title="X">b</b>', "a b"),
    ("an angle inside a quoted value", 'a <b title="> X">b</b>', "a b"),
    ("a quoted value without its end", 'a <b title="X\n\nX', "a \n"),
    ("an unknown tag", "List<String> x", "List x"),
    ("a bogus closing tag", "a </ X> b", "a  b"),
    ("an unclosed element of HTML", "<div X\nX\n\nb", "\n \n\nb"),
    ("an unclosed tag in an HTML block", "<div>\n<a X\n\nb", " \n\n\nb"),
    ("a folded section but its summary", "<details><summary>S</summary>X</details> b", " S   b"),
    ("a folded section without its end", "a<details>X\n\nX", "a "),
    ("folded sections in folded sections", "<details>X<details>X</details>X</details>b", "  b"),
    ("a folded section in a summary", "<details><summary>S<details>X</details>T</summary>X</details>b", " S  T  b"),
    ("a summary without its end", "<details><summary>S</details>b", " S  b"),
    ("a second summary", "<details><summary>S</summary><summary>X</summary></details>b", " S   b"),
    ("a hidden summary", "<details><summary hidden>X</summary></details>b", "  b"),
    ("a summary that is closed before it opens", "<details></summary><summary>X</summary></details>b", "  b"),
    ("a hidden element", "a <p hidden>X</p>b", "a   b"),
    ("a style that hides", 'a <p style="display : none">X</p>b', "a   b"),
    ("a style with a CSS comment", 'a <p style="display:/**/none">X</p>b', "a   b"),
    ("a style with an entity", 'a <p style="display&#58;none">X</p>b', "a   b"),
    ("a style with a CSS escape", 'a <p style="d\\69splay:none">X</p>b', "a   b"),
    ("a very long tag", f"a <p title='{'x' * 5000}'>X</p>b", "a   b"),
    ("script", "a <script>X</script>b", "a   b"),
    ("a hidden element without content", "a <input hidden>b", "a b"),
    ("a link definition", "a\n\n[//]: # (X)\n\nb", "a\n\n\n\nb"),
    ("a link definition over lines", "a\n\n[x]:\n  https://e\n  'X\n  X'\n\nb", "a\n\n\n\nb"),
    ("a link definition in a quotation", "> [x]: https://e (X)\nb", "> \nb"),
    ("a link title", '[a](https://e "X")', "[a](https://e)"),
    ("a link title over lines", "[a](https://e\n'X \\' X')", "[a](https://e)"),
    ("an image description", "![X](https://e)", "![](https://e)"),
    ("an image description with brackets", "![X [X [X] ![X](y)](u)](https://e)", "![](https://e)"),
    ("an image description inside an open one", "![ ![X](u)\n\n![ \\] X]", "![ ![](u)\n\n![]"),
    ("a footnote that nothing refers to", "a\n\n[^x]: X\nX\n\n    X\n\nb", "a\n\n\n\nb"),
    ("a comment in an HTML block with backticks", "<div>\n```\n<!-- X -->\n```\n</div>", " \n```\n\n```\n "),
    ("a comment in pre", "<pre>\n\n```\n<!-- X -->\n```\n</pre>", " \n\n```\n\n```\n "),
    ("a comment behind pre without its end", "<pre>\n\n`<!-- X -->`", " \n\n``"),
    ("a comment behind a lone tag", "<b>\n`<!-- X -->`", "\n``"),
    ("a comment beside escaped backticks", "\\` <!-- X --> `", "\\`  `"),
    ("a comment between spans of two lines", "a ` b\n` <!-- X --> ` c", "a ` b\n`  ` c"),
    ("a comment across the cells of a table", "|a|b|\n|-|-|\n|`|<!-- X -->`|", "|a|b|\n|-|-|\n|`|`|"),
    ("a comment behind an address that swallows the backtick", "https://e/`<!-- X -->`", "https://e/``"),
    ("a comment behind a comment with a backtick", "<!-- ` --> ` a ` <!-- X --> `", " ` a `  `"),
    ("a comment behind a fence in a list", "- ```\n  x\n  ```\n  <!-- X -->", "- ```\n  x\n  ```\n  "),
    ("a comment that ends a list's fence", "- a\n  ```\n<!-- X -->\n  ```", "- a\n  ```\n\n  ```"),
    ("a comment behind a fence closed elsewhere", "  ```\n   ```\n  <!-- X -->", "  ```\n   ```\n  "),
    ("a comment in a continued paragraph", "a\n    ~~~\n    <!-- X -->\n    ~~~", "a\n    ~~~\n    \n    ~~~"),
    ("a comment that holds half a fence", "<!--\n```\n-->\n<!-- X -->\n```\nb", "\n\n\n```\nb"),
    ("a comment in a quoted fence", "> ```\n> <!-- X -->", "> ```\n> "),
    ("an autolink in an HTML block", "<div>\n<x:X>\nb", " \n\nb"),
    ("a definition whose address is a tag", "a\n\n[X]: <b X>\n\nb", "a\n\n\n\nb"),
    ("a definition that ends inside a tag", "a\n\n[X<b c=']: X", "a\n\n"),
    ("a definition whose address holds a tag", "a\n\n[x]: y<p>X", "a\n\n"),
    ("a definition behind a picture's brackets", "![X\n[x]: y\n](u)", "![](u)"),
    ("a tag in a quoted HTML block", "> <div>\n> <a X\n> X\n\nb", "> \n> \n\n\nb"),
    ("a tag in pre over blank lines", "<pre><b\n\nX>", " \n"),
    ("a tag that a fence cuts short", "a <b\n``` >X~~~ X\nb\n```\n<!-- X -->", "a \n\nb\n```\n"),
    ("an unclosed tag behind an instruction", "<? ?><b X\n\nb", "\n\nb"),
    ("words behind a fence's language", "```py X\na\n```", "```py\na\n```"),
    ("words behind a quoted fence's language", "> ~~~ py X\n> a", "> ~~~ py\n> a"),
    ("words in a folded section's fence", "<details>\n\n```py X\nX\n```\n</details>", " "),
    ("a far autolink with a backtick", "<x:`> `<!-- X -->` `", " `` `"),
]


@pytest.mark.parametrize(("text", "visible"), [case[1:] for case in REMOVED], ids=[case[0] for case in REMOVED])
def test_what_a_person_does_not_see_is_removed(text, visible):
    result = sanitise_input(text)
    assert re.sub(" +", " ", result.text) == re.sub(" +", " ", visible)
    assert "X" not in result.text
    assert sanitise_input(result.text).text == result.text


KEPT = [
    "a < b and c > d, x<y, 1 <2, a <b then",
    "see <https://example.org/x?y=1> and <person@example.org>",
    "```html\n<!-- comment -->\n<div hidden>  \n[x]: https://e 'title'\n\t![a](b \"c\")\n```\nafter",
    "~~~\n<!-- ``` -->\n~~~",
    "````\n```\n<b>\n```\n````",
    "```\n    ```\n<b>\n```",
    "text `<b>` and ``<a ` b>`` and ```<i>```",
    "- a\n\n  ```\n  <b>\n  ```\n",
    "a\n\n    ```\n    <b>\n    ```\n",
    "   ```\n   <b>\n",
    "```\n<b> without an end",
    "``` not ` a fence\nx",
    "1. a\n\n\t```\n\t<b>\n\t```",
    "[Note]: please do this, and [this](https://e) and [^1].\n\n[^1]: a footnote",
    "wow [ ![ \\] and \\[x",
    "| a |\n|---|\n| `<b>` |",
    "![](https://e)",
    "```\na\n```\n`<b>` right after a fence",
]


@pytest.mark.parametrize("text", KEPT)
def test_what_a_person_sees_stays_byte_for_byte(text):
    assert sanitise_input(text) == Sanitised(text, {})


def test_an_open_section_stays():
    assert sanitise_input("<details open>seen</details>").text.strip() == "seen"


def test_a_patch_survives_and_loses_only_what_is_invisible():
    patch = '```diff\n--- a/x\n+++ b/x\n@@ -1 +1 @@\n-<div>\t \n+<div title="a">  \n \n```\n'
    hidden = patch.replace("title", "ti\u200btle").replace("\n", "\r\n")
    result = sanitise_input(f"<!-- X -->\r\n{hidden}")
    assert result.text == f"\n{patch}"
    assert result.removed == {"comment": 1, "invisible": 1}


def test_every_invisible_character_is_removed_and_counted_in_code_too():
    for low, high, _ in INVISIBLE_RANGES:
        assert sanitise_input(f"`a{chr(low)}b`{chr(high)}c").text == "`ab`c"
    assert sanitise_input("é" + "\u200b" * 9).removed == {"invisible": 9}
    assert sanitise_input("plain words " * 9 + "\u200b").removed == {"invisible": 1}


def test_what_was_removed_is_told_in_one_sentence():
    text = "<!-- a --><!-- b -->\u200b" + "\x07"
    assert (
        sanitise_input(text).describe_removed()
        == "removed before the familiar read it: 2 HTML comments, 1 invisible character, 1 control character"
    )
    assert sanitise_input("plain").describe_removed() == ""


@pytest.mark.parametrize("depth", [3, 9, 400])
def test_deep_reassembly_ends_after_three_passes(depth):
    text = "<b"
    for _ in range(depth):
        text = f"<b{text} x>" if len(text) % 2 else f"{text}<!-- -->"
    for nested in (text, "<s" * depth + "<!-- -->" + ">" * depth, "[a](u 'b](u \"c\")')" * depth):
        once = sanitise_input(nested).text
        assert sanitise_input(once).text == once


def test_what_three_passes_leave_is_broken_instead():
    text = "a <b> < ![c](u 't') `<i>`\n[d]: e"
    masked, code = hidden_html.break_html(text)
    assert code == ["`<i>`"]
    assert hidden_markdown.break_markdown(masked) == "a < b> < ! [c] (u 't') \x000\x00\n[d] : e"


PIECES = st.sampled_from(
    [
        *[
            "<",
            "!",
            "-",
            "--",
            "<!--",
            "-->",
            "[",
            "]",
            "(",
            ")",
            "](",
            "]:",
            "![",
            ":",
            "/",
            "\n",
            "\n\n",
            "\r",
            " ",
            "    ",
        ],
        *[
            "`",
            "```",
            "~~~",
            "<b",
            "<div",
            "<div>",
            "</div>",
            "<pre>",
            "<details>",
            "<summary>",
            "</summary>",
            ">",
            "=",
            '"',
        ],
        *[
            "'",
            "x",
            "\u200b",
            "\u2028",
            "<![CDATA[",
            "]]>",
            "<?",
            "?>",
            "- ",
            "> ",
            "1. ",
            "|",
            "|-|\n",
            "[^a]",
            "\\",
            "\x1b[",
        ],
        *["hidden", "https://e", "\n```\n", "\n[x]: y", "&#64;", "\n    ", "\n  "],
    ]
)
HOSTILE = st.lists(PIECES, max_size=24).map("".join)


@examples(1500)
@given(HOSTILE)
def test_sanitising_is_at_a_fixed_point_and_never_grows_beyond_its_seams(text):
    result = sanitise_input(text)
    assert sanitise_input(result.text) == Sanitised(result.text, {})
    assert len(result.text) <= 2 * len(text)
    assert all(count > 0 for count in result.removed.values())


class CountingScanner(hidden_html._Scanner):
    """Counts the characters that the scanner's own searches may look at."""

    steps = 0

    def find_end(self, terminator, start):
        end = super().find_end(terminator, start)
        self.steps += end - start
        return end

    def read_markup(self, start):
        self.steps += 1
        super().read_markup(start)


@pytest.mark.parametrize(
    "unit", ["<!<!-- x -->-- y -->", "<!--", "<![CDATA[", "<?", "<! ", "<a b='<c d=\"", "<!-- `\n``` x\n-->"]
)
def test_the_scanner_takes_steps_in_proportion_to_the_text(unit):
    for repetitions in (50, 500):
        scanner = CountingScanner(unit * repetitions, Counter())
        scanner.scan()
        assert scanner.steps <= 2 * len(unit) * repetitions
