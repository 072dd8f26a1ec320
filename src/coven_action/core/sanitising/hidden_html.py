"""Remove the HTML that a person does not see from Markdown, and set the code aside.

Pure and linear: the scanner only moves forward, and every search whose failure would be repeated is remembered. Two
parsers decide what GitHub shows, its Markdown parser and the HTML parser behind it; a piece that either of them may
hide is removed (https://spec.commonmark.org/0.31.2/#html-blocks, https://html.spec.whatwg.org/#tokenization).
"""

import re
from collections import Counter
from dataclasses import dataclass
from typing import Final

from coven_action.core.sanitising.hidden_drawings import break_drawing, remove_from_drawing
from coven_action.core.sanitising.hidden_tables import iterate_hidden_cells
from coven_action.core.sanitising.html_elements import (
    BLOCK_ELEMENTS,
    LONG_NAMES,
    RAW_ELEMENTS,
    SPACING_ELEMENTS,
    VOID_ELEMENTS,
    check_hides,
)
from coven_action.core.sanitising.markdown_code import Fence, FenceFinder, find_paragraph_end, iterate_spans

_PLAIN: Final = r"(?>(?:[^<>=\n]|\n(?![ \t]*+(?:\n|\Z))|=(?!\s*+[\"']))*)"
_QUOTED: Final = r"=\s*+(?:\"[^\"]*+(?:\"|\Z)|'[^']*+(?:'|\Z))"
_BODY: Final = rf"(?>(?:[^>=\n]|\n(?![ \t]*+(?:\n|\Z))|{_QUOTED}|=)*)>?"
# An element of HTML is removed even where it is never closed: in an HTML block it would hide what follows. A foreign
# name (`List<String>`, `a <b`) must look like a tag. A quoted value that never ends reaches to the end of the text.
_TAG: Final = re.compile(rf"</?+(?:(?i:{LONG_NAMES})(?=[\s/>]|\Z){_BODY}|[A-Za-z]{_PLAIN}(?:>|{_QUOTED}{_BODY}))")
# A closing tag without a name is a comment to an HTML parser, where it ends with its line.
_NAMELESS: Final = re.compile(r"</[^A-Za-z\n>][^\n>]*+>?")
_TAG_IN_BLOCK: Final = re.compile(rf"</?+[A-Za-z]{_BODY}|</[^\n>]*+>?")
_TAG_IN_QUOTATION: Final = re.compile(
    rf"</?+[A-Za-z](?>(?:[^>=\n]|\n(?![ \t>]*+(?:\n|\Z))[ \t>]*+|{_QUOTED}|=)*)>?|</[^\n>]*+>?"
)
# No blank line ends the block that begins with `<pre>`.
_TAG_IN_RAW: Final = re.compile(rf"</?+[A-Za-z](?>(?:[^>=]|{_QUOTED}|=)*)>?|</[^\n>]*+>?")
_NAME: Final = re.compile(r"</?([A-Za-z][A-Za-z0-9-]*+)")
_AUTOLINK: Final = re.compile(r"<(?:[A-Za-z][A-Za-z0-9+.-]{1,31}:[^\s<>`]*+|[\w.+-]++@[\w.-]++)>", re.ASCII)
_INFORMATION: Final = re.compile(r"([ \t]*+(?:`++|~++)[ \t]*+(?:[\w+#.-]{1,32}+(?=\s|\Z))?)[^\n]*+", re.ASCII)
_BLANK_LINE: Final = re.compile(r"\n[ \t]*+(?:\n|\Z)")
_CONTAINERS: Final = re.compile(r"[ \t>]*+(?>(?:(?:[-*+]|\d{1,9}[.)]|\[\^[^\]]{1,99}\]:)[ \t>]++)*)")
_LINE_END: Final = re.compile(r"[ \t]*+(?:\n|\Z)")
# Stands for the space that a removed block leaves behind. It is none until the link definitions were read, because a
# space would end their invisible part. Control characters were removed from the text before, so it is never mistaken.
SEAM: Final = "\x01"
_LOOK_BACK: Final = 200
# How a declaration begins, how it ends, and from where its end is looked for. `<!-->` is a whole comment.
_DECLARATIONS: Final = (("<!--", "-->", 2), ("<![CDATA[", "]]>", 9), ("<?", "?>", 2))
_INDENTATION: Final = re.compile(r" {0,3}")
_BLOCK_START: Final = re.compile(r"\n(?>(?:[ \t>]|[-*+]|\d{1,9}[.)]|\[\^[^\]\n]{1,99}\]:)*)(?:```|~~~|<)")
_OPENER: Final = re.compile(r"<(?=[A-Za-z/!?])")
# Tags that end something hidden. In a cell that is left out they are left out as well, so they end nothing; what begins to
# hide there is followed all the same, for in an HTML block there are no tables.
_SHOWING: Final = re.compile(r"</(?!summary)|<summary", re.IGNORECASE)
_CELL_END: Final = re.compile(r"(?<!\\)\|")


