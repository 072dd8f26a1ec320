"""Frozen values, canonical bytes."""

import hashlib
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from coven_action.core.records import Payload, Record, canonical_json, sha256_hex
from coven_action.core.refusals import Refusal
from tests.fuzzing import examples


class Ours(Record):
    number: int
    share: float = 0.0


class Theirs(Payload):
    number: int


def test_a_record_of_ours_refuses_what_it_does_not_know_and_a_payload_ignores_it():
    with pytest.raises(ValidationError):
        Ours.model_validate({"number": 1, "added": 2})
    assert Theirs.model_validate({"number": 1, "added": 2}) == Theirs(number=1)


@pytest.mark.parametrize("kind", [Ours, Theirs])
@pytest.mark.parametrize("number", ["1", 1.0, True, None])
def test_neither_guesses_at_a_value_of_another_kind(kind, number):
    with pytest.raises(ValidationError):
        kind.model_validate({"number": number})


@pytest.mark.parametrize("value", [Ours(number=1), Theirs(number=1), Refusal(code="own-event", reason="x")])
def test_both_are_frozen(value):
    field = next(iter(type(value).model_fields))
    with pytest.raises(ValidationError):
        setattr(value, field, 2)


@pytest.mark.parametrize("share", [float("nan"), float("inf"), float("-inf")])
def test_a_record_holds_no_number_that_json_cannot_say(share):
    with pytest.raises(ValidationError):
        Ours(number=1, share=share)
    with pytest.raises(ValueError, match="not JSON compliant"):
        canonical_json({"share": share})


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=8,
)


@given(JSON)
@examples(100)
def test_equal_values_give_equal_bytes_in_any_order_of_keys(value):
    text = canonical_json(value)
    turned = json.loads(text, object_pairs_hook=lambda pairs: dict(reversed(pairs)))

    assert json.loads(text) == value
    assert canonical_json(turned) == text
    assert text.endswith("\n")


def test_text_stays_readable():
    assert canonical_json({"b": "é", "a": "→"}) == '{\n  "a": "→",\n  "b": "é"\n}\n'


@given(st.binary(max_size=20))
@examples(20)
def test_a_digest_is_sixty_four_lower_case_digits(data):
    digest = sha256_hex(data)

    assert digest == hashlib.sha256(data).hexdigest()
    assert len(digest) == 64
    assert digest == digest.lower()


def test_a_refusal_is_told_unless_it_says_that_it_is_quiet():
    assert Refusal(code="not-routed", reason="x") == Refusal(code="not-routed", reason="x", remedy="", quiet=False)
