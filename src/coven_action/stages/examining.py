"""Look at what a run left, in a clone of our own, and verify it. Nothing of the agent's is executed, and nothing leaves here."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

from coven_action.core.documents import Outcome, Target, Verdict, Work
from coven_action.core.publication.publication import claimed_tests
from coven_action.core.redaction.redactor import Redactor
from coven_action.core.redaction.values import find_kinds
from coven_action.core.verification.changes import ChangedFile, DiffStatistics, measure
from coven_action.core.verification.findings import Finding
from coven_action.core.verification.freshness import Merge, TargetNow, judge_freshness
from coven_action.core.verification.texts import examine_texts
from coven_action.core.verification.verification import (
    NO_CHANGE,
    Facts,
    describe_protection,
    find_added_text,
    record_contract,
    record_kept_back,
    record_only,
    verify,
)
from coven_action.stages.documents import BUNDLE_FILE
from coven_action.stages.judging import JudgedChecks
from coven_action.stages.ports import Documents, GitHubWriter, PublicationRepositories, PublicationRepository

PUBLICATION_FOLDER: Final = "publication"


@dataclass(frozen=True, slots=True)
class Observed:
    """What our own clone shows, and what the verification says of it.

    Attributes:
        verdicts: One for each step.
        tip: The commit that holds the change, None where there is none.
        secrets: The kinds of secrets that were found, whichever step refuses first.
        notes: What people are told beside the verdicts.
        repository: The clone, None where none was needed.
        checks: What our checks have shown of the tip; None where they decide nothing.
    """

    files: tuple[ChangedFile, ...] = ()
    statistics: DiffStatistics = field(default_factory=DiffStatistics)
    verdicts: tuple[Verdict, ...] = record_only()
    tip: str | None = None
    patch: bytes = b""
    secrets: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    repository: PublicationRepository | None = None
    checks: JudgedChecks | None = None


@dataclass(frozen=True, slots=True)
class ExaminePorts:
    """The outside world of this part of `publish`."""

    documents: Documents
    repositories: PublicationRepositories
    github: GitHubWriter
    redactor: Redactor


def examine(
    work: Work,
    said: Outcome,
    *,
    kept_patch: bytes,
    judge: Callable[[str], JudgedChecks | None],
    ports: ExaminePorts,
) -> Observed:
    """Return what a run left.

    Args:
        work: Plan's own copy of what was to be done.
        said: The outcome as it was read, nothing of it covered: what is looked for is looked for in this.
        kept_patch: The patch that `run` kept where it kept the change itself back.
        judge: Returns what our checks have shown of a commit.
        ports: The outside world.
    """
    said_secrets = find_kinds([said.hand_off.title, said.hand_off.body], ports.redactor) | frozenset(said.secrets)
    secrets = tuple(sorted(said_secrets))
    if said.tip_sha is None:
        if said.secrets:
            return Observed(verdicts=record_kept_back(said.secrets), patch=kept_patch, secrets=secrets)
        return Observed(verdicts=record_contract(why=NO_CHANGE), secrets=secrets)
    target = work.target
    repository = ports.repositories.clone(ports.documents.make_folder(PUBLICATION_FOLDER), target.base_sha)
    tip = repository.import_bundle(ports.documents.folder / BUNDLE_FILE)
    files = repository.list_changes(tip)
    patch = repository.read_patch(tip, work.limits.patch_bytes)
    # Added lines and file names, beside the words that were handed off.
    texts = (find_added_text(patch.decode("utf-8", "replace")), "\n".join(file.path for file in files))
    secrets = tuple(sorted(said_secrets | find_kinds(texts, ports.redactor)))
    statistics = measure(files, len(patch))
    checks = judge(tip)
    facts = Facts(
        files=files,
        statistics=statistics,
        limits=work.limits,
        tip_parents=repository.list_parents(tip),
        base_sha=target.base_sha,
        secrets=secrets,
        texts=examine_texts(said.hand_off),
        claims=claimed_tests(said),
        judgement=checks.judgement if checks else None,
        look_at_target=lambda: look_at_target(target, tip, repository, ports.github),
        protection=work.protection,
    )
    verdicts = verify(facts)
    return Observed(
        files=files,
        statistics=statistics,
        verdicts=verdicts,
        tip=tip if files else None,
        patch=patch,
        secrets=secrets,
        notes=(*describe_protection(files, work.protection), *_describe_movement(verdicts)),
        repository=repository,
        checks=checks,
    )


def read_unfinished(work: Work, ports: ExaminePorts) -> bytes:
    """Return the patch of a change that is not to be published, and so is not verified."""
    folder = ports.documents.make_folder(PUBLICATION_FOLDER)
    repository = ports.repositories.clone(folder, work.target.base_sha)
    tip = repository.import_bundle(ports.documents.folder / BUNDLE_FILE)
    return repository.read_patch(tip, work.limits.patch_bytes)


def _describe_movement(verdicts: tuple[Verdict, ...]) -> tuple[str, ...]:
    """Return the note on a base branch that moved and harms nothing; a stale result is told by its own text."""
    return tuple(
        f"{verdict.finding[:1].upper()}{verdict.finding[1:]}."
        for verdict in verdicts
        if verdict.step == "freshness" and verdict.result == "passed" and verdict.finding
    )


def look_at_target(target: Target, tip: str, repository: PublicationRepository, github: GitHubWriter) -> Finding:
    """Return whether the result may still go where it was to go, by what the server says now."""
    branch_sha, base_ref_sha = repository.find_remote_shas((target.branch, target.base_ref))
    number = target.pull_request
    now = TargetNow(
        branch_sha=branch_sha,
        base_ref_sha=base_ref_sha,
        pull_request=None if number is None else github.get_pull_request(number),
    )
    return judge_freshness(target, now, lambda sha: _find_merge(target, tip, sha, repository))


def _find_merge(target: Target, tip: str, base_ref_sha: str, repository: PublicationRepository) -> Merge:
    """Merge a result with its base branch as it is now, in our own clone."""
    repository.fetch_history((base_ref_sha, target.base_sha))
    if not repository.is_ancestor(target.base_ref_sha, base_ref_sha):
        return Merge(moved_on=False)
    conflicts = repository.find_conflicts(base_ref_sha, tip)
    # Whatever conflicted before has not been caused by the movement, and people see it on their pull request.
    before = bool(conflicts) and bool(repository.find_conflicts(target.base_ref_sha, tip))
    return Merge(moved_on=True, conflicts=conflicts, conflicted_before=before)
