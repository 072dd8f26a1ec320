"""An entry of memory as a frozen value, its citations, and its version. Pure."""

from collections.abc import Callable, Mapping
from datetime import date
from typing import Annotated, Final, Literal

from pydantic import Field

from coven_action.core.memory.canonicalisation import canonicalise
from coven_action.core.records import Record, sha256_hex

EntryKind = Literal["convention", "fact", "pitfall", "command"]
EntryScope = Literal["repo"]
KINDS: Final[tuple[EntryKind, ...]] = ("convention", "fact", "pitfall", "command")

MAX_TEXT_BYTES: Final = 2 * 1024
"""Of an entry's text, in UTF-8."""

MAX_CITATIONS: Final = 10
MAX_LINE_NUMBER: Final = 1_000_000
MAX_CITED_LINES: Final = 500
"""Lines in one citation: what proves a fact of 2 KiB is no whole file."""

MAX_CITED_FILE_BYTES: Final = 1024 * 1024
"""A larger file is not read for a citation."""

ReadFile = Callable[[str], bytes | None]
"""Returns a file of a tree by its path, None where the tree has no ordinary file there."""

# The text of a path is compared as git stores it. Nothing in it may leave the tree or name what is not of the tree.
_MAX_PATH: Final = 400
_UNCITABLE: Final = (".git", ".coven", ".coven-code", ".github/coven/memory")


class Citation(Record):
    """Lines of the repository that show what an entry says.

    Args:
        path: In the tree.
        start: First line, from 1.
        end: Last line.
        sha256: Of the cited lines, joined by line feeds.
    """

    path: str
    start: int
    end: int
    sha256: str


class Source(Record):
    """Where an entry comes from: a run and its pull request, or a person."""

    run: int | None = None
    pull_request: int | None = None
    person: str | None = None


class MemoryEntry(Record):
    """One fact about a repository.

    Args:
        key: `<namespace>/<name>`.
        kind: What kind of knowledge it is.
        scope: Whose it is; files hold entries of their repository alone.
        text: The fact, for people and agents.
        branches: Base branches that may see it; empty stands for the default branch.
        shareable: Whether runs that outsiders feed may read it.
        citations: What shows it.
        source: Where it comes from.
        expires: The last day on which it holds.
    """

    key: str
    kind: EntryKind
    scope: EntryScope
    text: str
    branches: tuple[str, ...] = ()
    shareable: bool = False
    citations: tuple[Citation, ...] = ()
    source: Source
    expires: date | None = None

    @property
    def version(self) -> str:
        """The SHA-256 of everything a reader relies on, in canonical JSON: another text is another version."""
        content = self.model_dump(exclude={"source", "expires"})
        return sha256_hex(canonicalise(content))


class ManifestEntry(Record):
    """An entry that a run may read, as it stands in `plan.json`: id and version name it, the text is what is read."""

    id: str
    key: str
    version: str
    text: Annotated[str, Field(max_length=MAX_TEXT_BYTES)]
    text_sha256: str
    kind: EntryKind
    shareable: bool
    citations: tuple[Citation, ...]


def build_manifest_entry(entry: MemoryEntry, entry_id: str) -> ManifestEntry:
    """Return what the manifest says of an entry."""
    return ManifestEntry(
        id=entry_id,
        key=entry.key,
        version=entry.version,
        text=entry.text,
        text_sha256=sha256_hex(entry.text.encode()),
        kind=entry.kind,
        shareable=entry.shareable,
        citations=entry.citations,
    )


def is_citable(path: str) -> bool:
    """Return whether a path may be cited: inside the tree, written plainly, and nothing that agents leave themselves."""
    if len(path) > _MAX_PATH or not path.isprintable() or "\\" in path:
        return False
    if any(segment in {"", ".", ".."} for segment in path.split("/")):
        return False
    folded = path.casefold()
    return not any(folded == place or folded.startswith(f"{place}/") for place in _UNCITABLE)


def is_range(start: int, end: int) -> bool:
    """Return whether two line numbers are a range that may be cited."""
    return 1 <= start <= end <= MAX_LINE_NUMBER and end - start < MAX_CITED_LINES


def hash_cited_lines(content: bytes | None, start: int, end: int) -> str | None:
    """Return the SHA-256 of lines `start` to `end`, joined by line feeds; None where the file has no such lines.

    A carriage return at the end of a line is not part of it, so that a checkout on Windows cites what Linux cites.
    """
    if content is None or len(content) > MAX_CITED_FILE_BYTES or not is_range(start, end):
        return None
    lines = content.removesuffix(b"\n").split(b"\n") if content else []
    if end > len(lines):
        return None
    return sha256_hex(b"\n".join(line.removesuffix(b"\r") for line in lines[start - 1 : end]))


def find_stale(citations: tuple[Citation, ...], read_file: ReadFile) -> tuple[Citation, ...]:
    """Return the citations that a tree no longer holds unchanged."""
    return tuple(
        citation
        for citation in citations
        if hash_cited_lines(read_file(citation.path), citation.start, citation.end) != citation.sha256
    )


def build_reader(files: Mapping[str, bytes]) -> ReadFile:
    """Return a reader of files that are already at hand."""
    return files.get
