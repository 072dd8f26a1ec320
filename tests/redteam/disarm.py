"""How each guard is taken away: case -> the patches that disarm exactly it, each one line; or why that cannot be done.

A patch is (dotted name, replacement). A case that runs with its guard disarmed must do harm: this file is the proof that
the attacks are real, and it is used by the tests alone.
"""

import importlib
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from coven_action.core import verification
from coven_action.core.redaction import Redactor

Patch = tuple[str, Any]


class Reason(str):
    """Why there is no guard to take away."""

    __slots__ = ()


@dataclass(frozen=True)
class Made:
    """A replacement that is made from what it replaces."""

    make: Callable[[Any], Any]


def without(*steps: str) -> Patch:
    """Return the patch that leaves steps of the verification out."""
    kept = {name: check for name, check in verification.STEPS.items() if name not in steps}
    return ("coven_action.core.verification.STEPS", kept)


def nothing_found(self: Redactor, text: str | bytes) -> tuple[()]:
    del self, text
    return ()


NO_FINDING: Final[Patch] = ("coven_action.core.redaction.Redactor.find", nothing_found)
NO_COVERING: Final[Patch] = ("coven_action.core.redaction.Redactor.find_spans", lambda self, view: [])

DISARM: Final[Mapping[str, tuple[Patch, ...] | Reason]] = {
    "test_s10_protected_paths_hold_in_any_spelling": (
        ("coven_action.core.changes.fold_path", lambda path: tuple(path.split("/"))),
    ),
    "test_s10_protected_paths_hold_through_links": (without("protected-paths"),),
    "test_s10_links_stay_inside": (without("tree"),),
    "test_s3_every_encoding_is_found": (NO_FINDING, NO_COVERING),
    "test_s3_no_secret_leaves_in_a_change": (NO_FINDING, NO_COVERING),
    "test_s3_no_secret_leaves_in_words": (NO_FINDING, NO_COVERING),
    "test_s3_no_secret_leaves_in_the_log": (NO_COVERING,),
    "test_s3_what_processes_hold_does_not_leave": (NO_FINDING, NO_COVERING),
    "test_s26_outputs_hold_no_secret": (NO_COVERING,),
    "test_s28_a_failing_scanner_stops_the_push": (
        ("coven_action.stages.publish.find_kinds", lambda *_: frozenset()),
    ),
    "test_s20_workflows_and_owners_are_refused_with_their_patch": (without("protected-paths"),),
}


def disarm(case: str, monkeypatch: Any) -> None:
    """Apply the patches of a case."""
    patches = DISARM[case]
    if isinstance(patches, Reason):
        raise AssertionError(f"{case} cannot be disarmed: {patches}")
    for name, replacement in patches:
        owner, attribute = _resolve(name)
        value = replacement.make(getattr(owner, attribute)) if isinstance(replacement, Made) else replacement
        monkeypatch.setattr(owner, attribute, value)


def _resolve(name: str) -> tuple[Any, str]:
    """Return the object that a dotted name's last part is an attribute of, and that part."""
    *path, attribute = name.split(".")
    for length in range(len(path), 0, -1):
        try:
            owner = importlib.import_module(".".join(path[:length]))
        except ModuleNotFoundError:
            continue
        for part in path[length:]:
            owner = getattr(owner, part)
        return owner, attribute
    raise AssertionError(f"nothing is called {name}")
