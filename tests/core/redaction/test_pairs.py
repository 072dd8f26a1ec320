"""The search for many strings at once finds what searching each by itself finds, at even and at odd places."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from coven_action.core.redaction.pairs import SHORTEST, Literals, measure_rarity, read_pairs, render_class
from tests.fuzzing import examples

EXACT = (b"ghp_", b"key-", b"://", b"Bearer", b"abcdef", b"aaa", b"^]-", b"\\w+")
ANY_CASE = (b"key", b"secret", b"auth", b"a-b")
LITERALS = Literals(EXACT, ANY_CASE)
PIECES = st.sampled_from(
    [*EXACT, *ANY_CASE, b"KEY", b"kEy", b"AUTH", b"a", b"k", b"\n", b"\xd8", b"\xdf", b"\xff", b"\0"]
)


def find_each(text):
    found = {literal: find_all(text, literal, 0) for literal in EXACT}
    found |= {literal: find_all(text, literal, re.IGNORECASE) for literal in ANY_CASE}
    return {literal: places for literal, places in found.items() if places}


def find_all(text, literal, flags):
    return [match.start() for match in re.finditer(b"(?=%s)" % re.escape(literal), text, flags)]


@examples(150)
@given(text=st.lists(PIECES, max_size=20).map(b"".join) | st.binary(max_size=40))
def test_all_at_once_finds_what_one_by_one_finds(text):
    assert LITERALS.find(text) == find_each(text)


@pytest.mark.parametrize("literal", [*EXACT, *ANY_CASE])
@pytest.mark.parametrize("before", range(5))
@pytest.mark.parametrize("after", range(3))
def test_a_string_is_found_at_every_place_and_at_both_ends(literal, before, after):
    text = b"." * before + literal + b"." * after

    assert LITERALS.find(text) == find_each(text)
    assert LITERALS.find(text)[literal] == [before]


@examples(100)
@given(
    literals=st.lists(st.binary(min_size=SHORTEST, max_size=6).map(lambda text: bytes(byte & 0x7F for byte in text)))
)
def test_any_strings_can_be_searched(literals):
    text = b"".join(literals)

    found = Literals(literals).find(text)

    assert found == {literal: find_all(text, literal, 0) for literal in literals}


def test_nothing_to_search_finds_nothing():
    assert Literals([]).find(b"anything") == {}


def test_a_class_without_pairs_holds_nothing():
    assert re.search(render_class([]), read_pairs(bytes(range(0x80)))) is None


def test_common_pairs_are_less_rare_than_odd_ones():
    assert measure_rarity(b"th") < measure_rarity(b"qz") < measure_rarity(b"\x01\x02")
