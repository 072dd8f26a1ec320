"""`coven-action migrate`: bring a database to this version without serving it."""

from datetime import UTC, datetime
from pathlib import Path

import click

from coven_action.cli.database_option import database_option


@click.command(name="migrate")
@database_option("The database file; it is made where it is missing.")
@click.option(
    "--app-role", default="coven_app", show_default=True, help="On PostgreSQL: the role that the endpoint connects as."
)
def command(*, data: Path | str, app_role: str) -> None:
    """Make the endpoint's database, or bring it to this version.

    For a file `coven-action serve` does the same when it starts; this does it alone, for instance before a planned restart.
    All of it happens or nothing: a database that could not be changed is as it was. Make a backup first.

    On PostgreSQL this is the one command that takes the role that owns the tables, and it gives the endpoint's role, which
    owns none of them, the rights it needs.

    \b
    Examples:
      coven-action migrate --data coven.db
      DATABASE_URL=postgresql://coven_owner@db/coven coven-action migrate --app-role coven_app

    Exit codes: 0 it has this version's tables, 1 it could not be changed, 2 wrong usage.
    """  # noqa: D301 - the backslash is click's mark for lines that stay as they are
    from coven_action.hosted.store.migrations import HEAD  # noqa: PLC0415 - it loads the whole server

    found = _migrate_file(data) if isinstance(data, Path) else _migrate_server(data, app_role)
    # An URL may have a password in it.
    name = data if isinstance(data, Path) else "The database"
    if found == HEAD:
        click.echo(f"{name} has version {HEAD} already.")
    else:
        how = f"brought from version {found} to" if found else "made with"
        click.echo(f"{name} was {how} version {HEAD}.")


def _migrate_file(path: Path) -> str | None:
    from coven_action.hosted.server import hold_database, prepare_database  # noqa: PLC0415 - as above

    with hold_database(path):
        return prepare_database(path)


def _migrate_server(url: str, role: str) -> str | None:
    from coven_action.hosted.store.postgresql_checks import parse_database_url  # noqa: PLC0415 - as above
    from coven_action.hosted.store.postgresql_migration import migrate_database  # noqa: PLC0415 - as above

    return migrate_database(parse_database_url(url), role, datetime.now(UTC))
