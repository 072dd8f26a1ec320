"""Bring a database to the tables that this version works with, by Alembic's numbered steps. All of them, or none.

A step is a file in `versions` with explicit operations; it never changes once it was released. The whole way is one
transaction that holds the database's write lock (on PostgreSQL an advisory one), so that a process that is killed on it
leaves the old tables, and two that begin at once take turns. A database of a newer version is refused: what it says may
mean something else there.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from sqlalchemy import Connection, Engine, MetaData, inspect, select, text
from sqlalchemy.exc import DBAPIError

from coven_action.errors import Error
from coven_action.hosted.store.tenancy import TURN_LOCK

HEAD: Final = "0001"
"""The newest step. A database that names it needs nothing, and Alembic need not even be loaded."""

VERSIONS: Final = Path(__file__).parent / "versions"
_MARK: Final = "alembic_version"
_TABLES: Final = text("SELECT oid::regclass::text FROM pg_class WHERE relnamespace = current_schema()::regnamespace")
_FORCED: Final = text(f"{_TABLES.text} AND relforcerowsecurity ORDER BY relname")


def upgrade(engine: Engine, versions: Path = VERSIONS, head: str = HEAD) -> str | None:
    """Make or change the tables; a database that is up to date stays as it is.

    Args:
        engine: Of the writer: its transactions hold the write lock from their beginning.
        versions: The steps.
        head: The newest of them.

    Returns:
        The version it had before; None where it was empty.

    Raises:
        Error: `database-newer`; `database-unusable`: it is damaged, or another program's.
    """
    try:
        with _without_foreign_keys(engine) as connection:
            found = read_version(connection)
            if found != head:
                with _seeing_every_row(connection):
                    _climb(connection, versions, found)
            return found
    except DBAPIError as error:
        said = str(error.orig).partition("\n")[0]
        raise Error("database-unusable", f"The database cannot be read or changed: {said}.") from error


def read_version(connection: Connection) -> str | None:
    """Return the version of a database's tables; None where it has none yet.

    Raises:
        Error: `database-unusable`: it has tables of another program.
    """
    tables = inspect(connection).get_table_names()
    if _MARK in tables:
        mark = MetaData()
        mark.reflect(connection, only=[_MARK])
        return connection.execute(select(mark.tables[_MARK].c.version_num)).scalar()
    if tables:
        raise Error("database-unusable", f"The database holds the tables of another program: {', '.join(tables[:5])}.")
    return None


def _climb(connection: Connection, versions: Path, found: str | None) -> None:
    # Alembic takes a moment to load, which every start would pay for.
    from alembic import command  # noqa: PLC0415
    from alembic.config import Config  # noqa: PLC0415
    from alembic.script import ScriptDirectory  # noqa: PLC0415

    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent))
    config.set_main_option("path_separator", "newline")
    config.set_main_option("version_locations", str(versions))
    config.attributes["connection"] = connection
    known = {script.revision for script in ScriptDirectory.from_config(config).walk_revisions()}
    if found is not None and found not in known:
        raise Error(
            "database-newer", f"The database has the tables of version {found}, and this program those of {HEAD}."
        )
    command.upgrade(config, "head")


@contextmanager
def _seeing_every_row(connection: Connection) -> Iterator[None]:
    """Let the policies of PostgreSQL not hold for the owner who migrates: a step that changes rows would find none.

    It is part of the transaction: nobody else ever sees a table without them, and a step that fails leaves them.
    """
    if connection.dialect.name != "postgresql":
        yield
        return
    forced = connection.execute(_FORCED).scalars().all()
    for table in forced:
        connection.exec_driver_sql(f"ALTER TABLE {table} NO FORCE ROW LEVEL SECURITY")
    yield
    for table in sorted({*forced} & {*connection.execute(_TABLES).scalars()}):
        connection.exec_driver_sql(f"ALTER TABLE {table} FORCE ROW LEVEL SECURITY")


@contextmanager
def _without_foreign_keys(engine: Engine) -> Iterator[Connection]:
    """Begin a transaction in which tables may be rebuilt; before it ends on SQLite, every reference is looked at.

    SQLite changes a table by copying it, and would follow the references to the one that is dropped:
    https://sqlite.org/lang_altertable.html#making_other_kinds_of_table_schema_changes
    """
    with engine.connect() as connection:
        driver = connection.connection.driver_connection if engine.dialect.name == "sqlite" else None
        # The setting has no effect within a transaction, so it does not go through one of SQLAlchemy's.
        if driver is not None:
            driver.execute("PRAGMA foreign_keys=OFF")
        try:
            with connection.begin():
                if driver is None:
                    connection.exec_driver_sql(f"SELECT pg_advisory_xact_lock({TURN_LOCK})")
                yield connection
                if driver is not None and (broken := driver.execute("PRAGMA foreign_key_check").fetchone()):
                    raise Error("database-unusable", f"A row of the table {broken[0]} refers to one that is missing.")
        finally:
            if driver is not None:
                driver.execute("PRAGMA foreign_keys=ON")
