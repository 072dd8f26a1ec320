"""Paths as the most forgiving file system sees them, and the patterns that people write over them. Pure.

A pattern is a path in which `*` stands for any characters of one name, `?` for one character, and `**`, alone between
slashes, for any number of folders, also none. It is anchored at the repository's root; without a slash it means a name at
any depth. What matches a folder covers everything in it. There is nothing else: no negation, no sets, no alternatives.
"""

import re
import unicodedata
from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import Final, TypeVar

from coven_action.core.sanitising.invisible import remove_invisible

MAXIMUM_PATTERN_LENGTH: Final = 200
"""In characters. With it, matching takes time linear in the length of the path."""

# No negation, no `**` beside anything but slashes, no name that ends with a dot or a space (some file systems drop
# them), no empty name, and none of the characters that other languages of patterns give a meaning to.
PATTERN_FORM: Final = r"(?!!)(?!.*[^/]\*\*)(?!.*\*\*[^/])(?!.*[. ](?:/|$))(?!.*//)(?!.*/$)[^\[\]{}\\:]+"
PATTERN_ADVICE: Final = "write a path such as migrations/** with *, ? and ** only, or a name for any folder"

Segments = tuple[str, ...]
Pattern = tuple[str | None, ...]
"""The folded names of a pattern; None stands for `**`."""

T = TypeVar("T")

# What a pattern's meaning hangs on.
_SPECIAL: Final = frozenset("*?/\\:[]{}!. ")
# How Windows shortens names of more than 8.3 characters: `.github` answers to `GITHUB~1`, and after four names with the
# same beginning two of its characters stay, before four digits of a hash.
# https://learn.microsoft.com/en-us/windows/win32/fileio/naming-a-file#short-vs-long-names
_SHORT_NAME: Final = re.compile(r"([^.~]{1,6})~[0-9]{1,6}(?:\.[^.]{0,3})?")
_HASHED_NAME: Final = re.compile(r"(..)[0-9a-f]{4}")


def fold_path(path: str) -> Segments:
    """Return the path's segments as the most forgiving file system would see them.

    Case, Unicode compatibility forms, invisible characters, trailing dots and spaces, and what follows a colon (the name
    of an NTFS stream, as in `.git::$INDEX_ALLOCATION`) are ignored somewhere: on macOS, on Windows, or by HFS+. What is
    equal on any of them is equal here.
    """
    return tuple(_fold_segment(segment) for segment in _fold_text(path).replace("\\", "/").split("/"))


def _fold_text(text: str) -> str:
    """Return the text without differences of case, form and invisible characters."""
    # Twice: what is taken away can join what stood on both of its sides, and folding case can undo the normal form.
    for _ in range(2):
        visible, _count = remove_invisible(text)
        # Upper case first: file systems compare either, and the dotless i has a capital but no fold in common with i.
        text = unicodedata.normalize("NFKC", visible).upper().casefold()
    return text


def _fold_segment(segment: str) -> str:
    return segment.partition(":")[0].rstrip(". ") or segment


def resolve_dots(segments: Segments) -> Segments:
    """Return the segments without `.`, `..` and empty ones, as a system that reads them as steps would walk."""
    place: list[str] = []
    for segment in segments:
        if segment == "..":
            del place[-1:]
        elif segment not in {"", "."}:
            place.append(segment)
    return tuple(place)


def find_pattern_mistake(text: str) -> str:
    """Return why a text of the form `PATTERN_FORM` could mean another pattern than people read in it, or ""."""
    folded = _fold_text(text)
    if remove_invisible(text)[1] or [each for each in text if each in _SPECIAL] != [
        each for each in folded if each in _SPECIAL
    ]:
        return "it holds characters that some file systems take for others; write them as they are compared"
    return ""


def parse_pattern(text: str) -> Pattern:
    """Return a pattern's folded names. The text has the form `PATTERN_FORM`."""
    names: Pattern = tuple(None if name == "**" else name for name in fold_path(text.removeprefix("/")))
    return names if "/" in text else (None, *names)


