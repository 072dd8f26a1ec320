"""What a pull request means for git: its head follows the branch, and a push can close or merge it.

The head is kept as `refs/pull/N/head` in the base repository, as GitHub keeps it, so a pull request survives the
removal of its branch, and a fork's commits can be read where the pull request is.
"""

from dataclasses import dataclass

from coven_action.emulator import git_store
from coven_action.emulator.git_compare import count_commits, find_merge_base, is_ancestor, list_changed_files
from coven_action.emulator.state import PullRequest, Repository, User
from coven_action.emulator.world import World


def find_branch(repository: Repository, branch: str) -> str | None:
    """Return the SHA at the tip of a branch, or `None`."""
    return git_store.resolve_commit(repository.path, f"refs/heads/{branch}")


def copy_head(repository: Repository, head: Repository, branch: str, number: int) -> None:
    """Write `refs/pull/<number>/head` from the branch of the head repository."""
    spec = f"+refs/heads/{branch}:refs/pull/{number}/head"
    git_store.run_git(repository.path, "fetch", "--quiet", "--no-tags", "--no-write-fetch-head", str(head.path), spec)


def open_pull_request(
    world: World,
    repository: Repository,
    user: User,
    *,
    head: tuple[Repository, str],
    base: str,
    title: str,
    body: str | None,
    draft: bool,
) -> PullRequest:
    """Open a pull request between two branches that exist."""
    head_repository, branch = head
    head_sha, base_sha = find_branch(head_repository, branch), find_branch(repository, base)
    if head_sha is None or base_sha is None:
        raise LookupError(f"no branch {branch} or {base}")
    issue = world.open_issue(repository, user, title, body)
    copy_head(repository, head_repository, branch, issue.number)
    pull = PullRequest(world.next_id(), issue, head_repository, branch, head_sha, base, base_sha, draft)
    repository.pulls[issue.number] = pull
    return pull


def follow_branch(world: World, repository: Repository, pull: PullRequest) -> None:
    """Bring an open pull request up to date with its branches.

    A new head moves the pull request; a removed branch closes it; a head that the base has received merges it.
    """
    if pull.issue.state != "open":
        return
    head, base = find_branch(pull.head_repository, pull.head_ref), find_branch(repository, pull.base_ref)
    if head is None or base is None:
        world.set_state(pull.issue, "closed")
        return
    if head != pull.head_sha:
        copy_head(repository, pull.head_repository, pull.head_ref, pull.issue.number)
        pull.head_sha, pull.issue.updated_at = head, world.clock()
    if base != pull.base_sha and is_ancestor(repository.path, head, base):
        pull.merged_at, pull.merge_commit_sha = world.clock(), base
        world.set_state(pull.issue, "closed")
    elif base != pull.base_sha and find_merge_base(repository.path, base, head) is not None:
        pull.base_sha = base


def follow_branches(world: World, repository: Repository) -> None:
    """Bring all open pull requests of a repository up to date."""
    for pull in repository.pulls.values():
        follow_branch(world, repository, pull)


@dataclass(frozen=True, slots=True)
class Sizes:
    """How large a pull request is."""

    commits: int
    files: int
    additions: int
    deletions: int


def measure_pull_request(repository: Repository, pull: PullRequest) -> Sizes:
    """Count commits, files and lines between the merge base and the head."""
    files = list_changed_files(repository.path, pull.base_sha, pull.head_sha)
    return Sizes(
        commits=count_commits(repository.path, pull.base_sha, pull.head_sha),
        files=len(files),
        additions=sum(file.additions for file in files),
        deletions=sum(file.deletions for file in files),
    )
