"""Tokens are read out of the structure of an answer, in either style, whatever the chunks."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from coven_action.core.gateway import usage
from coven_action.core.gateway.usage import EventReader, Reading, Tokens, UsageReader


def read(provider, *chunks, streamed=True) -> Reading:
    reader = UsageReader(provider, is_streamed=streamed)
    for chunk in chunks:
        reader.feed(chunk)
    return reader.finish()


def event(document, name="x") -> bytes:
    data = document if isinstance(document, str) else json.dumps(document)
    return f"event: {name}\ndata: {data}\n\n".encode()


START = event(
    {
        "type": "message_start",
        "message": {
            "model": "claude",
            "usage": {
                "input_tokens": 10,
                "cache_creation_input_tokens": 20,
                "cache_read_input_tokens": 30,
                "output_tokens": 1,
            },
        },
    }
)
DELTA = event({"type": "message_delta", "usage": {"output_tokens": 40}})
STOP = event({"type": "message_stop"})
ANTHROPIC = START + event({"type": "ping"}) + DELTA + STOP
CHAT_USAGE = {"prompt_tokens": 50, "completion_tokens": 7, "prompt_tokens_details": {"cached_tokens": 30}}
CHAT = (
    event({"model": "gpt", "choices": [{"delta": {"content": "hi"}}], "usage": None})
    + event({"model": "gpt", "choices": [], "usage": CHAT_USAGE})
    + event("[DONE]")
)
RESPONSE = {
    "model": "gpt",
    "usage": {"input_tokens": 50, "output_tokens": 7, "input_tokens_details": {"cached_tokens": 30}},
}
RESPONSES = event({"type": "response.created", "response": {"usage": None}}) + event(
    {"type": "response.completed", "response": RESPONSE}
)


@pytest.mark.parametrize(
    ("provider", "answer", "tokens", "model"),
    [
        ("anthropic", ANTHROPIC, Tokens(10, 40, 20, 30), "claude"),
        ("openai", CHAT, Tokens(20, 7, 0, 30), "gpt"),
        ("openai", RESPONSES, Tokens(20, 7, 0, 30), "gpt"),
    ],
)
def test_a_stream_is_read_to_its_end(provider, answer, tokens, model):
    assert read(provider, answer) == Reading(tokens, model, is_complete=True)
    # Byte by byte, with the line ends that the format allows, and with the mark that may stand in front.
    assert read(provider, *(answer[index : index + 1] for index in range(len(answer)))).tokens == tokens
    for ending in (b"\r\n", b"\r"):
        changed = b"\xef\xbb\xbf" + answer.replace(b"\n", ending)
        assert read(provider, changed).tokens == tokens
        assert read(provider, *(changed[index : index + 1] for index in range(len(changed)))).tokens == tokens


@pytest.mark.parametrize("provider", ["anthropic", "openai"])
@pytest.mark.parametrize("answer", [ANTHROPIC, CHAT, RESPONSES])
@given(data=st.data())
def test_chunks_make_no_difference(provider, answer, data):
    cuts = sorted(data.draw(st.lists(st.integers(min_value=0, max_value=len(answer)), max_size=8)))
    chunks = [answer[start:end] for start, end in zip([0, *cuts], [*cuts, len(answer)], strict=True)]

    assert read(provider, *chunks) == read(provider, answer)


@pytest.mark.parametrize(
    ("provider", "answer", "tokens"),
    [
        ("anthropic", START, Tokens(10, 1, 20, 30)),
        ("anthropic", START + DELTA, Tokens(10, 40, 20, 30)),
        ("anthropic", START + STOP[:-1], Tokens(10, 1, 20, 30)),
        ("anthropic", STOP, Tokens()),
        ("openai", CHAT.removesuffix(event("[DONE]")), Tokens(20, 7, 0, 30)),
        ("openai", event("[DONE]"), Tokens()),
        ("openai", event({"type": "response.completed", "response": {"usage": None}}), Tokens()),
        ("anthropic", b"", Tokens()),
    ],
)
def test_an_answer_without_its_end_or_its_count_is_not_complete(provider, answer, tokens):
    assert read(provider, answer) == Reading(tokens, read(provider, answer).model, is_complete=False)


@pytest.mark.parametrize(
    ("provider", "document", "tokens"),
    [
        ("anthropic", {"model": "a", "usage": {"input_tokens": 3, "output_tokens": 4}}, Tokens(3, 4)),
        ("openai", {"model": "a", "usage": CHAT_USAGE}, Tokens(20, 7, 0, 30)),
        ("openai", {**RESPONSE, "model": "a"}, Tokens(20, 7, 0, 30)),
    ],
)
def test_a_document_is_read_at_its_end(provider, document, tokens):
    data = json.dumps(document).encode()

    assert read(provider, data[:9], data[9:], streamed=False) == Reading(tokens, "a", is_complete=True)
    assert read(provider, data[:-1], streamed=False) == Reading(Tokens(), "", is_complete=False)


# What the model wrote stands in strings; none of it is structure.
FORGED = json.dumps({"type": "message_delta", "usage": {"output_tokens": 0, "input_tokens": 0}})


def test_what_the_model_writes_is_no_usage():
    said = event({"type": "content_block_delta", "delta": {"text": f'\n\ndata: {FORGED}\n\n"usage" "message_stop"'}})
    nested = event({"type": "content_block_delta", "usage": {"output_tokens": 9999}})
    ended = event({"type": "content_block_delta", "text": '"message_stop"'})

    assert read("anthropic", START + said + nested + ended) == Reading(
        Tokens(10, 1, 20, 30), "claude", is_complete=False
    )
    document = {"content": FORGED, "usage": {"input_tokens": 3, "output_tokens": 4}}
    assert read("anthropic", json.dumps(document).encode(), streamed=False).tokens == Tokens(3, 4)


def test_counts_are_totals_and_the_largest_holds():
    more = event({"type": "message_delta", "usage": {"output_tokens": 60, "input_tokens": 11}})
    less = event({"type": "message_delta", "usage": {"output_tokens": 5}})

    assert read("anthropic", START, more, less, STOP).tokens == Tokens(11, 60, 20, 30)


@pytest.mark.parametrize(
    "counts",
    [{}, {"input_tokens": None}, {"output_tokens": "5"}, {"input_tokens": True}, {"output_tokens": -1}, {"input_tokens": 1.5},
     {"input_tokens": 10**13}, {"prompt_tokens_details": {"cached_tokens": 5}}],
)  # fmt: skip
def test_what_is_no_count_is_none(counts):
    assert Tokens.read(counts) is None


@pytest.mark.parametrize(
    ("counts", "tokens"),
    [
        ({"input_tokens": 5, "input_tokens_details": "x"}, Tokens(5)),
        ({"prompt_tokens": 5, "prompt_tokens_details": {"cached_tokens": None}}, Tokens(5)),
        ({"prompt_tokens": 5, "prompt_tokens_details": {"cached_tokens": 9}}, Tokens(0, 0, 0, 9)),
        ({"output_tokens": 2, "cache_read_input_tokens": "x"}, Tokens(0, 2)),
        (
            {"input_tokens": 9, "input_tokens_details": {"cached_tokens": 2, "cache_write_tokens": 3}},
            Tokens(4, 0, 3, 2),
        ),
        ({"input_tokens": 9, "input_tokens_details": {"cache_write_tokens": -3}}, Tokens(9)),
    ],
)
def test_counts_that_are_partly_wrong_are_partly_read(counts, tokens):
    assert Tokens.read(counts) == tokens


@pytest.mark.parametrize(
    "data", [b'{"usage": {"output_tokens": 5}', b'["usage"]', b'"usage"', b'{"usage": 5}', b'{"a": 1, "a": "usage"}']
)
def test_an_event_that_is_unclear_is_passed_over(data):
    assert read("openai", b"data: " + data + b"\n\n", CHAT).tokens == Tokens(20, 7, 0, 30)


def test_an_oversized_event_is_left_out_and_the_next_is_read(monkeypatch):
    monkeypatch.setattr(usage, "MAX_EVENT_BYTES", 400)
    large = event({"usage": {"output_tokens": 10**6}, "padding": "x" * 400})
    lines = b"data: {}\n" * 60 + b'data: {"usage": {"output_tokens": 1000000}}\n\n'
    comments = b": still working\n\n" * 60

    for noise in (large, lines, comments):
        chunks = [noise[start : start + 90] for start in range(0, len(noise), 90)]
        assert read("openai", *chunks, CHAT) == Reading(Tokens(20, 7, 0, 30), "gpt", is_complete=True)


def test_an_oversized_document_is_not_read(monkeypatch):
    monkeypatch.setattr(usage, "MAX_EVENT_BYTES", 100)
    document = json.dumps({"usage": {"input_tokens": 1}, "padding": "x" * 100}).encode()

    assert read("anthropic", document, b"more", streamed=False) == Reading(Tokens(), "", is_complete=False)


@pytest.mark.parametrize(
    ("stream", "events"),
    [
        (b"data: a\n\ndata:b\n\n", [b"a", b"b"]),
        (b"data: a\ndata: b\nid: 1\nretry: 5\n\n", [b"a\nb"]),
        (b"data\n\n", []),
        (b": comment\n\nevent: x\n\n", []),
        (b"data:  two spaces\n\n", [b" two spaces"]),
        (b"datax: a\n\n", []),
        (b"data: unfinished", []),
    ],
)
def test_events_are_divided_as_the_format_says(stream, events):
    assert list(EventReader().feed(stream)) == events


def test_tokens_add_up():
    assert (Tokens(1, 2, 3, 4) + Tokens(10, 20, 30, 40), Tokens(1, 2, 3, 4).total) == (Tokens(11, 22, 33, 44), 10)
    assert Tokens(1, 9, 3, 0).max(Tokens(5, 2, 3, 4)) == Tokens(5, 9, 3, 4)
