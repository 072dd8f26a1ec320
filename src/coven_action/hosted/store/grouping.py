"""What every store does with commands: do the work of a group within one transaction, and tell everybody.

What fails fails alone: a command that raises, or that the database refuses, leaves nothing, and the others of its group
are committed. What the database itself cannot do fails for the whole group, and nobody is told that it is done.
"""

import asyncio
import contextlib
from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Any, Protocol, TypeVar

from sqlalchemy import Connection
from sqlalchemy.exc import DBAPIError

from coven_action.hosted.store.commands import Command, KeyReused, StoreUnavailable
from coven_action.hosted.store.transaction import Group, Reply, Transaction
from coven_action.hosted.store.turns import Waiting

T = TypeVar("T")
Clock = Callable[[], datetime]


Outcome = tuple[Waiting, Any, BaseException | None]


class Failures(Protocol):
    """What the failures of a database mean."""

    def is_shared(self, error: DBAPIError) -> bool:
        """Say whether a failure is the database's, and so everybody's; otherwise it is that of one statement."""
        ...

    def has_ended(self, connection: Connection) -> bool:
        """Say whether the transaction takes no more statements, although no savepoint was left to go back to."""
        ...


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
