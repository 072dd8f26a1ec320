"""The database in one file: SQLite with one writer that commits commands in groups.

A command is acknowledged once the commit that carries it is on the disk (write-ahead log, `synchronous=FULL`). One commit
costs one wait for the disk, however many commands it carries: while it waits, the next ones gather. Reads have their own
connections and never wait for the writer.

What fails fails alone: a command that raises, or that the database refuses, leaves nothing, and the others of its group
are committed. What the disk refuses fails for the whole group, and nobody is told that it is done.

What comes first is told by sequences, never by moments: a clock that jumps changes no order and leaves no gap. A moment
decides only when something expires. A clock that is set back lets it live longer by as much, one that is set forward
ends it sooner; a session that would outlive its fifteen minutes in this way is refused.
"""

import asyncio
import logging
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Final, TypeVar

import pysqlite3
from pydantic_core import from_json
from sqlalchemy import Connection, Engine, create_engine, event
from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError
from sqlalchemy.pool import QueuePool, StaticPool

from coven_action.errors import Error
from coven_action.hosted.store.checkpoints import Checkpoints
from coven_action.hosted.store.commands import Command, Reading, StoreUnavailable
from coven_action.hosted.store.grouping import (
    Clock,
    Outcome,
    commit_group,
    deliver,
    drop_cancelled,
    run_group,
)
from coven_action.hosted.store.reading import ConnectionReading
from coven_action.hosted.store.transaction import to_milliseconds
from coven_action.hosted.store.turns import Turns, Waiting

log = logging.getLogger("coven_action.hosted.store")
T = TypeVar("T")

FLOOR: Final = (3, 51, 3)
"""Before it, a reset of the write-ahead log could lose a commit: https://sqlite.org/releaselog/3_51_3.html"""

GROUP_SIZE: Final = 512
"""Commands that one commit carries at most."""

QUEUE_SIZE: Final = 4096
"""Commands that wait at most; what comes on top is told to come again."""

READERS: Final = 4
STREAMS: Final = 2
"""Exports that are read at once, at most."""
BUSY_SECONDS: Final = 10
# Pages of 4 KiB after which the writer copies the log itself, in a commit: where `Checkpoints` did not keep up.
_CHECKPOINT_PAGES: Final = 4000

_TRIES: Final = 100
_WRITER_SETTINGS: Final = (
    f"busy_timeout={BUSY_SECONDS * 1000}",
    "journal_mode=WAL",
    "synchronous=FULL",
    "foreign_keys=ON",
    "secure_delete=ON",
    "temp_store=MEMORY",
    f"wal_autocheckpoint={_CHECKPOINT_PAGES}",
)
# https://sqlite.org/rescode.html: after these the file, the disk or the lock is at fault, whatever the statement was.
_SHARED_FAILURES: Final = frozenset(
    {
        pysqlite3.SQLITE_PERM,
        pysqlite3.SQLITE_BUSY,
        pysqlite3.SQLITE_LOCKED,
        pysqlite3.SQLITE_NOMEM,
        pysqlite3.SQLITE_READONLY,
        pysqlite3.SQLITE_INTERRUPT,
        pysqlite3.SQLITE_IOERR,
        pysqlite3.SQLITE_CORRUPT,
        pysqlite3.SQLITE_FULL,
        pysqlite3.SQLITE_CANTOPEN,
        pysqlite3.SQLITE_PROTOCOL,
        pysqlite3.SQLITE_NOTADB,
    }
)
_EXPLAINED: Final = {
    pysqlite3.SQLITE_FULL: ("disk-full", 60),
    pysqlite3.SQLITE_BUSY: ("overloaded", 1),
    pysqlite3.SQLITE_LOCKED: ("overloaded", 1),
}
"""Result code -> the code that is told, and the seconds after which a repetition may succeed."""

_READER_SETTINGS: Final = ("query_only=ON", "temp_store=MEMORY", f"busy_timeout={BUSY_SECONDS * 1000}")


def check_floor(version: Sequence[int] = pysqlite3.sqlite_version_info) -> None:
    """Refuse an SQLite that could lose an acknowledged write.

    Raises:
        Error: `sqlite-too-old`.
    """
    if tuple(version) < FLOOR:
        found, needed = (".".join(str(part) for part in each) for each in (version, FLOOR))
        raise Error("sqlite-too-old", f"The SQLite of the installed pysqlite3 is {found}; {needed} or newer is needed.")


