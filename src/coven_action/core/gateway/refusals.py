"""Why the gateway refuses a request, and how it says so in the provider's own words. Pure.

A client of a model retries what looks like a passing fault. A refusal of ours never passes, so each has a status that the
clients do not retry, says `x-should-retry: false`, and has the shape that the provider's own errors have.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, Literal

Provider = Literal["anthropic", "openai"]
"""How a host speaks: whose requests, errors and counts of tokens."""

NO_RETRY: Final = (b"x-should-retry", b"false")


@dataclass(frozen=True, slots=True)
class Reason:
    """What a reason means: the status of the answer and the sentence in it."""

    status: int
    sentence: str


REASONS: Final[Mapping[str, Reason]] = {
    # the request
    "malformed-request": Reason(400, "The request is not plain HTTP/1.1."),
    "ambiguous-framing": Reason(400, "The request could end at more than one place."),
    "early-bytes": Reason(400, "Something was sent before the answer to the request."),
    "upgrade": Reason(400, "The gateway does not change protocols."),
    "headers-too-large": Reason(431, "The head of the request is too large."),
    "method-not-allowed": Reason(405, "This method is not forwarded."),
    "path-not-allowed": Reason(404, "This path is not forwarded."),
    "host-not-allowed": Reason(403, "This host is not reachable from here."),
    "address-not-public": Reason(403, "This host leads to an address that is not public."),
    # the body
    "content-type": Reason(415, "The body must be application/json, not encoded."),
    "body-too-large": Reason(413, "The body is too large."),
    "body-not-json": Reason(400, "The body is not an unambiguous JSON object with a model."),
    "model-not-allowed": Reason(403, "This model is not configured."),
    "provider-reach": Reason(403, "The request asks the provider to reach other places, to work later, or faster."),
    # the budget; these end the run, and are codes of the public table as well
    "budget-requests": Reason(403, "The run's budget of model requests is used up."),
    "budget-tokens": Reason(403, "The run's budget of tokens is used up."),
    "budget-cost": Reason(403, "The run's budget of money is used up."),
    # the answer
    "upstream-unreachable": Reason(502, "The model's host could not be reached."),
    "upstream-broke-off": Reason(502, "The model's host broke off, or was silent for too long."),
    "upstream-redirect": Reason(502, "The model's host redirected, and redirects are not followed."),
    "upstream-answer": Reason(502, "The model's host answered in a form that is not passed on."),
    "upstream-too-large": Reason(502, "The model's host answered more than is passed on."),
    # a tunnel that had been opened; nothing can be answered any more
    "tunnel-unreachable": Reason(502, "The host could not be reached."),
    "tunnel-name": Reason(403, "The TLS connection names another host than was asked for."),
    "tunnel-too-large": Reason(403, "More passed through the tunnel than may."),
    "too-many-connections": Reason(503, "Too many connections are open."),
}
_ANTHROPIC_TYPES: Final = {
    400: "invalid_request_error",
    403: "permission_error",
    404: "not_found_error",
    413: "request_too_large",
}


class Refused(ValueError):
    """Raised where a request is not forwarded, or its answer not passed on.

    Args:
        reason: A key of `REASONS`.
        host: The host that was asked for, where that is what is refused. Written by the agent.
    """

    def __init__(self, reason: str, *, host: str | None = None) -> None:
        super().__init__(REASONS[reason].sentence)
        self.reason = reason
        self.host = host


def render_refusal(provider: Provider, reason: str) -> tuple[int, bytes]:
    """Return the status and the JSON body by which a client of this provider is told.

    The shapes: https://docs.anthropic.com/en/api/errors and
    https://platform.openai.com/docs/guides/error-codes.
    """
    status, sentence = REASONS[reason].status, f"Coven gateway: {REASONS[reason].sentence}"
    document: dict[str, object]
    if provider == "anthropic":
        kind = _ANTHROPIC_TYPES.get(status, "api_error" if status >= 500 else "invalid_request_error")  # noqa: PLR2004
        document = {"type": "error", "error": {"type": kind, "message": sentence}}
    else:
        kind = "server_error" if status >= 500 else "invalid_request_error"  # noqa: PLR2004
        error = {"message": sentence, "type": kind, "param": None, "code": reason.replace("-", "_")}
        document = {"error": error}
    return status, json.dumps(document).encode()
