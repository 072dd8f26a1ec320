"""A store that moves: from a file to PostgreSQL and back, cut off and gone on with, and refused where it would mix."""

import asyncio
import contextlib
import shutil
from contextlib import contextmanager
from pathlib import Path

import pysqlite3
import pytest
from click.testing import CliRunner
from sqlalchemy import JSON, insert, select, update

from coven_action.cli.database_option import open_alone
from coven_action.cli.main import cli
from coven_action.core.endpoint.export_format import TABLES, verify_export
from coven_action.errors import Error
from coven_action.hosted.moving import copy_account, move_store, summarise_account
from coven_action.hosted.operating import open_database
from coven_action.hosted.server import hold_database
from coven_action.hosted.services.exports import iterate_export
from coven_action.hosted.signing import SigningKey
from coven_action.hosted.store import postgresql as store_module
from coven_action.hosted.store import schema
from coven_action.hosted.store.commands import Command, StoreUnavailable
from coven_action.hosted.store.migrations import HEAD
from coven_action.hosted.store.postgresql import PLACE_LOCK
from coven_action.hosted.store.postgresql_checks import check_database
from tests.hosted import postgresql
from tests.hosted.databases import open_store
from tests.hosted.deployment import SettableClock
from tests.hosted.neighbours import NUMBERS, Act, Recording, open_street, schedule_day
from tests.identity_tokens import NOW

ACTS = 120


@pytest.fixture(scope="module")
def lived(tmp_path_factory):
    """A file in which three accounts have lived for a while."""
    folder = tmp_path_factory.mktemp("lived")
    with asyncio.Runner() as runner, open_street(runner) as street:
        recording = Recording(street)
        for number, act in [*schedule_day()[:ACTS], *((number, Act("ask_export")) for number in NUMBERS)]:
            recording.act(number, act)
        runner.run(street.deployment.store.close())
        path = Path(shutil.copy(street.place, folder / "coven.db"))
    # The tables were made without the steps, which are what says so.
    with contextlib.closing(pysqlite3.connect(path)) as connection:
        connection.execute("CREATE TABLE alembic_version (version_num VARCHAR(32) NOT NULL PRIMARY KEY)")
        connection.execute("INSERT INTO alembic_version VALUES (?)", (HEAD,))
        connection.commit()
    return path


@pytest.fixture
def source(lived, tmp_path):
    return Path(shutil.copy(lived, tmp_path / "source.db"))


@contextmanager
def opened(*places):
    """Open databases as the command does: files, and addresses of PostgreSQL."""
    given = [each if isinstance(each, Path) else each.render_as_string(hide_password=False) for each in places]
    with open_database(given[0], clock=lambda: NOW, create=True) as first:
        if len(given) == 1:
            yield first
        else:
            with open_database(given[1], clock=lambda: NOW, create=True) as second:
                yield first, second


def move(source, target, **more):
    with opened(source, target) as (first, second):
        return move_store(first, second, **more)


def test_a_store_goes_to_a_server_and_back_and_nothing_differs(source, url, tmp_path):
    away = move(source, url)
    back = move(url, tmp_path / "back.db")

    assert away.copied == back.copied == NUMBERS
    assert away.source_sha256 == away.target_sha256 == back.source_sha256 == back.target_sha256
    assert away.accounts == back.accounts
    # There was something to move.
    assert all(account.rows > 100 for account in away.accounts)
    empty = {name for name in TABLES if len({account.tables[name] for account in away.accounts}) == 1}
    assert empty == set()


def test_exports_say_the_same_before_and_after(source, url):
    move(source, url)
    signer = SigningKey(bytes(32))

    with opened(source, url) as databases:
        exports = [
            [list(each.stream(number, lambda reading: iterate_export(reading, signer))) for number in NUMBERS]
            for each in databases
        ]

    assert exports[0] == exports[1]
    for export in exports[0]:
        verify_export(iter(export))


def test_sessions_and_keys_for_repetition_go_along(source, url):
    """A run that was told 503 during the move asks the moved endpoint again, and its request has one effect."""
    move(source, url)
    with opened(url) as target:
        rows = target.read(1, lambda reading: reading.fetch_all(select(schema.idempotency)))
        sessions = target.read(1, lambda reading: reading.fetch_all(select(schema.sessions)))
        tokens = target.read(1, lambda reading: reading.fetch_all(select(schema.jti_seen)))

    assert len(rows) > 10
    assert sessions
    assert tokens


