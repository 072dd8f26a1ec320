"""Remove the Markdown that a person does not see: link definitions and titles, image descriptions, lost footnotes.

Pure and linear. Works on text whose code was set aside as `NUL index NUL` (see `hidden_html`); a placeholder is only
ever removed as a whole, with the construct around it.
"""

import html
import re
from collections import Counter
from collections.abc import Collection, Iterator
from typing import Final

from coven_action.core.sanitising.hidden_drawings import (
    break_formulas,
    break_loose_diagrams,
    remove_formulas,
    remove_loose_diagrams,
)
from coven_action.core.sanitising.invisible import remove_invisible


def _build_destination() -> str:
    """Return the expression for a link's destination without angles, in which 32 pairs of parentheses may be nested."""
    destination = r"(?>(?:[^ \t\n()\\]++|\\[^ \t\n]?+)*)"
    for _ in range(32):
        destination = rf"(?>(?:[^ \t\n()\\]++|\\[^ \t\n]?+|\({destination}\))*)"
    return destination


_TITLE: Final = r"(?:\"(?>(?:[^\"\\]++|\\.)*)\"|'(?>(?:[^'\\]++|\\.)*)'|\((?>(?:[^()\\]++|\\.)*)\))"
_CONTAINERS: Final = r"[ \t>]*+(?>(?:(?:[-*+]|\d{1,9}[.)])[ \t>]++)*)"
# The specification limits a label to 999 characters.
_LABEL: Final = r"(?>(?:[^\[\]\\\n]|\\.|\n(?![ \t]*+\n)){1,999})"
_GAP: Final = r"[ \t]*+(?>(?:\n[ \t>]*+)?)"
# White space is ASCII's here: what looks like more of it is part of an address.
_DEFINITION: Final = re.compile(
    rf"(\n{_CONTAINERS})\[(?!\^){_LABEL}\]:{_GAP}(?:<[^<>\n]*+>|[^\s<]\S*+)(?:{_GAP}{_TITLE})?[ \t]*+(?=\n|\Z)",
    re.DOTALL | re.ASCII,
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
# What is no reference matches as well, without the second group: so no character of it is looked at again.
_FOOTNOTE_REFERENCE: Final = re.compile(r"\[\^([^\]\s]++)(\](?!:))?")
_LABELLED: Final = re.compile(rf"\[(?!\^)({_LABEL})\]:", re.DOTALL)
_BEFORE_LABEL: Final = re.compile(_CONTAINERS)
_LOOK_BACK: Final = 200
_REFERENCE: Final = re.compile(rf"\]\[({_LABEL})\](:?)", re.DOTALL)
_CODE: Final = re.compile(r"\0\d++\0|`++[^`]*+`*+")


_DESTINATION: Final = rf"[ \t\n]*+(?:<(?>(?:[^<>\n\\]++|\\[^\n])*)>|{_build_destination()})"
_LINK_TITLE: Final = re.compile(rf"(\]\({_DESTINATION})[ \t\n]++{_TITLE}[ \t\n]*+\)", re.DOTALL)
# A link without words shows nothing. Between its brackets may be white space, a `SEAM`, or entities that are no more.
_EMPTY_LINK: Final = re.compile(
    r"\[((?>(?:[\s\x01]|&#?\w{1,32};)*))\]" rf"\({_DESTINATION}(?:[ \t\n]++{_TITLE})?[ \t\n]*+\)", re.DOTALL
)
# Entities for characters that are not seen; a number is looked up. https://html.spec.whatwg.org/#named-character-references
_ENTITY: Final = re.compile(
    r"&(?:#(?:\d{2,7}|[xX][0-9A-Fa-f]{2,6})|shy|zwj|zwnj|lrm|rlm|ZeroWidthSpace|Negative(?:VeryThin|Thin|Medium|Thick)Space"
    r"|NoBreak|ApplyFunction|af|InvisibleTimes|it|InvisibleComma|ic);"
)


def find_labels(text: str) -> set[str]:
    """Return the labels of all that may be a link definition in Markdown, in the form in which labels are compared."""
    return {_normalise(label[1]) for label in _LABELLED.finditer(text) if _begins_line(text, label.start())}


def _begins_line(text: str, position: int) -> bool:
    """Tell whether only containers stand before `position` on its line, as far as a bounded look back shows."""
    near = max(0, position - _LOOK_BACK)
    return _BEFORE_LABEL.fullmatch(text, text.rfind("\n", near, position) + 1 or near, position) is not None


def remove_markdown(text: str, counts: Counter[str], labels: Collection[str] = ()) -> str:
    """Return `text` without the Markdown that is not shown.

    Args:
        text: Markdown with placeholders for its code.
        counts: Is increased by what was removed, by kind.
        labels: What `find_labels` found in the text before its code was set aside.
    """
    if "```" in text or "~~~" in text:
        text = remove_loose_diagrams("\n" + text, counts)
        text, count = _INFORMATION.subn(_keep_group, text)
        text = text[1:]
        counts["title"] += count
    text = remove_formulas(text, counts)
    if "&" in text:
        text, count = _remove_entities(text)
        counts["invisible"] += count
    if "![" in text:
        text = _remove_descriptions(text, counts)
    if "](" in text:
        text, count = _LINK_TITLE.subn(lambda link: link[1] + ")", text)
        counts["title"] += count
        text = _remove_empty_links(text, counts)
    if labels and "][" in text:
        text = _remove_references(text, counts, labels)
    if "]:" in text:
        # Expressions that begin with a literal line feed are many times faster than `^`.
        text = _remove_footnotes("\n" + text, counts)
        text, count = _DEFINITION.subn(_keep_group, text)
        text = text[1:]
        counts["definition"] += count
    return text


def break_markdown(text: str) -> str:
    """Return `text` with everything in place that `remove_markdown` would remove, made text by spaces."""
    text = text.replace("![", "! [").replace("](", "] (").replace("]:", "] :").replace("][", "] [")
    text = break_formulas(_ENTITY.sub(lambda entity: "& " + entity[0][1:], text))
    return break_loose_diagrams("\n" + text)[1:]


def _keep_group(match: re.Match[str]) -> str:
    """Return the first group. A function is far quicker than a template here."""
    return match[1] or ""


def _remove_entities(text: str) -> tuple[str, int]:
    """Return the text without entities that stand for invisible characters, and how many there were."""
    count = 0

    def remove(entity: re.Match[str]) -> str:
        nonlocal count
        is_seen = remove_invisible(html.unescape(entity[0]))[1] == 0
        count += not is_seen
        return entity[0] if is_seen else ""

    return _ENTITY.sub(remove, text), count


def _remove_empty_links(text: str, counts: Counter[str]) -> str:
    def remove(link: re.Match[str]) -> str:
        start = link.start()
        is_image = text.startswith("!", start - 1) if start else False
        words = remove_invisible(html.unescape(link[1]).replace("\x01", ""))[0].strip()
        if words or _is_escaped(text, start) or (is_image and not _is_escaped(text, start - 1)):
            return link[0]
        counts["empty"] += 1
        return ""

    return _EMPTY_LINK.sub(remove, text)


def _is_escaped(text: str, position: int) -> bool:
    """Tell whether the character at `position` stands behind an odd number of backslashes."""
    first = position
    while first and text[first - 1] == "\\":
        first -= 1
    return (position - first) % 2 == 1


def _remove_references(text: str, counts: Counter[str], labels: Collection[str]) -> str:
    """Remove the label behind the words of each link or image that has its address elsewhere."""

    def remove(reference: re.Match[str]) -> str:
        if _normalise(reference[1]) not in labels:
            return reference[0]
        counts["title"] += 1
        # Without any brackets before the colon, a sentence could become a definition.
        return "][]:" if reference[2] else "]"

    return _REFERENCE.sub(remove, text)


def _normalise(label: str) -> str:
    """Return a label in the form in which labels are compared; one piece of code is as good as another in it."""
    return " ".join(_CODE.sub("`", label).split()).casefold()


def _remove_footnotes(text: str, counts: Counter[str]) -> str:
    """Remove the footnotes that nothing refers to, which GitHub does not show."""
    if "[^" not in text:
        return text
    referred = {label.casefold() for label, end in _FOOTNOTE_REFERENCE.findall(text) if end}

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
