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
    """A command, and who waits for it."""

    command: Command[Any]
    loop: asyncio.AbstractEventLoop
    future: "asyncio.Future[Any]"


Outcome = tuple[Waiting, Any, BaseException | None]


class Failures(Protocol):
    """What the failures of a database mean."""

    def is_shared(self, error: DBAPIError) -> bool:
        """Say whether a failure is the database's, and so everybody's; otherwise it is that of one statement."""
        ...

    def has_ended(self, connection: Connection) -> bool:
        """Say whether the transaction takes no more statements, although no savepoint was left to go back to."""
        ...


class Turns:
    """Commands that wait, each tenant's in their order; the tenants take turns, however many one of them brings.

    Args:
        size: Commands that wait at most; what comes on top is told to come again.
        share: How many of them may be one tenant's.
    """

    def __init__(self, size: int, share: int) -> None:
        self._size = size
        self._share = share
        self._count = 0
        self._waiting: dict[int, deque[Waiting]] = {}
        # Tenants of whom something waits and who are not being served, the next one first.
        self._ready: deque[int] = deque()
        self._served: set[int] = set()
        self._closed = False
        # Held whenever one of the above is looked at or changed.
        self._changed = threading.Condition()

    def put(self, waiting: Waiting) -> None:
        """Let a command wait.

        Raises:
            StoreUnavailable: `store-closing`; `overloaded`: too many wait, or too many of its tenant's.
        """
        tenant_id = waiting.command.tenant_id
        with self._changed:
            if self._closed:
                raise StoreUnavailable("store-closing")
            queue = self._waiting.get(tenant_id)
            if self._count >= self._size or (queue is not None and len(queue) >= self._share):
                raise StoreUnavailable("overloaded")
            if queue is None:
                queue = self._waiting[tenant_id] = deque()
                if tenant_id not in self._served:
                    self._ready.append(tenant_id)
            queue.append(waiting)
            self._count += 1
            self._changed.notify()

    def take(self, most: int) -> list[Waiting]:
        """Wait for commands and return some of all tenants, one of each in turn; nothing once all is done and closed."""
        taken: list[Waiting] = []
        with self._changed:
            self._wait()
            while self._ready and len(taken) < most:
                tenant_id = self._ready.popleft()
                taken += self._pop(tenant_id, 1)
                if tenant_id in self._waiting:
                    self._ready.append(tenant_id)
        return taken

    @contextlib.contextmanager
    def serve(self, most: int) -> Iterator[list[Waiting]]:
        """Wait for commands and yield those of the tenant whose turn it is; until the block ends nobody else gets its next."""
        taken: list[Waiting] = []
        with self._changed:
            self._wait()
            if self._ready:
                tenant_id = self._ready.popleft()
                taken = self._pop(tenant_id, most)
                self._served.add(tenant_id)
        try:
            yield taken
        finally:
            if taken:
                self._end_turn(taken[0].command.tenant_id)

    def close(self) -> None:
        """Take no more. Whoever waits for commands gets those that are there, and then nothing."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()

    def _wait(self) -> None:
        while not self._ready and not (self._closed and not self._count):
            self._changed.wait()

    def _pop(self, tenant_id: int, most: int) -> list[Waiting]:
        queue = self._waiting[tenant_id]
        popped = [queue.popleft() for _ in range(min(len(queue), most))]
        self._count -= len(popped)
        if not queue:
            del self._waiting[tenant_id]
        return popped

    def _end_turn(self, tenant_id: int) -> None:
        with self._changed:
            self._served.discard(tenant_id)
            if tenant_id in self._waiting:
                self._ready.append(tenant_id)
            # Also for those who wait for the end.
            self._changed.notify_all()


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


def run_group(connection: Connection, now: datetime, waiting: Sequence[Waiting], failures: Failures) -> list[Outcome]:
    """Do the work of a group within one transaction; each result is to be told once that is committed.

    Raises:
        Exception: The rows of the group could not be written, and nothing of it may be committed.
    """
    commands = [each.command for each in waiting]
    group = Group(
        connection,
        now,
        tenants=(command.tenant_id for command in commands),
        keys=((command.tenant_id, command.idempotency) for command in commands if command.idempotency),
        runs=((command.tenant_id, command.run) for command in commands if command.run),
    )
    outcomes: list[Outcome] = []
    for each in waiting:
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
    transaction = Transaction(group, command.tenant_id)
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
