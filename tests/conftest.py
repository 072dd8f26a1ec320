"""Fixtures that more than one folder of tests uses."""

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import settings

from tests.fuzzing import USUAL, examples

if TYPE_CHECKING:
    from tests.seeded_github import SeededGitHub

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
