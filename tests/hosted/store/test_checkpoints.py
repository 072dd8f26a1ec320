"""The write-ahead log is copied beside the writer: a commit neither waits for that nor fails with it."""

import threading
from contextlib import closing

import pysqlite3
import pytest

from coven_action.hosted.store.checkpoints import Checkpoints
from tests.hosted.store.working import append

SECONDS = 30


class Seen(Checkpoints):
    """Tells when a checkpoint was made, with what SQLite answered or broke with."""

    def __init__(self, path):
        self.made = threading.Semaphore(0)
        super().__init__(path)

    def _copy(self):
        super()._copy()
        self.made.release()


@pytest.fixture
def path(tmp_path):
    return tmp_path / "coven.db"


@pytest.fixture
def writer(path):
    with closing(pysqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute("PRAGMA journal_mode=WAL")
        connection.execute("PRAGMA wal_autocheckpoint=0")
        connection.execute("CREATE TABLE notes (text)")
        yield connection


@pytest.fixture
def checkpoints(path, writer):
    with closing(Seen(path)) as made:
        yield made


def write(writer, checkpoints, length=100_000):
    writer.execute("INSERT INTO notes VALUES (?)", ["x" * length])
    checkpoints.tell_written()
    assert checkpoints.made.acquire(timeout=SECONDS)


def test_what_was_written_reaches_the_file_although_no_commit_copies_it(path, writer, checkpoints):
    write(writer, checkpoints)

    assert path.stat().st_size > 100_000


def test_the_log_begins_anew_and_does_not_grow(path, writer, checkpoints):
    sizes = []
    for _ in range(5):
        write(writer, checkpoints)
        sizes.append(path.with_name("coven.db-wal").stat().st_size)

    assert sizes[-1] == sizes[1]


def test_what_cannot_be_copied_is_said_once_and_stays_in_the_log(path, writer, caplog):
    with closing(Seen(path)) as checkpoints:
        checkpoints._connection.close()
        for _ in range(3):
            write(writer, checkpoints)

    assert caplog.text.count("could not be copied") == 1
    assert path.stat().st_size < 100_000 < path.with_name("coven.db-wal").stat().st_size
    assert writer.execute("SELECT count(*) FROM notes").fetchone() == (3,)


def test_a_writer_never_waits_for_a_checkpoint(deployment, tenant):
    with deployment.store._checkpoints.alone:
        assert [deployment.write(tenant, append) for _ in range(3)] == [1, 2, 3]


def test_a_scrub_waits_for_a_checkpoint_and_is_not_refused_because_of_it(deployment, tenant):
    """SQLite itself lets nobody wait for another's checkpoint: it would say that the file is busy."""
    done = []
    alone = deployment.store._checkpoints.alone
    alone.acquire()
    threading.Timer(0.2, lambda: (done.append("checkpoint"), alone.release())).start()

    assert deployment.write(tenant, append, scrub=True) == 1

    assert done == ["checkpoint"]


def test_to_close_ends_the_thread(path, writer):
    checkpoints = Seen(path)
    checkpoints.close()

    assert not [thread for thread in threading.enumerate() if thread.name == "checkpoints"]
