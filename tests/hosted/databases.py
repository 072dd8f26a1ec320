"""The two databases of the endpoint, for modules whose tests hold for both: `pytestmark = ON_BOTH`.

A database of PostgreSQL's costs each test about a tenth of a second. A module that is long for that says `ON_BOTH_SLOWLY`: its
tests on PostgreSQL run with what is marked slow.
"""

from pathlib import Path
from typing import Any, Final

import pytest
from sqlalchemy import URL

from coven_action.hosted.store.commands import Store
from coven_action.hosted.store.grouping import Clock
from coven_action.hosted.store.postgresql import PostgreSQLStore
from coven_action.hosted.store.sqlite import SQLiteStore

SQLITE: Final = "sqlite"
POSTGRESQL: Final = "postgresql"
ON_BOTH: Final = pytest.mark.parametrize("database", [SQLITE, POSTGRESQL], indirect=True)
ON_BOTH_SLOWLY: Final = pytest.mark.parametrize(
    "database", [SQLITE, pytest.param(POSTGRESQL, marks=pytest.mark.slow)], indirect=True
)


def open_store(place: Path | URL, clock: Clock, **more: Any) -> Store:
    """Open the database that is there, with the store's own settings."""
    return SQLiteStore(place, clock, **more) if isinstance(place, Path) else PostgreSQLStore(place, clock, **more)


def name_place(place: Path | URL) -> dict[str, Any]:
    """Return what the settings say of a database."""
    return {"data": place} if isinstance(place, Path) else {"database_url": place.render_as_string(hide_password=False)}
