"""Hold each account, and each run, to its rate, and take no writes while the disk is nearly full.

Whoever asks more than their tier allows is told when to come again, before a byte of the request's body is read, and is
told slowly: who waits for an answer asks nothing else on that connection. What ends work, takes something back or shows it
to its owner is counted like the rest and answered all the same. And of each account only a few requests are worked on at a
time, the others wait at the door; so nobody else stands behind more than those, however many one account sends.

The buckets are this process's own. One in the database would cost every request a commit, to count what is refused by
the thousand; what has to be exact, the tasks of a day, is counted there. Several processes share a rate evenly when they
are told how many they are (`replicas`).
"""

import asyncio
import math
import re
import time
from collections import deque
from collections.abc import Callable, Hashable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from coven_action.core.endpoint.caps import Caps
from coven_action.core.endpoint.token_bucket import Bucket, build_flow, count_wait, fill, take
from coven_action.hosted.principals import Principal, RunPrincipal
from coven_action.hosted.problems import Problem
from coven_action.hosted.services.policies import read_caps
from coven_action.hosted.store.commands import Store, StoreUnavailable

if TYPE_CHECKING:
    from coven_action.hosted.endpoint import Endpoint

CAPS_SECONDS: Final = 60.0
"""How long an account's caps are taken for what they were."""
MAX_BUCKETS: Final = 50_000
READ_ONLY_SECONDS: Final = 60
PAUSE_SECONDS: Final = 0.5
"""How long a refusal for a rate is held back, about. A client of ours gives a stage two seconds in all."""
_GOLDEN: Final = (math.sqrt(5) - 1) / 2
AT_WORK: Final = 64
"""Requests of an account that are worked on at a time. One commit carries them all; with more, nothing was faster."""
MAX_HELD: Final = 512
"""Requests of an account that are held back or wait at the door, at most; what comes on top is refused at once."""
_UNLIMITED: Final = Caps()
_READS: Final = frozenset({"GET", "HEAD"})

# Every path of `core.endpoint.caps.NEVER_REFUSED`, and what it takes to get there: the relay carries ends of earlier runs.
_KEPT: Final = re.compile(
    r"/v1/(session|relay|runs/self/(finish|uses)|memory:revoke|memory/[^/]+:(revoke|approve|reject|erase)"
    r"|memory/[^/]+/uses|exports(/[^/]+)?|audit(/head)?)"
)
# What frees space, takes back, or hands an account its data.
_KEPT_ON_FULL_DISK: Final = re.compile(r"/v1/(memory:revoke|memory/[^/]+:(revoke|erase)|exports)")


def is_kept(path: str) -> bool:
    """Say whether a request is answered whatever its account has asked for before."""
    return _KEPT.fullmatch(path) is not None


def needs_space(method: str, path: str) -> bool:
    """Say whether a request is refused while the disk is nearly full."""
    return method not in _READS and _KEPT_ON_FULL_DISK.fullmatch(path) is None


class Pacer:
    """The buckets of this process, and what it knows of the accounts' caps.

    Args:
        replicas: How many processes share each rate.
        ticks: A clock in seconds that only goes on.
        pause: How long a refusal is held back, in seconds.
    """

    def __init__(
        self,
        replicas: int = 1,
        ticks: Callable[[], float] = time.monotonic,
        pause: float = PAUSE_SECONDS,
    ) -> None:
        self.door = Door()
        self._pause = pause
        self._refused = 0
        self._replicas = replicas
        self._ticks = ticks
        self._buckets: dict[Hashable, Bucket] = {}
        self._caps: dict[int, tuple[Caps, float]] = {}

    def take(self, principal: Principal, caps: Caps) -> float:
        """Take a token of whoever asks; return 0, or after how many seconds there will be one.

        A run that has used up its own rate takes nothing of its account's: its siblings have that.
        """
        now = self._ticks()
        rates: dict[Hashable, int | None] = {(principal.tenant_id,): caps.requests_per_minute}
        if isinstance(principal, RunPrincipal):
            rates[principal.tenant_id, *principal.run] = caps.run_requests_per_minute
        flows = {key: build_flow(rate, self._replicas) for key, rate in rates.items() if rate is not None}
        # What was asked for last stands last, so that what nobody asks for any more is the first to go.
        buckets = {key: fill(self._buckets.pop(key, None), flow, now) for key, flow in flows.items()}
        wait = max((count_wait(buckets[key], flow) for key, flow in flows.items()), default=0.0)
        self._buckets |= {key: take(bucket) if wait == 0 else bucket for key, bucket in buckets.items()}
        while len(self._buckets) > MAX_BUCKETS:
            self._buckets.pop(next(iter(self._buckets)))
        return wait

    def choose_pause(self) -> float:
        """Return how long the next refusal is held back.

        Never twice the same: what was refused together would come back together, and be a wave that others wait behind.
        Multiples of the golden ratio lie evenly in every interval, however many there are.
        """
        self._refused += 1
        return self._pause * (0.5 + self._refused * _GOLDEN % 1)

    async def find_caps(self, store: Store, tenant_id: int) -> Caps:
        """Return an account's caps, as they were within the last minute; none where the database cannot say.

        The request itself then meets the same database, and is told.
        """
        now = self._ticks()
        known = self._caps.get(tenant_id)
        if known is not None:
            if now - known[1] <= CAPS_SECONDS:
                return known[0]
            # Whoever comes meanwhile takes what is known: one reads for all.
            self._caps[tenant_id] = (known[0], now)
        try:
            caps = await store.read(tenant_id, read_caps)
        except StoreUnavailable:
            return known[0] if known is not None else _UNLIMITED
        self.note_caps(tenant_id, caps)
        return caps

    def want_caps(self, tenant_id: int) -> bool:
        """Say whether an account's caps are due soon, so that whoever reads something of it anyway reads them as well.

        A transaction for them alone costs more than they do, and with thousands of accounts there is always one due.
        """
        known = self._caps.get(tenant_id)
        return known is None or self._ticks() - known[1] > CAPS_SECONDS / 2

    def note_caps(self, tenant_id: int, caps: Caps) -> None:
        """Take an account's caps for what they are now."""
        self._caps.pop(tenant_id, None)
        while len(self._caps) >= MAX_BUCKETS:
            self._caps.pop(next(iter(self._caps)))
        self._caps[tenant_id] = (caps, self._ticks())


