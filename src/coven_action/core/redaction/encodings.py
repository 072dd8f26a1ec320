"""Forms in which a registered value can leave: raw, reversed, base64, hex, escaped, split, in pieces.

Pure. The search runs over the *skeleton* of a text: its visible ASCII characters but for the two that escape others,
`%` and the backslash. Whitespace, control characters and everything outside ASCII (zero-width characters, fillers,
invalid bytes) are left out of both the text and the forms, so that a value which they split is found as easily as a
whole one.

Two filters tell where anything can be at all, and both let through whatever is there. The quicker one reads the skeleton
in pairs of bytes. A piece of twelve characters contains, wherever it begins, five whole pairs in a row, so of each such
row of a form one pair is chosen, the rarest, and one expression finds the chosen pairs that have right neighbours. With
many or long values too much would be chosen; then, and for short texts, a filter serves whose cost does not depend on
the values. A piece of twelve characters contains eight bytes that start at a multiple of four: every eight bytes of
every form are kept as one integer in a set, the skeleton is read as integers at the offsets 0 and 4, and two set
operations give the answer.
"""

import base64
import html
import json
import re
from bisect import bisect_right
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property
from itertools import accumulate, compress
from typing import Final
from urllib.parse import quote, quote_plus

from coven_action.core.redaction.pairs import PAIR, measure_rarity, read_pairs, render_class

PIECE: Final = 12
"""A piece of a registered value counts from this many characters on."""

WHOLE: Final = 8
"""A value of at least this many characters is searched in every form; for shorter ones see `LiveValues.build`."""

SHORTEST: Final = 4
"""A value of fewer characters is not searched: it would cover ordinary text everywhere."""

PLAIN_BELOW: Final = 16
"""A value that is one plain word or number and shorter than this is searched as a whole word only."""

KIND: Final = "registered secret"

