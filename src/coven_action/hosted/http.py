"""Between HTTP and the services: bodies in, documents out, and the headers that every write shares. No rules here."""

import re
from collections.abc import Callable
from functools import cache
from typing import Any, Final, TypeVar

from pydantic import TypeAdapter, ValidationError
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from coven_action.core.endpoint.wire import MAX_BODY_BYTES
from coven_action.core.oidc.authority import Action, Role, may_act
from coven_action.core.records import Record
from coven_action.hosted.endpoint import Endpoint
from coven_action.hosted.fingerprints import build_fingerprint, name_keys
from coven_action.hosted.principals import PersonPrincipal, RunPrincipal
from coven_action.hosted.problems import Problem
from coven_action.hosted.store.commands import Command, IdempotencyKey, Reading, Reply, Transaction

D = TypeVar("D", bound=Record)
P = TypeVar("P", RunPrincipal, PersonPrincipal)

TAKES: Final = "x-takes"
"""Under which a route names its body's document, until `description` puts the schema there."""
TAKEN: Final[dict[str, type[Record]]] = {}
"""The documents that routes take, by name."""
KEY_HEADER: Final = "Idempotency-Key"
REPLAYED_HEADER: Final = "Idempotency-Replayed"
MAX_LISTED_MISTAKES: Final = 20
_KEY: Final = re.compile(r"[\x21-\x7e]{1,100}")
_OK: Final = 200


class BodyLimit:
    """Refuses a body that is larger than any route takes, whatever its Content-Length says.

    Args:
        app: What comes after.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Count what arrives."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        received = 0

        async def count() -> Message:
            nonlocal received
            message = await receive()
            received += len(message.get("body", b""))
            if received > MAX_BODY_BYTES:
                raise Problem("body-too-large", headers={"Connection": "close"})
            return message

        await self._app(scope, count, send)


def get_endpoint(request: Request) -> Endpoint:
    """Return the deployment that answers a request."""
    endpoint: Endpoint = request.app.state.endpoint
    return endpoint


def get_run(request: Request) -> RunPrincipal:
    """Return the run that asks.

    Raises:
        Problem: `not-permitted`: it is a person.
    """
    principal = request.state.principal
    if not isinstance(principal, RunPrincipal):
        raise Problem("not-permitted", "Only a run with a session may ask for this.")
    return principal


def get_person(request: Request, action: Action) -> PersonPrincipal:
    """Return the person who asks.

    Raises:
        Problem: `not-permitted`: it is a run, or a person whose role does not allow the action.
    """
    principal = request.state.principal
    if not isinstance(principal, PersonPrincipal) or not may_act(principal.role, action):
        role = next(role for role in Role if may_act(role, action))
        raise Problem("not-permitted", f"Only a person with the role {role} may ask for this.")
    return principal


@cache
def _get_adapter(model: type[D]) -> "TypeAdapter[D]":
    return TypeAdapter(model)


async def read_document(request: Request, model: type[D]) -> D:
    """Return the request's body as a document.

    Raises:
        Problem: `malformed-request` with the list of mistakes, `body-too-large`, `unsupported-media-type`.
    """
    declared = request.headers.get("content-type", "application/json").partition(";")[0].strip().lower()
    if declared != "application/json":
        raise Problem("unsupported-media-type")
    body = await request.body()
    try:
        document: D = _get_adapter(model).validate_json(body or b"{}")
    except ValidationError as error:
        raise explain_mistakes(error) from error
    return document


def explain_mistakes(error: ValidationError) -> Problem:
    """Return what is wrong with a document: the places and the rules, never the values."""
    mistakes = [
        {"place": "/".join(str(part) for part in each["loc"]), "message": each["msg"]}
        for each in error.errors(include_url=False, include_input=False, include_context=False)[:MAX_LISTED_MISTAKES]
    ]
    return Problem("malformed-request", members={"mistakes": mistakes})


def read_key(request: Request, document: Record, route: str) -> IdempotencyKey:
    """Return the idempotency key of a write.

    The fingerprint covers what the request asks for and not how it is spelled: the path, the precondition and the
    document, with its keys in order.

    Raises:
        Problem: `idempotency-key-missing`.
    """
    key = request.headers.get(KEY_HEADER, "")
    if not _KEY.fullmatch(key):
        raise Problem("idempotency-key-missing")
    precondition = request.headers.get("if-match", "")
    fingerprint = build_fingerprint(request.scope["path"], precondition, document)
    return IdempotencyKey(name_keys(route, request.state.principal.actor), key, fingerprint)


def answer(document: Record, *, status: int = _OK, headers: dict[str, str] | None = None) -> Response:
    """Return a document as the answer."""
    return Response(document.model_dump_json().encode(), status, headers, "application/json")


async def write(
    request: Request,
    principal: P,
    document: D,
    service: Callable[[Transaction, P, D], Record],
    *,
    status: int = _OK,
    appending: bool = False,
) -> Response:
    """Do a write once, however often it is asked for, and return its answer.

    Args:
        request: Carries the Idempotency-Key.
        principal: Who asks; the work is on the data of their tenant.
        document: What for.
        service: Does it and returns the answer's document.
        status: Of the answer.
        appending: Whether the service has no statement of its own.
    """

    def work(transaction: Transaction) -> Reply:
        return Reply(status, service(transaction, principal, document).model_dump_json().encode())

    key = read_key(request, document, request.scope["route"].name)
    run = principal.run if isinstance(principal, RunPrincipal) else None
    command = Command(principal.tenant_id, work, key, run, appending)
    reply = await get_endpoint(request).store.write(command)
    headers = {REPLAYED_HEADER: "true"} if reply.replayed else None
    return Response(reply.body, reply.status, headers, "application/json")


async def read(request: Request, tenant_id: int, service: Callable[[Reading], Record]) -> Response:
    """Return what a service reads."""
    return answer(await get_endpoint(request).store.read(tenant_id, service))


def describe(
    *, takes: type[Record] | None = None, gives: type[Record] | None = None, status: int = _OK, **more: Any
) -> dict[str, Any]:
    """Return what the OpenAPI description says of a route, for its decorator.

    Args:
        takes: The body's document.
        gives: The answer's document.
        status: Of the answer.
        more: Passed on.
    """
    described: dict[str, Any] = {"status_code": status, "response_class": Response, **more}
    if gives is not None:
        described["responses"] = {status: {"model": gives}}
    if takes is not None:
        TAKEN[takes.__name__] = takes
        described["openapi_extra"] = {TAKES: takes.__name__}
    return described
