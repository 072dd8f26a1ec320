"""Routes of an account's administrators: audit, exports, usage, repositories."""

import itertools
from collections.abc import AsyncIterator, Iterator
from typing import Annotated

from fastapi import APIRouter, Path, Query, Request, Response
from starlette.concurrency import iterate_in_threadpool, run_in_threadpool
from starlette.responses import StreamingResponse

from coven_action.core.endpoint.wire import DEFAULT_PAGE, MAX_PAGE, AuditHead
from coven_action.core.oidc.authority import Action
from coven_action.hosted.http import describe, get_endpoint, get_person, read, read_document, write
from coven_action.hosted.principals import PersonPrincipal
from coven_action.hosted.services import audit, enrolment, exports, usage
from coven_action.hosted.store.transaction import Transaction

router = APIRouter(prefix="/v1")
Day = Annotated[str, Query(pattern=r"^[0-9]{4}-[0-9]{2}-[0-9]{2}$")]
RepositoryId = Annotated[int, Path(ge=1, lt=2**63)]
_CREATED = 201
_LINES = "application/x-ndjson"


@router.get("/audit", **describe(gives=audit.AuditPage))
async def read_audit(
    request: Request,
    after: Annotated[int, Query(ge=0, lt=2**63)] = 0,
    limit: Annotated[int, Query(ge=1, le=MAX_PAGE)] = DEFAULT_PAGE,
) -> Response:
    """Return the account's audit log."""
    person = get_person(request, Action.VIEW)
    return await read(request, person.tenant_id, lambda reading: audit.read_audit(reading, after=after, limit=limit))


@router.get("/audit/head", **describe(gives=AuditHead))
async def read_head(request: Request) -> Response:
    """Return the newest head of the audit log, signed."""
    person, signer = get_person(request, Action.VIEW), get_endpoint(request).keys.signer
    return await read(request, person.tenant_id, lambda reading: audit.read_head(reading, signer))


@router.post("/exports", **describe(takes=exports.ExportRequest, gives=exports.ExportReceipt, status=_CREATED))
async def request_export(request: Request) -> Response:
    """Ask for an export of the account's data. Never refused for a cap."""
    person, export_id = get_person(request, Action.EXPORT), get_endpoint(request).ids.new("exp")

    def service(
        transaction: Transaction, asking: PersonPrincipal, document: exports.ExportRequest
    ) -> exports.ExportReceipt:
        return exports.request_export(transaction, asking, document, export_id=export_id)

    return await write(request, person, await read_document(request, exports.ExportRequest), service, status=_CREATED)


@router.get("/exports/{export_id}", response_class=StreamingResponse, responses={200: {"content": {_LINES: {}}}})
async def read_export(request: Request, export_id: str) -> Response:
    """Return an export that was asked for: JSON lines, as of now, with a manifest at the end."""
    person, endpoint = get_person(request, Action.EXPORT), get_endpoint(request)
    await endpoint.store.read(person.tenant_id, lambda reading: exports.check_export(reading, export_id))
    lines = endpoint.store.stream(
        person.tenant_id, lambda reading: exports.iterate_export(reading, endpoint.keys.signer)
    )
    # Whether there is a connection for it shows with the first line, and has to show before the status is sent.
    first = await run_in_threadpool(next, lines)
    return StreamingResponse(_as_async(itertools.chain((first,), lines)), media_type=_LINES)


def _as_async(lines: Iterator[bytes]) -> AsyncIterator[bytes]:
    return iterate_in_threadpool(lines)


@router.get("/usage", **describe(gives=usage.UsagePage))
async def read_usage(request: Request, since: Day, until: Day, group: str = "day") -> Response:
    """Return what the account has used. `group` is a list with commas: installation, repo, familiar, task, day."""
    person = get_person(request, Action.VIEW)
    groups = [name for name in group.split(",") if name]
    return await read(
        request,
        person.tenant_id,
        lambda reading: usage.read_usage(reading, groups=groups, since=since, until=until),
    )


@router.put("/tenants/self/repositories", **describe(takes=enrolment.RepositoryEnrolment, gives=enrolment.EnrolledAs))
async def enrol_repository(request: Request) -> Response:
    """Enrol a repository of the account, or change what is given of it; what is left out stays as it was."""
    person = get_person(request, Action.POLICY)
    document = await read_document(request, enrolment.RepositoryEnrolment)
    return await write(request, person, document, enrolment.enrol_by_person)


@router.post(
    "/repositories/{repository_id}:suspend", **describe(takes=enrolment.StatusChange, gives=enrolment.EnrolledAs)
)
async def suspend_repository(request: Request, repository_id: RepositoryId) -> Response:
    """Refuse every run of a repository until it is released, those with an open session too."""
    return await _change_status(request, repository_id, "suspended")


@router.post(
    "/repositories/{repository_id}:release", **describe(takes=enrolment.StatusChange, gives=enrolment.EnrolledAs)
)
async def release_repository(request: Request, repository_id: RepositoryId) -> Response:
    """Admit the runs of a repository again."""
    return await _change_status(request, repository_id, "enrolled")


async def _change_status(request: Request, repository_id: int, status: str) -> Response:
    person = get_person(request, Action.POLICY)

    def service(
        transaction: Transaction, asking: PersonPrincipal, document: enrolment.StatusChange
    ) -> enrolment.EnrolledAs:
        return enrolment.change_status(transaction, asking.actor, repository_id, status, document.reason)

    done = await write(request, person, await read_document(request, enrolment.StatusChange), service)
    get_endpoint(request).ended.note()
    return done
