"""Bring a PostgreSQL database to this version, and let the endpoint's role work on it: what its owner does.

The tables belong to whoever migrates. The endpoint connects as another role, which owns nothing, is given exactly what it
needs, and for which the policies hold. To migrate twice is to migrate once.
"""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime
from typing import Final, TypeVar

from sqlalchemy import URL, Connection, Engine, create_engine, text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.pool import NullPool

from coven_action.errors import EnvironmentFault, Error
from coven_action.hosted.store import schema
from coven_action.hosted.store.migrations import upgrade
from coven_action.hosted.store.partitions import Maintained, list_months, maintain, shrink_default
from coven_action.hosted.store.postgresql import get_state
from coven_action.hosted.store.postgresql_checks import check_version, connect, has_role

T = TypeVar("T")

TRIES: Final = 5
PAUSE_SECONDS: Final = 3.0
"""Between two tries: longer than others have waited behind one."""

_MARK: Final = "alembic_version"
# https://www.postgresql.org/docs/current/errcodes-appendix.html
_DENIED: Final = "42501"
_BUSY: Final = frozenset({"55P03", "40P01"})
_LOST: Final = ("08", "57P")


def migrate_database(url: URL, role: str, now: datetime) -> str | None:
    """Make or change the tables, those of the next months too, and give the endpoint's role its rights.

    Args:
        url: Of the database, as the role that owns the tables, or will.
        role: Of the endpoint.
        now: The moment.

    Returns:
        The version it had before; None where it was empty.

    Raises:
        EnvironmentFault: `database-unreachable`.
        Error: `database-too-old`, `database-newer`, `database-unusable`, `database-role-missing`, `database-role-unsafe`,
            `database-rights-missing`, `database-busy`, `database-maintenance-failed`.
    """
    with connect(url) as connection:
        if not has_role(connection, role):
            raise Error("database-role-missing", f"The server has no role {role}, as which the endpoint would connect.")
        if connection.execute(text("SELECT current_user")).scalar_one() == role:
            raise Error("database-role-unsafe", f"The tables would belong to {role}, as which the endpoint connects.")
    with _open_owner(url, "The tables' owner may not do what it takes") as engine:
        found = upgrade(engine)

        def prepare(connection: Connection) -> None:
            # It takes its turn: two that grant at once are in each other's way.
            maintain(connection, now)
            grant_rights(connection, role)

        _insist(engine, prepare)
        _shrink(engine)
    return found


def maintain_partitions(url: URL, now: datetime) -> Maintained:
    """Make the tables of the months to come, and drop the empty ones of months that are over.

    Raises:
        EnvironmentFault: `database-unreachable`.
        Error: `database-not-migrated`, `database-newer`, `database-rights-missing`, `database-busy`: somebody reads events
            all the time, and nothing was changed; `database-maintenance-failed`.
    """
    with connect(url) as connection:
        check_version(connection)
    with _open_owner(url, "This takes the role that owns the tables") as engine:
        done = _insist(engine, lambda connection: maintain(connection, now))
        _shrink(engine)
    return done


@contextmanager
def _open_owner(url: URL, when_denied: str) -> Iterator[Engine]:
    """Yield an engine of the tables' owner, and tell what the server refuses for what it is.

    Raises:
        EnvironmentFault: `database-unreachable`.
        Error: `database-rights-missing`, `database-busy`, `database-maintenance-failed`.
    """
    engine = create_engine(url, poolclass=NullPool, hide_parameters=True)
    try:
        yield engine
    except DBAPIError as error:
        said, state = str(error.orig).partition("\n")[0], get_state(error)
        if state == _DENIED:
            raise Error("database-rights-missing", f"{when_denied}: {said}.") from error
        if state in _BUSY:
            raise Error("database-busy", f"Others read or write the events all the time: {said}.") from error
        if not state or state.startswith(_LOST):
            raise EnvironmentFault("database-unreachable", f"The database was lost: {said}.") from error
        raise Error(
            "database-maintenance-failed", f"The server refuses a change of the tables: {said} ({state})."
        ) from error
    finally:
        engine.dispose()


def _insist(engine: Engine, work: Callable[[Connection], T]) -> T:
    """Do the work in a transaction, and try again after a pause where others are in its way.

    In the pause goes on whoever has waited behind it.
    """
    for left in range(TRIES - 1, -1, -1):
        try:
            with engine.begin() as connection:
                return work(connection)
        except DBAPIError as error:
            if not left or get_state(error) not in _BUSY:
                raise
        time.sleep(PAUSE_SECONDS)
    raise AssertionError("it is tried at least once")


def _shrink(engine: Engine) -> None:
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        shrink_default(connection)


def grant_rights(connection: Connection, role: str) -> None:
    """Give the endpoint's role what it needs and nothing else."""
    quote = connection.dialect.identifier_preparer.quote
    place = connection.execute(text("SELECT current_schema()")).scalar_one()
    tables = ", ".join(quote(table) for table in sorted(schema.metadata.tables))
    months = ", ".join(list_months(connection))
    connection.exec_driver_sql(f"GRANT USAGE ON SCHEMA {quote(place)} TO {quote(role)}")
    connection.exec_driver_sql(f"REVOKE ALL ON {tables}, {months}, {_MARK} FROM PUBLIC, {quote(role)}")
    connection.exec_driver_sql(f"GRANT SELECT, INSERT, UPDATE, DELETE ON {tables} TO {quote(role)}")
    connection.exec_driver_sql(f"GRANT SELECT ON {_MARK} TO {quote(role)}")
