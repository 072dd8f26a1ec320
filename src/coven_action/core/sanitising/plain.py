"""Untrusted text where no Markdown is rendered (titles, commit messages, logs) or where none of it may be Markdown.

Pure. Titles and commit messages are shown plainly, but GitHub's release notes and squash merges turn them into Markdown
later, so they are inert in both readings; nothing here is exempt because it looks like code.
"""

import re
from collections import Counter
from typing import Final

from coven_action.core.publication.cutting import cut_text
from coven_action.core.sanitising import inert
from coven_action.core.sanitising.inert import TWINS
from coven_action.core.sanitising.sanitised import Sanitised, clean_characters

_ENTITY: Final = re.compile(r"&(?=#?[A-Za-z0-9]{1,40};)")
_TAG: Final = re.compile(r"<(?=[A-Za-z/!?])")
# ASCII punctuation that can mean something in the middle of a line of GitHub's Markdown. The rest reads better without a
# backslash: a parenthesis or an exclamation mark means something only beside a bracket, and brackets are escaped.
_ESCAPED: Final = str.maketrans(
    {character: f"\\{character}" for character in "\\`*_[]|~"}
    | {"<": "&lt;", "&": "&amp;", "@": TWINS["@"], "$": TWINS["$"]}
)
# What makes a heading, list, quotation or rule of the line that it begins.
_LINE_START: Final = re.compile(r"^([#+>=-])")
_LIST_NUMBER: Final = re.compile(r"^(\d{1,9})([.)])")


def sanitise_commit_message(text: str) -> Sanitised:
    """Return an untrusted commit message: no mention, reference, closing keyword, trailer address, link or command."""
    counts: Counter[str] = Counter()
    text = _disarm_plain(clean_characters(text, counts), counts)
    return Sanitised(text.strip(), {kind: count for kind, count in counts.items() if count})


def sanitise_title(text: str, limit: int = 200) -> str:
    """Return an untrusted title on a single line of at most `limit` characters; "" when nothing visible is left."""
    folded = " ".join(clean_characters(text, Counter()).split())
    return cut_text(_disarm_plain(folded, Counter()), limit, "…")


def _disarm_plain(text: str, counts: Counter[str]) -> str:
    text = _ENTITY.sub(TWINS["&"], text)
    text, tags = _TAG.subn(TWINS["<"], text)
    counts["tag"] += tags
    text = inert.disarm_links(text, counts)
    counts["image"] += text.count("![")
    counts["link"] += text.count("](")
    text = text.replace("![", "!" + TWINS["["]).replace("](", "]" + TWINS["("]).replace("]:", "]" + TWINS[":"])
    return inert.disarm_commands(inert.disarm_references(inert.disarm_mentions(text, counts), counts), counts)


def quote_for_log(text: str) -> str:
    """Return hostile text for the Actions log: each line behind a bar, nothing in it a command or a control.

    Secrets are not the concern of this function; text is redacted before it is printed.
    """
    counts: Counter[str] = Counter()
    cleaned = inert.disarm_commands(clean_characters(text, counts), counts)
    return "\n".join(f"| {line}" for line in cleaned.split("\n"))


def escape_markdown(text: str) -> str:
    """Return a short untrusted text for use inside a sentence or table cell, where it shows as it is written.

    One line comes out, without any markup of its own. This is the template filter `md`. It escapes, so calling it
    twice shows the backslashes; `sanitise_output` is the function for text that may be Markdown.
    """
    counts: Counter[str] = Counter()
    text = " ".join(clean_characters(text, counts).split())
    text = inert.disarm_references(inert.disarm_links(inert.disarm_commands(text, counts), counts), counts)
    return _LIST_NUMBER.sub(r"\1\\\2", _LINE_START.sub(r"\\\1", text.translate(_ESCAPED)))


def render_code_span(text: str) -> str:
    """Return a short untrusted text as inline code that also holds in a table cell; "" for an empty text."""
    counts: Counter[str] = Counter()
    text = " ".join(clean_characters(text, counts).split())
    text = text.replace("`", TWINS["`"]).replace("|", TWINS["|"])
    text = inert.disarm_closing_in_code(inert.disarm_commands(text, counts), counts)
    return f"`{text}`" if text else ""