def _apply(cursor: Any, setting: str) -> None:
    """Make a setting. The change to a write-ahead log does not wait for another who makes it just now, so we do."""
    for left in range(_TRIES, -1, -1):
        try:
            cursor.execute(f"PRAGMA {setting}")
        except pysqlite3.OperationalError as error:
            if not left or error.sqlite_errorcode != pysqlite3.SQLITE_BUSY:
                raise
            time.sleep(BUSY_SECONDS / _TRIES)
        else:
            return


def open_engine(path: Path, settings: Sequence[str], begin: str, **pool: Any) -> Engine:
    """Return an engine over the file whose connections have these settings and begin transactions as told."""
    engine = create_engine(
        f"sqlite:///{path}",
        module=pysqlite3,
        connect_args={"check_same_thread": False},
        # A failure is logged with its statement; the values in it may be texts of memory.
        hide_parameters=True,
        json_deserializer=from_json,
        **pool,
    )

    @event.listens_for(engine, "connect")
    def _prepare(connection: Any, _: object) -> None:
        # Python's driver would otherwise begin and commit by rules of its own.
        connection.isolation_level = None
        cursor = connection.cursor()
        for setting in settings:
            _apply(cursor, setting)
        cursor.close()

    @event.listens_for(engine, "begin")
    def _begin(connection: Connection) -> None:
        connection.exec_driver_sql(begin)

    return engine


def open_writer(path: Path) -> Engine:
    """Return the engine that changes the file: one connection, which takes the write lock as it begins."""
    check_floor()
    return open_engine(path, _WRITER_SETTINGS, "BEGIN IMMEDIATE", poolclass=StaticPool)


ERASURE_GAPS: Final = (
    "copies of the database file and of its disk that were made before (backups, snapshots), for as long as they are kept",
)


