"""Work on a database directly, as its operator: enrol, import, export. For commands, beside a server or without one."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TypeVar

from sqlalchemy import Engine, Row, func, select

from coven_action.errors import Error
from coven_action.hosted.store import schema
from coven_action.hosted.store.commands import Reading
from coven_action.hosted.store.migrations import upgrade
from coven_action.hosted.store.reading import ConnectionReading
from coven_action.hosted.store.sqlite import open_writer
from coven_action.hosted.store.transaction import Group, Transaction, to_milliseconds

T = TypeVar("T")
Clock = Callable[[], datetime]


class Operator:
    """A database, one piece of work at a time.

    Args:
        engine: Changes it.
        clock: Tells the time.
    """

    def __init__(self, engine: Engine, clock: Clock) -> None:
        self._engine = engine
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
        """Do pieces of work for several tenants in one transaction: all of them, or none."""
        with self._engine.connect() as connection, connection.begin():
            group = Group(connection, self._clock(), tenants=tenants)
            result = work(group)
            group.flush()
        return result

    def stream(self, tenant_id: int, work: Callable[[Reading], Iterator[T]]) -> Iterator[T]:
        """Yield what the work reads, all of it as of one moment."""
        with self._engine.connect() as connection, connection.begin():
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


@contextmanager
def open_database(path: Path, *, clock: Clock = lambda: datetime.now(UTC), create: bool = False) -> Iterator[Operator]:
    """Open the endpoint's database file, brought to this version.

    Args:
        path: The file.
        clock: Tells the time.
        create: Whether a file that does not exist is made.

    Raises:
        Error: `database-unusable`: there is no such file, or it cannot be opened.
    """
    if not create and not path.is_file():
        raise Error("database-unusable", f"There is no database at {path}.")
    engine = open_writer(path)
    try:
        upgrade(engine)
        yield Operator(engine, clock)
    finally:
        engine.dispose()
