"""Routes about pull requests."""

from typing import Final

from coven_action.emulator.answers import (
    Answer,
    ApiError,
    build_invalid_request,
    build_not_found,
    build_validation_failed,
)
from coven_action.emulator.call import Call, Operation
from coven_action.emulator.documents.threads import build_changed_file, build_pull_request, build_short_pull_request
from coven_action.emulator.git_compare import count_commits, find_merge_base, list_changed_files
from coven_action.emulator.limits import MAX_BODY, MAX_TITLE, check_length
from coven_action.emulator.pull_requests import find_branch, follow_branch, follow_branches, open_pull_request
from coven_action.emulator.state import PullRequest, Repository

_STATES: Final = ("open", "closed")


def _require_pull(call: Call) -> PullRequest:
    pull = call.repository.pulls.get(int(call.path["number"]))
    if pull is None:
        raise build_not_found()
    follow_branch(call.world, call.repository, pull)
    return pull


def get_pull(call: Call) -> Answer:
    """Answer one pull request, its head read from the branch now."""
    return Answer(build_pull_request(call.world, call.repository, _require_pull(call)))


def list_pulls(call: Call) -> Answer:
    """Answer a page of pull requests, newest first, by `state`, `head` (owner:branch) and `base`."""
    follow_branches(call.world, call.repository)
    state = call.query.get("state", "open")
    matching = [
        pull
        for pull in reversed(call.repository.pulls.values())
        if state in {"all", pull.issue.state}
        and call.query.get("head") in {None, "", _name_head(pull)}
        and call.query.get("base") in {None, "", pull.base_ref}
    ]
    page, headers = call.paginate(matching)
    return Answer([build_short_pull_request(call.world, call.repository, pull) for pull in page], headers=headers)


def _name_head(pull: PullRequest) -> str:
    return f"{pull.head_repository.owner.login}:{pull.head_ref}"


def _find_head(call: Call, head: str) -> tuple[Repository, str] | None:
    """Return repository and branch that `head` means: a branch here, or `owner:branch` here or in a fork."""
    owner, colon, branch = head.rpartition(":")
    repository: Repository | None = call.repository
    if colon and owner.casefold() != call.repository.owner.login.casefold():
        repository = call.world.find_repository(owner, call.repository.name)
        if repository is None or repository.parent is not call.repository:
            return None
    if repository is None or find_branch(repository, branch) is None:
        return None
    return repository, branch


def _refuse(message: str, *, field: str | None = None, code: str = "custom") -> ApiError:
    return build_validation_failed("PullRequest", message, field=field, code=code)


def _check_new(call: Call, head: tuple[Repository, str], base: str) -> None:
    """Refuse what GitHub refuses: nothing to merge, or an open pull request for the same branches."""
    repository, branch = head
    follow_branches(call.world, call.repository)
    for pull in call.repository.pulls.values():
        same = pull.head_repository is repository and pull.head_ref == branch and pull.base_ref == base
        if same and pull.issue.state == "open":
            raise _refuse(f"A pull request already exists for {_name_head(pull)}.")
    if repository is call.repository:
        ends = find_branch(call.repository, base) or "", find_branch(repository, branch) or ""
        if find_merge_base(call.repository.path, *ends) is None:
            raise _refuse(f"The {branch} branch has no history in common with {base}")
        if count_commits(call.repository.path, *ends) == 0:
            raise _refuse(f"No commits between {base} and {branch}")


def create_pull(call: Call) -> Answer:
    """Open a pull request."""
    _check_switch(call)
    title, body, base = call.require_text("title"), call.get_text("body"), call.require_text("base")
    check_length("PullRequest", "title", title, MAX_TITLE)
    check_length("PullRequest", "body", body, MAX_BODY)
    head = _find_head(call, call.require_text("head"))
    if head is None:
        raise _refuse("head is invalid", field="head", code="invalid")
    if find_branch(call.repository, base) is None:
        raise _refuse("base is invalid", field="base", code="invalid")
    draft = _read_draft(call)
    _check_new(call, head, base)
    pull = open_pull_request(
        call.world, call.repository, call.user, head=head, base=base, title=title, body=body, draft=draft
    )
    document = build_pull_request(call.world, call.repository, pull)
    return Answer(document, status=201, headers={"Location": document["url"]})


def _check_switch(call: Call) -> None:
    """Refuse a GITHUB_TOKEN where "Allow GitHub Actions to create and approve pull requests" is off."""
    if call.user is call.world.actions_bot and not call.repository.actions_may_create_pull_requests:
        raise ApiError(403, "GitHub Actions is not permitted to create or approve pull requests.")


def _read_draft(call: Call) -> bool:
    draft = call.get_object().get("draft", False)
    if not isinstance(draft, bool):
        raise build_invalid_request(f"For 'properties/draft', {draft!r} is not a boolean.")
    if draft and not call.repository.offers_drafts:
        raise ApiError(422, "Draft pull requests are not supported in this repository.")
    return draft


def update_pull(call: Call) -> Answer:
    """Change title, body, state or base of a pull request."""
    pull = _require_pull(call)
    title, body, state = call.get_text("title"), call.get_text("body"), call.get_text("state")
    base = call.get_text("base")
    check_length("PullRequest", "title", title, MAX_TITLE)
    check_length("PullRequest", "body", body, MAX_BODY)
    if state is not None and state not in _STATES:
        raise _refuse("state is invalid", field="state", code="invalid")
    if base is not None and find_branch(call.repository, base) is None:
        raise _refuse("base is invalid", field="base", code="invalid")
    if state == "open" and pull.issue.state == "closed" and not _may_reopen(pull):
        raise _refuse("state cannot be changed. The branch has been deleted or merged.", field="state", code="invalid")
    call.world.edit_issue(pull.issue, call.user, title=title, body=body)
    if base is not None:
        pull.base_ref, pull.base_sha = base, find_branch(call.repository, base) or pull.base_sha
    if state is not None:
        call.world.set_state(pull.issue, state)
    return Answer(build_pull_request(call.world, call.repository, pull))


def _may_reopen(pull: PullRequest) -> bool:
    return pull.merged_at is None and find_branch(pull.head_repository, pull.head_ref) is not None


def list_files(call: Call) -> Answer:
    """Answer a page of the files that a pull request changes."""
    pull = _require_pull(call)
    page, headers = call.paginate(list_changed_files(call.repository.path, pull.base_sha, pull.head_sha))
    return Answer([build_changed_file(call.world, pull, file) for file in page], headers=headers)


_PULLS: Final = "/repos/{owner}/{repo}/pulls"
_PULL: Final = f"{_PULLS}/{{number:int}}"
_READ: Final = ("pull_requests=read",)
_WRITE: Final = ("pull_requests=write",)
OPERATIONS: Final = (
    Operation("GET", _PULLS, list_pulls, needs=_READ, anonymous=True),
    Operation("POST", _PULLS, create_pull, needs=_WRITE),
    Operation("GET", _PULL, get_pull, needs=_READ, anonymous=True),
    Operation("PATCH", _PULL, update_pull, needs=_WRITE),
    Operation("GET", f"{_PULL}/files", list_files, needs=_READ, anonymous=True),
)
