"""Where a suggestion block belongs: a permalink of GitHub, or a path with lines, in the text before it.

Pure and linear. GitHub keeps the place of a suggestion in the review comment it is made on; in an issue the author
writes it down: `https://github.com/owner/name/blob/<commit>/src/a.py#L10-L12`, `src/a.py#L10-L12` or `src/a.py:10-12`.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final
from urllib.parse import unquote

_LINES: Final = r"L?(?P<start>[1-9]\d{0,8})(?:C\d{1,9})?(?:-L?(?P<end>[1-9]\d{0,8})(?:C\d{1,9})?)?"
_LINK: Final = re.compile(
    r"https?://[^\s/]{1,255}/(?P<repository>[\w.-]{1,100}/[\w.-]{1,100})/blob/(?P<path>[^\s#?()<>`\]]{1,4096})"
    r"(?:\?plain=1)?#" + _LINES + r"(?!\d)"
)
_PATH: Final = re.compile(r"(?P<path>[^\s#:()<>`\[\]*\"']{1,4096}+)(?:#|:)" + _LINES + r"(?!\d)")
_WORD: Final = re.compile(r"[\s()<>`\[\]*\"']+")
_COMMIT: Final = re.compile(r"[0-9a-f]{40}")
_MAX_LINE: Final = 8192
"""Characters of a line that are looked at."""


@dataclass(frozen=True, slots=True)
class SuggestionPlace:
    """Lines `start` to `end` (from 1, both included) of the first of `paths` that exists.

    A link to a branch does not say where the branch's name ends and the path begins, hence several paths; a permalink
    names a `commit` and has one.
    """

    paths: tuple[str, ...]
    start: int
    end: int
    commit: str | None = None


def find_suggestion_place(lines: Sequence[str], repository: str) -> SuggestionPlace | None:
    """Return the place named by the nearest line that names one.

    Args:
        lines: The lines before the block, the nearest first.
        repository: `owner/name` that a link must point to.
    """
    for line in lines:
        for word in reversed(_WORD.split(line[:_MAX_LINE])):
            place = _parse_link(word, repository) if "://" in word else _parse_path(word)
            if place is not None:
                return place
    return None


def _parse_link(word: str, repository: str) -> SuggestionPlace | None:
    match = _LINK.match(word)
    if match is None or match["repository"].lower() != repository.lower():
        return None
    segments = unquote(match["path"]).split("/")
    if _COMMIT.fullmatch(segments[0]):
        return _build_place(("/".join(segments[1:]),), match, segments[0])
    return _build_place(tuple("/".join(segments[cut:]) for cut in range(1, min(len(segments), 8))), match)


def _parse_path(word: str) -> SuggestionPlace | None:
    match = _PATH.match(word)
    if match is None or match["path"].isdecimal():  # `10:30` is a time of day
        return None
    return _build_place((match["path"].removeprefix("./"),), match)


def _build_place(paths: tuple[str, ...], match: re.Match[str], commit: str | None = None) -> SuggestionPlace | None:
    start = int(match["start"])
    end = int(match["end"] or start)
    if end < start or not paths or not all(paths):
        return None
    return SuggestionPlace(paths, start, end, commit)
