"""The brief: what a runtime is asked to do, written in version 3 of the contract.

Pure. A brief is a version-3 document plus exactly one more key, `memory_policy`: a runtime that does not know the key
ignores it, another one may obey it, and what counts is enforced by us either way.
"""

from typing import Annotated, Any, Final, Literal

from pydantic import BaseModel, ConfigDict, Field

from coven_action.core.memory.policy_block import MemoryPolicy

WRITTEN_VERSION: Final = "3"
MAX_BRIEF_BYTES: Final = 4 * 1024 * 1024

Trigger = Literal["issue_assigned", "pr_review_comment", "issue_mention"]
"""Label, assignment, dispatch and schedule are the first, a comment is the third, a review is the second."""


class _Document(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)


class RepositoryReference(_Document):
    """The repository, as text for the runtime: it never carries a credential."""

    owner: str
    name: str
    clone_url: Annotated[str, Field(pattern=r"^[^@]*$")]
    default_branch: str


class FixIssue(_Document):
    """Change the repository so that the issue is resolved."""

    kind: Literal["fix_issue"] = "fix_issue"
    issue_number: Annotated[int, Field(ge=0)]
    issue_title: str
    issue_body: str

    @property
    def text(self) -> str:
        """The frozen text the task is about, Markdown."""
        return self.issue_body


class AddressReviewComment(_Document):
    """Answer a review comment of a pull request. coven-code treats this kind as read-only."""

    kind: Literal["address_review_comment"] = "address_review_comment"
    pr_number: Annotated[int, Field(ge=0)]
    comment_body: str
    diff_hunk: str | None = None

    @property
    def text(self) -> str:
        """The frozen text the task is about, Markdown."""
        return self.comment_body


class RespondToMention(_Document):
    """Do what a comment on an issue or pull request asks."""

    kind: Literal["respond_to_mention"] = "respond_to_mention"
    issue_number: Annotated[int, Field(ge=0)]
    comment_body: str

    @property
    def text(self) -> str:
        """The frozen text the task is about, Markdown."""
        return self.comment_body


Task = Annotated[FixIssue | AddressReviewComment | RespondToMention, Field(discriminator="kind")]


class FamiliarReference(_Document):
    """Who works: the id and name of the configuration, and the model it asks for."""

    id: str
    display_name: str
    model: str | None = None
    skills: tuple[str, ...] = Field(default=(), strict=False)


class Workspace(_Document):
    """Where the runtime works. `plan` leaves the root open; `run` fills in an absolute path."""

    root: str | None = None


class ReviewContextFile(_Document):
    """A file of the pull request under review."""

    filename: str


class ReviewContext(_Document):
    """What is under review."""

    kind: Literal["pull_request"] | None
    files: tuple[ReviewContextFile, ...] = Field(strict=False)


class Brief(_Document):
    """What a runtime is asked to do."""

    contract_version: Literal["3"] = WRITTEN_VERSION
    trigger: Trigger
    repo: RepositoryReference
    task: Task
    familiar: FamiliarReference
    workspace: Workspace = Workspace()
    audit_instruction: str | None = None
    review_context: ReviewContext | None = None
    memory_policy: MemoryPolicy

    def at(self, root: str) -> "Brief":
        """Return this brief with the workspace's root filled in, and nothing else changed.

        Args:
            root: Absolute path of the workspace.
        """
        return self.model_copy(update={"workspace": Workspace(root=root)})

    def document(self) -> dict[str, Any]:
        """Return the JSON document for the runtime: version 3 of the contract plus `memory_policy`.

        Raises:
            ValueError: The workspace's root is still open; only `run` writes briefs.
        """
        if self.workspace.root is None:
            raise ValueError("the brief has no workspace yet")
        document = self.model_dump(mode="json")
        # Absent and null mean the same in the contract; absent keeps the document short and is valid everywhere.
        return {key: value for key, value in document.items() if value is not None}
