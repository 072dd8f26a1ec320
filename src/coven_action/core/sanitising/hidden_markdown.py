"""Remove the Markdown that a person does not see: link definitions and titles, image descriptions, lost footnotes.

Pure and linear. Works on text whose code was set aside as `NUL index NUL` (see `hidden_html`); a placeholder is only
ever removed as a whole, with the construct around it.
"""

import re
from collections import Counter
from collections.abc import Iterator
from typing import Final

_TITLE: Final = r"(?:\"(?>(?:[^\"\\]++|\\.)*)\"|'(?>(?:[^'\\]++|\\.)*)'|\((?>(?:[^()\\]++|\\.)*)\))"
_CONTAINERS: Final = r"[ \t>]*+(?>(?:(?:[-*+]|\d{1,9}[.)])[ \t>]++)*)"
# The specification limits a label to 999 characters.
_LABEL: Final = r"(?>(?:[^\[\]\\\n]|\\.|\n(?![ \t]*+\n)){1,999})"
_GAP: Final = r"[ \t]*+(?>(?:\n[ \t>]*+)?)"
_DEFINITION: Final = re.compile(
    rf"\n({_CONTAINERS})\[(?!\^){_LABEL}\]:{_GAP}(?:<[^<>\n]*+>|[^\s<]\S*+)(?:{_GAP}{_TITLE})?[ \t]*+(?=\n|\Z)",
    re.DOTALL,
)
_LINK_TITLE: Final = re.compile(
    rf"(\]\(\s*+(?:<[^<>\n]*+>|[^\s()<>]*+(?>(?:\([^\s()]*+\)[^\s()<>]*+)*)))\s++{_TITLE}\s*+\)", re.DOTALL
)
# An escaped character, a bracket, or the end of a paragraph, which no bracket pair can span.
_BRACKET: Final = re.compile(r"\n[ \t]*+(?=\n)|\\[^\n]|!\[|[\[\]]")

# The first line of a fence that was not set aside; people see nothing of it, familiars get the name of the language.
_INFORMATION: Final = re.compile(
    r"(\n(?>(?:[ \t>]*+(?:[-*+]|\d{1,9}[.)]|\[\^[^\]\n]{1,99}\]:)(?=[ \t]))*)[ \t>]*+"
    r"(?:`{3,}+(?=[^`\n]*+(?:\n|\Z))|~{3,}+)[ \t]*+(?>(?:[A-Za-z0-9_+#.-]{1,32}+(?=\s|\Z))?))[ \t]*+[^\s][^\n]*+"
)
_FOOTNOTE: Final = re.compile(
    rf"\n{_CONTAINERS}\[\^([^\]\s]++)\]:[^\n]*+(?>(?:\n(?![ \t]*+(?:\n|\Z)|[ \t>]*+\[\^)[^\n]++)*)"
    r"(?>(?:\n(?>(?:[ \t]*+\n)+)(?=[ ]{4}|\t)[^\n]*+(?>(?:\n(?![ \t]*+(?:\n|\Z))[^\n]++)*))*)"
)
_FOOTNOTE_REFERENCE: Final = re.compile(r"\[\^([^\]\s]++)\](?!:)")


def remove_markdown(text: str, counts: Counter[str]) -> str:
    """Return `text` without the Markdown that is not shown.

    Args:
        text: Markdown with placeholders for its code.
        counts: Is increased by what was removed, by kind.
    """
    if "```" in text or "~~~" in text:
        text, count = _INFORMATION.subn(r"\1", "\n" + text)
        text = text[1:]
        counts["title"] += count
    if "![" in text:
        text = _remove_descriptions(text, counts)
    if "](" in text:
        text, count = _LINK_TITLE.subn(r"\1)", text)
        counts["title"] += count
    if "]:" in text:
        # Expressions that begin with a literal line feed are many times faster than `^`.
        text = _remove_footnotes("\n" + text, counts)
        text, count = _DEFINITION.subn(r"\n\1", text)
        text = text[1:]
        counts["definition"] += count
    return text


def break_markdown(text: str) -> str:
    """Return `text` with everything in place that `remove_markdown` would remove, made text by spaces."""
    return text.replace("![", "! [").replace("](", "] (").replace("]:", "] :")


def _remove_footnotes(text: str, counts: Counter[str]) -> str:
    """Remove the footnotes that nothing refers to, which GitHub does not show."""
    if "[^" not in text:
        return text
    referred = {label.casefold() for label in _FOOTNOTE_REFERENCE.findall(text)}

    def keep_referred(footnote: re.Match[str]) -> str:
        if footnote[1].casefold() in referred:
            return footnote[0]
        counts["definition"] += 1
        return "\n"

    return _FOOTNOTE.sub(keep_referred, text)


def _remove_descriptions(text: str, counts: Counter[str]) -> str:
    """Empty the brackets of every image: people see the picture, and the description only where it is missing."""
    kept: list[str] = []
    position = 0
    for start, end in sorted(_iterate_descriptions(text)):
        if start >= position:
            kept.append(text[position:start])
            counts["title"] += 1
            position = end
    return "".join([*kept, text[position:]])


def _iterate_descriptions(text: str) -> Iterator[tuple[int, int]]:
    """Yield start and end of what the brackets of each image hold, if anything; images may hold images."""
    position = text.find("![")
    while position >= 0:
        opened: list[tuple[bool, int]] = []
        end = len(text)
        for bracket in _BRACKET.finditer(text, position):
            mark = bracket[0]
            if mark in {"[", "!["}:
                opened.append((mark == "![", bracket.end()))
            elif mark == "]":
                is_image, start = opened.pop()
                if is_image and start < bracket.start():
                    yield start, bracket.start()
            if not opened or mark.startswith("\n"):
                end = bracket.end()
                break
        position = text.find("![", end)
