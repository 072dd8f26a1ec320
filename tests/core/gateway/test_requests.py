"""Requests: one way to read a head, a list of paths, and headers that are built anew."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from coven_action.core.gateway.refusals import Refused
from coven_action.core.gateway.requests import (
    CREDENTIALS,
    Head,
    build_upstream_headers,
    check_content,
    find_endpoint,
    parse_head,
)


def head(method="POST", target="/v1/messages", *headers) -> Head:
    pairs = tuple((name.encode(), value.encode()) for name, value in headers)
    return Head(method.encode(), target.encode(), pairs)


def refuse(call, *given_to, **more) -> str:
    with pytest.raises(Refused) as caught:
        call(*given_to, **more)
    return caught.value.reason


def test_a_head_is_divided_into_its_parts():
    raw = b"POST /v1/messages?beta=true HTTP/1.1\r\nHost:a\r\nAccept: x \r\nACCEPT:\ty z\r\nx-empty:\r\nContent-Length: 2\r\n\r\n"
    parsed = parse_head(raw)

    assert (parsed.method, parsed.target) == (b"POST", b"/v1/messages?beta=true")
    assert (parsed.find(b"accept"), parsed.find(b"x-empty"), parsed.find(b"cookie")) == (b"x, y z", b"", None)


@pytest.mark.parametrize(
    ("lines", "reason"),
    [
        ("", "malformed-request"),
        ("Host: a\r\nhost: a\r\n", "malformed-request"),
        ("Host: a\r\nContent-Length: 5\r\ncontent-length: 5\r\n", "ambiguous-framing"),
        ("Host: a\r\nContent-Length: 5\r\ntransfer-encoding: chunked\r\n", "ambiguous-framing"),
        ("Host: a\r\nTransfer-Encoding: gzip\r\n", "ambiguous-framing"),
        ("Host: a\r\nContent-Length: 5, 5\r\n", "ambiguous-framing"),
        ("Host: a\r\nContent-Length:\r\n", "ambiguous-framing"),
        ("Host: a\r\nUpgrade: websocket\r\n", "upgrade"),
        ("Host: a\r\nHTTP2-Settings: AAMAAABk\r\n", "upgrade"),
    ],
)
def test_a_head_with_two_ends_two_hosts_or_another_protocol_is_refused(lines, reason):
    assert refuse(parse_head, f"GET / HTTP/1.1\r\n{lines}\r\n".encode()) == reason


def test_one_length_or_chunks_end_a_request():
    assert (
        parse_head(b"GET / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: Chunked\r\n\r\n").find(b"transfer-encoding")
        == b"Chunked"
    )
    assert parse_head(b"GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n").find(b"content-length") == b"0"


@given(st.binary(max_size=60))
def test_no_bytes_make_it_fail_otherwise(noise):
    try:
        parsed = parse_head(b"GET / HTTP/1.1\r\nHost: a\r\n" + noise + b"\r\n\r\n")
    except Refused:
        return
    for name, value in parsed.headers:
        assert name == name.lower()
        assert not {10, 13, 0} & set(name + value)


@pytest.mark.parametrize("name", [b"content-length", b"transfer-encoding", b"host", b"accept"])
@pytest.mark.parametrize(
    "spoilt", [b"%s : 1", b" %s: 1", b"\t%s: 1", b"%s\x0b: 1", b"%s", b"(%s): 1", b"%s: \x00", b"%s: a\x7f"]
)
def test_a_header_that_is_not_plain_is_refused(name, spoilt):
    raw = b"GET / HTTP/1.1\r\nHost: a\r\n" + spoilt % name + b"\r\n\r\n"

    assert refuse(parse_head, raw) == "malformed-request"


@pytest.mark.parametrize("provider", ["anthropic", "openai"])
@pytest.mark.parametrize("model", ["", "/claude-sonnet-4-6", "/gpt-5.1_x"])
def test_models_may_be_listed(provider, model):
    assert not find_endpoint(provider, head("GET", f"/v1/models{model}")).metered


@pytest.mark.parametrize(
    ("provider", "target", "metered"),
    [
        ("anthropic", "/v1/messages", True),
        ("anthropic", "/v1/messages?beta=true", True),
        ("anthropic", "/v1/messages/count_tokens", False),
        ("openai", "/v1/chat/completions", True),
        ("openai", "/v1/responses", True),
    ],
)
def test_the_paths_of_a_provider(provider, target, metered):
    assert find_endpoint(provider, head("POST", target)).metered is metered


@pytest.mark.parametrize(
    ("provider", "method", "target", "reason"),
    [
        ("openai", "POST", "/v1/messages", "path-not-allowed"),
        ("anthropic", "POST", "/v1/responses", "path-not-allowed"),
        ("openai", "POST", "/v1/responses?beta=true", "path-not-allowed"),
        ("openai", "GET", "/v1/responses/resp_1", "path-not-allowed"),
        ("anthropic", "GET", "/v1/models/../files", "path-not-allowed"),
        ("anthropic", "GET", "/v1/models/.", "path-not-allowed"),
        ("anthropic", "POST", "/v1/messages?", "path-not-allowed"),
        ("anthropic", "GET", "/v1/messages", "method-not-allowed"),
        ("anthropic", "POST", "/v1/models", "method-not-allowed"),
        ("anthropic", "POST", "http://evil.test/v1/messages", "host-not-allowed"),
        ("anthropic", "POST", "evil.test:443", "path-not-allowed"),
        ("anthropic", "OPTIONS", "*", "path-not-allowed"),
    ],
)
def test_another_path_is_refused(provider, method, target, reason):
    assert refuse(find_endpoint, provider, head(method, target)) == reason


@pytest.mark.parametrize("kind", ["application/json", "Application/JSON; charset=UTF-8"])
def test_a_body_is_json(kind):
    check_content(head("POST", "/", ("content-type", kind)), has_body=True)
    check_content(head("GET", "/"), has_body=False)


@pytest.mark.parametrize(
    "headers",
    [
        (),
        (("content-type", "text/plain"),),
        (("content-type", "application/json"), ("content-type", "text/plain")),
        (("content-type", "application/json; charset=utf-16"),),
        (("content-type", "application/json"), ("content-encoding", "gzip")),
    ],
)
def test_a_body_that_is_something_else_is_refused(headers):
    assert refuse(check_content, head("POST", "/", *headers), has_body=True) == "content-type"


def test_headers_are_built_anew():
    sent = [(name.decode(), "agent") for name in CREDENTIALS]
    sent += [
        ("host", "evil.test"),
        ("content-length", "9"),
        ("accept-encoding", "gzip"),
        ("anthropic-beta", "a"),
        ("anthropic-beta", "b"),
    ]
    built = build_upstream_headers("anthropic", head("POST", "/", *sent), host="model.test", key="key", length=5)

    assert built == [
        (b"host", b"model.test"),
        (b"x-api-key", b"key"),
        (b"accept-encoding", b"identity"),
        (b"anthropic-beta", b"a, b"),
        (b"anthropic-version", b"2023-06-01"),
        (b"content-type", b"application/json"),
        (b"content-length", b"5"),
    ]


def test_openai_has_its_own_name_for_the_key_and_a_request_without_a_body_no_length():
    built = build_upstream_headers("openai", head("GET", "/", ("openai-beta", "x")), host="a", key="key", length=None)

    assert built == [
        (b"host", b"a"), (b"authorization", b"Bearer key"), (b"accept-encoding", b"identity"), (b"openai-beta", b"x"),
    ]  # fmt: skip


def test_a_version_that_the_client_names_is_kept():
    built = build_upstream_headers(
        "anthropic", head("GET", "/", ("anthropic-version", "2024-01-01")), host="a", key="k", length=None
    )

    assert (b"anthropic-version", b"2024-01-01") in built


def test_an_oversized_header_is_refused():
    given = head("GET", "/", ("user-agent", "x" * 257))

    assert refuse(build_upstream_headers, "openai", given, host="a", key="k", length=None) == "headers-too-large"
