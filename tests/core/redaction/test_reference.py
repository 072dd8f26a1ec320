"""What the filters let through is what a plain search without any filter finds, in any chunks."""

import base64
import hashlib
import re
import string
from functools import cache
from unittest.mock import patch

import pytest
from hypothesis import given
from hypothesis import strategies as st

from coven_action.core.redaction import encodings
from coven_action.core.redaction import redactor as redaction
from coven_action.core.redaction.assignments import NAMES, find_assignments
from coven_action.core.redaction.encodings import KIND, LiveValues
from coven_action.core.redaction.redactor import Redactor
from coven_action.core.redaction.search import find_places, find_shapes
from coven_action.core.redaction.shapes import OTHER_SHAPES, PREFIXES, TOKEN, TOKEN_SHAPES
from tests.fuzzing import examples

RANDOM = "aB3dE6gH9jK2mN5pQ8sT1vW4yZ7bC0eF3hJ6L8n1R4u7X0aB3dE6gH9jK2mN5pQ8sT1vW4yZ7bC0eF3hJ6"
SECRETS = ("k7Jd92mXq0pLw3vR5tYz", "correct-horse-battery", "11" + RANDOM[:40], "aaaaaaaabbbbbbbb", "kurz8Wxy")

VISIBLE = frozenset(string.printable[:94].encode()) - {*b"%\\"}
REDACTOR = Redactor.build(SECRETS)

# --- the plain search


def find_shapes_plainly(text):
    found = [span for shape in TOKEN_SHAPES for span in find_shape(shape, text)]
    for prefix, (kind, shortest, longest) in PREFIXES.items():
        form = rb"(?<![A-Za-z0-9])%s[A-Za-z0-9]{%d,%d}(?![A-Za-z0-9])" % (re.escape(prefix), shortest, longest)
        found += [(*match.span(), kind) for match in re.finditer(form, text)]
    runs = [run.span() for run in re.finditer(rb"[A-Za-z0-9_.~-]+", text) if can_be_token(run[0])]
    kept = [span for span in found if any(start <= span[0] < end for start, end in runs)]
    return {*kept, *(span for shape in OTHER_SHAPES for span in find_shape(shape, text))}


def find_shape(shape, text):
    for match in shape.expression.finditer(text):
        if match.lastindex or not shape.expression.groups:
            start, end = match.span(match.lastindex or 0)
            yield start - shape.before, end, shape.kind


def can_be_token(run):
    return len(run) >= TOKEN and re.fullmatch(rb"[a-z_.~-]+", run) is None and re.fullmatch(rb"[0-9a-f-]+", run) is None


def find_places_plainly(text):
    return {name: [match.start() for match in re.finditer(name, text, re.IGNORECASE)] for name in NAMES}


def find_pieces_plainly(live, text):
    """Yield every piece of every form, wherever it begins in the skeleton."""
    places = [place for place, byte in enumerate(text) if byte in VISIBLE]
    bones = bytes(text[place] for place in places)
    for length, pieces in live._windows.items():
        for start in range(len(bones) - length + 1):
            if bones[start : start + length] in pieces:
                yield places[start], places[start + length - 1] + 1, KIND


# --- texts in which something nearly always stands

LITERALS = [literal.decode() for shape in (*TOKEN_SHAPES, *OTHER_SHAPES) for literal in shape.literals]
WORDS = [
    *(
        f"{name}{sign}"
        for name in ("API_KEY", "token", "Passwd", "my_secret", "auth", "key")
        for sign in ("=", ': "', "")
    ),
    *("https://", "user:", "@host", "Authorization: ", " ", "\n", '"', "é", "\u200b", "-", ".", "=", "/", "word"),
    *("proj-", "or-v1-", "e.xoxb-", "at_", "AgE", "sk-ant-api03-", "eyJhbGciOiJIUzI1NiJ9.", "T3BlbkFJ", "?sig="),
]
RUNS = st.integers(0, 80).map(lambda length: RANDOM[:length]) | st.sampled_from(
    [
        RANDOM[:36].upper(),
        "0123456789abcdef" * 4,
        "some_words_in_a_long_row",
        "Q3EGV7TZ2XKW5RNB",
        "2" * 58,
        "abc:" + RANDOM[:20],
    ]
)
PARTS = st.sampled_from([*LITERALS, *(prefix.decode() for prefix in PREFIXES), *WORDS]) | RUNS
LEAKS = st.sampled_from(
    [
        part
        for secret in SECRETS
        for form in encodings.build_forms(secret)
        for part in (form.text.decode(), form.text[3:].decode())
    ]
)
TEXTS = st.lists(PARTS | LEAKS | st.text(max_size=4), max_size=14).map("".join).map(str.encode)


@examples(150)
@given(text=TEXTS)
def test_known_shapes_are_those_of_the_plain_search(text):
    expected = find_shapes_plainly(text)

    assert set(find_shapes(text, find_places(text))) == expected


@examples(150)
@given(text=TEXTS)
def test_assignments_are_those_of_the_plain_search(text):
    assert set(find_assignments(text, find_places(text))) == set(find_assignments(text, find_places_plainly(text)))


build_live = cache(LiveValues.build)


@pytest.mark.parametrize("long", [0, 10**6], ids=["pairs", "integers"])
@examples(60)
@given(text=TEXTS, secrets=st.sampled_from([SECRETS[:1], SECRETS[1:3], SECRETS]))
def test_pieces_of_live_values_are_those_of_the_plain_search(long, text, secrets):
    live = build_live(secrets)
    wholes = LiveValues(frozenset(), live.literals, live.exact, live.words, 0)

    with patch.object(encodings, "_LONG", long):
        assert set(live.find_spans(text)) == {*wholes.find_spans(text), *find_pieces_plainly(live, text)}


@pytest.mark.parametrize("count", [1, 100])
def test_a_piece_is_found_anywhere_in_a_long_text_however_many_values_are_registered(count):
    secrets = [base64.b64encode(hashlib.sha256(bytes([number])).digest()).decode() for number in range(count)]
    live = LiveValues.build(secrets)
    piece = secrets[-1][7:19]
    lines = (b"A line of a log, in which nothing stands that anybody would have to cover.\n" * 1200)[:80_000]

    assert (live._pairs is None) == (count == 100)
    assert list(live.find_spans(lines)) == []
    for place in (0, 1, 40_000, 40_001, 80_000):
        found = set(live.find_spans(lines[:place] + piece.encode() + lines[place:]))
        assert found == {(place, place + 12, KIND)}


@examples(25)
@given(text=st.lists(PARTS | LEAKS, min_size=1, max_size=4).map("".join).map(str.encode).filter(bool))
def test_a_text_is_redacted_alike_wherever_it_is_divided(text):
    with patch.object(redaction, "BLOCK", 64), patch.object(redaction, "WINDOW", 64):
        whole = REDACTOR.redact(text)
        for place in range(len(text) + 1):
            stream = REDACTOR.stream()
            assert stream.feed(text[:place]) + stream.feed(text[place:]) + stream.finish() == whole
