"""The fixture every case takes."""

from collections.abc import Iterator
from typing import Any

import pytest

from tests.redteam.siege import Siege


@pytest.fixture
def siege(tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> Iterator[Siege]:
    """A repository to attack; its server starts when it is first needed."""
    besieged = Siege(tmp_path, monkeypatch)
    yield besieged
    besieged.close()
