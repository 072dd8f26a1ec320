"""Who may connect to PostgreSQL as the endpoint: a role that the policies hold for, on tables of this version.

Whatever is not as it has to be is refused as the endpoint starts, with what to do about it: an address that is none, a server
that cannot be reached or is too old, tables of another version, a table without its policies, a role that lacks a right, and
a role that could go around the policies: one that is a superuser, bypasses row security, or owns a table (or may become
somebody who does).
"""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final

from sqlalchemy import URL, Connection, make_url, text
from sqlalchemy.exc import ArgumentError, DBAPIError
from sqlalchemy.pool import NullPool

from coven_action.errors import EnvironmentFault, Error
from coven_action.hosted.store import schema
from coven_action.hosted.store.migrations import HEAD, read_version
from coven_action.hosted.store.postgresql import get_state, open_engine
from coven_action.hosted.store.tenancy import list_policies

FLOOR: Final = 14
"""The oldest major version that is tried."""
_DRIVER: Final = "postgresql+psycopg"
_NAMES: Final = frozenset({"postgres", "postgresql", _DRIVER})
_RIGHTS: Final = ("SELECT", "INSERT", "UPDATE", "DELETE")

# https://www.postgresql.org/docs/current/view-pg-roles.html: whatever the role is, or may make itself with SET ROLE.
_MIGHTIER: Final = text(
    "SELECT rolname, rolsuper, rolbypassrls FROM pg_roles "
    "WHERE (rolsuper OR rolbypassrls) AND pg_has_role(current_user, oid, 'MEMBER') ORDER BY rolname LIMIT 1"
)
_OWNED: Final = text(
    "SELECT relname, pg_get_userbyid(relowner) AS owner FROM pg_class "
    "WHERE relnamespace = current_schema()::regnamespace AND relkind IN ('r', 'p') "
    "AND pg_has_role(current_user, relowner, 'MEMBER') ORDER BY relname LIMIT 1"
)
_RULED: Final = text(
    "SELECT relname FROM pg_class WHERE relnamespace = current_schema()::regnamespace "
    "AND relrowsecurity AND relforcerowsecurity"
)
_POLICIES: Final = text(
    "SELECT tablename, policyname, cmd, coalesce(qual, with_check) AS condition, qual IS NOT NULL AND with_check IS NOT NULL "
    "OR permissive != 'PERMISSIVE' OR roles != '{public}' AS altered FROM pg_policies WHERE schemaname = current_schema()"
)
# How PostgreSQL writes a condition down: with more brackets and the types of its texts.
_SPELLING: Final = re.compile(r"::text|[()\s]")
_OTHERS: Final = text(
    "SELECT count(*) FROM pg_stat_activity "
    "WHERE datname = current_database() AND usename = current_user AND pid != pg_backend_pid()"
)
_ALLOWED: Final = text("SELECT has_table_privilege(current_user, :name, :asked)")


def parse_database_url(url: str) -> URL:
    """Return the address of a database as SQLAlchemy takes it.

    Raises:
        EnvironmentFault: `database-url-invalid`. The message does not repeat it: it has a password in it.
    """
    try:
        parsed = make_url(url)
    except (ArgumentError, ValueError) as error:
        raise EnvironmentFault("database-url-invalid", "DATABASE_URL cannot be read as a URL.") from error
    if parsed.drivername not in _NAMES:
        raise EnvironmentFault(
            "database-url-invalid", f"DATABASE_URL begins with {parsed.drivername!r}, and not with postgresql."
        )
    if not parsed.database:
        raise EnvironmentFault("database-url-invalid", "DATABASE_URL names no database.")
    return parsed.set(drivername=_DRIVER)


@contextmanager
def connect(url: URL) -> Iterator[Connection]:
    """Connect once, and disconnect at the end of the block.

    Raises:
        EnvironmentFault: `database-unreachable`: there is no server, or it does not let us in.
        Error: `database-too-old`.
    """
    engine = open_engine(url, poolclass=NullPool)
    try:
        connection = engine.connect()
    except DBAPIError as error:
        raise EnvironmentFault(
            "database-unreachable", f"The database at {_describe(url)} cannot be reached: {_explain(error)}."
        ) from error
    try:
        _check_age(connection)
        yield connection
    finally:
        connection.close()
        engine.dispose()


def check_database(url: URL) -> None:
    """Refuse a database or a role that the endpoint must not work with.

    Raises:
        EnvironmentFault: `database-unreachable`.
        Error: `database-too-old`, `database-newer`, `database-unusable`, `database-not-migrated`, `database-unprotected`,
            `database-role-unsafe`, `database-rights-missing`.
    """
    with connect(url) as connection:
        check_version(connection)
        check_role(connection)
        check_protection(connection)
        check_rights(connection)


