"""Routes about Check Runs and workflow runs."""

import re
from datetime import UTC, datetime
from typing import Any, Final

from coven_action.emulator.answers import Answer, ApiError, build_invalid_request, build_not_found
from coven_action.emulator.call import Call, Operation
from coven_action.emulator.documents.checks import build_annotation, build_check_run, build_workflow_run
from coven_action.emulator.git_store import resolve_commit
from coven_action.emulator.limits import (
    MAX_ANNOTATION_MESSAGE,
    MAX_ANNOTATIONS,
    MAX_CHECK_TEXT,
    MAX_CHECK_TITLE,
    check_supplied,
)
from coven_action.emulator.pull_requests import follow_branches
from coven_action.emulator.routes.repository import require_commit
from coven_action.emulator.state import CheckRun

STATUSES: Final = ("queued", "in_progress", "completed", "waiting", "requested", "pending")
CONCLUSIONS: Final = (
    "action_required", "cancelled", "failure", "neutral", "success", "skipped", "timed_out",
)  # fmt: skip
_LEVELS: Final = ("notice", "warning", "failure")
_SHA: Final = re.compile(r"[0-9a-f]{40}")


def _require_app(call: Call) -> None:
    """Refuse a person's token: only an App writes Check Runs."""
    if call.token is not None and not call.token.installation:
        raise ApiError(403, "You must authenticate via a GitHub App.")


def _read_choice(call: Call, name: str, allowed: tuple[str, ...]) -> str | None:
    value = call.get_text(name)
    if value is not None and value not in allowed:
        raise build_invalid_request(f"{value} is not a member of {list(allowed)}.")
    return value


def _read_time(call: Call, name: str) -> datetime | None:
    text = call.get_text(name)
    if text is None:
        return None
    try:
        moment = datetime.fromisoformat(text)
    except ValueError as error:
        raise build_invalid_request(f"{text} is not a valid date-time.") from error
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).astimezone(UTC).replace(microsecond=0)


def create_check_run(call: Call) -> Answer:
    """Create a Check Run on a commit of the repository."""
    _require_app(call)
    name, head_sha = call.require_text("name"), call.require_text("head_sha")
    if not _SHA.fullmatch(head_sha) or resolve_commit(call.repository.path, head_sha) != head_sha:
        raise ApiError(422, f"No commit found for SHA: {head_sha}")
    repository = call.repository
    suite = next((run.suite_id for run in repository.check_runs.values() if run.head_sha == head_sha), None)
    run = CheckRun(
        id=call.world.next_id(),
        suite_id=suite or call.world.next_id(),
        user=call.user,
        name=name,
        head_sha=head_sha,
        status="queued",
        conclusion=None,
        started_at=call.world.clock(),
        completed_at=None,
        external_id="",
    )
    _change(call, run)
    repository.check_runs[run.id] = run
    document = build_check_run(call.world, repository, run)
    return Answer(document, status=201, headers={"Location": document["url"]})


def update_check_run(call: Call) -> Answer:
    """Change a Check Run; `head_sha` in the body is ignored, annotations are added to those there."""
    _require_app(call)
    run = _require_run(call)
    if run.user is not call.user:
        raise ApiError(403, "Invalid app_id - check run can only be modified by the GitHub App that created it.")
    run.name = call.get_text("name") or run.name
    _change(call, run)
    return Answer(build_check_run(call.world, call.repository, run))


def _change(call: Call, run: CheckRun) -> None:
    """Apply what create and update have in common; everything is read and checked before anything is changed."""
    status = _read_choice(call, "status", STATUSES)
    conclusion = _read_choice(call, "conclusion", CONCLUSIONS)
    started, completed = _read_time(call, "started_at"), _read_time(call, "completed_at")
    external_id = call.get_text("external_id")
    if conclusion is None and (status == "completed" or completed is not None) and run.conclusion is None:
        raise build_invalid_request('"conclusion" wasn\'t supplied.')
    _change_output(call, run)
    run.external_id = run.external_id if external_id is None else external_id
    run.started_at = started or run.started_at
    if conclusion is not None:
        run.status, run.conclusion, run.completed_at = "completed", conclusion, completed or call.world.clock()
    elif status is not None:
        run.status = status
        if status != "completed":
            run.conclusion = run.completed_at = None


def _change_output(call: Call, run: CheckRun) -> None:
    output = call.get_object().get("output")
    if output is None:
        return
    if not isinstance(output, dict):
        raise build_invalid_request("For 'properties/output', the value is not an object.")
    texts = {name: output.get(name) for name in ("title", "summary", "text")}
    for name, value in texts.items():
        if value is not None and not isinstance(value, str):
            raise build_invalid_request(f"For 'properties/{name}', {value!r} is not a string.")
    if texts["summary"] is None or (texts["title"] is None and run.title is None):
        missing = "summary" if texts["summary"] is None else "title"
        raise build_invalid_request(f'"{missing}" wasn\'t supplied.')
    check_supplied(texts["title"], MAX_CHECK_TITLE)
    check_supplied(texts["summary"], MAX_CHECK_TEXT)
    check_supplied(texts["text"], MAX_CHECK_TEXT)
    annotations = _read_annotations(output.get("annotations", []))
    run.title = texts["title"] or run.title
    run.summary = texts["summary"]
    run.text = texts["text"] if texts["text"] is not None else run.text
    run.annotations += annotations


