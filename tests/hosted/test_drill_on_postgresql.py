"""The drill of docs/hosted.md: a copy by PostgreSQL's own tools, restored beside the original, stated, and served."""

import asyncio
import subprocess

import pytest
from click.testing import CliRunner
from sqlalchemy import select

from coven_action.cli.main import cli
from coven_action.hosted.services.reseal import find_reseals
from coven_action.hosted.services.self_check import check_account
from coven_action.hosted.store import schema
from coven_action.hosted.store.postgresql import PostgreSQLStore
from coven_action.hosted.store.postgresql_checks import check_database
from tests.hosted import postgresql
from tests.hosted.databases import POSTGRESQL
from tests.hosted.memory_world import put_entry

pytestmark = [pytest.mark.parametrize("database", [POSTGRESQL], indirect=True), pytest.mark.slow]
BACKUP = "coven_backup"


@pytest.fixture
def tool():
    """Run one of PostgreSQL's programs on the server of the tests."""
    server = postgresql.get_server()

    def run(name, *arguments, role):
        command = [postgresql.find_program(name), "--host", server.folder, "--username", role, *arguments]
        return subprocess.run(command, capture_output=True, text=True, check=False)

    return run


@pytest.fixture
def backup_role():
    """Reads everything, whoever's it is, and changes nothing."""
    server = postgresql.get_server()
    server.execute(f"CREATE ROLE {BACKUP} LOGIN NOSUPERUSER BYPASSRLS IN ROLE pg_read_all_data")
    yield BACKUP
    server.execute(f"DROP ROLE {BACKUP}")


@pytest.fixture
def drill():
    """An empty database beside the others; its address, as the endpoint's role."""
    server = postgresql.get_server()
    name = server.create()
    yield server.render_url(name)
    server.drop(name)


def test_a_copy_of_the_servers_own_tools_is_restored_stated_and_served(
    deployment, tenant, other_tenant, url, drill, tool, backup_role, tmp_path, monkeypatch
):
    for number in (tenant, other_tenant):
        deployment.write(number, lambda transaction: put_entry(transaction, "facts/a", "Logs are JSON."))
    copy = tmp_path / "coven.dump"

    dumped = tool("pg_dump", "--format=custom", f"--file={copy}", url.database, role=backup_role)
    assert (dumped.returncode, dumped.stderr) == (0, "")
    restored = tool("pg_restore", "--exit-on-error", f"--dbname={drill.database}", copy, role="postgres")
    assert (restored.returncode, restored.stderr) == (0, "")
    monkeypatch.setenv("DATABASE_URL", drill.set(drivername="postgresql").render_as_string(hide_password=False))
    for asked in (["--verify"], ["--made-at", "2026-11-21T03:00:00Z"]):
        done = CliRunner().invoke(cli, ["admin", "reseal", *asked], catch_exceptions=False)
        assert (done.exit_code, done.output.count("account ")) == (0, 2), done.output

    # The endpoint would start: the role, the rights, and every table's policies are as they were.
    check_database(drill)
    with asyncio.Runner() as runner:
        store = PostgreSQLStore(drill, deployment.clock)
        for number in (tenant, other_tenant):
            texts = runner.run(store.read(number, lambda reading: reading.fetch_all(select(schema.memory_versions))))
            assert [row.text for row in texts] == ["Logs are JSON."]
            assert len(runner.run(store.read(number, find_reseals))) == 1
            runner.run(store.read(number, check_account))
        runner.run(store.close())


def test_a_role_that_the_policies_hold_for_makes_no_copy(deployment, tenant, url, tool, tmp_path):
    """It would hold nobody's rows, and look like one."""
    dumped = tool(
        "pg_dump", "--format=custom", f"--file={tmp_path / 'coven.dump'}", url.database, role=postgresql.OWNER
    )

    assert dumped.returncode != 0
    assert "row-level security" in dumped.stderr or "row security" in dumped.stderr
