"""The pages a person looks at: issues, pull requests with diff and checks, files. Read-only, escaped, self-contained.

They ask for no login and show private repositories too: the local GitHub answers on the loopback address only.
"""

from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import Any, Final

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import HTMLResponse, PlainTextResponse, Response
from starlette.routing import BaseRoute, Route

from coven_action.emulator import git_store
from coven_action.emulator.diff_rows import parse_rows
from coven_action.emulator.documents.people import format_time
from coven_action.emulator.git_compare import find_merge_base, list_changed_files, list_commits
from coven_action.emulator.git_store import Commit
from coven_action.emulator.markdown import render_markdown
from coven_action.emulator.pull_requests import follow_branches
from coven_action.emulator.state import CheckRun, PullRequest, Repository
from coven_action.emulator.world import World

_HEADERS: Final = {
    "Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-store",
}
_MAX_SHOWN_FILE: Final = 512 * 1024
Page = Callable[["Visit"], "tuple[str, dict[str, Any]] | Response"]


class Visit:
    """A request for a page: the world, the parameters of the path, and the repository they name."""

    def __init__(self, world: World, path: Mapping[str, Any]) -> None:
        self.world = world
        self.path = path
        self.found = world.find_repository(path["owner"], path["repo"]) if "owner" in path else None

    @property
    def repository(self) -> Repository:
        """The repository that the path names.

        Raises:
            LookupError: When there is none.
        """
        if self.found is None:
            raise LookupError
        return self.found

    @property
    def pull(self) -> PullRequest:
        """The pull request that the path names."""
        return self.repository.pulls[self.path["number"]]

    def require_commit(self, name: str) -> str:
        """Return the SHA that a name means.

        Raises:
            LookupError: When it means none.
        """
        sha = git_store.resolve_commit(self.repository.path, name)
        if sha is None:
            raise LookupError
        return sha

    def read_commit(self, sha: str) -> Commit:
        """Return a commit of the repository."""
        return git_store.read_commit(self.repository.path, sha)


def _build_templates() -> Environment:
    folder = Path(__file__).parent / "templates"
    templates = Environment(loader=FileSystemLoader(folder), autoescape=True, undefined=StrictUndefined)
    templates.filters["time"] = format_time
    templates.filters["rows"] = parse_rows
    return templates


def build_page_routes(world: World) -> list[BaseRoute]:
    """Return the routes of all pages."""
    templates = _build_templates()
    return [Route(path, _build_endpoint(world, templates, page), methods=["GET"]) for path, page in _PAGES]


def _build_endpoint(world: World, templates: Environment, page: Page) -> Callable[[Request], Awaitable[Response]]:
    def answer(path: Mapping[str, Any]) -> Response:
        with world.lock:
            try:
                visit = Visit(world, path)
                if visit.found is not None:
                    follow_branches(world, visit.found)
                shown = page(visit)
            except LookupError:
                return _render(world, templates, None, "absent.html", {}, 404)
            return shown if isinstance(shown, Response) else _render(world, templates, visit.found, *shown)

    async def endpoint(request: Request) -> Response:
        return await run_in_threadpool(answer, request.path_params)

    return endpoint


def _render(
    world: World,
    templates: Environment,
    repository: Repository | None,
    name: str,
    values: Mapping[str, Any],
    status: int = 200,
) -> Response:
    address = f"{world.html_url}/{repository.full_name}" if repository else world.html_url

    def markdown(text: str | None) -> Markup:
        return render_markdown(text, address)

    text = templates.get_template(name).render(repository=repository, address=address, markdown=markdown, **values)
    return HTMLResponse(text, status, _HEADERS)


def show_index(visit: Visit) -> tuple[str, dict[str, Any]]:
    """Show all repositories."""
    return "index.html", {"repositories": list(visit.world.repositories.values())}


def show_repository(visit: Visit) -> tuple[str, dict[str, Any]]:
    """Show a repository: its threads, its branches and the files of the default branch."""
    repository = visit.repository
    threads = sorted(repository.issues.values(), key=lambda issue: -issue.number)
    branches = [(name[11:], sha) for name, _, sha in git_store.list_refs(repository.path, "refs/heads/")]
    head = git_store.resolve_commit(repository.path, f"refs/heads/{repository.default_branch}")
    entries = git_store.list_entries(repository.path, head, "") if head else []
    values = {
        "threads": threads,
        "branches": branches,
        "entries": entries,
        "path": "",
        "ref": repository.default_branch,
    }
    return "repository.html", values


def show_issue(visit: Visit) -> tuple[str, dict[str, Any]]:
    """Show an issue with its comments, and the pull requests that mention it."""
    issue = visit.repository.issues[visit.path["number"]]
    if issue.number in visit.repository.pulls:
        return show_pull(visit)
    mention = f"#{issue.number}"
    linked = [pull for pull in visit.repository.pulls.values() if mention in _split_words(pull.issue.body)]
    return "issue.html", {"issue": issue, "linked": linked}


def _split_words(text: str | None) -> set[str]:
    return {word.strip(".,;:()") for word in (text or "").split()}


def _list_check_runs(repository: Repository, sha: str) -> list[CheckRun]:
    latest = {run.name: run for run in repository.check_runs.values() if run.head_sha == sha}
    return list(latest.values())


