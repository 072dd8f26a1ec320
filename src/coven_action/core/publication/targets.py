"""Decide where a task's result goes: which branch, which pull request, from which commit. Pure.

One thread has one branch, `coven/issue-N`. While its pull request is open, every new task on the thread works on top of it.
A branch that people may have pushed to is never overwritten: only a head that this same task published in an earlier,
failed attempt is replaced. Otherwise the task gets a branch of its own, `coven/issue-N-RUN`. A pull request keeps the base
that people gave it: work on it is planned for that base, and never changes it.
"""

import re
from collections.abc import Callable, Iterable
from typing import Final

from pydantic import Field

from coven_action.core.documents import Target, TaskIdentity
from coven_action.core.records import Payload, Record
from coven_action.core.refusals import Refusal

TASK_TRAILER: Final = "Coven-Task"
# github-actions[bot], whose address GitHub links to the account of GITHUB_TOKEN. Every commit of ours is committed by it.
BOT_EMAIL: Final = "41898282+github-actions[bot]@users.noreply.github.com"
_OWN_BRANCH: Final = re.compile(r"coven/issue-([1-9][0-9]{0,9})(?:-[1-9][0-9]{0,29})?")


class Head(Record):
    """A branch's head commit. `task_key` is the task we made it for, if we did; `parent_sha` is set when it has one parent."""

    sha: str
    task_key: str | None = None
    parent_sha: str | None = None

    def base_for(self, task: TaskIdentity) -> str:
        """Return the commit to work from: an earlier attempt of the same task is done again, not added to."""
        if self.task_key == task.key and self.parent_sha is not None:
            return self.parent_sha
        return self.sha


class Branch(Record):
    """A branch of ours that exists, and what pull requests it has. `open_base` is the base of the open one."""

    name: str
    head: Head
    open_pull_request: int | None = None
    open_base: str | None = None
    has_pull_request: bool = False


class PullRequestHead(Payload):
    """A pull request's head as the API gives it. `repo` is null when a fork was deleted."""

    ref: str
    sha: str
    repo: "HeadRepository | None" = None


class HeadRepository(Payload):
    """The repository a pull request's head is in."""

    id: int


class PullRequestLabel(Payload):
    """A label that a pull request has."""

    name: str


class PullRequest(Payload):
    """What of a pull request matters here."""

    number: int
    state: str
    html_url: str = ""
    draft: bool = False
    labels: tuple[PullRequestLabel, ...] = Field(default=(), strict=False)
    head: PullRequestHead
    base: PullRequestHead

    def has_label(self, name: str) -> bool:
        """Whether it has a label; GitHub knows them by their letters, whatever their case."""
        return any(label.name.casefold() == name.casefold() for label in self.labels)


def branch_prefix(thread_number: int) -> str:
    """Return the name that all branches of a thread begin with."""
    return f"coven/issue-{thread_number}"


def is_branch_of(name: str, thread_number: int) -> bool:
    """Whether a branch name is ours and belongs to this thread: `coven/issue-4` is not a branch of issue 42."""
    match = _OWN_BRANCH.fullmatch(name)
    return match is not None and match[1] == str(thread_number)


def find_thread_number(branch: str) -> int | None:
    """Return the number of the issue that a branch of ours was made for, or None."""
    match = _OWN_BRANCH.fullmatch(branch)
    return int(match[1]) if match else None


def find_task_key(commit_message: str, *, committer: str) -> str | None:
    """Return the task that a commit of ours says it belongs to.

    Args:
        commit_message: As git holds it.
        committer: The committer's e-mail address. Whoever amends, rebases or picks our commit keeps its message, and is its
            committer from then on: then it is theirs, and no later attempt may replace it.
    """
    if committer != BOT_EMAIL:
        return None
    match = re.search(rf"^{TASK_TRAILER}: ([0-9]+/[a-z_]+/[0-9]+)\s*\Z", commit_message, re.MULTILINE)
    return match[1] if match else None


def decide_issue_target(
    thread_number: int,
    task: TaskIdentity,
    *,
    base_ref: str,
    branches: Iterable[Branch],
    find_sha: Callable[[str], str],
) -> Target:
    """Return where a task on an issue works.

    Args:
        thread_number: The issue's.
        task: What is to be done there.
        base_ref: The branch that a new pull request asks to be merged into.
        branches: Those of ours for this thread.
        find_sha: Returns the commit that a branch of the repository points to.
    """
    known = tuple(branches)
    for branch in known:
        if branch.open_pull_request is not None:
            base = branch.open_base or base_ref
            number = branch.open_pull_request
            return _on_top(
                branch.name, branch.head, task, base_ref=base, base_ref_sha=find_sha(base), pull_request=number
            )
    name, base_sha = branch_prefix(thread_number), find_sha(base_ref)
    taken = {branch.name: branch for branch in known}
    for candidate in (name, f"{name}-{task.run_id}"):
        left = taken.get(candidate)
        if left is None or (left.head.task_key == task.key and not left.has_pull_request):
            return Target(
                base_ref=base_ref,
                base_ref_sha=base_sha,
                base_sha=base_sha,
                branch=candidate,
                expected_sha=left.head.sha if left else None,
                pull_request=None,
                why="a new branch" if left is None else "the branch that an earlier attempt of this task left",
            )
    # Both names are taken by heads that are not this task's. Only a person can have done that; attempts tell them apart.
    return Target(
        base_ref=base_ref,
        base_ref_sha=base_sha,
        base_sha=base_sha,
        branch=f"{name}-{task.run_id}{task.run_attempt:03d}",
        expected_sha=None,
        pull_request=None,
        why="a new branch",
    )


def _on_top(
    branch: str, head: Head, task: TaskIdentity, *, base_ref: str, base_ref_sha: str, pull_request: int
) -> Target:
    again = head.task_key == task.key
    return Target(
        base_ref=base_ref,
        base_ref_sha=base_ref_sha,
        base_sha=head.base_for(task),
        branch=branch,
        expected_sha=head.sha,
        pull_request=pull_request,
        why=f"pull request #{pull_request}, " + ("again after a failed attempt" if again else "on top of its head"),
    )


def check_pull_request(pull_request: PullRequest, repository_id: int) -> Refusal | None:
    """Return why a task given on a pull request cannot be done there: only open ones on a branch of ours are worked on."""
    head = pull_request.head
    if head.repo is None or head.repo.id != repository_id:
        return Refusal(
            code="fork-pull-request",
            reason="The pull request comes from another repository, and this action never pushes to one.",
            remedy="Open an issue that describes the change, and give the command there.",
        )
    if pull_request.state != "open":
        return Refusal(
            code="pull-request-closed",
            reason="The pull request is closed.",
            remedy="Reopen it, or give the command on the issue.",
        )
    if _OWN_BRANCH.fullmatch(head.ref) is None:
        return Refusal(
            code="not-our-pull-request",
            reason="The pull request was opened by somebody else, and this action adds commits only to its own.",
            remedy="Open an issue that describes the change, and give the command there.",
        )
    return None


def decide_pull_request_target(
    pull_request: PullRequest, head: Head, task: TaskIdentity, *, find_sha: Callable[[str], str]
) -> Target:
    """Return where a task given on a pull request of ours works: on its own branch, for the base it has by now."""
    base, number = pull_request.base.ref, pull_request.number
    return _on_top(pull_request.head.ref, head, task, base_ref=base, base_ref_sha=find_sha(base), pull_request=number)
