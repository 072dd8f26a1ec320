"""Choose what a run may read of the entries that an endpoint offers, and say why the rest is withheld. Pure.

The endpoint has checked all of this by what it knows; the run checks it again by what it knows better: the tree it works
on, the policy of this very run, and what it takes to write an id or a version. What stands in the repository's own files
comes first; an entry of the same id is read once.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

from coven_action.core.endpoint.wire import BundleEntry, Validation
from coven_action.core.memory.canonicalisation import canonicalise
from coven_action.core.memory.entries import ManifestEntry, ReadFile, find_stale
from coven_action.core.memory.keys import build_canonical_key, build_entry_id, is_denied, is_key
from coven_action.core.memory.materialising import MAX_MATERIALISED_BYTES, PREAMBLE_BYTES, measure_section
from coven_action.core.memory.policy_block import MemoryPolicy
from coven_action.core.memory.screens import screen_entry
from coven_action.core.memory.selection import PlannedMemory, Withheld, WithheldCode
from coven_action.core.records import sha256_hex
from coven_action.core.redaction.redactor import Redactor


@dataclass(frozen=True, slots=True)
class _Situation:
    """What every entry is held against."""

    policy: MemoryPolicy
    read_file: ReadFile
    redactor: Redactor


_Reason = tuple[WithheldCode, str]


def add_bundle(
    planned: PlannedMemory,
    entries: Sequence[BundleEntry],
    policy: MemoryPolicy,
    *,
    read_file: ReadFile,
    redactor: Redactor,
) -> PlannedMemory:
    """Return the planned memory with what the policy lets a run read of a bundle.

    Args:
        planned: What was selected of the repository's files.
        entries: As the endpoint offered them, best first.
        policy: Of this run; where it is off nothing is added.
        read_file: Reads the tree of the base commit, for the citations.
        redactor: Finds secrets.
    """
    if not policy.enabled:
        return planned
    situation = _Situation(policy, read_file, redactor)
    room = MAX_MATERIALISED_BYTES - PREAMBLE_BYTES - sum(measure_section(entry) for entry in planned.manifest)
    manifest, withheld, versions = list(planned.manifest), list(planned.withheld), dict(planned.versions)
    known = {entry.id for entry in manifest} | {entry.id for entry in withheld}
    for entry in entries:
        if entry.id in known:
            continue
        known.add(entry.id)
        versions.setdefault(entry.key, entry.version)
        reason = next((found for check in _CHECKS if (found := check(entry, situation)) is not None), None)
        built = _build_entry(entry)
        if reason is None and measure_section(built) > room:
            reason = ("too_large", f"memory is full: a runtime reads {MAX_MATERIALISED_BYTES // 1000} KB of it")
        if reason is None:
            room -= measure_section(built)
            manifest.append(built)
        else:
            key = entry.key if is_key(entry.key) else "malformed"
            withheld.append(Withheld(id=entry.id, key=key, reason=reason[0], sentence=reason[1]))
    return PlannedMemory(manifest=tuple(manifest), withheld=tuple(withheld), versions=versions)


def list_stale(
    entries: Sequence[BundleEntry], planned: PlannedMemory, known: PlannedMemory, commit: str
) -> tuple[Validation, ...]:
    """Return what a run can tell of the entries that it was offered and found stale.

    Args:
        entries: As the endpoint offered them.
        planned: What was planned before they were looked at: of these no more is known than what a file says.
        known: What was planned afterwards.
        commit: Whose tree the citations were held against.
    """
    before = {entry.id for entry in planned.withheld}
    stale = {entry.id for entry in known.withheld if entry.reason == "stale"} - before
    return tuple(
        Validation(id=entry.id, version=entry.version, holds=False, commit=commit)
        for entry in entries
        if entry.id in stale
    )


def _build_entry(entry: BundleEntry) -> ManifestEntry:
    return ManifestEntry(
        id=entry.id,
        key=entry.key,
        version=entry.version,
        text=entry.text,
        text_sha256=entry.text_sha256,
        kind=entry.kind,
        shareable=entry.shareable,
        citations=entry.citations,
    )


def build_version(entry: BundleEntry) -> str:
    """Return the version that an entry's content has, as `MemoryEntry.version` computes it."""
    content = entry.model_dump(
        mode="json", include={"key", "kind", "scope", "text", "branches", "shareable", "citations"}
    )
    return sha256_hex(canonicalise(content))


def _find_canonical_key(entry: BundleEntry, policy: MemoryPolicy) -> str | None:
    if entry.scope == "repo":
        repository_id = policy.repo_scope.repository_id
        return None if repository_id is None else build_canonical_key(repository_id, entry.key)
    account_id = policy.tenant_scope.account_id
    return None if account_id is None else f"tenant/{account_id}/{entry.key}"


def _check_identity(entry: BundleEntry, situation: _Situation) -> _Reason | None:
    """An id, a version and a hash are computed: one that does not fit is another repository's, or was tampered with."""
    canonical = _find_canonical_key(entry, situation.policy)
    if not is_key(entry.key) or canonical is None or build_entry_id(canonical) != entry.id:
        return "malformed", "its id is not that of its key here"
    if sha256_hex(entry.text.encode("utf-8", "surrogatepass")) != entry.text_sha256:
        return "malformed", "its text is not the one that was approved"
    if build_version(entry) != entry.version:
        return "malformed", "its version is not that of its content"
    return None


def _check_scope(entry: BundleEntry, situation: _Situation) -> _Reason | None:
    if entry.scope in situation.policy.read_scopes:
        return None
    return "out_of_scope", f"this run does not read the scope {entry.scope}"


def _check_revocation(entry: BundleEntry, situation: _Situation) -> _Reason | None:
    canonical = _find_canonical_key(entry, situation.policy) or ""
    return ("revoked", "it was revoked") if is_denied(canonical, situation.policy.denied) else None


def _check_branch(entry: BundleEntry, situation: _Situation) -> _Reason | None:
    policy = situation.policy
    if policy.branch_scope.base_ref in (entry.branches or (policy.repo_scope.default_branch,)):
        return None
    return "out_of_scope", "it is not for the branch this run works on"


def _check_shareable(entry: BundleEntry, situation: _Situation) -> _Reason | None:
    if entry.shareable or not situation.policy.shareable_only:
        return None
    return "not_shareable", "this run reads only entries that are marked shareable"


def _check_text(entry: BundleEntry, situation: _Situation) -> _Reason | None:
    objection = screen_entry(entry.text, situation.redactor)
    if objection is None:
        return None
    code: WithheldCode = "secret" if objection.reason == "secret" else "invisible_text"
    return code, f"its text {objection.sentence}"


def _check_citations(entry: BundleEntry, situation: _Situation) -> _Reason | None:
    stale = find_stale(entry.citations, situation.read_file)
    if not stale:
        return None
    return "stale", f"the lines it cites have changed: {stale[0].path}:{stale[0].start}"


_CHECKS: Final[tuple[Callable[[BundleEntry, _Situation], _Reason | None], ...]] = (
    _check_identity,
    _check_scope,
    _check_revocation,
    _check_branch,
    _check_shareable,
    _check_text,
    _check_citations,
)