_GRAM: Final = 8
_STRIDE: Final = 4
_TWO_GRAMS: Final = 3 * _GRAM - 1  # every run of this length contains two grams side by side at multiples of eight
_MOST_PAIRS: Final = 500  # some ten values; beyond, a chosen pair stands everywhere and the integers are quicker
_LONG: Final = 32 * 1024  # a text must have so many bytes to be worth the expression, some milliseconds for each value
_STRETCH: Final = 2048  # so much is looked at closely where the filter saw something
_RELIABLE: Final = _GRAM + _STRIDE - 1  # every run of this length contains a gram at a multiple of the stride
_VISIBLE: Final = range(ord("!"), ord("~") + 1)
_ESCAPES: Final = b"%\\"  # with these left out, %-encoding is hexadecimal and most string escapes are the raw value
_KEPT: Final = bytes(byte in _VISIBLE and byte not in _ESCAPES for byte in range(256))
_DROPPED: Final = bytes(byte for byte in range(256) if not _KEPT[byte])
_PLAIN: Final = re.compile(r"[A-Z]?[a-z]+|[A-Z]+|[0-9]+")
_WORD: Final = frozenset(b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_")

# What every value of a kind begins (or ends) with says nothing about this one; pieces are taken from the rest.
_PUBLIC_START: Final = re.compile(
    r"-----BEGIN [A-Z0-9 ]{1,40}-----\s*"
    r"|eyJ[A-Za-z0-9_-]{1,200}\."  # the header of a JWT
    r"|(?:github_pat_|gh[a-z]_|sk-ant-[a-z]{1,8}\d\d-|sk-[a-z]{1,8}-|xox[a-z]-|pypi-AgEIcHlwaS5vcmc)"
    r"|[a-z][a-z0-9+.-]{1,20}://(?:[A-Za-z0-9.-]{1,253}(?=[/:]|$)(?![^\s/]*@))?"
)
_PUBLIC_END: Final = re.compile(r"\s*-----END [A-Z0-9 ]{1,40}-----\s*\Z")


def skeleton(text: bytes) -> bytes:
    """Return the visible ASCII characters of a text but for those that escape others."""
    return text.translate(None, _DROPPED)


@dataclass(frozen=True, slots=True)
class Form:
    """One form of a value: its skeleton, and the length from which a piece of it counts."""

    text: bytes
    piece: int


def build_forms(value: str) -> Iterator[Form]:
    """Yield every form in which a value is searched.

    Pieces of encoded forms count from the length that encodes `PIECE` characters.
    """
    raw = value.encode("utf-8", "replace")
    escaped = (
        quote(value, safe=""),
        quote_plus(value),
        json.dumps(value)[1:-1],
        json.dumps(value, ensure_ascii=False)[1:-1],
        html.escape(value),
    )
    forms = {Form(skeleton(text.encode("utf-8", "replace")), PIECE) for text in (value, value[::-1], *escaped)}
    hexadecimal = raw.hex().encode()
    forms |= {Form(hexadecimal, 2 * PIECE), Form(hexadecimal.upper(), 2 * PIECE)}
    escaped_bytes = "".join(
        f"x{byte:02x}" for byte in raw
    ).encode()  # `\x67\x68`: the backslashes are not in the skeleton
    forms |= {Form(escaped_bytes, 3 * PIECE), Form(escaped_bytes.upper().replace(b"X", b"x"), 3 * PIECE)}
    forms |= {Form(core, PIECE * 4 // 3) for core in _base64_cores(raw)}
    twice = (again for core in _base64_cores(raw, urlsafe=False) for again in _base64_cores(core))
    forms |= {Form(core, 2 * PIECE) for core in twice}
    yield from forms


def _base64_cores(raw: bytes, *, urlsafe: bool = True) -> Iterator[bytes]:
    """Yield what base64 of any text with `raw` in it contains, for the three ways in which `raw` can be aligned.

    The first and the last character of a core may depend on the neighbours as well; those are left out.
    """
    for before in range(3):
        first = -(-before * 4 // 3)  # the first character that depends on `raw` alone
        last = (before + len(raw)) * 8 // 6
        encoded = base64.b64encode(b"\0" * before + raw)[first:last]
        yield encoded
        if urlsafe:
            yield encoded.translate(bytes.maketrans(b"+/", b"-_"))


@dataclass(frozen=True)
class LiveValues:
    """The registered values of a run, indexed for search. Built by `LiveValues.build`; prints without the values.

    Args:
        forms: Forms that are searched in pieces.
        literals: Forms that are searched as wholes in the skeleton.
        exact: Values that are searched as they stand, in the text itself.
        words: Values that are searched as they stand and as whole words.
        ignored: How many values were too short or too plain to be searched.
    """

    forms: frozenset[Form]
    literals: frozenset[bytes]
    exact: frozenset[bytes]
    words: frozenset[bytes]
    ignored: int

    def __repr__(self) -> str:
        """Return a text without any value: a traceback that shows local variables is a way out as well."""
        return f"LiveValues({len(self.forms)} forms)"

    @classmethod
    def build(cls, values: Iterable[str]) -> "LiveValues":
        """Index values by the length and the look of each.

        From 8 characters on every form is searched. A plain word or number below 16 characters is searched in its
        encodings, and as it stands only where no letter or digit touches it: `production` in `reproduction` is no leak.
        Values of 4 to 7 characters are searched as whole words unless they are plain, then ignored, because covering
        `main` or `true` everywhere would tell more than it hides. Below 4 characters a value is ignored.
        """
        forms: set[Form] = set()
        exact: set[bytes] = set()
        words: set[bytes] = set()
        ignored = 0
        for value in {value.strip() for value in values} - {""}:
            plain = len(value) < PLAIN_BELOW and _PLAIN.fullmatch(value) is not None
            raw = value.encode("utf-8", "replace")
            if len(value) < WHOLE:
                if len(value) < SHORTEST or plain:
                    ignored += 1
                else:
                    words.add(raw)
                continue
            built = set(build_forms(_secret_part(value)))
            if plain:
                words |= {raw, raw[::-1]}
                built = {form for form in built if form.text not in {raw, raw[::-1]}}
            elif len(skeleton(raw)) < WHOLE:
                exact |= {raw, value[::-1].encode("utf-8", "replace")}
            forms |= {form for form in built if len(form.text) >= WHOLE}
        searched = {form for form in forms if len(form.text) >= _RELIABLE}
        literals = {form.text for form in forms if len(form.text) < _RELIABLE or _is_uniform(form)}
        return cls(frozenset(searched), frozenset(literals), frozenset(exact), frozenset(words), ignored)

    @cached_property
    def _grams(self) -> tuple[tuple[int, frozenset[int]], ...]:
        """For each offset, eight bytes after eight bytes of the forms, as integers like those of the skeleton.

        A piece of fifteen characters contains a gram at a multiple of eight, so only shorter ones need the other
        offset.
        """
        short = {form for form in self.forms if min(form.piece, len(form.text)) < 2 * _GRAM - 1}
        return (0, _collect_grams(self.forms)), (_STRIDE, _collect_grams(short))

    @cached_property
    def _pairs(self) -> re.Pattern[str] | None:
        """The expression that finds the chosen pairs among right ones; None where too many would have to be chosen."""
        chosen: set[bytes] = set()
        beside: dict[int, set[bytes]] = {distance: set() for distance in (-2, -1, 1, 2)}
        for form in sorted(self.forms, key=lambda form: form.text):
            least = (min(form.piece, len(form.text)) - 1) // PAIR
            for odd in range(PAIR):
                row = [form.text[start : start + PAIR] for start in range(odd, len(form.text) - 1, PAIR)]
                for index in _choose_pairs(row, least, chosen):
                    chosen.add(row[index])
                    for distance, pairs in beside.items():
                        pairs.update(row[max(index + distance, 0) : index + distance + 1])
            if len(chosen) > _MOST_PAIRS:
                return None
        pair = render_class(chosen)
        earlier, before, after, later = (render_class(pairs) for _, pairs in sorted(beside.items()))
        return re.compile(f"{pair}(?:(?={after})(?:(?=.{later})|(?<={before}.))|(?<={earlier}{before}.))", re.DOTALL)

    @cached_property
    def _octets(self) -> frozenset[bytes]:
        """Every eight bytes of every form."""
        return frozenset(
            form.text[start : start + _GRAM] for form in self.forms for start in range(len(form.text) - _GRAM + 1)
        )

    @cached_property
    def _windows(self) -> dict[int, frozenset[bytes]]:
        """The pieces that count, by their length. Built at the first hit of the filter, which most runs never see."""
        windows: dict[int, set[bytes]] = {}
        for form in self.forms:
            length = min(form.piece, len(form.text))
            pieces = (form.text[start : start + length] for start in range(len(form.text) - length + 1))
            windows.setdefault(length, set()).update(piece for piece in pieces if _is_varied(piece, form))
        return {length: frozenset(pieces) for length, pieces in windows.items()}

    def find_spans(self, text: bytes) -> Iterator[tuple[int, int, str]]:
        """Yield start, end and kind of what belongs to a registered value. Spans may overlap."""
        for word in self.words:
            yield from (span for span in _find_literal(text, word) if _stands_alone(text, *span[:2]))
        for value in self.exact:
            yield from _find_literal(text, value)
        hits = list(self._find_in_skeleton(skeleton(text)))
        if hits:
            locate = _build_locator(text)
            yield from ((locate(start), locate(end - 1) + 1, KIND) for start, end in hits)

    def _find_in_skeleton(self, bones: bytes) -> Iterator[tuple[int, int]]:
        for literal in self.literals:
            yield from ((start, end) for start, end, _ in _find_literal(bones, literal))
        if not self.forms:
            return
        if len(bones) >= _LONG and self._pairs is not None:
            places = [match.start() * PAIR for match in self._pairs.finditer(read_pairs(bones))]
            yield from self._find_pieces(bones, self._keep_suspects(bones, places), PAIR)
            return
        for offset, grams in self._grams:
            if not grams.isdisjoint(_read_grams(bones, offset)):
                numbers = _find_grams(_read_grams(bones, offset), grams)
                yield from self._find_pieces(bones, (offset + number * _GRAM for number in numbers), _GRAM)

    def _keep_suspects(self, bones: bytes, places: list[int]) -> list[int]:
        """Return the places of pairs around which eight bytes of a form stand, as in every piece with the pair in it."""
        octets = self._octets if places else frozenset()
        return [
            place
            for place in places
            if bones[place : place + 8] in octets
            or bones[place - 2 : place + 6] in octets
            or bones[place - 6 : place + 2] in octets  # before the text, a slice is shorter than eight bytes
        ]

    def _find_pieces(self, bones: bytes, places: Iterable[int], width: int) -> Iterator[tuple[int, int]]:
        """Yield the pieces around the bytes that a filter saw; each start is tried once for each length."""
        untried = dict.fromkeys(self._windows, 0)
        for place in places:
            for length, pieces in self._windows.items():
                first = max(place + width - length, untried[length])
                for start in range(first, place + 1):
                    if bones[start : start + length] in pieces:
                        yield start, start + length
                untried[length] = place + 1


def _find_grams(read: "memoryview[int]", grams: frozenset[int]) -> Iterator[int]:
    """Yield the numbers of the integers that are in the set; most stretches are passed over in one operation."""
    for start in range(0, len(read), _STRETCH):
        stretch = read[start : start + _STRETCH]
        if not grams.isdisjoint(stretch):
            yield from (number for number, gram in enumerate(stretch, start) if gram in grams)


def _build_locator(text: bytes) -> Callable[[int], int]:
    """Return the function from an index in the skeleton to the index in the text."""
    stretches = range(0, len(text), _STRETCH)
    before = list(accumulate((len(skeleton(text[start : start + _STRETCH])) for start in stretches), initial=0))
    places: dict[int, list[int]] = {}

    def locate(index: int) -> int:
        number = bisect_right(before, index) - 1
        start = number * _STRETCH
        if number not in places:
            stretch = text[start : start + _STRETCH]
            places[number] = list(compress(range(start, start + _STRETCH), stretch.translate(_KEPT)))
        return places[number][index - before[number]]

    return locate


def _secret_part(value: str) -> str:
    """Return a value without what is public about it, or all of it where too little would be left."""
    begin = _PUBLIC_START.match(value)
    end = _PUBLIC_END.search(value)
    start = max(begin.end() - 4, 0) if begin else 0
    stop = end.start() + 4 if end else len(value)
    part = value[start:stop]
    return part if len(skeleton(part.encode("utf-8", "replace"))) >= PIECE else value


def _collect_grams(forms: Iterable[Form]) -> frozenset[int]:
    """Return the grams at every offset of the forms; of long pieces every other one, since they contain two."""
    grams: set[int] = set()
    for form in forms:
        step = 2 if min(form.piece, len(form.text)) >= _TWO_GRAMS else 1
        for offset in range(_GRAM):
            grams.update(_read_grams(form.text, offset)[::step])
    return frozenset(grams)


def _read_grams(text: bytes, offset: int) -> "memoryview[int]":
    """Return a text from an offset on as integers of eight bytes each, without what is left at the end."""
    stop = offset + max(len(text) - offset, 0) // _GRAM * _GRAM
    return memoryview(text)[offset:stop].cast("Q")


def _choose_pairs(row: list[bytes], least: int, chosen: set[bytes]) -> Iterator[int]:
    """Yield the indices of pairs so that every `least` of the row in sequence contain one; those chosen before are free."""
    start = 0
    while start + least <= len(row):
        index = max(
            range(start, start + least), key=lambda index: (row[index] in chosen, measure_rarity(row[index]), index)
        )
        yield index
        start = index + 1


def _is_varied(piece: bytes, form: Form) -> bool:
    """A row of the same few characters is a rule or a padding, not a piece of a secret."""
    return len(set(piece)) > (4 if form.piece == PIECE else 1)


def _is_uniform(form: Form) -> bool:
    """Whether some piece is not varied, so that pieces might not cover the form and it is searched as a whole too."""
    length = min(form.piece, len(form.text))
    return not all(_is_varied(form.text[start : start + length], form) for start in range(len(form.text) - length + 1))


def _find_literal(text: bytes, literal: bytes) -> Iterator[tuple[int, int, str]]:
    start = text.find(literal)
    while start >= 0:
        yield start, start + len(literal), KIND
        start = text.find(literal, start + len(literal))


def _stands_alone(text: bytes, start: int, end: int) -> bool:
    return not (_WORD.intersection(text[max(start - 1, 0) : start]) or _WORD.intersection(text[end : end + 1]))
