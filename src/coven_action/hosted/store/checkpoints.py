"""Copies the write-ahead log into the database file beside the writer, so that no commit waits for it.

SQLite itself does that at the end of the commit that fills the log: one commit in a hundred then takes ten times as long.
A passive checkpoint waits for nobody and nobody for it (https://sqlite.org/wal.html#ckpt); often done, it is short. Where
it cannot keep up, the writer's own (`wal_autocheckpoint`) keeps the log from growing without end.
"""

import logging
import threading
from pathlib import Path
from typing import Final

import pysqlite3

log = logging.getLogger("coven_action.hosted.store")

PAUSE: Final = 0.05
"""Seconds between two checkpoints, at least: what is written to the same page meanwhile is copied once."""


class Checkpoints:
    """A thread that makes checkpoints of one file, as long as something is written.

    Args:
        path: The file; whoever writes has put it in WAL mode.
    """

    def __init__(self, path: Path) -> None:
        self.alone = threading.Lock()
        """Held for each checkpoint; who needs one of their own holds it so long, for SQLite lets nobody wait for that."""
        self._written = threading.Event()
        self._closing = threading.Event()
        self._failing = False
        # The thread alone uses it. Nothing is read of the file before something was written.
        self._connection = pysqlite3.connect(path, isolation_level=None, check_same_thread=False)
        self._thread = threading.Thread(target=self._work, name="checkpoints", daemon=True)
        self._thread.start()

    def tell_written(self) -> None:
        """Say that there is something to copy."""
        self._written.set()

    def close(self) -> None:
        """End the thread and its connection."""
        self._closing.set()
        self._written.set()
        self._thread.join()
        self._connection.close()

    def _work(self) -> None:
        while self._written.wait() and not self._closing.is_set():
            self._written.clear()
            with self.alone:
                self._copy()
            self._closing.wait(PAUSE)

    def _copy(self) -> None:
        try:
            # What is copied has to be durable before the log begins anew.
            self._connection.execute("PRAGMA synchronous=FULL")
            self._connection.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchall()
        except pysqlite3.Error:
            # Nothing is lost: what is not copied stays in the log, and the writer says of its own commits what they met.
            if not self._failing:
                log.warning("The write-ahead log could not be copied into the database file.", exc_info=True)
            self._failing = True
        else:
            self._failing = False
