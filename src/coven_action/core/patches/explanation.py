"""Say in plain sentences why a diff does not apply to a file, and which paths a diff may not touch at all.

Pure and linear in diff and file. git decides whether a diff applies; this module only explains its refusal to the
person who pasted the diff. Quoted lines are cut and put in code spans, since they are foreign text on their way to a
comment.
"""

import re
from collections.abc import Sequence
from typing import Final

from coven_action.core.patches.unified_diff import FileDiff, Hunk

MAX_QUOTE: Final = 80
"""Characters quoted of one line."""
MAX_SENTENCES: Final = 10
"""Sentences for one diff; the first faults are the ones to mend."""

# What Windows and macOS take for `.git`: short name, trailing dots and spaces, alternate streams, ignored characters.
_GIT_DIRECTORY: Final = re.compile(r"(?:\.git|git~\d+)[ .]*(?::.*)?", re.IGNORECASE | re.DOTALL)
_IGNORED_BY_HFS: Final = re.compile("[\u200c-\u200f\u202a-\u202e\u206a-\u206f\ufeff]")


def find_path_fault(path: str) -> str | None:
    """Return why a diff may not touch this path, or None where it may.

    Args:
        path: Relative to the root of the repository, `/` between the parts.
    """
    shown = quote(path)
    if path.startswith("/") or re.match(r"[A-Za-z]:", path):
        return f"{shown} is an absolute path; a diff names paths inside the repository"
    parts = path.replace("\\", "/").split("/")
    if any(part in {"", ".", ".."} for part in parts) or "\0" in path:
        return f"{shown} is no plain path inside the repository"
    if any(_GIT_DIRECTORY.fullmatch(_IGNORED_BY_HFS.sub("", part)) for part in parts):
        return f"{shown} lies in git's own directory, which no diff may touch"
    return None


def explain_conflict(diff: FileDiff, content: bytes | None) -> list[str]:
    """Return why `diff` does not apply, in sentences without a full stop; empty where no reason is seen.

    Args:
        diff: What is to be done to one file.
        content: What the file holds now (at the old path, or at the new one for a file to be created), or None.
    """
    shown = quote(diff.path if diff.old_path is None else diff.old_path)
    if diff.old_path is None:
        return [] if content is None else [_explain_existing(diff, content)]
    if content is None:
        return [f"{shown} does not exist"]
    try:
        text = content.decode("utf-8")
    except UnicodeDecodeError:
        return [f"{shown} is not UTF-8 text, so a pasted diff cannot match it"] if diff.hunks else []
    lines = text.split("\n")
    found = [sentence for hunk in diff.hunks if (sentence := _explain_hunk(hunk, lines)) is not None]
    return [f"{shown}: {sentence}" for sentence in found[:MAX_SENTENCES]]


def _explain_existing(diff: FileDiff, content: bytes) -> str:
    shown = quote(diff.path)
    wanted = [line.removesuffix("\r") for hunk in diff.hunks for line in hunk.new_lines()]
    if [line.removesuffix("\r") for line in content.decode("utf-8", "replace").split("\n")] in (wanted, [*wanted, ""]):
        return f"{shown} is already there with this content; the patch seems to be applied already"
    return f"{shown} is already there, and the patch wants to create it"


def _explain_hunk(hunk: Hunk, lines: Sequence[str]) -> str | None:
    old, new = hunk.old_lines(), hunk.new_lines()
    start = max(hunk.old_start - 1, 0)
    place = f"the hunk at line {hunk.old_start}"
    text = _join(lines)
    at = text.find(_join(old))
    if at >= 0:
        return _explain_anchors(hunk, lines, place)
    if new and text.find(_join(new)) >= 0:
        return f"{place} seems to be applied already"
    without_returns = _join([line.removesuffix("\r") for line in lines])
    if without_returns.find(_join([line.removesuffix("\r") for line in old])) >= 0:
        return f"{place} differs from the file in line ends only (CR LF and LF)"
    return f"{place} does not match: {_explain_mismatch(old, lines, start)}"


def _explain_anchors(hunk: Hunk, lines: Sequence[str], place: str) -> str | None:
    """Explain what git demands of a hunk whose lines do exist: one without context must lie at an end of the file."""
    if any(line.startswith("\\") for line in hunk.lines):
        return f"{place} and the file disagree about the line feed at the end of the file"
    if not hunk.has_context_after() and hunk.old_start - 1 + hunk.old_count < len(lines) - 1:
        return (
            f"{place} has no unchanged line after its change, which git accepts at the end of a file only;"
            " make the diff with three lines of context"
        )
    if hunk.old_start <= 1 and _join(lines[: hunk.old_count]) != _join(hunk.old_lines()):
        return f"{place} is said to lie at the beginning of the file, where other lines stand"
    return None


def _explain_mismatch(old: Sequence[str], lines: Sequence[str], start: int) -> str:
    """Explain the first line that differs; there is one, since the lines as a whole were not found."""
    end = len(lines) if lines[-1] else len(lines) - 1  # what follows the last line feed is no line
    number, expected = next(
        (number, expected) for number, expected in enumerate(old, start) if number >= end or lines[number] != expected
    )
    if number >= end:
        return f"it expects {quote(expected)} as line {number + 1}, but the file ends before"
    alike = " (they differ in white space only)" if lines[number].split() == expected.split() else ""
    return f"line {number + 1} should be {quote(expected)} and is {quote(lines[number])}{alike}"


def _join(lines: Sequence[str]) -> str:
    """Return the lines between line feeds, so that only whole lines are found in them."""
    return "\n" + "".join(line + "\n" for line in lines)


def quote(text: str) -> str:
    """Return foreign text of one line, cut, in a Markdown code span that it cannot leave."""
    plain = "".join(character if character.isprintable() else "\N{REPLACEMENT CHARACTER}" for character in text)
    cut = plain if len(plain) <= MAX_QUOTE else plain[:MAX_QUOTE] + "\N{HORIZONTAL ELLIPSIS}"
    return "`" + (cut.replace("`", "'") or " ") + "`"
