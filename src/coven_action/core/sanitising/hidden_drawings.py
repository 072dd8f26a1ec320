"""Remove what is not drawn of diagrams and formulas: comments of mermaid and TeX, and what a formula holds unseen.

Pure and linear. GitHub draws fences in the languages `mermaid` and `math`, and what stands between dollars. Mermaid leaves
out comments, directives and descriptions (https://mermaid.js.org/syntax/flowchart.html#comments,
https://mermaid.js.org/config/accessibility.html); MathJax leaves out TeX's comments and makes empty room of phantoms
(https://docs.mathjax.org/en/latest/input/tex/macros/index.html). Macros that a formula defines itself are not followed.
"""

import html
import re
from collections import Counter
from collections.abc import Iterable, Iterator
from typing import Final

_FIRST_LINE: Final = re.compile(r"[ \t]*+[`~]{3,}+([^\n]*+)")
# The last line of a fence, where it can be the one that closes it.
_LAST_LINE: Final = re.compile(r"\n[ \t]*+(?:`{3,}+|~{3,}+)[ \t]*+\Z")
_DESCRIPTION: Final = r"acc(?:Title[ \t]*+:|Descr[ \t]*+(?::|\s*+\{[^}]*+))"
_DIRECTIVE: Final = r"%%\{(?>(?:[^}]|\}(?!%%))*)"
_DRAWN: Final = frozenset({"mermaid", "math"})
# Some kinds of diagrams know comments behind something else as well, so a comment is one wherever it begins a word. All of
# the line behind it goes, so that nothing new can be assembled of what is left.
_DIAGRAM: Final = re.compile(
    rf"(?:{_DIRECTIVE}|(?<!\S)%%|(?<=\n)[ \t]*+{_DESCRIPTION})(?>(?:{_DIRECTIVE}|[^\n])*)", re.IGNORECASE
)
# The same for a fence that was not set aside, because it stands in a list or a quotation or because it may be none.
# An entity may stand for any letter of the language. Expressions that begin with a literal are many times faster.
_LOOSE_FENCES: Final = tuple(
    re.compile(rf"{marks}[ \t]*+(?:mermaid|math|[a-z]{{0,6}}+&)", re.IGNORECASE) for marks in ("```", "~~~")
)
_LOOSE_DIRECTIVE: Final = r"%%\{(?>(?:[^}`~]|\}(?!%%)|`(?!``)|~(?!~~))*)"
_LOOSE_DIAGRAM: Final = re.compile(
    rf"(\n[ \t>]*+)(?:{_LOOSE_DIRECTIVE}|%%|{_DESCRIPTION})(?>(?:{_LOOSE_DIRECTIVE}|[^\n])*)", re.IGNORECASE
)

_WHITE: Final = r"(?:white|transparent|\#?f{3,8}|(?:255|1(?:\.0*+)?)(?:\s*+,\s*+(?:255|1(?:\.0*+)?)){2})"
_UNSEEN: Final = rf"[hv]?phantom(?=\s*+\{{)|(?:text)?color\s*+(?:\[\w*+\]\s*+)?\{{\s*+{_WHITE}\s*+\}}"
_HIDING: Final = re.compile(rf"\\(?={_UNSEEN})", re.IGNORECASE)
# A command that hides, an escaped character, a brace, or a dollar.
_MARK: Final = re.compile(rf"\\(?:(?P<unseen>{_UNSEEN})\s*+(?P<group>(?=\{{))?|[^\n])|[{{}}$]", re.IGNORECASE)
_PARAGRAPH_END: Final = re.compile(r"\n[ \t]*+(?=\n)")
_COMMENT: Final = re.compile(r"\\[^\n]|%[^\n]*+")
# Between two dollars on each side, or on one line between dollars that touch what they enclose and no other word.
_FORMULA: Final = re.compile(
    r"(\$\$)([^$]*+)(\$\$)|(?<![\w$\\])(\$)(?=[^\s$])([^$\n]*+)(?<=[^\s\\$])(\$)(?![A-Za-z0-9$])"
)
_DOLLAR: Final = re.compile(r"\$(?=\S)")
_LOOSE_START: Final = re.compile(rf"(\n[ \t>]*+)(?=%%|{_DESCRIPTION})", re.IGNORECASE)
_DESCRIBING: Final = re.compile(r"acc(?=Title|Descr)", re.IGNORECASE)


def remove_from_drawing(fence: str, counts: Counter[str]) -> str:
    """Return a fenced block without what GitHub does not show of it, where it is of a language that GitHub draws.

    Args:
        fence: The block with the lines that open and close it.
        counts: Is increased by what was removed.
    """
    language = _find_language(fence)
    start = fence.find("\n")
    if language not in _DRAWN or start < 0:
        return fence
    last_line = _LAST_LINE.match(fence, fence.rfind("\n"))
    end = last_line.start() if last_line else len(fence)
    drawing = fence[start:end]
    if language == "mermaid":
        drawing, count = _DIAGRAM.subn("", drawing)
        counts["formula"] += count
    else:
        drawing = _remove_comments(drawing, counts)
        drawing = _remove_unseen(drawing, _iterate_unseen(drawing, is_whole=True), counts)
    return fence[:start] + drawing + fence[end:]


def break_drawing(fence: str) -> str:
    """Return a fenced block with all in place that might be assembled to something unseen, made text by spaces."""
    language = _find_language(fence)
    if language not in _DRAWN:
        return fence
    return _DESCRIBING.sub("acc ", fence) if language == "mermaid" else _HIDING.sub(r"\\ ", fence)


def _find_language(fence: str) -> str:
    """Return the language of a fence as GitHub reads it: the first word behind its marks, without entities."""
    first_line = _FIRST_LINE.match(fence)
    words = first_line[1].split(None, 1) if first_line else []
    return html.unescape(words[0]).casefold() if words else ""


