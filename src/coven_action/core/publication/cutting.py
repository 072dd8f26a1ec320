"""Cut a text to GitHub's limits without changing what the rest of it means. Pure.

Cutting sanitised Markdown carelessly would undo the sanitising: half a code span is no code, half an address is another
address, half a fence swallows what follows. So a cut falls between lines or words and open fences are closed.
"""

import re
import unicodedata
from typing import Final

_RUN: Final = re.compile(r"^[ \t]*+(`{3,}+|~{3,}+)([^\n]*+)$", re.MULTILINE)
_SPAN: Final = re.compile(r"(?<!`)(`++)[^`\n]*+\1(?!`)")
# The beginning of a single word that has no piece of markup or address in it that a cut could change. A path that is
# cut at its second slash would be a slash command.
_PLAIN_BEGINNING: Final = re.compile(r"(?!/)[^\s`\[\]\\:&!]*+")


def cut_text(text: str, limit: int, note: str = "…") -> str:
    """Return `text` if it has at most `limit` characters, else its beginning followed by `note`.

    Args:
        text: Sanitised text.
        limit: Largest length of the result, in Unicode code points, as GitHub counts its limits.
        note: What tells the reader that something is missing; it is itself cut where the limit is smaller.
    """
    if len(text) <= limit:
        return text
    room = limit - len(note)
    if room <= 0:
        return note[: max(limit, 0)]
    head = text[: _find_boundary(text, room)]
    start, fence = _find_open_fence(head)
    if not fence:
        return head + note
    closing = f"\n{fence}\n"
    shorter = text[: _find_boundary(text, room - len(closing))] if room > len(closing) else ""
    # Up to the fence that is open at the end every fence was closed, so the text may end there as well.
    beginning = shorter.removesuffix("\n") + closing if "\n" in shorter[start:] else text[:start]
    return beginning + note


def _find_boundary(text: str, room: int) -> int:
    """Return the largest safe length of a beginning of `text` that has at most `room` characters, fewer than all."""
    if text[room] == "\n":
        return room
    line_start = text.rfind("\n", 0, room) + 1
    line = text[line_start:room]
    stray = _SPAN.sub(lambda span: " " * len(span[0]), line).find("`")
    line = line if stray < 0 else line[:stray]
    if not text[room].isspace() and stray < 0:
        word_start = len(line.rstrip()) if line[-1:].isspace() else max(line.rfind(" "), line.rfind("\t"), 0)
        plain = _PLAIN_BEGINNING.match(line)
        line = line[:word_start] or (plain[0] if plain else "")
    return _keep_sequences_whole(text, line_start + len(line))


def _keep_sequences_whole(text: str, end: int) -> int:
    """Return `end`, moved back so that no combining mark is cut off its base character."""
    while end > 0 and unicodedata.category(text[end]).startswith("M"):
        end -= 1
    return end


def _find_open_fence(text: str) -> tuple[int, str]:
    """Return where the fence that is open at the end begins, and its marker; the marker is "" where none is open."""
    start, marker = 0, ""
    for run in _RUN.finditer(text):
        if not marker:
            if run[1][0] == "~" or "`" not in run[2]:
                start, marker = run.start(), run[1]
        elif run[1].startswith(marker) and not run[2].strip():
            marker = ""
    return start, marker
