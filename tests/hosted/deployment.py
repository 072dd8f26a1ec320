"""A deployment for tests: a real store in a file, the real application, real tokens; clock and ids are the test's.

Tests stay synchronous: one `asyncio.Runner` runs the store's and the application's coroutines.
"""

import asyncio
import base64
import hashlib
import itertools
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Final, Self

import httpx
from fastapi import FastAPI
from sqlalchemy import insert

from coven_action.core.endpoint.wire import RunReport, SessionScopes
from coven_action.core.oidc.authority import Role
from coven_action.hosted.app import create_app
from coven_action.hosted.endpoint import Keys
from coven_action.hosted.oidc import Issuer, TokenVerifier
from coven_action.hosted.pacing import Pacer
from coven_action.hosted.principals import PersonPrincipal, RunPrincipal, SessionDocument
from coven_action.hosted.services.enrolment import (
    RepositoryEnrolment,
    TenantEnrolment,
    enrol_repository,
    enrol_tenant,
)
from coven_action.hosted.services.runs import report_run
from coven_action.hosted.settings import Settings
from coven_action.hosted.signing import SigningKey
from coven_action.hosted.store import schema
from coven_action.hosted.store.commands import Command, Store
from tests.identity_tokens import ISSUER, get_key, make_claims, sign

ADMIN_TOKEN: Final = "cva_" + "a" * 43
LOCAL_URL: Final = "http://127.0.0.1:8766"
"""Where the application is reached, which is also the audience of its tokens. Local, so that the administrator's is good."""
LOOPBACK: Final = ("127.0.0.1", 50_000)
_counter: Final = itertools.count(1)


class SettableClock:
    """Tells the time it was told."""

    def __init__(self, moment: datetime) -> None:
        self.moment = moment

    def __call__(self) -> datetime:
        return self.moment

    def advance(self, **length: float) -> None:
        """Let time pass: `advance(minutes=15)`; a negative length sets the clock back."""
        self.moment += timedelta(**length)


class CountedIds:
    """Ids in the order in which they were asked for; of the same form as the real ones."""

    def __init__(self) -> None:
        self.count = 0

    def token(self) -> str:
        self.count += 1
        digest = hashlib.sha256(str(self.count).encode()).digest()
        return base64.urlsafe_b64encode(digest).rstrip(b"=").decode()

    def new(self, prefix: str) -> str:
        self.count += 1
        return f"{prefix}_{self.count:024x}"


@dataclass
class Deployment:
    """A store, and the application over it, with one issuer whose tokens are accepted."""

    runner: asyncio.Runner
    store: Store
    clock: SettableClock
    ids: CountedIds
    settings: Settings
    signer: SigningKey

    def build_app(self) -> FastAPI:
        tokens = TokenVerifier([Issuer(ISSUER)], audience=LOCAL_URL, fetch=answer_keys, clock=self.clock)
        app = create_app(
            self.settings, store=self.store, keys=Keys(self.signer, tokens), clock=self.clock, ids=self.ids
        )
        # A minute between any two requests: nobody is held to a rate but where a test means it.
        app.state.endpoint.pacer = Pacer(ticks=itertools.count(step=60).__next__)
        return app

    def write(self, tenant_id: int, work: Callable[..., Any], **more: Any) -> Any:
        """Do one piece of work in the store; `idempotency` and `run` as `Command` takes them."""
        return self.runner.run(self.store.write(Command(tenant_id, work, **more)))

    def read(self, tenant_id: int, work: Callable[..., Any]) -> Any:
        return self.runner.run(self.store.read(tenant_id, work))

    def enrol(self, account_id: int, login: str, repository_id: int, name: str, **recorded: Any) -> int:
        """Enrol an account with one repository (more of it by calling again), and return the tenant's id."""
        tenant = TenantEnrolment(issuer=ISSUER, account_id=account_id, account_login=login)
        tenant_id = self.write(0, lambda transaction: enrol_tenant(transaction, tenant)).tenant_id
        repository = RepositoryEnrolment(
            **{
                "repository_id": repository_id,
                "owner": login,
                "name": name,
                "visibility": "private",
                "default_branch": "main",
                **recorded,
            }
        )
        self.write(tenant_id, lambda transaction: enrol_repository(transaction, "admin", repository))
        return tenant_id

    def report(self, principal: RunPrincipal, **changes: Any) -> Any:
        """Report a run without HTTP, so that it is there; return the admission."""
        session = principal.session.model_dump()
        report = RunReport.model_validate_json(json.dumps(make_report(session, **changes)))
        return self.write(principal.tenant_id, lambda transaction: report_run(transaction, principal, report))

    def make_admin(self) -> None:
        """Record `ADMIN_TOKEN` as the local administrator's; before the application starts."""
        digest = hashlib.sha256(ADMIN_TOKEN.encode()).hexdigest()
        row = insert(schema.deployment).values(name="admin_token_sha256", value=digest)
        self.write(0, lambda transaction: transaction.execute(row))


