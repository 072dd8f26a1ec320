"""Issues, comments and pull requests, as the REST interface shows them."""

from typing import Any
from urllib.parse import quote

from coven_action.emulator.documents.people import build_user, format_optional_time, format_time
from coven_action.emulator.documents.repository import build_label, build_repository, get_api_url, get_html_url
from coven_action.emulator.git_compare import ChangedFile
from coven_action.emulator.pull_requests import measure_pull_request
from coven_action.emulator.state import Comment, Issue, LabelEvent, PullRequest, Repository, User
from coven_action.emulator.world import World

_REACTIONS = ("total_count", "+1", "-1", "laugh", "hooray", "confused", "heart", "rocket", "eyes")


def decide_author_association(repository: Repository, user: User) -> str:
    """Return how GitHub calls the tie between an author and the repository."""
    if user.id == repository.owner.id:
        return "OWNER"
    return "COLLABORATOR" if user.id in repository.collaborators else "NONE"


def _build_reactions(url: str) -> dict[str, Any]:
    return {"url": f"{url}/reactions"} | dict.fromkeys(_REACTIONS, 0)


def build_issue(world: World, repository: Repository, issue: Issue) -> dict[str, Any]:
    """Build the document of an issue; a pull request seen as an issue has the key `pull_request`."""
    api = get_api_url(world, repository)
    url = f"{api}/issues/{issue.number}"
    pull = repository.pulls.get(issue.number)
    kind = "issues" if pull is None else "pull"
    people = [build_user(world, user) for user in issue.assignees]
    document: dict[str, Any] = {
        "id": issue.id,
        "node_id": f"I_{issue.id}",
        "url": url,
        "repository_url": api,
        "labels_url": f"{url}/labels{{/name}}",
        "comments_url": f"{url}/comments",
        "events_url": f"{url}/events",
        "html_url": f"{get_html_url(world, repository)}/{kind}/{issue.number}",
        "number": issue.number,
        "state": issue.state,
        "state_reason": None,
        "title": issue.title,
        "body": issue.body,
        "user": build_user(world, issue.user),
        "labels": [build_label(world, repository, label) for label in issue.labels],
        "assignee": people[0] if people else None,
        "assignees": people,
        "milestone": None,
        "locked": False,
        "active_lock_reason": None,
        "comments": len(issue.comments),
        "closed_at": format_optional_time(issue.closed_at),
        "created_at": format_time(issue.created_at),
        "updated_at": format_time(issue.updated_at),
        "author_association": decide_author_association(repository, issue.user),
        "reactions": _build_reactions(url),
        "timeline_url": f"{url}/timeline",
        "performed_via_github_app": None,
    }
    if pull is not None:
        page = document["html_url"]
        document["draft"] = pull.draft
        document["pull_request"] = {
            "url": f"{api}/pulls/{issue.number}",
            "html_url": page,
            "diff_url": f"{page}.diff",
            "patch_url": f"{page}.patch",
            "merged_at": format_optional_time(pull.merged_at),
        }
    return document


def build_comment(world: World, repository: Repository, comment: Comment) -> dict[str, Any]:
    """Build the document of a comment."""
    api = get_api_url(world, repository)
    kind = "pull" if comment.issue_number in repository.pulls else "issues"
    thread = f"{get_html_url(world, repository)}/{kind}/{comment.issue_number}"
    url = f"{api}/issues/comments/{comment.id}"
    return {
        "id": comment.id,
        "node_id": f"IC_{comment.id}",
        "url": url,
        "html_url": f"{thread}#issuecomment-{comment.id}",
        "issue_url": f"{api}/issues/{comment.issue_number}",
        "user": build_user(world, comment.user),
        "body": comment.body,
        "created_at": format_time(comment.created_at),
        "updated_at": format_time(comment.updated_at),
        "author_association": decide_author_association(repository, comment.user),
        "reactions": _build_reactions(url),
        "performed_via_github_app": None,
    }


def _build_end(world: World, repository: Repository, ref: str, sha: str) -> dict[str, Any]:
    return {
        "label": f"{repository.owner.login}:{ref}",
        "ref": ref,
        "sha": sha,
        "user": build_user(world, repository.owner),
        "repo": build_repository(world, repository),
    }


