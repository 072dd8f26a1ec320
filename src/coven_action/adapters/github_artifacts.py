"""The artifacts of earlier runs at GitHub: listed, and one downloaded within bounds. No rules here.

A download is a redirection to another host, whose address carries its own right to be read. The job's token goes to the
API alone: redirections are not followed, the address is asked by a request of its own, and a second one is refused.
https://docs.github.com/en/rest/actions/artifacts
"""

import time
from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any, Final, TypeVar

import httpx
from pydantic import ValidationError

from coven_action.core.configuration.endpoint_urls import LOOPBACK
from coven_action.core.endpoint.relaying import OutboxArtifact, RunFacts
from coven_action.core.github_errors import explain, read_answer
from coven_action.errors import GitHubError

T = TypeVar("T")

MAX_ANSWER: Final = 2 * 1024 * 1024
SECONDS: Final = 20.0
"""For one request and its whole answer."""
CONNECT_SECONDS: Final = 5.0
_ACCEPT: Final = "application/vnd.github+json"


class GitHubArtifacts:
    """The artifacts of one repository. Nothing is tried twice: what cannot be read now is read by a later run.

    Args:
        repository: `owner/name`.
        token: The job's token.
        api_url: `GITHUB_API_URL`.
        seconds: For one request and its whole answer.
        monotonic: A clock that never goes back.
    """

    def __init__(
        self,
        repository: str,
        *,
        token: str,
        api_url: str,
        seconds: float = SECONDS,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._path = f"/repos/{repository}/actions"
        self._api = httpx.URL(api_url)
        self._headers = {"Accept": _ACCEPT, "Authorization": f"Bearer {token}", "User-Agent": "coven-action"}
        self._seconds = seconds
        self._monotonic = monotonic

    def find(self, name: str) -> tuple[OutboxArtifact, ...]:
        """Return the newest artifacts of exactly this name.

        Raises:
            GitHubError: They cannot be listed.
        """
        path = f"{self._path}/artifacts"
        answer = self._ask(path, {"name": name, "per_page": "100"})
        return _read(path, lambda: tuple(_parse_artifact(each) for each in answer["artifacts"] if each["workflow_run"]))

    def get_run(self, run_id: int) -> RunFacts:
        """Return what GitHub says of a run.

        Raises:
            GitHubError: It cannot be read.
        """
        path = f"{self._path}/runs/{run_id}"
        answer = self._ask(path, {})
        return _read(path, lambda: RunFacts.model_validate({name: answer[name] for name in RunFacts.model_fields}))

    def download(self, artifact_id: int, limit: int) -> bytes:
        """Return an artifact's zip file.

        Raises:
            GitHubError: It cannot be had, or is larger than `limit` bytes.
        """
        path = f"{self._path}/artifacts/{artifact_id}/zip"
        status, headers, body = self._send(path, self._build_url(path, {}), self._headers, MAX_ANSWER)
        if status != httpx.codes.FOUND:
            raise _explain(path, status, headers, body)
        address = self._check_address(path, headers.get("location", ""))
        # Whoever has this address may read what is there: it is told to nobody, and gets no token of ours.
        status, _, body = self._send(path, address, {"User-Agent": "coven-action"}, limit)
        if status != httpx.codes.OK:
            raise GitHubError("github-unavailable", f"The artifact's store answered {status}.", place=f"GET {path}")
        return body

    def _check_address(self, path: str, location: str) -> httpx.URL:
        try:
            address = httpx.URL(location)
        except httpx.InvalidURL as error:
            raise _refuse(path, "the address of the file is none") from error
        local = self._api.host in LOOPBACK and address.host in LOOPBACK
        if address.scheme != "https" and not (address.scheme == "http" and local):
            raise _refuse(path, "the address of the file is not https")
        return address

    def _ask(self, path: str, query: Mapping[str, str]) -> dict[str, Any]:
        status, headers, body = self._send(path, self._build_url(path, query), self._headers, MAX_ANSWER)
        if status != httpx.codes.OK:
            raise _explain(path, status, headers, body)
        answer = _decode(body)
        if not isinstance(answer, dict):
            raise _refuse(path, "the answer is no object")
        return answer

    def _build_url(self, path: str, query: Mapping[str, str]) -> httpx.URL:
        return self._api.copy_with(path=self._api.path.rstrip("/") + path, params=dict(query) or None)

    def _send(
        self, path: str, url: httpx.URL, headers: Mapping[str, str], limit: int
    ) -> tuple[int, httpx.Headers, bytes]:
        deadline = self._monotonic() + self._seconds
        timeout = httpx.Timeout(self._seconds, connect=min(CONNECT_SECONDS, self._seconds))
        # A proxy of the environment is used as by every other request; a loopback address is not one for it.
        trusts_environment = url.host not in LOOPBACK
        try:
            with (
                httpx.Client(follow_redirects=False, trust_env=trusts_environment, timeout=timeout) as client,
                client.stream("GET", url, headers={**headers, "Accept-Encoding": "identity"}) as response,
            ):
                read = bytearray()
                for chunk in response.iter_raw():
                    read += chunk
                    if len(read) > limit:
                        raise _refuse(path, f"the answer has more than {limit} bytes")
                    if self._monotonic() > deadline:
                        raise _refuse(path, "the answer took too long", "github-unavailable")
                return response.status_code, response.headers, bytes(read)
        except (httpx.HTTPError, httpx.InvalidURL, UnicodeEncodeError) as error:
            # The library's words may hold the address, which is a right to read.
            raise _refuse(path, f"no answer ({type(error).__name__})", "github-unavailable") from None


def _parse_artifact(found: Mapping[str, Any]) -> OutboxArtifact:
    run = found["workflow_run"]
    return OutboxArtifact.model_validate(
        {
            "id": found["id"],
            "name": found["name"],
            "size": found["size_in_bytes"],
            "digest": found.get("digest"),
            "expired": found["expired"],
            "created_at": datetime.fromisoformat(found["created_at"]),
            "run_id": run["id"],
            "head_repository_id": run["head_repository_id"],
            "head_branch": run["head_branch"],
        }
    )


def _read(path: str, parse: Callable[[], T]) -> T:
    try:
        return parse()
    except (ValidationError, AttributeError, KeyError, TypeError, ValueError) as error:
        raise _refuse(path, "the answer is not what GitHub's API description says") from error


def _decode(body: bytes) -> Any:
    try:
        return httpx.Response(200, content=body).json()
    except (ValueError, RecursionError):
        return None


def _explain(path: str, status: int, headers: httpx.Headers, body: bytes) -> GitHubError:
    meaning = explain(read_answer(status, headers, _decode(body)), f"GET {path}")
    return GitHubError(meaning.code, meaning.message, place=f"GET {path}", remedy=meaning.remedy)


def _refuse(path: str, reason: str, code: str = "unexpected-answer") -> GitHubError:
    return GitHubError(code, f"GET {path}: {reason}.", place=f"GET {path}")
