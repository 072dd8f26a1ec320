"""The database of the commands that an operator runs on it: a file with --data, or PostgreSQL by DATABASE_URL."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import click

VARIABLE: Final = "DATABASE_URL"


def _choose(context: click.Context, parameter: click.Parameter, given: Path | None) -> Path | str:
    del context, parameter
    # What stands on the command line is meant; the environment is what this machine has besides.
    place = given or os.environ.get(VARIABLE)
    if not place:
        raise click.UsageError(f"Say where the database lies: --data PATH, or {VARIABLE} in the environment.")
    return place


def database_option(help_: str = "The database file.") -> Callable[[Any], Any]:
    """Return the option --data, whose value is the file's path, or the URL of a database of PostgreSQL."""
    return click.option(
        "--data",
        type=click.Path(dir_okay=False, path_type=Path),
        callback=_choose,
        help=f"{help_} Without it {VARIABLE} names a database of PostgreSQL.",
    )
