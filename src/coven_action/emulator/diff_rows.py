"""Turn the hunks of a diff into numbered rows for a page."""

import re
from dataclasses import dataclass
from typing import Final

_HUNK: Final = re.compile(r"@@ -([0-9]+)(?:,[0-9]+)? \+([0-9]+)(?:,[0-9]+)? @@.*")
MAX_ROWS: Final = 2_000
_KINDS: Final = {"+": "added", "-": "removed", "@": "hunk", "\\": "note"}


@dataclass(frozen=True, slots=True)
class Row:
    """A line of a diff: `kind` is added, removed, context, hunk or note; numbers are empty where a side has no line."""

    kind: str
    old: int | None
    new: int | None
    text: str


def parse_rows(patch: str) -> list[Row]:
    """Return the rows of one file's hunks; a longer diff ends after `MAX_ROWS` with a note."""
    rows: list[Row] = []
    old = new = 0
    for line in patch.split("\n"):
        if len(rows) == MAX_ROWS:
            rows.append(Row("note", None, None, "The rest of this diff is not shown."))
            break
        kind = _KINDS.get(line[:1], "context")
        if found := _HUNK.fullmatch(line):
            old, new = int(found[1]), int(found[2])
        has_old, has_new = kind in {"removed", "context"}, kind in {"added", "context"}
        text = line if kind in {"hunk", "note"} else line[1:]
        rows.append(Row(kind, old if has_old else None, new if has_new else None, text))
        old, new = old + has_old, new + has_new
    return rows
