"""Show a person every mistake of a document at once: file, line, column, the line itself and what to write instead.

Pure: takes the mistakes as values, returns text. The document may be hostile, so nothing of it reaches a terminal
unescaped, and long lines are cut around the place that matters.
"""

import difflib
import re
import unicodedata
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from coven_action.errors import ConfigError

MAX_SHOWN: Final = 100
"""Mistakes printed in full; a file with more has one cause, and a log is no place for thousands of lines."""

MAX_QUOTED: Final = 60
"""Characters of the offending text repeated inside a message."""

MAX_LINE: Final = 110
"""Characters of a source line shown; longer lines are cut around the caret."""

MAX_SUGGESTED: Final = 64
"""Longest word compared with the allowed ones: the comparison is quadratic, and no key of ours is that long."""


@dataclass(frozen=True, slots=True)
class Mistake:
    """One thing to mend in a document.

    Args:
        code: A key of `errors.CODES`.
        line: Line, from 1.
        column: Column in characters, from 1; one past the end of the line at most.
        message: What is wrong, one sentence, already safe to print.
        note: What to do, printed beside the carets; where it is empty the message says it and no line is shown.
        source_line: The line of the document as written, unescaped.
        length: How many characters the carets underline.
    """

    code: str
    line: int
    column: int
    message: str
    note: str = ""
    source_line: str = ""
    length: int = 1


class InvalidConfigError(ConfigError):
    """Raised for a configuration with at least one mistake; carries them all.

    Args:
        mistakes: In the order of the document.
        path: The file's path as a person knows it.
    """

    def __init__(self, mistakes: Sequence[Mistake], *, path: str) -> None:
        super().__init__("invalid-config", f"{path} has {_count(len(mistakes))}", place=path)
        self.mistakes = tuple(mistakes)
        self.path = path

    def diagnostics(self) -> str:
        """Return every mistake with its place, its line and its remedy, and the closing count."""
        return render_mistakes(self.mistakes, path=self.path)


def render_mistakes(mistakes: Sequence[Mistake], *, path: str) -> str:
    """Return the text a person reads: the mistakes in their order, at most `MAX_SHOWN`, then how many there are."""
    lines = [line for mistake in mistakes[:MAX_SHOWN] for line in _render_mistake(mistake, path)]
    hidden = f" The first {MAX_SHOWN} are shown." if len(mistakes) > MAX_SHOWN else ""
    return "\n".join([*lines, f"{_count(len(mistakes))}.{hidden} Nothing was run."])


def quote(text: str) -> str:
    """Return `text` between quotation marks for a message: cut at `MAX_QUOTED`, unprintable characters escaped."""
    return f'"{_shorten(text)}"'


def render_location(location: Iterable[str | int]) -> str:
    """Return a path as people write it, `verify[0].timeout`; what is no plain word stands in quotation marks."""
    parts = [f"[{part}]" if isinstance(part, int) else f".{_render_key(part)}" for part in location]
    return "".join(parts).removeprefix(".") or "the file"


def _render_key(key: str) -> str:
    return key if len(key) <= MAX_QUOTED and re.fullmatch(r"[A-Za-z0-9_-]+", key) else quote(key)


def find_suggestion(word: str, allowed: Iterable[str]) -> str | None:
    """Return the allowed word that `word` was probably meant to be, if one is near enough."""
    if len(word) > MAX_SUGGESTED:
        return None
    return next(iter(difflib.get_close_matches(word, list(allowed), n=1)), None)


def render_allowed(word: str, allowed: Sequence[str]) -> str:
    """Return the note for a word that is none of the allowed: a suggestion where one is near, then the list."""
    # The allowed words may come from the document too: the ids of its familiars, for instance.
    shown = [_shorten(choice) for choice in allowed]
    suggestion = find_suggestion(word, shown)
    return (f"did you mean `{suggestion}`? " if suggestion else "") + f"allowed: {', '.join(shown)}"


def _shorten(text: str) -> str:
    return _escape(text if len(text) <= MAX_QUOTED else text[:MAX_QUOTED] + "…")


def _count(number: int) -> str:
    return "1 error" if number == 1 else f"{number} errors"


def _render_mistake(mistake: Mistake, path: str) -> Iterator[str]:
    yield f"{path}:{mistake.line}:{mistake.column}: error[{mistake.code}]: {mistake.message}"
    if mistake.note:
        before, marked, after = _cut(mistake)
        yield f"  | {_escape(before + marked + after)}".rstrip()
        yield f"  | {' ' * _width(_escape(before))}{'^' * max(1, _width(_escape(marked)))} {mistake.note}"


def _cut(mistake: Mistake) -> tuple[str, str, str]:
    """Split the source line into what precedes the carets, what they underline and what follows, within `MAX_LINE`."""
    line = mistake.source_line
    start = mistake.column - 1
    first = max(0, min(start - MAX_LINE // 3, len(line) - MAX_LINE))
    last = first + MAX_LINE
    end = min(start + mistake.length, last)
    return (
        ("…" if first else "") + line[first:start],
        line[start:end],
        line[end:last] + ("…" if last < len(line) else ""),
    )


def _escape(text: str) -> str:
    """Return `text` without anything a terminal or a log would interpret; a tab becomes one blank."""
    return "".join(character if character.isprintable() else _escape_character(character) for character in text)


def _escape_character(character: str) -> str:
    return " " if character == "\t" else character.encode("unicode_escape").decode("ascii")


def _width(text: str) -> int:
    """Return how many terminal cells `text` takes, so that carets stay below what they mean."""
    return sum(_cells(character) for character in text)


def _cells(character: str) -> int:
    if unicodedata.combining(character):
        return 0
    return 2 if unicodedata.east_asian_width(character) in "WF" else 1
