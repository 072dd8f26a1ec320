"""The local GitHub as one application: REST, GraphQL, git, pages, ID tokens, and the emulator's own routes."""

import json
import secrets
from collections.abc import Awaitable, Callable

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from coven_action.emulator.answers import ApiError
from coven_action.emulator.blobs import build_blob_routes
from coven_action.emulator.exchanges import ExchangeLayer, RequestTooLargeError
from coven_action.emulator.faults import Faults
from coven_action.emulator.git_http import build_git_endpoint
from coven_action.emulator.graphql import build_graphql_endpoint
from coven_action.emulator.oidc import LocalIssuer
from coven_action.emulator.pages import build_page_routes
from coven_action.emulator.rest import build_rest_routes
from coven_action.emulator.world import World


def build_app(
    world: World, issuer: LocalIssuer, faults: Faults, admin_key: str, close: Callable[[tuple[str, int]], None]
) -> ExchangeLayer:
    """Return the application; `close` hangs up on a client address, for the faults that drop."""
    git = build_git_endpoint(world)
    graphql = build_graphql_endpoint(world)
    routes = [
        # GITHUB_GRAPHQL_URL names the first; clients that derive it from the REST address, as PyGithub does, the second.
        Route("/graphql", graphql, methods=["POST"]),
        Route("/api/graphql", graphql, methods=["POST"]),
        *build_rest_routes(world),
        *issuer.build_routes(),
        *build_blob_routes(world),
        Route("/_emulator/faults", _build_fault_endpoint(faults, admin_key), methods=["POST", "DELETE"]),
        Route("/{owner}/{repo}.git/{service:path}", git, methods=["GET", "POST"]),
        *build_page_routes(world),
    ]
    return ExchangeLayer(
        Starlette(routes=routes, exception_handlers={RequestTooLargeError: _refuse_size}), faults, close
    )


async def _refuse_size(_request: Request, _error: Exception) -> Response:
    return JSONResponse(ApiError(413, "Payload too large").document, 413)


def _build_fault_endpoint(faults: Faults, admin_key: str) -> Callable[[Request], Awaitable[Response]]:
    """Return the route by which another process adds faults (POST) or removes all (DELETE)."""

    async def endpoint(request: Request) -> Response:
        if not secrets.compare_digest(request.headers.get("x-emulator-key", ""), admin_key):
            return JSONResponse({"message": "the header X-Emulator-Key is missing or wrong"}, 403)
        if request.method == "DELETE":
            faults.clear()
            return Response(status_code=204)
        try:
            faults.add(**json.loads(await request.body()))
        except (TypeError, ValueError) as error:
            return JSONResponse({"message": f"no fault of this kind: {error}"}, 422)
        return Response(status_code=201)

    return endpoint
