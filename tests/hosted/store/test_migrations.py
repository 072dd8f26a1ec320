"""The steps from any version to the newest: the tables they make, the rows they keep, and what they refuse."""

import shutil
import threading
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import inspect, select, text

from coven_action.errors import Error
from coven_action.hosted.store import migrations, schema
from coven_action.hosted.store.migrations import HEAD, VERSIONS, read_version, upgrade
from coven_action.hosted.store.sqlite import SQLiteStore, open_writer

# A step as the next release may bring one: a new table, and a table that SQLite has to copy to change it.
NEXT_STEP = """
import sqlalchemy as sa
from alembic import op

revision = "9999"
down_revision = "{head}"


def upgrade():
    op.create_table("labels", sa.Column("tenant_id", sa.Integer(), primary_key=True))
    with op.batch_alter_table("repositories") as batch:
        batch.add_column(sa.Column("topic", sa.String(40), nullable=False, server_default="none"))
        batch.alter_column("name", new_column_name="label", existing_type=sa.String(100), existing_nullable=False)
    {more}
"""


@pytest.fixture
def writer(tmp_path):
    engine = open_writer(tmp_path / "migrated.db")
    yield engine
    engine.dispose()


@pytest.fixture
def next_versions(tmp_path):
    """Return a folder with the steps of this version and one of the next."""

    def make(more=""):
        folder = tmp_path / "versions"
        shutil.copytree(VERSIONS, folder, ignore=shutil.ignore_patterns("__pycache__"))
        (folder / "9999_next.py").write_text(NEXT_STEP.format(head=HEAD, more=more), encoding="utf-8")
        return folder

    return make


def read_tables(engine):
    """Return the whole schema as SQLite keeps it."""
    with engine.connect() as connection:
        return sorted(connection.execute(text("SELECT type, name, sql FROM sqlite_master")).fetchall())


def test_the_steps_make_exactly_the_tables_that_the_code_works_with(writer):
    assert upgrade(writer) is None

    with writer.connect() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True, "compare_server_default": True})
        assert compare_metadata(context, schema.metadata) == []
        # What Alembic does not compare: primary keys, and tables without a rowid.
        made = {
            name: inspect(connection).get_pk_constraint(name)["constrained_columns"] for name in schema.metadata.tables
        }
        listed = connection.execute(text("PRAGMA table_list")).fetchall()
    assert made == {
        name: [column.name for column in table.primary_key] for name, table in schema.metadata.tables.items()
    }
    without_rowid = {row.name for row in listed if row.wr and row.schema == "main"}
    assert without_rowid == {
        name for name, table in schema.metadata.tables.items() if not table.dialect_options["sqlite"]["with_rowid"]
    }


def test_the_newest_step_is_the_one_that_the_code_names():
    script = ScriptDirectory(str(Path(migrations.__file__).parent), version_locations=[str(VERSIONS)])

    assert script.get_heads() == [HEAD]


def test_to_upgrade_twice_is_to_upgrade_once(writer):
    upgrade(writer)
    before = read_tables(writer)

    assert upgrade(writer) == HEAD
    assert read_tables(writer) == before


