"""The database of many replicas: PostgreSQL, where each commit carries commands of one tenant, or events of several.

A command is acknowledged once the commit that carries it is on the server's disk (`synchronous_commit` on, whatever the
server's default). Every commit first takes the tenant's row in `heads`: the commits of one tenant follow one another, from
whichever replica they come, so that its sequences have no gap and what one read the next one sees. Those of different
tenants go side by side, on a few connections that the tenants take in turn: who floods the endpoint holds one of them at a
time, and no other tenant waits for more than the commits that are under way.

Commands that only append are the most by far, and one connection is theirs: where each of thousands of tenants brings one,
a single commit carries all of them. Such a commit waits for nobody. Whom somebody else serves just now falls out of it and
gets a commit of its own, so that no tenant ever waits for another one's work, and no two commits for each other.

Reads are transactions that change nothing and see one moment. What the database refuses or loses is told as 503, with the
seconds after which to come again; connections are made anew by themselves. A connection that broke is noticed by the
next statement; what has not reached its commit is then done once more, since nobody was told anything. Where it breaks at
the commit itself, nobody can know: the client asks again with the same idempotency key, and gets the one answer.

An export is read for as long as whoever asked takes to load it. Such reads have connections of their own, few: who comes
on top is told to come again, and nobody's other reads wait for them.

Every connection holds a lock for as long as it lives, which all of them share. A command that must be alone (a move, a
restore) holds it by itself: it begins only where nobody is connected, and until it ends nobody else gets a connection.

Who sees what is decided by `tenancy`; who may connect, by `postgresql_checks`.
"""

import asyncio
import logging
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, contextmanager
from typing import Any, Final, Literal, TypeVar

import psycopg
from psycopg.pq import TransactionStatus
from pydantic_core import from_json
from sqlalchemy import URL, Connection, Engine, create_engine, event
from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError
from sqlalchemy.pool import QueuePool

from coven_action.hosted.store.commands import Command, Reading, StoreUnavailable
from coven_action.hosted.store.grouping import (
    Clock,
    Outcome,
    commit_group,
    deliver,
    drop_cancelled,
    run_group,
)
from coven_action.hosted.store.partitions import find_trouble
from coven_action.hosted.store.reading import ConnectionReading
from coven_action.hosted.store.tenancy import DIRECTORY, TURN_LOCK, name_tenant, name_tenants
from coven_action.hosted.store.transaction import to_milliseconds
from coven_action.hosted.store.turns import Turns, Waiting

log = logging.getLogger("coven_action.hosted.store")
T = TypeVar("T")

WRITERS: Final = 4
"""Connections of a process that write, at most: one for tenants that are served together, the others for one each."""
READERS: Final = 4
"""Connections of a process that read, at most."""
STREAMS: Final = 2
"""Connections of a process over which exports are read, at most. A process has at most all three kinds together."""
GROUP_SIZE: Final = 128
"""Commands that one commit carries at most. Its tenant waits for all of them."""
FEW: Final = 8
"""Who lets more commands wait than this has enough for a commit of its own, and keeps no others waiting for all of them."""
QUEUE_SIZE: Final = 4096
"""Commands, and in a queue of their own reads, that wait at most; what comes on top is told to come again."""
QUEUE_SHARE: Final = 1024
"""How many of the waiting commands may be one tenant's."""
TRIES: Final = 3
"""How often a group is begun that another one or a lost connection stops before its commit."""

CONNECT_SECONDS: Final = 5
STATEMENT_SECONDS: Final = 30
LOCK_SECONDS: Final = 10
IDLE_SECONDS: Final = 60
GATE_SECONDS: Final = 1.0
"""After a failure to connect, how long nobody tries again."""
_PAUSE_SECONDS: Final = 0.02

PLACE_LOCK: Final = 0x636F76656E01
"""Advisory lock of a connection: shared by those who work beside one another. ASCII `coven` and a one."""
PLACE_SECONDS: Final = 2.0
"""How long a connection waits for its place: one that was closed just now may hold it a moment longer."""
Place = Literal["none", "beside", "alone"]
"""Whether a connection only looks, works beside others, or has the database to itself."""

