"""The artifacts of earlier runs: what is asked, with which credential, and how much is taken."""

import http.server
import threading
from datetime import UTC, datetime

import pytest

from coven_action.adapters.github_artifacts import GitHubArtifacts
from coven_action.errors import GitHubError

OUTBOX = "coven-outbox-1"


@pytest.fixture
def run(github):
    return github.world.add_workflow_run(github.repository, github.maintainer, "issues")


@pytest.fixture
def artifacts(github):
    return GitHubArtifacts("acme/billing", token=github.token, api_url=github.api_url)


def test_an_artifact_is_found_by_its_name_with_what_counts_of_it(github, run, artifacts):
    kept = github.world.add_artifact(github.repository, run, OUTBOX, b"zip")
    github.world.add_artifact(github.repository, run, "coven-outbox-12", b"zip")

    (found,) = artifacts.find(OUTBOX)

    assert (found.id, found.name, found.size, found.expired) == (kept.id, OUTBOX, 3, False)
    assert (found.run_id, found.head_repository_id, found.head_branch) == (run.id, github.repository.id, "main")
    assert found.created_at == kept.created_at
    assert found.digest.startswith("sha256:")
    assert found.run_attempt == 1


def test_a_run_is_read(run, artifacts):
    facts = artifacts.get_run(run.id)

    assert (facts.id, facts.workflow_id, facts.head_branch) == (run.id, run.workflow_id, "main")


def test_a_download_follows_to_the_other_host_without_the_token(github, run, artifacts):
    """The store of the local GitHub refuses whoever brings a token."""
    kept = github.world.add_artifact(github.repository, run, OUTBOX, b"zip" * 1000)

    assert artifacts.download(kept.id, 3000) == b"zip" * 1000


def test_more_than_is_allowed_is_not_taken(github, run, artifacts):
    kept = github.world.add_artifact(github.repository, run, OUTBOX, b"zip" * 1000)

    with pytest.raises(GitHubError, match="more than 2999 bytes"):
        artifacts.download(kept.id, 2999)


@pytest.mark.parametrize("ask", ["get_run", "download"])
def test_what_does_not_exist_is_said(artifacts, ask):
    limit = (10,) if ask == "download" else ()
    with pytest.raises(GitHubError) as refused:
        getattr(artifacts, ask)(404_404, *limit)
    assert refused.value.code == "not-found"


def test_a_permission_that_is_missing_is_named(github, run):
    kept = github.world.add_artifact(github.repository, run, OUTBOX, b"zip")
    token = github.world.add_actions_token(github.repository, {"contents": "read"})
    weak = GitHubArtifacts("acme/billing", token=token, api_url=github.api_url)

    with pytest.raises(GitHubError) as refused:
        weak.download(kept.id, 10)
    assert refused.value.code == "missing-permission"
    assert "actions: read" in refused.value.remedy


class Liar:
    """A server that answers every path as it was told, and keeps what it was asked with."""

    def __init__(self, answers):
        liar = self
        self.asked = []

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self):
                liar.asked.append((self.path, self.headers.get("Authorization")))
                status, headers, body = next(
                    answer for prefix, answer in answers.items() if self.path.startswith(prefix)
                )
                self.send_response(status)
                for name, value in headers.items():
                    self.send_header(name, value.replace("{port}", str(liar.server.server_port)))
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *arguments):
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.thread = threading.Thread(target=self.server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
        self.thread.start()

    def connect(self, **facts):
        return GitHubArtifacts(
            "acme/billing", token="ghs_canary", api_url=f"http://127.0.0.1:{self.server.server_port}", **facts
        )

    def stop(self):
        if self.thread.is_alive():
            self.server.shutdown()
            self.thread.join()
            self.server.server_close()


@pytest.fixture
def lie():
    started = []

    def start(answers):
        started.append(Liar(answers))
        return started[-1]

    yield start
    for liar in started:
        liar.stop()


REDIRECTED = "/repos/acme/billing/actions/artifacts/7/zip"


@pytest.mark.parametrize(
    "location",
    ["http://blobs.example.com/x", "ftp://127.0.0.1/x", "file:///etc/passwd", "", "//", "http://[::1", "/relative"],
)
def test_an_address_that_is_not_https_elsewhere_is_not_asked(lie, location):
    liar = lie({REDIRECTED: (302, {"Location": location}, b"")})

    with pytest.raises(GitHubError, match=r"the address of the file|no answer"):
        liar.connect().download(7, 100)
    assert [path for path, _ in liar.asked] == [REDIRECTED]


def test_a_second_redirection_is_refused_and_no_token_leaves_the_api(lie):
    liar = lie(
        {
            REDIRECTED: (302, {"Location": "http://localhost:{port}/store"}, b""),
            "/store": (302, {"Location": "http://localhost:{port}/elsewhere"}, b""),
        }
    )

    with pytest.raises(GitHubError, match="store answered 302"):
        liar.connect().download(7, 100)
    assert liar.asked == [(REDIRECTED, "Bearer ghs_canary"), ("/store", None)]


LIST = "/repos/acme/billing/actions/artifacts?"
ENTRY = '{"id": 7, "name": "x-1", "size_in_bytes": 1, "expired": false, "created_at": "2026-11-21T12:00:00Z", "workflow_run": %s}'
RUN = '{"id": 5, "head_repository_id": 9, "head_branch": "main"}'


def test_what_no_run_left_is_left_out(lie):
    answer = f'{{"artifacts": [{ENTRY % RUN}, {ENTRY % "null"}]}}'.encode()

    (found,) = lie({LIST: (200, {}, answer)}).connect().find("x-1")

    assert (found.id, found.digest) == (7, None)
    assert found.created_at == datetime(2026, 11, 21, 12, tzinfo=UTC)


@pytest.mark.parametrize(
    "answer",
    [b"", b"[]", b"no json", b"{}", b'{"artifacts": 7}', b'{"artifacts": [{}]}', b"[" * 100_000, b"\xff",
     f'{{"artifacts": [{ENTRY % "7"}]}}'.encode(), b'{"artifacts": [' + b" " * 3_000_000 + b"]}"],
)  # fmt: skip
def test_an_answer_that_is_none_is_an_error_of_ours(lie, answer):
    with pytest.raises(GitHubError) as refused:
        lie({LIST: (200, {}, answer)}).connect().find("x-1")
    assert refused.value.code == "unexpected-answer"


def test_nobody_who_answers_is_said(lie):
    liar = lie({})
    gone = liar.connect()
    liar.stop()
    with pytest.raises(GitHubError) as refused:
        gone.find("x-1")
    assert refused.value.code == "github-unavailable"


def test_an_answer_that_never_ends_is_ended(lie):
    moments = iter(range(0, 1000, 15))
    liar = lie({LIST: (200, {}, b"{}")})

    with pytest.raises(GitHubError, match="too long"):
        liar.connect(monotonic=lambda: next(moments) * 2.0).find("x-1")
