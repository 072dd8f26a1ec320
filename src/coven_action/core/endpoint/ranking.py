"""Which entries suit a task best, and which of them fit. Pure.

An entry is ranked by what it shares with the request and by what is known of it alone: distinct words matched, cited paths,
trust, age. No count over other entries takes part, so nobody's entries move anybody else's.
"""

import re
import unicodedata
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Final

from coven_action.core.memory.policy_block import TrustScope

MAX_TERM: Final = 64
"""Characters of a word; what is longer is cut."""

MAX_TERMS: Final = 12
"""Words of a request that are looked for: the first ones, paths before prose."""

MAX_POSTINGS: Final = 800
"""Entries that are looked at for a request, each counted once for every word that leads to it."""

LEAST_CANDIDATES: Final = 32
"""Entries that are ranked however small the budget is."""

BYTES_PER_TOKEN: Final = 3
"""Models differ; three bytes of UTF-8 a token is more tokens than any common one makes of prose or code."""

ENTRY_OVERHEAD_BYTES: Final = 240
"""What an entry brings along besides its words: field names, id, digests."""

TRUST_ORDER: Final[tuple[TrustScope, ...]] = ("maintainer", "scheduled", "collaborator", "external", "fork_pr")

# Words that stand in any text and say nothing about which.
_COMMON: Final = (
    "a about after again all also an and any are as at be because been before being both but by can could did do does "
    "doing done down each else every few for from had has have he her here him his how i if in into is it its just "
    "like may me might more most must my no nor not now of off on once one only or other our out over own same she should "
    "so some such than that the their them then there these they this those through to too under until up use used uses "
    "using very was we were what when where which while who why will with would you your"
)
STOP_WORDS: Final = frozenset(_COMMON.split())
_WORD: Final = re.compile(r"[^\W_]+")
# `parseHTTPBody2` is parse, HTTP, Body2: a border lies before an upper-case letter that follows a lower-case one or a
# digit, and before the last of several upper-case letters where a lower-case one comes next.
_CAMEL: Final = re.compile(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])")
_ENDINGS: Final = (("sses", "ss"), ("ies", "y"), ("ing", ""), ("ed", ""), ("s", ""))
_UNCUT: Final = ("ss", "us", "is")
_DOUBLED: Final = re.compile(r"([bdfgmnprt])\1$")
_SHORTEST_STEM: Final = 3


def extract_terms(text: str) -> tuple[str, ...]:
    """Return the words of a text as they are compared, each once, in their order.

    Identifiers fall into their parts (at `_`, `-`, `.`, `/` and where the case changes), endings of English plurals and
    verbs are cut, words that stand anywhere are left out.
    """
    return tuple(dict.fromkeys(_list_terms(text)))


def _list_terms(text: str) -> Iterator[str]:
    """Yield the words as they come, one that comes again included."""
    # Compatibility forms first, and case last: the parts of an identifier are found by its case.
    for word in _WORD.findall(unicodedata.normalize("NFKC", text)):
        for part in _CAMEL.split(word):
            lowered = part.casefold()
            if len(lowered) > 1 and lowered not in STOP_WORDS:
                yield _stem(lowered)[:MAX_TERM]


def _stem(word: str) -> str:
    """Return a word without its ending: `rounding`, `rounded`, `rounds` are one, as `caches`, `cached`, `cache` are."""
    if not word.endswith(_UNCUT):
        for ending, instead in _ENDINGS:
            if word.endswith(ending) and len(word) - len(ending) + len(instead) >= _SHORTEST_STEM:
                word = word.removesuffix(ending) + instead
                break
    word = _DOUBLED.sub(r"\1", word)
    return word.removesuffix("e") if len(word) > _SHORTEST_STEM else word


def extract_path_terms(path: str) -> tuple[str, ...]:
    """Return by what a file is found: itself, its folder, and the words of its name without the ending.

    The words of its folders are not among them: half of a repository lies below the same few.
    """
    folder, _, name = path.rpartition("/")
    itself = (f"/{path}"[-MAX_TERM:], f"/{folder}/"[-MAX_TERM:])
    return tuple(dict.fromkeys((*itself, *extract_terms(name.partition(".")[0]))))


