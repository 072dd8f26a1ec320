"""Read a webhook payload into the one event the stages know. Pure: JSON value in, `TriggerEvent` or `Refusal` out.

Every supported event and action stands in `READERS`; anything else is declined with the list of what is answered.
Payload shapes: https://docs.github.com/en/webhooks/webhook-events-and-payloads
"""

import re
from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Annotated, Any, Final, Literal

from pydantic import BeforeValidator, Field, ValidationError, field_validator

from coven_action.core.records import Payload, Record
from coven_action.core.refusals import Refusal
from coven_action.errors import EventError

# GitHub's ids fit 64 bits; a payload that says otherwise is not GitHub's.
Identifier = int
MAXIMUM_COMMAND_LENGTH: Final = 200


class Actor(Payload):
    """An account as GitHub names it. Only `id` identifies; `login` can be given to somebody else."""

    id: Identifier = Field(gt=0, lt=2**63)
    login: str = Field(min_length=1, max_length=100)
    type: str = Field(default="", max_length=100)

    @property
    def is_bot(self) -> bool:
        """Whether GitHub does not call this account a person's (`User`). The login's suffix says nothing."""
        return self.type != "User"


class Owner(Actor):
    """The account a repository belongs to. Its login becomes part of addresses."""

    login: str = Field(pattern=r"^[A-Za-z0-9._-]{1,100}$")


class Repository(Payload):
    """The repository of the event."""

    id: Identifier = Field(gt=0, lt=2**63)
    name: str = Field(pattern=r"^[A-Za-z0-9._-]{1,100}$")
    owner: Owner
    private: bool
    visibility: Literal["public", "private", "internal"] = "private"
    default_branch: str = Field(min_length=1, max_length=244)

    @property
    def full_name(self) -> str:
        """`owner/name`, for people and for API paths."""
        return f"{self.owner.login}/{self.name}"


def _parse_moment(value: object) -> object:
    """Read a time as GitHub writes it; anything else is left for the model to refuse."""
    return datetime.fromisoformat(value) if isinstance(value, str) else value


Moment = Annotated[datetime, BeforeValidator(_parse_moment)]


class Thread(Payload):
    """An issue, or a pull request seen as one, with its text as of the event."""

    number: int = Field(gt=0, lt=2**31)
    title: str = ""
    body: str = ""
    user: Actor
    is_pull_request: bool = False
    updated_at: Moment

    @field_validator("body", "title", mode="before")
    @classmethod
    def _empty_text_is_null_at_github(cls, value: object) -> object:
        return "" if value is None else value


class Comment(Payload):
    """The comment that gave a command."""

    id: Identifier = Field(gt=0, lt=2**63)
    body: str
    user: Actor
    created_at: Moment
    node_id: str = ""


class WorkflowRun(Payload):
    """A run as GitHub keeps it. The payload of a re-run still names whoever caused the first attempt.

    Attributes:
        triggering_actor: Who started the newest attempt.
        created_at: When the first attempt was created; a re-run does not move it.
    """

    triggering_actor: Actor
    created_at: Moment


class Command(Record):
    """What the first line of a comment asks for: `/coven fix` or `/<familiar> fix`."""

    addressee: str
    verb: str


class TriggerEvent(Record):
    """What happened, in our words. `thread` is None for `workflow_dispatch`, which names only a number."""

    event_name: str
    action: str
    repository: Repository
    sender: Actor
    thread_number: int
    thread: Thread | None = None
    label: str | None = None
    assignee: Actor | None = None
    comment: Comment | None = None
    command: Command | None = None

    @property
    def triggered_at(self) -> datetime | None:
        """When the text was frozen: a comment's creation, else the moment of the issue's event; None for a dispatch."""
        if self.comment is not None:
            return self.comment.created_at
        return self.thread.updated_at if self.thread is not None else None

    @property
    def assignee_login(self) -> str | None:
        """Who was assigned, by name: the routing names an account of the project's own."""
        return self.assignee.login if self.assignee else None

    @property
    def described(self) -> str:
        """How a person would name the trigger: `issues.labeled`, `workflow_dispatch`."""
        return f"{self.event_name}.{self.action}" if self.action else self.event_name


# The command is the first thing in the comment, so that quoting somebody or explaining a command starts nothing.
_COMMAND: Final = re.compile(r"\s*/([a-z][a-z0-9-]{0,31})[ \t]+([a-z][a-z-]{0,19})(?=\s|\Z)")


def parse_command(body: str) -> Command | None:
    """Return the command a comment begins with, or None. It ends within the first `MAXIMUM_COMMAND_LENGTH` characters."""
    # One character more is looked at, so that cutting the text never makes a word look finished.
    match = _COMMAND.match(body[: MAXIMUM_COMMAND_LENGTH + 1])
    if match is None or match.end() > MAXIMUM_COMMAND_LENGTH:
        return None
    return Command(addressee=match[1], verb=match[2])


