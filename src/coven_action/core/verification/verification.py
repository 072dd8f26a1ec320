"""Verify a result before anything of it is published. Pure: facts in, one verdict a step out, in a fixed order.

The order is part of the contract with people who read evidence: contract, tree, limits, protected paths, secrets, text,
evidence, freshness. Every step has a verdict: the first refusal decides, and what comes after it is not reached.
"""

from collections.abc import Callable, Mapping
from typing import Final

from coven_action.core.checks.conclusion import Judged, Judgement
from coven_action.core.documents import PlannedLimits, Verdict
from coven_action.core.publication.cutting import cut_text
from coven_action.core.records import Record
from coven_action.core.verification.changes import (
    ChangedFile,
    DiffStatistics,
    find_broken_limits,
    find_unreadable,
)
from coven_action.core.verification.findings import PASSED, Finding, name_some, refuse_for
from coven_action.core.verification.protected_paths import (
    BUILT_IN_ONLY,
    Protection,
    find_needing_review,
    find_overridden,
    find_protected,
    find_straying_links,
)
from coven_action.core.verification.texts import TextFacts

CONTRACT: Final = "contract"
CONTRACT_KEPT: Final = "plan, outcome and bundle are the ones this attempt of the run wrote, and say one thing"
# Characters shown of one claim: it is the agent's word, and may not push the other verdicts out of sight.
MAXIMUM_CLAIM: Final = 120
NO_CHANGE: Final = "there is no change to verify"


class Facts(Record):
    """What was observed in our own clone, and what was found in the texts. They exist only where the contract was kept.

    `look_at_target` says what has become of the place where the result goes. It is asked last, and only about a result
    that nothing else refuses: until then nobody looks at how a hostile tree merges. `judgement` is on our own checks; None
    where the run did not end well, so that nothing of its change is published, whatever a check of it would show.
    """

    files: tuple[ChangedFile, ...]
    statistics: DiffStatistics
    limits: PlannedLimits
    tip_parents: tuple[str, ...]
    base_sha: str
    secrets: tuple[str, ...]
    judgement: Judgement | None
    texts: TextFacts = TextFacts()
    claims: tuple[str, ...] = ()
    look_at_target: Callable[[], Finding] = lambda: PASSED
    protection: Protection = BUILT_IN_ONLY


def verify(facts: Facts) -> tuple[Verdict, ...]:
    """Return a verdict for each step, in order."""
    verdicts = [Verdict(step=CONTRACT, result="passed", finding=CONTRACT_KEPT)]
    for step, check in STEPS.items():
        if verdicts[-1].result in {"refused", "not-reached"}:
            verdicts.append(Verdict(step=step, result="not-reached"))
        else:
            found = check(facts)
            verdicts.append(Verdict(step=step, result=found.result, finding=found.text))
    return tuple(verdicts)


def record_only(*known: Verdict, why: str = "") -> tuple[Verdict, ...]:
    """Return a verdict for each step where not all could be taken: these, and `not-reached`, with its reason, for the rest."""
    by_step = {verdict.step: verdict for verdict in known}
    unreached = (Verdict(step=step, result="not-reached", finding=why) for step in (CONTRACT, *STEPS))
    return tuple(by_step.get(verdict.step, verdict) for verdict in unreached)


def record_contract(refusal: str = "", *, why: str = "") -> tuple[Verdict, ...]:
    """Return the verdicts where none but that on the contract could be taken.

    Args:
        refusal: What broke the contract; "" where it was kept.
        why: Why the other steps were not reached.
    """
    result = refuse_for(refusal) if refusal else Finding("passed", CONTRACT_KEPT)
    return record_only(Verdict(step=CONTRACT, result=result.result, finding=result.text), why=why)


def record_kept_back(secrets: tuple[str, ...]) -> tuple[Verdict, ...]:
    """Return the verdicts on a change that `run` kept back, since it holds a secret."""
    return record_only(
        Verdict(step=CONTRACT, result="passed", finding=CONTRACT_KEPT),
        Verdict(step="secrets", result="refused", finding=describe_secrets(secrets)),
        why="the change was kept back in `run`",
    )


def find_refusal(verdicts: tuple[Verdict, ...]) -> Verdict | None:
    """Return the first verdict that refuses, or None."""
    return next((verdict for verdict in verdicts if verdict.refused), None)


