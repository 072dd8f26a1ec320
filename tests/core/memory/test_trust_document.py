"""docs/trust-and-memory.md says what the code does."""

import re
from pathlib import Path

from coven_action.core.memory.entry_document import WrittenEntry
from coven_action.core.memory.judging import MAX_PROPOSALS, RejectionCode
from coven_action.core.memory.selection import MAX_ENTRIES, MAX_TOTAL_BYTES

DOCUMENT = (Path(__file__).parents[3] / "docs/trust-and-memory.md").read_text(encoding="utf-8")


def _first_cells(heading):
    table = DOCUMENT.split(f"| {heading} | ", 1)[1].split("\n\n", 1)[0]
    return [word for row in table.splitlines()[2:] for word in re.findall(r"`([a-z_]+)`", row.split("|")[1])]


def test_every_key_of_an_entry_is_explained():
    assert set(_first_cells("key")) == set(WrittenEntry.model_fields)


def test_every_reason_is_explained():
    assert set(_first_cells("word")) == set(RejectionCode.__args__)


def test_the_bounds_are_those_of_the_code():
    assert f"At most {MAX_ENTRIES} files of {MAX_TOTAL_BYTES // 1024} KiB together" in DOCUMENT
    assert MAX_PROPOSALS == 3
    assert "A run may propose three." in DOCUMENT