_CONNECTING: Final = {
    "connect_timeout": CONNECT_SECONDS,
    "application_name": "coven-action",
    # A server that is gone without a word is noticed within half a minute.
    "keepalives_idle": 10,
    "keepalives_interval": 5,
    "keepalives_count": 3,
    "tcp_user_timeout": 20_000,
}
_SETTINGS: Final = (
    f"SET statement_timeout = '{STATEMENT_SECONDS}s'; SET lock_timeout = '{LOCK_SECONDS}s'; "
    f"SET idle_in_transaction_session_timeout = '{IDLE_SECONDS}s'; SET timezone = 'UTC'; "
    # What is weaker would acknowledge what is not on the disk; what is stronger stays.
    "SELECT set_config('synchronous_commit', 'on', false) "
    "WHERE current_setting('synchronous_commit') NOT IN ('on', 'remote_apply')"
)
_BEGIN_READING: Final = "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY"
# Each statement sees what was committed before it: also what another replica committed while this one waited for `heads`.
_BEGIN_WRITING: Final = "BEGIN ISOLATION LEVEL READ COMMITTED READ WRITE"

# https://www.postgresql.org/docs/current/errcodes-appendix.html
_REPEATABLE: Final = frozenset({"40001", "40P01"})
_SHARED_CLASSES: Final = frozenset({"08", "25", "28", "3D", "40", "53", "55", "57", "58", "F0", "XX"})
# Of class 25: that a statement before it failed is no failure of the database's.
_IN_FAILED_TRANSACTION: Final = "25P02"
_EXPLAINED: Final = {
    "53100": ("disk-full", 60),
    "53300": ("overloaded", 2),
    "55P03": ("overloaded", 1),
    "57014": ("overloaded", 1),
    "40001": ("overloaded", 1),
    "40P01": ("overloaded", 1),
}
"""SQLSTATE -> the code that is told, and the seconds after which a repetition may succeed."""
_FAILED: Final = ("database-failed", 5)

ERASURE_GAPS: Final = (
    "the dead row in the table's file, until the database's vacuum has overwritten it",
    "the planner's statistics, where the table was analysed while it was there, until it is analysed again",
    "the database's write-ahead log and whatever follows it (replicas, archives), for as long as it is kept",
    "copies of the database that were made before (backups, snapshots), for as long as they are kept",
)


def open_engine(url: URL, *, place: Place = "beside", **pool: Any) -> Engine:
    """Return an engine whose connections are set up as the endpoint needs them; transactions are begun by `begin`.

    Args:
        url: Of the database.
        place: What its connections hold while they live. One that does not get its place fails with the state 55006.
        pool: As SQLAlchemy takes it.
    """
    engine = create_engine(
        url,
        connect_args=_CONNECTING,
        # A failure is logged with its statement; the values in it may be texts of memory.
        hide_parameters=True,
        json_deserializer=from_json,
        **pool,
    )

    @event.listens_for(engine, "connect")
    def _prepare(connection: "psycopg.Connection[Any]", _: object) -> None:
        # The driver would otherwise begin by itself, in a round trip of its own.
        connection.autocommit = True
        connection.execute(_SETTINGS)
        if place != "none" and not take_place(connection, place):
            connection.close()
            raise psycopg.errors.ObjectInUse("another command or endpoint works on the database")

    return engine


def take_place(connection: "psycopg.Connection[Any]", place: Place) -> bool:
    """Take the lock of a place for as long as the connection lives, and say whether it could be had.

    Who waits for it stands in nobody's way.
    """
    how = "" if place == "alone" else "_shared"
    until = time.monotonic() + PLACE_SECONDS
    while connection.execute(f"SELECT pg_try_advisory_lock{how}({PLACE_LOCK})").fetchone() != (True,):
        if time.monotonic() >= until:
            return False
        time.sleep(_PAUSE_SECONDS)
    return True


def leave_place(connection: "psycopg.Connection[Any]") -> None:
    """Give every place back that the connection holds."""
    connection.execute("SELECT pg_advisory_unlock_all()")


def _open_pool(url: URL, size: int, patience: float = LOCK_SECONDS) -> Engine:
    return open_engine(url, poolclass=QueuePool, pool_size=size, max_overflow=0, pool_timeout=patience)


@contextmanager
def begin(engine: Engine, tenant_id: int, *, writing: bool = False) -> Iterator[Connection]:
    """Begin a transaction of a tenant and commit it at the end of the block."""
    statements = [_BEGIN_WRITING if writing else _BEGIN_READING, name_tenant(tenant_id)]
    if writing and tenant_id == DIRECTORY:
        # It has no row in `heads` to hold.
        statements.append(f"SELECT pg_advisory_xact_lock({TURN_LOCK})")
    with _transact(engine, statements) as connection:
        yield connection


@contextmanager
def begin_together(engine: Engine, tenants: Sequence[int]) -> Iterator[Connection]:
    """Begin a transaction in which something is appended for several tenants, and commit it at the end of the block."""
    with _transact(engine, [_BEGIN_WRITING, name_tenants(tenants)]) as connection:
        yield connection