def extract_query(text: str, paths: Iterable[str] = ()) -> tuple[str, ...]:
    """Return the words to look for: those of the paths and then those of the text, at most `MAX_TERMS`."""
    found: dict[str, None] = {}
    for term in chain.from_iterable((*map(extract_path_terms, paths), _list_terms(text))):
        found[term] = None
        # A task's text may be long; what comes after the last word that is looked for is not taken apart.
        if len(found) == MAX_TERMS:
            break
    return tuple(found)


def choose_terms(counts: Mapping[str, int], most: int = MAX_POSTINGS) -> tuple[str, ...]:
    """Return the words to find candidates by: the rarest first, at least one, as many as lead to `most` entries together.

    A word that nearly every entry holds says nothing about which one is meant. The counts are those of the entries that
    the run may read: they decide where candidates are sought, never which candidate comes first.

    Args:
        counts: How many entries hold a word of the request; of a frequent one it is enough to say that they are more
            than `most`.
        most: How many entries are looked at.
    """
    chosen: list[str] = []
    for term, count in sorted(counts.items(), key=lambda item: (item[1], item[0])):
        most -= count
        if chosen and most < 0:
            break
        chosen.append(term)
    return tuple(chosen)


def bound_candidates(budget: int) -> int:
    """Return how many entries are ranked for a budget: twice as many as could fit if each were as short as can be."""
    return max(LEAST_CANDIDATES, 2 * budget // estimate_tokens())


@dataclass(frozen=True, slots=True)
class Candidate:
    """An entry that the run may read.

    Args:
        id: The entry's.
        matched: How many different words of the request it holds.
        cited_paths: Files that show what it says.
        trust_scope: Of the run that proposed it.
        by_person: Whether a person approved it.
        approved_at: When, in milliseconds.
        tokens: How much room it takes.
    """

    id: str
    matched: int
    cited_paths: tuple[str, ...]
    trust_scope: TrustScope
    by_person: bool
    approved_at: int
    tokens: int


@dataclass(frozen=True, slots=True)
class Filled:
    """What was chosen.

    Args:
        chosen: Best first.
        tokens: What they take together.
        left_out: How many did not fit.
    """

    chosen: tuple[Candidate, ...]
    tokens: int
    left_out: int


def measure_overlap(paths: Sequence[str], cited_paths: Sequence[str]) -> int:
    """Return how near the cited files are to those of the task.

    Two for each cited path that the task names, one for each in the folder of one that it names.
    """
    named = frozenset(paths)
    folders = frozenset(path.rpartition("/")[0] for path in paths)
    return sum(2 if path in named else int(path.rpartition("/")[0] in folders) for path in frozenset(cited_paths))


def rank(candidates: Iterable[Candidate], paths: Sequence[str]) -> tuple[Candidate, ...]:
    """Return the candidates, best first. The id decides last, so that no two orders are possible."""

    def key(candidate: Candidate) -> tuple[int, int, bool, int, int, str]:
        return (
            -candidate.matched,
            -measure_overlap(paths, candidate.cited_paths),
            not candidate.by_person,
            TRUST_ORDER.index(candidate.trust_scope),
            -candidate.approved_at,
            candidate.id,
        )

    return tuple(sorted(candidates, key=key))


def fill(ranked: Iterable[Candidate], budget: int) -> Filled:
    """Return the candidates that fit into the budget: in their order, leaving out what is too large for what is left."""
    chosen: list[Candidate] = []
    left, left_out = budget, 0
    for candidate in ranked:
        if candidate.tokens <= left:
            chosen.append(candidate)
            left -= candidate.tokens
        else:
            left_out += 1
    return Filled(tuple(chosen), budget - left, left_out)


def estimate_tokens(*texts: str) -> int:
    """Return how much room an entry takes whose words are these; never too little for what is counted."""
    size = ENTRY_OVERHEAD_BYTES + sum(len(text.encode()) for text in texts)
    return -(-size // BYTES_PER_TOKEN)
