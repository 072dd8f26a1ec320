"""Let commands wait, and tenants take turns: whoever brings many keeps nobody waiting but for the commits under way.

For stores with one writer and with several. A tenant is served by one of them at a time, in the order in which its commands
came.
"""

import asyncio
import contextlib
import threading
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from coven_action.hosted.store.commands import Command, StoreUnavailable


@dataclass(slots=True)
class Waiting:
    """A command, and who waits for it.

    Args:
        command: What is to be done.
        loop: Of whoever waits.
        future: Takes the result.
        alone: Whether it gets a commit that its tenant shares with nobody.
    """

    command: Command[Any]
    loop: asyncio.AbstractEventLoop
    future: "asyncio.Future[Any]"
    alone: bool = False


class _Line:
    """Tenants that stand in a line, the next one first, and those who wait for one to come.

    Args:
        lock: Held whenever the line is looked at or changed.
    """

    def __init__(self, lock: threading.Lock) -> None:
        self.tenants: dict[int, None] = {}
        self.changed = threading.Condition(lock)

    def pop(self) -> int:
        """Take the first one out."""
        tenant_id = next(iter(self.tenants))
        del self.tenants[tenant_id]
        return tenant_id


class Turns:
    """Commands that wait, each tenant's in their order; the tenants take turns, however many one of them brings.

    Tenants with a few commands that only append stand in a line of their own: they are served together. While a tenant is
    served nobody else gets its next commands.

    Args:
        size: Commands that wait at most; what comes on top is told to come again.
        share: How many of them may be one tenant's.
        few: Up to how many commands of a tenant are served together with those of others.
    """

    def __init__(self, size: int, share: int, few: int = 0) -> None:
        self._size = size
        self._share = share
        self._few = few
        self._count = 0
        self._waiting: dict[int, deque[Waiting]] = {}
        self._served: set[int] = set()
        self._closed = False
        # Held whenever one of the above, or a line, is looked at or changed.
        self._lock = threading.Lock()
        # Of whom something waits and who is not being served, each in one of the two.
        self._own = _Line(self._lock)
        self._together = _Line(self._lock)

    def put(self, waiting: Waiting) -> None:
        """Let a command wait.

        Raises:
            StoreUnavailable: `store-closing`; `overloaded`: too many wait, or too many of its tenant's.
        """
        tenant_id = waiting.command.tenant_id
        with self._lock:
            if self._closed:
                raise StoreUnavailable("store-closing")
            queue = self._waiting.get(tenant_id, ())
            if self._count >= self._size or len(queue) >= self._share:
                raise StoreUnavailable("overloaded")
            self._waiting.setdefault(tenant_id, deque()).append(waiting)
            self._count += 1
            if tenant_id not in self._served:
                self._line_up(tenant_id)

    def take(self, most: int) -> list[Waiting]:
        """Wait for commands and return some of all tenants, one of each in turn; nothing once all is done and closed."""
        taken: list[Waiting] = []
        with self._lock:
            self._wait(self._own)
            while self._own.tenants and len(taken) < most:
                tenant_id = self._own.pop()
                taken += self._pop(tenant_id, 1)
                if tenant_id in self._waiting:
                    self._line_up(tenant_id)
        return taken

    @contextlib.contextmanager
    def serve(self, most: int) -> Iterator[list[Waiting]]:
        """Wait for a tenant and serve it within the block: yield its commands; none once all is done and closed."""
        with self._lock:
            self._wait(self._own)
            taken = self._pop(self._own.pop(), most) if self._own.tenants else []
            self._begin_turn(taken)
        try:
            yield taken
        finally:
            self._end_turn(taken)

    @contextlib.contextmanager
    def serve_together(self, most: int) -> Iterator[list[Waiting]]:
        """Wait for tenants and serve within the block as many as wait: yield the commands of all of them."""
        taken: list[Waiting] = []
        with self._lock:
            self._wait(self._together)
            while self._together.tenants and len(taken) < most:
                taken += self._pop(self._together.pop(), most - len(taken))
            self._begin_turn(taken)
        try:
            yield taken
        finally:
            self._end_turn(taken)

    def put_back(self, taken: Sequence[Waiting]) -> None:
        """Within the block, let some of the commands wait again, before all others of their tenants, to be served alone."""
        with self._lock:
            for each in reversed(taken):
                each.alone = True
                self._waiting.setdefault(each.command.tenant_id, deque()).appendleft(each)
            self._count += len(taken)

    def close(self) -> None:
        """Take no more. Whoever waits for commands gets those that are there, and then nothing."""
        with self._lock:
            self._closed = True
            self._wake_all()

    def _wait(self, line: _Line) -> None:
        # What is being served may be put back.
        while not line.tenants and not (self._closed and not self._count and not self._served):
            line.changed.wait()

    def _line_up(self, tenant_id: int) -> None:
        """Let a tenant stand where its commands belong; where it stands there already, it keeps its place."""
        queue = self._waiting[tenant_id]
        shares = len(queue) <= self._few and all(each.command.appending and not each.alone for each in queue)
        line, other = (self._together, self._own) if shares else (self._own, self._together)
        other.tenants.pop(tenant_id, None)
        line.tenants.setdefault(tenant_id)
        line.changed.notify()

    def _pop(self, tenant_id: int, most: int) -> list[Waiting]:
        queue = self._waiting[tenant_id]
        popped = [queue.popleft() for _ in range(min(len(queue), most))]
        self._count -= len(popped)
        if not queue:
            del self._waiting[tenant_id]
        return popped

    def _begin_turn(self, taken: Sequence[Waiting]) -> None:
        self._served.update(each.command.tenant_id for each in taken)

    def _end_turn(self, taken: Sequence[Waiting]) -> None:
        with self._lock:
            for tenant_id in dict.fromkeys(each.command.tenant_id for each in taken):
                self._served.remove(tenant_id)
                if tenant_id in self._waiting:
                    self._line_up(tenant_id)
            if self._closed:
                self._wake_all()

    def _wake_all(self) -> None:
        self._own.changed.notify_all()
        self._together.changed.notify_all()
