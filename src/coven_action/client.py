"""A typed client of the endpoint, for runs and for people.

    from coven_action.client import Client

    with Client("https://coven.example.com") as client:
        session = client.open_session(id_token)
        client.report_run(report, key="…")

Every write takes the Idempotency-Key under which it may be repeated. Requests are bounded in time and answers in size;
redirects are not followed, since a token goes to the one server it is for.
"""

from collections.abc import Callable, Iterator, Mapping
from functools import partial
from types import TracebackType
from typing import Any, Final, Protocol, Self, TypeVar

import httpx
from pydantic import BaseModel, ValidationError

from coven_action.core.endpoint.meta import META_PATH, Meta
from coven_action.core.endpoint.wire import (
    MAX_PAGE,
    Admission,
    Bundle,
    BundleRequest,
    DecisionRequest,
    ErasurePage,
    ErasureReceipt,
    EventPage,
    EventsAccepted,
    EventsRequest,
    FinishRequest,
    Memory,
    MemoryPage,
    MemoryUse,
    MemoryUses,
    ProposalsRequest,
    ProposalVerdicts,
    RelayRequest,
    RelayVerdicts,
    Revoked,
    RevokeRequest,
    Run,
    RunPage,
    RunReport,
    Session,
    SessionRequest,
    UsesRecorded,
    UsesRequest,
    ValidationsRequest,
    ValidationVerdicts,
)
from coven_action.core.memory.grants import EndpointGrant
from coven_action.core.records import Record
from coven_action.errors import Error

M = TypeVar("M", bound=BaseModel)


class _Page(Protocol):
    """Some of what was asked for, and where the next ones begin."""

    @property
    def next(self) -> str | None: ...


P = TypeVar("P", bound=_Page)

MAX_ANSWER_BYTES: Final = 8 * 1024 * 1024
DEFAULT_TIMEOUT: Final = httpx.Timeout(10.0, connect=5.0)
# A redirect is none of the endpoint's answers: a token goes to the one server it is for.
_LEAST_FAILURE: Final = 300


class EndpointUnreachable(Error):
    """Raised when no answer came: no connection, a broken one, or the time was up."""


class EndpointUnreadable(Error):
    """Raised when an answer came that is none of the endpoint's documents: asking again would give it again."""


class EndpointRefused(Error):
    """Raised when the endpoint answered with a problem.

    Args:
        status: HTTP status.
        problem: Its code.
        detail: What it said.
        retry_after: Seconds after which a repetition may succeed; None where it named none.
    """

    def __init__(self, status: int, problem: str, detail: str, retry_after: int | None) -> None:
        super().__init__("endpoint-refused", f"The endpoint answered {status} {problem}: {detail}")
        self.status = status
        self.problem = problem
        self.retry_after = retry_after