def remove_loose_diagrams(text: str, counts: Counter[str]) -> str:
    """Return Markdown without what GitHub does not show of diagrams in fences that were not set aside as code.

    Args:
        text: Markdown with placeholders for its code, and with a line feed in front.
        counts: Is increased by what was removed.
    """
    if not _may_hold_drawings(text):
        return text
    text, count = _LOOSE_DIAGRAM.subn(lambda hidden: hidden[1], text)
    counts["formula"] += count
    return text


def break_loose_diagrams(text: str) -> str:
    """Return Markdown with everything in place that `remove_loose_diagrams` would remove, behind a backslash."""
    return _LOOSE_START.sub(lambda start: start[1] + "\\", text) if _may_hold_drawings(text) else text


def remove_formulas(text: str, counts: Counter[str]) -> str:
    """Return Markdown without what GitHub does not show of the formulas in it.

    Args:
        text: Markdown with placeholders for its code.
        counts: Is increased by what was removed.
    """
    if "$" in text and "%" in text:
        text = _FORMULA.sub(lambda formula: _reduce_formula(formula, counts), text)
    if _may_hold_unseen(text):
        text = _remove_unseen(text, _iterate_paragraphs(text, between_dollars=not _may_hold_drawings(text)), counts)
    return text


def break_formulas(text: str) -> str:
    """Return Markdown with everything in place that `remove_formulas` would remove, made text by spaces."""
    if _may_hold_unseen(text):
        text = _HIDING.sub(lambda _: "\\ ", text)
    return _DOLLAR.sub("$ ", text) if "%" in text else text


def _may_hold_drawings(text: str) -> bool:
    """Tell whether a text has a fence that was not set aside and may be drawn."""
    return any(fence.search(text) for fence in _LOOSE_FENCES)


def _may_hold_unseen(text: str) -> bool:
    """Tell whether a text has a command that hides something, and what may be a formula."""
    return "\\" in text and _HIDING.search(text) is not None and ("$" in text or _may_hold_drawings(text))


def _reduce_formula(formula: re.Match[str], counts: Counter[str]) -> str:
    """Return a formula between dollars without its comments, and nothing of one that holds nothing else."""
    dollars = formula[1] or formula[4]
    content = formula[2] or formula[5] or ""
    ticks = "`" if len(content) > 1 and content[0] == content[-1] == "`" else ""
    inner = content[1:-1] if ticks else content
    reduced = _remove_comments(inner, counts)
    if reduced == inner:
        return formula[0]
    reduced = reduced.rstrip()
    return f"{dollars}{ticks}{reduced}{ticks}{dollars}" if reduced else ""


def _remove_comments(formula: str, counts: Counter[str]) -> str:
    def remove(match: re.Match[str]) -> str:
        if match[0].startswith("\\"):
            return match[0]
        counts["formula"] += 1
        return ""

    return _COMMENT.sub(remove, formula)


def _remove_unseen(text: str, found: Iterable[tuple[int, int]], counts: Counter[str]) -> str:
    """Return a formula, or a text with formulas in it, without what was found not to be seen."""
    kept: list[str] = []
    position = 0
    for start, end in sorted(found):
        if start >= position:
            kept.append(text[position:start])
            counts["formula"] += 1
            position = end
    return "".join([*kept, text[position:]])


def _iterate_paragraphs(text: str, *, between_dollars: bool) -> Iterator[tuple[int, int]]:
    """Yield what is not seen of the formulas in each paragraph, which no formula can span.

    Args:
        text: A text with formulas in it.
        between_dollars: Whether there are none but those between two dollars.
    """
    end = 0
    for command in _HIDING.finditer(text):
        if command.start() < end:
            continue
        position = max(end, text.rfind("\n\n", end, command.start()))
        paragraph_end = _PARAGRAPH_END.search(text, command.start())
        end = paragraph_end.end() if paragraph_end else len(text)
        paragraph = text[position:end]
        first, last = (paragraph.find("$"), paragraph.rfind("$")) if between_dollars else (-1, len(paragraph))
        for start, stop in _iterate_unseen(paragraph, is_whole=False):
            if first < start and stop <= last:
                yield position + start, position + stop


def _iterate_unseen(text: str, *, is_whole: bool) -> Iterator[tuple[int, int]]:
    """Yield start and end of what a command hides: the group behind it, or else the rest of the group it stands in.

    Args:
        text: A formula, or a paragraph with formulas in it.
        is_whole: Whether the text is one formula, which no dollar ends.
    """
    # Of each open brace, and first of the formula itself: where the command before it stands, and one that hides the rest.
    opened: list[tuple[int, int]] = [(-1, -1)]
    command = -1
    for mark in _MARK.finditer(text):
        kind = mark[0]
        if mark["group"] is not None:
            command = mark.start()
        elif mark["unseen"]:
            before, rest = opened[-1]
            opened[-1] = (before, mark.start() if rest < 0 else rest)
        elif kind == "{":
            opened.append((command, -1))
            command = -1
        elif kind == "}" and len(opened) > 1:
            yield from _close(opened.pop(), mark.start(), mark.end())
        elif kind == "$" and len(opened) == 1 and not is_whole:
            yield from _close(opened.pop(), mark.start(), mark.end())
            opened.append((-1, -1))
    if is_whole:
        yield from _close(opened[0], len(text), len(text))


def _close(brace: tuple[int, int], start: int, end: int) -> Iterator[tuple[int, int]]:
    """Yield what was hidden in a group that ends between `start` and `end`."""
    command, rest = brace
    if command >= 0:
        yield command, end
    elif rest >= 0:
        yield rest, start
