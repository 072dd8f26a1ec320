"""Who asks: looked up before anything else is done with a request.

A pure ASGI layer, so that a path that does not exist, one that is spelled oddly and a method that is not offered answer an
unauthenticated request like any other: 401, and the same body. What needs nobody's token is a list; everything else does.
"""

import hmac
import re
from datetime import timedelta
from typing import Final

from sqlalchemy import or_, select
from starlette.requests import HTTPConnection
from starlette.responses import Response
from starlette.types import ASGIApp, Receive, Scope, Send

from coven_action.core.configuration.endpoint_urls import LOOPBACK
from coven_action.core.endpoint.caps import Caps
from coven_action.core.endpoint.meta import META_PATH
from coven_action.core.oidc.authority import Role
from coven_action.core.records import sha256_hex
from coven_action.hosted.endpoint import Endpoint
from coven_action.hosted.pages import render_page
from coven_action.hosted.principals import PersonPrincipal, Principal, RunPrincipal, SessionDocument
from coven_action.hosted.problems import Problem, explain_store, refuse_authentication
from coven_action.hosted.services.policies import read_caps
from coven_action.hosted.store import schema
from coven_action.hosted.store.commands import Reading, StoreUnavailable
from coven_action.hosted.times import from_milliseconds

OPEN_PATHS: Final = frozenset({"/healthz", "/readyz", "/metrics", "/openapi.json", META_PATH})
"""What anybody may ask for: nothing of any tenant."""
PAGES: Final = "/runs/"
SESSION_PATH: Final = "/v1/session"
TENANT_HEADER: Final = "Coven-Tenant"
MAX_CACHED_SESSIONS: Final = 10_000
SESSION_TIME: Final = timedelta(minutes=15)
_LEEWAY: Final = timedelta(seconds=30)
# The tenant stands in the token so that its data can be looked up without looking at anybody else's.
_SESSION: Final = re.compile(r"cvs_([1-9][0-9]{0,9})_[A-Za-z0-9_-]{43}")
_ADMIN: Final = re.compile(r"cva_[A-Za-z0-9_-]{43}")
_BEARER: Final = re.compile(r"[Bb]earer +(\S+)")


def render_session_token(tenant_id: int, random: str) -> str:
    """Return a session's token."""
    return f"cvs_{tenant_id}_{random}"


def read_bearer(connection: HTTPConnection) -> str | None:
    """Return the token of an Authorization header; None where there is none, or more than one header."""
    headers = connection.headers.getlist("authorization")
    match = _BEARER.fullmatch(headers[0]) if len(headers) == 1 else None
    return match[1] if match else None


