"""Work on a database directly, as its operator: enrol, import, export. For commands, beside a server or without one."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Protocol, TypeVar

from sqlalchemy import Connection, Row, func, select
from sqlalchemy.exc import DBAPIError

from coven_action.errors import Error
from coven_action.hosted.restore_mark import refuse_unfinished
from coven_action.hosted.store import schema
from coven_action.hosted.store.commands import Reading
from coven_action.hosted.store.migrations import upgrade
from coven_action.hosted.store.reading import ConnectionReading
from coven_action.hosted.store.sqlite import open_writer
from coven_action.hosted.store.transaction import Group, Transaction, to_milliseconds

T = TypeVar("T")
Clock = Callable[[], datetime]


class Begin(Protocol):
    """Begins a transaction of a tenant; it is committed at the end of the block."""

    def __call__(self, tenant_id: int, *, writing: bool) -> AbstractContextManager[Connection]:
        """Begin it."""
        ...


class Operator:
    """A database, one piece of work at a time.

    Args:
        begin: Begins its transactions.
        clock: Tells the time.
    """

    def __init__(self, begin: Begin, clock: Clock) -> None:
        self._begin = begin
        self._clock = clock

    def write(self, tenant_id: int, work: Callable[[Transaction], T]) -> T:
        """Do a piece of work for a tenant in a transaction of its own; 0 is nobody's."""

        def do(group: Group) -> T:
            transaction = Transaction(group, tenant_id)
            result = work(transaction)
            transaction.finish()
            return result

        return self.write_group((tenant_id,), do)

    def write_group(self, tenants: tuple[int, ...], work: Callable[[Group], T]) -> T:
        """Do pieces of work in one transaction: all of them, or none.

        Args:
            tenants: Whose heads are read. The transaction begins as the first one's, who is the only one it sees on
                PostgreSQL; `Group.read_heads_of` goes on as another.
            work: Does it.
        """
        with self._begin(tenants[0], writing=True) as connection:
            group = Group(connection, self._clock(), tenants=tenants)
            result = work(group)
            group.flush()
        return result

    def read(self, tenant_id: int, work: Callable[[Reading], T]) -> T:
        """Return what the work reads, all of it as of one moment."""
        with self._begin(tenant_id, writing=False) as connection:
            return work(ConnectionReading(connection, tenant_id, to_milliseconds(self._clock())))

    def stream(self, tenant_id: int, work: Callable[[Reading], Iterator[T]]) -> Iterator[T]:
        """Yield what the work reads, all of it as of one moment."""
        with self._begin(tenant_id, writing=False) as connection:
            yield from work(ConnectionReading(connection, tenant_id, to_milliseconds(self._clock())))

    def list_accounts(self) -> Sequence[Row[Any]]:
        """Return every account's row, with `repository_count`, in the order of their numbers."""
        tenants, repositories = schema.tenants, schema.repositories
        counted = (
            select(func.count())
            .where(repositories.c.tenant_id == tenants.c.tenant_id)
            .scalar_subquery()
            .label("repository_count")
        )
        statement = select(tenants, counted).order_by(tenants.c.tenant_id)
        return self.write(0, lambda transaction: transaction.fetch_all(statement))

    def find_tenant(self, account: str) -> int:
        """Return the number of the account with this login or id.

        Raises:
            Error: `account-unknown`: none has it, or several issuers have one of this login.
        """
        columns = schema.tenants.c
        asked = columns.account_login == account
        if account.isascii() and account.isdigit():
            asked = columns.account_id == int(account)

        def read(transaction: Transaction) -> list[int]:
            return [row.tenant_id for row in transaction.fetch_all(select(columns.tenant_id).where(asked).limit(2))]

        found = self.write(0, read)
        if len(found) != 1:
            several = "several accounts have" if found else "no account has"
            raise Error("account-unknown", f"In this database {several} the login or id {account}.")
        return found[0]


def describe_failure(error: Exception) -> str:
    """Return what went wrong with a piece of work, without what stands in a row: a message may repeat a text of memory."""
    return str(error.orig).partition("\n")[0] if isinstance(error, DBAPIError) else type(error).__name__


@contextmanager
def open_database(
    place: Path | str, *, clock: Clock = lambda: datetime.now(UTC), create: bool = False, alone: bool = False
) -> Iterator[Operator]:
    """Open the endpoint's database: a file, which is brought to this version, or one of PostgreSQL, which is checked.

    Args:
        place: The file, or the URL.
        clock: Tells the time.
        create: Whether a file that does not exist is made.
        alone: Whether no endpoint and no other command may work on a database of PostgreSQL until the block ends. A file is
            held by `server.hold_database`.

    Raises:
        Error: `database-unusable`: there is no such file, or it cannot be opened; and what `open_server` refuses.
    """
    opening = open_file(place, create=create) if isinstance(place, Path) else open_server(place, alone=alone)
    with opening as begin:
        yield Operator(begin, clock)


@contextmanager
def open_file(path: Path, *, create: bool = False) -> Iterator[Begin]:
    """Open a database file, brought to this version, and yield what begins its transactions.

    Raises:
        Error: `database-unusable`, `restore-unfinished`.
    """
    refuse_unfinished(path)
    if not create and not path.is_file():
        raise Error("database-unusable", f"There is no database at {path}.")
    engine = open_writer(path)

    @contextmanager
    def begin(tenant_id: int, *, writing: bool) -> Iterator[Connection]:
        del tenant_id, writing
        with engine.connect() as connection, connection.begin():
            yield connection

    try:
        upgrade(engine)
        yield begin
    finally:
        engine.dispose()


@contextmanager
def open_server(url: str, *, alone: bool = False) -> Iterator[Begin]:
    """Open a database of PostgreSQL, as the endpoint does, and yield what begins its transactions.

    Args:
        url: Of the database.
        alone: Whether nobody else may work on it until the block ends.

    Raises:
        Error: `database-in-use`; and what `check_database` refuses.
    """
    # Only who has such a database pays for its driver.
    from coven_action.hosted.store import postgresql, postgresql_checks  # noqa: PLC0415

    parsed = postgresql_checks.parse_database_url(url)
    # One connection, and so one place, whatever is done.
    place: postgresql.Place = "alone" if alone else "beside"
    engine = postgresql.open_engine(parsed, place=place, pool_size=1, max_overflow=0)

    @contextmanager
    def begin(tenant_id: int, *, writing: bool) -> Iterator[Connection]:
        with postgresql.begin(engine, tenant_id, writing=writing) as connection:
            yield connection

    try:
        if alone:
            postgresql_checks.be_alone(engine)
        postgresql_checks.check_database(parsed, place=place)
        yield begin
    finally:
        engine.dispose()