def test_what_is_not_there_is_not_there_in_either(source, url, tmp_path):
    """A document that says null is another thing than none."""
    move(source, url)
    move(url, tmp_path / "back.db")
    columns = [
        column for table in schema.metadata.sorted_tables for column in table.columns
        if isinstance(column.type, JSON) and column.nullable
    ]  # fmt: skip
    assert columns
    for place in (source, url, tmp_path / "back.db"):
        with opened(place) as database:
            missing = [
                database.read(1, lambda reading, column=column: reading.fetch_all(
                    select(column.table).where(column.is_(None)))) for column in columns
            ]  # fmt: skip
        assert [len(rows) > 0 for rows in missing] == [True] * len(columns)


def test_the_moved_endpoint_goes_on_where_the_old_one_was(source, url):
    move(source, url)
    before = read_heads(source, 1)

    with asyncio.Runner() as runner:
        clock = SettableClock(NOW)
        store = open_store(url, clock)
        told = runner.run(store.write(Command(1, lambda transaction: transaction.append_event("note", {}))))
        runner.run(store.close())

    assert told == before.event_sequence + 1


def read_heads(place, tenant_id):
    of_tenant = select(schema.heads).where(schema.heads.c.tenant_id == tenant_id)
    with opened(place) as database:
        return database.read(tenant_id, lambda reading: reading.fetch_one(of_tenant))


# --- cut off


class CutOff(Exception):
    """What ends a move in the test."""


@pytest.mark.slow
def test_a_move_that_is_cut_off_goes_on_with_what_is_not_there(source, url):
    def cut(_):
        raise CutOff

    with pytest.raises(CutOff):
        move(source, url, tell=cut)

    again = move(source, url)

    assert again.copied == NUMBERS[1:]
    assert again.source_sha256 == again.target_sha256
    assert move(source, url).copied == ()


def test_an_account_goes_whole_or_not_at_all(source, url, monkeypatch):
    """Its last table cannot be written: nothing of it is there, and the directory does not name it."""
    with opened(source, url) as (first, second):
        postgresql.get_server().execute(
            "ALTER TABLE uses ADD CONSTRAINT broken CHECK (kind = 'nothing')", database=url.database
        )
        with pytest.raises(Error, match="account 1") as refused:
            copy_account(first, second, 1)
        assert refused.value.code == "stores-differ"
        assert second.read(0, lambda reading: reading.fetch_all(select(schema.tenants))) == []
        assert second.read(1, summarise_account).rows == 0


# --- refused


def change_login(transaction):
    columns = schema.tenants.c
    of_tenant = columns.tenant_id == transaction.tenant_id
    return transaction.execute(update(schema.tenants).where(of_tenant).values(account_login="changed"))


@pytest.mark.slow_after(1)
@pytest.mark.parametrize("changed", ["source", "target"])
def test_what_changed_in_between_is_found(source, url, changed):
    move(source, url)
    with opened(source if changed == "source" else url) as database:
        assert database.write(2, change_login) == 1

    with pytest.raises(Error, match="Account 2 differs in the table tenants") as refused:
        move(source, url)

    assert refused.value.code == "stores-differ"


def test_a_target_with_accounts_of_its_own_is_refused(source, url, tmp_path):
    move(source, url)
    other = tmp_path / "other.db"
    with opened(other):
        pass

    with pytest.raises(Error, match="an account 1 that the source does not have"):
        move(other, url)


def test_another_deployments_database_is_refused(source, url):
    with opened(url) as target:
        row = insert(schema.deployment).values(name="admin_token_sha256", value="0" * 64)
        target.write(0, lambda transaction: transaction.execute(row))

    with pytest.raises(Error, match="another admin_token_sha256") as refused:
        move(source, url)
    assert refused.value.code == "stores-differ"


# --- alone


def render(url):
    return url.render_as_string(hide_password=False)


@contextmanager
def hurried():
    """Whoever waits for a place on a database gives up soon."""
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(store_module, "PLACE_SECONDS", 0.05)
        yield


