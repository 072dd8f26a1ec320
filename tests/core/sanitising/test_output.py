"""What GitHub shows of a familiar's words, it does not act upon."""

import re
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st
from markdown_it import MarkdownIt

from coven_action.core.sanitising.inert import TWINS
from coven_action.core.sanitising.invisible import INVISIBLE_RANGES, remove_controls, remove_invisible
from coven_action.core.sanitising.sanitiser import (
    cut_text,
    escape_markdown,
    quote_for_log,
    render_code_span,
    sanitise_commit_message,
    sanitise_output,
    sanitise_title,
)
from tests.fuzzing import examples

ALLOWED = frozenset({"docs.python.org", "https://github.com/acme/billing"})
MARKDOWN = MarkdownIt("commonmark", {"html": True}).enable(["table", "strikethrough"])
# https://github.github.com/gfm/#autolinks-extension-, and how GitHub reads mentions and references.
BARE_LINK = re.compile(r"(?:https?|ftp)://[^\s<]+|www\.[^\s<]", re.IGNORECASE)
MENTION = re.compile(r"@[A-Za-z0-9]")
REFERENCE = re.compile(r"#\d|\bGH-\d", re.IGNORECASE)
COMMAND = re.compile(r"^\s*::|##\[", re.MULTILINE)
SLASH_COMMAND = re.compile(r"^[^\S\n]*/[A-Za-z][\w-]*(?=\s|\Z)", re.MULTILINE)


def find_active(text, allowed=ALLOWED):
    """Return what an independent Markdown parser and GitHub's published patterns find active in a text."""
    found = [f"command {match!r}" for match in COMMAND.findall(text)]
    found += [f"slash command {match!r}" for match in SLASH_COMMAND.findall(text)]
    found += [f"invisible {char!r}" for char in text if unicodedata.category(char) in {"Cf", "Cs"}]
    found += [f"control {char!r}" for char in text if unicodedata.category(char) == "Cc" and char not in "\t\n"]
    environment = {}
    tokens = MARKDOWN.parse(text, environment)
    found += [f"definition {label}" for label in environment.get("references", {})]
    for token in (inner for outer in tokens for inner in (outer, *(outer.children or ()))):
        if token.type in {"html_block", "html_inline", "image"}:
            found.append(f"{token.type} {token.content!r}")
        elif token.type == "link_open" and not is_allowed(token.attrs["href"], allowed):
            found.append(f"link {token.attrs['href']!r}")
        elif token.type == "fence" and token.info.split(" ")[0].lower() in {"mermaid", "math", "suggestion", "geojson"}:
            found.append(f"rendered {token.info!r}")
        elif token.type == "text":
            found += [f"mention {token.content!r}" for _ in MENTION.findall(token.content)]
            found += [f"reference {token.content!r}" for _ in REFERENCE.findall(token.content)]
            found += [link for link in BARE_LINK.findall(token.content) if not is_allowed(link, allowed)]
    return found


def is_allowed(link, allowed):
    return bool(re.match(r"https://docs\.python\.org(?:[/?#.,;:!)]|$)", link)) or link.startswith(
        tuple(prefix for prefix in allowed if "://" in prefix)
    )


