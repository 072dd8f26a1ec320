"""Hold the local GitHub against what GitHub says of itself: its OpenAPI description and its webhook schemas.

`validate_exchanges(exchanges)` checks every recorded request and answer of the REST interface and returns the known
deviations that were met; anything else that differs is an `AssertionError`. The known ones stand in `DEVIATIONS`.
"""

import functools
import json
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qsl, quote, unquote

from openapi_core.datatypes import RequestParameters
from werkzeug.datastructures import Headers, ImmutableMultiDict

from coven_action.emulator.exchanges import Exchange
from tests.npm_packages import PackageFile, fetch_file

OPENAPI = PackageFile(
    package="@octokit/openapi",
    version="23.0.2",
    integrity="sha512-pV8M7L9GY23AybNvTmo2nyjmpmnt6+2sRE/tqr0ZLQcPS4lnw7u5eZGNmwRNkBC3D7gZXbFx5AHzLUVRBXGDhg==",
    member="package/generated/api.github.com.json",
)
WEBHOOKS = PackageFile(
    package="@octokit/webhooks-schemas",
    version="7.6.1",
    integrity="sha512-qW0Bwtb76r4m2WzVhKDyfEeEnt1GEQoRjkCqmq2ZeB0nNVDJ+Z2LBDS9FDPyduuMXf/ZTWiCJp9PFFHgRfBe3A==",
    member="package/schema.json",
)
_HOST = "https://api.github.com"
# Paths whose last parameter holds slashes; the description knows them only percent-encoded.
_SLASHED = (
    r"(?P<before>/repos/[^/]+/[^/]+/contents/)(?P<inner>.+)(?P<after>)",
    r"(?P<before>/repos/[^/]+/[^/]+/git/(?:ref|matching-refs)/)(?P<inner>.+)(?P<after>)",
    r"(?P<before>/repos/[^/]+/[^/]+/branches/)(?P<inner>.+)(?P<after>)",
    r"(?P<before>/repos/[^/]+/[^/]+/commits/)(?P<inner>.+)(?P<after>/check-runs)",
    r"(?P<before>/repos/[^/]+/[^/]+/commits/)(?P<inner>.+)(?P<after>)",
    r"(?P<before>/repos/[^/]+/[^/]+/issues/[0-9]+/labels/)(?P<inner>.+)(?P<after>)",
)


@dataclass(frozen=True)
class Difference:
    """One thing in a request or an answer that the description does not allow.

    Attributes:
        part: `request` or `response`.
        kind: The class of openapi-core's error, or `schema`.
        place: Where in the document, `a/0/b`.
        error: The error of the schema, where there is one.
    """

    part: str
    kind: str
    place: str
    message: str
    error: Any = None


@dataclass(frozen=True)
class Deviation:
    """A known difference: between GitHub and its description, or between it and what clients send."""

    name: str
    reason: str
    applies: Callable[[Exchange, Difference], bool]


def _is_untyped_null(exchange: Exchange, found: Difference) -> bool:
    return found.kind == "schema" and found.error.instance is None and found.error.schema.get("nullable") is True


def _is_bare_labels(exchange: Exchange, found: Difference) -> bool:
    is_labels = exchange.method == "POST" and exchange.path.endswith("/labels")
    return found.part == "request" and is_labels and isinstance(found.error.instance, list)


def _is_undescribed_error(exchange: Exchange, found: Difference) -> bool:
    undescribed = found.kind == "ResponseNotFound" and exchange.status in {400, 401, 403, 404, 413, 422}
    return undescribed and load_error_validator().is_valid(json.loads(exchange.response_body))


def _is_raw_file(exchange: Exchange, found: Difference) -> bool:
    is_raw = exchange.content_type.startswith("application/vnd.github.raw")
    return is_raw and "/contents/" in exchange.path and "mimetype not found" in found.message


def _is_directory(exchange: Exchange, found: Difference) -> bool:
    is_top = found.kind == "schema" and found.place == "" and found.error.validator == "oneOf"
    return (
        is_top and "/contents/" in exchange.path and isinstance(found.error.instance, list) and not found.error.context
    )


DEVIATIONS: tuple[Deviation, ...] = (
    Deviation(
        "null-beside-one-of",
        "`nullable: true` beside `oneOf` or `allOf` without a type: GitHub answers null there (the author of a commit "
        "who has no account), but OpenAPI 3.0 gives `nullable` a meaning only beside `type`.",
        _is_untyped_null,
    ),
    Deviation(
        "bare-array-of-labels",
        "PyGithub sends the labels to add as a bare array; the text of the description says that GitHub takes it, "
        "its schema does not.",
        _is_bare_labels,
    ),
    Deviation(
        "undescribed-error",
        "The description lists few of the errors that every route can give (bad credentials, missing permission, "
        "malformed JSON, failed validation); their body is checked against the shape of GitHub's error documents.",
        _is_undescribed_error,
    ),
    Deviation(
        "raw-file",
        "The raw media type of a file is explained in the text of the description and missing among its answers.",
        _is_raw_file,
    ),
    Deviation(
        "directory-fits-twice",
        "The schemas of a submodule and a link do not say that they are objects, so the array of a directory fits more "
        "than one branch of `oneOf`; that it fits too many is accepted, that it fits none is not.",
        _is_directory,
    ),
)


class _Request:
    """A recorded request in the shape openapi-core asks for, sent to the host of the description."""

    host_url = _HOST

    def __init__(self, exchange: Exchange) -> None:
        self.path = _encode_slashes(exchange.path.removeprefix("/api"))
        self.method = exchange.method.lower()
        self.parameters = RequestParameters(
            query=ImmutableMultiDict(parse_qsl(exchange.query)), header=Headers(dict(exchange.request_headers))
        )
        self.content_type = exchange.request_headers.get("content-type", "application/json").partition(";")[0]
        self.body = exchange.request_body or None


