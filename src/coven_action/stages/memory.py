"""Memory in the stages: what `plan` lets a run read, what `run` hands over and takes back, what `publish` makes of it.

The rules are `core.memory`'s. Memory comes from the default branch alone; citations are checked in the tree the work
starts from. Nothing of an agent is ever written to memory here: a proposal becomes a file that a person may commit.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path
from typing import Final

from coven_action.core.configuration.config import Config
from coven_action.core.documents import Outcome, Target, Work
from coven_action.core.memory.entries import MAX_CITED_FILE_BYTES, ReadFile
from coven_action.core.memory.entry_parsing import MAX_FILE_BYTES
from coven_action.core.memory.evidence import MemoryEvidence, build_memory_evidence
from coven_action.core.memory.grants import EndpointGrant
from coven_action.core.memory.hand_off import (
    MAX_HAND_OFF_BYTES,
    MEMORY_HAND_OFF_FILE,
    MemoryHandOff,
    drop_secrets,
    parse_memory_hand_off,
)
from coven_action.core.memory.judging import JudgedProposal, judge_proposals, judge_uses
from coven_action.core.memory.keys import MEMORY_FOLDER, REVOKED_PATH, list_entry_paths
from coven_action.core.memory.materialising import MEMORY_FILE, render_agents_md
from coven_action.core.memory.policy import MemoryFacts, decide_memory_policy
from coven_action.core.memory.policy_block import MemoryPolicy
from coven_action.core.memory.proposed_file import render_proposed_file
from coven_action.core.memory.revocations import find_revocations
from coven_action.core.memory.selection import MAX_ENTRIES, Selection, select_entries
from coven_action.core.redaction.redactor import Redactor
from coven_action.core.trust.run_trust import RunTrust
from coven_action.stages.ports import Documents, Trees, TreeSource, Workspace

TREES_FOLDER: Final = "trees"
PROPOSED_FOLDER: Final = "proposed-memory"


@dataclass(frozen=True, slots=True)
class PlannedPolicy:
    """The policy of a run, what it lets the run read, and the tree in which citations are looked up."""

    policy: MemoryPolicy
    selection: Selection
    read_file: ReadFile = field(default=lambda _: None)


def plan_memory(
    facts: MemoryFacts,
    trust: RunTrust,
    config: Config,
    target: Target,
    *,
    grant: EndpointGrant | None,
    default_sha: str,
    today: date,
    source: TreeSource,
    documents: Documents,
    redactor: Redactor,
) -> PlannedPolicy:
    """Decide the policy and select the entries. Where memory is off, nothing is fetched or read.

    Args:
        facts: What GitHub says about the run.
        trust: Of everything that feeds it.
        config: Of the default branch.
        target: What is worked on.
        grant: What the endpoint grants, where the configuration names one and it answered.
        default_sha: The default branch's newest commit.
        today: The day.
        source: Fetches commits.
        documents: Where they go.
        redactor: Finds secrets.
    """
    hosted = config.hosted is not None
    policy = decide_memory_policy(
        facts, settings=config.memory, trust=trust.memory, hosted=hosted, endpoint_grant=grant
    )
    if not policy.enabled:
        return PlannedPolicy(policy, Selection())
    commits = tuple(dict.fromkeys((default_sha, target.base_sha)))
    trees = source.fetch(documents.make_folder(TREES_FOLDER), commits)
    files = _read_memory(trees, default_sha)
    revoked = find_revocations(files).list_denied(facts.repository.repository_id or 0)
    policy = decide_memory_policy(
        facts, settings=config.memory, trust=trust.memory, hosted=hosted, endpoint_grant=grant, revoked=revoked
    )

    def read_file(path: str) -> bytes | None:
        return trees.read_file(target.base_sha, path, MAX_CITED_FILE_BYTES)

    selection = select_entries(files, policy, today=today, read_file=read_file, redactor=redactor)
    return PlannedPolicy(policy, selection, read_file)


def _read_memory(trees: Trees, commit: str) -> dict[str, bytes | None]:
    """Return the files of the memory folder; None for what is no ordinary file, or is more than is read."""
    listed = dict(trees.list_files(commit, MEMORY_FOLDER))
    read = {REVOKED_PATH, *list_entry_paths(listed)[:MAX_ENTRIES]}
    return {
        path: trees.read_file(commit, path, MAX_FILE_BYTES) if is_file and path in read else None
        for path, is_file in listed.items()
    }


def materialise(work: Work, configuration_home: Path) -> None:
    """Write what the run may read to the place where the runtime looks for it; no file where there is nothing."""
    text = render_agents_md(work.memory.manifest)
    if text:
        path = configuration_home / MEMORY_FILE
        path.touch(mode=0o600, exist_ok=False)
        path.write_text(text, encoding="utf-8")


def take_hand_off(workspace: Workspace, finds: Callable[[str], bool]) -> MemoryHandOff:
    """Return what the agent proposes and says it used, without the lines that hold a secret."""
    return drop_secrets(parse_memory_hand_off(workspace.read_hand_off(MEMORY_HAND_OFF_FILE, MAX_HAND_OFF_BYTES)), finds)


@dataclass(frozen=True, slots=True)
class JudgedMemory:
    """The memory part of the evidence, and the proposals behind it."""

    evidence: MemoryEvidence
    proposals: tuple[JudgedProposal, ...]


def judge_memory(
    work: Work, outcome: Outcome, read_file: Callable[[str], bytes | None], redactor: Redactor
) -> JudgedMemory:
    """Judge what the agent handed off, by plan's own copies of policy and manifest."""
    policy, hand_off = work.brief.memory_policy, outcome.memory_hand_off
    proposals = judge_proposals(
        hand_off.proposals, policy=policy, versions=work.memory.versions, read_file=read_file, redactor=redactor
    )
    uses = judge_uses(hand_off.uses, manifest=work.memory.manifest, withheld=work.memory.withheld)
    evidence = build_memory_evidence(policy, work.memory, proposals=proposals, uses=uses, faults=hand_off.faults)
    return JudgedMemory(evidence, proposals)


def write_proposed_files(
    judged: JudgedMemory,
    work: Work,
    *,
    run_id: int,
    pull_request: int | None,
    today: date,
    documents: Documents,
    redactor: Redactor,
) -> None:
    """Leave each proposal that waits for a person as a file that is ready to be committed, among the run's artifacts."""
    pending = [proposal for proposal in judged.proposals if proposal.verdict == "pending"]
    if not pending:
        return
    documents.make_folder(PROPOSED_FOLDER)
    for proposal in pending:
        path, text = render_proposed_file(
            proposal, policy=work.brief.memory_policy, run_id=run_id, pull_request=pull_request, today=today
        )
        name = f"{PROPOSED_FOLDER}/{path.removeprefix(f'{MEMORY_FOLDER}/')}"
        documents.leave(redactor.redact(name), redactor.redact(text))
