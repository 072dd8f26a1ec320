"""The key is covered in every form, whatever the chunks, and nothing else changes or waits."""

import base64
from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from coven_action.core.gateway.masking import KeyMask, build_key_forms, mask_bytes

KEY = "sk-test-Zk9xQ2vLr7TnB4wYc8HdPf6M"
FORMS = build_key_forms(KEY)


def feed(chunks, forms=FORMS) -> list[bytes]:
    mask = KeyMask(forms)
    return [*map(mask.feed, chunks), mask.finish()]


@pytest.mark.parametrize(
    "form",
    [KEY, KEY[::-1], KEY.lower(), KEY.upper(), KEY.encode().hex(), KEY.encode().hex().upper()],
)
def test_every_form_is_covered_at_its_length(form):
    assert mask_bytes(f"a {form} b".encode(), FORMS) == b"a " + b"*" * len(form) + b" b"


@pytest.mark.parametrize("before", ["", "x", "xy", "Bearer "])
def test_base64_is_covered_in_every_alignment(before):
    encoded = base64.b64encode(f"{before}{KEY}{before}".encode())
    covered = mask_bytes(encoded, FORMS)

    assert len(covered) == len(encoded)
    # What is left belongs to the neighbours, or shares a character with them.
    assert covered.count(b"*") >= len(encoded) - 2 * (4 * len(before) // 3 + 2) - 2


@given(st.lists(st.sampled_from([KEY, KEY[:9], KEY[9:], KEY[:-1], KEY[::-1], "s", "sk-", "\n", "plain "])), st.data())
def test_chunks_make_no_difference(parts, data):
    text = "".join(parts).encode()
    cuts = sorted(data.draw(st.lists(st.integers(min_value=0, max_value=len(text)), max_size=6)))
    chunks = [text[start:end] for start, end in zip([0, *cuts], [*cuts, len(text)], strict=True)]
    whole = mask_bytes(text, FORMS)

    assert b"".join(feed(chunks)) == whole
    assert len(whole) == len(text)
    assert KEY.encode() not in whole


@given(st.text(alphabet="ab", min_size=2, max_size=6), st.text(alphabet="ab", max_size=40), st.data())
def test_keys_that_overlap_themselves_are_covered_wherever_they_stand(key, text, data):
    forms = frozenset({key.encode()})
    expected = bytearray(text.encode())
    for start in range(len(text)):
        if text.startswith(key, start):
            expected[start : start + len(key)] = b"*" * len(key)
    cut = data.draw(st.integers(min_value=0, max_value=len(text)))

    assert b"".join(feed([text[:cut].encode(), text[cut:].encode()], forms)) == bytes(expected)


def test_only_what_may_be_the_key_waits():
    event = b'data: {"type": "ping"}\n\n'
    begun, rest, end = feed([event + KEY[:10].encode(), KEY[10:].encode() + b" ", b""])[:3]

    assert (begun, rest, end) == (event, b"*" * len(KEY) + b" ", b"")
    assert feed([b"ends with sk", b"imming"]) == [b"ends with ", b"skimming", b""]


def test_without_forms_nothing_waits():
    assert feed([KEY.encode()], frozenset()) == [KEY.encode(), b""]


def test_a_key_with_signs_is_covered_as_a_header_and_as_a_query():
    key = "p@ss/word+with%signs"
    forms = build_key_forms(key)

    assert set(mask_bytes(key.encode(), forms)) == set(mask_bytes(quote(key, safe="").encode(), forms)) == {ord("*")}


def test_a_mask_prints_without_the_key():
    mask = KeyMask(FORMS)
    mask.feed(KEY[:10].encode())

    assert KEY[:10] not in repr(mask)
