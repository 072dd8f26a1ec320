"""The state of the local GitHub as a whole, and every change that can happen to it.

Routes, pages and tests change the state only through the functions here, so each change keeps the records consistent
(numbers, times, edits). Callers hold `World.lock` while they read or change.
"""

import itertools
import re
import secrets
import threading
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final

from coven_action.emulator import git_store
from coven_action.emulator.state import (
    ACTIONS_BOT_ID,
    ROLES,
    Artifact,
    Comment,
    Edit,
    Issue,
    Label,
    LabelEvent,
    Repository,
    Role,
    Token,
    User,
    WorkflowRun,
)
from coven_action.errors import Error

_NAME: Final = re.compile(r"[A-Za-z0-9._-]{1,100}")
ALL_PERMISSIONS: Final[Mapping[str, str]] = {
    "actions": "read",
    "checks": "write",
    "contents": "write",
    "issues": "write",
    "metadata": "read",
    "pull_requests": "write",
}
"""What the workflow of this project asks for, and `metadata`, which every token has."""


def read_clock() -> datetime:
    """Return the present time in UTC with whole seconds."""
    return datetime.now(UTC).replace(microsecond=0)


class World:
    """Everything the local GitHub knows.

    Args:
        directory: Where the bare repositories are made, one folder an owner.
        clock: Gives the present time; whole seconds, UTC.
    """

    def __init__(self, directory: Path, clock: Callable[[], datetime] = read_clock) -> None:
        self.directory = directory
        self.clock = clock
        self.lock = threading.RLock()
        self.html_url = "http://localhost"
        self.users: dict[int, User] = {}
        self.repositories: dict[int, Repository] = {}
        self.tokens: dict[str, Token] = {}
        self.downloads: dict[str, tuple[Artifact, datetime]] = {}
        self._ids = itertools.count(1001)
        self.actions_bot = self._keep_user(User(ACTIONS_BOT_ID, "github-actions[bot]", clock(), "Bot"))

    @property
    def api_url(self) -> str:
        """The value of GITHUB_API_URL."""
        return f"{self.html_url}/api"

    def next_id(self) -> int:
        """Return a number that was never given out before."""
        return next(self._ids)

    # --- people and credentials

    def _keep_user(self, user: User) -> User:
        self.users[user.id] = user
        return user

    def find_user(self, login: str) -> User | None:
        """Return who has this login now; logins differ in more than case."""
        wanted = login.casefold()
        return next((user for user in self.users.values() if user.login.casefold() == wanted), None)

    def add_user(self, login: str, *, user_id: int | None = None, kind: str = "User") -> User:
        """Add a person (`kind` "User"), a "Bot" or an "Organization"; return the one there where the login is taken."""
        found = self.find_user(login)
        if found is not None:
            return found
        return self._keep_user(User(user_id or self.next_id(), login, self.clock(), kind))

    def rename_user(self, login: str, new_login: str) -> User:
        """Give the user another login; the old one is free, and whoever takes it next has another id."""
        user = self.get_user(login)
        user.login = new_login
        return user

    def get_user(self, login: str) -> User:
        """Return the user with this login.

        Raises:
            Error: `emulator-unknown`, when nobody has it.
        """
        user = self.find_user(login)
        if user is None:
            raise Error("emulator-unknown", f"the local GitHub has no user {login!r}")
        return user

    def add_actions_token(self, repository: Repository, permissions: Mapping[str, str] | None = None) -> str:
        """Return a new GITHUB_TOKEN for this repository: acts as github-actions[bot], 1,000 requests an hour."""
        granted = {"metadata": "read"} | dict(ALL_PERMISSIONS if permissions is None else permissions)
        token = Token(
            f"ghs_{secrets.token_hex(20)}", self.actions_bot, granted, frozenset({repository.id}), True, limit=1000
        )
        self.tokens[token.value] = token
        return token.value

    def add_personal_token(self, login: str) -> str:
        """Return a new classic personal token, which may do what the person may."""
        value = f"ghp_{secrets.token_hex(18)}"
        self.tokens[value] = Token(value, self.get_user(login), {}, None, installation=False, limit=5000)
        return value

    # --- repositories

    def find_repository(self, owner: str, name: str) -> Repository | None:
        """Return the repository with this full name; case does not matter."""
        wanted = f"{owner}/{name}".casefold()
        return next((it for it in self.repositories.values() if it.full_name.casefold() == wanted), None)

    def add_repository(
        self,
        owner: str,
        name: str,
        files: Mapping[str, str | bytes],
        *,
        private: bool = False,
        default_branch: str = "main",
        organization: bool = True,
        description: str | None = None,
    ) -> Repository:
        """Create a repository with one commit that holds `files`; the owner is made where absent.

        Raises:
            Error: `emulator-unknown`, when a name is not one GitHub would take, or is taken.
        """
        self._check_name(owner, name)
        user = self.add_user(owner, kind="Organization" if organization else "User")
        path = self.directory / owner / f"{name}.git"
        git_store.create_repository(path, default_branch, files)
        repository = Repository(
            id=self.next_id(),
            owner=user,
            name=name,
            path=path,
            created_at=self.clock(),
            private=private,
            default_branch=default_branch,
            description=description,
        )
        self.repositories[repository.id] = repository
        return repository

    def fork_repository(self, parent: Repository, owner: str) -> Repository:
        """Create a public copy of `parent` with all its branches under another owner."""
        self._check_name(owner, parent.name)
        path = self.directory / owner / f"{parent.name}.git"
        git_store.fork_repository(parent.path, path)
        fork = Repository(
            id=self.next_id(),
            owner=self.add_user(owner),
            name=parent.name,
            path=path,
            created_at=self.clock(),
            private=parent.private,
            default_branch=parent.default_branch,
            parent=parent,
        )
        self.repositories[fork.id] = fork
        return fork

    def _check_name(self, owner: str, name: str) -> None:
        if not all(_NAME.fullmatch(part) and part.strip(".") for part in (owner, name)):
            raise Error("emulator-unknown", f"{owner}/{name} is no name of a repository")
        if self.find_repository(owner, name):
            raise Error("emulator-unknown", f"{owner}/{name} exists already in the local GitHub")

    def add_collaborator(self, repository: Repository, login: str, role: str, role_name: str | None = None) -> User:
        """Give a user one of GitHub's roles; `role_name` names a custom role that is based on it."""
        if role not in ROLES:
            raise Error("emulator-unknown", f"{role!r} is no role; GitHub has {', '.join(ROLES)}")
        user = self.add_user(login)
        repository.collaborators[user.id] = Role(role, role_name or role)
        return user

    # --- threads

    def open_issue(
        self, repository: Repository, user: User, title: str, body: str | None = None, labels: tuple[str, ...] = ()
    ) -> Issue:
        """Open an issue; the numbers are shared with pull requests and begin at 1."""
        now = self.clock()
        number = max(repository.issues, default=0) + 1
        issue = Issue(self.next_id(), number, user, title, body, now, now)
        repository.issues[number] = issue
        self.add_labels(repository, issue, labels)
        return issue

    def edit_issue(self, issue: Issue, editor: User, *, title: str | None = None, body: str | None = None) -> None:
        """Change title or body (of an issue or a pull request), keeping what was there as an edit."""
        now = self.clock()
        if title is not None and title != issue.title:
            issue.renames.append(Edit(now, editor, issue.title))
            issue.title = title
        if body is not None and body != (issue.body or ""):
            issue.edits.append(Edit(now, editor, issue.body or ""))
            issue.body = body
        issue.updated_at = now

    def set_state(self, issue: Issue, state: str) -> None:
        """Open or close an issue or pull request."""
        now = self.clock()
        issue.closed_at = None if state == "open" else issue.closed_at or now
        issue.state, issue.updated_at = state, now

    def add_comment(self, repository: Repository, issue: Issue, user: User, body: str) -> Comment:
        """Add a comment to an issue or pull request."""
        now = self.clock()
        comment = Comment(self.next_id(), issue.number, user, body, now, now)
        repository.comments[comment.id] = comment
        issue.comments.append(comment)
        issue.updated_at = now
        return comment

    def edit_comment(self, comment: Comment, editor: User, body: str) -> None:
        """Change a comment, keeping what was there as an edit."""
        comment.edits.append(Edit(self.clock(), editor, comment.body))
        comment.body, comment.updated_at = body, self.clock()

    def get_label(self, repository: Repository, name: str) -> Label:
        """Return the repository's label of this name, made where absent; case does not matter."""
        return repository.labels.setdefault(name.casefold(), Label(self.next_id(), name))

    def add_labels(
        self, repository: Repository, issue: Issue, names: tuple[str, ...] | list[str], actor: User | None = None
    ) -> None:
        """Put labels on an issue or pull request; one that is there stays once. Without an actor its author did it."""
        for name in names:
            label = self.get_label(repository, name)
            if label not in issue.labels:
                issue.labels.append(label)
                self._record_label(issue, "labeled", label, actor)
        issue.updated_at = self.clock()

    def remove_label(self, issue: Issue, name: str, actor: User | None = None) -> bool:
        """Take a label off; return whether it was there."""
        removed = [label for label in issue.labels if label.name.casefold() == name.casefold()]
        issue.labels = [label for label in issue.labels if label not in removed]
        for label in removed:
            self._record_label(issue, "unlabeled", label, actor)
        issue.updated_at = self.clock()
        return bool(removed)

    def _record_label(self, issue: Issue, event: str, label: Label, actor: User | None) -> None:
        issue.label_events.append(LabelEvent(self.next_id(), event, actor or issue.user, label, self.clock()))

    def assign(self, issue: Issue, user: User) -> None:
        """Assign an issue or pull request to a user."""
        if user not in issue.assignees:
            issue.assignees.append(user)
        issue.updated_at = self.clock()

    # --- runs of workflows

    def add_workflow_run(
        self,
        repository: Repository,
        actor: User,
        event: str,
        *,
        run_id: int | None = None,
        triggering_actor: User | None = None,
        run_attempt: int = 1,
    ) -> WorkflowRun:
        """Record a run on the default branch; a second attempt replaces the first under the same id."""
        now = self.clock()
        earlier = repository.workflow_runs.get(run_id) if run_id else None
        head = git_store.resolve_commit(repository.path, f"heads/{repository.default_branch}") or "0" * 40
        run = WorkflowRun(
            id=run_id or self.next_id(),
            name="Coven",
            path=".github/workflows/coven.yml",
            event=event,
            head_branch=repository.default_branch,
            head_sha=head,
            actor=actor,
            triggering_actor=triggering_actor or actor,
            run_number=len(repository.workflow_runs) + 1,
            run_attempt=run_attempt,
            created_at=earlier.created_at if earlier else now,
            started_at=now,
        )
        repository.workflow_runs[run.id] = run
        return run

    def add_artifact(
        self,
        repository: Repository,
        run: WorkflowRun,
        name: str,
        content: bytes,
        *,
        lifetime: timedelta = timedelta(days=14),
        head_repository_id: int | None = None,
    ) -> Artifact:
        """Keep what a run has uploaded, a zip file; `head_repository_id` where its branch is a fork's."""
        now = self.clock()
        artifact = Artifact(
            self.next_id(), name, content, run, head_repository_id or repository.id, now, now + lifetime
        )
        repository.artifacts[artifact.id] = artifact
        return artifact
