"""The hand-off file of an agent about memory: bounded, strict, and never trusted."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from coven_action.core.memory.hand_off import (
    MAX_HAND_OFF_BYTES,
    MAX_LINES,
    MEMORY_HAND_OFF_FILE,
    MemoryHandOff,
    Proposal,
    ProposedCitation,
    Use,
    drop_secrets,
    parse_memory_hand_off,
)
from tests.fuzzing import examples

PROPOSAL = {
    "key": "conventions/rounding",
    "kind": "fact",
    "text": "Totals are rounded.",
    "citations": [{"path": "src/tax.py", "start": 4, "end": 5}],
    "why": "It cost an hour.",
}
USE = {"used": "mem_0123456789abcdef", "why": "It named the helper."}


def _lines(*documents):
    return b"\n".join(
        document if isinstance(document, bytes) else json.dumps(document).encode() for document in documents
    )


def test_the_file_has_the_name_that_agents_are_told():
    assert MEMORY_HAND_OFF_FILE == "memory.jsonl"


def test_no_file_says_nothing():
    assert (
        parse_memory_hand_off(None) == parse_memory_hand_off(b"") == parse_memory_hand_off(b"\n \n") == MemoryHandOff()
    )


def test_proposals_and_uses_are_read_in_their_order():
    hand_off = parse_memory_hand_off(b"\xef\xbb\xbf" + _lines(USE, b"", PROPOSAL) + b"\r\n")

    assert hand_off.uses == (Use(line=1, used="mem_0123456789abcdef", why="It named the helper."),)
    assert [(proposal.line, proposal.key) for proposal in hand_off.proposals] == [(2, "conventions/rounding")]
    assert hand_off.faults == ()


def test_what_need_not_be_said_has_a_default():
    hand_off = parse_memory_hand_off(_lines({"key": "a/b", "kind": "fact", "text": "T"}, {"used": "x"}))

    assert hand_off.proposals == (Proposal(line=1, key="a/b", kind="fact", text="T", citations=(), why=""),)
    assert hand_off.uses == (Use(line=2, used="x", why=""),)


@pytest.mark.parametrize(
    ("line", "sentence"),
    [
        (b"{", "line 1: it is not JSON: Expecting property name enclosed in double quotes at line 1 column 2"),
        (b"[]", "line 1: it is not a JSON object"),
        (b"\xff", "line 1: byte 0 is not UTF-8"),
        (b'{"used": "x", "used": "y"}', "line 1: a key occurs twice in the same object"),
        (b'{"used": "\\ud800"}', "line 1: it holds half of a surrogate pair"),
        (b'{"a":{"a":{"a":{"a":{}}}}}', "line 1: it is nested deeper than 4 levels"),
        ({**USE, "line": 7}, "line 1: `line` is no key of a hand-off"),
        ({**USE, "secret key": 1}, "line 1: a key: Extra inputs are not permitted"),
        ({"used": 1}, "line 1: used: Input should be a valid string"),
        ({"used": "x" * 401}, "line 1: used: String should have at most 400 characters"),
        ({**USE, "why": "x" * 501}, "line 1: why: String should have at most 500 characters"),
        ({**PROPOSAL, "kind": "rule"}, "line 1: kind: Input should be 'convention', 'fact', 'pitfall' or 'command'"),
        ({**PROPOSAL, "text": None}, "line 1: text: Input should be a valid string"),
        ({**PROPOSAL, "scope": "tenant_shared"}, "line 1: a key: Extra inputs are not permitted"),
        ({**PROPOSAL, "approved": True}, "line 1: a key: Extra inputs are not permitted"),
        ({**PROPOSAL, "used": "mem_0"}, "line 1: a key: Extra inputs are not permitted"),
        (
            {**PROPOSAL, "citations": [{"path": "a", "start": 0, "end": 1}]},
            "line 1: citations: Input should be greater than or equal to 1",
        ),
        (
            {**PROPOSAL, "citations": [{"path": "a", "start": 1, "end": 1}] * 11},
            "line 1: citations: Tuple should have at most 10 items after validation, not 11",
        ),
        ({"key": "a/b"}, "line 1: kind: Field required"),
        ({}, "line 1: key: Field required"),
    ],
)
def test_a_line_that_is_neither_is_malformed(line, sentence):
    hand_off = parse_memory_hand_off(_lines(line))

    assert (hand_off.proposals, hand_off.uses) == ((), ())
    assert [(fault.line, fault.reason, fault.sentence) for fault in hand_off.faults] == [(1, "malformed", sentence)]


def test_a_bad_line_spoils_only_itself():
    hand_off = parse_memory_hand_off(_lines(b"?", USE, b"?", PROPOSAL))

    assert (len(hand_off.uses), len(hand_off.proposals)) == (1, 1)
    assert [fault.line for fault in hand_off.faults] == [1, 3]


def test_a_file_that_is_too_large_is_left_aside():
    hand_off = parse_memory_hand_off(_lines(USE) + b"\n" * 65_536)

    assert (hand_off.proposals, hand_off.uses) == ((), ())
    assert [(fault.line, fault.reason) for fault in hand_off.faults] == [(0, "too_large")]


def test_lines_beyond_the_bound_are_told_and_not_read():
    hand_off = parse_memory_hand_off(_lines(*[USE] * (MAX_LINES + 2)))

    assert len(hand_off.uses) == MAX_LINES
    assert [(fault.line, fault.reason) for fault in hand_off.faults] == [(0, "too_many")]
    assert hand_off.faults[0].sentence == "the file has 52 lines; the first 50 were read"


FAULT = {"line": 1, "reason": "malformed", "sentence": "x"}


@pytest.mark.parametrize(
    ("name", "item", "field", "allowed", "refused"),
    [
        ("proposals", PROPOSAL, "line", [1, 50], [0, 51]),
        ("proposals", PROPOSAL, "key", ["x" * 400], ["x" * 401]),
        ("proposals", PROPOSAL, "text", ["x" * 65_536], ["x" * 65_537]),
        ("proposals", PROPOSAL, "why", ["x" * 500], ["x" * 501]),
        ("uses", USE, "line", [1, 50], [0, 51]),
        ("uses", USE, "used", ["x" * 400], ["x" * 401]),
        ("faults", FAULT, "line", [0, 50], [-1, 51]),
        ("faults", FAULT, "sentence", ["x" * 300], ["x" * 301]),
    ],
)
def test_each_field_of_a_forged_document_stays_within_its_bounds(name, item, field, allowed, refused):
    for value in allowed:
        document = json.dumps({name: [{"line": 1, **item, field: value}]})
        assert getattr(getattr(MemoryHandOff.model_validate_json(document), name)[0], field) == value
    for value in refused:
        with pytest.raises(ValidationError, match=f"{name}.0.{field}"):
            MemoryHandOff.model_validate_json(json.dumps({name: [{"line": 1, **item, field: value}]}))


@pytest.mark.parametrize(
    ("field", "allowed", "refused"),
    [("path", "x" * 400, "x" * 401), ("start", 1_000_000, 1_000_001), ("start", 1, 0), ("end", 1_000_000, 1_000_001)],
)
def test_each_field_of_a_forged_citation_stays_within_its_bounds(field, allowed, refused):
    cited = {"path": "a", "start": 1, "end": 1}

    assert getattr(ProposedCitation(**{**cited, field: allowed}), field) == allowed
    with pytest.raises(ValidationError, match=field):
        ProposedCitation(**{**cited, field: refused})


def test_every_line_can_be_a_fault_and_the_file_one_more():
    hand_off = parse_memory_hand_off(b"?\n" * (MAX_LINES + 1))

    assert [fault.line for fault in hand_off.faults] == [*range(1, MAX_LINES + 1), 0]


@pytest.mark.parametrize("name", ["proposals", "uses", "faults"])
def test_a_forged_document_cannot_hold_more_than_the_file_could(name):
    """An outcome is untrusted: whoever reads it there meets the bounds again."""
    item = {
        "proposals": {"line": 1, **PROPOSAL},
        "uses": {"line": 1, **USE},
        "faults": {"line": 1, "reason": "malformed", "sentence": "x"},
    }[name]

    with pytest.raises(ValidationError, match="too_long"):
        MemoryHandOff.model_validate_json(json.dumps({name: [item] * (MAX_LINES + 2)}))


def test_the_document_is_read_back():
    hand_off = parse_memory_hand_off(_lines(USE, PROPOSAL, b"?"))

    assert MemoryHandOff.model_validate_json(hand_off.model_dump_json()) == hand_off


@given(st.binary(max_size=200) | st.lists(st.dictionaries(st.sampled_from([*PROPOSAL, "used", "line"]), st.none() | st.text(max_size=5) | st.integers(-1, 3) | st.lists(st.none(), max_size=2)), max_size=4).map(lambda items: _lines(*items)))  # fmt: skip # noqa: E501
@examples(120)
def test_any_bytes_give_items_or_faults(data):
    hand_off = parse_memory_hand_off(data)

    lines = [line for line in data.split(b"\n") if line.strip()]
    assert len(hand_off.proposals) + len(hand_off.uses) + len(hand_off.faults) == len(lines)


@pytest.mark.parametrize("field", ["key", "text", "why", "path"])
def test_a_proposal_with_a_secret_anywhere_is_dropped_and_not_repeated(field):
    spoiled = json.loads(json.dumps(PROPOSAL))
    (spoiled["citations"][0] if field == "path" else spoiled)[field] = "hush"
    read = parse_memory_hand_off(_lines(USE, spoiled, PROPOSAL, b"?"))

    kept = drop_secrets(read, lambda text: text == "hush")

    assert kept.uses == read.uses
    assert [proposal.line for proposal in kept.proposals] == [3]
    assert [(fault.line, fault.reason) for fault in kept.faults] == [(4, "malformed"), (2, "secret")]
    assert kept.faults[-1].sentence == "the line holds a secret"
    assert "hush" not in kept.model_dump_json()


@pytest.mark.parametrize("field", ["used", "why"])
def test_a_use_with_a_secret_anywhere_is_dropped_and_not_repeated(field):
    read = parse_memory_hand_off(_lines({**USE, field: "hush"}, USE, PROPOSAL))

    kept = drop_secrets(read, lambda text: text == "hush")

    assert [use.line for use in kept.uses] == [2]
    assert kept.proposals == read.proposals
    assert [(fault.line, fault.reason) for fault in kept.faults] == [(1, "secret")]


def test_secrets_are_told_in_the_order_of_the_lines():
    spoiled = {1: {**USE, "why": "hush"}, 8: {**PROPOSAL, "why": "hush"}}
    read = parse_memory_hand_off(_lines(*[spoiled.get(line, USE) for line in range(1, 10)]))

    kept = drop_secrets(read, lambda text: text == "hush")

    assert [fault.line for fault in kept.faults] == [1, 8]


def test_a_hand_off_without_secrets_stays_as_it_is():
    read = parse_memory_hand_off(_lines(USE, PROPOSAL, b"?"))

    assert drop_secrets(read, lambda _: False) == read


def test_without_its_proposals_a_hand_off_says_the_rest():
    read = parse_memory_hand_off(_lines(USE, PROPOSAL, b"?"))

    assert read.without_proposals() == read.model_copy(update={"proposals": ()})
    assert read.proposals


def test_a_file_of_exactly_the_allowed_size_and_number_of_lines_is_read():
    line = _lines(USE)
    padded = b"\n".join([line] * MAX_LINES).ljust(MAX_HAND_OFF_BYTES)

    assert len(parse_memory_hand_off(padded).uses) == MAX_LINES
    assert parse_memory_hand_off(padded).faults == ()
    assert parse_memory_hand_off(padded + b" ").faults[0].sentence == "the file has more than 64 KiB and was left aside"