def build_short_pull_request(world: World, repository: Repository, pull: PullRequest) -> dict[str, Any]:
    """Build the document of a pull request as lists show it (`pull-request-simple`)."""
    api = get_api_url(world, repository)
    issue = pull.issue
    thread = build_issue(world, repository, issue)
    url = f"{api}/pulls/{issue.number}"
    page = thread["html_url"]
    kept = (
        "number", "state", "locked", "title", "user", "body", "labels", "milestone", "active_lock_reason",
        "created_at", "updated_at", "closed_at", "assignee", "assignees", "author_association", "comments_url",
    )  # fmt: skip
    links = {
        "self": url,
        "html": page,
        "issue": thread["url"],
        "comments": thread["comments_url"],
        "review_comments": f"{url}/comments",
        "review_comment": f"{api}/pulls/comments{{/number}}",
        "commits": f"{url}/commits",
        "statuses": f"{api}/statuses/{pull.head_sha}",
    }
    # Here GitHub's description knows no label without a description.
    labels = [{**label, "description": label["description"] or ""} for label in thread["labels"]]
    return {name: thread[name] for name in kept} | {
        "labels": labels,
        "id": pull.id,
        "node_id": f"PR_{pull.id}",
        "url": url,
        "html_url": page,
        "diff_url": f"{page}.diff",
        "patch_url": f"{page}.patch",
        "issue_url": links["issue"],
        "commits_url": links["commits"],
        "review_comments_url": links["review_comments"],
        "review_comment_url": links["review_comment"],
        "statuses_url": links["statuses"],
        "draft": pull.draft,
        "merged_at": format_optional_time(pull.merged_at),
        "merge_commit_sha": pull.merge_commit_sha,
        "requested_reviewers": [],
        "requested_teams": [],
        "head": _build_end(world, pull.head_repository, pull.head_ref, pull.head_sha),
        "base": _build_end(world, repository, pull.base_ref, pull.base_sha),
        "_links": {name: {"href": address} for name, address in links.items()},
        "auto_merge": None,
    }


def build_pull_request(world: World, repository: Repository, pull: PullRequest) -> dict[str, Any]:
    """Build the document of one pull request, with its sizes."""
    sizes = measure_pull_request(repository, pull)
    is_open = pull.issue.state == "open"
    return build_short_pull_request(world, repository, pull) | {
        "merged": pull.merged_at is not None,
        "mergeable": True if is_open else None,
        "rebaseable": None,
        "mergeable_state": ("draft" if pull.draft else "clean") if is_open else "unknown",
        "merged_by": None,
        "comments": len(pull.issue.comments),
        "review_comments": 0,
        "maintainer_can_modify": False,
        "commits": sizes.commits,
        "additions": sizes.additions,
        "deletions": sizes.deletions,
        "changed_files": sizes.files,
    }


def build_changed_file(world: World, pull: PullRequest, file: ChangedFile) -> dict[str, Any]:
    """Build the document of one changed file of a pull request."""
    html = get_html_url(world, pull.head_repository)
    path = quote(file.filename)
    document: dict[str, Any] = {
        "sha": file.sha,
        "filename": file.filename,
        "status": file.status,
        "additions": file.additions,
        "deletions": file.deletions,
        "changes": file.additions + file.deletions,
        "blob_url": f"{html}/blob/{pull.head_sha}/{path}",
        "raw_url": f"{html}/raw/{pull.head_sha}/{path}",
        "contents_url": f"{get_api_url(world, pull.head_repository)}/contents/{path}?ref={pull.head_sha}",
    }
    if file.patch is not None:
        document["patch"] = file.patch
    if file.previous_filename is not None:
        document["previous_filename"] = file.previous_filename
    return document


def build_label_event(world: World, repository: Repository, event: LabelEvent) -> dict[str, Any]:
    """Build the document of a label that was applied or removed."""
    return {
        "id": event.id,
        "node_id": f"LE_{event.id}",
        "url": f"{get_api_url(world, repository)}/issues/events/{event.id}",
        "actor": build_user(world, event.actor),
        "event": event.event,
        "commit_id": None,
        "commit_url": None,
        "created_at": format_time(event.created_at),
        "performed_via_github_app": None,
        "label": {"name": event.label.name, "color": event.label.color},
    }
