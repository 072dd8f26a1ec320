"""Notice at once that sessions were ended by somebody else, without asking the database with every request.

The endpoint keeps the sessions that it was asked for lately at hand. An operator's command that ends sessions is another
process: it makes a file beside the database one byte longer once that is committed, and to look how long a file is costs a
microsecond. Replicas on PostgreSQL need no such file: they ask the database every time.
"""

import os
from pathlib import Path
from typing import Final

from coven_action.errors import DocumentError

SUFFIX: Final = ".sessions"
_OWNER_ONLY: Final = 0o600


class EndedSessions:
    """How often sessions have been ended behind the back of whoever keeps them at hand.

    Args:
        data: The database's file; None where the database is elsewhere.
    """

    def __init__(self, data: Path | None) -> None:
        self._path = find_mark(data) if data is not None else None
        self._noted = 0

    def note(self) -> None:
        """Say that this process has ended sessions."""
        self._noted += 1

    def read(self) -> tuple[int, int]:
        """Return a mark that differs from every earlier one if sessions were ended since."""
        if self._path is None:
            return self._noted, 0
        try:
            return self._noted, os.stat(self._path).st_size  # noqa: PTH116 - half the time of Path.stat, on every request
        except FileNotFoundError:
            return self._noted, 0


def find_mark(data: Path) -> Path:
    """Return the file that tells of it."""
    return data.with_name(f"{data.name}{SUFFIX}")


def mark_ended(data: Path) -> None:
    """Tell a server that may be running beside us; called once what ended the sessions is committed.

    Raises:
        DocumentError: `sessions-not-told`: the file cannot be written.
    """
    try:
        handle = os.open(find_mark(data), os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_NOFOLLOW, _OWNER_ONLY)
        try:
            os.write(handle, b".")
        finally:
            os.close(handle)
    except OSError as error:
        raise DocumentError("sessions-not-told", f"The file {find_mark(data)}: {error.strerror}.") from error
