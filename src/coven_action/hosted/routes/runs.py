"""Routes of runs: sessions, reports, events, ends, and what people see of them."""

from typing import Annotated

from fastapi import APIRouter, Path, Query, Request, Response

from coven_action.core.endpoint.wire import (
    DEFAULT_PAGE,
    MAX_PAGE,
    Admission,
    EventPage,
    EventsAccepted,
    EventsRequest,
    FinishRequest,
    RelayRequest,
    RelayVerdicts,
    Run,
    RunPage,
    RunReport,
    Session,
    SessionRequest,
)
from coven_action.core.oidc.authority import Action
from coven_action.core.oidc.tokens import TokenReason, TokenRefused
from coven_action.hosted.authentication import forget_session
from coven_action.hosted.http import (
    answer,
    describe,
    get_endpoint,
    get_person,
    get_run,
    read,
    read_document,
    read_key,
    write,
)
from coven_action.hosted.pacing import refuse_writing
from coven_action.hosted.problems import Problem, refuse_authentication
from coven_action.hosted.services import events, runs, sessions
from coven_action.hosted.services.relay import UNREADABLE, relay_envelopes, unseal_envelope
from coven_action.hosted.store.commands import Command, Reading
from coven_action.hosted.store.transaction import RunKey

router = APIRouter(prefix="/v1")
Limit = Annotated[int, Query(ge=1, le=MAX_PAGE)]
# A number that no database holds is refused before one is asked.
Number = Annotated[int, Path(ge=0, lt=2**63)]
_NO_CONTENT = 204
_CREATED = 201
_ACCEPTED = 202
FEW_EVENTS = 20
"""A request with more events gets a commit of its account's own, so that nobody else's waits for all of them."""


@router.post("/session", **describe(takes=SessionRequest, gives=Session, status=_CREATED))
async def open_session(request: Request) -> Response:
    """Open a session with an ID token of GitHub Actions."""
    endpoint = get_endpoint(request)
    try:
        verified = await endpoint.keys.tokens.verify(request.state.unverified_token)
        issuer_account = endpoint.keys.tokens.get_account(verified)
    except TokenRefused as refused:
        endpoint.note_refusal(refused)
        if refused.reason is TokenReason.KEYS_UNAVAILABLE:
            # Nothing is known about the token: the issuer could not be asked, and the same token may do a little later.
            raise Problem("issuer-unavailable", headers={"Retry-After": "10"}) from refused
        raise refuse_authentication() from refused
    document = await read_document(request, SessionRequest)
    admitted = await endpoint.store.read(0, lambda reading: sessions.admit(reading, verified, issuer_account))
    if endpoint.disk.is_low():
        raise refuse_writing()
    now, random = endpoint.clock(), endpoint.ids.token()
    session = await endpoint.store.write(
        Command(
            admitted.tenant_id,
            lambda transaction: sessions.open_session(
                transaction, admitted, document, random=random, now=now, signer=endpoint.keys.signer
            ),
        )
    )
    return answer(session, status=_CREATED)


@router.delete("/session", status_code=_NO_CONTENT, response_class=Response)
async def close_session(request: Request) -> Response:
    """End the session. It is worth nothing from then on; to end it twice is to end it once."""
    principal = get_run(request)
    endpoint = get_endpoint(request)
    await endpoint.store.write(
        Command(principal.tenant_id, lambda transaction: sessions.close_session(transaction, principal))
    )
    forget_session(endpoint, principal)
    return Response(status_code=_NO_CONTENT)


@router.put("/runs/self", **describe(takes=RunReport, gives=Admission))
async def report_run(request: Request) -> Response:
    """Report the session's run and ask whether it may work now."""
    return await write(request, get_run(request), await read_document(request, RunReport), runs.report_run)


@router.post("/runs/self/events", **describe(takes=EventsRequest, gives=EventsAccepted, status=_ACCEPTED))
async def append_events(request: Request) -> Response:
    """Append events to the session's run."""
    document = await read_document(request, EventsRequest)
    few = len(document.events) <= FEW_EVENTS
    return await write(request, get_run(request), document, events.append_events, status=_ACCEPTED, appending=few)


@router.post("/runs/self/finish", **describe(takes=FinishRequest, gives=Run))
async def finish_run(request: Request) -> Response:
    """End the session's run. Never refused for a cap."""
    return await write(request, get_run(request), await read_document(request, FinishRequest), runs.finish_run)


@router.post("/relay", **describe(takes=RelayRequest, gives=RelayVerdicts))
async def relay(request: Request) -> Response:
    """Hand over what earlier runs of the session's repository could not deliver; each envelope is a write of its own."""
    principal, endpoint = get_run(request), get_endpoint(request)
    document = await read_document(request, RelayRequest)
    read_key(request, document, "relay")  # asked for like on every write; the envelopes' own keys are what counts
    sealed = [unseal_envelope(each, endpoint.keys) for each in document.sealed]
    opened = [*document.envelopes, *(each for each in sealed if each is not None)]
    delivered = list(await relay_envelopes(endpoint.store, principal, opened))
    verdicts = delivered[: len(document.envelopes)]
    rest = iter(delivered[len(document.envelopes) :])
    verdicts += [next(rest) if each is not None else UNREADABLE for each in sealed]
    return answer(RelayVerdicts(verdicts=tuple(verdicts)))


@router.get("/runs", **describe(gives=RunPage))
async def list_runs(
    request: Request,
    before: Annotated[int | None, Query(ge=1, lt=2**63)] = None,
    limit: Limit = DEFAULT_PAGE,
    state: str | None = None,
    repository_id: Annotated[int | None, Query(ge=1, lt=2**63)] = None,
) -> Response:
    """Return the account's runs, newest first."""
    person = get_person(request, Action.VIEW)

    def work(reading: Reading) -> RunPage:
        return runs.list_runs(reading, before=before, limit=limit, state=state, repository_id=repository_id)

    return await read(request, person.tenant_id, work)


@router.get("/runs/{number}", **describe(gives=Run))
async def read_run(request: Request, number: Number) -> Response:
    """Return one run with its attempts."""
    person = get_person(request, Action.VIEW)
    return await read(request, person.tenant_id, lambda reading: runs.read_run(reading, number))


@router.get("/runs/{number}/events", **describe(gives=EventPage))
async def read_run_events(
    request: Request, number: Number, cursor: str | None = None, limit: Limit = DEFAULT_PAGE
) -> Response:
    """Return the events of one run."""
    person = get_person(request, Action.VIEW)
    after = events.parse_cursor(cursor)

    def work(reading: Reading) -> EventPage:
        run = runs.read_run(reading, number)
        return events.read_events(reading, after=after, limit=limit, run=RunKey(run.repository_id, run.run_id))

    return await read(request, person.tenant_id, work)


@router.get("/events", **describe(gives=EventPage))
async def read_events(request: Request, cursor: str | None = None, limit: Limit = DEFAULT_PAGE) -> Response:
    """Return the account's events after a cursor."""
    person = get_person(request, Action.VIEW)
    after = events.parse_cursor(cursor)
    return await read(request, person.tenant_id, lambda reading: events.read_events(reading, after=after, limit=limit))