@contextmanager
def _transact(engine: Engine, beginning: Sequence[str]) -> Iterator[Connection]:
    with engine.connect() as connection, connection.begin():
        # In one round trip.
        connection.exec_driver_sql("; ".join(beginning), execution_options={"no_parameters": True})
        yield connection
        if _get_status(connection) is TransactionStatus.INERROR:
            # The server would take COMMIT for ROLLBACK, and say nothing.
            raise AssertionError("a transaction was to be committed that had failed")


class PostgreSQLStore:
    """The endpoint's data in PostgreSQL.

    Args:
        url: Of the database, as a role that the policies hold for (`postgresql_checks.check_database`).
        clock: Tells the time.
        group_size: Commands that one commit carries at most.
        queue_size: Commands, and likewise reads, that wait at most.
        queue_share: How many of the commands may be one tenant's.
    """

    gaps: tuple[str, ...] = ERASURE_GAPS
    shared: bool = True

    def __init__(
        self,
        url: URL,
        clock: Clock,
        *,
        group_size: int = GROUP_SIZE,
        queue_size: int = QUEUE_SIZE,
        queue_share: int = QUEUE_SHARE,
    ) -> None:
        self._clock = clock
        self._group_size = group_size
        self._writing = _open_pool(url, WRITERS)
        self._reading = _open_pool(url, READERS)
        # Whoever loads an export may take minutes; to wait for one's end is no use.
        self._streaming = _open_pool(url, STREAMS, patience=0)
        self._turns = Turns(queue_size, queue_share, FEW)
        self._gate = _Gate()
        self._reads = threading.BoundedSemaphore(queue_size)
        self._closed = False
        self._pool = ThreadPoolExecutor(READERS, thread_name_prefix="reader")
        serving = [self._turns.serve_together, *([self._turns.serve] * (WRITERS - 1))]
        self._threads = [
            threading.Thread(target=self._work, args=(serve,), name=f"writer-{number}", daemon=True)
            for number, serve in enumerate(serving)
        ]
        for thread in self._threads:
            thread.start()

    async def write(self, command: Command[T]) -> T:
        """Do the work and return its result, once that is durable."""
        loop = asyncio.get_running_loop()
        waiting = Waiting(command, loop, loop.create_future())
        self._turns.put(waiting)
        result: T = await waiting.future
        return result

    async def read(self, tenant_id: int, work: Callable[[Reading], T]) -> T:
        """Return what the work reads, all of it as of one moment."""
        if self._closed:
            raise StoreUnavailable("store-closing")
        if not self._reads.acquire(blocking=False):
            raise StoreUnavailable("overloaded")
        try:
            return await asyncio.get_running_loop().run_in_executor(self._pool, self._read, tenant_id, work)
        finally:
            self._reads.release()

    def _read(self, tenant_id: int, work: Callable[[Reading], T]) -> T:
        def attempt() -> T:
            with begin(self._reading, tenant_id) as connection:
                return work(ConnectionReading(connection, tenant_id, to_milliseconds(self._clock())))

        self._gate.check()
        try:
            return _repeat(attempt)
        except (DBAPIError, PoolTimeoutError) as error:
            log.exception("The database could not be read.")
            self._gate.note(error)
            raise explain(error) from error

    def stream(self, tenant_id: int, work: Callable[[Reading], Iterator[T]]) -> Iterator[T]:
        """Yield what the work reads, all of it as of the moment at which it begins; for more than fits in memory."""
        self._gate.check()
        try:
            with begin(self._streaming, tenant_id) as connection:
                yield from work(ConnectionReading(connection, tenant_id, to_milliseconds(self._clock())))
        except (DBAPIError, PoolTimeoutError) as error:
            raise explain(error) from error

    def find_trouble(self, reading: Reading) -> tuple[str, ...]:
        """Say what of the months of events wants maintenance."""
        return find_trouble(reading)

    async def close(self) -> None:
        """Finish what was accepted, then close. To close twice is to close once."""
        self._closed = True
        self._turns.close()
        loop = asyncio.get_running_loop()
        for thread in self._threads:
            await loop.run_in_executor(None, thread.join)
        self._pool.shutdown()
        self._reading.dispose()
        self._streaming.dispose()
        self._writing.dispose()

    def is_shared(self, error: DBAPIError) -> bool:
        """Say whether a failure is everybody's."""
        return is_shared(error)

    def has_ended(self, connection: Connection) -> bool:
        """Say whether a statement has failed that no savepoint stood before."""
        return _get_status(connection) is not TransactionStatus.INTRANS

    def _work(self, serve: Callable[[int], AbstractContextManager[list[Waiting]]]) -> None:
        """Commit groups until the end is asked for and nothing waits any more."""
        while True:
            with serve(self._group_size) as group:
                if not group:
                    return
                if wanted := drop_cancelled(group):
                    self._serve(wanted)

    def _serve(self, wanted: Sequence[Waiting]) -> None:
        try:
            outcomes = self._commit(wanted)
            deliver(outcomes)
            answered = {id(waiting) for waiting, *_ in outcomes}
            self._turns.put_back([each for each in wanted if id(each) not in answered])
        except Exception:
            # Without its writers nobody would ever be answered again, so they outlive what nobody foresaw.
            log.exception("A writer met a fault.")
            deliver([(each, None, StoreUnavailable("internal-error")) for each in wanted])

    def _commit(self, waiting: Sequence[Waiting]) -> list[Outcome]:
        try:
            self._gate.check()
        except StoreUnavailable as unavailable:
            return [(each, None, unavailable) for each in waiting]
        return commit_group(waiting, self._attempt, self, self._explain)

    def _attempt(self, waiting: Sequence[Waiting]) -> list[Outcome]:
        tenants = sorted({each.command.tenant_id for each in waiting})
        shared = len(tenants) > 1

        def attempt() -> list[Outcome]:
            beginning = (
                begin_together(self._writing, tenants) if shared else begin(self._writing, tenants[0], writing=True)
            )
            with beginning as connection:
                outcomes = run_group(connection, self._clock(), waiting, self, shared=shared)
                # From here on nobody could say whether it is committed, and so it is not repeated.
                committing.set()
            return outcomes

        committing = threading.Event()
        return _repeat(attempt, until=committing)

    def _explain(self, error: DBAPIError) -> StoreUnavailable:
        log.error("The database could not take a group.", exc_info=error)
        self._gate.note(error)
        return explain(error)


