"""The database of the commands that an operator runs on it: a file with --data, or PostgreSQL by DATABASE_URL."""

import os
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click

if TYPE_CHECKING:
    from coven_action.hosted.operating import Operator

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


@contextmanager
def open_alone(place: Path | str, *, create: bool = False) -> "Iterator[Operator]":
    """Open a database that nobody else works on until the block ends.

    Raises:
        Error: `database-in-use`; and what `open_database` refuses.
    """
    from coven_action.hosted.operating import open_database  # noqa: PLC0415 - only who asks pays for the database
    from coven_action.hosted.server import hold_database  # noqa: PLC0415 - as above

    with ExitStack() as stack:
        if isinstance(place, Path):
            if not create and not place.is_file():
                # Otherwise the lock's file would be all there is.
                stack.enter_context(open_database(place))
            stack.enter_context(hold_database(place))
        yield stack.enter_context(open_database(place, create=create, alone=True))