def parse_event(event_name: str, payload: Any) -> TriggerEvent | Refusal:
    """Return the event, or why it starts nothing.

    Args:
        event_name: `GITHUB_EVENT_NAME`.
        payload: The decoded JSON of `GITHUB_EVENT_PATH`.

    Raises:
        EventError: The payload lacks what every payload of this kind has.
    """
    if not isinstance(payload, Mapping):
        raise EventError("malformed-event", "the event payload is not a JSON object")
    action = payload.get("action") or ""
    reader = READERS.get((event_name, action)) if isinstance(action, str) else None
    if reader is None:
        return _unsupported(event_name, str(action))
    try:
        return reader(payload)
    except ValidationError as error:
        first = error.errors()[0]
        field = ".".join(str(part) for part in first["loc"])
        raise EventError("malformed-event", f"{event_name}: {field}: {first['msg']}") from error


def _unsupported(event_name: str, action: str) -> Refusal:
    name = f"{event_name}.{action}" if action else event_name
    known = ", ".join(sorted({f"{event}.{act}" if act else event for event, act in READERS}))
    return Refusal(
        code="unsupported-event",
        reason=f"{name[:80]!r} starts nothing.",
        remedy=f"This version answers {known}.",
        quiet=True,
    )


def _common(payload: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "repository": Repository.model_validate(payload.get("repository")),
        "sender": Actor.model_validate(payload.get("sender")),
        "action": payload.get("action") or "",
    }


def _thread(payload: Mapping[str, Any]) -> Thread:
    issue = payload.get("issue")
    is_pull_request = isinstance(issue, Mapping) and issue.get("pull_request") is not None
    return Thread.model_validate(issue).model_copy(update={"is_pull_request": is_pull_request})


def _read_labeled(payload: Mapping[str, Any]) -> TriggerEvent:
    thread = _thread(payload)
    label = _Label.model_validate(payload.get("label"))
    return TriggerEvent(
        event_name="issues", thread=thread, thread_number=thread.number, label=label.name, **_common(payload)
    )


def _read_assigned(payload: Mapping[str, Any]) -> TriggerEvent:
    thread = _thread(payload)
    assignee = Actor.model_validate(payload.get("assignee"))
    return TriggerEvent(
        event_name="issues", thread=thread, thread_number=thread.number, assignee=assignee, **_common(payload)
    )


def _read_comment(payload: Mapping[str, Any]) -> TriggerEvent | Refusal:
    comment = Comment.model_validate(payload.get("comment"))
    command = parse_command(comment.body)
    if command is None:
        return Refusal(code="not-a-command", reason="The comment does not begin with a command.", quiet=True)
    thread, common = _thread(payload), _common(payload)
    if comment.user.id != common["sender"].id:
        # Whoever created a comment wrote it. The sender's permission is never lent to somebody else's words.
        raise EventError("malformed-event", "issue_comment: the comment was not written by the sender")
    return TriggerEvent(
        event_name="issue_comment",
        thread=thread,
        thread_number=thread.number,
        comment=comment,
        command=command,
        **common,
    )


def _read_dispatch(payload: Mapping[str, Any]) -> TriggerEvent | Refusal:
    inputs = payload.get("inputs")
    number = inputs.get("issue") if isinstance(inputs, Mapping) else None
    # Dispatch inputs arrive as strings whatever their declared type.
    if not re.fullmatch(r"[1-9][0-9]{0,8}", str(number)):
        return Refusal(
            code="dispatch-without-issue",
            reason="The workflow was dispatched without the number of an issue.",
            remedy="Run the workflow again and fill in the input `issue`, for example 42.",
        )
    event = TriggerEvent(event_name="workflow_dispatch", thread_number=int(str(number)), **_common(payload))
    if payload.get("ref") != f"refs/heads/{event.repository.default_branch}":
        # On another branch the workflow itself is that branch's text, which nobody has reviewed.
        return Refusal(
            code="not-default-branch",
            reason="The workflow was dispatched on another branch than the default one.",
            remedy=f"Run it again on {event.repository.default_branch}.",
        )
    return event


class _Label(Payload):
    name: str = Field(min_length=1, max_length=200)


READERS: Final[Mapping[tuple[str, str], Callable[[Mapping[str, Any]], TriggerEvent | Refusal]]] = {
    ("issues", "labeled"): _read_labeled,
    ("issues", "assigned"): _read_assigned,
    ("issue_comment", "created"): _read_comment,
    ("workflow_dispatch", ""): _read_dispatch,
}