def test_two_that_begin_at_once_take_turns(tmp_path):
    found, path = [], tmp_path / "shared.db"

    def work():
        engine = open_writer(path)
        found.append(upgrade(engine))
        engine.dispose()

    threads = [threading.Thread(target=work) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert sorted(found, key=str) == [HEAD, HEAD, None]


def fill(runner, clock, path):
    """Put rows into a database that refer to one another; return them as they are."""
    from coven_action.hosted.settings import Settings
    from coven_action.hosted.signing import SigningKey
    from tests.hosted.deployment import LOCAL_URL, Client, CountedIds, Deployment, open_session

    store = SQLiteStore(path, clock)
    deployment = Deployment(
        runner, store, clock, CountedIds(), Settings(data=path, public_url=LOCAL_URL), SigningKey(b"k" * 32)
    )
    deployment.enrol(501, "acme", 1001, "billing", people=(7, 8))
    deployment.enrol(502, "globex", 2001, "ledger")
    with Client(deployment.build_app(), runner) as client:
        session = open_session(client, clock())
        assert session.report().status_code == 200
        assert session.append("one", "two").status_code == 202


def read_rows(engine):
    with engine.connect() as connection:
        return {
            name: sorted(map(repr, connection.execute(text(f'SELECT * FROM "{name}"')).fetchall()))
            for name in schema.metadata.tables
            if name != "repositories"
        }


def test_an_upgrade_keeps_every_row_and_every_reference(writer, runner, clock, next_versions, tmp_path):
    upgrade(writer)
    fill(runner, clock, tmp_path / "migrated.db")
    before = read_rows(writer)

    assert upgrade(writer, next_versions(), head="9999") == HEAD

    assert {name: rows for name, rows in before.items() if rows}.keys() >= {
        "tenants",
        "runs",
        "run_events",
        "audit",
        "meters",
    }
    assert read_rows(writer) == before
    with writer.connect() as connection:
        rows = connection.execute(
            text("SELECT repository_id, label, topic, people FROM repositories ORDER BY 1")
        ).fetchall()
        assert [tuple(row) for row in rows] == [(1001, "billing", "none", "[7, 8]"), (2001, "ledger", "none", "[]")]
        driver = connection.connection.driver_connection
        assert driver.execute("PRAGMA foreign_keys").fetchone() == (1,)
        assert driver.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        assert read_version(connection) == "9999"
        assert "labels" in inspect(connection).get_table_names()


@pytest.mark.parametrize(
    ("more", "raised"),
    [
        ("raise ZeroDivisionError", ZeroDivisionError),
        ('op.execute("INSERT INTO nothing VALUES (1)")', Error),
        ('op.execute("DELETE FROM tenants")', Error),
    ],
    ids=["a fault in the step", "a statement that fails", "a reference that is left behind"],
)
def test_an_upgrade_that_fails_leaves_the_old_tables_and_rows(
    writer, runner, clock, next_versions, tmp_path, more, raised
):
    upgrade(writer)
    fill(runner, clock, tmp_path / "migrated.db")
    before, tables = read_rows(writer), read_tables(writer)

    with pytest.raises(raised):
        upgrade(writer, next_versions(more), head="9999")

    assert (read_rows(writer), read_tables(writer)) == (before, tables)
    assert upgrade(writer) == HEAD


def test_a_database_of_a_newer_version_is_refused_and_left_alone(writer, next_versions):
    upgrade(writer, next_versions(), head="9999")
    before = read_tables(writer)

    with pytest.raises(Error, match="9999") as refused:
        upgrade(writer)

    assert refused.value.code == "database-newer"
    assert read_tables(writer) == before


def test_another_programs_database_is_refused_and_left_alone(writer):
    with writer.begin() as connection:
        connection.execute(text("CREATE TABLE bookmarks (id INTEGER)"))
    before = read_tables(writer)

    with pytest.raises(Error, match="bookmarks") as refused:
        upgrade(writer)

    assert refused.value.code == "database-unusable"
    assert read_tables(writer) == before


@pytest.mark.parametrize("content", [b"no database at all " * 500, b"SQLite format 3\x00" + b"\xff" * 8000])
def test_a_damaged_file_is_refused_and_left_alone(tmp_path, content):
    path = tmp_path / "damaged.db"
    path.write_bytes(content)
    engine = open_writer(path)

    with pytest.raises(Error) as refused:
        upgrade(engine)

    assert refused.value.code == "database-unusable"
    assert path.read_bytes() == content
    engine.dispose()


def test_the_steps_leave_no_row(writer):
    upgrade(writer)
    with writer.connect() as connection:
        assert [connection.execute(select(table)).fetchall() for table in schema.metadata.sorted_tables] == [
            [] for _ in schema.metadata.tables
        ]
