"""Verify a result before anything of it is published. Pure: facts in, one verdict a step out, in a fixed order.

The order is part of the contract with people who read evidence: tree, limits, protected paths, secrets, freshness. Every
step's verdict is recorded; the first refusal decides.
"""

from collections.abc import Callable, Mapping
from typing import Final

from coven_action.core.documents import PlannedLimits, Verdict
from coven_action.core.records import Record
from coven_action.core.verification.changes import (
    ChangedFile,
    DiffStatistics,
    find_broken_limits,
    find_unreadable,
)
from coven_action.core.verification.protected_paths import (
    BUILT_IN_ONLY,
    Protection,
    find_needing_review,
    find_overridden,
    find_protected,
    find_straying_links,
)

MAXIMUM_NAMED: Final = 5


class Facts(Record):
    """What was observed in our own clone, and what was found in the texts."""

    files: tuple[ChangedFile, ...]
    statistics: DiffStatistics
    limits: PlannedLimits
    tip_parents: tuple[str, ...]
    base_sha: str
    secrets: tuple[str, ...]
    target_moved: str | None
    protection: Protection = BUILT_IN_ONLY


def verify(facts: Facts) -> tuple[Verdict, ...]:
    """Return a verdict for each step, in order."""
    return tuple(Verdict(step=step, passed=not finding, finding=finding) for step, finding in _findings(facts).items())


def find_refusal(verdicts: tuple[Verdict, ...]) -> Verdict | None:
    """Return the first verdict that refuses, or None."""
    return next((verdict for verdict in verdicts if not verdict.passed), None)


def _findings(facts: Facts) -> dict[str, str]:
    return {step: check(facts) for step, check in STEPS.items()}


def _check_tree(facts: Facts) -> str:
    if facts.tip_parents != (facts.base_sha,):
        return "the result is not one commit on top of the commit the work started from"
    unknown = [file.path for file in facts.files if "unknown" in (file.before, file.after)]
    if unknown:
        return f"entries of an unknown kind: {_named(unknown)}"
    unreadable = find_unreadable(facts.files)
    if unreadable:
        return f"names that are not UTF-8: {_named(unreadable)}"
    straying = find_straying_links(facts.files, facts.protection)
    return f"links lead out of the repository, or to protected paths: {_named(straying)}" if straying else ""


def _check_limits(facts: Facts) -> str:
    broken = find_broken_limits(facts.statistics, files=facts.limits.files, patch_bytes=facts.limits.patch_bytes)
    return "; ".join(broken)


def _check_protected_paths(facts: Facts) -> str:
    protected = find_protected(facts.files, facts.protection)
    return f"protected paths are changed: {_named(protected)}" if protected else ""


def describe_protection(files: tuple[ChangedFile, ...], protection: Protection) -> tuple[str, ...]:
    """Return what people are told of paths that may be published but not unseen: opened ones, and manifests."""
    built_in = frozenset(find_protected(files))
    protected = tuple(file for file in files if file.path in built_in)
    notes = [
        f"Changed although protected: {_named(opened)}. The configuration opens {override.path}: {override.reason}"
        for override in protection.overrides
        if (opened := find_overridden(protected, override))
    ]
    needing = find_needing_review(files)
    if needing:
        notes.append(f"Needs review, since it decides what is installed, built or started: {_named(needing)}")
    return tuple(notes)


def _check_secrets(facts: Facts) -> str:
    return describe_secrets(facts.secrets)


def describe_secrets(kinds: tuple[str, ...]) -> str:
    """Return the finding for these kinds of secrets, never the secrets; "" for none."""
    return f"what looks like a secret was found: {_named(kinds)}" if kinds else ""


def _check_freshness(facts: Facts) -> str:
    return facts.target_moved or ""


STEPS: Final[Mapping[str, Callable[[Facts], str]]] = {
    "tree": _check_tree,
    "limits": _check_limits,
    "protected-paths": _check_protected_paths,
    "secrets": _check_secrets,
    "freshness": _check_freshness,
}


def find_added_text(patch: str) -> str:
    """Return the lines that a patch adds, without their sign: what it would publish that was not there before.

    Git ends lines with a line feed and with nothing else, so neither may we: what Python calls a line break would hide
    the rest of a line. File headers (`+++ b/name`) are kept, since an added line that begins with `++ ` looks the same.
    """
    return "\n".join(line[1:] for line in patch.split("\n") if line.startswith("+"))


def _named(names: tuple[str, ...] | list[str]) -> str:
    shown = ", ".join(names[:MAXIMUM_NAMED])
    more = len(names) - MAXIMUM_NAMED
    return f"{shown} and {more} more" if more > 0 else shown
