"""The one comment of ours on a thread: found again by its hidden line, edited in place, and remembering what was published."""

from collections.abc import Mapping
from typing import Any, Final, Literal

from coven_action.core.documents import Published, TaskIdentity
from coven_action.core.platform_limits import COMMENT_BODY
from coven_action.core.publication.status_marker import (
    Status,
    StatusComment,
    add_beside,
    find_status_comment,
    render_marker,
)
from coven_action.core.redaction.redactor import Redactor
from coven_action.core.trust.trust import list_own_ids
from coven_action.stages.ports import GitHubReader, GitHubWriter, Renderer

# Covering a secret can lengthen a text.
MARGIN: Final = 2_000


class ThreadStatus:
    """What our comment on one thread says, as far as it has been read."""

    def __init__(
        self,
        reader: GitHubReader,
        writer: GitHubWriter,
        renderer: Renderer,
        redactor: Redactor,
        *,
        app_bot_id: int | None,
    ) -> None:
        self._reader = reader
        self._writer = writer
        self._renderer = renderer
        self._redactor = redactor
        self._own_ids = list_own_ids(app_bot_id)
        self._comment: StatusComment | None = None
        self._was_read = False

    def read(self, number: int) -> None:
        """Look for our comment, once."""
        if not self._was_read:
            self._comment = find_status_comment(self._reader.fetch_comments(number), self._own_ids)
            self._was_read = True

    def read_again(self, number: int) -> None:
        """Look again where none was found: one whose creation failed may be there all the same."""
        self._was_read = self._comment is not None
        self.read(number)

    def read_anew(self, number: int) -> None:
        """Look for our comment as it is now: another run may have written into it since we looked."""
        self._was_read = False
        self.read(number)

    @property
    def remembered(self) -> Status | None:
        """What the comment remembers, None where there is none or it cannot be read."""
        return self._comment.status if self._comment else None

    @property
    def published_tasks(self) -> tuple[str, ...]:
        """The keys of the tasks that have published on this thread."""
        return self.remembered.published_tasks if self.remembered else ()

    @property
    def is_there(self) -> bool:
        """Whether there is a comment of ours, whatever it says."""
        return self._comment is not None

    def may_be_replaced(self, task: TaskIdentity) -> bool:
        """Whether another text takes nothing from anybody: what stands is no result, and no work of another task."""
        status = self.remembered
        if status is None or status.state == "declined":
            return True
        return status.state == "working" and status.task.key == task.key

    def find_published(self, task: TaskIdentity) -> Published | None:
        """Return what an earlier attempt of this same task has published: then there is nothing left to do."""
        status = self.remembered
        if status is None or task.key not in status.published_tasks:
            return None
        if status.pull_request is None or status.head_sha is None or status.branch is None:
            return None
        return Published(
            pull_request=status.pull_request,
            head_sha=status.head_sha,
            branch=status.branch,
            conclusion=status.conclusion or "neutral",
        )

    def write(self, number: int, template: str, values: Mapping[str, Any], status: Status) -> int:
        """Write the comment, or replace what it says, and return its id."""
        markdown = self._renderer.render(template, {**values, "marker": render_marker(status)})
        body = self._redactor.redact(markdown)
        if self._comment is None:
            comment_id = self._writer.create_comment(number, body)
            self._comment = StatusComment(comment_id=comment_id, status=status)
            return comment_id
        self._writer.update_comment(self._comment.comment_id, body)
        return self._comment.comment_id

    def write_beside(self, number: int, template: str, values: Mapping[str, Any]) -> None:
        """Say something below what the comment says. That stays, and what it remembers with it."""
        if self._comment is None:
            raise AssertionError(f"there is no comment on #{number} to say something beside")
        said = self._renderer.render(template, values)
        body = self._redactor.redact(add_beside(self._comment.body, said, COMMENT_BODY - MARGIN))
        self._writer.update_comment(self._comment.comment_id, body)


def build_unstarted_status(task: TaskIdentity, before: Status | None, state: Literal["failed", "declined"]) -> Status:
    """Return what a thread remembers of a task that did not start: that, and all it remembered before."""
    if before is None:
        return Status(task=task, state=state)
    return before.model_copy(update={"task": task, "state": state, "earlier": before.published_tasks})
