"""Show a person how a file that exists differs from the one that would be written. Pure, bounded, safe to print."""

import difflib
from typing import Final

MAX_COMPARED: Final = 1000
"""Lines of either text that are compared: the comparison is quadratic, and nothing we write is that long."""

MAX_SHOWN: Final = 40
MAX_WIDTH: Final = 120


def render_difference(existing: str, wanted: str, *, path: str) -> str:
    """Return a unified diff from `existing` to `wanted`, cut to what fits a screen."""
    before, after = existing.splitlines(), wanted.splitlines()
    if max(len(before), len(after)) > MAX_COMPARED:
        return f"{path} has {len(before)} lines, ours {len(after)}."
    lines = list(difflib.unified_diff(before, after, f"{path} as it is", f"{path} as it would be", lineterm="", n=1))
    shown = [_clean(line) for line in lines[:MAX_SHOWN]]
    if len(lines) > MAX_SHOWN:
        shown.append(f"… {len(lines) - MAX_SHOWN} more lines")
    return "\n".join(shown)


def _clean(line: str) -> str:
    """Return a line without anything a terminal would interpret: the file may be anybody's."""
    text = line if len(line) <= MAX_WIDTH else line[:MAX_WIDTH] + "…"
    return "".join(
        character if character.isprintable() else character.encode("unicode_escape", "surrogatepass").decode("ascii")
        for character in text.replace("\t", "    ")
    )
