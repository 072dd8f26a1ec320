"""Paths as the most forgiving file system sees them, and the patterns that people write over them. Pure.

A pattern is a path in which `*` stands for any characters of one name, `?` for one character, and `**`, alone between
slashes, for any number of folders, also none. It is anchored at the repository's root; without a slash it means a name at
any depth. What matches a folder covers everything in it. There is nothing else: no negation, no sets, no alternatives.
"""

import re
import unicodedata
from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import Final

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

# What a pattern's meaning hangs on.
_SPECIAL: Final = frozenset("*?/\\:[]{}!. ")
# How Windows shortens names of more than 8.3 characters: `.github` answers to `GITHUB~1`, and after four names with the
# same beginning two of its characters stay, before four digits of a hash.
# https://learn.microsoft.com/en-us/windows/win32/fileio/naming-a-file#short-vs-long-names
_SHORT_NAME: Final = re.compile(r"(?:([^.~]{2})[0-9a-f]{4}|([^.~]{1,6}))~[0-9]{1,6}(?:\.[^.]{0,3})?")


def fold_path(path: str) -> Segments:
    """Return the path's segments as the most forgiving file system would see them.

    Case, Unicode compatibility forms, invisible characters, trailing dots and spaces, and what follows a colon (the name
    of an NTFS stream, as in `.git::$INDEX_ALLOCATION`) are ignored somewhere: on macOS, on Windows, or by HFS+. What is
    equal on any of them is equal here.
    """
    return tuple(_fold_segment(segment) for segment in _fold_text(path).replace("\\", "/").split("/"))


def _fold_text(text: str) -> str:
    """Return the text without differences of case, form and invisible characters."""
    visible, _count = remove_invisible(text)
    # Upper case first: file systems compare either, and the dotless i has a capital but no fold in common with i.
    folded = unicodedata.normalize("NFKC", visible).upper().casefold()
    # Again until nothing changes: folding case can undo the normal form.
    return folded if folded == text else _fold_text(folded)


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
        self._names = tuple(name for pattern in parsed if (name := _take_name(pattern)) is not None)
        self._any_name = re.compile("|".join(map(_write_expression, self._names)), re.DOTALL) if self._names else None
        self._paths = tuple(pattern for pattern in parsed if _take_name(pattern) is None)

    def covers(self, segments: Segments) -> bool:
        """Whether a folded path, or a folder that it lies in, matches one of the patterns."""
        return any(self._names_segment(segment) for segment in segments) or any(
            meet((*pattern, None), segments, _matches_segment) for pattern in self._paths
        )

    def _names_segment(self, segment: str) -> bool:
        if self._any_name is not None and self._any_name.fullmatch(segment) is not None:
            return True
        beginning = _find_beginning(segment)
        return beginning is not None and any(_begins(name, beginning) for name in self._names)


@lru_cache(maxsize=128)
def prepare_patterns(patterns: tuple[str, ...]) -> PatternSet:
    """Return the set of these patterns; the same one for the same patterns."""
    return PatternSet(patterns)


def _take_name(pattern: Pattern) -> str | None:
    """Return the name that a pattern means at any depth, None where it means a path."""
    match pattern:
        case (None, str(name)):
            return name
    return None


def _write_expression(name: str) -> str:
    """Return the regular expression of a name with wildcards. Atomic groups keep it from trying any place twice."""
    first, *rest = ("".join("." if each == "?" else re.escape(each) for each in literal) for literal in name.split("*"))
    between = "".join(f"(?>.*?{literal})" for literal in rest[:-1])
    return f"{first}{between}.*{rest[-1]}" if rest else first


@lru_cache(maxsize=1024)
def _prepare_name(name: str) -> re.Pattern[str]:
    return re.compile(_write_expression(name), re.DOTALL)


def _matches_segment(name: str, segment: str) -> bool:
    """Whether one folded name of a path is what one of a pattern means, or its short form."""
    return _prepare_name(name).fullmatch(segment) is not None or abbreviates(segment, name)


def is_short_name(segment: str) -> bool:
    """Whether a folded name has the form in which Windows shortens long ones."""
    return _find_beginning(segment) is not None


def _find_beginning(segment: str) -> str | None:
    """Return what a name that Windows may have shortened keeps of the long one, None for any other name."""
    short = _SHORT_NAME.fullmatch(segment)
    return (short[1] or short[2]) if short else None


def abbreviates(segment: str, name: str) -> bool:
    """Whether a folded name may be the short form of one that a name with wildcards means."""
    beginning = _find_beginning(segment)
    return beginning is not None and _begins(name, beginning)


def _begins(name: str, beginning: str) -> bool:
    # Windows leaves dots and spaces out of the short form.
    return names_meet(f"{beginning}*", name.replace(".", "").replace(" ", ""))


def names_meet(one: str, other: str) -> bool:
    """Whether some name is meant by both of two names with wildcards."""
    return meet(_list_letters(one), _list_letters(other), _agree)


def _list_letters(name: str) -> Pattern:
    return tuple(None if letter == "*" else letter for letter in name)


def _agree(one: str, other: str) -> bool:
    return one == other or "?" in {one, other}


def meet(one: Sequence[str | None], other: Sequence[str | None], agree: Callable[[str, str], bool]) -> bool:
    """Whether some sequence is meant by both of two sequences, in which None stands for any number of items.

    In time proportional to the product of their lengths.
    """
    # Whether the items of `one` up to here, and so many of `other`, mean some sequence both.
    row = [True]
    for theirs in other:
        row.append(row[-1] and theirs is None)
    for mine in one:
        following = [row[0] and mine is None]
        for index, theirs in enumerate(other):
            if mine is None or theirs is None:
                following.append(row[index + 1] or following[index])
            else:
                following.append(row[index] and agree(mine, theirs))
        row = following
    return row[-1]
