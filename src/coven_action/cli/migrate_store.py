"""`coven-action migrate-store`: move the endpoint's accounts from one database into another."""

import os
from contextlib import ExitStack
from pathlib import Path

import click

from coven_action.cli.database_option import VARIABLE, open_alone


@click.command(name="migrate-store")
@click.argument("source")
@click.argument("target")
def command(*, source: str, target: str) -> None:
    """Copy every account from SOURCE to TARGET, each a database file or the URL of a PostgreSQL database.

    The word DATABASE_URL stands for the variable's value, since others read a command line. On PostgreSQL `coven-action
    migrate` makes the tables first; a file is made where it is missing. The command is alone on both: where somebody serves
    one of them it does not begin, and whoever comes while it works is refused.

    An account goes whole or not at all; cut off, the same command goes on. At the end every row of both is read again, and
    the digests of all tables have to be the same. SOURCE is not changed. Afterwards start the endpoint on TARGET with the
    same signing key, and run `coven-action admin partitions` as the owner: it gives old events the tables of their months.

    \b
    Examples:
      coven-action migrate-store coven.db DATABASE_URL
      coven-action migrate-store DATABASE_URL coven.db

    Exit codes: 0 moved and equal, 1 not, 2 wrong usage.
    """  # noqa: D301 - the backslash is click's mark for lines that stay as they are
    from coven_action.hosted.moving import move_store  # noqa: PLC0415 - only who moves pays for the database

    places = [_read_place(each) for each in (source, target)]
    if places[0] == places[1]:
        raise click.UsageError("SOURCE and TARGET are the same.")
    with ExitStack() as stack:
        source_database = stack.enter_context(open_alone(places[0]))
        target_database = stack.enter_context(open_alone(places[1], create=True))
        moved = move_store(source_database, target_database, click.echo)
    click.echo(f"{len(moved.accounts)} accounts, {len(moved.copied)} of them copied now, the others before")
    click.echo(f"source {moved.source_sha256}")
    click.echo(f"target {moved.target_sha256}")


def _read_place(given: str) -> Path | str:
    if given == VARIABLE:
        if not os.environ.get(VARIABLE):
            raise click.UsageError(f"{VARIABLE} is not set.")
        return os.environ[VARIABLE]
    return given if given.startswith(("postgresql", "postgres:")) and "://" in given else Path(given)