class Client:
    """Sends requests to the started application. A fault of its own reaches the test as the exception it was.

    Args:
        app: The application.
        runner: Runs it while a request is answered.
        address: From where the requests come, host and port.
    """

    def __init__(self, app: FastAPI, runner: asyncio.Runner, address: tuple[str, int] = LOOPBACK) -> None:
        self.app = app
        self._runner = runner
        transport = httpx.ASGITransport(app, client=address)
        self._client = httpx.AsyncClient(transport=transport, base_url=LOCAL_URL)
        self._life = app.router.lifespan_context(app)

    def __enter__(self) -> Self:
        self._runner.run(self._life.__aenter__())
        return self

    def __exit__(self, *_: object) -> None:
        self._runner.run(self._client.aclose())
        self._runner.run(self._life.__aexit__(None, None, None))

    def request(self, method: str, path: str, **more: Any) -> httpx.Response:
        """Send a request (`json`, `content`, `headers`, `params` as in httpx) and return the answer."""
        return self._runner.run(self._client.request(method, path, **more))

    def get(self, path: str, **more: Any) -> httpx.Response:
        return self.request("GET", path, **more)

    def post(self, path: str, **more: Any) -> httpx.Response:
        return self.request("POST", path, **more)

    def put(self, path: str, **more: Any) -> httpx.Response:
        return self.request("PUT", path, **more)

    def delete(self, path: str, **more: Any) -> httpx.Response:
        return self.request("DELETE", path, **more)


async def answer_keys(url: str) -> bytes:
    """Answer as the issuer does whose keys are `identity_tokens.get_key`."""
    if url.endswith("/openid-configuration"):
        return json.dumps({"issuer": ISSUER, "jwks_uri": f"{ISSUER}/.well-known/jwks"}).encode()
    return json.dumps({"keys": [get_key().public]}).encode()


def make_run(
    tenant_id: int,
    *,
    repository_id: int = 1001,
    run_id: int = 7001,
    attempt: int = 1,
    tier: str = "T1",
    scopes: Mapping[str, Any] | None = None,
    expires_at: datetime | None = None,
    **said: Any,
) -> RunPrincipal:
    """Return a run as authentication would, without a session in the database.

    Args:
        scopes: Take the place of what a T1 run of a private repository may do.
        said: Take the place of the session's other values.
    """
    allowed = {"read": "repo", "tenant_shared": False, "propose": True, "validate_entries": tier == "T2", "reason": ""}
    document = SessionDocument(
        **{
            "repository_id": repository_id,
            "run_id": run_id,
            "run_attempt": attempt,
            "event_name": "issues",
            "actor_id": 77,
            "visibility": "private",
            "tier": tier,
            "scopes": SessionScopes(**(allowed | dict(scopes or {}))),
            **said,
        }
    )
    return RunPrincipal(tenant_id, document, "0" * 64, expires_at or datetime(9999, 1, 1, tzinfo=UTC))


def make_person(tenant_id: int, role: Role = Role.ADMIN, name: str = "person:77") -> PersonPrincipal:
    return PersonPrincipal(tenant_id, role, name)


