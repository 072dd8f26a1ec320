"""What a familiar reads is what a person sees."""

import re
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from coven_action.core.sanitising import hidden_html, hidden_markdown
from coven_action.core.sanitising.invisible import INVISIBLE_RANGES
from coven_action.core.sanitising.sanitiser import Sanitised, sanitise_input
from tests.counted_work import find_growth
from tests.fuzzing import examples

REMOVED = [
    ("a comment", "a <!-- X --> b", "a  b"),
    ("a comment over paragraphs", "a <!-- X\n\nX --> b", "a \n b"),
    ("a comment without its end", "a <!-- X\n\nX", "a \n"),
    ("what begins where a comment is none", "a <!-- b\n\n<details>x -->\n\nX\n\n</details>", "a \n"),
    ("what ends the paragraph of a comment", "a <!-- b\n<details>x -->\n\nX\n\n</details>", "a \n"),
    ("what ends the item of a comment", "- <!-- b\n\n<div hidden>x -->\n\nX\n\n</div>", "- \n"),
    ("what ends the quotation of a comment", "> <!-- b\n\n<details>x -->\n\nX\n\n</details>", "> \n"),
    ("what begins where CDATA is none", "a <![CDATA[ b\n\n<details>x ]]>\n\nX\n\n</details>", "a \n"),
    ("what begins where a tag is none", "a <b title='\n\n<details>x'>\n\nX\n\n</details>", "a \n"),
    ("nested in what begins there", "a <!-- b\n<p hidden><p><br>x -->\n\nX\n\n</p>\n\nX", "a \n"),
    ("a comment that outlives its HTML block", "<div>\n<!-- X\n\nX -->\n\nX", " \n\n"),
    ("a second comment on the last line of one", "<!-- X --> <!-- X\n\nX --> X", " \n"),
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
    ("a cell without a column", "| a |\n|---|\n| b | X |", "| a |\n|---|\n| b |"),
    ("cells without a column, without outer bars", "a|b\n:-|-:\nc|d|X|X", "a|b\n:-|-:\nc|d|"),
    ("a cell behind a header without bars", "a\n:-\nb|X", "a\n:-\nb|"),
    ("a cell behind an escaped bar", "|a|\n|-|\n|b\\|c|X|", "|a|\n|-|\n|b\\|c|"),
    ("a cell in the last of many rows", "|a|\n|-|\n|b|\n|c| |\nd\n|e|X", "|a|\n|-|\n|b|\n|c| |\nd\n|e|"),
    ("a cell in a quoted table", "> | a |\n> |---|\n> | b | X |\n\nc", "> | a |\n> |---|\n> | b |\n\nc"),
    ("a cell in a list's table", "- | a |\n  |---|\n  | b | X |", "- | a |\n  |---|\n  | b |"),
    ("a cell in a list's late table", "- a\n\n      |a|\n      |-|\n      |b|X|", "- a\n\n |a|\n |-|\n |b|"),
    ("a cell in a quotation's list", "> 1. |a|\n>    |-|\n>    |b|X|", "> 1. |a|\n> |-|\n> |b|"),
    ("a cell behind a longer header of its own", "|a|b|\n|-|-|\n|a|\n|-|\n|b|X|", "|a|b|\n|-|-|\n|a|\n|-|\n|b|"),
    ("a cell behind a commented table", "<!--\n|a|b|\n|-|-|\n-->\n|a|\n|-|\n|b|X|", "\n\n|a|\n|-|\n|b|"),
    ("a cell behind a list's table", "- |a|b|\n  |-|-|\n|a|\n|-|\n|b|X|", "- |a|b|\n |-|-|\n|a|\n|-|\n|b|"),
    ("a cell that holds code", "<b>\n\n|a|\n|-|\n|b|`X`|c", "\n\n|a|\n|-|\n|b|"),
    ("a cell that begins in code", "<b>\n\n|a|\n|-|\n```b|X``` <b>", "\n\n|a|\n|-|\n```"),
    ("a cell that begins in an address", "|a|\n|-|\n|<https://e|X>|", "|a|\n|-|\n|<https://e|"),
    ("a cell that ends a section", "<details>\n\n|a|\n|-|\n|b|</details>|\n\nX</details>b", "  b"),
    ("a cell that begins a section", "<div>\n|a|\n|-|\n|b|<details>|\nX</details>\nc", " \n|a|\n|-|\n|b| \nc"),
    ("a cell that shows a section", "<details>\n\n|a|\n|-|\n|b|<summary>|\n\nX</summary></details>b", "  b"),
    ("a cell with another kind of break", "|a|\n|-|\n|b|\u2028X|", "|a|\n|-|\n|b|"),
    ("a link without words", "a [](X) [ ](<1 X> 'X')b", "a  b"),
    ("a link without words, nested deeply", "a [](b(c(d(X\\)))))b", "a b"),
    ("a link without words behind escapes", "\\\\[](X)\\![](X)", "\\\\\\!"),
    ("a link around a break", "a [<br>&nbsp;](X)b", "a b"),
    ("a link with a space in its address", "a [](X\u00a0X)b", "a b"),
    ("a label", "[a][X]\n\n[x]: https://e", "[a]\n\n"),
    ("a label before a colon", "[a][X]: b\n\n[X]: https://e", "[a][]: b\n\n"),
    ("a label of an image", "![a][X]\n\n[X]: https://e", "![]\n\n"),
    ("a label of code", "[a][`X`]\n\n[`x`]: https://e", "[a]\n\n"),
    ("a label that a hidden definition has", "[a][X]\n\n<details>\n\n[X]: b\n\n</details>", "[a]\n\n "),
    ("a title behind an address with a space", "[a](u\u00a0v 'X')", "[a](u\u00a0v)"),
    ("a title behind nested parentheses", "[a](b(c(d)) 'X')", "[a](b(c(d)))"),
    ("a definition with a space in its address", "a\n\n[x]: u\u00a0v 'X'", "a\n\n"),
    ("a description over another kind of breaks", "![a\u2028\u2029X](u)", "![](u)"),
    ("an invisible character by number", "a&#8203;b&#x200B;c&shy;d", "abcd"),
    ("an invisible character by number in an entity", "a&#82&#8203;03;b", "ab"),
    ("what stands in for a reading", "<ruby>a<rp>X</rp><rt>b</rt></ruby>", "ab"),
    ("a comment in a diagram", "```mermaid\na\n  %% X\nb %% X\n```", "```mermaid\na\n \nb \n```"),
    ("a directive in a diagram", "~~~ Mermaid\n%%{a: '}\nX'}%% %%{X\nX}%%\nb\n~~~", "~~~ Mermaid\n\nb\n~~~"),
    ("a directive without its end", "```mermaid\na %%{X\nX\n```\nb", "```mermaid\na \n```\nb"),
    ("descriptions of a diagram", "```mermaid\naccTitle: X\naccDescr {\nX\n}\nb\n```", "```mermaid\n\n\nb\n```"),
    ("a description behind a comment", "```mermaid\naccDescr %%X\n{X}\n```", "```mermaid\n\n```"),
    ("a comment in a diagram without its end", "```mermaid\n%% X", "```mermaid\n"),
    ("a comment in a diagram by an entity", "```&#109;ermaid\n%% X\n```", "```\n\n```"),
    ("a comment in a quoted diagram", "> ```mermaid\n> a\n> %% X\n> ```", "> ```mermaid\n> a\n> \n> ```"),
    ("a directive in a list's diagram", "- ~~~mermaid\n  %%{X\n  X}%%\n  ~~~", "- ~~~mermaid\n  \n  ~~~"),
    ("a comment in a list's diagram by an entity", "- ```&#109;ermaid\n  %% X\n", "- ```\n  \n"),
    ("a phantom", "a $b\\phantom{X{X}}$ $`\\vphantom {X}`$", "a $b$ $``$"),
    ("a phantom in a phantom", "$a\\hphantom{\\phantom{X}X}{b}$", "$a{b}$"),
    ("a phantom in a fence", "```math\na\\phantom{X$X$}\n\n{b\n```", "```math\na\n\n{b\n```"),
    (
        "white",
        "$\\color{white}{X}\\textcolor[RGB]{255, 255,255}{X}{a\\color{#fff}X}\\color{White}X\\color{white}X$",
        "${a}$",
    ),
    ("white in a fence", "```math\na\\color{white}\nX\n```", "```math\na\n```"),
    ("a comment in a formula", "$a % X$ and $`a\\%b%X`$ and $$a\n% X\n$$", "$a$ and $`a\\%b`$ and $$a$$"),
    ("a formula that is a comment", "a $%X$ b", "a  b"),
    ("a comment in a formula's fence", "```math\na % X\nb\n```", "```math\na \nb\n```"),
    ("a phantom in a list's formula", "- ```math\n  a\\phantom{X}", "- ```math\n  a"),
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
    "| a |\n|---|\n| b | | |\nc\n| d\\|e |  ",
    "```\n| a |\n|---|\n| b | c |\n```",
    "```\n| a |\n|---|\n```\n| b | c |",
    "a\n\n    | a |\n    |---|\n    | b | c |",
    "| a |\n|---|\n\n| b | c |",
    "| a |\n|---|\n> | b | c |",
    "> | a |\n> |---|\n| b | c |",
    "| a |\n|---|\n    | b | c |",
    "| a |\n|---|\n- | b | c |",
    "| a |\n|---|\n# | b | c |",
    "| a |\n|---|\n***\n| b | c |",
    "| a |\n|---|\n```\n| b | c |\n```\n| b | c |",
    "| a | b |\n|---|\n| c | d | e |",
    "- | a |\n- |---|\n- | b | c |",
    "a\n\n    | a |\n    |---|\n    | b | c |\n\n    | a |\n    |---|\n    | b | c |",
    "a | b\n- - -\nc | d | e",
    "a\n---\nb | c | d",
    "|---|\n| b | c |",
    "\n|---|\n| b | c |",
    "| a |\n|--x|\n| b | c |",
    "| a | b |\n|---|---|\n| `c \\| d` | e |",
    "<https://e> [](int a, int b) \\[](a) `[](a)` ![](a) [a](b)",
    "a[0][1] and [a][b]",
    "`a[0][1]` [a][2]\n\n[^1]: b [^1]",
    "&amp; &lt; &#64; &nbsp;, &#8203 and `&#8203; <b>`",
    "%% a\n```\n%% b\n```\n```python\n%%time\na % b\n```",
    '```mermaid\nA -->|100%| B["50%%"]\n```\n%% a',
    "```mermaid",
    "use \\phantom{x} in TeX, `\\phantom{x}` for $5",
    "it costs $5, 10% of $50 or 7%, and A$5%$",
    "$\\color{red}{x}$ $50\\%$ $\\phantoms{x} \\phantom x+y \\phantom{x$",
    "```math\n\\phantom{x\n```",
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


BROKEN = [
    ("|a|\n|-|\n|b|<c>|d\\||", "|a|\n|-|\n|b\\|< c>\\|d\\|\\|"),
    ("|a|\n|-|\n|b|c <d>", "|a|\n|-|\n|b\\|c < d>"),
    ("<b>\n\n|a|\n|-|\n|b|`<c>`|d", "< b>\n\n|a|\n|-|\n|b\\|`< c>`\\|d"),
    ("```\n|a|\n|-|\n|b|<c>\n```\n|d|e", "```\n|a|\n|-|\n|b|<c>\n```\n|d|e"),
    ("```mermaid\n%% a\naccDescr\n{b}\n```", "```mermaid\n\n\n```"),
    ("```mermaid\naccDescr %%\naccDescr\n{b}\n```", "```mermaid\nacc Descr \n\n```"),
    ("```math\n\\phantom\\phantom{a}{b}\n```", "```math\n\\ phantom{b}\n```"),
    ("```python\n\\phantom{a}\n```", "```python\n\\phantom{a}\n```"),
    ("- ```mermaid\n  %% a\n  accTitle: b", "- ```mermaid\n  \\%% a\n  \\accTitle: b"),
    ("$\\phantom{a}$ $b%c$ $$", "$ \\ phantom{a}$ $ b%c$ $ $"),
    ("&#8203;&shy;&amp;[a][b][](c)", "& #8203;& shy;&amp;[a] [b] [] (c)"),
]


@pytest.mark.parametrize(("text", "broken"), BROKEN)
def test_what_is_broken_hides_nothing_any_more(text, broken):
    masked, code = hidden_html.break_html(text)
    result = re.sub("\0(\\d+)\0", lambda index: code[int(index[1])], hidden_markdown.break_markdown(masked))
    assert result == broken
    assert sanitise_input(result) == Sanitised(result, {})


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
        *[
            "| a |\n|---|\n",
            "| b | c |",
            "|-|-|\n",
            ":-",
            "][",
            "[](",
            "[x]",
            "<rp>",
            "\n```mermaid\n",
            "\n```math\n",
            "%%",
            "%%{",
            "}%%",
            "accDescr",
            "{",
            "}",
            "$",
            "%",
            "\\phantom{",
            "\\ph",
            "antom{",
            "\\color{white}",
            "&#82",
            "03;",
            "&#8203;",
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


class CountingPattern:
    """Is the expression for a closing tag without a name, and counts for a scanner what it looks at."""

    pattern = hidden_html._NAMELESS

    def __init__(self, scanner):
        self.scanner = scanner

    def match(self, text, start):
        tag = self.pattern.match(text, start)
        self.scanner.steps += tag.end() - start if tag else 0
        return tag


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
    "unit",
    [
        "<!<!-- x -->-- y -->",
        "<!--",
        "<![CDATA[",
        "<?",
        "<! ",
        "<a b='<c d=\"",
        "<!-- `\n``` x\n-->",
        "</",
        "</ ",
        "</\n",
    ],
)
def test_the_scanner_takes_steps_in_proportion_to_the_text(unit, monkeypatch):
    for repetitions in (50, 500):
        scanner = CountingScanner(unit * repetitions, Counter())
        monkeypatch.setattr(hidden_html, "_NAMELESS", CountingPattern(scanner))
        scanner.scan()
        assert scanner.steps <= 2 * len(unit) * repetitions


def test_what_is_no_reference_to_a_footnote_is_looked_at_once():
    runs = list(hidden_markdown._FOOTNOTE_REFERENCE.finditer("[^" * 500 + " [^a] [^b]: [^"))
    assert [run[0][-4:] for run in runs] == ["[^[^", "[^a]", "[^b"]


FLOODS = {
    "tags": "<b>",
    "tags that are not closed": "<div ",
    "closing tags": "</b>",
    "closing tags without a name": "</",
    "closing tags without a name, with spaces": "</ ",
    "comments": "<!-- x -->",
    "comments over blocks": "a <!-- b\n<details>x -->\n",
    "comments in HTML blocks": "<div>\n<!-- x\n\n -->\n",
    "comments that reassemble": "<!<!-- x -->-- y -->",
    "folded sections": "<details>",
    "summaries": "<details><summary>x",
    "raw elements": "<pre><script>",
    "addresses": "<a:b> ",
    "backticks": "` ",
    "spans": "`a` <b> ",
    "fences": "```\n<b>\n```\n",
    "fences that are not closed": "```a\n  ~~~\n",
    "fences in lists": "- ```\n",
    "brackets": "[",
    "images": "![",
    "images in images": "![a",
    "links": "[a](b 'c')",
    "links without words": "[](a(",
    "escaped links without words": "\\[](",
    "labels": "[a][b]\n\n[b]: c\n\n",
    "definitions": '\n[a]: b "',
    "footnotes": "\n[^a]: b\n",
    "references to footnotes": "[^",
    "tables": "|a|\n|-|\n|b|c|\n\n",
    "delimiter rows": "|-|\n",
    "rows": "\n|a|\n|-|\n" + "|b|c|\n" * 9,
    "bars": "|",
    "rows of bars": "|a|\n|-|\n" + "|" * 40 + "\n",
    "diagrams": "```mermaid\n%% a\n%%{b\n```\n",
    "diagrams in lists": "- ```mermaid\n  %%{\n",
    "formulas": "$a % b$ ",
    "dollars": "$",
    "phantoms": "$\\phantom{",
    "white": "$\\color{white}",
    "braces": "$\\phantom{a}{",
    "closed braces": "}$\\phantom{a}",
    "entities": "&#8203;&amp;&shy",
    "invisible characters": "a\u200b",
    "line breaks": "\u2028\x85a",
}


@pytest.mark.parametrize("unit", FLOODS.values(), ids=FLOODS)
@pytest.mark.parametrize("end", ["", "<b>\n\n`c` [a](b) |"])
def test_the_work_for_a_flood_grows_with_its_size(unit, end):
    assert find_growth(lambda size: sanitise_input(unit * size + end), 60) == ""


def test_a_flood_through_all_passes_grows_with_its_size():
    assert find_growth(lambda size: sanitise_input("".join(f"{piece}\n" * size for piece in FLOODS.values())), 6) == ""
