"""What an error answer of GitHub's API means, and what to do about it. Pure: status, headers and body in, words out.

Sources: https://docs.github.com/en/rest/using-the-rest-api/troubleshooting-the-rest-api and
https://docs.github.com/en/rest/using-the-rest-api/rate-limits-for-the-rest-api
"""

import json
import re
from collections.abc import Callable, Mapping
from typing import Any, Final

from coven_action.core.records import Record

SHOWN: Final = 300
SETTINGS_HINT: Final = (
    "Allow it in Settings → Actions → General → Workflow permissions → "
    "“Allow GitHub Actions to create and approve pull requests”, then re-run the job."
)
SERVER_ERROR: Final = 500


class Answer(Record):
    """An error answer. Header names are in lower case."""

    status: int
    headers: dict[str, str]
    message: str
    details: str


class Meaning(Record):
    """A code of `errors.CODES`, what happened, and a remedy where this answer has a better one than the code."""

    code: str
    message: str
    remedy: str | None = None


def read_answer(status: int, headers: Mapping[str, Any] | None, body: Any) -> Answer:
    """Return the parts of an error answer that matter, whatever it looks like."""
    message = body.get("message") if isinstance(body, Mapping) else body
    details = body.get("errors") if isinstance(body, Mapping) else None
    return Answer(
        status=status,
        headers={_printable(name).lower(): _printable(value) for name, value in (headers or {}).items()},
        message=_printable(message or "")[:SHOWN],
        details=json.dumps(details)[:SHOWN] if details else "",
    )


def _printable(value: Any) -> str:
    """Return a value as text that can be encoded: JSON may hold halves of surrogate pairs."""
    return str(value).encode("utf-8", "backslashreplace").decode("utf-8")


def explain(answer: Answer, request: str) -> Meaning:
    """Return what the answer means.

    Args:
        answer: From `read_answer`.
        request: Method and path, for people.
    """
    said = f"{answer.message} {answer.details}"
    for status, pattern, build in _MEANINGS:
        if answer.status == status and re.search(pattern, said, re.IGNORECASE):
            return build(answer, request)
    if answer.status >= SERVER_ERROR:
        return Meaning(code="github-unavailable", message=f"GitHub answered {answer.status} to {request}.")
    return Meaning(
        code="github-refused",
        message=f"GitHub answered {answer.status} to {request}: {said.strip() or 'no reason given'}",
    )


def find_wait(answer: Answer, now: float) -> float | None:
    """Return the seconds until a rate limit ends, None where the answer does not say.

    Args:
        answer: A `rate-limited` answer.
        now: Seconds since the epoch.
    """
    for name, base in (("retry-after", 0.0), ("x-ratelimit-reset", now)):
        value = answer.headers.get(name, "")
        if re.fullmatch(r"[0-9]{1,12}", value) and (
            name == "retry-after" or answer.headers.get("x-ratelimit-remaining") == "0"
        ):
            return max(float(value) - base, 0.0)
    return None


def _missing_permission(answer: Answer, request: str) -> Meaning:
    wanted = answer.headers.get("x-accepted-github-permissions", "")
    # The header reads `issues=write; pull_requests=write`; workflows write the names with hyphens.
    names = [
        part.strip().replace("_", "-").replace("=", ": ") for part in wanted.split(";")[0].split(",") if part.strip()
    ]
    lines = "\n".join(f"      {name}" for name in names) or "      (see the documentation of the request)"
    return Meaning(
        code="missing-permission",
        message=f"The job's token may not do {request}; it needs {', '.join(names) or 'another permission'}.",
        remedy=f"Add to the job in your workflow:\n    permissions:\n{lines}",
    )


def _rate_limited(answer: Answer, request: str) -> Meaning:
    return Meaning(code="rate-limited", message=f"GitHub's rate limit stopped {request}: {answer.message}")


def _simple(code: str, sentence: str, remedy: str | None = None) -> Callable[[Answer, str], Meaning]:
    def build(answer: Answer, request: str) -> Meaning:
        del answer
        return Meaning(code=code, message=sentence.format(request=request), remedy=remedy)

    return build


# Status, what the message or its details say, and what that means. The first row that fits decides.
_MEANINGS: Final[tuple[tuple[int, str, Callable[[Answer, str], Meaning]], ...]] = (
    (401, "", _simple("bad-credentials", "GitHub does not accept the token ({request}).")),
    (403, "rate limit|abuse detection", _rate_limited),
    (429, "", _rate_limited),
    (
        403,
        "not permitted to create or approve pull requests",
        _simple(
            "pull-requests-switched-off",
            "This repository does not let GitHub Actions create pull requests ({request}).",
            SETTINGS_HINT,
        ),
    ),
    (403, "not accessible by|must have|not authorized|permission", _missing_permission),
    (404, "", _simple("not-found", "GitHub knows nothing at {request}.")),
    (422, "draft", _simple("drafts-not-offered", "This repository does not offer draft pull requests ({request}).")),
    (422, "already exists", _simple("already-exists", "It exists already ({request}).")),
)
