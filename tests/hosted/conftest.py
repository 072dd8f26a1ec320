"""The endpoint for tests. `deployment` is the store with the application beside it; the builders are in `deployment.py`."""

import asyncio
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import URL

from coven_action.hosted.settings import Settings
from coven_action.hosted.signing import SigningKey
from coven_action.hosted.store.commands import Store
from coven_action.hosted.store.schema import metadata
from coven_action.hosted.store.sqlite import open_writer
from tests.hosted import postgresql
from tests.hosted.databases import SQLITE, name_place, open_store
from tests.hosted.deployment import ADMIN_TOKEN, LOCAL_URL, Client, CountedIds, Deployment, SettableClock
from tests.identity_tokens import NOW


@pytest.fixture
def clock() -> SettableClock:
    """2026-11-21 12:00 UTC until the test sets or advances it."""
    return SettableClock(NOW)


@pytest.fixture
def ids() -> CountedIds:
    """The same tokens and ids in every run."""
    return CountedIds()


@pytest.fixture(scope="session")
def empty_database(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A database with every table and no row; tests copy it, since making one takes a moment.

    The tables are made from `schema.py`; `store/test_migrations.py` holds the migrations to the same ones.
    """
    path = tmp_path_factory.mktemp("empty") / "coven.db"
    engine = open_writer(path)
    metadata.create_all(engine)
    engine.dispose()
    return path


@pytest.fixture
def data(tmp_path: Path, empty_database: Path) -> Path:
    """The path of a database of the test's own."""
    return Path(shutil.copy(empty_database, tmp_path / "coven.db"))


@pytest.fixture
def database(request: pytest.FixtureRequest) -> str:
    """Which database the store has. Modules whose tests hold for both say so: `databases.ON_BOTH`."""
    return str(getattr(request, "param", SQLITE))


@pytest.fixture
def url() -> Iterator[URL]:
    """The address of a PostgreSQL database of the test's own, as the endpoint's role."""
    with postgresql.open_database() as name:
        yield postgresql.get_server().render_url(name)


@pytest.fixture
def runner() -> Iterator[asyncio.Runner]:
    """Runs coroutines, all in one event loop: `runner.run(store.write(…))`."""
    with asyncio.Runner() as started:
        yield started


@pytest.fixture
def place(database: str, request: pytest.FixtureRequest) -> Path | URL:
    """Where the test's database is: a file, or an address."""
    found: Path | URL = request.getfixturevalue("data" if database == SQLITE else "url")
    return found


@pytest.fixture
def store(place: Path | URL, clock: SettableClock, runner: asyncio.Runner) -> Iterator[Store]:
    """An open store, closed afterwards. From a synchronous test: `deployment.write` and `deployment.read`."""
    opened = open_store(place, clock)
    yield opened
    runner.run(opened.close())


@pytest.fixture
def deployment(
    runner: asyncio.Runner, store: Store, clock: SettableClock, ids: CountedIds, place: Path | URL
) -> Deployment:
    """The store with what the application needs beside it; nothing is enrolled."""
    settings = Settings(**name_place(place), public_url=LOCAL_URL)
    return Deployment(runner, store, clock, ids, settings, SigningKey(bytes(range(32))))


@pytest.fixture
def tenant(deployment: Deployment) -> int:
    """Enrolled: account 501 acme with repository 1001 billing, as `tests.identity_tokens` claims; the tenant's id."""
    return deployment.enrol(501, "acme", 1001, "billing")


@pytest.fixture
def other_tenant(deployment: Deployment, tenant: int) -> int:
    """Enrolled beside it: account 502 globex with repository 2001 ledger; the tenant's id."""
    return deployment.enrol(502, "globex", 2001, "ledger")


@pytest.fixture
def client(deployment: Deployment, tenant: int) -> Iterator[Client]:
    """A client of the started application, on this machine. `open_session(client, clock())` opens a run's session."""
    deployment.make_admin()
    with Client(deployment.build_app(), deployment.runner) as started:
        yield started


@pytest.fixture
def admin() -> dict[str, str]:
    """Headers of the local administrator, of whom `client` knows; add Coven-Tenant where several are enrolled."""
    return {"Authorization": f"Bearer {ADMIN_TOKEN}"}
