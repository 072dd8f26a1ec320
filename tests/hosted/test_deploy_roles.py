"""What `deploy/compose/roles.sh` makes in an empty server is what the endpoint starts on."""

import os
import shutil
import subprocess
import tempfile
from pathlib import Path

import pytest
from click.testing import CliRunner

from coven_action.cli.main import cli
from coven_action.errors import Error
from tests.hosted.postgresql import Server, _find_programs

SCRIPT = Path(__file__).parents[2] / "deploy" / "compose" / "roles.sh"


@pytest.fixture
def server():
    """An empty server of the test's own: roles are a server's and no database's."""
    folder = Path(tempfile.mkdtemp(prefix="pg-", dir="/tmp"))
    started = Server(folder)
    yield started
    started.stop()
    shutil.rmtree(folder)


def test_the_roles_are_those_that_migrate_and_serve_take(server, monkeypatch):
    path = f"{_find_programs()}{os.pathsep}{os.environ['PATH']}"
    given = {"PATH": path, "PGHOST": str(server.folder), "POSTGRES_USER": "postgres"}
    passwords = {"COVEN_OWNER_PASSWORD": "it's", "COVEN_APP_PASSWORD": 'app"; DROP ROLE coven_owner; --'}
    made = subprocess.run([SCRIPT], env=given | passwords, capture_output=True, text=True, check=False)
    assert made.returncode == 0, made.stderr

    def run(role, *arguments):
        monkeypatch.setenv("DATABASE_URL", f"postgresql://{role}@/coven?host={server.folder}")
        return CliRunner().invoke(cli, arguments, catch_exceptions=False).output

    assert "was made with version" in run("coven_owner", "migrate", "--app-role", "coven_app")
    assert "account 1" in run("coven_app", "enrol", "--account", "acme", "--account-id", "501")
    with pytest.raises(Error) as refused:
        run("coven_owner", "enrol", "--account", "globex", "--account-id", "502")
    assert refused.value.code.startswith("database-role")
    rights = server.execute(
        "SELECT rolname, rolsuper, rolbypassrls FROM pg_roles WHERE rolname LIKE 'coven%' ORDER BY 1"
    )
    assert rights == [("coven_app", False, False), ("coven_owner", False, False)]
    # Nobody else may even connect.
    server.execute("CREATE ROLE stranger LOGIN")
    assert server.execute("SELECT has_database_privilege('stranger', 'coven', 'CONNECT')") == [(False,)]


def test_without_a_password_nothing_is_made(server):
    given = {"PATH": f"{_find_programs()}{os.pathsep}{os.environ['PATH']}", "PGHOST": str(server.folder)}
    failed = subprocess.run([SCRIPT], env=given | {"POSTGRES_USER": "postgres"}, capture_output=True, check=False)

    assert failed.returncode != 0
    assert server.execute("SELECT 1 FROM pg_roles WHERE rolname LIKE 'coven%'") == []
