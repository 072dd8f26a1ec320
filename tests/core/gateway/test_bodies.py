"""Bodies: which model and how much, and nothing that makes the provider reach elsewhere."""

import json

import pytest

from coven_action.core.gateway import bodies
from coven_action.core.gateway.bodies import read_model_request
from coven_action.core.gateway.refusals import Refused


def read(provider="anthropic", *, allowed=(), max_bytes=10_000, raw=None, **fields):
    data = raw if raw is not None else json.dumps({"model": "m", **fields}).encode()
    return read_model_request(provider, data, models=allowed, max_bytes=max_bytes)


def refuse(*given, **more) -> str:
    with pytest.raises(Refused) as caught:
        read(*given, **more)
    return caught.value.reason


def say(*content, role="user"):
    return {"messages": [{"role": role, "content": list(content)}]}


def test_a_body_is_forwarded_as_it_is():
    raw = b'{ "model":"claude", "stream": true , "max_tokens":7}'
    request = read(raw=raw)

    assert (request.model, request.is_streamed, request.output_limit, request.body) == ("claude", True, 7, raw)


@pytest.mark.parametrize(
    ("fields", "limit"),
    [
        ({}, None),
        ({"max_completion_tokens": 9, "max_tokens": 5}, 9),
        ({"max_output_tokens": 3}, 3),
        ({"max_tokens": 5, "n": 4}, 20),
        ({"max_tokens": 5, "n": True}, 5),
        ({"max_tokens": True}, None),
        ({"max_tokens": -5}, None),
        ({"max_tokens": 10**9}, None),
        ({"max_tokens": "5"}, None),
    ],
)
def test_the_limit_of_an_answer_is_what_the_body_states(fields, limit):
    assert read(**fields).output_limit == limit


@pytest.mark.parametrize(
    ("given", "forwarded"),
    [
        (None, {"include_usage": True}),
        ({"include_usage": False}, {"include_usage": True}),
        ({"include_obfuscation": False}, {"include_obfuscation": False, "include_usage": True}),
        ("nonsense", {"include_usage": True}),
    ],
)
def test_a_streamed_completion_is_made_to_say_what_it_cost(given, forwarded):
    request = read("openai", stream=True, messages=[], stream_options=given)

    assert json.loads(request.body) == {"model": "m", "stream": True, "messages": [], "stream_options": forwarded}


@pytest.mark.parametrize(
    ("provider", "fields"),
    [
        ("anthropic", {"stream": True, "messages": []}),
        ("openai", {"stream": False, "messages": []}),
        ("openai", {"stream": True, "input": "x"}),
        ("openai", {"stream": True, "messages": [], "stream_options": {"include_usage": True}}),
    ],
)
def test_no_other_body_is_touched(provider, fields):
    assert read(provider, **fields).body == json.dumps({"model": "m", **fields}).encode()


@pytest.mark.parametrize(
    "raw",
    [b"", b"null", b"[]", b"{", b'{"model": 1}', b'{"model": ""}', b'{"model": "a b"}', b'{"model": "m", "model": "n"}',
     b'{"model": "m", "stream": "yes"}', b'{"model": "m", "x": NaN}', b'{"model": "m"}}', b"\xff", b"{}",
     b'{"model": "m", "x": ' + b"[" * 200 + b"]" * 200 + b"}"],
)  # fmt: skip
def test_a_body_that_is_unclear_is_refused(raw):
    assert refuse(raw=raw) == "body-not-json"


def test_too_much_is_refused(monkeypatch):
    assert refuse(max_bytes=10) == "body-too-large"
    monkeypatch.setattr(bodies, "MAX_PARTS", 10)
    assert refuse(x=[[]] * 6) == "body-too-large"


def test_only_configured_models_are_asked():
    assert read(allowed=("m", "n")).model == "m"
    assert refuse(allowed=("n",)) == "model-not-allowed"


