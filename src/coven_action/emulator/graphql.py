"""The few queries of GitHub's GraphQL interface that this project asks: edits of texts, renames, and check rollups.

Schema: https://docs.github.com/graphql/reference. A field that is not here is answered with the error GitHub gives for
a field that does not exist.
"""

import json
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Final

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from coven_action.emulator.answers import ApiError
from coven_action.emulator.auth import can_see, find_token
from coven_action.emulator.documents.people import format_optional_time, format_time
from coven_action.emulator.documents.repository import get_html_url
from coven_action.emulator.git_compare import list_commits
from coven_action.emulator.graphql_query import Node, QueryError, build_connection, parse_query, select
from coven_action.emulator.limits import build_rate_headers, count_request
from coven_action.emulator.pull_requests import follow_branch
from coven_action.emulator.state import CheckRun, Comment, Issue, PullRequest, Repository, Token, User
from coven_action.emulator.world import World

_FAILING: Final = frozenset({"FAILURE", "CANCELLED", "TIMED_OUT", "ACTION_REQUIRED"})


def build_graphql_endpoint(world: World) -> Callable[[Request], Awaitable[Response]]:
    """Return the endpoint of the interface."""

    async def endpoint(request: Request) -> Response:
        return await run_in_threadpool(_answer, world, request.headers.get("authorization"), await request.body())

    return endpoint


def _answer(world: World, header: str | None, body: bytes) -> Response:
    with world.lock:
        token: Token | None = None
        try:
            token = _require_token(world, header)
            count_request(token)
            status, document = 200, _run(world, token, body)
        except ApiError as error:
            status, document = error.status, error.document
        return JSONResponse(document, status, build_rate_headers(world, token, "graphql"))


def _require_token(world: World, header: str | None) -> Token:
    token = find_token(world, header)
    if token is None:
        raise ApiError(401, "This endpoint requires you to be authenticated.")
    return token


def _run(world: World, token: Token, body: bytes) -> dict[str, Any]:
    try:
        asked = json.loads(body)
        selections = parse_query(asked["query"], asked.get("variables") or {})
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise ApiError(400, "Problems parsing JSON") from error
    except QueryError as error:
        return {"errors": [{"message": str(error)}]}
    try:
        return {"data": select(_build_query(world, token), selections)}
    except QueryError as error:
        document: dict[str, Any] = {"errors": [{"type": error.kind, "message": str(error)}]}
        return document | ({"data": None} if error.kind == "NOT_FOUND" else {})


def _build_query(world: World, token: Token) -> Node:
    def find_repository(arguments: Mapping[str, Any]) -> Node:
        name = f"{arguments.get('owner')}/{arguments.get('name')}"
        owner, _, plain = name.partition("/")
        repository = world.find_repository(owner, plain)
        if repository is None or not can_see(repository, token):
            raise QueryError(f"Could not resolve to a Repository with the name '{name}'.", "NOT_FOUND")
        return _build_repository(world, repository)

    def find_node(arguments: Mapping[str, Any]) -> Node:
        for repository in world.repositories.values():
            if can_see(repository, token) and (found := _find_node(world, repository, str(arguments.get("id")))):
                return found
        raise QueryError(f"Could not resolve to a node with the global id of '{arguments.get('id')}'.", "NOT_FOUND")

    return Node("Query", {"viewer": _build_actor(token.user), "repository": find_repository, "node": find_node})


def _find_node(world: World, repository: Repository, node_id: str) -> Node | None:
    """Return the issue, pull request or comment whose `node_id` the REST interface gave."""
    kind, _, number = node_id.partition("_")
    if kind == "IC":
        comment = next((it for it in repository.comments.values() if str(it.id) == number), None)
        return None if comment is None else _build_comment(comment)
    if kind == "PR":
        pull = next((it for it in repository.pulls.values() if str(it.id) == number), None)
        return None if pull is None else _build_pull_request(world, repository, pull)
    issue = next((it for it in repository.issues.values() if kind == "I" and str(it.id) == number), None)
    return None if issue is None else _build_issue(world, repository, issue)


def _build_actor(user: User) -> Node:
    fields = {"login": user.login.removesuffix("[bot]"), "databaseId": user.id, "id": f"U_{user.id}"}
    return Node("Bot" if user.type == "Bot" else user.type, fields)


def _build_repository(world: World, repository: Repository) -> Node:
    def find_issue(arguments: Mapping[str, Any]) -> Node:
        issue = repository.issues.get(_read_number(arguments))
        if issue is None or issue.number in repository.pulls:
            raise _build_unresolved("Issue", arguments)
        return _build_issue(world, repository, issue)

    def find_pull_request(arguments: Mapping[str, Any]) -> Node:
        pull = repository.pulls.get(_read_number(arguments))
        if pull is None:
            raise _build_unresolved("PullRequest", arguments)
        return _build_pull_request(world, repository, pull)

    def find_either(arguments: Mapping[str, Any]) -> Node:
        return (find_pull_request if _read_number(arguments) in repository.pulls else find_issue)(arguments)

    fields = {
        "id": f"R_{repository.id}",
        "databaseId": repository.id,
        "nameWithOwner": repository.full_name,
        "isPrivate": repository.private,
        "issue": find_issue,
        "pullRequest": find_pull_request,
        "issueOrPullRequest": find_either,
    }
    return Node("Repository", fields)


