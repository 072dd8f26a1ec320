"""The store in one file: its disk, its locks, its damage. What holds for every store is in `test_store.py`."""

import subprocess
import sys
import threading

import pysqlite3
import pytest
from sqlalchemy import select
from sqlalchemy.exc import DBAPIError

from coven_action.errors import Error
from coven_action.hosted.store import schema
from coven_action.hosted.store.commands import Command, StoreUnavailable
from coven_action.hosted.store.sqlite import FLOOR, SQLiteStore, check_floor, is_shared
from tests.hosted.store.working import append, read_sequences, write_group

# --- full, locked


HOLD_LOCK = """
import sys, pysqlite3
connection = pysqlite3.connect(sys.argv[1], isolation_level=None)
connection.execute("BEGIN IMMEDIATE")
print(flush=True)
sys.stdin.read()
"""


def test_another_process_that_writes_is_waited_for(deployment, tenant, data):
    argv = [sys.executable, "-P", "-c", HOLD_LOCK, str(data)]
    with subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as other:
        other.stdout.readline()
        set_timeout(deployment.store, 0)
        with pytest.raises(StoreUnavailable, match="overloaded") as refused:
            deployment.write(tenant, append)
        assert refused.value.retry_after == 1
        # Whoever reads is not kept from it.
        assert read_sequences(deployment, tenant) == []
        set_timeout(deployment.store, 10_000)
        threading.Timer(0.05, other.stdin.close).start()
        assert deployment.write(tenant, append) == 1


def set_timeout(store, milliseconds):
    with store._writer.connect() as connection:
        connection.connection.driver_connection.execute(f"PRAGMA busy_timeout={milliseconds}")


def append_much(transaction):
    return transaction.append_event("note", {"text": "x" * 50_000})


def test_a_full_disk_takes_nothing_and_the_store_goes_on_once_there_is_space(deployment, tenant, caplog):
    with deployment.store._writer.connect() as connection:
        driver = connection.connection.driver_connection
        pages = driver.execute("PRAGMA page_count").fetchone()[0]
        driver.execute(f"PRAGMA max_page_count={pages + 4}")

    told = write_group(deployment, Command(tenant, append), Command(tenant, append_much))

    assert [each.reason for each in told] == ["disk-full", "disk-full"]
    assert "disk is full" in caplog.text
    assert "xxx" not in caplog.text
    assert read_sequences(deployment, tenant) == []
    with deployment.store._writer.connect() as connection:
        connection.connection.driver_connection.execute("PRAGMA max_page_count=100000")
    assert deployment.write(tenant, append_much) == 1


@pytest.fixture
def small_disk(tmp_path):
    """A file system of 2 MB, where this machine lets us make one."""
    place = tmp_path / "small"
    place.mkdir()
    made = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=2m", "tmpfs", place], capture_output=True, check=False)
    if made.returncode != 0:
        pytest.skip("only root may mount a small file system")
    yield place
    subprocess.run(["umount", place], check=True)


def test_a_disk_that_is_really_full_loses_nothing_of_what_was_acknowledged(
    small_disk, empty_database, clock, deployment, runner
):
    path = small_disk / "coven.db"
    path.write_bytes(empty_database.read_bytes())
    deployment.runner.run(deployment.store.close())
    deployment.store = SQLiteStore(path, clock)
    tenant = deployment.enrol(501, "acme", 1001, "billing")
    filler = small_disk / "filler"
    filler.write_bytes(b"x" * 600_000)
    acknowledged = []
    with pytest.raises(StoreUnavailable, match="disk-full"):
        acknowledged.extend(deployment.write(tenant, append_much) for _ in range(200))

    assert read_sequences(deployment, tenant) == list(range(1, len(acknowledged) + 1))
    filler.unlink()
    assert deployment.write(tenant, append) == len(acknowledged) + 1
    deployment.runner.run(deployment.store.close())


# --- damage, age, time


def test_a_file_that_is_no_database_is_refused(tmp_path, clock, runner):
    path = tmp_path / "coven.db"
    path.write_bytes(b"this is no database " * 1000)
    store = SQLiteStore(path, clock)

    with pytest.raises(StoreUnavailable, match="database-failed"):
        runner.run(store.write(Command(0, lambda _: 1)))
    with pytest.raises(StoreUnavailable, match="database-failed"):
        runner.run(store.read(0, lambda reading: reading.fetch_one(select(schema.heads))))
    runner.run(store.close())


def test_a_page_that_was_destroyed_fails_the_request_and_not_the_process(deployment, tenant, data):
    for _ in range(20):
        deployment.write(tenant, append_much)
    deployment.runner.run(deployment.store.close())
    destroyed = bytearray(data.read_bytes())
    destroyed[4096:-4096] = b"\xff" * (len(destroyed) - 8192)
    data.write_bytes(destroyed)
    deployment.store = SQLiteStore(data, deployment.clock)

    with pytest.raises(StoreUnavailable, match="database-failed"):
        deployment.write(tenant, append)
    with pytest.raises(StoreUnavailable, match="database-failed"):
        read_sequences(deployment, tenant)
    deployment.runner.run(deployment.store.close())


@pytest.mark.parametrize(
    ("version", "refused"),
    [((3, 51, 2), True), ((3, 40, 1), True), (FLOOR, False), ((3, 53, 0), False), ((4, 0, 0), False)],
)
def test_an_sqlite_that_could_lose_a_write_is_refused(version, refused):
    if not refused:
        check_floor(version)
        return
    with pytest.raises(Error) as raised:
        check_floor(version)
    assert raised.value.code == "sqlite-too-old"
    assert "pysqlite3" in raised.value.remedy


def test_the_database_waits_for_the_disk_at_every_commit(deployment):
    with deployment.store._writer.connect() as connection:
        driver = connection.connection.driver_connection
        settings = {name: driver.execute(f"PRAGMA {name}").fetchone()[0] for name in
            ("journal_mode", "synchronous", "foreign_keys", "secure_delete")}  # fmt: skip

    assert settings == {"journal_mode": "wal", "synchronous": 2, "foreign_keys": 1, "secure_delete": 1}


def test_a_failure_of_the_driver_alone_is_that_of_one_statement():
    assert not is_shared(DBAPIError("x", None, pysqlite3.ProgrammingError("no such type")))
