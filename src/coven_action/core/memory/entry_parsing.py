"""From the bytes of an entry's file to a `MemoryEntry`, or to every mistake in it at once, each with its place. Pure.

The file is an ordinary file of the repository that a pull request may have brought, so nothing in it is trusted before
it was read to the end: size, encoding, front matter, text.
"""

from dataclasses import dataclass
from typing import Final

from pydantic import ValidationError

from coven_action.core.configuration.findings import Vocabulary, build_findings, build_mistake
from coven_action.core.configuration.mistakes import Mistake
from coven_action.core.configuration.rules import Finding
from coven_action.core.configuration.yaml_reading import YAMLDocument, read_yaml
from coven_action.core.memory.entries import MAX_TEXT_BYTES, Citation, MemoryEntry, Source
from coven_action.core.memory.entry_document import SECTIONS, WrittenEntry, find_rule_mistakes
from coven_action.core.memory.keys import MEMORY_FOLDER, SEGMENT_ADVICE, parse_entry_path
from coven_action.core.memory.screens import Objection, screen_entry
from coven_action.core.redaction.redactor import Redactor

MAX_FILE_BYTES: Final = 16 * 1024
"""Of a whole file: a text of 2 KiB and ten citations take less than half of it."""

DELIMITER: Final = "---"
_VOCABULARY: Final = Vocabulary(SECTIONS, {})
_OBJECTION_CODES: Final = {"invisible_text": "memory-hidden-text", "secret": "memory-secret"}


@dataclass(frozen=True, slots=True)
class EntryFile:
    """What an entry's file says.

    Args:
        path: In the repository.
        key: That the path gives; None where it gives none.
        entry: Where there is no mistake.
        mistakes: In the order of the file.
    """

    path: str
    key: str | None
    entry: MemoryEntry | None
    mistakes: tuple[Mistake, ...] = ()


def parse_entry(data: bytes, *, path: str, redactor: Redactor) -> EntryFile:
    """Return the entry that a file holds, or every mistake in it. Never raises.

    Args:
        data: The file's content.
        path: In the repository; it gives the key.
        redactor: Finds secrets in the text.
    """
    key = parse_entry_path(path)
    if key is None:
        message = f"an entry stands in {MEMORY_FOLDER}/<namespace>/<name>.md, each {SEGMENT_ADVICE}"
        return EntryFile(path, None, None, (Mistake("memory-path", 1, 1, message),))
    text = _decode(data)
    if isinstance(text, Mistake):
        return EntryFile(path, key, None, (text,))
    return _parse_text(text, path, key, redactor)


def _decode(data: bytes) -> str | Mistake:
    if len(data) > MAX_FILE_BYTES:
        return Mistake("memory-too-large", 1, 1, f"the file is larger than {MAX_FILE_BYTES // 1024} KiB")
    try:
        # Editors on Windows write a byte order mark and their own line ends; neither changes what is said.
        return data.decode("utf-8-sig").replace("\r\n", "\n")
    except UnicodeDecodeError as error:
        line = data[: error.start].count(b"\n") + 1
        return Mistake("memory-not-utf-8", line, 1, "the file is not UTF-8 from this line on")


def _parse_text(text: str, path: str, key: str, redactor: Redactor) -> EntryFile:
    lines = text.split("\n")
    end = next((number for number, line in enumerate(lines[1:], 1) if line.rstrip() == DELIMITER), None)
    if lines[0].rstrip() != DELIMITER or end is None:
        message = "the file begins with front matter between two lines of three hyphens"
        return EntryFile(path, key, None, (Mistake("memory-front-matter", 1, 1, message),))
    written, mistakes = _parse_front_matter("\n".join(lines[:end]))
    body = "\n".join(lines[end + 1 :])
    mistakes = [*mistakes, *_check_body(body, end + 2, redactor)]
    if written is None or mistakes:
        return EntryFile(path, key, None, tuple(mistakes))
    return EntryFile(path, key, _build_entry(key, written, body.strip()))


def _parse_front_matter(text: str) -> tuple[WrittenEntry | None, list[Mistake]]:
    # The first delimiter is also how a YAML document may begin: it stays, and so every line has the file's number.
    tree = read_yaml(text)
    written, findings = _validate(tree) if tree.readable else (None, [])
    # What YAML itself refused is told once; what follows from it stands at the same place.
    told = {(mistake.line, mistake.column) for mistake in tree.mistakes}
    further = [build_mistake(finding, tree) for finding in findings]
    mistakes = [*tree.mistakes, *(mistake for mistake in further if (mistake.line, mistake.column) not in told)]
    return written, sorted(mistakes, key=lambda mistake: (mistake.line, mistake.column))


def _validate(tree: YAMLDocument) -> tuple[WrittenEntry | None, list[Finding]]:
    value = tree.root.value
    rules = list(find_rule_mistakes(value)) if isinstance(value, dict) else []
    try:
        return WrittenEntry.model_validate(value), rules
    except ValidationError as error:
        return None, build_findings(error.errors(), tree.root, _VOCABULARY) + rules


def _check_body(body: str, first_line: int, redactor: Redactor) -> list[Mistake]:
    """Return what is wrong with the text, at most one mistake: the rest follows from it or is told the next time."""
    size = len(body.strip().encode())
    if not size:
        return [Mistake("memory-empty", first_line, 1, "the text is missing: write it below the front matter")]
    if size > MAX_TEXT_BYTES:
        message = f"the text has {size} bytes; {MAX_TEXT_BYTES} are allowed"
        return [Mistake("memory-too-large", first_line, 1, message)]
    objection = screen_entry(body, redactor)
    return [] if objection is None else [_point_at(objection, body, first_line)]


def _point_at(objection: Objection, body: str, first_line: int) -> Mistake:
    before = body[: objection.position].split("\n")
    message = f"the text {objection.sentence}"
    return Mistake(_OBJECTION_CODES[objection.reason], first_line + len(before) - 1, len(before[-1]) + 1, message)


def _build_entry(key: str, written: WrittenEntry, text: str) -> MemoryEntry:
    return MemoryEntry(
        key=key,
        kind=written.kind,
        scope=written.scope,
        text=text,
        branches=tuple(dict.fromkeys(written.branches)),
        shareable=written.shareable,
        citations=tuple(Citation(**citation.model_dump()) for citation in written.citations),
        source=Source(**written.source.model_dump()),
        expires=written.expires,
    )
