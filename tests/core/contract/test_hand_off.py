"""The agent's own words for the pull request: bounded, decoded, never trusted."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from coven_action.core.contract.hand_off import HAND_OFF_LIMIT, UNPUBLISHED_FOLDERS, parse_pull_request_hand_off
from coven_action.core.documents import HandOff
from tests.core.samples import changed
from tests.fuzzing import examples


@pytest.mark.parametrize(
    ("data", "title", "body"),
    [
        (b"# Round half up\n\nBecause.\n", "Round half up", "Because."),
        (b"\n\n  Round half up\r\nBecause.\r\n\r\nAnd more.", "Round half up", "Because.\r\n\r\nAnd more."),
        (b"### \tRound half up", "Round half up", ""),
        (b"\xef\xbb\xbf# Round half up", "Round half up", ""),
        (b"#42: again\nx", "#42: again", "x"),
        (b"####### seven", "####### seven", ""),
        (b"#\nbody", "", "body"),
        (b"", "", ""),
        (b" \n\t\n", "", ""),
    ],
)
def test_the_first_line_is_the_title_and_the_rest_the_text(data, title, body):
    assert parse_pull_request_hand_off(data) == (HandOff(title=title, body=body), ())


def test_no_file_is_no_hand_off_and_no_note():
    assert parse_pull_request_hand_off(None) == (HandOff(), ())


@pytest.mark.parametrize(
    ("data", "note"),
    [
        (b"x" * (HAND_OFF_LIMIT + 1), "more than 65536 bytes"),
        (b"title\n\xff\xfe", "not UTF-8"),
        (b"\xed\xa0\x80", "not UTF-8"),
    ],
    ids=["long", "bytes", "surrogate"],
)
def test_what_cannot_be_used_is_left_aside_with_a_note(data, note):
    hand_off, notes = parse_pull_request_hand_off(data)

    assert hand_off == HandOff()
    assert len(notes) == 1
    assert note in notes[0]


def test_the_limit_itself_is_allowed():
    hand_off, notes = parse_pull_request_hand_off(b"x" * HAND_OFF_LIMIT)

    assert (len(hand_off.title), notes) == (HAND_OFF_LIMIT, ())


@given(st.binary(max_size=60))
@examples(200)
def test_any_bytes_give_a_single_line_title_or_a_note(data):
    hand_off, notes = parse_pull_request_hand_off(data)

    assert "\n" not in hand_off.title
    assert hand_off.title == hand_off.title.strip()
    assert not notes or hand_off == HandOff()


def test_what_a_runtime_keeps_for_itself_is_protected_as_well():
    from coven_action.core.verification.protected_paths import find_protected

    for folder in UNPUBLISHED_FOLDERS:
        assert find_protected((changed(f"{folder}/x"),))
