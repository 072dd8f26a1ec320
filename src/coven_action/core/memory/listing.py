"""What a checkout's memory says, for the people who keep it: each entry with its state, as table, JSON and export. Pure.

A run decides again, at its own base commit and under its own policy; here nobody has asked for a run, so an entry is
only active or not. A revocation counts whatever repository id it names, so the states need no id.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any, Final, Literal

from coven_action.core.configuration.mistakes import Mistake, quote
from coven_action.core.memory.canonicalisation import canonicalise
from coven_action.core.memory.entries import MemoryEntry, ReadFile, find_stale
from coven_action.core.memory.entry_parsing import parse_entry
from coven_action.core.memory.keys import (
    MEMORY_FOLDER,
    build_canonical_key,
    build_entry_id,
    is_denied,
    list_entry_paths,
    parse_entry_path,
)
from coven_action.core.memory.revocations import find_revocations
from coven_action.core.records import canonical_json, sha256_hex
from coven_action.core.redaction.redactor import Redactor

State = Literal["active", "revoked", "expired", "stale", "broken"]
_ANY_ID: Final = 1


@dataclass(frozen=True, slots=True)
class ListedEntry:
    """One entry's file and what it comes to.

    Args:
        path: In the repository.
        key: None where the path gives none.
        id: None where it has no key, or the repository's id is unknown.
        state: What a run would make of it today.
        note: Why it is not active; one sentence, safe to print.
        entry: Where the file could be read.
        mistakes: Of the file, with the citations that are stale.
    """

    path: str
    key: str | None
    id: str | None
    state: State
    note: str
    entry: MemoryEntry | None
    mistakes: tuple[Mistake, ...] = ()

    @property
    def name(self) -> str:
        """What people call it: its key, or its path in quotation marks."""
        return self.key or quote(self.path)


def list_entries(
    files: Mapping[str, bytes | None],
    *,
    repository_id: int | None,
    today: date,
    read_file: ReadFile,
    redactor: Redactor,
) -> tuple[ListedEntry, ...]:
    """Return every entry of a checkout in the order of the paths.

    Args:
        files: Every file below the memory folder, `revoked.txt` among them; None where there is no ordinary file.
        repository_id: For the ids; None where nobody said it.
        today: For expiry.
        read_file: Reads the checkout, for the citations.
        redactor: Finds secrets.
    """
    denied = find_revocations(files).list_denied(_ANY_ID)
    return tuple(
        _list_entry(path, files[path], denied, repository_id, today, read_file, redactor)
        for path in list_entry_paths(files)
    )


def _list_entry(
    path: str,
    data: bytes | None,
    denied: Sequence[str],
    repository_id: int | None,
    today: date,
    read_file: ReadFile,
    redactor: Redactor,
) -> ListedEntry:
    key = parse_entry_path(path)
    entry_id = build_entry_id(build_canonical_key(repository_id, key)) if key and repository_id else None
    if data is None:
        message = "the entry is a link, or no ordinary file"
        return ListedEntry(path, key, entry_id, "broken", message, None, (Mistake("memory-path", 1, 1, message),))
    parsed = parse_entry(data, path=path, redactor=redactor)
    mistakes = parsed.mistakes
    if parsed.entry is not None:
        mistakes = _find_stale_lines(parsed.entry, data, read_file)
    state, note = _decide_state(key, parsed.entry, mistakes, denied, today)
    return ListedEntry(path, key, entry_id, state, note, parsed.entry, mistakes)


def _find_stale_lines(entry: MemoryEntry, data: bytes, read_file: ReadFile) -> tuple[Mistake, ...]:
    """Return a mistake for each stale citation, at the hash that no longer holds."""
    lines = data.decode("utf-8-sig").split("\n")
    mistakes = []
    for citation in find_stale(entry.citations, read_file):
        row = next((index for index, line in enumerate(lines) if citation.sha256 in line), 0)
        column = max(0, lines[row].find(citation.sha256))
        place = f"{citation.path}:{citation.start}-{citation.end}"
        message = f"the lines {quote(place)[1:-1]} are not there, or no longer what they were"
        mistakes.append(Mistake("memory-stale", row + 1, column + 1, message))
    return tuple(mistakes)


def _decide_state(
    key: str | None, entry: MemoryEntry | None, mistakes: tuple[Mistake, ...], denied: Sequence[str], today: date
) -> tuple[State, str]:
    if key is not None and is_denied(build_canonical_key(_ANY_ID, key), denied):
        return "revoked", "taken back in revoked.txt"
    if entry is None:
        return "broken", mistakes[0].message
    if entry.expires is not None and today > entry.expires:
        return "expired", f"it held until {entry.expires.isoformat()}"
    return ("stale", mistakes[0].message) if mistakes else ("active", "")


def render_table(entries: Sequence[ListedEntry]) -> str:
    """Return the entries as a table for a terminal."""
    rows = [("KEY", "STATE", "KIND", "SHAREABLE", "UNTIL", "ID"), *map(_build_row, entries)]
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    return "\n".join("  ".join(cell.ljust(widths[column]) for column, cell in enumerate(row)).rstrip() for row in rows)


def _build_row(listed: ListedEntry) -> tuple[str, ...]:
    entry = listed.entry
    said = (entry.kind, "yes" if entry.shareable else "no", str(entry.expires or "-")) if entry else ("-", "-", "-")
    return (listed.name, listed.state, *said, listed.id or "-")


def build_document(listed: ListedEntry) -> dict[str, Any]:
    """Return an entry as a JSON value: its names, its state, and what its file says."""
    entry = listed.entry
    content = entry.model_dump(mode="json", exclude_none=True) | {"version": entry.version} if entry else {}
    names = {"key": listed.key, "id": listed.id, "path": listed.path}
    return {**content, **names, "state": listed.state, "note": listed.note}


def render_entry_for_people(listed: ListedEntry) -> str:
    """Return everything about one readable entry, its text last."""
    entry = listed.entry
    if entry is None:
        return f"{listed.name}: {listed.state}: {listed.note}"
    cited = (f"{citation.path}:{citation.start}-{citation.end}" for citation in entry.citations)
    source = entry.source.person or f"run {entry.source.run}, pull request {entry.source.pull_request or 'none'}"
    rows = {
        "key": entry.key,
        "id": listed.id or "needs --repository-id",
        "version": entry.version,
        "state": listed.state + (f": {listed.note}" if listed.note else ""),
        "kind": entry.kind,
        "shareable": "yes" if entry.shareable else "no",
        "branches": ", ".join(entry.branches) or "the default branch",
        "source": source,
        "cited": ", ".join(cited),
        "until": str(entry.expires or "no date"),
    }
    return "\n".join([*(f"{name:<10} {text}" for name, text in rows.items()), "", entry.text])


def render_export(entries: Sequence[ListedEntry], *, repository_id: int, exported_on: date) -> tuple[bytes, bytes]:
    """Return the export: one canonical JSON object a line, and the manifest with the digests.

    Entries whose files cannot be read are named in the manifest, so that nothing is left out silently.

    Args:
        entries: With their ids.
        repository_id: Whose memory it is.
        exported_on: The day.
    """
    readable = [(listed, listed.entry.version) for listed in entries if listed.entry is not None]
    lines = b"".join(canonicalise(build_document(listed)) + b"\n" for listed, _ in readable)
    manifest = {
        "kind": "coven-action/memory-export",
        "version": 1,
        "repository_id": repository_id,
        "exported_on": exported_on.isoformat(),
        "folder": MEMORY_FOLDER,
        "sha256": sha256_hex(lines),
        "bytes": len(lines),
        "entries": [
            {"id": listed.id, "key": listed.key, "state": listed.state, "version": version}
            for listed, version in readable
        ],
        "left_out": [{"path": listed.path, "reason": listed.note} for listed in entries if listed.entry is None],
    }
    return lines, canonical_json(manifest).encode()