class SQLiteStore:
    """The endpoint's data in one file.

    Args:
        path: The file; its tables are there already (`migrations.upgrade`).
        clock: Tells the time.
        group_size: Commands that one commit carries at most.
        queue_size: Commands that wait at most.
    """

    gaps: tuple[str, ...] = ERASURE_GAPS
    shared: bool = False

    def __init__(self, path: Path, clock: Clock, *, group_size: int = GROUP_SIZE, queue_size: int = QUEUE_SIZE) -> None:
        self.path = path
        self._clock = clock
        self._group_size = group_size
        self._writer = open_writer(path)
        self._checkpoints = Checkpoints(path)
        self._readers = open_engine(
            path, _READER_SETTINGS, "BEGIN", poolclass=QueuePool, pool_size=READERS, max_overflow=0
        )
        # Whoever loads an export may take minutes; nobody else's reads wait for that, and to wait for one's end is no use.
        self._streams = open_engine(
            path, _READER_SETTINGS, "BEGIN", poolclass=QueuePool, pool_size=STREAMS, max_overflow=0, pool_timeout=0
        )
        self._pool = ThreadPoolExecutor(READERS, thread_name_prefix="reader")
        self._turns = Turns(queue_size, queue_size)
        self._closed = False
        self._thread = threading.Thread(target=self._work, name="writer", daemon=True)
        self._thread.start()

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
        return await asyncio.get_running_loop().run_in_executor(self._pool, self._read, tenant_id, work)

    def _read(self, tenant_id: int, work: Callable[[Reading], T]) -> T:
        try:
            with self._readers.connect() as connection, connection.begin():
                return work(ConnectionReading(connection, tenant_id, to_milliseconds(self._clock())))
        except DBAPIError as error:
            log.exception("The database could not be read.")
            raise explain(error) from error

    def stream(self, tenant_id: int, work: Callable[[Reading], Iterator[T]]) -> Iterator[T]:
        """Yield what the work reads, all of it as of the moment at which it begins; for more than fits in memory."""
        try:
            with self._streams.connect() as connection, connection.begin():
                yield from work(ConnectionReading(connection, tenant_id, to_milliseconds(self._clock())))
        except PoolTimeoutError as error:
            raise StoreUnavailable("overloaded") from error
        except DBAPIError as error:
            raise explain(error) from error

    def find_trouble(self, reading: Reading) -> tuple[str, ...]:
        """Return nothing: a file wants no maintenance."""
        del reading
        return ()

    async def close(self) -> None:
        """Finish what was accepted, then close. To close twice is to close once."""
        self._closed = True
        self._turns.close()
        await asyncio.get_running_loop().run_in_executor(None, self._thread.join)
        self._checkpoints.close()
        self._pool.shutdown()
        self._readers.dispose()
        self._streams.dispose()
        self._writer.dispose()

    def _work(self) -> None:
        """Commit groups until the end is asked for and nothing waits any more."""
        while group := self._turns.take(self._group_size):
            if wanted := drop_cancelled(group):
                self._serve(wanted)

    def _serve(self, wanted: Sequence[Waiting]) -> None:
        try:
            self._tell(self._commit(wanted))
            self._checkpoints.tell_written()
        except Exception:
            # Without the writer nobody would ever be answered again, so it outlives what nobody foresaw.
            log.exception("The writer met a fault.")
            deliver([(each, None, StoreUnavailable("internal-error")) for each in wanted])

    def _tell(self, outcomes: Sequence[Outcome]) -> None:
        """Tell everybody; those who asked for a scrub once that is done."""
        deliver([outcome for outcome in outcomes if not outcome[0].command.scrub])
        scrubbing = [outcome for outcome in outcomes if outcome[0].command.scrub]
        if scrubbing:
            failure = self._scrub()
            deliver([(waiting, result, error or failure) for waiting, result, error in scrubbing])

    def _scrub(self) -> Exception | None:
        """Leave nothing in the files but what the tables hold; return why that was not possible.

        `secure_delete` overwrites a deleted cell where it lies. A copy that an earlier rebalancing of the tree left in
        the free part of a page stays: only writing the file anew is sure to be rid of it. The write-ahead log is emptied
        afterwards. Readers go on meanwhile, the writer does not. https://sqlite.org/lang_vacuum.html
        """
        connection = self._writer.raw_connection()
        try:
            cursor = connection.cursor()
            cursor.execute("VACUUM")
            with self._checkpoints.alone:
                cursor.execute("PRAGMA wal_checkpoint(TRUNCATE)")
                (busy, *_), *_ = cursor.fetchall()
            cursor.close()
        except pysqlite3.Error:
            log.exception("The files could not be scrubbed.")
            return StoreUnavailable("database-failed", retry_after=5)
        finally:
            connection.close()
        # A reader that does not end holds the old log; repeated, the request finds its effect done and scrubs again.
        return StoreUnavailable("overloaded", retry_after=5) if busy else None

    def _commit(self, waiting: Sequence[Waiting]) -> list[Outcome]:
        return commit_group(waiting, self._attempt, self, self._explain)

    def _attempt(self, waiting: Sequence[Waiting]) -> list[Outcome]:
        with self._writer.connect() as connection, connection.begin():
            return run_group(connection, self._clock(), waiting, self)

    def _explain(self, error: DBAPIError) -> StoreUnavailable:
        log.error("The database could not take a group.", exc_info=error)
        return explain(error)

    def is_shared(self, error: DBAPIError) -> bool:
        """Say whether a failure is everybody's."""
        return is_shared(error)

    def has_ended(self, connection: Connection) -> bool:
        """Return False: a statement that fails leaves the transaction as it was."""
        del connection
        return False


def is_shared(error: DBAPIError) -> bool:
    """Say whether a failure is the database's, and so everybody's; otherwise it is that of one statement."""
    return error.connection_invalidated or _get_result_code(error) in _SHARED_FAILURES


def explain(error: DBAPIError) -> StoreUnavailable:
    """Return what a failure of the database means to whoever asked."""
    return StoreUnavailable(*_EXPLAINED.get(_get_result_code(error), ("database-failed", 5)))


def _get_result_code(error: DBAPIError) -> int:
    """Return SQLite's primary result code; 0 where the driver itself refused a value."""
    code: int = getattr(error.orig, "sqlite_errorcode", 0)
    return code & 0xFF
