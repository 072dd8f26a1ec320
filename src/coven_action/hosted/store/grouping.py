"""What every store does with commands: let tenants take turns, do the work of a group within one transaction, tell everybody.

What fails fails alone: a command that raises, or that the database refuses, leaves nothing, and the others of its group
are committed. What the database itself cannot do fails for the whole group, and nobody is told that it is done.
"""

import asyncio
import contextlib
import threading
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Protocol, TypeVar

from sqlalchemy import Connection
from sqlalchemy.exc import DBAPIError

from coven_action.hosted.store.commands import Command, KeyReused, StoreUnavailable
from coven_action.hosted.store.transaction import Group, Reply, Transaction

T = TypeVar("T")
Clock = Callable[[], datetime]


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


Outcome = tuple[Waiting, Any, BaseException | None]


class Failures(Protocol):
    """What the failures of a database mean."""

    def is_shared(self, error: DBAPIError) -> bool:
        """Say whether a failure is the database's, and so everybody's; otherwise it is that of one statement."""
        ...

    def has_ended(self, connection: Connection) -> bool:
        """Say whether the transaction takes no more statements, although no savepoint was left to go back to."""
        ...


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


def drop_cancelled(waiting: Sequence[Waiting]) -> list[Waiting]:
    """Leave out whom nobody waits for any more: that has not begun, and does not begin."""
    return [each for each in waiting if not each.future.cancelled()]


def commit_group(
    waiting: Sequence[Waiting],
    attempt: Callable[[Sequence[Waiting]], list[Outcome]],
    failures: Failures,
    explain: Callable[[DBAPIError], StoreUnavailable],
) -> list[Outcome]:
    """Commit a group, or as much of it as can be written.

    Args:
        waiting: The commands.
        attempt: Does them in one transaction and commits it.
        failures: Of the database.
        explain: Returns what a failure of the database means to whoever asked.
    """
    try:
        return attempt(waiting)
    except DBAPIError as error:
        # Nothing of the group is in the database: nobody is told that it is.
        if failures.is_shared(error):
            explained = explain(error)
            return [(each, None, explained) for each in waiting]
        failure: Exception = error
    except Exception as error:  # noqa: BLE001 the writer outlives whatever a command brings
        failure = error
    if len(waiting) == 1:
        return [(waiting[0], None, failure)]
    # The rows of one of them could not be written with the group's: halving finds it, and commits the others.
    middle = len(waiting) // 2
    return [
        *commit_group(waiting[:middle], attempt, failures, explain),
        *commit_group(waiting[middle:], attempt, failures, explain),
    ]


def run_group(
    connection: Connection, now: datetime, waiting: Sequence[Waiting], failures: Failures, *, shared: bool = False
) -> list[Outcome]:
    """Do the work of a group within one transaction; each result is to be told once that is committed.

    Args:
        connection: In that transaction.
        now: The moment of all of them.
        waiting: The commands.
        failures: Of the database.
        shared: Whether tenants share it who have nothing to do with one another. Whom somebody else serves just now is then
            not waited for: no outcome tells of its commands, which are not begun.

    Raises:
        Exception: The rows of the group could not be written, and nothing of it may be committed.
    """
    commands = [each.command for each in waiting]
    group = Group(
        connection,
        now,
        tenants=(command.tenant_id for command in commands),
        free_only=shared,
        keys=((command.tenant_id, command.idempotency) for command in commands if command.idempotency),
        runs=((command.tenant_id, command.run) for command in commands if command.run),
    )
    outcomes: list[Outcome] = []
    for each in waiting:
        if shared and each.command.tenant_id not in group.heads:
            continue
        try:
            outcomes.append((each, run_command(group, each.command, failures), None))
        except Exception as error:
            if isinstance(error, DBAPIError) and (failures.is_shared(error) or failures.has_ended(connection)):
                raise
            outcomes.append((each, None, error))
    group.flush()
    return outcomes


def run_command(group: Group, command: Command[T], failures: Failures) -> T:
    """Do one command's work, or tell again what it answered before."""
    key = command.idempotency
    if key is not None and (earlier := group.find_reply(command.tenant_id, key)) is not None:
        fingerprint, reply = earlier
        if fingerprint != key.fingerprint:
            raise KeyReused
        return reply  # type: ignore[return-value] # a command with a key returns a reply
    transaction = Transaction(group, command.tenant_id, appending=command.appending)
    try:
        result = command.work(transaction)
        if key is not None and isinstance(result, Reply):
            transaction.store_reply(key, result)
        transaction.finish()
    except DBAPIError as error:
        # The whole transaction may be gone, and with it the savepoint; the group ends in any case.
        if not failures.is_shared(error):
            transaction.abandon()
        raise
    except BaseException:
        transaction.abandon()
        raise
    return result


def deliver(outcomes: Sequence[Outcome]) -> None:
    """Tell everybody who waits, with one call into each event loop."""
    by_loop: dict[asyncio.AbstractEventLoop, list[Outcome]] = {}
    for outcome in outcomes:
        by_loop.setdefault(outcome[0].loop, []).append(outcome)
    for loop, told in by_loop.items():
        with contextlib.suppress(RuntimeError):  # the loop has ended, and with it whoever waited
            loop.call_soon_threadsafe(_resolve, told)


def _resolve(outcomes: Sequence[Outcome]) -> None:
    for waiting, result, error in outcomes:
        if waiting.future.done():
            continue
        if error is not None:
            waiting.future.set_exception(error)
        else:
            waiting.future.set_result(result)