class _Gate:
    """Lets nobody through for a moment after the server was not reached, so that nobody waits behind those who try."""

    def __init__(self) -> None:
        self._closed_until = 0.0

    def check(self) -> None:
        """Go on.

        Raises:
            StoreUnavailable: `database-failed`: the server was not reached just now.
        """
        if time.monotonic() < self._closed_until:
            raise StoreUnavailable(*_FAILED)

    def note(self, error: DBAPIError | PoolTimeoutError) -> None:
        """Close after a failure to connect."""
        if isinstance(error, DBAPIError) and not error.connection_invalidated and not _is_answer(error):
            self._closed_until = time.monotonic() + GATE_SECONDS


def _is_answer(error: DBAPIError) -> bool:
    """Say whether a failure is of a statement, and not of connecting."""
    return error.statement is not None


def _repeat(attempt: Callable[[], T], until: threading.Event | None = None) -> T:
    """Try again what a lost connection or another transaction has stopped, a few times; nobody was told anything yet."""
    for left in range(TRIES - 1, -1, -1):
        try:
            return attempt()
        except DBAPIError as error:
            again = error.connection_invalidated or get_state(error) in _REPEATABLE
            if not again or not left or (until is not None and until.is_set()):
                raise
            log.warning("The database stopped a transaction (%s); it is done again.", get_state(error) or "lost")
            time.sleep(_PAUSE_SECONDS * (TRIES - left))
    raise AssertionError("it is tried at least once")


def _get_status(connection: Connection) -> TransactionStatus:
    driver: Any = connection.connection.driver_connection
    status: TransactionStatus = driver.info.transaction_status
    return status


def get_state(error: DBAPIError) -> str:
    """Return the SQLSTATE of a failure; empty where the server said nothing, as it was not reached or had no part in it."""
    return getattr(error.orig, "sqlstate", None) or ""


def is_shared(error: DBAPIError) -> bool:
    """Say whether a failure is the database's, and so everybody's; otherwise it is that of one statement."""
    state = get_state(error)
    if state:
        return state[:2] in _SHARED_CLASSES and state != _IN_FAILED_TRANSACTION
    # Without a state the driver has not heard the server: it could not connect, or what it was to send cannot be sent.
    return error.connection_invalidated or isinstance(error.orig, psycopg.OperationalError)


def explain(error: DBAPIError | PoolTimeoutError) -> StoreUnavailable:
    """Return what a failure of the database means to whoever asked."""
    if isinstance(error, PoolTimeoutError):
        return StoreUnavailable("overloaded")
    return StoreUnavailable(*_EXPLAINED.get(get_state(error), _FAILED))
