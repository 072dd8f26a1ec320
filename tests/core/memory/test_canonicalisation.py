"""Canonical JSON, held against the examples of RFC 8785 that apply to values without fractions."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from coven_action.core.memory.canonicalisation import canonicalise
from tests.fuzzing import examples


def test_keys_are_sorted_as_in_section_3_2_3():
    text = (
        '{"\\u20ac": "Euro Sign", "\\r": "Carriage Return", "\\ufb33": "Hebrew Letter Dalet With Dagesh", "1": "One", '
        '"\\ud83d\\ude00": "Emoji: Grinning Face", "\\u0080": "Control", "\\u00f6": "Latin Small Letter O With Diaeresis"}'
    )

    assert list(json.loads(canonicalise(json.loads(text))).values()) == [
        "Carriage Return",
        "One",
        "Control",
        "Latin Small Letter O With Diaeresis",
        "Euro Sign",
        "Emoji: Grinning Face",
        "Hebrew Letter Dalet With Dagesh",
    ]


def test_text_and_literals_are_written_as_in_section_3_2_2():
    value = json.loads(
        '{"string": "\\u20ac$\\u000F\\u000aA\'\\u0042\\u0022\\u005c\\\\\\"\\/", "literals": [null, true, false]}'
    )

    assert (
        canonicalise(value) == b'{"literals":[null,true,false],"string":"\xe2\x82\xac$\\u000f\\nA\'B\\"\\\\\\\\\\"/"}'
    )


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ({}, b"{}"),
        ([], b"[]"),
        ((1, [2]), b"[1,[2]]"),
        ("\x00\b\t\f\x1f\x7f", b'"\\u0000\\b\\t\\f\\u001f\x7f"'),
        # Appendix B, the whole numbers.
        (0, b"0"),
        (9007199254740991, b"9007199254740991"),
        (-9007199254740991, b"-9007199254740991"),
        (True, b"true"),
        ({"b": [{"z": 1, "a": None}], "a": False}, b'{"a":false,"b":[{"a":null,"z":1}]}'),
    ],
)
def test_values_have_one_form(value, expected):
    assert canonicalise(value) == expected


@pytest.mark.parametrize(
    "value", [1.5, 2**53, -(2**53), "\ud83d", {"\udc00": 1}, {1: 2}, {True: 1}, b"x", {1, 2}, [1.0]]
)
def test_what_has_no_certain_form_is_refused(value):
    with pytest.raises(ValueError, match=r"canonical form|larger than"):
        canonicalise(value)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53) + 1, 2**53 - 1) | st.text(max_size=10),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5), inner, max_size=4),
    max_leaves=15,
)


@given(JSON)
@examples(100)
def test_the_form_says_what_the_value_says_and_is_a_fixed_point(value):
    written = canonicalise(value)

    assert json.loads(written) == value
    assert canonicalise(json.loads(written)) == written
