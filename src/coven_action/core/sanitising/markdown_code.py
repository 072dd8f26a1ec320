"""Find the code in Markdown that certainly is shown as code: fenced blocks and inline spans.

Pure. The sanitiser leaves such code alone, so a mistake here would let hidden text through. Where GitHub's parser could
read the text in two ways, this module says "not code": a wrong no costs some markup inside code, a wrong yes hides a
message. Rules after the CommonMark specification, sections 4.5, 5 and 6.1, https://spec.commonmark.org/0.31.2/.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

# A line that opens or closes a fence, with whatever containers may stand before it. An expression that begins with a
# literal line feed is many times faster than `^`; the searched text gets one in front, so that where a match starts in
# the searched text a line starts in the text.
_RUN: Final = re.compile(
    r"\n((?>(?:[ \t>]*+(?:[-*+]|\d{1,9}[.)]|\[\^[^\]\n]{1,99}\]:)(?=[ \t]))*)[ \t>]*+)(`{3,}+|~{3,}+)([^\n]*+)"
)
_SPAN: Final = re.compile(r"`[^`\n]++`(?!`)|``(?!`)(?>(?:[^`\n]|`(?!`))+)``(?!`)|```[^`\n]++```(?!`)")
_PARAGRAPH_END: Final = re.compile(r"\n[ \t]*+(?=\n|`{3}|~{3})")
_FENCE_LINE: Final = re.compile(r"\s*+(?:`{3,}+|~{3,}+)[^`\n]*+(?:\n|\Z)")
_DELIMITER_ROW: Final = re.compile(r"\n[-|: \t>*+.)0-9]++(?=\n|\Z)")
# CommonMark: a fence is indented by at most three columns, relative to what contains it.
_MAX_INDENTATION: Final = 3
# GitHub's automatic links run up to white space and would swallow the backtick that opens a span.
_ADDRESS_MARKS: Final = ("://", "www.", "@")


@dataclass(frozen=True, slots=True)
class Fence:
    """A fenced block: where it begins and ends, and whether code after it can still be told from text.

    `is_code` is false where the block may be read as text; `certain_after` is false where even its end is doubtful.
    """

    start: int
    end: int
    is_code: bool = True
    certain_after: bool = True


class FenceFinder:
    """Finds the fenced blocks of a text from the front to the back.

    Finding and closing are two steps so that a block that turns out to be hidden is never searched for its end: that
    search is the one long one, and it happens once for each part of the text.
    """

    def __init__(self, text: str) -> None:
        self._text = text
        self._runs = list(_RUN.finditer("\n" + text)) if "```" in text or "~~~" in text else []
        self._index = 0

    def find_next(self, position: int) -> int | None:
        """Return where the first block begins that begins at `position` or later; `position` never goes back."""
        while self._index < len(self._runs):
            opening = self._runs[self._index]
            if opening.start() >= position and _can_open(opening):
                return opening.start()
            self._index += 1
        return None

    def close(self) -> Fence:
        """Return the whole of the block that `find_next` found last."""
        opening = self._runs[self._index]
        if opening[1].strip("> \t"):
            # Inside a list item only the width of its marker tells which later line closes the fence.
            return _doubtful(opening)
        return _close_fence(self._text, opening, self._runs, self._index + 1)


def _can_open(run: re.Match[str]) -> bool:
    """Tell whether a run opens a fence that matters: one in a quotation ends with it and is left to be read as text."""
    if run[2][0] == "`" and "`" in run[3]:
        return False
    return ">" not in run[1] or bool(run[1].strip("> \t"))


def _doubtful(opening: re.Match[str]) -> Fence:
    return Fence(opening.start(), len(opening.string) - 1, is_code=False, certain_after=False)


def _close_fence(text: str, opening: re.Match[str], runs: Sequence[re.Match[str]], index: int) -> Fence:
    """Return the block that `opening` opens; `index` is that of the first run behind it."""
    width = _width(opening[1])
    end = len(text)
    while index < len(runs):
        run = runs[index]
        index += 1
        if not _can_close(opening, run):
            continue
        run_width = _width(run[1])
        if width and run_width != width:
            return _doubtful(opening)
        if run_width <= max(width, _MAX_INDENTATION):
            end = run.end() - 1
            break
    if width and _has_outdented_line(text[opening.end() - 1 : end], width):
        return _doubtful(opening)
    # Four columns behind a paragraph may be that paragraph's continuation, behind a blank line it is code either way.
    is_code = width <= _MAX_INDENTATION or opening.start() == 0 or text.endswith("\n\n", 0, opening.start())
    return Fence(opening.start(), end, is_code=is_code)


def _can_close(opening: re.Match[str], run: re.Match[str]) -> bool:
    return run[2].startswith(opening[2]) and not run[3].strip(" \t") and not run[1].strip(" \t")


def _width(indentation: str) -> int:
    return len(indentation.expandtabs(4))


def _has_outdented_line(content: str, width: int) -> bool:
    """Tell whether a line of the content would end the list item that the fence may stand in."""
    return any(
        line.strip(" \t") and _width(line[: len(line) - len(line.lstrip(" \t"))]) < width
        for line in content.split("\n")
    )


def find_paragraph_end(text: str, position: int) -> int:
    """Return where the paragraph at `position` ends, as far as inline code is concerned."""
    boundary = _PARAGRAPH_END.search(text, position)
    return boundary.start() if boundary else len(text)


def iterate_spans(text: str) -> Iterator[tuple[int, int]]:
    """Yield start and end of the inline code of `text`, fences disregarded.

    A span counts only in a paragraph whose backticks pair up line by line, whatever blocks the lines belong to, and
    that holds the beginning of some markup, since without it there is nothing to tell apart.
    """
    end, position = 0, text.find("`")
    while position >= 0:
        start, end = _find_paragraph_start(text, end, position), find_paragraph_end(text, position)
        yield from _iterate_paragraph_spans(text, start, end)
        position = text.find("`", end)


def _find_paragraph_start(text: str, lowest: int, position: int) -> int:
    """Return where the paragraph at `position` begins, not before `lowest`, where the one before it ended."""
    line_break = text.rfind("\n", lowest, position)
    while line_break >= 0 and not _PARAGRAPH_END.match(text, line_break):
        line_break = text.rfind("\n", lowest, line_break)
    return max(line_break, lowest)


def _iterate_paragraph_spans(text: str, start: int, end: int) -> Iterator[tuple[int, int]]:
    fence_line = _FENCE_LINE.match(text, start, end)
    offset = fence_line.end() if fence_line else start
    rest = text[offset:end]
    if "<" not in rest and "[" not in rest and "\\" not in rest and "$" not in rest:
        return  # There is no markup that the spans would have to be kept from, and no formula.
    spans = list(_SPAN.finditer(rest))
    if sum(span[0].count("`") for span in spans) < rest.count("`") or "\\`" in rest:
        return
    is_table = "|" in rest and any("-" in row[0] for row in _DELIMITER_ROW.finditer("\n" + rest))
    before = 0
    for span in spans:
        if _ends_with_address(rest[before : span.start()]):
            return
        before = span.end()
        # Backticks between dollars make a formula, https://docs.github.com/get-started/writing-on-github/
        # working-with-advanced-formatting/writing-mathematical-expressions.
        is_formula = rest.endswith("$", 0, span.start()) and rest.startswith("$", span.end())
        if not is_formula and not (is_table and "|" in span[0]):
            yield offset + span.start(), offset + span.end()


def _ends_with_address(text: str) -> bool:
    """Tell whether text right before a span may be an automatic link."""
    words = text.split()
    return bool(words) and not text[-1].isspace() and any(mark in words[-1] for mark in _ADDRESS_MARKS)
