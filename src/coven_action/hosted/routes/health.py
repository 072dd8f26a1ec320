"""Routes for whoever runs the endpoint: whether it lives, whether it can work, and what it signs with."""

from fastapi import APIRouter, Request, Response

from coven_action.core.endpoint.meta import META_PATH, Meta
from coven_action.core.endpoint.wire import Wire
from coven_action.hosted.http import answer, get_endpoint
from coven_action.hosted.metrics import CONTENT_TYPE
from coven_action.hosted.problems import Problem, explain_store

router = APIRouter()


class Health(Wire):
    """That it works."""

    status: str


@router.get("/healthz", include_in_schema=False)
async def healthz() -> Response:
    """Answer as long as the process lives."""
    return answer(Health(status="alive"))


@router.get("/metrics", include_in_schema=False)
async def metrics(request: Request) -> Response:
    """Return what the endpoint counts about itself, as Prometheus reads it; nothing of any tenant."""
    endpoint = get_endpoint(request)
    endpoint.metrics.sessions.set(len(endpoint.sessions))
    endpoint.metrics.disk_free.set(endpoint.disk.free)
    endpoint.metrics.read_only.set(endpoint.disk.is_low())
    return Response(endpoint.metrics.render(), media_type=CONTENT_TYPE)


@router.get("/readyz", include_in_schema=False)
async def readyz(request: Request) -> Response:
    """Answer 200 where the database can be read and nobody is stopping the endpoint; say whether it takes writes.

    That it is being stopped is said at once; what the database answered is repeated for a second.
    """
    endpoint = get_endpoint(request)
    if endpoint.draining:
        raise Problem("store-closing")
    trouble = await endpoint.readiness.find_trouble(endpoint.store, endpoint.clock)
    if trouble is not None:
        raise explain_store(trouble)
    return answer(Health(status="read-only" if endpoint.disk.is_low() else "ready"))


@router.get(META_PATH, response_model=Meta)
async def get_meta(request: Request) -> Response:
    """Return the public key that checks the endpoint's signatures, and those that did before.

    Anybody may ask: who holds an export checks it with a key that did not come with it.
    """
    return answer(get_endpoint(request).keys.describe())
