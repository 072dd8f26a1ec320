"""Where a result will go: what `plan` asks GitHub about branches and pull requests. The rules are `core.publication.targets`'."""

from coven_action.core.documents import Target, TaskIdentity
from coven_action.core.publication.targets import (
    Branch,
    branch_prefix,
    check_pull_request,
    decide_issue_target,
    decide_pull_request_target,
    is_branch_of,
)
from coven_action.core.refusals import Refusal
from coven_action.core.trust.events import Thread, TriggerEvent
from coven_action.stages.ports import GitHubReader


def find_target(
    event: TriggerEvent, thread: Thread, task: TaskIdentity, *, default_sha: str, reader: GitHubReader
) -> Target | Refusal:
    """Return where the task works and where its result goes.

    Args:
        event: What started the run.
        thread: The issue or pull request.
        task: This run.
        default_sha: What the default branch points to, which is known already.
        reader: GitHub.
    """

    def find_sha(branch: str) -> str:
        return default_sha if branch == event.repository.default_branch else reader.get_branch_sha(branch)

    if thread.is_pull_request:
        pull_request = reader.get_pull_request(thread.number)
        refusal = check_pull_request(pull_request, event.repository.id)
        if refusal is not None:
            return refusal
        return decide_pull_request_target(pull_request, reader.get_head(pull_request.head.sha), task, find_sha=find_sha)
    return decide_issue_target(
        thread.number,
        task,
        base_ref=event.repository.default_branch,
        branches=_read_branches(thread.number, reader),
        find_sha=find_sha,
    )


def _read_branches(thread_number: int, reader: GitHubReader) -> tuple[Branch, ...]:
    return tuple(
        _read_branch(name, sha, reader)
        for name, sha in reader.find_branches(branch_prefix(thread_number))
        if is_branch_of(name, thread_number)
    )


def _read_branch(name: str, sha: str, reader: GitHubReader) -> Branch:
    pull_requests = reader.find_pull_requests(name)
    still_open = next((request for request in pull_requests if request.state == "open"), None)
    return Branch(
        name=name,
        head=reader.get_head(sha),
        open_pull_request=still_open.number if still_open else None,
        open_base=still_open.base.ref if still_open else None,
        has_pull_request=bool(pull_requests),
    )
