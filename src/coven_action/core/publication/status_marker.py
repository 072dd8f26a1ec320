"""The hidden line that makes a status comment recognisable as ours, and remembers what it stands for. Pure.

A comment is ours only with the marker *and* an own author id: anybody can copy the marker. Its content is read as
untrusted all the same, since people with write access can edit any comment.
"""

import re
from collections.abc import Iterable
from typing import Annotated, Final, Literal

from pydantic import Field, ValidationError

from coven_action.core.documents import TaskIdentity
from coven_action.core.publication.cutting import cut_text
from coven_action.core.records import Payload, Record
from coven_action.core.trust.events import Actor

_PREFIX: Final = "<!-- coven-action:status "
_MARKER: Final = re.compile(re.escape(_PREFIX) + r"(\{[^<>\n]{1,4000}\}) -->")
_BESIDE: Final = "<!-- coven-action:beside -->"
_CUT_NOTE: Final = "\n\n*Cut here: GitHub shows no more.*"
# A re-run of a task older than these is new work; the hidden line has to stay short.
REMEMBERED_TASKS: Final = 20

# `TaskIdentity.key`, bounded so that what people wrote into the line cannot make it too long to be read again.
TaskKey = Annotated[str, Field(max_length=100, pattern=r"^[0-9]+/[a-z_]+/[0-9]+$")]


class ThreadComment(Payload):
    """A comment as the issues API lists it."""

    id: int
    body: str | None = ""
    user: Actor | None = None


class Status(Record):
    """What the last task on this thread came to. `earlier` are the keys of tasks that published before it."""

    task: TaskIdentity
    state: Literal["working", "published", "failed", "declined", "nothing"]
    branch: str | None = None
    head_sha: str | None = None
    pull_request: int | None = None
    check_run_id: int | None = None
    conclusion: str | None = None
    earlier: tuple[TaskKey, ...] = Field(default=(), max_length=REMEMBERED_TASKS)

    @property
    def published_tasks(self) -> tuple[str, ...]:
        """The keys of the tasks that have published on this thread, as far back as they are remembered."""
        keys = (*self.earlier, self.task.key) if self.state == "published" else self.earlier
        return tuple(dict.fromkeys(keys))[-REMEMBERED_TASKS:]


class StatusComment(Record):
    """Our comment on a thread. `status` is None when its hidden line cannot be read any more; `body` is all it says."""

    comment_id: int
    status: Status | None
    body: str = ""


def render_marker(status: Status) -> str:
    """Return the hidden line. Every value in it is a number, an object name or a branch name of ours."""
    return f"{_PREFIX}{status.model_dump_json(exclude_defaults=True)} -->"


def parse_marker(body: str) -> Status | None:
    """Return the status that a comment's first marker remembers, or None."""
    match = _MARKER.search(body)
    if match is None:
        return None
    try:
        return Status.model_validate_json(match[1])
    except ValidationError:
        return None


def find_status_comment(comments: Iterable[ThreadComment], own_ids: frozenset[int]) -> StatusComment | None:
    """Return the first comment that carries the marker and was written by one of `own_ids`."""
    for comment in comments:
        body = comment.body or ""
        if comment.user is not None and comment.user.id in own_ids and _PREFIX in body:
            return StatusComment(comment_id=comment.id, status=parse_marker(body), body=body)
    return None


def add_beside(body: str, said: str, limit: int) -> str:
    """Return a comment with something said below what it says, in place of what was said there before.

    Everything above stays as it is, the hidden line with it: whoever finds the comment again remembers the same.

    Args:
        body: What the comment says now.
        said: What is to be said below it.
        limit: Largest length of the result, in characters; what stands above is cut for it, at its end.
    """
    before, found, _ = body.rpartition(_BESIDE)
    below = f"\n\n{_BESIDE}\n\n{said}"
    stands = (before if found else body).rstrip()
    return cut_text(stands, limit - len(below), _CUT_NOTE) + below
