"""Write a pending proposal as the file that a person can commit to approve it. Pure."""

from datetime import date, timedelta

from coven_action.core.memory.entries import MemoryEntry, Source
from coven_action.core.memory.entry_rendering import render_entry
from coven_action.core.memory.judging import JudgedProposal
from coven_action.core.memory.keys import render_entry_path
from coven_action.core.memory.policy_block import MemoryPolicy


def build_proposed_entry(
    proposal: JudgedProposal, *, policy: MemoryPolicy, run_id: int, pull_request: int | None, today: date
) -> MemoryEntry:
    """Return the entry that a pending proposal would become.

    It is never shareable, is for the base branch the run worked on, and ends after the policy's longest age: whoever
    approves it may write otherwise.

    Raises:
        ValueError: The proposal was rejected.
    """
    if proposal.verdict != "pending" or not proposal.kind:
        raise ValueError("only a pending proposal becomes a file")
    base, default = policy.branch_scope.base_ref, policy.repo_scope.default_branch
    return MemoryEntry(
        key=proposal.key,
        kind=proposal.kind,
        scope="repo",
        text=proposal.text,
        branches=() if base == default else (base,),
        citations=proposal.citations,
        source=Source(run=run_id, pull_request=pull_request),
        expires=today + timedelta(days=policy.retention_policy.max_age_days),
    )


def render_proposed_file(
    proposal: JudgedProposal, *, policy: MemoryPolicy, run_id: int, pull_request: int | None, today: date
) -> tuple[str, str]:
    """Return path and text of the file, ready to commit.

    Args:
        proposal: A pending one.
        policy: Of the run.
        run_id: The run that proposes.
        pull_request: Its pull request, None where there is none.
        today: The day of the run.

    Raises:
        ValueError: The proposal was rejected.
    """
    entry = build_proposed_entry(proposal, policy=policy, run_id=run_id, pull_request=pull_request, today=today)
    return render_entry_path(entry.key), render_entry(entry)
