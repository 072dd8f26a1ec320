"""Answers: JSON and events, plain, with the headers that a client needs and no others."""

import pytest

from coven_action.core.gateway.refusals import Refused
from coven_action.core.gateway.responses import read_answer

JSON = (b"Content-Type", b"application/json; charset=utf-8")


def test_an_answer_keeps_what_a_client_needs():
    headers = [
        JSON, (b"Content-Length", b"12"), (b"Retry-After", b"3"), (b"request-id", b"req_1"), (b"x-request-id", b"req_2"),
        (b"anthropic-ratelimit-tokens-remaining", b"9"), (b"x-ratelimit-limit-requests", b"8"), (b"set-cookie", b"a=b"),
        (b"location", b"https://evil.test"), (b"transfer-encoding", b"chunked"), (b"openai-organization", b"org"),
        (b"connection", b"close"), (b"strict-transport-security", b"x"), (b"retry-after", b"9" * 1025),
    ]  # fmt: skip
    answer = read_answer(200, headers, max_bytes=12)

    assert (answer.status, answer.kind, answer.length) == (200, "application/json", 12)
    assert answer.headers == (
        (b"content-type", b"application/json"),
        (b"retry-after", b"3"),
        (b"request-id", b"req_1"),
        (b"x-request-id", b"req_2"),
        (b"anthropic-ratelimit-tokens-remaining", b"9"),
        (b"x-ratelimit-limit-requests", b"8"),
    )


@pytest.mark.parametrize(("status", "success"), [(200, True), (299, True), (400, False), (529, False)])
def test_success_is_what_spends_tokens(status, success):
    assert read_answer(status, [JSON], max_bytes=1).is_success is success


def test_events_are_a_stream():
    assert read_answer(200, [(b"content-type", b"Text/Event-Stream")], max_bytes=1).is_streamed
    assert not read_answer(200, [JSON], max_bytes=1).is_streamed


@pytest.mark.parametrize("length", [b"", b"-1", b"x", b"1" * 13])
def test_a_length_that_is_none_is_not_announced(length):
    assert read_answer(200, [JSON, (b"content-length", length)], max_bytes=1).length is None


@pytest.mark.parametrize(
    ("status", "headers", "reason"),
    [
        (301, [JSON], "upstream-redirect"),
        (308, [JSON], "upstream-redirect"),
        (304, [], "upstream-redirect"),
        (101, [JSON], "upstream-answer"),
        (600, [JSON], "upstream-answer"),
        (200, [], "upstream-answer"),
        (200, [(b"content-type", b"text/html")], "upstream-answer"),
        (200, [(b"content-type", b"application/json-seq")], "upstream-answer"),
        (200, [JSON, (b"content-encoding", b"gzip")], "upstream-answer"),
        (200, [JSON, (b"content-length", b"13")], "upstream-too-large"),
    ],
)
def test_another_answer_is_not_passed_on(status, headers, reason):
    with pytest.raises(Refused) as caught:
        read_answer(status, headers, max_bytes=12)

    assert caught.value.reason == reason


def test_an_encoding_that_changes_nothing_is_none():
    assert read_answer(200, [JSON, (b"content-encoding", b"identity")], max_bytes=1).status == 200
