"""Webhook payloads for tests that need no server: each function takes what matters and invents the rest.

The payloads come from the local GitHub's own builders, which are held against the published schemas.
"""

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from coven_action.emulator import payloads
from coven_action.emulator.state import Issue, PullRequest, Repository, User
from coven_action.emulator.world import World

MOMENT = datetime(2026, 1, 5, 9, 0, tzinfo=UTC)
SENDER_ID = 501
REPOSITORY_ID = 301
OWNER_ID = 401


class Thread:
    """A repository in memory with one issue, or one pull request, and who acts on it."""

    def __init__(
        self,
        *,
        title: str = "total() rounds wrong",
        body: str | None = "It should round half up.",
        private: bool = False,
        sender: str = "maintainer",
        sender_id: int = SENDER_ID,
        sender_type: str = "User",
        author: str | None = None,
        fork: bool = False,
        pull_request: bool = False,
        number: int = 42,
    ) -> None:
        self.world = World(Path("/nonexistent"), clock=lambda: MOMENT)
        self.world.html_url = "https://github.example"
        owner = self.world.add_user("acme", user_id=OWNER_ID, kind="Organization")
        self.repository = self._build_repository(REPOSITORY_ID, owner, private=private)
        self.sender = self.world.add_user(sender, user_id=sender_id, kind=sender_type)
        self.author = self.world.add_user(author) if author else self.sender
        self.issue = Issue(9001, number, self.author, title, body, MOMENT, MOMENT)
        self.repository.issues[number] = self.issue
        if pull_request:
            head = self._build_repository(302, self.author, private=private) if fork else self.repository
            self.repository.pulls[number] = PullRequest(
                9002, self.issue, head, "topic", "a" * 40, "main", "b" * 40, draft=False
            )

    def _build_repository(self, identifier: int, owner: User, *, private: bool) -> Repository:
        return Repository(identifier, owner, "billing", Path("/nonexistent"), MOMENT, private=private)


def build_issues_labeled(label: str = "coven:fix", **facts: Any) -> dict[str, Any]:
    """`issues` / `labeled`; further arguments as `Thread` takes them."""
    thread = Thread(**facts)
    thread.world.add_labels(thread.repository, thread.issue, [label])
    kept = thread.world.get_label(thread.repository, label)
    return payloads.build_issues_labeled(thread.world, thread.repository, thread.issue, kept, thread.sender)


def build_issues_assigned(assignee: str = "cody-bot", assignee_id: int = 601, **facts: Any) -> dict[str, Any]:
    """`issues` / `assigned`."""
    thread = Thread(**facts)
    user = thread.world.add_user(assignee, user_id=assignee_id)
    thread.world.assign(thread.issue, user)
    return payloads.build_issues_assigned(thread.world, thread.repository, thread.issue, user, thread.sender)


def build_issue_comment_created(comment: str = "/coven fix", **facts: Any) -> dict[str, Any]:
    """`issue_comment` / `created`; `pull_request=True` puts it on a pull request."""
    thread = Thread(**facts)
    added = thread.world.add_comment(thread.repository, thread.issue, thread.sender, comment)
    return payloads.build_issue_comment_created(thread.world, thread.repository, thread.issue, added)


def build_workflow_dispatch(issue: str = "42", ref: str = "refs/heads/main", **facts: Any) -> dict[str, Any]:
    """`workflow_dispatch` with the input `issue`."""
    thread = Thread(**facts)
    return payloads.build_workflow_dispatch(thread.world, thread.repository, thread.sender, {"issue": issue}, ref=ref)
