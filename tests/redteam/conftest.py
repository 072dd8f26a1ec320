"""The fixture every case takes."""

from collections.abc import Iterator
from typing import Any

import pytest

from tests.redteam.siege import Siege

ELSEWHERE = ("[root_bubblewrap-", "[landlock-")
"""What begins the ids of attacks on the sandboxes that are not the first choice: they are many, and run with the slow ones."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Leave to the slow suite what is tried once more in another sandbox."""
    for item in items:
        if "/redteam/" in str(item.path) and any(word in item.name for word in ELSEWHERE):
            item.add_marker(pytest.mark.slow)


@pytest.fixture
def siege(tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> Iterator[Siege]:
    """A repository to attack; its server starts when it is first needed."""
    besieged = Siege(tmp_path, monkeypatch)
    yield besieged
    besieged.close()