class _Response:
    """A recorded answer in the shape openapi-core asks for."""

    def __init__(self, exchange: Exchange) -> None:
        self.status_code = exchange.status
        self.headers = exchange.response_headers
        self.content_type = exchange.content_type.partition(";")[0]
        self.data = exchange.response_body or None


def _encode_slashes(path: str) -> str:
    for pattern in _SLASHED:
        if found := re.fullmatch(pattern, path):
            return found["before"] + quote(unquote(found["inner"]), safe="") + found["after"]
    return path


@functools.cache
def load_description() -> dict[str, Any]:
    """Return GitHub's description; 0.3 s and 100 MB once a process."""
    description: dict[str, Any] = json.loads(fetch_file(OPENAPI).read_bytes())
    return description


@functools.cache
def _load_templates() -> tuple[tuple[re.Pattern[str], str], ...]:
    """Return a pattern for each path of the description; the more of it is given, the earlier it stands (OAS 3.0.3)."""
    templates = sorted(load_description()["paths"], key=lambda path: path.count("{"))
    parts = ((re.split(r"\{[^}]+\}", path), path) for path in templates)
    return tuple((re.compile("[^/]+".join(map(re.escape, fixed))), path) for fixed, path in parts)


@functools.cache
def _compile_description(template: str) -> Any:
    from openapi_core import Config, OpenAPI

    document = load_description()
    document = document | {"paths": {template: document["paths"][template]} if template else {}}
    # The description is GitHub's; checking it against the meta-schema takes minutes and is not our task.
    return OpenAPI.from_dict(document, config=Config(spec_validator_cls=None))


def _find_description(path: str) -> Any:
    """Return the description with the one path that `path` is: openapi-core looks through all of them, every time."""
    return _compile_description(next((name for pattern, name in _load_templates() if pattern.fullmatch(path)), ""))


@functools.cache
def load_error_validator() -> Any:
    from jsonschema import Draft7Validator

    basic = {
        "type": "object",
        "required": ["message", "documentation_url", "status"],
        "properties": {name: {"type": "string"} for name in ("message", "documentation_url", "status")},
    }
    return Draft7Validator(basic)


def _leaves(error: Any) -> list[Any]:
    return [leaf for item in error.context for leaf in _leaves(item)] if error.context else [error]


def _split_error(part: str, error: BaseException) -> list[Difference]:
    """Return the differences that an error of openapi-core stands for: each error of the schema alone."""
    cause: BaseException | None = error
    while cause is not None:
        if schema_errors := list(getattr(cause, "schema_errors", None) or ()):
            return [_build_difference(part, item) for item in schema_errors]
        cause = cause.__cause__
    return [Difference(part, type(error).__name__, "", str(error)[:500])]


def _build_difference(part: str, error: Any) -> Difference:
    place = "/".join(map(str, error.absolute_path))
    leaves = "; ".join(f"{'/'.join(map(str, leaf.absolute_path))}: {leaf.message[:200]}" for leaf in _leaves(error)[:8])
    return Difference(part, "schema", place, leaves, error)


def find_differences(exchange: Exchange) -> list[Difference]:
    """Return what in a request and its answer the description does not allow.

    A request that was refused may be malformed, so only the answer is looked at.
    """
    from openapi_core.exceptions import OpenAPIError

    request = _Request(exchange)
    description = _find_description(request.path)
    checks: list[tuple[str, Callable[[], Any]]] = []
    if exchange.status < 400:
        checks.append(("request", lambda: description.validate_request(request)))
    checks.append(("response", lambda: description.validate_response(request, _Response(exchange))))
    found: list[Difference] = []
    for part, check in checks:
        try:
            check()
        except OpenAPIError as error:
            found += _split_error(part, error)
    return found


def validate_exchanges(exchanges: Iterable[Exchange]) -> set[str]:
    """Check all exchanges of the REST interface that no fault touched; return the names of the deviations met.

    Raises:
        AssertionError: With every difference that is no known deviation.
    """
    met: set[str] = set()
    unknown: list[str] = []
    for exchange in exchanges:
        if exchange.kind != "rest" or exchange.faulted or not exchange.status:
            continue
        for found in find_differences(exchange):
            names = {known.name for known in DEVIATIONS if known.applies(exchange, found)}
            met |= names
            if not names:
                what = f"{exchange.method} {exchange.path} -> {exchange.status}"
                unknown.append(f"{what}: {found.part}: {found.kind} at {found.place or 'top'}: {found.message}")
    assert not unknown, "GitHub's description does not allow:\n" + "\n".join(unknown)
    return met


@functools.cache
def load_webhook_schema() -> dict[str, Any]:
    """Return the JSON Schema (draft-07) of all webhook payloads."""
    schema: dict[str, Any] = json.loads(fetch_file(WEBHOOKS).read_bytes())
    return schema


def validate_payload(definition: str, payload: Mapping[str, Any]) -> None:
    """Check a webhook payload against one definition, such as `issues$labeled`.

    Raises:
        AssertionError: With every place that differs.
    """
    from jsonschema import Draft7Validator, FormatChecker

    schema = load_webhook_schema()
    rule = {"$ref": f"#/definitions/{definition}", "definitions": schema["definitions"]}
    errors = Draft7Validator(rule, format_checker=FormatChecker()).iter_errors(dict(payload))
    found = [f"{list(leaf.absolute_path)}: {leaf.message[:300]}" for error in errors for leaf in _leaves(error)]
    assert not found, f"{definition}:\n" + "\n".join(found)
