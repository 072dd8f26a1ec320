"""Read the body of a request to a model: which model, how much at most, and nothing that works behind our back. Pure.

A model's host can do more than answer. It fetches pages and images, calls other servers, keeps working after the answer,
or works faster for more money, when the body asks for it. Whoever can make it fetch an address can send data there, past
every wall around the agent. So a body that asks for such things is refused: tools run where the agent runs, images come
inside the request, and an answer is counted where it is given.
"""

import json
import re
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

from coven_action.core.gateway.refusals import Provider, Refused
from coven_action.core.strict_json import StrictJSONError, parse_json_object

MAX_DEPTH: Final = 96
"""Levels of nesting: schemas of tools are deep."""
MAX_PARTS: Final = 10**6
"""Brackets and commas, those within texts included: a small body of nothing else would take a thousand times its size."""
MAX_OUTPUT_TOKENS: Final = 10**7
_MODEL: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:/@-]{0,127}")

# Fields at the top that make the provider work elsewhere, later, with other models, or at another price; empty ones ask for
# nothing.
# https://docs.anthropic.com/en/api/messages and https://platform.openai.com/docs/api-reference
_REACHING: Final = frozenset(
    {"background", "container", "conversation", "mcp_servers", "models", "plugins", "prompt", "web_search_options"}
)
_USUAL: Final[Mapping[str, Collection[object]]] = {
    "service_tier": (None, "auto", "default", "standard_only"),
    "speed": (None, "standard"),
}
# Tools that the client carries out. `bash_20250124` and its like are only known to the model, not run by the provider.
_CLIENT_TOOLS: Final = re.compile(
    r"custom|function|local_shell|apply_patch|(?:bash|computer|memory|text_editor)_[0-9]{8}"
)
_INLINE_SOURCES: Final = frozenset({"base64", "text", "content"})
# Kinds of items and parts that a conversation may hold with a tool of the provider's.
_REACHING_PARTS: Final = frozenset({"mcp_approval_response", "container_upload"})


@dataclass(frozen=True, slots=True)
class ModelRequest:
    """What a request asks for.

    Attributes:
        model: The model's name as the agent wrote it.
        is_streamed: Whether the answer is asked for event by event.
        output_limit: Tokens that the answer may have at most; None where the body does not say.
        body: The bytes to forward.
    """

    model: str
    is_streamed: bool
    output_limit: int | None
    body: bytes


def read_model_request(provider: Provider, data: bytes, *, models: Collection[str], max_bytes: int) -> ModelRequest:
    """Return what a body asks for.

    Args:
        provider: How the host speaks.
        data: The body.
        models: The names that may be asked for; none means any.
        max_bytes: Larger bodies are refused.

    Raises:
        Refused: `body-too-large`, `body-not-json`, `model-not-allowed` or `provider-reach`.
    """
    if len(data) > max_bytes or sum(map(data.count, (b"[", b"{", b","))) > MAX_PARTS:
        raise Refused("body-too-large")
    try:
        document = parse_json_object(data, max_bytes=max_bytes, max_depth=MAX_DEPTH)
    except StrictJSONError as error:
        raise Refused("body-not-json") from error
    model, streamed = document.get("model"), document.get("stream")
    if not isinstance(model, str) or not _MODEL.fullmatch(model) or streamed not in (None, False, True):
        raise Refused("body-not-json")
    if models and model not in models:
        raise Refused("model-not-allowed")
    if _reaches_out(document):
        raise Refused("provider-reach")
    return ModelRequest(model, bool(streamed), _find_output_limit(document), _ask_for_usage(provider, document, data))


def _ask_for_usage(provider: Provider, document: dict[str, Any], data: bytes) -> bytes:
    """Return the body with which a streamed chat completion ends with its count of tokens.

    https://platform.openai.com/docs/api-reference/chat/create#chat-create-stream_options
    """
    # The Responses API has no `messages`, and always sends the count.
    if provider != "openai" or not document.get("stream") or "messages" not in document:
        return data
    given = document.get("stream_options")
    options = given if isinstance(given, dict) else {}
    if options.get("include_usage") is True:
        return data
    return json.dumps({**document, "stream_options": {**options, "include_usage": True}}).encode()


def _find_output_limit(document: Mapping[str, Any]) -> int | None:
    fields = ("max_tokens", "max_completion_tokens", "max_output_tokens")
    stated = [document[name] for name in fields if type(document.get(name)) is int]
    limits = [limit for limit in stated if 0 < limit <= MAX_OUTPUT_TOKENS]
    choices = document.get("n")
    return max(limits) * (choices if type(choices) is int and choices > 0 else 1) if limits else None


def _reaches_out(document: Mapping[str, Any]) -> bool:
    if any(document.get(name) for name in _REACHING) or not _is_plain(document):
        return True
    if any(document.get(name) not in usual for name, usual in _USUAL.items()):
        return True
    tools = document.get("tools") or []
    if not isinstance(tools, list) or not all(map(_is_client_tool, tools)):
        return True
    return any(map(_fetches, _iterate_parts(document)))


def _is_client_tool(tool: object) -> bool:
    kind = tool.get("type", "custom") if isinstance(tool, dict) else None  # without a type it is the client's own
    return isinstance(kind, str) and _CLIENT_TOOLS.fullmatch(kind) is not None


def _iterate_parts(document: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    """Yield the parts of a conversation, and theirs: never what a tool was called with, which is only text to a host."""
    waiting: list[Any] = [document.get("messages"), document.get("input"), document.get("system")]
    while waiting:
        value = waiting.pop()
        if isinstance(value, list):
            waiting.extend(value)
        elif isinstance(value, dict):
            yield value
            waiting += [value.get("content"), value.get("output"), value.get("source")]


def _fetches(part: Mapping[str, Any]) -> bool:
    kind = part.get("type")
    if not _is_plain(part) or part.get("file_url") or (isinstance(kind, str) and kind in _REACHING_PARTS):
        return True
    # A part with data is a source, and so has a kind of source; `source` of a search result is a plain label.
    source = part.get("source")
    if isinstance(source, dict) and source.get("type") not in _INLINE_SOURCES:
        return True
    image = part.get("image_url")
    address = image.get("url") if isinstance(image, dict) else image
    return address is not None and not (isinstance(address, str) and address.startswith("data:"))


def _is_plain(fields: Mapping[str, Any]) -> bool:
    """Whether every name is in small letters, as all of theirs are: some readers of JSON take `Tools` for `tools`."""
    return all(name == name.lower() for name in fields)
