"""Ask an endpoint a few things without changing anything: for `doctor`, which tells what is wrong with the connection too."""

import http.client
import ssl
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Final
from urllib.parse import urlsplit

from coven_action.core.workflows.endpoint_doctor import Reply
from coven_action.errors import EnvironmentFault

MAX_BODY: Final = 4 * 1024 * 1024


class EndpointProbe:
    """An endpoint that is looked at; each question is a connection of its own.

    Args:
        url: Its address, https, or http on this machine.
        timeout: Seconds for each step of a connection.

    Attributes:
        certificate_ends: When the certificate that it last showed stops to hold; None without TLS.
    """

    def __init__(self, url: str, *, timeout: float) -> None:
        parts = urlsplit(url)
        self._host = parts.hostname or ""
        self._port = parts.port
        self._folder = parts.path.rstrip("/")
        self._timeout = timeout
        self._context = ssl.create_default_context() if parts.scheme == "https" else None
        self.certificate_ends: datetime | None = None

    def ask(self, path: str, headers: Mapping[str, str] | None = None) -> Reply:
        """Return what GET of a path is answered; redirects are not followed.

        Raises:
            EnvironmentFault: `endpoint-unreachable`: there is no answer, or none in HTTP.
        """
        connection = self._connect()
        try:
            connection.request(
                "GET", f"{self._folder}{path}", headers={"Accept": "application/json", **(headers or {})}
            )
            self._note_certificate(connection)
            answer = connection.getresponse()
            return Reply(status=answer.status, date=answer.getheader("Date", ""), body=answer.read(MAX_BODY))
        except (OSError, http.client.HTTPException) as error:
            raise EnvironmentFault("endpoint-unreachable", str(error) or type(error).__name__) from error
        finally:
            connection.close()

    def _connect(self) -> http.client.HTTPConnection:
        if self._context is None:
            return http.client.HTTPConnection(self._host, self._port, timeout=self._timeout)
        return http.client.HTTPSConnection(self._host, self._port, timeout=self._timeout, context=self._context)

    def _note_certificate(self, connection: http.client.HTTPConnection) -> None:
        socket = connection.sock
        if isinstance(socket, ssl.SSLSocket):
            ends = (socket.getpeercert() or {}).get("notAfter")
            if isinstance(ends, str):
                self.certificate_ends = datetime.fromtimestamp(ssl.cert_time_to_seconds(ends), UTC)
