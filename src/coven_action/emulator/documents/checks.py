"""Check Runs, their annotations and workflow runs, as the REST interface shows them."""

from typing import Any
from urllib.parse import quote

from coven_action.emulator.documents.people import build_user, format_optional_time, format_time
from coven_action.emulator.documents.repository import build_repository, get_api_url, get_html_url
from coven_action.emulator.git_store import read_commit, resolve_commit
from coven_action.emulator.state import CheckRun, PullRequest, Repository, User, WorkflowRun
from coven_action.emulator.world import World

ACTIONS_APP_ID = 15368
"""The id of the GitHub Actions App, which owns the Check Runs that GITHUB_TOKEN makes."""


def _build_app(world: World, bot: User) -> dict[str, Any]:
    """Build the document of the App whose bot account is given; only GitHub's own is known by more than its name."""
    is_actions = bot is world.actions_bot
    number, slug = (ACTIONS_APP_ID if is_actions else bot.id), bot.login.removesuffix("[bot]")
    return {
        "id": number,
        "slug": slug,
        "node_id": f"A_{number}",
        "owner": build_user(world, bot),
        "name": "GitHub Actions" if is_actions else slug,
        "description": "Automate your workflow from idea to production" if is_actions else None,
        "external_url": "https://help.github.com/en/actions",
        "html_url": f"{world.html_url}/apps/{slug}",
        "created_at": "2018-07-30T09:30:17Z",
        "updated_at": "2019-12-10T19:04:12Z",
        "permissions": {"actions": "write", "checks": "write", "contents": "write", "metadata": "read"},
        "events": ["check_run", "push"],
    }


def _build_pull_request_link(world: World, repository: Repository, pull: PullRequest) -> dict[str, Any]:
    ends = {}
    for end, owner, ref, sha in (
        ("head", pull.head_repository, pull.head_ref, pull.head_sha),
        ("base", repository, pull.base_ref, pull.base_sha),
    ):
        repo = {"id": owner.id, "url": get_api_url(world, owner), "name": owner.name}
        ends[end] = {"ref": ref, "sha": sha, "repo": repo}
    number = pull.issue.number
    return {"id": pull.id, "number": number, "url": f"{get_api_url(world, repository)}/pulls/{number}", **ends}


def build_check_run(world: World, repository: Repository, run: CheckRun) -> dict[str, Any]:
    """Build the document of a Check Run; `details_url` is the page of the run, as for every run of Actions."""
    url = f"{get_api_url(world, repository)}/check-runs/{run.id}"
    page = f"{get_html_url(world, repository)}/runs/{run.id}"
    pulls = [
        _build_pull_request_link(world, repository, pull)
        for pull in repository.pulls.values()
        if pull.issue.state == "open" and pull.head_sha == run.head_sha
    ]
    return {
        "id": run.id,
        "name": run.name,
        "node_id": f"CR_{run.id}",
        "head_sha": run.head_sha,
        "external_id": run.external_id,
        "url": url,
        "html_url": page,
        "details_url": page,
        "status": run.status,
        "conclusion": run.conclusion,
        "started_at": format_time(run.started_at),
        "completed_at": format_optional_time(run.completed_at),
        "output": {
            "title": run.title,
            "summary": run.summary,
            "text": run.text,
            "annotations_count": len(run.annotations),
            "annotations_url": f"{url}/annotations",
        },
        "check_suite": {"id": run.suite_id},
        "app": _build_app(world, run.user),
        "pull_requests": pulls,
    }


def build_annotation(
    world: World, repository: Repository, run: CheckRun, annotation: dict[str, object]
) -> dict[str, Any]:
    """Build the document of an annotation; what the creator left out is null."""
    fields = ("start_column", "end_column", "title", "raw_details")
    path = quote(str(annotation["path"]))
    page = f"{get_html_url(world, repository)}/blob/{run.head_sha}/{path}"
    return dict.fromkeys(fields) | annotation | {"blob_href": page}


def build_workflow_run(world: World, repository: Repository, run: WorkflowRun) -> dict[str, Any]:
    """Build the document of a workflow run."""
    api = get_api_url(world, repository)
    url = f"{api}/actions/runs/{run.id}"
    started = format_time(run.started_at)
    links = {f"{name}_url": f"{url}/{name}" for name in ("jobs", "logs", "cancel", "rerun", "artifacts")}
    return links | {
        "id": run.id,
        "name": run.name,
        "node_id": f"WFR_{run.id}",
        "check_suite_id": run.id,
        "check_suite_node_id": f"CS_{run.id}",
        "head_branch": run.head_branch,
        "head_sha": run.head_sha,
        "path": run.path,
        "run_number": run.run_number,
        "run_attempt": run.run_attempt,
        # The first moves with every attempt, `created_at` with none.
        "run_started_at": started,
        "display_title": run.name,
        "event": run.event,
        "status": run.status,
        "conclusion": run.conclusion,
        "workflow_id": run.workflow_id,
        "url": url,
        "html_url": f"{get_html_url(world, repository)}/actions/runs/{run.id}",
        "created_at": format_time(run.created_at),
        "updated_at": started,
        "actor": build_user(world, run.actor),
        "triggering_actor": build_user(world, run.triggering_actor),
        "previous_attempt_url": f"{url}/attempts/{run.run_attempt - 1}" if run.run_attempt > 1 else None,
        "check_suite_url": f"{api}/check-suites/{run.id}",
        "workflow_url": f"{api}/actions/workflows/{run.workflow_id}",
        "referenced_workflows": [],
        "pull_requests": [],
        "head_commit": _build_head_commit(repository, run.head_sha),
        "repository": build_repository(world, repository),
        "head_repository": build_repository(world, repository),
    }


def _build_head_commit(repository: Repository, sha: str) -> dict[str, Any] | None:
    if resolve_commit(repository.path, sha) is None:
        return None
    commit = read_commit(repository.path, sha)
    return {
        "id": commit.sha,
        "tree_id": commit.tree,
        "message": commit.message,
        "timestamp": commit.committer.date,
        "author": {"name": commit.author.name, "email": commit.author.email},
        "committer": {"name": commit.committer.name, "email": commit.committer.email},
    }
