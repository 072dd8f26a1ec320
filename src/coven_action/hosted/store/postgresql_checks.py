"""Who may connect to PostgreSQL as the endpoint: a role that the policies hold for, on tables of this version.

Whatever is not as it has to be is refused as the endpoint starts, with what to do about it: an address that is none, a server
that cannot be reached or is too old, tables of another version, a table without its policies, a role that lacks a right, and
a role that could go around the policies or destroy what they keep: one with an attribute or a membership that reaches
further than its rights, an owner of the database, its schema or a table (or of what may become somebody who is), and one with
rights on the tables besides those that `migrate` gives.
"""

import re
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final

from sqlalchemy import URL, Connection, Engine, make_url, text
from sqlalchemy.exc import ArgumentError, DBAPIError
from sqlalchemy.pool import NullPool

from coven_action.errors import EnvironmentFault, Error
from coven_action.hosted.store import postgresql, schema
from coven_action.hosted.store.migrations import HEAD, read_version
from coven_action.hosted.store.postgresql import Place, get_state, leave_place, open_engine, take_place
from coven_action.hosted.store.tenancy import list_policies

FLOOR: Final = 15
"""The oldest major version that the tests were run with; docs/hosted.md says which."""
_DRIVER: Final = "postgresql+psycopg"
_NAMES: Final = frozenset({"postgres", "postgresql", _DRIVER})
_RIGHTS: Final = ("SELECT", "INSERT", "UPDATE", "DELETE")

