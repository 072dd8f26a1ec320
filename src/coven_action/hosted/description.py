"""The endpoint's OpenAPI description, made from its routes: the one that is committed, served and tested against.

Bodies are read by the documents' own models and not by the framework, so what a route takes is put in here.
"""

from collections.abc import Iterator
from typing import Any, Final

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi
from pydantic import BaseModel
from pydantic.json_schema import models_json_schema

from coven_action import __version__
from coven_action.error_codes import CODES
from coven_action.hosted.authentication import OPEN_PATHS
from coven_action.hosted.http import KEY_HEADER, TAKEN, TAKES
from coven_action.hosted.problems import MEDIA_TYPE

_REFERENCE: Final = "#/components/schemas/"
_WRITES: Final = frozenset({"put", "post", "delete"})
# Opening a session is made once-only by the token's own id, and ending one twice is ending it once.
_WITHOUT_KEY: Final = frozenset({("/v1/session", "post"), ("/v1/session", "delete")})

_DECISIONS: Final = "/v1/memory/{memory_id}:"
_VERSIONED: Final = frozenset({("/v1/tenants/self/policy", "put")})

PROBLEM: Final[dict[str, Any]] = {
    "type": "object",
    "description": "A problem document of RFC 9457.",
    "required": ["type", "title", "status", "detail", "code", "remedy"],
    "properties": {
        "type": {"type": "string", "format": "uri"},
        "title": {"type": "string"},
        "status": {"type": "integer"},
        "detail": {"type": "string"},
        "code": {"type": "string", "enum": sorted(code for code, entry in CODES.items() if entry.status is not None)},
        "remedy": {"type": "string"},
    },
}


def describe_api(app: FastAPI) -> dict[str, Any]:
    """Return the description of an application's routes, OpenAPI 3.1."""
    description = get_openapi(
        title="Coven Action endpoint",
        version=__version__,
        summary="Opt-in memory, task history, audit and usage, tenant by tenant.",
        routes=app.routes,
    )
    schemas = description.setdefault("components", {}).setdefault("schemas", {})
    taken: dict[str, type[BaseModel]] = {}
    for path, method, operation in _iterate_operations(description):
        name = operation.pop(TAKES, None)
        if name is not None:
            taken[name] = TAKEN[name]
            content = {"application/json": {"schema": {"$ref": f"{_REFERENCE}{name}Body"}}}
            operation["requestBody"] = {"required": True, "content": content}
        operation["responses"].pop("422", None)  # the framework's own form of a mistake, which nobody is ever told
        operation["responses"]["default"] = {
            "description": "What went wrong.",
            "content": {MEDIA_TYPE: {"schema": {"$ref": f"{_REFERENCE}Problem"}}},
        }
        operation["security"] = [] if path in OPEN_PATHS else [{"session": []}]
        if method in _WRITES and (path, method) not in _WITHOUT_KEY:
            operation.setdefault("parameters", []).append(_KEY_PARAMETER)
        if path.startswith(_DECISIONS) or (path, method) in _VERSIONED:
            operation["parameters"].append(_PRECONDITION_PARAMETER)
    for name in ("HTTPValidationError", "ValidationError"):
        schemas.pop(name, None)
    schemas |= {"Problem": PROBLEM} | _describe_bodies(taken)
    description["components"]["securitySchemes"] = {
        "session": {
            "type": "http",
            "scheme": "bearer",
            "description": "A session's token; for POST /v1/session an ID token of GitHub Actions; for people on the same "
            "machine the local administrator's token.",
        }
    }
    return description


_KEY_PARAMETER: Final[dict[str, Any]] = {
    "name": KEY_HEADER,
    "in": "header",
    "required": True,
    "description": "The same text for each repetition of the same write.",
    "schema": {"type": "string", "pattern": "^[!-~]{1,100}$"},
}


_PRECONDITION_PARAMETER: Final[dict[str, Any]] = {
    "name": "If-Match",
    "in": "header",
    "required": True,
    "description": "The ETag of what was read.",
    "schema": {"type": "string"},
}


def _iterate_operations(description: dict[str, Any]) -> Iterator[tuple[str, str, dict[str, Any]]]:
    for path, methods in description["paths"].items():
        for method, operation in methods.items():
            yield path, method, operation


def _describe_bodies(models: dict[str, type[BaseModel]]) -> dict[str, Any]:
    """Return the schemas of what is taken. Their parts are named apart from those of answers, which they differ from."""
    _, document = models_json_schema(
        [(model, "validation") for model in models.values()], ref_template=f"{_REFERENCE}{{model}}Body"
    )
    return {f"{name}Body": schema for name, schema in document.get("$defs", {}).items()}
