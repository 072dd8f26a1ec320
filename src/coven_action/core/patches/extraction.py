"""Find the diffs and suggestion blocks that a person wrote into an issue or a comment.

Pure, and linear in the text whatever it holds. Read are fenced blocks (``` or ~~~, inside lists and quotes too) marked
`diff`, `patch` or `suggestion`, and diffs pasted as they are. What nobody sees on the page does not count: text inside
HTML comments is skipped, and so is a block marked as another language; every skip leaves a note that says why.

The rules for fences and comments are those of GitHub Flavored Markdown, https://github.github.com/gfm/.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

from coven_action.core.patches.suggestion_place import SuggestionPlace, find_suggestion_place
from coven_action.core.patches.unified_diff import FileDiff, UnifiedDiffError, is_diff_start, parse_file_diff

_DIFF_LANGUAGES: Final = frozenset({"diff", "patch", "udiff"})
_PLAIN_LANGUAGES: Final = frozenset({"", "text", "txt", "plain", "plaintext", "console"})
_FENCE: Final = re.compile(
    r"(?P<lead>[ \t]*+(?>(?:>[ \t]?+)*)[ \t]*+(?>(?:(?:[-*+]|\d{1,9}[.)])[ \t]++)?))(?P<fence>`{3,}+|~{3,}+)(?P<info>.*)"
)
_CODE_SPAN: Final = re.compile(r"(?<!`)(`++)(?!`)[^`]*+\1(?!`)")
_COMMENT_BLOCKS: Final = ("<!--", " <!--", "  <!--", "   <!--")
"""How a line begins that opens a comment which only `-->` or the end of the text closes."""
_PLACE_LINES: Final = 3
"""How many lines before a suggestion block may name its place."""


@dataclass(frozen=True, slots=True)
class Patch:
    """One pasted diff, of one file or several. `line` is where it begins in the text, from 1."""

    line: int
    files: tuple[FileDiff, ...]


@dataclass(frozen=True, slots=True)
class Suggestion:
    """A suggestion block: `lines` take the place of the lines that `place` names."""

    line: int
    place: SuggestionPlace
    lines: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Note:
    """Why something that looks like a change was not taken. `fatal` where taking the rest would be half the work."""

    line: int
    reason: str
    fatal: bool = False


@dataclass(frozen=True, slots=True)
class Extraction:
    """What was found, in the order of the text."""

    blocks: tuple[Patch | Suggestion, ...]
    notes: tuple[Note, ...]


def extract_diffs(markdown: str, *, repository: str) -> Extraction:
    """Return the diffs and suggestions in a text.

    Args:
        markdown: The body of an issue or a comment. GitHub's forms send CR LF; such a text is read as if it had LF.
        repository: `owner/name`; a link to another repository's file is no place for a suggestion here.
    """
    return _Reader(_split_lines(markdown), repository).read()


def _split_lines(markdown: str) -> list[str]:
    """Split at LF. Where every line ends in CR LF, the CR is the form's, else it belongs to the text."""
    if markdown.count("\r\n") == markdown.count("\n"):
        markdown = markdown.replace("\r\n", "\n")
    return markdown.split("\n")


@dataclass(frozen=True, slots=True)
class _Fence:
    """An opening fence: where its content is indented to, and what closes it."""

    character: str
    length: int
    quotes: int
    indent: int
    language: str

    def closes(self, line: str) -> bool:
        text = line.strip()
        return len(text) >= self.length and not text.strip(self.character)