def _read_annotations(listed: Any) -> list[dict[str, object]]:
    if not isinstance(listed, list):
        raise build_invalid_request("For 'properties/annotations', the value is not an array.")
    if len(listed) > MAX_ANNOTATIONS:
        raise build_invalid_request(f"No more than {MAX_ANNOTATIONS} items are allowed; {len(listed)} were supplied.")
    return [_read_annotation(item) for item in listed]


def _read_annotation(item: Any) -> dict[str, object]:
    """Return one annotation, complete and within its limits; columns are allowed on a single line only."""
    required = {"path": str, "start_line": int, "end_line": int, "annotation_level": str, "message": str}
    if not isinstance(item, dict):
        raise build_invalid_request("For 'items', the value is not an object.")
    for name, kind in required.items():
        if not isinstance(item.get(name), kind):
            raise build_invalid_request(f'"{name}" wasn\'t supplied.')
    if item["annotation_level"] not in _LEVELS:
        raise build_invalid_request(f"{item['annotation_level']} is not a member of {list(_LEVELS)}.")
    if item["end_line"] < item["start_line"] or item["start_line"] < 1:
        raise build_invalid_request("end_line must be at or after start_line.")
    if item["start_line"] != item["end_line"] and ("start_column" in item or "end_column" in item):
        raise build_invalid_request("start_column and end_column are allowed on a single line only.")
    if len(item["message"].encode()) > MAX_ANNOTATION_MESSAGE:
        raise build_invalid_request("message is too long (maximum is 64 KB).")
    check_supplied(item.get("title"), MAX_CHECK_TITLE)
    known = (*required, "start_column", "end_column", "title", "raw_details")
    return {name: item[name] for name in known if name in item}


def _require_run(call: Call) -> CheckRun:
    run = call.repository.check_runs.get(int(call.path["run_id"]))
    if run is None:
        raise build_not_found()
    follow_branches(call.world, call.repository)
    return run


def get_check_run(call: Call) -> Answer:
    """Answer one Check Run."""
    return Answer(build_check_run(call.world, call.repository, _require_run(call)))


def list_annotations(call: Call) -> Answer:
    """Answer a page of a Check Run's annotations."""
    run = _require_run(call)
    page, headers = call.paginate(run.annotations)
    return Answer([build_annotation(call.world, call.repository, run, item) for item in page], headers=headers)


def list_check_runs(call: Call) -> Answer:
    """Answer a page of the Check Runs of a commit; of equally named ones the latest, unless `filter=all`."""
    sha = require_commit(call, call.path["ref"])
    follow_branches(call.world, call.repository)
    name = call.query.get("check_name")
    status = call.query.get("status")
    runs = [
        run
        for run in reversed(call.repository.check_runs.values())
        if run.head_sha == sha and name in {None, run.name} and status in {None, run.status}
    ]
    if call.query.get("filter", "latest") == "latest":
        runs = list({run.name: run for run in reversed(runs)}.values())
    page, headers = call.paginate(runs)
    documents = [build_check_run(call.world, call.repository, run) for run in page]
    return Answer({"total_count": len(runs), "check_runs": documents}, headers=headers)


def get_workflow_run(call: Call) -> Answer:
    """Answer a workflow run; it alone names the user who re-ran it."""
    run = call.repository.workflow_runs.get(int(call.path["run_id"]))
    if run is None:
        raise build_not_found()
    return Answer(build_workflow_run(call.world, call.repository, run))


_CHECKS: Final = "/repos/{owner}/{repo}/check-runs"
_CHECK: Final = f"{_CHECKS}/{{run_id:int}}"
_READ: Final = ("checks=read",)
_WRITE: Final = ("checks=write",)
OPERATIONS: Final = (
    Operation("POST", _CHECKS, create_check_run, needs=_WRITE),
    Operation("PATCH", _CHECK, update_check_run, needs=_WRITE),
    Operation("GET", _CHECK, get_check_run, needs=_READ, anonymous=True),
    Operation("GET", f"{_CHECK}/annotations", list_annotations, needs=_READ, anonymous=True),
    Operation(
        "GET", "/repos/{owner}/{repo}/commits/{ref:path}/check-runs", list_check_runs, needs=_READ, anonymous=True
    ),
    Operation(
        "GET",
        "/repos/{owner}/{repo}/actions/runs/{run_id:int}",
        get_workflow_run,
        needs=("actions=read",),
        anonymous=True,
    ),
)
