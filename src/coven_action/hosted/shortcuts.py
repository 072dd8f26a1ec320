"""Find most routes by one look into a table, where the framework would try one pattern after the other.

A route whose path is fixed and whose function takes the request alone needs neither patterns nor parsed parameters. It
stays registered with the framework like every other: for its description, and for whoever asks with a wrong method.
"""

from collections.abc import Iterable
from typing import Final

from fastapi.routing import APIRoute
from starlette.requests import Request
from starlette.routing import BaseRoute, Match
from starlette.types import Receive, Scope, Send

_PARAMETERS: Final = ("path_params", "query_params", "header_params", "cookie_params", "body_params", "dependencies")


class Shortcuts(BaseRoute):
    """The routes that a method and a path alone lead to.

    Args:
        routes: Of the application; those that take parameters are passed over.
    """

    def __init__(self, routes: Iterable[BaseRoute]) -> None:
        self._routes = {
            (method, route.path): route
            for route in routes
            if isinstance(route, APIRoute) and takes_request_alone(route)
            for method in route.methods or ()
        }

    def matches(self, scope: Scope) -> tuple[Match, Scope]:
        """Say whether the table has the request's route."""
        route = self._routes.get((scope.get("method", ""), scope["path"])) if scope["type"] == "http" else None
        if route is None:
            return Match.NONE, {}
        return Match.FULL, {"route": route, "endpoint": route.endpoint}

    async def handle(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Call the route's function."""
        response = await scope["endpoint"](Request(scope, receive, send))
        await response(scope, receive, send)


def takes_request_alone(route: APIRoute) -> bool:
    """Say whether nothing has to be read from a request before the route's function is called."""
    needed = route.dependant
    return needed.request_param_name == "request" and not any(getattr(needed, name) for name in _PARAMETERS)