INLINE = [
    {},
    {"tools": None, "messages": None, "system": "be kind"},
    {"tools": [{"name": "read", "input_schema": {"type": "object"}}, {"type": "custom", "name": "x"}]},
    {"tools": [{"type": "bash_20250124", "name": "bash"}, {"type": "text_editor_20250728", "name": "edit"}]},
    {"tools": [{"type": "function", "function": {"name": "f"}}]},
    {"input": [{"type": "function_call_output", "output": "https://evil.test"}], "background": False},
    {"service_tier": "auto", "speed": "standard", "mcp_servers": []},
    {"system": [{"type": "text", "text": "https://evil.test"}]},
    say({"type": "text", "text": "see https://evil.test"}),
    say({"type": "image", "source": {"type": "base64", "data": "AA=="}}),
    say({"type": "document", "source": {"type": "content", "content": [{"type": "text", "text": "x"}]}}),
    say({"type": "search_result", "source": "https://evil.test", "content": [{"type": "text", "text": "x"}]}),
    say({"type": "image_url", "image_url": {"url": "data:image/png;base64,AA=="}}),
    say({"type": "input_image", "image_url": "data:image/png;base64,AA=="}),
    # What a tool was called with is text of the model's; a file's address in it is fetched by nobody.
    say({"type": "tool_use", "input": {"source": {"type": "url"}, "image_url": "https://x", "file_url": "y"}}),
    say({"type": "tool_result", "content": [{"type": "text", "text": "x"}]}),
]

REACHING = [
    {"mcp_servers": [{"type": "url", "url": "https://evil.test"}]},
    {"background": True},
    {"container": "c"},
    {"models": ["m", "other"]},
    {"Tools": [{"type": "web_search_preview"}]},
    say({"type": "image", "Source": {"type": "url", "url": "https://evil.test"}}),
    {"input": [{"role": "user", "content": [{"type": "input_file", "File_URL": "https://evil.test/?data"}]}]},
    {"plugins": [{"id": "web"}]},
    {"conversation": "conv_1"},
    {"prompt": {"id": "pmpt_1"}},
    {"web_search_options": {"x": 1}},
    {"service_tier": "priority"},
    {"speed": "fast"},
    {"tools": [{"type": "web_fetch_20250910", "name": "web_fetch"}]},
    {"tools": [{"type": "web_search_preview"}]},
    {"tools": [{"type": "code_execution_20250825"}]},
    {"tools": [{"type": "mcp", "server_url": "https://evil.test"}]},
    {"tools": [{"type": "custom"}, {"type": "file_search"}]},
    {"tools": [{"type": "customx"}]},
    {"tools": [{"type": None}]},
    {"tools": ["web_search"]},
    {"tools": {"type": "web_search"}},
    say({"type": "image", "source": {"type": "url", "url": "https://evil.test/?data"}}),
    say({"type": "document", "source": {"type": "file", "file_id": "f"}}),
    say({"type": "image", "source": {}}),
    say({"type": "document", "source": {"type": "content", "content": [{"source": {"type": "url"}}]}}),
    say({"type": "tool_result", "content": [{"type": "image", "source": {"type": "url", "url": "https://evil.test"}}]}),
    say({"type": "image_url", "image_url": {"url": "https://evil.test/?data"}}),
    say({"type": "image_url", "image_url": {"url": " data:"}}),
    say({"type": "image_url", "image_url": ["https://evil.test"]}),
    say({"type": "container_upload", "file_id": "f"}),
    {"system": [{"type": "image", "source": {"type": "url", "url": "https://evil.test"}}]},
    {"input": [{"role": "user", "content": [{"type": "input_image", "image_url": "http://evil.test/?data"}]}]},
    {"input": [{"role": "user", "content": [{"type": "input_file", "file_url": "https://evil.test/?data"}]}]},
    {
        "input": [
            {"type": "function_call_output", "output": [{"type": "input_image", "image_url": "https://evil.test"}]}
        ]
    },
    {"input": [{"type": "mcp_approval_response", "approve": True}]},
]


@pytest.mark.parametrize("fields", INLINE, ids=str)
def test_what_stays_between_agent_and_model_passes(fields):
    assert read(**fields).model == "m"


@pytest.mark.parametrize("fields", REACHING, ids=str)
@pytest.mark.parametrize("provider", ["anthropic", "openai"])
def test_what_makes_the_provider_reach_elsewhere_is_refused(provider, fields):
    assert refuse(provider, **fields) == "provider-reach"