def _read_number(arguments: Mapping[str, Any]) -> int:
    number = arguments.get("number")
    if not isinstance(number, int):
        raise QueryError(
            "Argument 'number' has an invalid value. Expected type 'Int!'.", "argumentLiteralsIncompatible"
        )
    return number


def _build_unresolved(kind: str, arguments: Mapping[str, Any]) -> QueryError:
    return QueryError(f"Could not resolve to {kind} with the number of {arguments.get('number')}.", "NOT_FOUND")


def _build_text(text: Issue | Comment, name: str) -> dict[str, Any]:
    """Build the fields of a text that can be edited; once it was edited, its creation counts as the oldest edit."""
    states = [(edit.at, edit.editor) for edit in reversed(text.edits)]
    created = [(text.created_at, text.user)] if states else []
    nodes = [
        Node("UserContentEdit", {"editedAt": format_time(at), "editor": _build_actor(editor)})
        for at, editor in states + created
    ]
    return {
        "body": text.body or "",
        "lastEditedAt": format_time(states[0][0]) if states else None,
        "includesCreatedEdit": bool(states),
        "editor": _build_actor(states[0][1]) if states else None,
        "userContentEdits": build_connection("UserContentEditConnection", nodes, name),
    }


def _build_comment(comment: Comment) -> Node:
    fields = {
        "id": f"IC_{comment.id}",
        "databaseId": comment.id,
        "author": _build_actor(comment.user),
        "createdAt": format_time(comment.created_at),
        "updatedAt": format_time(comment.updated_at),
    }
    return Node("IssueComment", fields | _build_text(comment, "userContentEdits"))


def _build_thread(world: World, repository: Repository, issue: Issue) -> dict[str, Any]:
    """Build the fields that issues and pull requests share."""
    kind = "pull" if issue.number in repository.pulls else "issues"
    comments = [_build_comment(comment) for comment in issue.comments]
    return {
        "number": issue.number,
        "title": issue.title,
        "url": f"{get_html_url(world, repository)}/{kind}/{issue.number}",
        "author": _build_actor(issue.user),
        "createdAt": format_time(issue.created_at),
        "updatedAt": format_time(issue.updated_at),
        "closedAt": format_optional_time(issue.closed_at),
        "comments": build_connection("IssueCommentConnection", comments, "comments"),
        "timelineItems": _build_timeline(issue),
    } | _build_text(issue, "userContentEdits")


def _build_timeline(issue: Issue) -> Callable[[Mapping[str, Any]], Node]:
    """Return the function for the timeline; only renames are kept here, so they must be asked for by name."""
    titles = [edit.before for edit in issue.renames] + [issue.title]
    renames = [
        Node(
            "RenamedTitleEvent",
            {
                "createdAt": format_time(edit.at),
                "actor": _build_actor(edit.editor),
                "previousTitle": edit.before,
                "currentTitle": title,
            },
        )
        for edit, title in zip(issue.renames, titles[1:], strict=True)
    ]

    def answer(arguments: Mapping[str, Any]) -> Node:
        if arguments.get("itemTypes") != ["RENAMED_TITLE_EVENT"]:
            raise QueryError("this local GitHub knows the timeline items RENAMED_TITLE_EVENT only")
        return build_connection("TimelineItemsConnection", renames, "timelineItems")(arguments)

    return answer


def _build_issue(world: World, repository: Repository, issue: Issue) -> Node:
    return Node(
        "Issue", {"id": f"I_{issue.id}", "state": issue.state.upper()} | _build_thread(world, repository, issue)
    )


def _build_pull_request(world: World, repository: Repository, pull: PullRequest) -> Node:
    follow_branch(world, repository, pull)
    shas = list_commits(repository.path, pull.base_sha, pull.head_sha)
    commits = [Node("PullRequestCommit", {"commit": _build_commit(repository, sha)}) for sha in shas]
    fields = {
        "id": f"PR_{pull.id}",
        "state": "MERGED" if pull.merged_at else pull.issue.state.upper(),
        "isDraft": pull.draft,
        "headRefOid": pull.head_sha,
        "headRefName": pull.head_ref,
        "baseRefName": pull.base_ref,
        "commits": build_connection("PullRequestCommitConnection", commits, "commits"),
    }
    return Node("PullRequest", fields | _build_thread(world, repository, pull.issue))


def _build_commit(repository: Repository, sha: str) -> Node:
    latest = {run.name: run for run in repository.check_runs.values() if run.head_sha == sha}
    rollup = None
    if latest:
        contexts = build_connection(
            "StatusCheckRollupContextConnection", [_build_check_run(run) for run in latest.values()], "contexts"
        )
        rollup = Node("StatusCheckRollup", {"state": decide_rollup(list(latest.values())), "contexts": contexts})
    return Node("Commit", {"oid": sha, "statusCheckRollup": rollup})


def _build_check_run(run: CheckRun) -> Node:
    fields = {
        "id": f"CR_{run.id}",
        "databaseId": run.id,
        "name": run.name,
        "status": run.status.upper(),
        "conclusion": run.conclusion and run.conclusion.upper(),
        "externalId": run.external_id,
    }
    return Node("CheckRun", fields)


def decide_rollup(runs: list[CheckRun]) -> str:
    """Return GitHub's one word for all checks of a commit: FAILURE, PENDING or SUCCESS."""
    conclusions = {(run.conclusion or "").upper() for run in runs}
    if conclusions & _FAILING:
        return "FAILURE"
    return "PENDING" if "" in conclusions else "SUCCESS"
