"""Bring a PostgreSQL database to this version, and let the endpoint's role work on it: what its owner does.

The tables belong to whoever migrates. The endpoint connects as another role, which owns nothing, is given exactly what it
needs, and for which the policies hold. To migrate twice is to migrate once.
"""

from datetime import datetime
from typing import Final

from sqlalchemy import URL, Connection, create_engine, text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.pool import NullPool

from coven_action.errors import Error
from coven_action.hosted.store import schema
from coven_action.hosted.store.migrations import upgrade
from coven_action.hosted.store.partitions import Maintained, maintain
from coven_action.hosted.store.postgresql_checks import check_version, connect, has_role

_MARK: Final = "alembic_version"


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
            `database-rights-missing`.
    """
    with connect(url) as connection:
        if not has_role(connection, role):
            raise Error("database-role-missing", f"The server has no role {role}, as which the endpoint would connect.")
        if connection.execute(text("SELECT current_user")).scalar_one() == role:
            raise Error("database-role-unsafe", f"The tables would belong to {role}, as which the endpoint connects.")
    engine = create_engine(url, poolclass=NullPool, hide_parameters=True)
    try:
        found = upgrade(engine)
        with engine.begin() as connection:
            # It takes its turn: two that grant at once are in each other's way.
            maintain(connection, now)
            grant_rights(connection, role)
    except DBAPIError as error:
        said = str(error.orig).partition("\n")[0]
        raise Error("database-rights-missing", f"The tables' owner may not do what it takes: {said}.") from error
    finally:
        engine.dispose()
    return found


def maintain_partitions(url: URL, now: datetime) -> Maintained:
    """Make the tables of the months to come, and drop the empty ones of months that are over.

    Raises:
        EnvironmentFault: `database-unreachable`.
        Error: `database-not-migrated`, `database-newer`, `database-rights-missing`.
    """
    with connect(url) as connection:
        check_version(connection)
    engine = create_engine(url, poolclass=NullPool, hide_parameters=True)
    try:
        with engine.begin() as connection:
            return maintain(connection, now)
    except DBAPIError as error:
        said = str(error.orig).partition("\n")[0]
        raise Error("database-rights-missing", f"This takes the role that owns the tables: {said}.") from error
    finally:
        engine.dispose()


def grant_rights(connection: Connection, role: str) -> None:
    """Give the endpoint's role what it needs and nothing else."""
    quote = connection.dialect.identifier_preparer.quote
    place = connection.execute(text("SELECT current_schema()")).scalar_one()
    tables = ", ".join(quote(table) for table in sorted(schema.metadata.tables))
    connection.exec_driver_sql(f"GRANT USAGE ON SCHEMA {quote(place)} TO {quote(role)}")
    connection.exec_driver_sql(f"REVOKE ALL ON {tables}, {_MARK} FROM PUBLIC")
    connection.exec_driver_sql(f"REVOKE ALL ON {tables}, {_MARK} FROM {quote(role)}")
    connection.exec_driver_sql(f"GRANT SELECT, INSERT, UPDATE, DELETE ON {tables} TO {quote(role)}")
    connection.exec_driver_sql(f"GRANT SELECT ON {_MARK} TO {quote(role)}")