def test_an_endpoint_that_is_started_during_a_move_acknowledges_nothing(source, url, tmp_path):
    """It could otherwise tell runs that something is kept which never arrives."""
    move(source, url)
    tried = []

    @hurried()
    def start(_):
        with pytest.raises(Error) as refused:
            check_database(url)
        tried.append(refused.value.code)
        with pytest.raises(Error) as refused, open_database(render(url)):
            pass
        tried.append(refused.value.code)
        # Somebody who had been there before, and has lost the connection meanwhile.
        with asyncio.Runner() as runner:
            store = open_store(url, SettableClock(NOW))
            for asked in (
                store.write(Command(1, lambda transaction: transaction.append_event("note", {}))),
                store.read(1, lambda reading: reading.now),
            ):
                with pytest.raises(StoreUnavailable) as unavailable:
                    runner.run(asked)
                tried.append(unavailable.value.reason)
            runner.run(store.close())

    with open_alone(render(url)) as first, open_alone(tmp_path / "back.db", create=True) as second:
        moved = move_store(first, second, tell=start)

    assert tried == ["database-in-use", "database-in-use", "database-failed", "database-failed"] * len(NUMBERS)
    assert moved.source_sha256 == moved.target_sha256
    with asyncio.Runner() as runner:
        store = open_store(url, SettableClock(NOW))
        assert runner.run(store.read(1, lambda reading: reading.tenant_id)) == 1
        runner.run(store.close())


SERVING = {
    "an endpoint": (postgresql.APP, f"SELECT pg_advisory_lock_shared({PLACE_LOCK})"),
    "an endpoint under another role's name": ("postgres", f"SELECT pg_advisory_lock_shared({PLACE_LOCK})"),
    "another move": ("postgres", f"SELECT pg_advisory_lock({PLACE_LOCK})"),
    "an older endpoint": (postgresql.APP, "SELECT 1"),
}


@pytest.mark.slow_after(2)
@pytest.mark.parametrize(("role", "statement"), SERVING.values(), ids=SERVING)
def test_who_must_be_alone_does_not_begin_beside_others(url, role, statement):
    with postgresql.get_server().connect(str(url.database), role) as connection:
        connection.execute(statement)
        with hurried(), pytest.raises(Error) as refused, open_alone(render(url)):
            pass
        assert refused.value.code == "database-in-use"
    with open_alone(render(url)) as database:
        assert database.read(0, lambda reading: reading.tenant_id) == 0


# --- as a command


@pytest.fixture
def run(monkeypatch, url):
    monkeypatch.setenv("DATABASE_URL", url.set(drivername="postgresql").render_as_string(hide_password=False))
    return lambda *argv: CliRunner().invoke(cli, ["migrate-store", *map(str, argv)])


def test_the_command_tells_what_it_did_and_both_digests(run, source, tmp_path):
    away = run(source, "DATABASE_URL")
    back = run("DATABASE_URL", tmp_path / "back.db")

    assert (away.exit_code, back.exit_code) == (0, 0), away.output + back.output
    *accounts, count, here, there = away.output.splitlines()
    assert [line.split(":")[0] for line in accounts] == ["account 1", "account 2", "account 3"]
    assert count == "3 accounts, 3 of them copied now, the others before"
    assert here.removeprefix("source ") == there.removeprefix("target ")
    assert back.output == away.output


@hurried()
def test_what_somebody_serves_is_not_moved(run, source, url, tmp_path):
    with hold_database(source):
        refused = run(source, "DATABASE_URL")
    assert refused.exception.code == "database-in-use"

    with postgresql.get_server().connect(str(url.database), postgresql.APP):
        refused = run(source, "DATABASE_URL")
    assert refused.exception.code == "database-in-use"


def test_a_file_that_is_not_there_is_no_empty_store(run, tmp_path):
    refused = run(tmp_path / "missing.db", "DATABASE_URL")

    assert refused.exception.code == "database-unusable"
    assert list(tmp_path.iterdir()) == []


def test_a_store_is_not_moved_onto_itself(run, source):
    assert run(source, source).exit_code == 2
    assert run("DATABASE_URL", "DATABASE_URL").exit_code == 2