def _check_tree(facts: Facts) -> Finding:
    if facts.tip_parents != (facts.base_sha,):
        return refuse_for("the result is not one commit on top of the commit the work started from")
    unknown = [file.path for file in facts.files if "unknown" in (file.before, file.after)]
    if unknown:
        return refuse_for(f"entries of an unknown kind: {name_some(unknown)}")
    unreadable = find_unreadable(facts.files)
    if unreadable:
        return refuse_for(f"names that are not UTF-8: {name_some(unreadable)}")
    straying = find_straying_links(facts.files, facts.protection)
    return refuse_for(
        f"links lead out of the repository, or to protected paths: {name_some(straying)}" if straying else ""
    )


def _check_limits(facts: Facts) -> Finding:
    limits = facts.limits
    broken = find_broken_limits(
        facts.statistics,
        files=limits.files,
        lines=limits.lines,
        binary_files=limits.binary_files,
        patch_bytes=limits.patch_bytes,
    )
    return refuse_for("; ".join(broken))


def _check_protected_paths(facts: Facts) -> Finding:
    protected = find_protected(facts.files, facts.protection)
    return refuse_for(f"protected paths are changed: {name_some(protected)}" if protected else "")


def describe_protection(files: tuple[ChangedFile, ...], protection: Protection) -> tuple[str, ...]:
    """Return what people are told of paths that may be published but not unseen: opened ones, and manifests."""
    built_in = frozenset(find_protected(files))
    protected = tuple(file for file in files if file.path in built_in)
    notes = [
        f"Changed although protected: {name_some(opened)}. The configuration opens {override.path}: {override.reason}"
        for override in protection.overrides
        if (opened := find_overridden(protected, override))
    ]
    needing = find_needing_review(files)
    if needing:
        notes.append(f"Needs review, since it decides what is installed, built or started: {name_some(needing)}")
    return tuple(notes)


def _check_secrets(facts: Facts) -> Finding:
    return refuse_for(describe_secrets(facts.secrets))


def describe_secrets(kinds: tuple[str, ...]) -> str:
    """Return the finding for these kinds of secrets, never the secrets; "" for none."""
    return f"what looks like a secret was found: {name_some(kinds)}" if kinds else ""


def _check_text(facts: Facts) -> Finding:
    """Refuse words that the sanitiser does not bring to rest: what a second pass changes was not inert after the first."""
    if facts.texts.restless:
        return refuse_for(f"words that cannot be made inert: {name_some(facts.texts.restless)}")
    return Finding("passed", facts.texts.made_inert)


def _check_evidence(facts: Facts) -> Finding:
    """Say what our checks have shown of the result. What fails is published with its failure or not at all, as configured."""
    judgement = facts.judgement
    if judgement is None:
        return Finding("neutral", "the run did not end well, so no check of its change decides anything")
    if not judgement.publishes:
        return Finding("refused", judgement.finding)
    if judgement.judged is Judged.NONE_CONFIGURED:
        shown = name_some([cut_text(claim, MAXIMUM_CLAIM) for claim in facts.claims])
        claims = f"claims (not verified): {shown}" if shown else "claims none"
        return Finding("neutral", f"{judgement.finding}; the familiar {claims}")
    return Finding("passed" if judgement.judged is Judged.PASSED else "failed", judgement.finding)


def _check_freshness(facts: Facts) -> Finding:
    return facts.look_at_target()


STEPS: Final[Mapping[str, Callable[[Facts], Finding]]] = {
    "tree": _check_tree,
    "limits": _check_limits,
    "protected-paths": _check_protected_paths,
    "secrets": _check_secrets,
    "text": _check_text,
    "evidence": _check_evidence,
    "freshness": _check_freshness,
}


def find_added_text(patch: str) -> str:
    """Return the lines that a patch adds, without their sign: what it would publish that was not there before.

    Git ends lines with a line feed and with nothing else, so neither may we: what Python calls a line break would hide
    the rest of a line. File headers (`+++ b/name`) are kept, since an added line that begins with `++ ` looks the same.
    """
    return "\n".join(line[1:] for line in patch.split("\n") if line.startswith("+"))