@dataclass(slots=True)
class _Section:
    """A hidden element that is open: its name, how deep its namesakes are nested, and how far its summary is."""

    name: str
    depth: int = 1
    summary: str = "expected"


class _Scanner:
    """One pass over a text: what is visible goes to `kept`, code to `code`, the rest is counted."""

    def __init__(self, text: str, counts: Counter[str]) -> None:
        self.text = text
        self.counts = counts
        self.kept: list[str] = []
        self.code: list[str] = []
        self.sections: list[_Section] = []
        self.position = 0
        # Ends of the stretches in which fences, spans, or the difference between tags and text cannot be relied upon.
        self.no_fences_until = 0
        self.no_spans_until = 0
        self.block_until = 0
        self.raw_until: dict[str, int] = {}
        self.last_bracket = text.rfind(">")
        # Up to here no `>` follows on the line, as a search behind a `</` has found.
        self.no_bracket_until = 0
        # The next table cell that is left out, and where the one ends that was found last.
        self.cells = iterate_hidden_cells(text)
        self.no_cell = (len(text) + 1, len(text) + 1)
        self.cell = next(self.cells, self.no_cell)
        self.cell_until = 0

    def scan(self) -> tuple[str, list[str]]:
        """Read the text once, always taking what begins first: a fence, a span or markup."""
        fences, spans = FenceFinder(self.text), iterate_spans(self.text)
        fence, span, opener = fences.find_next(0), next(spans, None), self.text.find("<")
        while fence is not None or span or opener >= 0:
            if fence is not None and fence < max(self.position, self.no_fences_until):
                fence = fences.find_next(max(self.position, self.no_fences_until))
            elif span and span[0] < max(self.position, self.no_spans_until):
                span = next(spans, None)
            elif 0 <= opener < self.position:
                opener = self.text.find("<", self.position)
            elif fence is not None and (opener < 0 or fence < opener) and (not span or fence <= span[0]):
                self.read_fence(fences.close())
                fence = fences.find_next(fence + 1)
            elif span and (opener < 0 or span[0] < opener):
                self.read_span(*span)
                span = next(spans, None)
            else:
                self.read_markup(opener)
                opener = self.text.find("<", opener + 1)
        self.keep(len(self.text))
        return "".join(self.kept), self.code

    def read_span(self, start: int, end: int) -> None:
        """Set inline code aside, unless a table's cells are cut within or before it, which comes first."""
        self.keep(start)
        if self.position == start >= self.cell_until and end <= self.cell[0]:
            self.keep_code(start, end)

    def read_fence(self, fence: Fence) -> None:
        if fence.is_code:
            self.keep_code(fence.start, fence.end)
            if self.is_visible():
                self.reduce_fence()
        else:
            self.no_fences_until = self.no_spans_until = max(self.no_spans_until, fence.end)

    def reduce_fence(self) -> None:
        """Cut what nobody sees of the fence that was kept: what follows its language, and what is not drawn of it."""
        fence = remove_from_drawing(self.code[-1], self.counts)
        information = _INFORMATION.match(fence)
        if information and information.end() > information.end(1):
            fence = information[1] + fence[information.end() :]
            self.counts["title"] += 1
        self.code[-1] = fence

    def is_visible(self) -> bool:
        return not self.sections or self.sections[-1].summary == "shown"

    def keep(self, end: int) -> None:
        """Move to `end` and keep the text on the way if it is visible."""
        while self.cell[0] <= end:
            cell, self.cell = self.cell, next(self.cells, self.no_cell)
            self.leave_out(*cell)
        if end > self.position:
            if end > self.cell_until and self.is_visible():
                self.kept.append(self.text[max(self.position, self.cell_until) : end])
            self.position = end

    def leave_out(self, start: int, end: int) -> None:
        """Leave out the table cells between `start` and `end`, as far as they were not dropped or kept as code."""
        if end <= self.position:
            return
        self.keep(start)
        self.counts["cell"] += 1
        self.cell_until = end

    def keep_code(self, start: int, end: int) -> None:
        self.keep(start)
        if self.is_visible():
            self.kept.append(f"\0{len(self.code)}\0")
            self.code.append(self.text[start:end])
        self.position = end

    def drop(self, start: int, end: int, kind: str) -> None:
        """Leave out what lies between `start` and `end`."""
        self.keep(start)
        self.counts[kind] += 1
        self.position = end
        if self.text.find("\n", start, end) >= 0:
            self.note_lines(start, end, kind)
        if end > self.no_spans_until and self.text.find("`", start, end) >= 0:
            # Backticks inside markup are no delimiters, so the pairs found in this paragraph cannot be relied upon.
            self.no_spans_until = find_paragraph_end(self.text, end)

    def note_lines(self, start: int, end: int, kind: str) -> None:
        """Draw the consequences of having dropped line breaks between `start` and `end`."""
        if self.is_visible():
            # Lines stay apart: what ended with its line, such as a link definition, must not reach into the next.
            self.kept.append("\n")
        is_block = kind == "comment" and _INDENTATION.fullmatch(self.text, self.find_line(start), start)
        if not is_block:
            self.follow_inside(self.text.index("\n", start), end)
        if not is_block and _BLOCK_START.search(self.text, start, end):
            # Blocks bind stronger than what stands within a line, but only in some contexts: from here on it is open
            # which fence opens and which closes, so nothing counts as code any more, and all may be an HTML block.
            self.extend_block(len(self.text))
            line_end = self.text.find("\n", end)
            self.position = len(self.text) if line_end < 0 else line_end

    def follow_inside(self, start: int, end: int) -> None:
        """Let what begins to hide in a dropped stretch hide what follows: a block may have begun there, and ended the stretch.

        What ends there ends nothing, since it may as well have been dropped.
        """
        for tag in _TAG.finditer(self.text, start, end):
            name = _NAME.match(tag[0])
            if name is None or _SHOWING.match(tag[0]) or tag[0].startswith("</"):
                continue
            if self.is_visible():
                self.enter(name[1].lower(), tag[0])
            else:
                self.follow_section(self.sections[-1], name[1].lower(), tag[0], is_closing=False)

    def read_markup(self, start: int) -> None:
        """Read the one construct that begins with the `<` at `start`, if one does."""
        following = self.text[start + 1 : start + 2]
        if following in {"!", "?"}:
            self.read_declaration(start)
        elif following == "/" or (following.isascii() and following.isalpha()):
            self.read_tag(start)

    def read_declaration(self, start: int) -> None:
        end = self.find_declaration_end(start)
        if end is None:
            return
        if start < self.block_until < end:
            # The HTML block ends before: what would end the comment is text, and to the HTML parser the comment goes on.
            end = len(self.text)
        self.drop(start, end, "comment")
        self.leave_definition(start, end)
        if self.begins_line(start):
            # The rest of its last line belongs to the HTML block that the declaration is.
            line_end = self.text.find("\n", end)
            self.extend_block(len(self.text) if line_end < 0 else line_end)

    def find_declaration_end(self, start: int) -> int | None:
        """Return where a comment, declaration, CDATA section or instruction ends, or None where `<` is a character."""
        for opening, terminator, skipped in _DECLARATIONS:
            if self.text.startswith(opening, start):
                return self.find_end(terminator, start + skipped)
        if start < self.last_bracket:
            return self.find_end(">", start + 2)
        return len(self.text) if self.text[start + 2 : start + 3].isalpha() else None

    def find_end(self, terminator: str, start: int) -> int:
        """Return where a construct ends; one without its terminator reaches to the end of the text."""
        found = self.text.find(terminator, start)
        return len(self.text) if found < 0 else found + len(terminator)

    def read_tag(self, start: int) -> None:
        if start >= self.block_until and (autolink := _AUTOLINK.match(self.text, start)):
            self.keep(autolink.end())
            return
        tag = self.match_tag(start)
        if tag is None:
            return
        name = _NAME.match(self.text, start)
        if name is not None and self.begins_line(start):
            self.note_block(name[1].lower(), tag)
        self.drop(start, tag.end(), "tag")
        self.leave_definition(start, tag.end())
        if name is not None and not (start < self.cell_until and _SHOWING.match(tag[0])):
            self.enter_or_leave(name[1].lower(), tag[0])

    def match_tag(self, start: int) -> re.Match[str] | None:
        """Return the tag that begins at `start`, as long as it is in the context where it is longest."""
        if start < max(self.raw_until.values(), default=0):
            return _TAG_IN_RAW.match(self.text, start)
        if start >= self.block_until:
            return _TAG.match(self.text, start) or self.match_nameless(start)
        tag = _TAG_IN_BLOCK.match(self.text, start)
        if tag and "\n" in tag[0] and ">" in self.text[self.find_line(start) : start]:
            # In a quotation the bracket at the beginning of a line is the quotation's, not the tag's.
            return _TAG_IN_QUOTATION.match(self.text, start)
        return tag

    def match_nameless(self, start: int) -> re.Match[str] | None:
        """Return the closing tag without a name that begins at `start`, if its line holds the bracket that ends it."""
        if start < self.no_bracket_until:
            return None
        tag = _NAMELESS.match(self.text, start)
        if tag is None or tag[0].endswith(">"):
            return tag
        self.no_bracket_until = tag.end()
        return None

    def leave_definition(self, start: int, end: int) -> None:
        """Leave behind what makes a link definition one, so that its label is found and removed."""
        before = self.text[self.find_line(start) : start]
        if "[" not in before or not self.is_visible():
            return
        if self.text.find("]:", start, end) >= 0:
            self.kept.append("]:" + SEAM)
        elif before.rstrip().endswith("]:"):
            self.kept.append(SEAM)

    def begins_line(self, start: int) -> bool:
        """Tell whether only containers stand before `start` on its line, as far as a bounded look back shows."""
        return _CONTAINERS.fullmatch(self.text, self.find_line(start), start) is not None

    def find_line(self, position: int) -> int:
        """Return where the line of `position` begins, or a place not too far before it."""
        near = max(0, position - _LOOK_BACK)
        return self.text.rfind("\n", near, position) + 1 or near

    def note_block(self, name: str, tag: re.Match[str]) -> None:
        """Mark the HTML block that this tag may begin: there are neither fences nor spans in it."""
        start = tag.start()
        if start >= self.block_until and (name in BLOCK_ELEMENTS or _LINE_END.match(self.text, tag.end())):
            blank = _BLANK_LINE.search(self.text, start)
            self.extend_block(blank.end() if blank else len(self.text))
        if name in RAW_ELEMENTS and start >= self.raw_until.get(name, 0):
            closing = re.compile(f"</{name}", re.IGNORECASE).search(self.text, start + 2)
            self.raw_until[name] = closing.start() if closing else len(self.text)
            self.extend_block(self.raw_until[name])

    def extend_block(self, end: int) -> None:
        self.block_until = max(self.block_until, end)
        self.no_fences_until = max(self.no_fences_until, end)
        self.no_spans_until = max(self.no_spans_until, end)

    def enter_or_leave(self, name: str, tag: str) -> None:
        """Follow hidden elements: what lies between their tags is not kept, but for the summary of a folded section."""
        is_closing = tag.startswith("</")
        if not self.is_visible():
            self.follow_section(self.sections[-1], name, tag, is_closing=is_closing)
            return
        if name in SPACING_ELEMENTS:
            self.kept.append(SEAM)
        if is_closing:
            self.leave_summary(name)
        else:
            self.enter(name, tag)

    def enter(self, name: str, tag: str) -> None:
        """Begin to leave out what follows, where this tag hides it."""
        if name not in VOID_ELEMENTS and check_hides(name, tag):
            self.sections.append(_Section(name))
            self.counts["hidden"] += 1

    def follow_section(self, section: _Section, name: str, tag: str, *, is_closing: bool) -> None:
        if name == section.name:
            section.depth += -1 if is_closing else 1
            if section.depth == 0:
                self.sections.pop()
        elif (name, section.name, section.depth, section.summary) == ("summary", "details", 1, "expected"):
            # Only the first summary is shown, and only where it does not hide itself.
            section.summary = "past" if is_closing or check_hides(name, tag) else "shown"

    def leave_summary(self, name: str) -> None:
        if self.sections and name == "summary":
            self.sections[-1].summary = "past"
        elif self.sections and name == self.sections[-1].name:
            self.sections.pop()


