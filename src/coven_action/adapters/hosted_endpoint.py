"""One stage's conversation with the endpoint: short, bounded, and never a reason for the job to fail by itself.

All tries of a stage together have two seconds; once they are used up, or a server cannot be found, nothing more is tried in
this job. What could not be delivered and another try may mend goes into the outbox under the key it will always have.
"""

import random
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final, TypeVar

import httpx

from coven_action.client import Client, EndpointRefused, EndpointUnreachable
from coven_action.core.endpoint.outbox import is_worth_keeping
from coven_action.core.endpoint.relaying import REFUSAL_STATUSES
from coven_action.core.endpoint.wire import (
    Admission,
    AuditHead,
    Bundle,
    BundleRequest,
    EnvelopeKind,
    RelayRequest,
    RelayVerdicts,
    RunReport,
    Session,
    SessionRequest,
    ValidationsRequest,
    ValidationVerdicts,
)
from coven_action.core.memory.grants import EndpointGrant
from coven_action.core.records import Record
from coven_action.core.redaction.redactor import Redactor
from coven_action.core.redaction.values import CoverDoesNotFit, redact_record
from coven_action.errors import DocumentError, Error

R = TypeVar("R")
D = TypeVar("D", bound=Record)

CONNECT_SECONDS: Final = 0.5
STAGE_SECONDS: Final = 2.0
"""For all tries of a stage together."""
FIRST_PAUSE: Final = 0.1
"""Before the second try; each further one waits about twice as long."""


@dataclass(frozen=True, slots=True)
class Patience:
    """How long is waited, and for what.

    Args:
        connect_seconds: For a connection.
        stage_seconds: For all tries of the stage together.
        monotonic: A clock that never goes back.
        sleep: Waits.
        jitter: A number from 0 to 1, so that the runs of a morning do not all come back at once.
    """

    connect_seconds: float = CONNECT_SECONDS
    stage_seconds: float = STAGE_SECONDS
    monotonic: Callable[[], float] = time.monotonic
    sleep: Callable[[float], None] = time.sleep
    jitter: Callable[[], float] = random.random


