"""Reduce untrusted Markdown to what a person sees on GitHub, before an agent reads it.

Pure, linear, and at a fixed point. Code (see `markdown_code`) stays as it is but for invisible characters, because it
is visible: an HTML comment in a fence is text. Outside code everything that a person does not see goes: comments, tags,
folded and hidden sections, link definitions and titles, image descriptions, links without words, unreferenced footnotes,
cells beyond a table's columns, comments in diagrams, phantoms in formulas. Where GitHub might hide a piece of text or might
not, it goes as well.

Removing one thing can assemble another out of the rest (`<!<!-- -->-- x -->`). Three passes are made at most; what the
third leaves is broken with a space instead of removed, so that the cost stays linear however deep the nesting is.
"""

from collections import Counter
from typing import Final

from coven_action.core.sanitising.hidden_html import SEAM, break_html, remove_html
from coven_action.core.sanitising.hidden_markdown import break_markdown, find_labels, remove_markdown
from coven_action.core.sanitising.sanitised import Sanitised, clean_characters

PASSES: Final = 3


def sanitise_input(text: str) -> Sanitised:
    """Return the visible part of untrusted Markdown, and how much of what was removed.

    A folded `<details>` section goes but for its summary, which is what a person sees without a click; `<details open>`
    stays. Line breaks come out as line feeds.
    """
    counts: Counter[str] = Counter()
    text = clean_characters(text, counts, is_markdown=True)
    labels: set[str] = set()
    for _ in range(PASSES):
        before = text
        text = _remove_hidden(text, counts, labels)
        if text == before:
            break
    else:
        text = _break_hidden(text)
    return Sanitised(text, {kind: count for kind, count in counts.items() if count})


def _remove_hidden(text: str, counts: Counter[str], labels: set[str]) -> str:
    """Make one pass; the labels of link definitions are added to `labels`, for what they name may hide in a later pass."""
    masked, code = remove_html(text, counts)
    if "][" in masked:
        labels.update(find_labels(text))
    return _unmask(remove_markdown(masked, counts, labels).replace(SEAM, " "), code)


def _break_hidden(text: str) -> str:
    masked, code = break_html(text)
    return _unmask(break_markdown(masked), code)


def _unmask(masked: str, code: list[str]) -> str:
    """Put the code back: every second piece between NULs is an index into `code`."""
    pieces = masked.split("\0")
    pieces[1::2] = [code[int(index)] for index in pieces[1::2]]
    return "".join(pieces)