class Authentication:
    """Lets a request pass once it is known who asks; puts the principal into the request's state.

    `POST /v1/session` passes with whatever token it carries: opening the session is what verifies it.

    Args:
        app: What comes after.
        endpoint: The deployment.
    """

    def __init__(self, app: ASGIApp, endpoint: Endpoint) -> None:
        self._app = app
        self._endpoint = endpoint

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer 401, or go on."""
        if scope["type"] != "http" or scope["path"] in OPEN_PATHS:
            await self._app(scope, receive, send)
            return
        connection = HTTPConnection(scope)
        if scope["path"] == SESSION_PATH and scope["method"] == "POST":
            token = read_bearer(connection)
            if token is None:
                await refuse_authentication().respond()(scope, receive, send)
                return
            scope.setdefault("state", {})["unverified_token"] = token
            await self._app(scope, receive, send)
            return
        try:
            principal = await find_principal(self._endpoint, connection)
        except Problem as problem:
            await self._tell(problem, scope["path"])(scope, receive, send)
            return
        except StoreUnavailable as error:
            await explain_store(error).respond()(scope, receive, send)
            return
        scope.setdefault("state", {})["principal"] = principal
        await self._app(scope, receive, send)

    def _tell(self, problem: Problem, path: str) -> Response:
        """Return the refusal; in a browser a page that says how to look, the same one for every run there could be."""
        if problem.code != "not-authenticated" or not path.startswith(PAGES):
            return problem.respond()
        values = {"admin_url": self._endpoint.settings.admin_url}
        return render_page("sign_in", values, status=problem.status, headers=problem.headers)


async def find_principal(endpoint: Endpoint, connection: HTTPConnection) -> Principal:
    """Return who asks.

    Raises:
        Problem: `not-authenticated`, without a word about what was wrong; for a local administrator who named no tenant
            where there are several, `tenant-missing`.
    """
    token = read_bearer(connection)
    if token is None:
        raise refuse_authentication()
    match = _SESSION.fullmatch(token)
    if match is not None:
        return await _find_session(endpoint, int(match[1]), sha256_hex(token.encode()))
    if _ADMIN.fullmatch(token) and _is_admin(endpoint, connection, token):
        return await _find_admin(endpoint, connection.headers.get(TENANT_HEADER, ""))
    raise refuse_authentication()


async def _find_session(endpoint: Endpoint, tenant_id: int, token_sha256: str) -> RunPrincipal:
    while True:
        mark = _notice_ended(endpoint)
        # Another replica may have closed it since.
        if token_sha256 in endpoint.sessions and not endpoint.store.shared:
            break
        found = await _look_up(endpoint, tenant_id, token_sha256)
        if found is None:
            raise refuse_authentication()
        # What was read before sessions were ended is read again.
        if endpoint.ended.read() == mark:
            # Where it was closed while it was read, that it is closed stands there now.
            if endpoint.sessions.get(token_sha256, found) is not None:
                _remember(endpoint, token_sha256, found)
            break
    known = endpoint.sessions[token_sha256]
    if known is None:
        raise refuse_authentication()
    # A session that lasts longer than one may was opened before the clock was set back.
    if not timedelta(0) < known.expires_at - endpoint.clock() <= SESSION_TIME + _LEEWAY:
        endpoint.sessions.pop(token_sha256, None)
        raise refuse_authentication()
    return known


async def _look_up(endpoint: Endpoint, tenant_id: int, token_sha256: str) -> RunPrincipal | None:
    wanted = endpoint.pacer.want_caps(tenant_id)

    def work(reading: Reading) -> tuple[RunPrincipal | None, Caps | None]:
        found = _read_session(reading, token_sha256)
        return found, read_caps(reading) if wanted and found is not None else None

    found, caps = await endpoint.store.read(tenant_id, work)
    if caps is not None:
        endpoint.pacer.note_caps(tenant_id, caps)
    return found


def _notice_ended(endpoint: Endpoint) -> tuple[int, int]:
    """Forget every session that is at hand if somebody else has ended sessions; return the mark that this holds for."""
    mark = endpoint.ended.read()
    if mark != endpoint.ended_before:
        endpoint.sessions.clear()
        endpoint.ended_before = mark
    return mark


def forget_session(endpoint: Endpoint, principal: RunPrincipal) -> None:
    """Let a closed session be worth nothing, also to a request that has just read it as open."""
    _remember(endpoint, principal.token_sha256, None)


def _remember(endpoint: Endpoint, token_sha256: str, principal: RunPrincipal | None) -> None:
    while len(endpoint.sessions) >= MAX_CACHED_SESSIONS:
        endpoint.sessions.pop(next(iter(endpoint.sessions)))
    endpoint.sessions[token_sha256] = principal


def _read_session(reading: Reading, token_sha256: str) -> RunPrincipal | None:
    columns = schema.sessions.c
    row = reading.fetch_one(
        select(columns.document, columns.expires_at).where(
            columns.tenant_id == reading.tenant_id,
            columns.token_sha256 == token_sha256,
            columns.closed_at.is_(None),
        )
    )
    if row is None:
        return None
    document = SessionDocument.model_validate(row.document)
    return RunPrincipal(reading.tenant_id, document, token_sha256, from_milliseconds(row.expires_at))


def _is_admin(endpoint: Endpoint, connection: HTTPConnection, token: str) -> bool:
    known = endpoint.admin_token_sha256
    near = _is_near(endpoint, connection)
    return near and bool(known) and hmac.compare_digest(known, sha256_hex(token.encode()))


def _is_near(endpoint: Endpoint, connection: HTTPConnection) -> bool:
    """Whether whoever asks does so from this machine, and not through a proxy that makes it listen to the world."""
    if connection.client is None or connection.client.host not in LOOPBACK:
        return False
    if endpoint.settings.is_local:
        return True
    # The address of the socket that took the connection, as the server tells it: no header has a part in it.
    host, port = connection.scope.get("server") or ("", None)
    return host in LOOPBACK and port == endpoint.settings.admin_port


async def _find_admin(endpoint: Endpoint, named: str) -> PersonPrincipal:
    tenants = await endpoint.store.read(0, lambda reading: _read_tenants(reading, named))
    if len(tenants) != 1:
        raise Problem("tenant-missing")
    return PersonPrincipal(tenants[0], Role.ADMIN, "admin")


def _read_tenants(reading: Reading, named: str) -> list[int]:
    columns = schema.tenants.c
    statement = select(columns.tenant_id).limit(2)
    if named:
        number = int(named) if re.fullmatch(r"[0-9]{1,18}", named) else -1
        statement = statement.where(or_(columns.account_login == named, columns.tenant_id == number))
    return [row.tenant_id for row in reading.fetch_all(statement)]