class Client:
    """The endpoint at one address.

    Args:
        url: Its address, without a slash at the end.
        token: A session's or an administrator's; `open_session` sets it.
        tenant: Which account, where the token is an administrator's and there are several.
        timeout: For each request.
        transport: How requests travel; httpx's own where it is not given.
    """

    def __init__(
        self,
        url: str,
        *,
        token: str | None = None,
        tenant: str | None = None,
        timeout: httpx.Timeout = DEFAULT_TIMEOUT,
        transport: httpx.BaseTransport | None = None,
    ) -> None:
        self.url = url
        self._token = token
        self._tenant = tenant
        # Variables such as HTTPS_PROXY are honoured: a runner behind a proxy has no other way out.
        self._http = httpx.Client(
            base_url=url, timeout=timeout, transport=transport, follow_redirects=False, max_redirects=0
        )

    def __enter__(self) -> Self:
        """Return the client itself."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Close the connections."""
        self.close()

    def close(self) -> None:
        """Close the connections."""
        self._http.close()

    # --- for anybody

    def get_meta(self) -> Meta:
        """Return the public key that checks the endpoint's signatures; it takes no token."""
        return self._send("GET", META_PATH, Meta)

    # --- for runs

    def open_session(self, id_token: str, request: SessionRequest | None = None) -> Session:
        """Open a session with an ID token; the requests that follow carry the session's token."""
        session = self._send("POST", "/v1/session", Session, document=request or SessionRequest(), token=id_token)
        self._token = session.token
        return session

    def close_session(self) -> None:
        """End the session."""
        self._request("DELETE", "/v1/session", token=self._token)
        self._token = None

    def get_grant(self) -> EndpointGrant:
        """Return what the endpoint grants the session's run of memory."""
        return self._send("GET", "/v1/policy", EndpointGrant)

    def report_run(self, report: RunReport, *, key: str) -> Admission:
        """Report the session's run and ask whether it may work now."""
        return self._send("PUT", "/v1/runs/self", Admission, document=report, key=key)

    def append_events(self, request: EventsRequest, *, key: str) -> EventsAccepted:
        """Append events to the session's run."""
        return self._send("POST", "/v1/runs/self/events", EventsAccepted, document=request, key=key)

    def report_uses(self, request: UsesRequest, *, key: str) -> UsesRecorded:
        """Report the entries that the session's run has read or cited."""
        return self._send("POST", "/v1/runs/self/uses", UsesRecorded, document=request, key=key)

    def finish_run(self, request: FinishRequest, *, key: str) -> Run:
        """End the session's run."""
        return self._send("POST", "/v1/runs/self/finish", Run, document=request, key=key)

    def relay(self, request: RelayRequest, *, key: str) -> RelayVerdicts:
        """Hand over what earlier runs could not deliver."""
        return self._send("POST", "/v1/relay", RelayVerdicts, document=request, key=key)

    def fetch_bundle(self, request: BundleRequest, *, key: str) -> Bundle:
        """Return the entries that suit a task."""
        return self._send("POST", "/v1/memory/bundle", Bundle, document=request, key=key)

    def propose(self, request: ProposalsRequest, *, key: str) -> ProposalVerdicts:
        """Propose entries."""
        return self._send("POST", "/v1/memory/proposals", ProposalVerdicts, document=request, key=key)

    def validate(self, request: ValidationsRequest, *, key: str) -> ValidationVerdicts:
        """Report citations that hold, or no longer do."""
        return self._send("POST", "/v1/memory/validations", ValidationVerdicts, document=request, key=key)

    # --- for people

    def list_runs(self, **filters: str | int) -> RunPage:
        """Return the account's runs, newest first. Filters: before, limit, state, repository_id."""
        return self._send("GET", "/v1/runs", RunPage, parameters=filters)

    def get_run(self, number: int) -> Run:
        """Return one run."""
        return self._send("GET", f"/v1/runs/{number}", Run)

    def list_events(self, *, cursor: str | None = None, limit: int | None = None) -> EventPage:
        """Return the account's events after a cursor."""
        given = {"cursor": cursor, "limit": limit}
        return self._send(
            "GET", "/v1/events", EventPage, parameters={name: each for name, each in given.items() if each is not None}
        )

    def list_memory(self, **filters: str | int) -> MemoryPage:
        """Return entries. Filters: state, repository_id, query, cursor, limit."""
        return self._send("GET", "/v1/memory", MemoryPage, parameters=filters)

    def iterate_memory(self, **filters: str | int) -> Iterator[Memory]:
        """Yield every entry. Filters: state, repository_id, query."""
        for page in _iterate_pages(partial(self.list_memory, **filters)):
            yield from page.entries

    def get_memory(self, entry_id: str) -> Memory:
        """Return one entry."""
        return self._send("GET", f"/v1/memory/{entry_id}", Memory)

    def list_uses(self, entry_id: str, **filters: str | int) -> MemoryUses:
        """Return runs that were offered, have read or have cited an entry, newest first. Filters: cursor, limit."""
        return self._send("GET", f"/v1/memory/{entry_id}/uses", MemoryUses, parameters=filters)

    def iterate_uses(self, entry_id: str) -> Iterator[MemoryUse]:
        """Yield every run that was offered, has read or has cited an entry, newest first, however many there are."""
        for page in _iterate_pages(partial(self.list_uses, entry_id)):
            yield from page.uses

    def decide(self, entry_id: str, decision: str, request: DecisionRequest, *, revision: int, key: str) -> Memory:
        """Approve, reject, revoke, restore, edit, supersede or promote an entry as it was read."""
        return self._send(
            "POST",
            f"/v1/memory/{entry_id}:{decision}",
            Memory,
            document=request,
            key=key,
            headers={"If-Match": f'"{revision}"'},
        )

    def erase(self, entry_id: str, request: DecisionRequest, *, revision: int, key: str) -> ErasureReceipt:
        """Erase an entry with every wording it ever had; the receipt says what was done and what gaps are known."""
        return self._send(
            "POST",
            f"/v1/memory/{entry_id}:erase",
            ErasureReceipt,
            document=request,
            key=key,
            headers={"If-Match": f'"{revision}"'},
        )

    def list_erasures(self, **filters: str | int) -> ErasurePage:
        """Return the receipts of erasures, newest first. Filters: cursor, limit."""
        return self._send("GET", "/v1/erasures", ErasurePage, parameters=filters)

    def iterate_erasures(self) -> Iterator[ErasureReceipt]:
        """Yield the receipt of every erasure, newest first."""
        for page in _iterate_pages(self.list_erasures):
            yield from page.receipts

    def revoke_prefix(self, request: RevokeRequest, *, key: str) -> Revoked:
        """Revoke whatever lies under a prefix of canonical keys, or all that the account remembers.

        The answer shows the newest of the runs that had something of it, and how many uses there are.
        """
        return self._send("POST", "/v1/memory:revoke", Revoked, document=request, key=key)

    # --- how

    def _send(
        self,
        method: str,
        path: str,
        gives: type[M],
        *,
        document: Record | None = None,
        parameters: Mapping[str, str | int] | None = None,
        key: str | None = None,
        token: str | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> M:
        body = self._request(
            method,
            path,
            document=document,
            parameters=parameters,
            key=key,
            token=token or self._token,
            headers=headers,
        )
        try:
            return gives.model_validate_json(body)
        except ValidationError as error:
            raise EndpointUnreadable(
                "endpoint-unreadable", f"The answer to {method} {path} is no {gives.__name__}."
            ) from error

    def _request(
        self,
        method: str,
        path: str,
        *,
        document: Record | None = None,
        parameters: Mapping[str, str | int] | None = None,
        key: str | None = None,
        token: str | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> bytes:
        sent: dict[str, str] = {**(headers or {})}
        if token:
            sent["Authorization"] = f"Bearer {token}"
        if key:
            sent["Idempotency-Key"] = key
        if self._tenant:
            sent["Coven-Tenant"] = self._tenant
        if document is not None:
            sent["Content-Type"] = "application/json"
        content = document.model_dump_json().encode() if document is not None else None
        try:
            with self._http.stream(method, path, content=content, params=parameters, headers=sent) as response:
                body = _read_bounded(response)
        except httpx.HTTPError as error:
            # httpx's own words may quote the address with its parameters; the kind of failure is enough.
            raise EndpointUnreachable(
                "endpoint-unreachable", f"{method} {path}: no answer ({type(error).__name__})."
            ) from error
        if response.status_code >= _LEAST_FAILURE:
            raise _explain(response, body)
        return body


def _read_bounded(response: httpx.Response) -> bytes:
    body = bytearray()
    for chunk in response.iter_bytes():
        body += chunk
        if len(body) > MAX_ANSWER_BYTES:
            raise EndpointUnreadable("endpoint-unreadable", "The endpoint's answer is larger than an answer may be.")
    return bytes(body)


class _Problem(BaseModel):
    """A problem document, as far as the client reads it."""

    code: str = "unknown"
    detail: str = ""


def _explain(response: httpx.Response, body: bytes) -> EndpointRefused:
    try:
        problem = _Problem.model_validate_json(body)
    except ValidationError:
        problem = _Problem()
    return EndpointRefused(
        response.status_code,
        problem.code[:60],
        problem.detail[:300],
        _parse_seconds(response.headers.get("retry-after")),
    )


def _parse_seconds(text: Any) -> int | None:
    return int(text) if isinstance(text, str) and text.isascii() and text.isdigit() and len(text) < 7 else None  # noqa: PLR2004 up to eleven days


def _iterate_pages(ask: Callable[..., P]) -> Iterator[P]:
    """Ask for one page after the other until the last."""
    page = ask(limit=MAX_PAGE)
    yield page
    while page.next is not None:
        page = ask(limit=MAX_PAGE, cursor=page.next)
        yield page
