"""What the endpoint counts about itself, for Prometheus. No label names a tenant, a repository or a person."""

import time
from typing import Final

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.exposition import CONTENT_TYPE_LATEST
from starlette.types import ASGIApp, Message, Receive, Scope, Send

CONTENT_TYPE: Final = CONTENT_TYPE_LATEST
_BUCKETS: Final = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5)
# A path that is no route's could be anything; it is counted and not repeated.
_NO_ROUTE: Final = "none"


class Metrics:
    """The counters of one deployment."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.requests = Counter(
            "coven_requests", "Requests answered.", ("method", "route", "status"), registry=self.registry
        )
        self.seconds = Histogram(
            "coven_request_seconds", "Time to answer.", ("route",), buckets=_BUCKETS, registry=self.registry
        )
        self.refusals = Counter(
            "coven_tokens_refused", "ID tokens that opened no session, by reason.", ("reason",), registry=self.registry
        )
        self.meter_differences = Counter(
            "coven_meter_differences", "Counters of use that differ from the audit log.", registry=self.registry
        )
        self.sweep_failures = Counter(
            "coven_sweep_failures", "Accounts that a sweep could not take; the log says why.", registry=self.registry
        )
        self.requests_refused = Counter(
            "coven_requests_refused",
            "Requests refused before they were read, by reason.",
            ("reason",),
            registry=self.registry,
        )
        self.disk_free = Gauge(
            "coven_disk_free_ratio", "Free share of the database's disk, 0 to 1.", registry=self.registry
        )
        self.read_only = Gauge(
            "coven_read_only", "1 while writes are refused since the disk is nearly full.", registry=self.registry
        )
        self.store_troubles = Gauge(
            "coven_store_troubles", "What of the database wants an operator; the log says what.", registry=self.registry
        )
        self.sessions = Gauge("coven_sessions_cached", "Open sessions at hand.", registry=self.registry)

    def render(self) -> bytes:
        """Return everything as Prometheus reads it."""
        return generate_latest(self.registry)


class Measuring:
    """Counts and times every request.

    Args:
        app: What comes after.
        metrics: Where to.
    """

    def __init__(self, app: ASGIApp, metrics: Metrics) -> None:
        self._app = app
        self._metrics = metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        started, status = time.perf_counter(), 500

        async def note(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        try:
            await self._app(scope, receive, note)
        finally:
            route = getattr(scope.get("route"), "path", _NO_ROUTE)
            self._metrics.requests.labels(scope["method"], route, status).inc()
            self._metrics.seconds.labels(route).observe(time.perf_counter() - started)
