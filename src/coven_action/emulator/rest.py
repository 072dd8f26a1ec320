"""The REST interface: finds caller and repository, checks the permission, runs the handler, writes the answer."""

import json
from collections.abc import Iterable
from typing import Any, Final

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from coven_action.emulator.answers import Answer, ApiError, build_not_found
from coven_action.emulator.auth import check_permitted, find_token
from coven_action.emulator.call import Call, Operation
from coven_action.emulator.limits import build_rate_headers, count_request
from coven_action.emulator.routes import artifacts, checks, issues, people, pulls, repository
from coven_action.emulator.state import Token
from coven_action.emulator.world import World

OPERATIONS: Final[tuple[Operation, ...]] = (
    *people.OPERATIONS,
    *checks.OPERATIONS,  # before the repository's: `commits/{ref}/check-runs` is longer than `commits/{ref}`
    *issues.OPERATIONS,
    *pulls.OPERATIONS,
    *artifacts.OPERATIONS,
    *repository.OPERATIONS,
)


def build_rest_routes(world: World, operations: Iterable[Operation] = OPERATIONS) -> list[BaseRoute]:
    """Return the routes of the interface, below `/api`; everything else there is a 404 in JSON."""
    routes: list[BaseRoute] = [_build_route(world, operation) for operation in operations]
    unknown = Operation("*", "/{rest:path}", _refuse_unknown, anonymous=True)
    methods = ["GET", "POST", "PATCH", "PUT", "DELETE"]
    return [*routes, _build_route(world, unknown, methods)]


def _refuse_unknown(_call: Call) -> Answer:
    raise build_not_found()


def _build_route(world: World, operation: Operation, methods: list[str] | None = None) -> Route:
    async def endpoint(request: Request) -> Response:
        body = await request.body()
        return await run_in_threadpool(_answer, world, operation, request, body)

    return Route(f"/api{operation.path}", endpoint, methods=methods or [operation.method])


def _answer(world: World, operation: Operation, request: Request, body: bytes) -> Response:
    with world.lock:
        token: Token | None = None
        try:
            token = find_token(world, request.headers.get("authorization"))
            if request.url.path != "/api/rate_limit":
                count_request(token)
            result: Answer | ApiError = operation.handler(_build_call(world, operation, token, request, body))
        except ApiError as error:
            result = error
        return _write(world, token, result)


def _build_call(world: World, operation: Operation, token: Token | None, request: Request, body: bytes) -> Call:
    path = {name: str(value) for name, value in request.path_params.items()}
    repo = world.find_repository(path["owner"], path["repo"]) if "owner" in path else None
    if "owner" in path and repo is None:
        raise build_not_found()
    check_permitted(operation, token, repo)
    return Call(
        world=world,
        token=token,
        path=path,
        query=dict(request.query_params),
        body=_parse_body(body),
        accept=request.headers.get("accept", ""),
        url=f"{world.html_url}{request.scope['raw_path'].decode('latin-1')}",
        repo=repo,
    )


def _parse_body(body: bytes) -> Any:
    if not body:
        return None
    try:
        document = json.loads(body, parse_constant=_refuse_constant)
        json.dumps(document, ensure_ascii=False).encode()  # half a surrogate pair is no text, and no page could show it
    except (ValueError, RecursionError) as error:
        raise ApiError(400, "Problems parsing JSON") from error
    return document


def _refuse_constant(name: str) -> None:
    raise ValueError(name)


def _write(world: World, token: Token | None, result: Answer | ApiError) -> Response:
    headers = (
        build_rate_headers(world, token) | {"X-GitHub-Media-Type": "github.v3; format=json"} | dict(result.headers)
    )
    if isinstance(result, ApiError):
        return Response(json.dumps(result.document), result.status, headers, "application/json; charset=utf-8")
    if result.status == 204:  # noqa: PLR2004 - HTTP's "No Content"
        return Response(status_code=204, headers=headers)
    content = json.dumps(result.document).encode() if result.content is None else result.content
    return Response(content, result.status, headers, result.media_type)
