"""Put the endpoint together: routes, authentication, and one form for whatever goes wrong. Nothing is read at import."""

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import cache
from typing import Any, Final

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.routing import APIRoute
from starlette.exceptions import HTTPException
from starlette.responses import Response

from coven_action import __version__
from coven_action.hosted.admin_token import find_admin_token_sha256
from coven_action.hosted.authentication import Authentication
from coven_action.hosted.description import describe_api
from coven_action.hosted.disk import watch_disk
from coven_action.hosted.ended_sessions import EndedSessions
from coven_action.hosted.endpoint import Clock, Endpoint, Keys
from coven_action.hosted.http import BodyLimit
from coven_action.hosted.identifiers import Ids
from coven_action.hosted.metrics import Measuring
from coven_action.hosted.pacing import Pacer, Pacing
from coven_action.hosted.problems import Problem, explain_store
from coven_action.hosted.routes import accounts, health, memory, pages, runs
from coven_action.hosted.settings import Settings
from coven_action.hosted.shortcuts import Shortcuts
from coven_action.hosted.store.commands import KeyReused, Store, StoreUnavailable
from coven_action.hosted.sweeper import keep_sweeping

ROUTERS: Final = (health.router, runs.router, memory.router, accounts.router, pages.router)
log = logging.getLogger("coven_action.hosted")


def create_app(settings: Settings, *, store: Store, keys: Keys, clock: Clock, ids: Ids) -> FastAPI:
    """Return the endpoint as an ASGI application.

    Args:
        settings: What its operator decided.
        store: Its database, which the application closes when it is stopped.
        keys: What signs the heads of the audit logs, and verifies the tokens of runs.
        clock: Tells the time.
        ids: Makes tokens and ids.
    """
    endpoint = Endpoint(
        settings=settings,
        store=store,
        keys=keys,
        clock=clock,
        ids=ids,
        pacer=Pacer(settings.replicas),
        disk=watch_disk(settings.data, settings.min_free_disk_percent),
        ended=EndedSessions(settings.data),
    )

    @asynccontextmanager
    async def live(_: FastAPI) -> AsyncIterator[None]:
        endpoint.admin_token_sha256 = await store.read(0, find_admin_token_sha256)
        sweeping = asyncio.create_task(keep_sweeping(endpoint))
        yield
        sweeping.cancel()
        await asyncio.gather(sweeping, return_exceptions=True)
        await store.close()

    app = build_routes(lifespan=live)
    app.state.endpoint = endpoint
    for failure, handler in HANDLERS.items():
        app.add_exception_handler(failure, handler)
    # The last one added is the first to see a request.
    app.add_middleware(Pacing, endpoint=endpoint)
    app.add_middleware(Authentication, endpoint=endpoint)
    app.add_middleware(BodyLimit)
    app.add_middleware(Measuring, metrics=endpoint.metrics)
    return app


def _name_operation(route: APIRoute) -> str:
    return route.name


def build_routes(**options: Any) -> FastAPI:
    """Return an application with the endpoint's routes, which can describe itself but not answer yet."""
    app = FastAPI(
        title="Coven Action endpoint",
        version=__version__,
        docs_url=None,
        redoc_url=None,
        # A path that differs by a slash is another one: a redirect would repeat whatever Host the request names.
        redirect_slashes=False,
        generate_unique_id_function=_name_operation,
        **options,
    )
    app.router.routes.append(Shortcuts(route for router in ROUTERS for route in router.routes))
    for router in ROUTERS:
        app.include_router(router)
    # Built once: anybody may ask for it, and each time it would keep everybody else waiting for a tenth of a second.
    app.openapi = cache(lambda: describe_api(app))  # type: ignore[method-assign] # FastAPI's own way to replace it
    return app


async def _tell_problem(request: Request, error: Exception) -> Response:
    del request
    return error.respond() if isinstance(error, Problem) else Problem("internal-error").respond()


async def _tell_unavailable(request: Request, error: Exception) -> Response:
    del request
    return (explain_store(error) if isinstance(error, StoreUnavailable) else Problem("internal-error")).respond()


async def _tell_reuse(request: Request, error: Exception) -> Response:
    del request, error
    return Problem("idempotency-key-reused").respond()


async def _tell_parameters(request: Request, error: Exception) -> Response:
    del request
    mistakes = error.errors() if isinstance(error, RequestValidationError) else ()
    listed = [{"place": "/".join(str(part) for part in each["loc"]), "message": each["msg"]} for each in mistakes]
    return Problem("malformed-request", members={"mistakes": listed}).respond()


_BY_STATUS: Final = {404: "no-such-resource", 405: "method-not-allowed"}


async def _tell_http(request: Request, error: Exception) -> Response:
    del request
    if not isinstance(error, HTTPException):
        return Problem("internal-error").respond()
    code = _BY_STATUS.get(error.status_code, "internal-error")
    return Problem(code, headers=dict(error.headers or {})).respond()


async def _tell_fault(request: Request, error: Exception) -> Response:
    log.error("%s %s failed", request.method, request.url.path, exc_info=error)
    return Problem("internal-error").respond()


HANDLERS: Final[dict[int | type[Exception], Any]] = {
    Problem: _tell_problem,
    StoreUnavailable: _tell_unavailable,
    KeyReused: _tell_reuse,
    RequestValidationError: _tell_parameters,
    HTTPException: _tell_http,
    Exception: _tell_fault,
}