ATTACKS = [
    "@octocat and @acme/team, \\@octocat, &#64;octocat, &commat;octocat, x@example.org",
    "Fixes #1, closes: #2, RESOLVED acme/billing#3, fix GH-4, close https://github.com/acme/billing/issues/5",
    "fixes https://github.com/acme/billing/pull/6",
    "![a](https://e/x) ![a][b] ![b]\n\n[b]: https://e/x 'y'",
    "[a](https://e) [a](<https://e>) [a][b] [b] [a\n](https://e) [[a](https://e)](https://e) [a](data:text/html,x)",
    "[a](javascript:alert(1)) \\[a](https://e) [a\\](https://e) [a`](https://e)`",
    "<https://e> <img src=https://e srcset='https://f 2x'> <a href='https://e'>x</a> <x@e.org>",
    "https://e HTTPS://e www.e.org WWW.e.org ftp://e https:\\//e https:/\\/e http&#58;//e www\\.e",
    "https://docs.python.org.evil.example/ https://docs.python.org@evil.example/ https://evil.example/docs.python.org",
    "https://github.com/acme/billing-evil https://github.com/acme/billing/../../evil https://github.com/acme/billing/%2E%2e/x",
    "Fixes https://docs.python.org/GH-1 https://docs.python.org/xhttps://gh-1 https://docs.python.org/x?gh-1.",
    "Fixes https://docs.python.org/x#1 and https://github.com/acme/billing#12 and [a](https://docs.python.org/x#1)",
    "[^1]\n\n[^1]: https://e",
    "<!-- x --> <b onclick=x> </b> <![CDATA[x]]> <?x?> <!X>",
    "::error::x\r::a::b\u2028::c::d\x85::e::f\x0b::g::h\x0c::i::j\n \t\u3000::k::l\n##[add-path]/x x ##[y]",
    "/lgtm\n  /merge now\n\t/approve",
    "a ` b\n` <img src=x> ` c",
    "|a|b|\n|-|-|\n|`|<img src=x>`|",
    "`a` `` <b> ` ``` x ``",
    "\\`<img src=x>`",
    "https://docs.python.org/`<img src=x>`",
    "[x](https://docs.python.org/)`<img src=x>`",
    "```\nnever closed @octocat",
    '~~~mermaid\nclick a href "https://e"\n~~~',
    "- ~~~\n  x\n```` math\n```\n````",
    "> ```\n> x\n<img src=x>",
    "    ```\n<img src=x>",
    "```\n````\n<img src=x>",
    "a\u200b@octo\u200bcat \u202e \U000e0041",
    "\x1b[31mred\x1b[0m \x1b]8;;https://e\x07link\x1b]8;;\x07 \x9b31m",
    "$\\href{https://e}{x}$ $`\\href{https://e}{x}`$",
]


@pytest.mark.parametrize("text", ATTACKS)
@pytest.mark.parametrize("single_line", [False, True])
def test_nothing_active_is_left(text, single_line):
    result = sanitise_output(text, allowed_links=ALLOWED, single_line=single_line)
    assert find_active(result.text) == []
    assert sanitise_output(result.text, allowed_links=ALLOWED, single_line=single_line).text == result.text
    if single_line:
        assert "\n" not in result.text


def test_the_checker_finds_every_kind_of_attack():
    assert sum(bool(find_active(text, frozenset())) for text in ATTACKS) >= len(ATTACKS) - 6


READABLE = [
    ("Ping @octocat about #12", "Ping @octocat about #12"),
    ("see https://e/x", "see https[:]//e/x"),
    ("`@pytest.fixture` is #1", "`@pytest.fixture` is #1"),
    ("```python\n@decorated\nx = a[0](b)  # 1 <b>\n```", "```python\n@decorated\nx = a[0](b)  # 1 <b>\n```"),
    ("  ~~~ js x\n  a\n ```\n  ~~~\nb", "````js\na\n```\n````\nb"),
    ("```\nx", "```\nx\n```"),
    ("```", "```\n```"),
    ("```suggestion\nx\n```", "```\nx\n```"),
    ("a <b> &lt; &amp; &nbsp; AT&T", "a &lt;b> &lt; &amp; &amp;nbsp; AT&T"),
    ("/usr/bin/python runs", "/usr/bin/python runs"),
    ("- [ ] task [x] **bold** _it_", "- [ ] task [x] **bold** _it_"),
    ("[docs](https://docs.python.org/3/x.html).", "[docs](https://docs.python.org/3/x.html)."),
    ("(https://docs.python.org/3)", "(https://docs.python.org/3)"),
    ("https://github.com/acme/billing/blob/main/a.py#L1-L2", "https://github.com/acme/billing/blob/main/a.py#L1-L2"),
    ("[skip ci] and skip-checks: true", "[skip ci] and skip-checks: true"),
    (
        "`Fixes #3` `#3` `fix GH-4` `closes https://e/1` `::x`",
        "`Fixes #3` `#3` `fix GH-4` `closes https[:]//e/1` `::x`",
    ),
    ("`<!-- coven:status -->` `<!-- x -->`", "`<!-- coven:status -->` `<!-- x -->`"),
    ("|a|\n|-|\n|`b`|", "|a|\n|-|\n|`b`|"),
    ("[a](https://docs.python.org/ 'x')", "[a]\\(https[:]//docs.python.org/ 'x')"),
    ("[a](https://docs.python.org/. b", "[a]\\(https[:]//docs.python.org/. b"),
]


