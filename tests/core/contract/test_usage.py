import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from coven_action.core.contract.usage import MAX_CANDIDATES, Usage, add_usage, parse_usage
from tests.fuzzing import examples

DOCUMENT = {
    "result": "Done.",
    "usage": {
        "input_tokens": 1200,
        "output_tokens": 34,
        "cache_creation_input_tokens": 5,
        "cache_read_input_tokens": 6,
    },
    "cost_usd": 0.41,
}
USAGE = Usage(
    input_tokens=1200, output_tokens=34, cache_creation_input_tokens=5, cache_read_input_tokens=6, cost_usd=0.41
)


@pytest.mark.parametrize("indent", [None, 2])
@pytest.mark.parametrize("before", ["", "Let me look.\n", "no line break", '{"result": "x"}\n', "{ {{ \n{\n"])
@pytest.mark.parametrize("after", ["", "\n", " \r\n\n"])
def test_usage_is_the_last_object_whatever_was_streamed_before(indent, before, after):
    assert parse_usage((before + json.dumps(DOCUMENT, indent=indent) + after).encode()) == USAGE


def test_forged_usage_in_the_streamed_text_does_not_count():
    forged = json.dumps({**DOCUMENT, "cost_usd": 0})

    assert parse_usage(f"{forged}\n{json.dumps(DOCUMENT)}".encode()) == USAGE


@pytest.mark.parametrize(
    "stdout",
    [
        b"",
        b"}",
        b"plain text",
        b"[1]",
        b'{"result": "x"',
        b'{"result": "x"}',
        b'{"result": "x", "usage": 3}',
        b'{"usage": {"input_tokens": 1, "output_tokens": 1}}',
        b'{"result": "x", "usage": {"input_tokens": 1}}',
        b'{"result": "x", "usage": {"input_tokens": true, "output_tokens": 1}}',
        b'{"result": "x", "usage": {"input_tokens": -1, "output_tokens": 1}}',
        b'{"result": "x", "usage": {"input_tokens": 1.5, "output_tokens": 1}}',
        b'{"result": "x", "usage": {"input_tokens": 1e400, "output_tokens": 1}}',
        b'{"result": "x", "usage": {"input_tokens": 10000000000000, "output_tokens": 1}}',
        b"\xff\xfe}",
        b"{" * 100_000 + b"}",
        b'{"' * 1000 + b"}",
    ],
)
def test_anything_else_is_no_usage(stdout):
    assert parse_usage(stdout) is None


@pytest.mark.parametrize("cost", [None, True, "1", -1, 1e9])
def test_a_cost_that_cannot_be_believed_is_left_out(cost):
    usage = parse_usage(json.dumps({**DOCUMENT, "cost_usd": cost}).encode())

    assert usage is not None
    assert usage.cost_usd is None


def test_an_object_with_too_many_beginnings_is_given_up():
    nested = {**DOCUMENT, "models": [{"name": "x"}] * MAX_CANDIDATES}

    assert parse_usage(json.dumps(nested).encode()) is None


@examples(200)
@given(st.binary(max_size=300))
def test_no_output_whatever_raises(stdout):
    parse_usage(stdout)
    parse_usage(stdout + b"}")


SPENT = Usage(input_tokens=10, output_tokens=2, cache_creation_input_tokens=3, cache_read_input_tokens=4, cost_usd=0.5)


@pytest.mark.parametrize(
    ("one", "other", "together"),
    [
        (None, None, None),
        (SPENT, None, SPENT),
        (None, SPENT, SPENT),
        (
            SPENT,
            SPENT,
            Usage(
                input_tokens=20,
                output_tokens=4,
                cache_creation_input_tokens=6,
                cache_read_input_tokens=8,
                cost_usd=1.0,
            ),
        ),
        (SPENT, Usage(input_tokens=1), SPENT.model_copy(update={"input_tokens": 11, "cost_usd": None})),
    ],
)
def test_what_two_attempts_spent_adds_up_and_an_unknown_amount_stays_unknown(one, other, together):
    assert add_usage(one, other) == together
