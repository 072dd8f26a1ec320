"""Routes about threads: issues (and pull requests seen as issues), their comments and labels."""

from typing import Any, Final

from coven_action.emulator.answers import (
    Answer,
    ApiError,
    build_invalid_request,
    build_not_found,
    build_validation_failed,
)
from coven_action.emulator.call import Call, Operation
from coven_action.emulator.documents.repository import build_label
from coven_action.emulator.documents.threads import build_comment, build_issue, build_label_event
from coven_action.emulator.limits import MAX_BODY
from coven_action.emulator.state import ROLES, Comment, Issue

_MAX_LABEL: Final = 50


def get_issue(call: Call) -> Answer:
    """Answer an issue, or a pull request as an issue."""
    return Answer(build_issue(call.world, call.repository, call.issue))


def list_comments(call: Call) -> Answer:
    """Answer a page of a thread's comments, oldest first; `since` leaves out what was not changed after it."""
    since = call.query.get("since", "")
    documents = [build_comment(call.world, call.repository, comment) for comment in call.issue.comments]
    page, headers = call.paginate([document for document in documents if document["updated_at"] >= since])
    return Answer(page, headers=headers)


def _require_body(call: Call) -> str:
    body = call.require_text("body")
    if not body.strip():
        raise build_validation_failed("IssueComment", "Body can't be blank", field="body", code="missing_field")
    if len(body) > MAX_BODY:
        message = f"Body is too long (maximum is {MAX_BODY} characters)"
        raise build_validation_failed("IssueComment", message, field="data", code="unprocessable")
    return body


def create_comment(call: Call) -> Answer:
    """Add a comment to a thread."""
    comment = call.world.add_comment(call.repository, call.issue, call.user, _require_body(call))
    return _answer_created(call, comment)


def _answer_created(call: Call, comment: Comment) -> Answer:
    document = build_comment(call.world, call.repository, comment)
    return Answer(document, status=201, headers={"Location": document["url"]})


def _require_comment(call: Call) -> Comment:
    comment = call.repository.comments.get(int(call.path["comment_id"]))
    if comment is None:
        raise build_not_found()
    return comment


def get_comment(call: Call) -> Answer:
    """Answer one comment."""
    return Answer(build_comment(call.world, call.repository, _require_comment(call)))


def update_comment(call: Call) -> Answer:
    """Replace the text of a comment."""
    comment = _require_comment(call)
    is_own = comment.user is call.user or (call.token is not None and call.token.installation)
    if not is_own and "push" not in ROLES[call.repository.get_role(call.user).base]:
        raise ApiError(403, "Must have admin rights to Repository.")
    call.world.edit_comment(comment, call.user, _require_body(call))
    return Answer(build_comment(call.world, call.repository, comment))


def list_labels(call: Call) -> Answer:
    """Answer a page of a thread's labels."""
    page, headers = call.paginate([build_label(call.world, call.repository, label) for label in call.issue.labels])
    return Answer(page, headers=headers)


def _read_label_names(call: Call) -> list[str]:
    """Return the names asked for: GitHub takes an object with `labels`, and the bare array as well."""
    listed = call.body if isinstance(call.body, list) else call.get_object().get("labels")
    if not isinstance(listed, list):
        raise build_invalid_request('"labels" wasn\'t supplied.')
    names = [_read_label_name(item) for item in listed]
    if any(len(name) > _MAX_LABEL for name in names):
        message = f"name is too long (maximum is {_MAX_LABEL} characters)"
        raise build_validation_failed("Label", message, field="name", code="invalid")
    return names


def _read_label_name(item: Any) -> str:
    name = item.get("name") if isinstance(item, dict) else item
    if not isinstance(name, str) or not name.strip():
        raise build_invalid_request("For 'anyOf/1', a label is not a string.")
    return name


def add_labels(call: Call) -> Answer:
    """Put labels on a thread; a label the repository does not have yet is made."""
    call.world.add_labels(call.repository, call.issue, _read_label_names(call), call.user)
    return _answer_labels(call, call.issue)


def remove_label(call: Call) -> Answer:
    """Take a label off a thread; 404 where it is not on it."""
    if not call.world.remove_label(call.issue, call.path["name"], call.user):
        raise _build_absent_label()
    return _answer_labels(call, call.issue)


def list_events(call: Call) -> Answer:
    """Answer a page of a thread's events, oldest first; of all there are, those about labels."""
    page, headers = call.paginate(call.issue.label_events)
    return Answer([build_label_event(call.world, call.repository, event) for event in page], headers=headers)


def _build_absent_label() -> Exception:
    error = build_not_found()
    error.document["message"] = "Label does not exist"
    return error


def _answer_labels(call: Call, issue: Issue) -> Answer:
    return Answer([build_label(call.world, call.repository, label) for label in issue.labels])


_ISSUES: Final = "/repos/{owner}/{repo}/issues"
_THREAD: Final = f"{_ISSUES}/{{number:int}}"
_COMMENT: Final = f"{_ISSUES}/comments/{{comment_id:int}}"
_READ: Final = ("issues=read", "pull_requests=read")
_WRITE: Final = ("issues=write", "pull_requests=write")
OPERATIONS: Final = (
    Operation("GET", _THREAD, get_issue, needs=_READ, anonymous=True),
    Operation("GET", f"{_THREAD}/comments", list_comments, needs=_READ, anonymous=True),
    Operation("POST", f"{_THREAD}/comments", create_comment, needs=_WRITE),
    Operation("GET", _COMMENT, get_comment, needs=_READ, anonymous=True),
    Operation("PATCH", _COMMENT, update_comment, needs=_WRITE),
    Operation("GET", f"{_THREAD}/labels", list_labels, needs=_READ, anonymous=True),
    Operation("POST", f"{_THREAD}/labels", add_labels, needs=_WRITE),
    Operation("DELETE", f"{_THREAD}/labels/{{name:path}}", remove_label, needs=_WRITE),
    Operation("GET", f"{_THREAD}/events", list_events, needs=_READ, anonymous=True),
)