def make_token(now: datetime, **claims: Any) -> str:
    """Return an ID token that was signed ten seconds ago, for run 22259804324 of acme/billing unless the claims differ."""
    seconds = int(now.timestamp())
    moments = {"iat": seconds - 10, "nbf": seconds - 610, "exp": seconds + 290}
    jti = hashlib.sha256(repr((seconds, sorted(claims.items()), next(_counter))).encode()).hexdigest()
    return sign(make_claims(**({**moments, "aud": LOCAL_URL, "jti": jti, "environment": ...} | claims)))


def open_session(client: Client, now: datetime, **claims: Any) -> "OpenedSession":
    """Open a session with a fresh token; ids of GitHub are texts, as in the claims: `run_id="5"`."""
    answer = client.post("/v1/session", headers={"Authorization": f"Bearer {make_token(now, **claims)}"}, json={})
    assert answer.status_code == 201, answer.text
    return OpenedSession(client, answer.json())


class OpenedSession:
    """A run's session: requests with its token, and a fresh idempotency key where none is given.

    Attributes:
        document: What opening it answered.
    """

    def __init__(self, client: Client, document: dict[str, Any]) -> None:
        self.document = document
        self._client = client

    @property
    def headers(self) -> dict[str, str]:
        return {"Authorization": f"Bearer {self.document['token']}"}

    def send(self, method: str, path: str, document: Any = None, *, key: str | None = None, **more: Any) -> Any:
        """Send a request and return the answer, whatever its status."""
        headers = {**self.headers, "Idempotency-Key": key or f"key-{next(_counter)}", **more.pop("headers", {})}
        return self._client.request(method, path, json=document, headers=headers, **more)

    def report(self, **changes: Any) -> Any:
        """Report the run, with a thread of its own, and return the answer."""
        return self.send("PUT", "/v1/runs/self", make_report(self.document, **changes))

    def append(self, *texts: str, key: str | None = None) -> Any:
        """Append one event for each text, and return the answer."""
        listed = [{"type": "note", "at": "2026-11-21T12:00:00Z", "data": {"text": text}} for text in texts]
        return self.send("POST", "/v1/runs/self/events", {"events": listed}, key=key)


def make_report(session: Mapping[str, Any], **changes: Any) -> dict[str, Any]:
    """Return what a run of this session reports, as JSON."""
    report = {
        "attempt": session["run_attempt"],
        "event_name": "issues",
        "thread": f"issue-{session['run_id']}",
        "familiar": "sage",
        "task_kind": "fix",
        "trust_scope": "collaborator",
        "memory_policy": make_policy(session["repository_id"]),
        "lease_seconds": 600,
        "requested_at": "2026-11-21T12:00:00Z",
    }
    return report | changes


def make_policy(repository_id: int, **changes: Any) -> dict[str, Any]:
    """Return a memory policy block that grants reading and proposing for the repository, as JSON."""
    policy = {
        "enabled": True,
        "tenant_scope": {"account_id": 501, "account_login": "acme"},
        "repo_scope": {
            "repository_id": repository_id,
            "owner": "acme",
            "name": "billing",
            "visibility": "private",
            "default_branch": "main",
        },
        "branch_scope": {"base_ref": "main", "head_ref": "coven/issue-1", "same_repository": True},
        "trust_scope": "collaborator",
        "read_scopes": ["repo"],
        "write_scopes": ["repo"],
        "shareable_only": False,
        "reason": "memory is on",
    }
    return policy | changes


class Bridge(httpx.BaseTransport):
    """Carries the requests of our own client to the started application.

    Args:
        client: Of the application.
    """

    def __init__(self, client: Client) -> None:
        self._client = client
        self.fails = False

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        """Send a request on; a bridge that fails answers nothing."""
        if self.fails:
            raise httpx.ConnectError("nobody answers")
        answer = self._client.request(
            request.method, request.url.raw_path.decode(), content=request.read(), headers=dict(request.headers)
        )
        return httpx.Response(answer.status_code, headers=answer.headers, content=answer.content)
