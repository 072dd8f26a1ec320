"""Webhook payloads for the events that start a familiar, built from the state of the local GitHub.

They hold what https://docs.github.com/webhooks/webhook-events-and-payloads describes; the tests check them against the
published schemas of the webhooks.
"""

from collections.abc import Mapping
from typing import Any, Final

from coven_action.emulator.documents.people import build_user
from coven_action.emulator.documents.repository import build_label, build_repository
from coven_action.emulator.documents.threads import build_comment, build_issue
from coven_action.emulator.state import Comment, Issue, Label, Repository, User
from coven_action.emulator.world import World

# What the REST interface says and a webhook does not.
_REST_ONLY: Final = frozenset({"user_view_type"})


def _drop_rest_only(document: Any) -> Any:
    if isinstance(document, list):
        return [_drop_rest_only(item) for item in document]
    if isinstance(document, dict):
        return {name: _drop_rest_only(value) for name, value in document.items() if name not in _REST_ONLY}
    return document


def _build_common(world: World, repository: Repository, sender: User) -> dict[str, Any]:
    common: dict[str, Any] = {"repository": build_repository(world, repository) | {"custom_properties": {}}}
    if repository.owner.type == "Organization":
        common["organization"] = _build_organization(world, repository.owner)
    return common | {"sender": build_user(world, sender)}


def _build_organization(world: World, owner: User) -> dict[str, Any]:
    url = f"{world.api_url}/orgs/{owner.login}"
    return {
        "login": owner.login,
        "id": owner.id,
        "node_id": f"O_{owner.id}",
        "url": url,
        "repos_url": f"{url}/repos",
        "events_url": f"{url}/events",
        "hooks_url": f"{url}/hooks",
        "issues_url": f"{url}/issues",
        "members_url": f"{url}/members{{/member}}",
        "public_members_url": f"{url}/public_members{{/member}}",
        "avatar_url": f"{world.html_url}/{owner.login}.png",
        "description": None,
    }


def build_issues_labeled(
    world: World, repository: Repository, issue: Issue, label: Label, sender: User
) -> dict[str, Any]:
    """Build the payload of `issues` with action `labeled`."""
    payload = {
        "action": "labeled",
        "issue": build_issue(world, repository, issue),
        "label": build_label(world, repository, label),
    }
    return _finish(world, repository, sender, payload)


def build_issues_assigned(
    world: World, repository: Repository, issue: Issue, assignee: User, sender: User
) -> dict[str, Any]:
    """Build the payload of `issues` with action `assigned`."""
    payload = {
        "action": "assigned",
        "issue": build_issue(world, repository, issue),
        "assignee": build_user(world, assignee),
    }
    return _finish(world, repository, sender, payload)


def build_issue_comment_created(
    world: World, repository: Repository, issue: Issue, comment: Comment, sender: User | None = None
) -> dict[str, Any]:
    """Build the payload of `issue_comment` with action `created`, on an issue or on a pull request."""
    payload = {
        "action": "created",
        "issue": build_issue(world, repository, issue),
        "comment": build_comment(world, repository, comment),
    }
    return _finish(world, repository, sender or comment.user, payload)


def build_workflow_dispatch(
    world: World,
    repository: Repository,
    sender: User,
    inputs: Mapping[str, str],
    *,
    ref: str | None = None,
    workflow: str = ".github/workflows/coven.yml",
) -> dict[str, Any]:
    """Build the payload of `workflow_dispatch`; every input arrives as text; `ref` is the default branch if absent."""
    payload = {
        "inputs": dict(inputs),
        "ref": ref or f"refs/heads/{repository.default_branch}",
        "workflow": workflow,
    }
    return _finish(world, repository, sender, payload)


def _finish(world: World, repository: Repository, sender: User, payload: dict[str, Any]) -> dict[str, Any]:
    finished: dict[str, Any] = _drop_rest_only(payload | _build_common(world, repository, sender))
    return finished