class _Breaker(_Scanner):
    """A pass that puts a space behind every `<` outside code, so that nothing can be markup any more.

    Cells that would be left out become part of the last cell that is shown, by a backslash before their bars.
    """

    def read_markup(self, start: int) -> None:
        self.keep(start)
        if self.position == start and _OPENER.match(self.text, start):
            self.keep(start + 1)
            self.kept.append(" ")

    def leave_out(self, start: int, end: int) -> None:
        if end > self.position:
            self.keep(start - 1)
            cells = _CELL_END.sub(r"\\|", self.text[self.position : end])
            self.kept.append(_OPENER.sub("< ", cells))
            self.position = end

    def reduce_fence(self) -> None:
        super().reduce_fence()
        self.code[-1] = break_drawing(self.code[-1])


def remove_html(text: str, counts: Counter[str]) -> tuple[str, list[str]]:
    """Return the text without HTML, with `NUL index NUL` in place of code, and the code by index.

    A `SEAM` in the text is to become a space.

    Args:
        text: Markdown without control characters.
        counts: Is increased by what was removed, by kind.
    """
    return _Scanner(text, counts).scan()


def break_html(text: str) -> tuple[str, list[str]]:
    """Return what `remove_html` returns, but with all HTML left in place and made text by a space behind its `<`."""
    return _Breaker(text, Counter()).scan()
