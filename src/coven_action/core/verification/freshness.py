"""Whether the place where a result goes is still what the work was planned for. Pure.

Stale is: a branch that somebody else has pushed to, a pull request that is closed or leads elsewhere, and a base branch
that has moved so that the result no longer merges with it. A base that only moved on is noted and harms nothing.
"""

from collections.abc import Callable

from coven_action.core.documents import Target
from coven_action.core.publication.targets import PullRequest
from coven_action.core.records import Record
from coven_action.core.verification.findings import Finding, name_some, refuse_for


class TargetNow(Record):
    """What the server says now. A branch that does not exist is None, and so is the pull request where there is none yet."""

    branch_sha: str | None
    base_ref_sha: str | None
    pull_request: PullRequest | None = None


class Merge(Record):
    """How a result stands to the base branch as it is now, by a three-way merge in our own clone.

    Attributes:
        moved_on: Whether the base branch still holds the commit it pointed to then.
        conflicts: The paths on which the two conflict; None where no commit that both stand on is at hand.
        conflicted_before: Whether the result conflicts with the base branch as it was then, too.
    """

    moved_on: bool
    conflicts: tuple[str, ...] | None = ()
    conflicted_before: bool = False


def judge_freshness(target: Target, now: TargetNow, find_merge: Callable[[str], Merge]) -> Finding:
    """Return whether the result may still be pushed.

    Args:
        target: Where `plan` decided that it goes.
        now: What the server says.
        find_merge: Merges the result with a commit. Asked only where the base branch has moved.
    """
    stale = _find_detour(target, now.pull_request)
    if not stale and now.branch_sha != target.expected_sha:
        stale = describe_moved_branch(target)
    if not stale and now.base_ref_sha is None:
        stale = f"the branch {target.base_ref} was removed during the run"
    if stale or now.base_ref_sha is None or now.base_ref_sha == target.base_ref_sha:
        return refuse_for(stale)
    return _judge_merge(target, now.base_ref_sha, find_merge(now.base_ref_sha))


def describe_moved_branch(target: Target) -> str:
    """Return what people are told of a branch that is no longer where `plan` found it."""
    return f"the branch {target.branch} was changed by somebody else during the run"


def _find_detour(target: Target, pull_request: PullRequest | None) -> str:
    """Return how a pull request has ceased to be the one that was planned for; its base is never changed by us."""
    if pull_request is None:
        return ""
    if pull_request.state != "open":
        return f"pull request #{pull_request.number} was closed during the run"
    if pull_request.base.ref != target.base_ref:
        return (
            f"pull request #{pull_request.number} was given another base during the run: {pull_request.base.ref} "
            f"in place of {target.base_ref}"
        )
    return ""


def _judge_merge(target: Target, base_sha: str, merge: Merge) -> Finding:
    moved = f"{target.base_ref} moved to {base_sha[:12]} during the run"
    if not merge.moved_on:
        return refuse_for(f"{target.base_ref} was rewritten during the run, or moved on too far to compare")
    if merge.conflicts is None:
        return Finding("passed", f"{moved}; the branches parted too long ago to say here whether they merge")
    if not merge.conflicts:
        return Finding("passed", f"{moved}; the result still merges with it")
    conflicts = name_some(merge.conflicts)
    if merge.conflicted_before:
        return Finding("passed", f"{moved}; the result conflicts with it, as it did before: {conflicts}")
    return refuse_for(f"{moved}, and the result conflicts with it: {conflicts}")