def _check_age(connection: Connection) -> None:
    found = int(connection.execute(text("SHOW server_version_num")).scalar_one())
    # https://www.postgresql.org/docs/current/libpq-status.html#LIBPQ-PQSERVERVERSION
    if found // 10_000 < FLOOR:
        raise Error("database-too-old", f"The server is PostgreSQL {found // 10_000}; {FLOOR} or newer is needed.")


def check_version(connection: Connection) -> None:
    """Refuse tables of another version; the endpoint's own role could not change them.

    Raises:
        Error: `database-not-migrated`, `database-newer`, `database-unusable`.
    """
    if connection.execute(text("SELECT current_schema()")).scalar() is None:
        raise Error("database-rights-missing", "The role may use no schema of the database.")
    try:
        found = read_version(connection)
    except DBAPIError as error:
        raise Error("database-rights-missing", f"The role may not read the tables: {_explain(error)}.") from error
    if found is None:
        raise Error("database-not-migrated", "The database has no tables of the endpoint.")
    if found < HEAD:
        raise Error("database-not-migrated", f"The database has the tables of version {found}, and this needs {HEAD}.")
    if found > HEAD:
        raise Error(
            "database-newer", f"The database has the tables of version {found}, and this program those of {HEAD}."
        )


def check_role(connection: Connection) -> None:
    """Refuse a role that the policies do not hold for.

    Raises:
        Error: `database-role-unsafe`.
    """
    name = connection.execute(text("SELECT current_user")).scalar_one()
    mighty = connection.execute(_MIGHTIER).first()
    if mighty is not None:
        what = "is a superuser" if mighty.rolsuper else "bypasses row security"
        who = "It" if mighty.rolname == name else f"It is a member of {mighty.rolname}, which"
        raise Error("database-role-unsafe", f"The endpoint would connect as {name}. {who} {what}.")
    owned = connection.execute(_OWNED).first()
    if owned is not None:
        who = "" if owned.owner == name else f", as a member of {owned.owner},"
        raise Error(
            "database-role-unsafe", f"The endpoint would connect as {name}, who{who} owns the table {owned.relname}."
        )


def check_protection(connection: Connection) -> None:
    """Refuse tables without the policies that this version makes.

    Raises:
        Error: `database-unprotected`.
    """
    ruled = set(connection.execute(_RULED).scalars())
    policies = {
        (row.tablename, row.policyname, row.cmd, "" if row.altered else _SPELLING.sub("", row.condition))
        for row in connection.execute(_POLICIES)
    }
    wanted = {each._replace(condition=_SPELLING.sub("", each.condition)) for each in list_policies(schema.metadata)}
    open_tables = sorted(set(schema.metadata.tables) - ruled | {policy.table for policy in wanted - policies})
    if open_tables:
        raise Error("database-unprotected", f"The table {open_tables[0]} is not protected by its policies.")
    surplus = sorted({table for table, *_ in policies - wanted} & set(schema.metadata.tables))
    if surplus:
        # Policies add up: one too many may show what the others hide.
        raise Error("database-unprotected", f"The table {surplus[0]} has a policy that this version did not make.")


def check_rights(connection: Connection) -> None:
    """Refuse a role that cannot do the endpoint's work.

    Raises:
        Error: `database-rights-missing`.
    """
    for table in sorted(schema.metadata.tables):
        for right in _RIGHTS:
            if not connection.execute(_ALLOWED, {"name": table, "asked": right}).scalar():
                raise Error("database-rights-missing", f"The role lacks the right to {right} on the table {table}.")
    if connection.execute(text("SELECT pg_is_in_recovery()")).scalar():
        raise Error("database-rights-missing", "The server takes no writes: it is a standby.")


def count_others(connection: Connection) -> int:
    """Return how many other connections of this role work on the database, of whatever process."""
    count: int = connection.execute(_OTHERS).scalar_one()
    return count


def has_role(connection: Connection, name: str) -> bool:
    """Say whether the server has a role of this name."""
    found = connection.execute(text("SELECT 1 FROM pg_roles WHERE rolname = :name"), {"name": name})
    return found.first() is not None


def _describe(url: URL) -> str:
    return f"{url.host or url.query.get('host', 'the local socket')}:{url.port or 5432}/{url.database}"


def _explain(error: DBAPIError) -> str:
    """Return the first line of what the driver says, without a stop at its end; it names no password."""
    said: Any = error.orig
    first = str(said).strip().partition("\n")[0].rstrip(".")
    state = get_state(error)
    return f"{first} ({state})" if state else first
