"""Choose what a run may read of a repository's memory, and say why the rest is withheld. Pure.

Files, revocations, policy and tree in; the manifest for `plan.json` out. A bad file withholds one entry, visibly, and
never stops a run; revocations that cannot be read withhold them all. A revoked entry is told as revoked whatever else
is wrong with it; then come the mistakes of its file, then the order of `_CHECKS`, which reads the tree last.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import date
from typing import Final, Literal

from pydantic import Field

from coven_action.core.configuration.mistakes import Mistake
from coven_action.core.memory.entries import (
    ManifestEntry,
    MemoryEntry,
    ReadFile,
    build_manifest_entry,
    find_stale,
)
from coven_action.core.memory.entry_parsing import EntryFile, parse_entry
from coven_action.core.memory.keys import (
    MEMORY_FOLDER,
    REVOKED_PATH,
    build_canonical_key,
    build_entry_id,
    is_denied,
    list_entry_paths,
    parse_entry_path,
)
from coven_action.core.memory.materialising import MAX_MATERIALISED_BYTES, PREAMBLE_BYTES, measure_section
from coven_action.core.memory.policy_block import MemoryPolicy
from coven_action.core.memory.revocations import Revocations, find_revocations
from coven_action.core.records import Record
from coven_action.core.redaction.redactor import Redactor

MAX_ENTRIES: Final = 200
"""Entries of a repository that are looked at; the first in the order of their paths."""

MAX_TOTAL_BYTES: Final = 256 * 1024
"""Of their files together."""

WithheldCode = Literal[
    "revoked",
    "revocations_unreadable",
    "malformed",
    "secret",
    "invisible_text",
    "out_of_scope",
    "not_shareable",
    "expired",
    "stale",
    "too_large",
    "too_many",
]


class Withheld(Record):
    """An entry that exists and that this run may not read.

    Args:
        id: Its id; None where the path gives no key.
        key: Its short key, else its path.
        reason: The public word.
        sentence: Why, for people; no full stop.
    """

    id: str | None
    key: str
    reason: WithheldCode
    sentence: str


class PlannedMemory(Record):
    """What stands of memory in `plan.json`.

    Args:
        manifest: What the run may read, in the order of the keys; `run` materialises exactly this.
        withheld: The rest, in the order of the paths.
        versions: By key, the version of every entry there is, readable or not: what a proposal of the key would replace.
    """

    manifest: tuple[ManifestEntry, ...] = ()
    withheld: tuple[Withheld, ...] = ()
    versions: dict[str, str] = Field(default_factory=dict)


UNREADABLE_VERSION: Final = "unreadable"
"""Stands in `PlannedMemory.versions` for an entry whose file has mistakes."""


@dataclass(frozen=True, slots=True)
class Selection:
    """What a run may read, what not, and what people should mend.

    Args:
        planned: For the plan.
        mistakes: The mistakes of each file that has any, by path.
    """

    planned: PlannedMemory = field(default_factory=PlannedMemory)
    mistakes: Mapping[str, tuple[Mistake, ...]] = field(default_factory=dict)


def select_entries(
    files: Mapping[str, bytes | None],
    policy: MemoryPolicy,
    *,
    today: date,
    read_file: ReadFile,
    redactor: Redactor,
) -> Selection:
    """Return what the policy lets a run read. Never raises for anything a file says.

    Args:
        files: Every file below the memory folder at the base commit by path, `revoked.txt` among them; None where there
            is no ordinary file: a link, an executable, a submodule.
        policy: Of this run; names the repository and the base branch. Where it is off, nothing is looked at.
        today: The day the run was planned.
        read_file: Reads the tree of the base commit, for the citations.
        redactor: Finds secrets.
    """
    repository_id = policy.repo_scope.repository_id
    if not policy.enabled or repository_id is None:
        return Selection()
    revocations = find_revocations(files)
    denied = (*policy.denied, *revocations.list_denied(repository_id))
    situation = _Situation(policy, repository_id, revocations, denied, today, _remember(read_file))
    parsed, left_out = _parse_files(files, redactor)
    chosen, withheld = _divide(parsed, situation)
    mistakes = {file.path: file.mistakes for file in parsed if file.mistakes}
    if revocations.mistakes:
        mistakes[REVOKED_PATH] = revocations.mistakes
    versions = {key: UNREADABLE_VERSION for path in list_entry_paths(files) if (key := parse_entry_path(path))}
    versions |= {file.entry.key: file.entry.version for file in parsed if file.entry is not None}
    return Selection(PlannedMemory(manifest=chosen, withheld=(*withheld, *left_out), versions=versions), mistakes)


_Reason = tuple[WithheldCode, str]

_MISTAKE_REASONS: Final[Mapping[str, WithheldCode]] = {
    "memory-secret": "secret",
    "memory-hidden-text": "invisible_text",
    "memory-too-large": "too_large",
}
"""Mistakes of a file that people should be told by their own word; the rest is `malformed`."""


@dataclass(frozen=True, slots=True)
class _Situation:
    """What every entry is held against."""

    policy: MemoryPolicy
    repository_id: int
    revocations: Revocations
    denied: tuple[str, ...]
    today: date
    read_file: ReadFile


def _remember(read_file: ReadFile) -> ReadFile:
    """Return a reader that asks for each file once, however many entries cite it."""
    known: dict[str, bytes | None] = {}

    def read(path: str) -> bytes | None:
        if path not in known:
            known[path] = read_file(path)
        return known[path]

    return read


def _parse_files(
    files: Mapping[str, bytes | None], redactor: Redactor
) -> tuple[tuple[EntryFile, ...], tuple[Withheld, ...]]:
    """Read the files within the bounds; what lies beyond them is told in one line."""
    paths = list_entry_paths(files)
    parsed: list[EntryFile] = []
    total = 0
    for path in paths[:MAX_ENTRIES]:
        data = files[path]
        total += len(data or b"")
        if total <= MAX_TOTAL_BYTES:
            parsed.append(_parse_file(path, data, redactor))
    beyond = len(paths) - len(parsed)
    if not beyond:
        return tuple(parsed), ()
    sentence = f"{beyond} more are not looked at; {MAX_ENTRIES} files of {MAX_TOTAL_BYTES // 1024} KiB together are"
    return tuple(parsed), (Withheld(id=None, key=MEMORY_FOLDER, reason="too_many", sentence=sentence),)


def _parse_file(path: str, data: bytes | None, redactor: Redactor) -> EntryFile:
    if data is not None:
        return parse_entry(data, path=path, redactor=redactor)
    mistake = Mistake("memory-path", 1, 1, "the entry is a link, an executable, or no file at all")
    return EntryFile(path, parse_entry_path(path), None, (mistake,))


def _divide(
    parsed: tuple[EntryFile, ...], situation: _Situation
) -> tuple[tuple[ManifestEntry, ...], tuple[Withheld, ...]]:
    """Return which entries may be read and which not; what no longer fits into the runtime's one file is not."""
    judged = [_judge(file, situation) for file in parsed]
    room = MAX_MATERIALISED_BYTES - PREAMBLE_BYTES
    chosen: list[ManifestEntry] = []
    withheld: list[Withheld] = []
    for verdict in judged:
        if isinstance(verdict, Withheld):
            withheld.append(verdict)
            continue
        room -= measure_section(verdict)
        if room >= 0:
            chosen.append(verdict)
        else:
            sentence = f"memory is full: a runtime reads {MAX_MATERIALISED_BYTES // 1000} KB of it"
            withheld.append(Withheld(id=verdict.id, key=verdict.key, reason="too_large", sentence=sentence))
    return tuple(chosen), tuple(withheld)


