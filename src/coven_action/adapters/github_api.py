"""GitHub's REST API through PyGithub: one method for each thing the stages ask or change, and the mapping of its errors.

PyGithub brings authentication, pagination links, retries and rate-limit handling. Requests that read or remove are retried
by it, and those that replace by us. A request that creates or adds is retried only after a look whether it took effect:
an answer can be lost after the deed, and a second comment, pull request, check or annotation is something people see.
"""

import base64
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime
from typing import Any, Final, TypeVar
from urllib.parse import quote, urlencode

import github
import requests
import urllib3.exceptions
from github.GithubException import GithubException
from github.GithubRetry import GithubRetry
from pydantic import ValidationError

from coven_action.core.github_errors import explain, find_wait, read_answer
from coven_action.core.publication.publication import Annotation
from coven_action.core.publication.status_marker import ThreadComment, parse_marker
from coven_action.core.publication.targets import Head, PullRequest, find_task_key
from coven_action.core.redaction.redactor import Redacted
from coven_action.core.trust.edits import Edits
from coven_action.core.trust.events import Thread, WorkflowRun
from coven_action.core.trust.trust import PermissionAnswer, list_own_ids
from coven_action.errors import GitHubError

# What is safe to send twice. POST is not, nor is a PATCH that adds: see the module's promise.
_REPEATABLE: Final = frozenset({"GET", "PUT", "DELETE"})
CREATION_ATTEMPTS: Final = 3
RETRIES: Final = 4
_LIMITED: Final = frozenset({403, 429})
MAXIMUM_PAGES: Final = 100
T = TypeVar("T")

# https://docs.github.com/en/graphql/reference/objects#issue: the REST API does not say when a text was edited.
_TIMES: Final = """
    lastEditedAt
    timelineItems(itemTypes: [RENAMED_TITLE_EVENT], last: 1) { nodes { ... on RenamedTitleEvent { createdAt } } }
"""
_THREAD: Final = f"""
  repository(owner: $owner, name: $name) {{
    issueOrPullRequest(number: $number) {{ ... on Issue {{ {_TIMES} }} ... on PullRequest {{ {_TIMES} }} }}
  }}
"""
_EDITS_OF_THREAD: Final = f"query($owner: String!, $name: String!, $number: Int!) {{ {_THREAD} }}"
_EDITS_OF_THREAD_AND_COMMENT: Final = (
    f"query($owner: String!, $name: String!, $number: Int!, $comment: ID!) {{ {_THREAD} "
    "comment: node(id: $comment) { ... on IssueComment { lastEditedAt } } }"
)


