"""The limits of GitHub: requests an hour, and how long a text may be.

Sources: https://docs.github.com/rest/using-the-rest-api/rate-limits-for-the-rest-api and, for the texts, GitHub's
error messages, which name the limit.
"""

from datetime import timedelta
from typing import Any, Final

from coven_action.emulator.answers import ApiError, build_invalid_request, build_validation_failed
from coven_action.emulator.state import Token
from coven_action.emulator.world import World

ANONYMOUS_LIMIT: Final = 60
MAX_BODY: Final = 65_536
MAX_TITLE: Final = 256
MAX_CHECK_TEXT: Final = 65_535
MAX_CHECK_TITLE: Final = 255
MAX_ANNOTATIONS: Final = 50
MAX_ANNOTATION_MESSAGE: Final = 64 * 1024


def check_length(resource: str, field: str, text: str | None, maximum: int) -> None:
    """Refuse a text of an issue, comment or pull request that is longer than GitHub keeps.

    Raises:
        ApiError: 422, with the field and the maximum.
    """
    if text is not None and len(text) > maximum:
        message = f"{field} is too long (maximum is {maximum} characters)"
        raise build_validation_failed(resource, message, field=field)


def check_supplied(text: str | None, maximum: int) -> None:
    """Refuse a text of a Check Run that is longer than GitHub keeps.

    Raises:
        ApiError: 422, with the lengths.
    """
    if text is not None and len(text) > maximum:
        raise build_invalid_request(f"Only {maximum} characters are allowed; {len(text)} were supplied.")


def count_request(token: Token | None) -> None:
    """Count a request against the hour of its token.

    Raises:
        ApiError: 403, when the hour's requests are used up.
    """
    if token is None:
        return
    token.used += 1
    if token.used > token.limit:
        who = "installation" if token.installation else "user"
        raise ApiError(403, f"API rate limit exceeded for {who} ID {token.user.id}.")


def _measure(world: World, token: Token | None) -> dict[str, int]:
    limit, used = (ANONYMOUS_LIMIT, 0) if token is None else (token.limit, token.used)
    hour = world.clock().replace(minute=0, second=0, microsecond=0) + timedelta(hours=1)
    used = min(used, limit)
    return {"limit": limit, "used": used, "remaining": limit - used, "reset": int(hour.timestamp())}


def build_rate_limit(world: World, token: Token | None) -> dict[str, Any]:
    """Build the document of `GET /rate_limit`."""
    core = _measure(world, token)
    search = core | {"limit": 30, "used": 0, "remaining": 30}
    return {"resources": {"core": core, "search": search, "graphql": core}, "rate": core}


def build_rate_headers(world: World, token: Token | None, resource: str = "core") -> dict[str, str]:
    """Build the rate limit headers that every response carries."""
    facts = {f"X-RateLimit-{name.capitalize()}": str(value) for name, value in _measure(world, token).items()}
    return facts | {"X-RateLimit-Resource": resource}