# What each attribute of a role allows, and how it is taken back.
# https://www.postgresql.org/docs/current/role-attributes.html
_ATTRIBUTES: Final = {
    "rolsuper": ("is a superuser", "NOSUPERUSER"),
    "rolbypassrls": ("bypasses row security", "NOBYPASSRLS"),
    "rolreplication": ("may copy the whole database (REPLICATION)", "NOREPLICATION"),
    "rolcreaterole": ("may make itself a member of other roles (CREATEROLE)", "NOCREATEROLE"),
}
# https://www.postgresql.org/docs/current/predefined-roles.html
_PREDEFINED: Final = {
    "pg_create_subscription": "may fill tables from another server",
    "pg_execute_server_program": "may run programs on the server",
    "pg_maintain": "may lock every table",
    "pg_read_all_data": "may read every table",
    "pg_read_server_files": "may read the server's files",
    "pg_signal_backend": "may end the owner's work",
    "pg_write_all_data": "may change every table",
    "pg_write_server_files": "may change the server's files",
}
# https://www.postgresql.org/docs/current/view-pg-roles.html: whatever the role is, or may make itself with SET ROLE.
_MIGHTIER: Final = text(
    f"SELECT rolname, {', '.join(_ATTRIBUTES)} FROM pg_roles "  # noqa: S608 our own names
    f"WHERE ({' OR '.join(_ATTRIBUTES)} OR rolname = ANY(:predefined)) AND pg_has_role(current_user, oid, 'MEMBER') "
    "ORDER BY rolname != current_user, rolname LIMIT 1"
)
_OWNED: Final = text(
    "SELECT * FROM ("
    "SELECT 1, 'the database', datname, datdba FROM pg_database WHERE datname = current_database() UNION ALL "
    "SELECT 2, 'the schema', nspname, nspowner FROM pg_namespace WHERE nspname = current_schema() UNION ALL "
    "SELECT 3, 'the table', relname, relowner FROM pg_class "
    "WHERE relnamespace = current_schema()::regnamespace AND relkind IN ('r', 'p')"
    ") AS owned (place, what, name, owner) CROSS JOIN LATERAL (SELECT pg_get_userbyid(owner) AS owner_name) AS named "
    "WHERE pg_has_role(current_user, owner, 'MEMBER') ORDER BY place, name LIMIT 1"
)
# The role's own membership through which it is a member of another: that one can be taken from it.
_LINK: Final = text(
    "SELECT pg_get_userbyid(roleid) FROM pg_auth_members WHERE member = (SELECT oid FROM pg_roles WHERE rolname = current_user) "
    "AND pg_has_role(roleid, CAST(:role AS name), 'MEMBER') ORDER BY 1 LIMIT 1"
)
# No policy holds for these: https://www.postgresql.org/docs/current/ddl-rowsecurity.html
_SURPLUS: Final = text(
    "SELECT relname, asked FROM pg_class, unnest(ARRAY['TRUNCATE', 'TRIGGER', 'REFERENCES']) AS asked "
    "WHERE relnamespace = current_schema()::regnamespace AND (relname = ANY(:tables) OR relispartition) "
    "AND relkind IN ('r', 'p') AND has_table_privilege(current_user, pg_class.oid, asked) ORDER BY relname, asked LIMIT 1"
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
# https://www.postgresql.org/docs/current/errcodes-appendix.html
_IN_USE: Final = "55006"
_SERVED: Final = "An endpoint, or another command, works on the database."
_STOP: Final = (
    "Stop every endpoint first, and wait for commands to end; `SELECT * FROM pg_stat_activity` says who is there."
)
_POLL_SECONDS: Final = 0.02
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
    engine = open_engine(url, place="none", poolclass=NullPool)
    connection = _reach(engine)
    try:
        _check_age(connection)
        yield connection
    finally:
        connection.close()
        engine.dispose()


def _reach(engine: Engine) -> Connection:
    try:
        return engine.connect()
    except DBAPIError as error:
        if get_state(error) == _IN_USE:
            raise Error("database-in-use", _SERVED, remedy=_STOP) from error
        raise EnvironmentFault(
            "database-unreachable", f"The database at {_describe(engine.url)} cannot be reached: {_explain(error)}."
        ) from error


def check_database(url: URL, *, place: Place = "beside") -> None:
    """Refuse a database or a role that the endpoint must not work with.

    Args:
        url: Of the database.
        place: Whether whoever asks works beside others; then nobody may be there who wants to be alone.

    Raises:
        EnvironmentFault: `database-unreachable`.
        Error: `database-in-use`, `database-too-old`, `database-newer`, `database-unusable`, `database-not-migrated`,
            `database-unprotected`, `database-role-unsafe`, `database-rights-missing`.
    """
    with connect(url) as connection:
        if place == "beside":
            _check_nobody_is_alone(connection)
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
    """Refuse a role that the policies do not hold for, or that could destroy what they keep.

    Raises:
        Error: `database-role-unsafe`.
    """
    name = connection.execute(text("SELECT current_user")).scalar_one()
    for find in (_find_might, _find_owned, _find_surplus):
        found = find(connection, name)
        if found is not None:
            what, statement = found
            raise Error(
                "database-role-unsafe",
                f"The endpoint would connect as {name}. {what}.",
                remedy=f"As the administrator of the server: `{statement}`; or make a role for the endpoint alone: "
                "CREATE ROLE coven_app LOGIN PASSWORD '…'.",
            )


def _find_might(connection: Connection, name: str) -> tuple[str, str] | None:
    """Return what the role may beyond its rights and the statement that takes it back; None where there is nothing."""
    row = connection.execute(_MIGHTIER, {"predefined": list(_PREDEFINED)}).first()
    if row is None:
        return None
    quote = connection.dialect.identifier_preparer.quote
    found = [each for attribute, each in _ATTRIBUTES.items() if getattr(row, attribute)]
    what = found[0][0] if found else _PREDEFINED[row.rolname]
    if row.rolname == name:
        return f"It {what}", f"ALTER ROLE {quote(name)} {' '.join(undo for _, undo in found)}"
    return f"It is a member of {row.rolname}, which {what}", _render_revocation(connection, name, row.rolname)


def _find_owned(connection: Connection, name: str) -> tuple[str, str] | None:
    row = connection.execute(_OWNED).first()
    if row is None:
        return None
    quote = connection.dialect.identifier_preparer.quote
    what = f"{row.what} {row.name}"
    if row.owner_name == name:
        kind = row.what.removeprefix("the ").upper()
        return f"It owns {what}", f"ALTER {kind} {quote(row.name)} OWNER TO coven_owner"
    return f"As a member of {row.owner_name} it owns {what}", _render_revocation(connection, name, row.owner_name)


def _render_revocation(connection: Connection, name: str, other: str) -> str:
    quote = connection.dialect.identifier_preparer.quote
    link = connection.execute(_LINK, {"role": other}).scalar_one()
    return f"REVOKE {quote(link)} FROM {quote(name)}"


def _find_surplus(connection: Connection, name: str) -> tuple[str, str] | None:
    row = connection.execute(_SURPLUS, {"tables": list(schema.metadata.tables)}).first()
    if row is None:
        return None
    quote = connection.dialect.identifier_preparer.quote
    return (
        f"It has the right to {row.asked} on the table {row.relname}, for which no policy holds",
        f"REVOKE {row.asked} ON {quote(row.relname)} FROM {quote(name)}, PUBLIC",
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


def _check_nobody_is_alone(connection: Connection) -> None:
    driver: Any = connection.connection.driver_connection
    if not take_place(driver, "beside"):
        raise Error(
            "database-in-use",
            "A command works on the database that must be alone: a move of the accounts, or the end of a restore.",
            remedy="Wait until it has ended.",
        )
    leave_place(driver)


def be_alone(engine: Engine) -> None:
    """Make sure that nobody else works on the database, neither an endpoint nor a command, of whatever version.

    Args:
        engine: One whose only connection takes the place of who is alone. From here on it holds it.

    Raises:
        EnvironmentFault: `database-unreachable`.
        Error: `database-in-use`.
    """
    with _reach(engine) as connection:
        # Before this version connections held no place, and an operator's own session holds none.
        until = time.monotonic() + postgresql.PLACE_SECONDS
        while connection.execute(_OTHERS).scalar_one():
            if time.monotonic() >= until:
                raise Error("database-in-use", _SERVED, remedy=_STOP)
            time.sleep(_POLL_SECONDS)


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