class GitHubAPI:
    """One repository at GitHub.

    Args:
        repository: `owner/name`.
        token: The job's token.
        api_url: `GITHUB_API_URL`.
        app_bot_id: Of the App's bot account, where the token is an App's.
        timeout: Seconds for each request.
        backoff: Seconds before the first retry, doubled each time.
        maximum_wait: Seconds that a rate limit is waited for; a longer one ends the stage with `rate-limited`.
        sleep: How to wait.
    """

    def __init__(
        self,
        repository: str,
        *,
        token: str,
        api_url: str,
        app_bot_id: int | None = None,
        timeout: int = 20,
        backoff: float = 0.5,
        maximum_wait: int = 60,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._path = f"/repos/{repository}"
        self._owner, self._name = repository.split("/")
        self._own_ids = list_own_ids(app_bot_id)
        self._app_id: int | None = None
        self._backoff = backoff
        self._maximum_wait = maximum_wait
        self._sleep = sleep
        retry = _BoundedRetry(
            total=RETRIES,
            # The last answer is worth more than "too many retries": it is explained like any other.
            raise_on_status=False,
            backoff_factor=backoff,
            status_forcelist=[429, *range(500, 600)],
            allowed_methods=_REPEATABLE,
            secondary_rate_wait=maximum_wait,
            max_rate_limit_wait=maximum_wait,
            retry_after_max=maximum_wait,
        )
        self._client = github.Github(
            auth=github.Auth.Token(token),
            base_url=api_url,
            timeout=timeout,
            user_agent="coven-action",
            per_page=100,
            retry=retry,
            # A task makes about a dozen requests; spacing them out would only hold the runner.
            seconds_between_requests=None,
            seconds_between_writes=None,
            lazy=True,
        )

    # What is asked.

    def find_permission(self, login: str) -> PermissionAnswer | None:
        """Return GitHub's answer about an account, None where it knows no such collaborator."""
        answer = self._find("GET", f"{self._path}/collaborators/{quote(login, safe='')}/permission")
        return None if answer is None else _read(PermissionAnswer.model_validate, answer)

    def get_branch_sha(self, branch: str) -> str:
        """Return the commit a branch points to."""
        answer = self._call("GET", f"{self._path}/git/ref/heads/{quote(branch)}")
        return _read(lambda data: str(data["object"]["sha"]), answer)

    def find_file(self, path: str, ref: str) -> bytes | None:
        """Return a file's content at a commit, None where it does not exist."""
        content = self._find("GET", f"{self._path}/contents/{quote(path)}?{urlencode({'ref': ref})}")
        return None if content is None else _read(_decode_content, content)

    def get_thread(self, number: int) -> Thread:
        """Return an issue, or a pull request seen as one."""
        return _read(_parse_thread, self._call("GET", f"{self._path}/issues/{number}"))

    def find_edits(self, number: int, comment_node_id: str) -> Edits:
        """Return when title, body and, where its id is not empty, a comment were last edited."""
        variables = {"owner": self._owner, "name": self._name, "number": number}
        if comment_node_id:
            answer = self._query(_EDITS_OF_THREAD_AND_COMMENT, {**variables, "comment": comment_node_id})
        else:
            answer = self._query(_EDITS_OF_THREAD, variables)
        return _read(_parse_edits, answer)

    def get_run(self, run_id: int) -> WorkflowRun:
        """Return when a run was created, and who started its newest attempt."""
        return _read(WorkflowRun.model_validate, self._call("GET", f"{self._path}/actions/runs/{run_id}"))

    def fetch_comments(self, number: int) -> Iterator[ThreadComment]:
        """Yield all comments of a thread, oldest first, over all pages."""
        for comment in self._pages(f"{self._path}/issues/{number}/comments"):
            yield _read(ThreadComment.model_validate, comment)

    def find_branches(self, prefix: str) -> tuple[tuple[str, str], ...]:
        """Return name and commit of the branches whose name begins with `prefix`."""
        refs = self._pages(f"{self._path}/git/matching-refs/heads/{quote(prefix)}")
        return tuple(_read(_parse_ref, ref) for ref in refs)

    def get_head(self, sha: str) -> Head:
        """Return what a commit of ours says about itself."""
        return _read(_parse_head, self._call("GET", f"{self._path}/git/commits/{sha}"))

    def find_pull_requests(self, branch: str) -> tuple[PullRequest, ...]:
        """Return the pull requests, open and closed, whose head is a branch of this repository."""
        query = urlencode({"state": "all", "head": f"{self._owner}:{branch}", "per_page": 100})
        return tuple(_read(PullRequest.model_validate, found) for found in self._pages(f"{self._path}/pulls?{query}"))

    def get_pull_request(self, number: int) -> PullRequest:
        """Return one pull request."""
        return _read(PullRequest.model_validate, self._call("GET", f"{self._path}/pulls/{number}"))

    def find_changed_paths(self, number: int) -> tuple[str, ...]:
        """Return every path that a pull request changes, or renames from; GitHub lists 3,000 files at most.

        https://docs.github.com/en/rest/pulls/pulls#list-pull-requests-files
        """
        files = self._pages(f"{self._path}/pulls/{number}/files")
        return tuple(path for file in files for path in _read(_parse_paths, file))

    def find_labeller(self, number: int, name: str) -> int | None:
        """Return the id of the account that last applied a label to a thread, None where nobody did, or it is gone."""
        found = None
        for event in self._pages(f"{self._path}/issues/{number}/events"):
            if event.get("event") == "labeled" and _read(_parse_label, event).casefold() == name.casefold():
                found = _read(_parse_actor, event)
        return found

    def find_check_runs(self, head_sha: str, name: str, *, external_id: str | None = None) -> tuple[int, ...]:
        """Return the ids of our Check Runs on a commit; with an `external_id` of those alone that carry it.

        Once one was created here they are those of the same App: no other may change them, so a repository that has given us
        the token of an App of its own keeps what was written with the job's token.
        """
        return tuple(
            check["id"]
            for check in self._check_runs(head_sha, name)
            if external_id in {None, check.get("external_id")} and self._app_id in {None, _find_app_id(check)}
        )

    def _check_runs(self, head_sha: str, name: str) -> list[dict[str, Any]]:
        query = urlencode({"check_name": name, "filter": "all", "per_page": 100})
        answer = self._call("GET", f"{self._path}/commits/{head_sha}/check-runs?{query}")
        return _read(lambda data: [{**run, "id": int(run["id"])} for run in data["check_runs"]], answer)

    # What is changed.

    def create_comment(self, number: int, body: Redacted) -> int:
        """Write a comment and return its id."""
        path = f"{self._path}/issues/{number}/comments"
        wanted = parse_marker(body)

        def find() -> dict[str, Any] | None:
            for comment in self._pages(path):
                found = _read(ThreadComment.model_validate, comment)
                if found.user and found.user.id in self._own_ids and parse_marker(found.body or "") == wanted:
                    return comment
            return None

        return _read(_parse_id, self._create(path, {"body": str(body)}, find))

    def update_comment(self, comment_id: int, body: Redacted) -> None:
        """Replace a comment's text."""
        self._change(f"{self._path}/issues/comments/{comment_id}", comment_id, {"body": str(body)})

    def remove_label(self, number: int, name: str) -> None:
        """Remove a label; one that is no longer there is no error."""
        self._find("DELETE", f"{self._path}/issues/{number}/labels/{quote(name, safe='')}")

    def add_labels(self, number: int, names: Sequence[Redacted]) -> None:
        """Add labels; the ones already there stay, so a repeated call changes nothing."""
        path = f"{self._path}/issues/{number}/labels"
        self._create(path, {"labels": [str(name) for name in names]}, lambda: None)

    def create_pull_request(self, *, title: Redacted, body: Redacted, head: str, base: str) -> tuple[PullRequest, bool]:
        """Open a draft pull request. The second value is False where drafts are not offered and it is an ordinary one."""
        values = {"title": str(title), "body": str(body), "head": head, "base": base, "draft": True}
        try:
            return self._open_pull_request(values), True
        except GitHubError as error:
            if error.code != "drafts-not-offered":
                raise
        return self._open_pull_request({**values, "draft": False}), False

    def _open_pull_request(self, values: dict[str, Any]) -> PullRequest:
        def find() -> dict[str, Any] | None:
            query = urlencode({"state": "open", "head": f"{self._owner}:{values['head']}", "base": values["base"]})
            return next(iter(self._call("GET", f"{self._path}/pulls?{query}")), None)

        return _read(PullRequest.model_validate, self._create(f"{self._path}/pulls", values, find))

    def update_pull_request(self, number: int, *, title: Redacted | None, body: Redacted) -> PullRequest:
        """Replace a pull request's text, and its title unless that is None."""
        values = {"body": str(body)} if title is None else {"title": str(title), "body": str(body)}
        return _read(PullRequest.model_validate, self._replace(f"{self._path}/pulls/{number}", values))

    def create_check_run(
        self,
        *,
        head_sha: str,
        name: str,
        external_id: str,
        conclusion: str,
        title: Redacted,
        summary: Redacted,
        text: Redacted,
        annotations: Sequence[Sequence[tuple[Annotation, Redacted]]],
    ) -> int:
        """Create a concluded Check Run, its annotations in the batches given, and return its id."""
        output = {"title": str(title), "summary": str(summary), "text": str(text)}
        first, *rest = [[_annotation(*annotation) for annotation in batch] for batch in annotations]
        values = {
            "name": name,
            "head_sha": head_sha,
            "external_id": external_id,
            "status": "completed",
            "conclusion": conclusion,
            "output": {**output, "annotations": first},
        }

        def find() -> dict[str, Any] | None:
            runs = self._check_runs(head_sha, name)
            return next((run for run in runs if run.get("external_id") == external_id), None)

        created = self._create(f"{self._path}/check-runs", values, find)
        check_run_id, self._app_id = _read(_parse_id, created), _read(_find_app_id, created)
        total = len(first)
        for batch in rest:
            total += len(batch)
            self._append_annotations(check_run_id, {"output": {**output, "annotations": batch}}, total)
        return check_run_id

    def _append_annotations(self, check_run_id: int, values: dict[str, Any], total: int) -> None:
        """Add a batch of annotations once: GitHub appends on update, so after a lost answer they are counted first.

        https://docs.github.com/en/rest/checks/runs#update-a-check-run
        """
        path = f"{self._path}/check-runs/{check_run_id}"

        def find() -> dict[str, Any] | None:
            run = self._call("GET", path)
            return run if _read(_parse_annotations_count, run) >= total else None

        self._check_changed(path, check_run_id, self._do_once(lambda: self._call("PATCH", path, values), find))

    def supersede_check_run(self, check_run_id: int, *, title: Redacted, summary: Redacted) -> None:
        """Conclude a Check Run as neutral, and replace its title and summary."""
        values = {
            "status": "completed",
            "conclusion": "neutral",
            "output": {"title": str(title), "summary": str(summary)},
        }
        self._change(f"{self._path}/check-runs/{check_run_id}", check_run_id, values)

    # How it is done.

    def _change(self, path: str, wanted: int, values: dict[str, Any]) -> None:
        self._check_changed(path, wanted, self._replace(path, values))

    def _check_changed(self, path: str, wanted: int, answer: Any) -> None:
        """Refuse an answer that does not name what was changed: it is no word of GitHub's that it was."""
        if _read(_parse_id, answer) != wanted:
            raise GitHubError("unexpected-answer", f"GitHub changed something else than {path}.", place=f"PATCH {path}")

    def _replace(self, path: str, values: dict[str, Any]) -> Any:
        """Change something to what is said; saying it twice changes nothing more."""
        return self._do_once(lambda: self._call("PATCH", path, values), lambda: None)

    def _create(self, path: str, values: dict[str, Any], find: Callable[[], dict[str, Any] | None]) -> dict[str, Any]:
        """Create something once."""
        created: dict[str, Any] = self._do_once(lambda: self._post(path, values), find)
        return created

    def _do_once(self, do: Callable[[], Any], find: Callable[[], dict[str, Any] | None]) -> Any:
        """Do something once: after an answer that was lost, look for what was done before trying again."""
        for attempt in range(CREATION_ATTEMPTS - 1):
            try:
                return do()
            except GitHubError as error:
                if error.code != "already-exists":
                    self._wait_before_retry(error, attempt)
                # The look comes after the wait: what was asked may have been done late.
                existing = find() if error.code in {"github-unavailable", "already-exists"} else None
                if existing is not None:
                    return existing
        return do()

    def _post(self, path: str, values: dict[str, Any]) -> dict[str, Any]:
        created = self._call("POST", path, values)
        # Adding labels answers with a list, which nobody needs.
        return created if isinstance(created, dict) else {}

    def _wait_before_retry(self, error: GitHubError, attempt: int) -> None:
        """Wait as long as GitHub asks, or raise the error where trying again is no use."""
        wait = self._backoff * 2**attempt
        if error.code == "rate-limited" and isinstance(error.__cause__, GithubException):
            cause = error.__cause__
            asked = find_wait(read_answer(cause.status, cause.headers, cause.data), time.time())
            wait = self._maximum_wait if asked is None else asked + 1
        elif error.code != "github-unavailable":
            raise error
        if wait > self._maximum_wait:
            raise error
        self._sleep(wait)

    def _pages(self, path: str) -> Iterator[dict[str, Any]]:
        separator = "&" if "?" in path else "?"
        address = path if "per_page=" in path else f"{path}{separator}per_page=100"
        for _ in range(MAXIMUM_PAGES):
            headers, page = self._request("GET", address, None)
            if not isinstance(page, list):
                raise GitHubError("unexpected-answer", f"GET {path} gave no list.", place=f"GET {path}")
            yield from page
            following = _find_next_page(headers)
            if following is None:
                return
            address = following
        raise GitHubError("too-many-pages", f"GET {path} has more than {MAXIMUM_PAGES} pages.", place=f"GET {path}")

    def _find(self, verb: str, path: str) -> Any:
        try:
            return self._call(verb, path)
        except GitHubError as error:
            if error.code == "not-found":
                return None
            raise

    def _call(self, verb: str, path: str, values: dict[str, Any] | None = None) -> Any:
        return self._request(verb, path, values)[1]

    def _query(self, query: str, variables: dict[str, Any]) -> Mapping[str, Any]:
        """Ask the GraphQL API. It reads only, so it may be asked again like any GET."""
        for attempt in range(CREATION_ATTEMPTS):
            try:
                return self._ask_once(query, variables)
            except GitHubError as error:
                if attempt == CREATION_ATTEMPTS - 1:
                    raise
                self._wait_before_retry(error, attempt)
        raise AssertionError("the loop returns or raises")

    def _ask_once(self, query: str, variables: dict[str, Any]) -> Mapping[str, Any]:
        with _explaining("POST", "/graphql"):
            answer = self._client.requester.graphql_query(query, variables)[1]
        return _read(_parse_data, answer)

    def _request(self, verb: str, path: str, values: dict[str, Any] | None) -> tuple[dict[str, Any], Any]:
        with _explaining(verb, path):
            return self._client.requester.requestJsonAndCheck(verb, path, input=values)


class _BoundedRetry(GithubRetry):
    """PyGithub's retry, which ends at once where GitHub asks for a longer wait than a job should spend."""

    def increment(
        self,
        method: str | None = None,
        url: str | None = None,
        response: Any = None,
        error: Exception | None = None,
        *rest: Any,
        **named: Any,
    ) -> Any:
        try:
            if response is not None and response.status in _LIMITED:
                self._check_wait(response)
            return super().increment(method, url, response, error, *rest, **named)
        except GithubException:
            # Raised from in here, it passes by what else would give the connection back.
            if response is not None:
                response.drain_conn()
                response.release_conn()
            raise

    def _check_wait(self, response: Any) -> None:
        wait = find_wait(read_answer(response.status, response.headers, None), time.time())
        if wait is not None and self.max_rate_limit_wait is not None and wait > self.max_rate_limit_wait:
            message = {"message": f"rate limit: GitHub asks to wait {wait:.0f} s"}
            raise GithubException(response.status, message, dict(response.headers))


@contextmanager
def _explaining(verb: str, path: str) -> Iterator[None]:
    """Turn what PyGithub and the libraries below it raise into our error."""
    request = f"{verb} {path.partition('?')[0]}"
    try:
        yield
    except GithubException as error:
        raise _map_error(error, verb, path) from error
    except (requests.RequestException, urllib3.exceptions.HTTPError) as error:
        said = f"GitHub did not answer {request}: {type(error).__name__}."
        raise GitHubError("github-unavailable", said, place=request) from error
    except (ValueError, KeyError, TypeError) as error:  # what PyGithub lets through of an answer that was cut off
        said = f"GitHub's answer to {request} is not what its API description says."
        raise GitHubError("unexpected-answer", said, place=request) from error


def _map_error(error: GithubException, verb: str, path: str) -> GitHubError:
    request = f"{verb} {path.partition('?')[0]}"
    meaning = explain(read_answer(error.status, error.headers, error.data), request)
    return GitHubError(meaning.code, meaning.message, place=request, remedy=meaning.remedy)


def _read(parse: Callable[[Any], T], answer: Any) -> T:
    """Read an answer; one that is not what GitHub's description says is an error of ours to report, not to guess at."""
    try:
        return parse(answer)
    except (ValidationError, AttributeError, KeyError, TypeError, ValueError) as error:
        raise GitHubError(
            "unexpected-answer", f"GitHub's answer is not what its API description says: {error}"
        ) from error


def _parse_id(created: Mapping[str, Any]) -> int:
    return int(created["id"])


def _find_app_id(check_run: Mapping[str, Any]) -> int | None:
    """Return the App that a Check Run belongs to; GitHub may give none."""
    app = check_run.get("app")
    return None if app is None else int(app["id"])


def _parse_ref(ref: Mapping[str, Any]) -> tuple[str, str]:
    return str(ref["ref"]).removeprefix("refs/heads/"), str(ref["object"]["sha"])


def _parse_head(commit: Mapping[str, Any]) -> Head:
    parents = [parent["sha"] for parent in commit["parents"]]
    return Head(
        sha=commit["sha"],
        task_key=find_task_key(commit["message"], committer=commit["committer"]["email"]),
        parent_sha=parents[0] if len(parents) == 1 else None,
    )


def _parse_paths(file: Mapping[str, Any]) -> tuple[str, ...]:
    """Return the names of a changed file; a renamed one has two."""
    names = (file["filename"], file.get("previous_filename"))
    return tuple(str(name) for name in names if name is not None)


def _parse_label(event: Mapping[str, Any]) -> str:
    return str(event["label"]["name"])


def _parse_actor(event: Mapping[str, Any]) -> int | None:
    return None if event["actor"] is None else int(event["actor"]["id"])


def _parse_annotations_count(run: Mapping[str, Any]) -> int:
    return int(run["output"]["annotations_count"])


def _parse_edits(answer: Mapping[str, Any]) -> Edits:
    thread = answer["repository"]["issueOrPullRequest"]
    renames = thread["timelineItems"]["nodes"]
    comment = answer.get("comment")
    return Edits(
        renamed_at=_parse_time(renames[0]["createdAt"]) if renames else None,
        body_edited_at=_parse_time(thread["lastEditedAt"]),
        comment_edited_at=_parse_time(comment["lastEditedAt"]) if comment else None,
    )


def _parse_time(text: str | None) -> datetime | None:
    return None if text is None else datetime.fromisoformat(text)


def _parse_thread(issue: Mapping[str, Any]) -> Thread:
    is_pull_request = issue.get("pull_request") is not None
    return Thread.model_validate({**issue, "is_pull_request": is_pull_request})


def _parse_data(answer: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return the data of a GraphQL answer."""
    if not isinstance(answer["data"], Mapping):
        raise TypeError("data is no object")
    return answer["data"]


def _decode_content(answer: Any) -> bytes:
    # A folder is a list, a submodule or a large file has another encoding: none of them is a text file.
    if not isinstance(answer, Mapping) or answer.get("type") != "file" or answer.get("encoding") != "base64":
        raise ValueError("the path is no ordinary file")
    return base64.b64decode(answer["content"])


def _annotation(annotation: Annotation, message: Redacted) -> dict[str, Any]:
    return {**annotation.model_dump(), "message": str(message)}


def _find_next_page(headers: Mapping[str, Any]) -> str | None:
    """Return the address of the next page.

    https://docs.github.com/en/rest/using-the-rest-api/using-pagination-in-the-rest-api
    """
    links = requests.utils.parse_header_links(str(headers.get("link", "")))
    return next((link["url"] for link in links if link.get("rel") == "next"), None)
