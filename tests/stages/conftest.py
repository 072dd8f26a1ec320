"""Fixtures of the tests of the stages."""

from pathlib import Path

import pytest

from tests.scenario import Scene
from tests.seeded_github import SeededGitHub


@pytest.fixture
def scene(github: SeededGitHub, tmp_path: Path) -> Scene:
    """acme/billing on the local GitHub with a configuration, and nothing asked yet."""
    return Scene(github, tmp_path)
