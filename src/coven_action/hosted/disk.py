"""Watch the disk that the database lies on: below a share of free space the endpoint takes no more writes.

A disk that is full to the last byte would also refuse what frees it. So writes end before, and what shows, takes back or
erases goes on. Nothing has to be restarted: the space is asked for with each write.
"""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Final

RECOVERY: Final = 0.01
"""How much more than the limit has to be free before writes are taken again, so that it does not change with each one."""


def measure_free(path: Path) -> float:
    """Return how much of a path's file system is free for us, from 0 to 1."""
    found = os.statvfs(path)
    return found.f_bavail / found.f_blocks if found.f_blocks else 1.0


class Disk:
    """The free space, and what follows from it.

    Args:
        least: Below this share, from 0 to 1, nothing is written.
        measure: Returns the share that is free now.
    """

    def __init__(self, least: float, measure: Callable[[], float]) -> None:
        self._least = least
        self._measure = measure
        self._is_low = False

    @property
    def free(self) -> float:
        """The share that is free now."""
        return self._measure()

    def is_low(self) -> bool:
        """Say whether nothing may be written now."""
        self._is_low = self.free < self._least + (RECOVERY if self._is_low else 0.0)
        return self._is_low


def watch_disk(data: Path | None, least_percent: int) -> Disk:
    """Return the disk of a database's file; where the database is elsewhere, one that never fills.

    Args:
        data: The file.
        least_percent: Below this share nothing is written; 0 never stops.
    """
    if data is None:
        return Disk(0.0, lambda: 1.0)
    folder = data.absolute().parent
    return Disk(least_percent / 100, lambda: measure_free(folder))
