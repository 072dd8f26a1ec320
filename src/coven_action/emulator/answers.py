"""What a route gives back: an answer, or an `ApiError` in the words and codes GitHub uses.

The texts are GitHub's own, because people and programs recognise failures by them.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

DOCUMENTATION_URL = "https://docs.github.com/rest"


@dataclass(frozen=True, slots=True)
class Answer:
    """A response: a JSON `document`, or `content` with its own media type, or neither (204)."""

    document: Any = None
    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)
    content: bytes | None = None
    media_type: str = "application/json; charset=utf-8"


class ApiError(Exception):
    """Raised by a route to end a request with an error document."""

    def __init__(self, status: int, message: str, *, headers: Mapping[str, str] | None = None, **more: Any) -> None:
        super().__init__(message)
        self.status = status
        self.headers = dict(headers or {})
        self.document = {"message": message} | more | {"documentation_url": DOCUMENTATION_URL, "status": str(status)}


def build_not_found() -> ApiError:
    """Return the 404 for what does not exist or may not be seen; GitHub does not say which."""
    return ApiError(404, "Not Found")


def build_validation_failed(resource: str, message: str, *, field: str | None = None, code: str = "custom") -> ApiError:
    """Return the 422 that names what is wrong with a field of `resource`."""
    error: dict[str, str] = {"resource": resource, "code": code}
    if field is not None:
        error["field"] = field
    return ApiError(422, "Validation Failed", errors=[error | {"message": message}])


def build_invalid_request(reason: str) -> ApiError:
    """Return the 422 for a body that does not have the shape the route describes."""
    return ApiError(422, f"Invalid request.\n\n{reason}")
