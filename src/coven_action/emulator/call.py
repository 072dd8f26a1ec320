"""One request of the REST interface as a route sees it, and the table row that describes a route."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import urlencode

from coven_action.emulator.answers import Answer, ApiError, build_invalid_request, build_not_found
from coven_action.emulator.state import Issue, Repository, Token, User
from coven_action.emulator.world import World

MAX_PAGE: Final = 100


@dataclass(frozen=True, slots=True)
class Operation:
    """A route: method, path, handler, and what a token needs for it.

    Attributes:
        needs: Permissions of which one suffices, each `name=level`; empty for what every token may do.
        anonymous: Whether GitHub answers this for public data without a token.
    """

    method: str
    path: str
    handler: Callable[["Call"], Answer]
    needs: tuple[str, ...] = ()
    anonymous: bool = False


@dataclass(frozen=True, slots=True)
class Call:
    """A request whose caller was identified and found to be permitted."""

    world: World
    token: Token | None
    path: Mapping[str, str]
    query: Mapping[str, str]
    body: Any
    accept: str
    url: str
    repo: Repository | None

    @property
    def repository(self) -> Repository:
        """The repository that the path names."""
        if self.repo is None:
            raise build_not_found()
        return self.repo

    @property
    def user(self) -> User:
        """Who acts."""
        if self.token is None:
            raise ApiError(401, "Requires authentication")
        return self.token.user

    @property
    def issue(self) -> Issue:
        """The issue or pull request whose number the path gives."""
        found = self.repository.issues.get(int(self.path["number"]))
        if found is None:
            raise build_not_found()
        return found

    def get_object(self) -> dict[str, Any]:
        """Return the body, which must be a JSON object."""
        if not isinstance(self.body, dict):
            raise build_invalid_request("For 'links/0/schema', the body is not an object.")
        return self.body

    def get_text(self, name: str) -> str | None:
        """Return a text of the body, `None` where it is absent or null."""
        value = self.get_object().get(name)
        if value is not None and not isinstance(value, str):
            raise build_invalid_request(f"For 'properties/{name}', {value!r} is not a string.")
        return value

    def require_text(self, name: str) -> str:
        """Return a text of the body that must be there."""
        value = self.get_text(name)
        if value is None:
            raise build_invalid_request(f'"{name}" wasn\'t supplied.')
        return value

    def paginate(self, items: list[Any]) -> tuple[list[Any], dict[str, str]]:
        """Return the asked page of `items` and the Link header that leads to the others."""
        size = min(_read_number(self.query.get("per_page"), 30), MAX_PAGE)
        page = _read_number(self.query.get("page"), 1)
        last = max(1, -(-len(items) // size))
        links = []
        if page > 1:
            links += [self._link(page - 1, "prev"), self._link(1, "first")]
        if page < last:
            links += [self._link(page + 1, "next"), self._link(last, "last")]
        return items[(page - 1) * size : page * size], {"Link": ", ".join(links)} if links else {}

    def _link(self, page: int, relation: str) -> str:
        query = urlencode({**self.query, "page": page})
        return f'<{self.url}?{query}>; rel="{relation}"'


def _read_number(text: str | None, fallback: int) -> int:
    """Return a positive number of at most nine digits; GitHub takes its default for anything else."""
    if text is None or not text.isascii() or not text.isdecimal() or len(text) > 9:  # noqa: PLR2004 - said above
        return fallback
    return max(1, int(text))
