"""Failures as the endpoint tells them: problem documents of RFC 9457, from the one table of codes.

Whatever goes wrong, the body has the same five members, so that a client reads one form. What an authentication failure
was about is for the log alone; another tenant's id is a `no-such-resource` like any other.
https://www.rfc-editor.org/rfc/rfc9457
"""

import json
from collections.abc import Mapping
from typing import Any, Final

from starlette.responses import Response

from coven_action.error_codes import CODES
from coven_action.hosted.store.commands import StoreUnavailable

MEDIA_TYPE: Final = "application/problem+json"
TYPE_BASE: Final = "https://github.com/OpenCoven/coven-action/blob/main/docs/errors.md#"


class Problem(Exception):
    """Raised to answer a request with a failure.

    Args:
        code: A key of `CODES` that has a status.
        detail: What happened with this request, one sentence; the code's meaning where there is no more to say.
        headers: For the answer.
        members: Further members of the document.
    """

    def __init__(
        self,
        code: str,
        detail: str | None = None,
        *,
        headers: Mapping[str, str] | None = None,
        members: Mapping[str, Any] | None = None,
    ) -> None:
        super().__init__(code)
        self.code = code
        self.detail = detail if detail is not None else CODES[code].meaning
        self.headers = dict(headers or {})
        self.members = dict(members or {})

    @property
    def status(self) -> int:
        """The HTTP status of the code."""
        status = CODES[self.code].status
        return 500 if status is None else status

    def render(self) -> bytes:
        """Return the document."""
        entry = CODES[self.code]
        return json.dumps(
            {
                "type": f"{TYPE_BASE}{self.code}",
                "title": entry.meaning,
                "status": self.status,
                "detail": self.detail,
                "code": self.code,
                "remedy": entry.remedy,
                **self.members,
            }
        ).encode()

    def respond(self) -> Response:
        """Return the answer."""
        return Response(self.render(), status_code=self.status, media_type=MEDIA_TYPE, headers=self.headers)


NOT_AUTHENTICATED: Final = {"WWW-Authenticate": 'Bearer realm="coven"'}


def refuse_authentication() -> Problem:
    """Return the one answer to every request that is not authenticated, whatever was wrong with it."""
    return Problem("not-authenticated", headers=NOT_AUTHENTICATED)


def explain_store(error: StoreUnavailable) -> Problem:
    """Return the answer where the database could not take a command."""
    return Problem(error.reason, headers={"Retry-After": str(error.retry_after)})