class Door:
    """Where the requests of an account wait while enough of them are worked on; first come, first served."""

    def __init__(self) -> None:
        self._working: dict[int, int] = {}
        self._waiting: dict[int, deque[asyncio.Future[None]]] = {}
        self._held: dict[int, int] = {}

    def is_full(self, tenant_id: int) -> bool:
        """Say whether as many of an account's requests wait here as may."""
        return self._held.get(tenant_id, 0) >= MAX_HELD

    @contextmanager
    def hold(self, tenant_id: int) -> Iterator[None]:
        """Count a request among those that wait."""
        self._held[tenant_id] = self._held.get(tenant_id, 0) + 1
        try:
            yield
        finally:
            self._held[tenant_id] -= 1
            if not self._held[tenant_id]:
                del self._held[tenant_id]

    async def enter(self, tenant_id: int) -> None:
        """Wait until an account's request may be worked on; `leave` has to follow."""
        working = self._working.get(tenant_id, 0)
        if working < AT_WORK:
            self._working[tenant_id] = working + 1
            return
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.setdefault(tenant_id, deque()).append(turn)
        try:
            with self.hold(tenant_id):
                await turn
        except asyncio.CancelledError:
            if turn.done() and not turn.cancelled():
                # The place was given to somebody who has just gone.
                self.leave(tenant_id)
            raise

    def leave(self, tenant_id: int) -> None:
        """Give the place to the next who waits."""
        waiting = self._waiting.get(tenant_id, ())
        while waiting:
            turn = waiting.popleft()
            if not waiting:
                del self._waiting[tenant_id]
            if not turn.done():
                turn.set_result(None)
                return
        self._working[tenant_id] -= 1
        if not self._working[tenant_id]:
            del self._working[tenant_id]


class Pacing:
    """Refuses what is too much, before it is read.

    Args:
        app: What comes after; `Authentication` comes before.
        endpoint: The deployment.
    """

    def __init__(self, app: ASGIApp, endpoint: "Endpoint") -> None:
        self._app = app
        self._endpoint = endpoint

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer 429, 503 or 507, or go on."""
        principal = scope.get("state", {}).get("principal")
        if principal is None:
            await self._app(scope, receive, send)
            return
        problem = await self._refuse(principal, scope["method"], scope["path"])
        if problem is None:
            await self._pass_on(principal.tenant_id, scope, receive, send)
        else:
            self._endpoint.metrics.requests_refused.labels(problem.code).inc()
            await problem.respond()(scope, receive, send)

    async def _refuse(self, principal: Principal, method: str, path: str) -> Problem | None:
        endpoint, pacer, tenant_id = self._endpoint, self._endpoint.pacer, principal.tenant_id
        caps = await pacer.find_caps(endpoint.store, tenant_id)
        wait, kept = pacer.take(principal, caps), is_kept(path)
        if wait > 0 and not kept:
            if not pacer.door.is_full(tenant_id):
                with pacer.door.hold(tenant_id):
                    await asyncio.sleep(pacer.choose_pause())
            return Problem("too-many-requests", headers={"Retry-After": str(math.ceil(wait))})
        if needs_space(method, path) and endpoint.disk.is_low():
            return refuse_writing()
        if pacer.door.is_full(tenant_id) and not kept:
            return Problem("overloaded", headers={"Retry-After": "1"})
        return None

    async def _pass_on(self, tenant_id: int, scope: Scope, receive: Receive, send: Send) -> None:
        """Let a request be worked on in its turn; what is still being sent when its answer has begun takes no turn."""
        door = self._endpoint.pacer.door
        await door.enter(tenant_id)
        left = False

        async def leave_and_send(message: Message) -> None:
            nonlocal left
            if not left:
                left = True
                door.leave(tenant_id)
            await send(message)

        try:
            await self._app(scope, receive, leave_and_send)
        finally:
            if not left:
                left = True
                door.leave(tenant_id)


def refuse_writing() -> Problem:
    """Return the answer to a write while the disk is nearly full."""
    return Problem("read-only", headers={"Retry-After": str(READ_ONLY_SECONDS)})
