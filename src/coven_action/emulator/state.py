"""What the local GitHub knows: plain records, no behaviour beyond looking things up in themselves.

Times are aware `datetime`s in UTC with whole seconds, as GitHub shows them. Names are GitHub's own.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Final

ACTIONS_BOT_ID: Final = 41898282
"""The numeric id of `github-actions[bot]`, the user behind every GITHUB_TOKEN (https://api.github.com/users/github-actions[bot])."""

ROLES: Final[Mapping[str, tuple[str, ...]]] = {
    "none": (),
    "read": ("pull",),
    "triage": ("pull", "triage"),
    "write": ("pull", "triage", "push"),
    "maintain": ("pull", "triage", "push", "maintain"),
    "admin": ("pull", "triage", "push", "maintain", "admin"),
}
"""GitHub's built-in roles and the booleans of `user.permissions` that each sets."""


@dataclass(slots=True)
class User:
    """A person, a bot or an organisation; the id stays, the login may change hands."""

    id: int
    login: str
    created_at: datetime
    type: str = "User"


@dataclass(frozen=True, slots=True)
class Role:
    """What a collaborator may do: one of `ROLES`, and the name shown for it when the role is a custom one."""

    base: str
    name: str


@dataclass(slots=True)
class Token:
    """A credential: who acts, with which permissions, on which repositories (`None`: all)."""

    value: str
    user: User
    permissions: Mapping[str, str]
    repositories: frozenset[int] | None
    installation: bool
    limit: int
    used: int = 0


@dataclass(slots=True)
class Label:
    """A label of a repository."""

    id: int
    name: str
    color: str = "ededed"
    description: str | None = None


@dataclass(frozen=True, slots=True)
class Edit:
    """One earlier state of a text: who changed it when, and what it read before."""

    at: datetime
    editor: User
    before: str


@dataclass(frozen=True, slots=True)
class LabelEvent:
    """A label that was applied or removed, and by whom."""

    id: int
    event: str
    actor: User
    label: Label
    created_at: datetime


@dataclass(slots=True)
class Comment:
    """A comment on an issue or pull request."""

    id: int
    issue_number: int
    user: User
    body: str
    created_at: datetime
    updated_at: datetime
    edits: list[Edit] = field(default_factory=list)


@dataclass(slots=True)
class Issue:
    """An issue, or the conversation of a pull request; both share one sequence of numbers."""

    id: int
    number: int
    user: User
    title: str
    body: str | None
    created_at: datetime
    updated_at: datetime
    state: str = "open"
    closed_at: datetime | None = None
    labels: list[Label] = field(default_factory=list)
    assignees: list[User] = field(default_factory=list)
    comments: list[Comment] = field(default_factory=list)
    edits: list[Edit] = field(default_factory=list)
    renames: list[Edit] = field(default_factory=list)
    label_events: list[LabelEvent] = field(default_factory=list)


@dataclass(slots=True)
class PullRequest:
    """What a pull request has beyond its conversation."""

    id: int
    issue: Issue
    head_repository: "Repository"
    head_ref: str
    head_sha: str
    base_ref: str
    base_sha: str
    draft: bool
    merged_at: datetime | None = None
    merge_commit_sha: str | None = None


@dataclass(slots=True)
class CheckRun:
    """A Check Run; `head_sha` never changes after creation."""

    id: int
    suite_id: int
    user: User
    name: str
    head_sha: str
    status: str
    conclusion: str | None
    started_at: datetime
    completed_at: datetime | None
    external_id: str
    title: str | None = None
    summary: str | None = None
    text: str | None = None
    annotations: list[dict[str, object]] = field(default_factory=list)


@dataclass(slots=True)
class WorkflowRun:
    """A run of a workflow; only the runs API names who re-ran it. It was created once; each attempt starts anew."""

    id: int
    name: str
    path: str
    event: str
    head_branch: str
    head_sha: str
    actor: User
    triggering_actor: User
    run_number: int
    run_attempt: int
    created_at: datetime
    started_at: datetime
    status: str = "in_progress"
    conclusion: str | None = None
    workflow_id: int = 1


@dataclass(frozen=True, slots=True)
class Artifact:
    """What a run has uploaded: a zip file, the branch of whose run may be of another repository."""

    id: int
    name: str
    content: bytes
    run: WorkflowRun
    head_repository_id: int
    created_at: datetime
    expires_at: datetime


@dataclass(slots=True)
class Repository:
    """A repository: its settings, its people and its threads; the objects lie in the bare repository at `path`."""

    id: int
    owner: User
    name: str
    path: Path
    created_at: datetime
    private: bool = False
    default_branch: str = "main"
    description: str | None = None
    parent: "Repository | None" = None
    offers_drafts: bool = True
    actions_may_create_pull_requests: bool = True
    collaborators: dict[int, Role] = field(default_factory=dict)
    labels: dict[str, Label] = field(default_factory=dict)
    issues: dict[int, Issue] = field(default_factory=dict)
    pulls: dict[int, PullRequest] = field(default_factory=dict)
    comments: dict[int, Comment] = field(default_factory=dict)
    check_runs: dict[int, CheckRun] = field(default_factory=dict)
    workflow_runs: dict[int, WorkflowRun] = field(default_factory=dict)
    artifacts: dict[int, Artifact] = field(default_factory=dict)

    @property
    def full_name(self) -> str:
        """`owner/name`, with the owner's present login."""
        return f"{self.owner.login}/{self.name}"

    @property
    def visibility(self) -> str:
        """`private` or `public`."""
        return "private" if self.private else "public"

    def get_role(self, user: User) -> Role:
        """Return the role of `user` here; on a public repository everybody has at least `read`."""
        if user.id == self.owner.id:
            return Role("admin", "admin")
        fallback = "none" if self.private else "read"
        return self.collaborators.get(user.id, Role(fallback, fallback))
