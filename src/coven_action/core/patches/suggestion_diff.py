"""Turn the suggestions for one file into a diff against the file as it is.

Pure. The diff has one hunk with three lines of context, keeps the file's line ends, and keeps a missing line feed at
the end of the file missing.
"""

from collections.abc import Sequence
from typing import Final

from coven_action.core.patches.explanation import quote
from coven_action.core.patches.extraction import Suggestion
from coven_action.core.patches.unified_diff import FileDiff, Hunk

_CONTEXT: Final = 3
_NO_LINE_FEED: Final = "\\ No newline at end of file"


class SuggestionError(ValueError):
    """Raised for a suggestion that does not fit the file; the message is a sentence without a full stop."""


def build_suggestion_diff(path: str, content: bytes, suggestions: Sequence[Suggestion]) -> FileDiff:
    """Return the diff that carries out the suggestions.

    Args:
        path: The file's path in the repository.
        content: What the file holds now.
        suggestions: All suggestions for this file, in any order.

    Raises:
        SuggestionError: The file is no text, a place is outside of it, two overlap, or nothing would change.
    """
    shown = quote(path)
    try:
        text = content.decode("utf-8")
    except UnicodeDecodeError as error:
        raise SuggestionError(f"{shown} is not UTF-8 text") from error
    lines = text.removesuffix("\n").split("\n") if text else []
    ordered = sorted(suggestions, key=lambda suggestion: suggestion.place.start)
    _check_places(shown, ordered, len(lines))
    body = _build_body(lines, ordered, ends_in_line_feed=text.endswith("\n"))
    if not any(line[:1] in {"-", "+"} for line in body.lines):
        raise SuggestionError(f"{shown} already holds the suggested lines")
    return FileDiff(old_path=path, new_path=path, git=True, hunks=(body,))


def _check_places(shown: str, ordered: Sequence[Suggestion], line_count: int) -> None:
    reached = 0
    for suggestion in ordered:
        place = suggestion.place
        if place.end > line_count:
            raise SuggestionError(f"{shown} has {line_count} lines, and a suggestion replaces line {place.end}")
        if place.start <= reached:
            raise SuggestionError(f"two suggestions replace line {place.start} of {shown}")
        reached = place.end


def _build_body(lines: Sequence[str], ordered: Sequence[Suggestion], *, ends_in_line_feed: bool) -> Hunk:
    first = max(0, ordered[0].place.start - 1 - _CONTEXT)
    last = min(len(lines), ordered[-1].place.end + _CONTEXT)
    marked: list[str] = []
    position = first
    for suggestion in ordered:
        start, end = suggestion.place.start - 1, suggestion.place.end
        marked += [" " + line for line in lines[position:start]]
        marked += _mark_change(lines[start:end], suggestion.lines)
        position = end
    marked += [" " + line for line in lines[position:last]]
    old_count = sum(line[0] in " -" for line in marked)
    new_count = sum(line[0] in " +" for line in marked)
    if last == len(lines) and not ends_in_line_feed:
        marked = _mark_missing_line_feed(marked)
    return Hunk(first + 1, old_count, first + 1 if new_count else first, new_count, tuple(marked))


def _mark_change(old: Sequence[str], new: Sequence[str]) -> list[str]:
    """Return the lines of a change; equal lines at both ends stay as context."""
    end = "\r" if all(line.endswith("\r") for line in old) else ""
    new = [line + end for line in new]
    if list(old) == new:
        return [" " + line for line in old]
    return ["-" + line for line in old] + ["+" + line for line in new]


def _mark_missing_line_feed(marked: Sequence[str]) -> list[str]:
    """Put git's marker behind the last line of the old and of the new file, where the hunk reaches the end."""
    last = {max((index for index, line in enumerate(marked) if line[0] in kept), default=-1) for kept in (" -", " +")}
    ends_changed = marked[-1][0] != " "
    result: list[str] = []
    for index, line in enumerate(marked):
        result.append(line)
        # A context line that became the last one ends in a line feed already, and keeps it.
        if index in last and not (ends_changed and line[0] == " "):
            result.append(_NO_LINE_FEED)
    return result