@dataclass(slots=True)
class _Reader:
    """Walks over the lines once; `index` is the next line to look at."""

    lines: Sequence[str]
    repository: str
    index: int = 0
    blocks: list[Patch | Suggestion] = field(default_factory=list)
    notes: list[Note] = field(default_factory=list)

    def read(self) -> Extraction:
        while self.index < len(self.lines):
            line = self.lines[self.index]
            if fence := _parse_fence(line):
                self._read_fence(fence)
            elif is_diff_start(self.lines, self.index):
                self._read_pasted_diff()
            else:
                self.index += 1
                self._skip_comment(line)
        return Extraction(tuple(self.blocks), tuple(self.notes))

    def _note(self, index: int, reason: str, *, fatal: bool = False) -> None:
        self.notes.append(Note(index + 1, reason, fatal))

    def _read_fence(self, fence: _Fence) -> None:
        opening = self.index
        content = self._read_content(fence)
        if fence.language == "suggestion":
            self._take_suggestion(opening, content)
        elif fence.language in _DIFF_LANGUAGES:
            self._take_patch(opening, content, marked=True)
        elif fence.language in _PLAIN_LANGUAGES:
            self._take_patch(opening, content, marked=False)
        elif any(line.startswith("diff --git ") for line in content):
            self._note(
                opening, f"a block marked `{fence.language[:40]}` holds a diff; mark it `diff` to have it applied"
            )

    def _read_content(self, fence: _Fence) -> list[str]:
        content: list[str] = []
        self.index += 1
        while self.index < len(self.lines):
            line = _strip_quotes(self.lines[self.index], fence.quotes)
            if line is None:  # the quote ended, and the block with it
                break
            self.index += 1
            if fence.closes(line):
                break
            content.append(_strip_indent(line, fence.indent))
        return content

    def _take_patch(self, opening: int, content: list[str], *, marked: bool) -> None:
        files: list[FileDiff] = []
        index = 0
        while index < len(content):
            if not is_diff_start(content, index):
                index += 1
                continue
            try:
                found, index = parse_file_diff(content, index)
            except UnifiedDiffError as error:
                self._note(opening + 1 + error.line, str(error), fatal=True)
                return
            files.append(found)
        if files:
            self.blocks.append(Patch(opening + 1, tuple(files)))
        elif marked and any(line.startswith(("+", "-")) for line in content):
            self._note(opening, "a diff block names no file; begin it with `--- a/path`, `+++ b/path` and `@@ … @@`")

    def _read_pasted_diff(self) -> None:
        start = self.index
        try:
            found, self.index = parse_file_diff(self.lines, start)
        except UnifiedDiffError as error:
            self._note(error.line, str(error), fatal=True)
            self.index = max(start, error.line) + 1
            return
        self.blocks.append(Patch(start + 1, (found,)))

    def _take_suggestion(self, opening: int, content: list[str]) -> None:
        before = [line for line in self.lines[max(0, opening - _PLACE_LINES) : opening] if line.strip()]
        place = find_suggestion_place(list(reversed(before)), self.repository)
        if place is None:
            self._note(
                opening,
                "a suggestion block does not say where it belongs; put a permalink to the lines of this repository, or"
                " `path#L10-L12`, on the line before it",
                fatal=True,
            )
        else:
            self.blocks.append(Suggestion(opening + 1, place, tuple(content)))

    def _skip_comment(self, line: str) -> None:
        """Skip what an HTML comment hides; `index` is already behind `line`."""
        start = self.index - 1
        if not _leaves_comment_open(line):
            return
        is_block = line.startswith(_COMMENT_BLOCKS)
        hidden: list[str] = []
        while self.index < len(self.lines):
            line = self.lines[self.index]
            if not is_block and (not line.strip() or _parse_fence(line)):
                break  # such a comment was none: a paragraph cannot reach over an empty line or into a block
            self.index += 1
            hidden.append(line)
            if "-->" in line:
                break
        if any(is_diff_start(hidden, index) for index in range(len(hidden))):
            self._note(start, "a diff inside an HTML comment was left alone: nobody sees it on the page")


def _leaves_comment_open(line: str) -> bool:
    text = _CODE_SPAN.sub("", line)
    end = 0
    while (start := text.find("<!--", end)) >= 0:
        end = text.find("-->", start)
        if end < 0:
            return True
    return False


def _parse_fence(line: str) -> _Fence | None:
    match = _FENCE.match(line)
    if match is None or (match["fence"][0] == "`" and "`" in match["info"]):
        return None
    lead, info = match["lead"], match["info"].split()
    quotes = lead.count(">")
    inner = _strip_quotes(lead, quotes) or ""
    return _Fence(match["fence"][0], len(match["fence"]), quotes, len(inner), info[0].lower() if info else "")


def _strip_quotes(line: str, quotes: int) -> str | None:
    """Return the line without so many quote markers, or None where it has fewer."""
    for _ in range(quotes):
        line = line.lstrip(" ")
        if not line.startswith(">"):
            return None
        line = line[1:].removeprefix(" ")
    return line


def _strip_indent(line: str, indent: int) -> str:
    present = len(line) - len(line.lstrip(" "))
    return line[min(present, indent) :]