class HostedEndpoint:
    """The endpoint as a stage sees it.

    Args:
        url: Its address, which is also the audience of the ID token.
        request_token: Asks GitHub for an ID token for an audience.
        redactor: Covers secrets in whatever is sent.
        keep: Takes what could not be delivered: kind, idempotency key, document. Returns whether it is kept.
        patience: How long is waited.
        transport: How requests travel; httpx's own where it is not given.
    """

    def __init__(
        self,
        url: str,
        *,
        request_token: Callable[[str], str],
        redactor: Redactor,
        keep: Callable[[EnvelopeKind, str, Record], bool],
        patience: Patience | None = None,
        transport: httpx.BaseTransport | None = None,
    ) -> None:
        self._url = url
        self._request_token = request_token
        self._redactor = redactor
        self._keep = keep
        self._patience = patience or Patience()
        self._transport = transport
        self._left = self._patience.stage_seconds
        self._client: Client | None = None
        self._trouble: Error | None = None

    def open(self, witness: AuditHead | None) -> Session:
        """Open a session for this stage.

        Raises:
            Error: GitHub gave no ID token, or the endpoint could not be reached or refused the session.
        """
        id_token = self._request_token(self._url)
        timeout = httpx.Timeout(self._patience.stage_seconds, connect=self._patience.connect_seconds)
        client = Client(self._url, timeout=timeout, transport=self._transport)
        # The token's jti is what makes this write once-only: after a lost answer a second try is refused, and told so.
        request = self._cover(SessionRequest(witness=witness))
        session = self._try(lambda: client.open_session(id_token, request))
        self._client = client
        return session

    def get_grant(self) -> EndpointGrant:
        """Return what the endpoint grants the run of memory.

        Raises:
            Error: The endpoint could not be reached or refused the request.
        """
        return self._try(lambda: self._opened().get_grant())

    def wait(self, seconds: int) -> None:
        """Let time pass; it is not counted among the stage's tries."""
        self._patience.sleep(seconds)

    def report(self, report: RunReport, key: str) -> Admission:
        """Report the run and ask whether it may work now.

        Raises:
            Error: The endpoint could not be reached or refused the report.
        """
        return self._send(report, lambda client, covered: client.report_run(covered, key=key))

    def fetch_bundle(self, request: BundleRequest, key: str) -> Bundle:
        """Return the entries that suit a task.

        Raises:
            Error: The endpoint could not be reached or refused the request.
        """
        return self._send(request, lambda client, covered: client.fetch_bundle(covered, key=key))

    def validate(self, request: ValidationsRequest, key: str) -> ValidationVerdicts:
        """Report whether entries hold at a commit.

        Raises:
            Error: The endpoint could not be reached or refused the report.
        """
        return self._send(request, lambda client, covered: client.validate(covered, key=key))

    def relay(self, request: RelayRequest, key: str) -> RelayVerdicts:
        """Hand over what earlier runs could not deliver.

        Raises:
            DocumentError: `envelope-refused`: the endpoint refuses what the request holds, whoever sends it.
            Error: The endpoint could not be reached or refused the request for now.
        """
        try:
            # Covered before they were kept. What is sealed, or is JSON inside a text, would be spoiled by covering it again.
            return self._try(lambda: self._opened().relay(request, key=key))
        except EndpointRefused as error:
            if error.status in REFUSAL_STATUSES:
                raise DocumentError("envelope-refused", error.message) from error
            raise

    def deliver(self, kind: EnvelopeKind, document: Record, key: str) -> Record | None:
        """Deliver a write of the run; return the answer, None where it was kept for a later run.

        Raises:
            Error: It was refused, or could be neither delivered nor kept.
        """
        covered = self._cover(document)
        try:
            return self._try(lambda: _ROUTES[kind](self._opened(), covered, key))
        except (EndpointUnreachable, EndpointRefused) as error:
            status = error.status if isinstance(error, EndpointRefused) else None
            if is_worth_keeping(status) and self._keep(kind, key, covered):
                return None
            raise

    def close(self) -> None:
        """End the session where one is open; whether that is heard makes no difference, since it ends by itself."""
        if self._client is None:
            return
        try:
            self._try(self._client.close_session)
        except Error:
            self._trouble = None  # a session that nobody ended is worth nothing in a quarter of an hour
        self._client.close()
        self._client = None

    def _opened(self) -> Client:
        if self._client is None:
            raise self._trouble or EndpointUnreachable("endpoint-unreachable", "No session is open.")
        return self._client

    def _send(self, document: D, ask: Callable[[Client, D], R]) -> R:
        """Send a document, covered."""
        covered = self._cover(document)
        return self._try(lambda: ask(self._opened(), covered))

    def _cover(self, document: D) -> D:
        """Cover the secrets in a document; where it is none any more without them, nothing of it is sent or kept.

        Raises:
            Error: `endpoint-not-told`.
        """
        try:
            return redact_record(document, self._redactor)
        except CoverDoesNotFit as error:
            raise Error("endpoint-not-told", f"{type(document).__name__}: {error}.") from error

    def _try(self, ask: Callable[[], R]) -> R:
        """Ask until there is an answer, or until the stage's time is used up; then nothing more is tried."""
        pause = FIRST_PAUSE
        while True:
            if self._trouble is not None:
                raise self._trouble
            started = self._patience.monotonic()
            try:
                return ask()
            except (EndpointUnreachable, EndpointRefused) as error:
                if isinstance(error, EndpointRefused) and not is_worth_keeping(error.status):
                    raise
                self._left -= self._patience.monotonic() - started
                named = error.retry_after if isinstance(error, EndpointRefused) else None
                pause = max(pause * (0.5 + self._patience.jitter()), named or 0)
                if self._left <= pause:
                    self._trouble = error
                    raise
            self._left -= pause
            self._patience.sleep(pause)
            pause *= 2


def _finish(client: Client, document: Record, key: str) -> Record:
    return client.finish_run(document, key=key)  # type: ignore[arg-type] # the table below pairs kinds with documents


def _report(client: Client, document: Record, key: str) -> Record:
    return client.report_run(document, key=key)  # type: ignore[arg-type] # as above


def _append(client: Client, document: Record, key: str) -> Record:
    return client.append_events(document, key=key)  # type: ignore[arg-type] # as above


def _use(client: Client, document: Record, key: str) -> Record:
    return client.report_uses(document, key=key)  # type: ignore[arg-type] # as above


def _propose(client: Client, document: Record, key: str) -> Record:
    return client.propose(document, key=key)  # type: ignore[arg-type] # as above


_ROUTES: Final[Mapping[EnvelopeKind, Callable[[Client, Record, str], Record]]] = {
    "report": _report,
    "events": _append,
    "uses": _use,
    "proposals": _propose,
    "finish": _finish,
}