class PatternSet:
    """Some patterns, prepared to be matched against many paths.

    Args:
        patterns: Texts of the form `PATTERN_FORM`.
    """

    def __init__(self, patterns: Sequence[str]) -> None:
        parsed = tuple(parse_pattern(text) for text in patterns)
        # Most patterns are names at any depth: one expression for all of them asks each part of a path once.
        names = [pattern[1] for pattern in parsed if _is_name(pattern)]
        self._names = tuple(name for name in names if name is not None)
        self._any_name = re.compile("|".join(map(_write_expression, self._names)) or r"(?!)", re.DOTALL)
        self._paths = tuple(pattern for pattern in parsed if not _is_name(pattern))

    def covers(self, segments: Segments) -> bool:
        """Whether a folded path, or a folder that it lies in, matches one of the patterns."""
        return any(self._names_segment(segment) for segment in segments) or any(
            meet((*pattern, None), segments, None, _matches_segment) for pattern in self._paths
        )

    def _names_segment(self, segment: str) -> bool:
        return self._any_name.fullmatch(segment) is not None or any(
            abbreviates(segment, name) for name in (self._names if is_short_name(segment) else ())
        )


@lru_cache(maxsize=128)
def prepare_patterns(patterns: tuple[str, ...]) -> PatternSet:
    """Return the set of these patterns; the same one for the same patterns."""
    return PatternSet(patterns)


def _is_name(pattern: Pattern) -> bool:
    return len(pattern) == len((None, "name")) and pattern[0] is None and pattern[1] is not None


def _write_expression(name: str) -> str:
    """Return the regular expression of a name with wildcards. Atomic groups keep it from trying any place twice."""
    first, *rest = ("".join("." if each == "?" else re.escape(each) for each in literal) for literal in name.split("*"))
    between = "".join(f"(?>.*?{literal})" for literal in rest[:-1])
    return f"{first}{between}.*{rest[-1]}" if rest else first


@lru_cache(maxsize=1024)
def _prepare_name(name: str) -> re.Pattern[str]:
    return re.compile(_write_expression(name), re.DOTALL)


def _matches_segment(name: str | None, segment: str | None) -> bool:
    """Whether one folded name of a path is what one of a pattern means, or its short form. None is never compared."""
    return (
        name is not None
        and segment is not None
        and (_prepare_name(name).fullmatch(segment) is not None or abbreviates(segment, name))
    )


def is_short_name(segment: str) -> bool:
    """Whether a folded name has the form in which Windows shortens long ones."""
    return _SHORT_NAME.fullmatch(segment) is not None


def abbreviates(segment: str, name: str) -> bool:
    """Whether a folded name may be the short form of one that a name with wildcards means."""
    short = _SHORT_NAME.fullmatch(segment)
    if short is None:
        return False
    hashed = _HASHED_NAME.fullmatch(short[1])
    beginnings = (short[1], hashed[1]) if hashed else (short[1],)
    # Windows leaves dots and spaces out of the short form.
    plain = name.replace(".", "").replace(" ", "")
    return any(meet(f"{beginning}*", plain, "*", _agree) for beginning in beginnings)


def names_meet(one: str | None, other: str | None) -> bool:
    """Whether some name is meant by both of two names with wildcards. None is never compared."""
    return one is not None and other is not None and meet(one, other, "*", _agree)


def _agree(one: str, other: str) -> bool:
    return one == other or "?" in {one, other}


def meet(one: Sequence[T], other: Sequence[T], many: T, agree: Callable[[T, T], bool]) -> bool:
    """Whether some sequence is meant by both of two sequences, in which `many` stands for any number of items.

    Walks through both at once, in time proportional to the product of their lengths at most.
    """
    reached = {(0, 0)}
    ahead = [(0, 0)]
    while ahead:
        left, right = ahead.pop()
        if (left, right) == (len(one), len(other)):
            return True
        further = set(_find_steps(one, other, (left, right), many, agree)) - reached
        reached |= further
        ahead.extend(further)
    return False


def _find_steps(
    one: Sequence[T], other: Sequence[T], place: tuple[int, int], many: T, agree: Callable[[T, T], bool]
) -> list[tuple[int, int]]:
    """Return the places that one step leads to: past a `many`, or past one item that it or an equal one stands for."""
    left, right = place
    more_left, more_right = left < len(one), right < len(other)
    any_left, any_right = more_left and one[left] == many, more_right and other[right] == many
    steps = []
    if more_left and (any_left or any_right):
        steps.append((left + 1, right))
    if more_right and (any_left or any_right):
        steps.append((left, right + 1))
    if more_left and more_right and not (any_left or any_right) and agree(one[left], other[right]):
        steps.append((left + 1, right + 1))
    return steps
