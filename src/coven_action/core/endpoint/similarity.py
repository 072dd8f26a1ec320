"""Find proposals that say what another entry says already, or its opposite. Pure, and the same answer every time.

Three findings, each with a sentence: the same text, nearly the same text, and the same subject with another statement (a
negation, a number, or a quoted value differs). It is a coarse net over words. A finding is told to whoever approves and
keeps policy from approving; it refuses nothing.
"""

import re
import unicodedata
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final, Literal

from coven_action.core.endpoint.ranking import extract_terms

SHINGLE: Final = 3
"""Words that follow one another and are compared as one."""

NEAR: Final = 0.7
"""Share of common shingles from which two texts are nearly the same."""

SAME_SUBJECT: Final = 0.6
"""Share of common subject words from which two texts speak of the same thing."""

LEAST_SUBJECT: Final = 2
"""Subject words that two texts have in common at least: a single one is no subject."""

Kind = Literal["duplicate", "conflict", "near_duplicate"]

# "10.5", "3", "1_000"; not the digits within a name such as utf8.
_NUMBER: Final = re.compile(r"(?<![\w.])\d[\d_]*(?:\.\d+)*(?!\w)")
_QUOTED: Final = re.compile(r"`([^`\n]{1,200})`|\"([^\"\n]{1,200})\"")
_WORD: Final = re.compile(r"\w+")
_NEGATION: Final = re.compile(
    r"\b(?:not?|never|without|neither|nor|cannot|disabled?|forbidden|avoid|instead of|rather than)\b|n['\u2019]t\b",
    re.IGNORECASE,
)
_OF_NEGATION: Final = frozenset(
    extract_terms("never without neither cannot disable disabled forbidden avoid instead rather don't")
)


@dataclass(frozen=True, slots=True)
class Compared:
    """Another entry's text.

    Args:
        id: The entry's.
        text: What it says.
    """

    id: str
    text: str


@dataclass(frozen=True, slots=True)
class Likeness:
    """What was found.

    Args:
        kind: `duplicate`, `near_duplicate` or `conflict`.
        id: Which entry it is about.
        sentence: Why, for people; no text of either. No full stop.
    """

    kind: Kind
    id: str
    sentence: str

    @property
    def flag(self) -> str:
        """The finding as it is kept with the wording."""
        return f"{self.kind}:{self.id}"


def find_likeness(text: str, others: Iterable[Compared]) -> tuple[Likeness, ...]:
    """Return what is found about each of the others, by id; nothing about those that speak of something else."""
    found = (_compare(text, other) for other in sorted(others, key=lambda other: other.id))
    return tuple(likeness for likeness in found if likeness is not None)


def _compare(text: str, other: Compared) -> Likeness | None:
    if _flatten(text) == _flatten(other.text):
        return Likeness("duplicate", other.id, f"{other.id} says the same")
    # What is nearly the same and differs in one number is a contradiction first of all.
    difference = _find_difference(text, other.text)
    if difference is not None:
        return Likeness("conflict", other.id, f"{other.id} speaks of the same and {difference}")
    share = measure_share(_shingle(text), _shingle(other.text))
    if share >= NEAR:
        return Likeness("near_duplicate", other.id, f"{other.id} says nearly the same ({share:.0%} of it)")
    return None


def _flatten(text: str) -> str:
    return " ".join(unicodedata.normalize("NFKC", text).casefold().split())


def _shingle(text: str) -> frozenset[tuple[str, ...]]:
    words = _WORD.findall(_flatten(text))
    last = max(1, len(words) - SHINGLE + 1) if words else 0
    return frozenset(tuple(words[start : start + SHINGLE]) for start in range(last))


def measure_share(one: frozenset[object], other: frozenset[object]) -> float:
    """Return how much of two sets is common (Jaccard index); nothing has nothing in common."""
    union = one | other
    return len(one & other) / len(union) if union else 0.0


def _find_difference(one: str, other: str) -> str | None:
    """Return in what two texts on the same subject differ, None where they do not, or speak of something else."""
    subjects = _find_subject(one), _find_subject(other)
    if len(subjects[0] & subjects[1]) < LEAST_SUBJECT or measure_share(*subjects) < SAME_SUBJECT:
        return None
    differences = (
        (_count_negations(one) % 2 != _count_negations(other) % 2, "one of the two denies it"),
        (_find_numbers(one) != _find_numbers(other), "names another number"),
        (_find_quoted(one) != _find_quoted(other), "names another value"),
    )
    return next((sentence for differs, sentence in differences if differs), None)


def _find_subject(text: str) -> frozenset[object]:
    """Return the words that say what a text is about: not its numbers, its values, its negations."""
    bare = _NUMBER.sub(" ", _QUOTED.sub(" ", text))
    return frozenset(extract_terms(bare)) - _OF_NEGATION


def _count_negations(text: str) -> int:
    return len(_NEGATION.findall(_QUOTED.sub(" ", text)))


def _find_numbers(text: str) -> frozenset[str]:
    return frozenset(match.replace("_", "") for match in _NUMBER.findall(_QUOTED.sub(" ", text)))


def _find_quoted(text: str) -> frozenset[str]:
    return frozenset((first or second).strip() for first, second in _QUOTED.findall(text))
