"""`coven-action migrate`: bring a database to this version without serving it."""

from pathlib import Path

import click


@click.command(name="migrate")
@click.option(
    "--data",
    type=click.Path(dir_okay=False, path_type=Path),
    required=True,
    help="The database file; it is made where it is missing.",
)
def command(*, data: Path) -> None:
    """Make the endpoint's database, or bring it to this version.

    `coven-action serve` does the same when it starts; this does it alone, for instance before a planned restart. All
    of it happens or nothing: a database that could not be changed is as it was. Make a backup first.

    \b
    Example:
      coven-action migrate --data coven.db

    Exit codes: 0 it has this version's tables, 1 it could not be changed, 2 wrong usage.
    """  # noqa: D301 - the backslash is click's mark for lines that stay as they are
    from coven_action.hosted.server import hold_database, prepare_database  # noqa: PLC0415 - it loads the whole server
    from coven_action.hosted.store.migrations import HEAD  # noqa: PLC0415

    with hold_database(data):
        found = prepare_database(data)
    if found == HEAD:
        click.echo(f"{data} has version {HEAD} already.")
    else:
        how = f"brought from version {found} to" if found else "made with"
        click.echo(f"{data} was {how} version {HEAD}.")
