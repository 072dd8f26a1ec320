"""Fixtures that more than one folder of tests uses."""

from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import settings

from tests.fuzzing import USUAL, examples

if TYPE_CHECKING:
    from tests.seeded_github import SeededGitHub

# --- what takes long


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Leave to the slow suite the cases of a test beyond the first few, where it says so."""
    seen: Counter[str] = Counter()
    for item in items:
        if mark := item.get_closest_marker("slow_after"):
            name = item.nodeid.partition("[")[0]
            if seen[name] >= mark.args[0]:
                item.add_marker(pytest.mark.slow)
            seen[name] += 1


# --- property tests

settings.register_profile("coven", examples(USUAL))
settings.load_profile("coven")

# --- the local GitHub


@pytest.fixture
def github(tmp_path: Path) -> "Iterator[SeededGitHub]":
    """A started local GitHub with acme/billing; afterwards every exchange is held against GitHub's description."""
    from tests.github_description import validate_exchanges
    from tests.seeded_github import SeededGitHub

    with SeededGitHub(tmp_path / "github") as server:
        yield server
    validate_exchanges(server.exchanges)