def _describe_pull(visit: Visit, tab: str) -> dict[str, Any]:
    pull, path = visit.pull, visit.repository.path
    shas = list_commits(path, pull.base_sha, pull.head_sha)
    return {
        "pull": pull,
        "issue": pull.issue,
        "tab": tab,
        "commits": [visit.read_commit(sha) for sha in shas],
        "files": list_changed_files(path, pull.base_sha, pull.head_sha),
        "runs": _list_check_runs(visit.repository, pull.head_sha),
    }


def show_pull(visit: Visit) -> tuple[str, dict[str, Any]]:
    """Show the conversation of a pull request."""
    return "pull.html", _describe_pull(visit, "conversation")


def show_pull_checks(visit: Visit) -> tuple[str, dict[str, Any]]:
    """Show the checks of a pull request's head."""
    return "pull.html", _describe_pull(visit, "checks")


def show_pull_files(visit: Visit) -> tuple[str, dict[str, Any]]:
    """Show what a pull request changes."""
    return "pull.html", _describe_pull(visit, "files")


def show_check_run(visit: Visit) -> tuple[str, dict[str, Any]]:
    """Show one Check Run."""
    return "check.html", {"run": visit.repository.check_runs[visit.path["run_id"]]}


def show_workflow_run(visit: Visit) -> tuple[str, dict[str, Any]]:
    """Show what is known of a workflow run."""
    return "run.html", {"run": visit.repository.workflow_runs[visit.path["run_id"]]}


def show_commit(visit: Visit) -> tuple[str, dict[str, Any]]:
    """Show a commit and how it differs from its first parent."""
    commit = visit.read_commit(visit.require_commit(visit.path["sha"]))
    files = list_changed_files(visit.repository.path, commit.parents[0], commit.sha) if commit.parents else []
    return "compare.html", {"title": commit.message.partition("\n")[0], "commits": [commit], "files": files}


def show_comparison(visit: Visit) -> tuple[str, dict[str, Any]]:
    """Show what a branch has that another has not."""
    base, _, head = visit.path["ends"].partition("...")
    ends = visit.require_commit(base), visit.require_commit(head)
    if find_merge_base(visit.repository.path, *ends) is None:
        raise LookupError
    commits = [visit.read_commit(sha) for sha in list_commits(visit.repository.path, *ends)]
    files = list_changed_files(visit.repository.path, *ends)
    return "compare.html", {"title": f"{base} … {head}", "commits": commits, "files": files}


def _split_ref(visit: Visit) -> tuple[str, str, str]:
    """Return (name of the ref, its SHA, path) of `<ref>/<path>`; the shortest name that is a commit wins."""
    parts = visit.path["rest"].split("/")
    for length in range(1, len(parts) + 1):
        name = "/".join(parts[:length])
        if sha := git_store.resolve_commit(visit.repository.path, name):
            return name, sha, "/".join(parts[length:])
    raise LookupError


def show_file(visit: Visit) -> tuple[str, dict[str, Any]]:
    """Show a file, or the entries of a directory."""
    ref, sha, path = _split_ref(visit)
    entries = git_store.list_entries(visit.repository.path, sha, path)
    if entries is None:
        raise LookupError
    if len(entries) == 1 and entries[0].path == path and entries[0].kind == "blob":
        content = git_store.read_blob(visit.repository.path, entries[0].sha)[:_MAX_SHOWN_FILE]
        text = "(a binary file)" if b"\0" in content else content.decode("utf-8", "replace")
        return "file.html", {"ref": ref, "path": path, "lines": text.split("\n")}
    return "directory.html", {"ref": ref, "path": path, "entries": entries}


def send_raw(visit: Visit) -> Response:
    """Send a file as plain text."""
    _, sha, path = _split_ref(visit)
    entries = git_store.list_entries(visit.repository.path, sha, path)
    if not entries or entries[0].path != path or entries[0].kind != "blob":
        raise LookupError
    return PlainTextResponse(git_store.read_blob(visit.repository.path, entries[0].sha), headers=_HEADERS)


_REPOSITORY: Final = "/{owner}/{repo}"
_PULL: Final = f"{_REPOSITORY}/pull/{{number:int}}"
_PAGES: Final[tuple[tuple[str, Page], ...]] = (
    ("/", show_index),
    (_REPOSITORY, show_repository),
    (f"{_REPOSITORY}/issues", show_repository),
    (f"{_REPOSITORY}/pulls", show_repository),
    (f"{_REPOSITORY}/issues/{{number:int}}", show_issue),
    (_PULL, show_pull),
    (f"{_PULL}/checks", show_pull_checks),
    (f"{_PULL}/files", show_pull_files),
    (f"{_REPOSITORY}/runs/{{run_id:int}}", show_check_run),
    (f"{_REPOSITORY}/actions/runs/{{run_id:int}}", show_workflow_run),
    (f"{_REPOSITORY}/commit/{{sha}}", show_commit),
    (f"{_REPOSITORY}/compare/{{ends:path}}", show_comparison),
    (f"{_REPOSITORY}/blob/{{rest:path}}", show_file),
    (f"{_REPOSITORY}/tree/{{rest:path}}", show_file),
    (f"{_REPOSITORY}/raw/{{rest:path}}", send_raw),
)