@pytest.mark.parametrize(("text", "shown"), READABLE)
def test_inert_text_stays_readable(text, shown):
    shown = shown.replace("@octocat", "@octocat")
    result = sanitise_output(text, allowed_links=ALLOWED).text
    assert unfold(result) == unfold(shown)
    assert sanitise_output(result, allowed_links=ALLOWED).text == result


def unfold(text):
    """Return the text with ASCII for its full-width twins, as a person reads it."""
    return text.translate({ord(twin): character for character, twin in TWINS.items()})


def test_only_our_own_closing_line_stays():
    text = "Closes #7\nCloses #8\nCloses #77\ncloses #7\nand Closes #7"
    result = sanitise_output(text, closing=7).text
    assert [line for line in result.split("\n") if "#" in line] == ["Closes #7"]
    assert sanitise_output(result, closing=7).text == result
    assert "#7" not in sanitise_output("Closes #7").text
    both = sanitise_output("Closes #7\nhttps://docs.python.org/ https://e", closing=7, allowed_links=ALLOWED)
    assert both.text == "Closes #7\nhttps://docs.python.org/ https[:]//e"


def test_what_was_made_inert_is_counted():
    result = sanitise_output("@a #1 https://e <b> ![x](y) $ /x\n/lgtm\x07\u200b")
    assert result.describe_removed("made inert before publication") == (
        "made inert before publication: 1 HTML tag, 1 mention, 1 issue reference, 2 links, 1 image, 1 command, "
        "1 piece of active markup, 1 invisible character, 1 control character"
    )
    assert sanitise_output("plain words").removed == {}


PIECES = st.sampled_from(
    [
        *[
            "@a",
            "#1",
            "GH-1",
            "Fixes ",
            "a/b#2",
            "https://",
            "http:",
            "//",
            "e.org",
            "www.",
            "docs.python.org",
            "[",
            "]",
            "(",
        ],
        *[
            ")",
            "](",
            "]:",
            "![",
            "<",
            ">",
            "<img src=x>",
            "<!--",
            "-->",
            "`",
            "``",
            "```",
            "~~~",
            "\n",
            "\r",
            "\u2028",
            "\x0b",
        ],
        *[
            "::",
            "##[",
            "/lgtm",
            " ",
            "\\",
            "&#64;",
            "&lt;",
            "&",
            ";",
            "|",
            "|-|\n",
            "- ",
            "> ",
            "1. ",
            "    ",
            "\u200b",
            "$",
        ],
        *[
            "\x1b[",
            "mermaid",
            "[^a]",
            "https://docs.python.org/x",
            "[a](https://docs.python.org/x)",
            "\\href{",
            "=",
            '"',
            "*",
        ],
        *["_", "Closes #7", "[skip ci]", "skip-checks: ", "x", "é", "\U000e0041", "\ud800"],
    ]
)
HOSTILE = st.lists(PIECES, max_size=20).map("".join)
LAW = examples(600)


@LAW
@given(HOSTILE, st.booleans(), st.sampled_from([None, 7]))
def test_output_is_inert_idempotent_and_linear(text, single_line, closing):
    def sanitise(text):
        return sanitise_output(text, closing=closing, allowed_links=ALLOWED, single_line=single_line).text

    once = sanitise(text)
    assert sanitise(once) == once
    assert len(once) <= 5 * len(text) + 10
    if closing is None:
        assert find_active(once) == []


@LAW
@given(HOSTILE)
def test_titles_and_commit_messages_are_inert_as_text_and_as_markdown(text):
    message = sanitise_commit_message(text).text
    title = sanitise_title(text, 60)
    for plain in (message, title):
        assert not MENTION.search(plain)
        assert not REFERENCE.search(plain)
        assert not COMMAND.search(plain)
        assert not BARE_LINK.search(plain)
        assert not [
            token
            for token in MARKDOWN.parseInline(plain)[0].children
            if token.type in {"image", "html_inline", "link_open"}
        ]
    assert sanitise_commit_message(message).text == message
    assert len(title) <= 60
    assert "\n" not in title


@LAW
@given(HOSTILE)
def test_escaped_text_is_text_and_code_spans_are_code(text):
    escaped = escape_markdown(text)
    tokens = MARKDOWN.parse(escaped)
    assert find_active(escaped, frozenset()) == []
    assert {token.type for token in tokens} <= {"paragraph_open", "inline", "paragraph_close"}
    assert all(inner.type in {"text", "text_special"} for token in tokens for inner in token.children or ())
    span = render_code_span(text)
    assert not span or [token.type for token in MARKDOWN.parseInline(span)[0].children] == ["code_inline"]
    assert "|" not in span