def _judge(file: EntryFile, situation: _Situation) -> ManifestEntry | Withheld:
    reason = _find_revocation(file.key, situation)
    if reason is None and file.entry is not None:
        reason = next((found for check in _CHECKS if (found := check(file.entry, situation)) is not None), None)
        if reason is None:
            return build_manifest_entry(file.entry, _identify(file.entry.key, situation))
    code, sentence = reason or _describe_mistake(file)
    entry_id = _identify(file.key, situation) if file.key is not None else None
    return Withheld(id=entry_id, key=file.key or file.path, reason=code, sentence=sentence)


def _identify(key: str, situation: _Situation) -> str:
    return build_entry_id(build_canonical_key(situation.repository_id, key))


def _find_revocation(key: str | None, situation: _Situation) -> _Reason | None:
    """Return why the file is not even read for what it says: revocations come before everything else."""
    if situation.revocations.mistakes:
        return "revocations_unreadable", f"{REVOKED_PATH} has mistakes, and nobody knows which entries it means"
    if key is not None and is_denied(build_canonical_key(situation.repository_id, key), situation.denied):
        return "revoked", "it was revoked"
    return None


def _describe_mistake(file: EntryFile) -> _Reason:
    first = file.mistakes[0]
    return _MISTAKE_REASONS.get(first.code, "malformed"), f"line {first.line}, column {first.column}: {first.message}"


def _check_scope(entry: MemoryEntry, situation: _Situation) -> _Reason | None:
    if entry.scope in situation.policy.read_scopes:
        return None
    return "out_of_scope", f"this run does not read the scope {entry.scope}"


def _check_branch(entry: MemoryEntry, situation: _Situation) -> _Reason | None:
    policy = situation.policy
    base = policy.branch_scope.base_ref
    if base in (entry.branches or (policy.repo_scope.default_branch,)):
        return None
    return "out_of_scope", "it is not for the branch this run works on"


def _check_shareable(entry: MemoryEntry, situation: _Situation) -> _Reason | None:
    if entry.shareable or not situation.policy.shareable_only:
        return None
    return "not_shareable", "this run reads only entries that are marked shareable"


def _check_expiry(entry: MemoryEntry, situation: _Situation) -> _Reason | None:
    if entry.expires is None or situation.today <= entry.expires:
        return None
    return "expired", f"it held until {entry.expires.isoformat()}"


def _check_citations(entry: MemoryEntry, situation: _Situation) -> _Reason | None:
    stale = find_stale(entry.citations, situation.read_file)
    if not stale:
        return None
    return "stale", f"the lines it cites have changed: {stale[0].path}:{stale[0].start}"


_CHECKS: Final[tuple[Callable[[MemoryEntry, _Situation], _Reason | None], ...]] = (
    _check_scope,
    _check_branch,
    _check_shareable,
    _check_expiry,
    _check_citations,
)
