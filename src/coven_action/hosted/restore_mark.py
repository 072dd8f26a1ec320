"""The mark of a restore that has not ended: nobody works on the database meanwhile, which may be the old one, or none."""

from pathlib import Path
from typing import Final

from coven_action.errors import Error

MARK: Final = ".restoring"
"""What a restored copy is called, after the database's name, while it takes its place."""


def get_mark(data: Path) -> Path:
    """Return where a copy waits that is about to take the place of the database."""
    return data.with_name(f"{data.name}{MARK}")


def refuse_unfinished(data: Path) -> None:
    """Refuse to work on a database whose restore was cut off.

    Raises:
        Error: `restore-unfinished`.
    """
    if get_mark(data).exists():
        raise Error("restore-unfinished", f"{get_mark(data)} was about to take the place of {data}.")