@LAW
@given(HOSTILE)
def test_logs_hold_no_command_and_no_control(text):
    quoted = quote_for_log(text)
    assert all(line.startswith("| ") for line in quoted.split("\n"))
    assert not COMMAND.search(quoted)
    assert not [char for char in quoted if unicodedata.category(char) in {"Cc", "Cf", "Cs"} and char not in "\t\n"]


@LAW
@given(HOSTILE, st.integers(0, 80))
def test_a_cut_text_is_as_inert_as_the_whole(text, limit):
    whole = sanitise_output(text, allowed_links=ALLOWED).text
    cut = cut_text(whole, limit, "\n(cut)")
    assert len(cut) <= limit or cut == whole
    assert find_active(cut) == []
    assert MARKDOWN.parse(cut + "\n\nOurs.")[-2].content == "Ours."


@pytest.mark.parametrize(
    ("text", "limit", "note", "cut"),
    [
        ("short", 5, "…", "short"),
        ("one two three", 9, "…", "one two…"),
        ("one two three", 4, "…", "one…"),
        ("onetwothree", 6, "…", "onetw…"),
        ("one", 0, "…", ""),
        ("one two", 2, "(cut)", "(c"),
        ("abcde\u0301f", 6, "…", "abcd…"),
        ("line\nanother line", 5, "…", "line…"),
        ("line\nanotherline", 9, "…", "line\nano…"),
        ("a `b c` d", 6, "…", "a …"),
        ("`b c` ddd ddd", 9, "…", "`b c`…"),
        ("```\none\ntwo\n```\nrest", 14, "…", "```\none\n```\n…"),
        ("```\none\ntwo\n```\nrest", 8, "…", "…"),
        ("```\none\n```\n~~~ a\n~\n", 18, "…", "```\none\n```\n…"),
        ("``` ` x\nyyyy zzzz", 10, "…", "``` ` x\ny…"),
        ("````\n```\n````\nrest rest", 17, "…", "````\n```\n````\nre…"),
        ("https[:]//e", 8, "…", "https…"),
        ("/lgtm/and/on", 6, "…", "…"),
        ("one\n/lgtm/and/on", 10, "…", "one\n…"),
    ],
)
def test_a_cut_falls_where_nothing_changes_its_meaning(text, limit, note, cut):
    assert cut_text(text, limit, note) == cut


def test_a_title_is_one_plain_line():
    assert unfold(sanitise_title("  Fix #3:\n`x` by @octocat \u200b\x07")) == "Fix #3: `x` by @octocat"
    assert len(sanitise_title("word " * 100)) <= 200
    assert sanitise_title("\u200b\n") == ""
    assert render_code_span("\u200b") == ""
    assert escape_markdown("1. a | b_c\n<d>") == "1\\. a \\| b\\_c &lt;d>"


def test_the_table_of_invisible_characters_holds_every_format_character():
    listed = {code for low, high, _ in INVISIBLE_RANGES for code in range(low, high + 1)}
    format_characters = {code for code in range(0x110000) if unicodedata.category(chr(code)) == "Cf"}
    assert format_characters <= listed
    assert not any(chr(code).isalnum() and code < 0x110 for code in listed)


@pytest.mark.parametrize(
    ("text", "clean"),
    [
        ("a\x1b[1;31mb\x1b[0m", "ab"),
        ("a\x1b]0;title\x07b\x1b]8;;u\x1b\\c", "abc"),
        ("a\x1bPq\nb", "a\nb"),
        ("a\x1b(Bb\x1b", "ab"),
        ("a\x9b31mb\x9dt\x9cc", "abc"),
        ("a\x00\x08\x7fb", "ab"),
        ("a\r\nb\rc\x85d\u2029e\tf", "a\nb\nc\nd\ne\tf"),
    ],
)
def test_terminal_escapes_and_controls_are_removed(text, clean):
    assert remove_controls(text)[0] == clean


@pytest.mark.parametrize("filling", ["", "é" * 9, "plain words " * 20])
def test_invisible_characters_are_found_in_every_script(filling):
    assert remove_invisible(f"{filling}a\u200bé\ud800{filling}") == (f"{filling}aé{filling}", 2)
