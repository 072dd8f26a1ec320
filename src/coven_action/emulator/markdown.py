"""Render GitHub's Markdown for the pages: safe for hostile text, and without a request to anywhere.

Of HTML only a few tags without attributes pass; comments vanish as they do on GitHub; all else is shown as text. Images
become links, since a page must not load anything.
"""

import html
import re
from collections.abc import Iterator, Sequence
from typing import Any, Final

from markdown_it import MarkdownIt
from markdown_it.renderer import RendererHTML
from markdown_it.rules_inline import StateInline
from markdown_it.token import Token
from markdown_it.utils import EnvType, OptionsDict
from markupsafe import Markup

# None of these is a formatting element that a browser would carry on past the comment it was left open in.
_TAG: Final = re.compile(r"</?(?:sub|sup|kbd|details|summary|br)\s{0,3}/?>", re.IGNORECASE)
_PIECES: Final = re.compile(r"(<[^<>]{0,40}>)")
_ISSUE: Final = re.compile(r"#([1-9][0-9]{0,8})(?![0-9A-Za-z_])")
_MAX_TEXT: Final = 100_000


def render_markdown(text: str | None, repository_url: str) -> Markup:
    """Return HTML for a text; `#7` leads to that issue below `repository_url`."""
    rendered = _PARSER.render((text or "")[:_MAX_TEXT], {"repository_url": repository_url})
    return Markup(rendered)  # noqa: S704 - every rule of the renderer escapes; html of the text passes clean_html only


def clean_html(text: str) -> str:
    """Return HTML of a text with comments taken out, the allowed tags kept, and everything else escaped."""
    return "".join(_clean_piece(piece) for piece in _PIECES.split("".join(_cut_comments(text))))


def _clean_piece(piece: str) -> str:
    return piece.lower() if _TAG.fullmatch(piece) else html.escape(piece)


def _cut_comments(text: str) -> Iterator[str]:
    """Yield what is outside of comments; a comment that never ends hides the rest, as in a browser."""
    position = 0
    while (start := text.find("<!--", position)) >= 0:
        yield text[position:start]
        end = text.find("-->", start)
        position = end + 3 if end >= 0 else len(text)
    yield text[position:]


def _render_html(_self: RendererHTML, tokens: Sequence[Token], index: int, _options: OptionsDict, _env: EnvType) -> str:
    return clean_html(tokens[index].content)


def _render_image(
    _self: RendererHTML, tokens: Sequence[Token], index: int, _options: OptionsDict, _env: EnvType
) -> str:
    address = html.escape(str(tokens[index].attrs.get("src", "")))
    name = html.escape(tokens[index].content) or "image"
    return f'<a href="{address}" rel="noreferrer nofollow">[{name}]</a>'


def _parse_issue(state: StateInline, silent: bool) -> bool:  # noqa: FBT001 - the signature of a rule
    """Make a link of `#7`, unless it stands inside a word or a link."""
    before = state.src[state.pos - 1] if state.pos else " "
    found = _ISSUE.match(state.src, state.pos)
    if found is None or before.isalnum() or before in "_/&" or state.linkLevel:
        return False
    if not silent:
        link = state.push("link_open", "a", 1)
        link.attrSet("href", f"{state.env['repository_url']}/issues/{found[1]}")
        state.push("text", "", 0).content = found[0]
        state.push("link_close", "a", -1)
    state.pos = found.end()
    return True


def _build_parser() -> Any:
    parser = MarkdownIt("commonmark", {"html": True, "breaks": True}).enable(["table", "strikethrough"])
    parser.add_render_rule("html_block", _render_html)
    parser.add_render_rule("html_inline", _render_html)
    parser.add_render_rule("image", _render_image)
    parser.inline.ruler.push("issue", _parse_issue)
    return parser


_PARSER: Final = _build_parser()
