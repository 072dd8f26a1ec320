"""Injected faults, what is recorded, and the server itself."""

import time

import pytest
import requests

from coven_action.emulator.exchanges import MAX_DOCUMENT
from coven_action.emulator.server import LocalGitHub
from coven_action.errors import Error

ISSUE = "/repos/acme/billing/issues/1"


@pytest.fixture(autouse=True)
def issue(github):
    with github.world.lock:
        return github.world.open_issue(github.repository, github.outsider, "Bug", "text")


def test_a_fault_hits_the_nth_matching_request_and_as_many_as_said(github, rest):
    fault = github.faults.add(method="GET", path_regex=r"/issues/1$", nth=2, times=2, status=503)
    assert [rest.get(ISSUE).status_code for _ in range(5)] == [200, 503, 503, 200, 200]
    assert rest.get("/rate_limit").status_code == 200
    assert fault.hits == 2


def test_a_dropped_request_did_nothing_and_a_lost_answer_did(github, rest, issue):
    for fault, comments in (({"drop": True}, 0), ({"drop_after": True}, 1)):
        github.faults.add(method="POST", path_regex="/comments$", **fault)
        with pytest.raises(requests.ConnectionError):
            rest.post(f"{ISSUE}/comments", {"body": "x"})
        assert len(issue.comments) == comments
    assert rest.post(f"{ISSUE}/comments", {"body": "x"}).status_code == 201


def test_a_delay_delays_and_then_answers(github, rest):
    github.faults.add(path_regex="/issues/1$", delay=0.2)
    started = time.monotonic()
    assert rest.get(ISSUE).status_code == 200
    assert time.monotonic() - started >= 0.2


def test_the_rate_limits_answer_as_github_does(github, rest):
    github.faults.add_primary_rate_limit(reset=1_800_000_000, times=1)
    github.faults.add_secondary_rate_limit(retry_after=3, nth=2)
    primary, secondary = rest.get(ISSUE), rest.get(ISSUE)
    assert (primary.status_code, primary.headers["X-RateLimit-Remaining"]) == (403, "0")
    assert primary.headers["X-RateLimit-Reset"] == "1800000000"
    assert (secondary.status_code, secondary.headers["Retry-After"]) == (403, "3")
    assert "secondary rate limit" in secondary.json()["message"]


def test_a_fault_may_answer_with_any_body(github, rest):
    github.faults.add(path_regex="/issues/1$", status=200, body=b"<html>", headers={"Content-Type": "text/html"})
    answer = rest.get(ISSUE)
    assert (answer.text, answer.headers["Content-Type"]) == ("<html>", "text/html")


def test_another_process_adds_faults_with_the_key_only(github, rest):
    url, fault = f"{github.url}/_emulator/faults", {"path_regex": "/issues/1$", "status": 500}
    assert requests.post(url, json=fault, timeout=20).status_code == 403
    key = {"X-Emulator-Key": github.admin_key}
    for wrong in ({"unknown": 1}, {"path_regex": "("}, []):
        assert requests.post(url, json=wrong, headers=key, timeout=20).status_code == 422
    assert requests.post(url, json=fault, headers=key, timeout=20).status_code == 201
    assert rest.get(ISSUE).status_code == 500
    requests.post(url, json=fault, headers=key, timeout=20)
    assert requests.delete(url, headers=key, timeout=20).status_code == 204
    assert rest.get(ISSUE).status_code == 200


def test_a_fault_reaches_git_as_well(github):
    github.faults.add(path_regex=r"\.git/info/refs", status=503)
    url = f"{github.url}/acme/billing.git/info/refs?service=git-upload-pack"
    assert [requests.get(url, timeout=20).status_code for _ in range(2)] == [503, 200]


def test_every_exchange_is_recorded_without_its_credential(github, rest):
    rest.post(f"{ISSUE}/comments", {"body": "hello"})
    exchange = github.exchanges[-1]
    assert (exchange.method, exchange.path, exchange.status) == ("POST", f"/api{ISSUE}/comments", 201)
    assert b"hello" in exchange.request_body
    assert b"hello" in exchange.response_body
    assert github.token not in repr(exchange)
    assert github.requests[-1] == f"POST {ISSUE}/comments"


@pytest.mark.parametrize("path", [f"/api{ISSUE}/comments", "/graphql", "/_emulator/faults"])
def test_a_request_is_bounded(github, path):
    def endless():
        for _ in range(MAX_DOCUMENT // (1024 * 1024) + 1):
            yield b" " * 1024 * 1024

    headers = {"Authorization": f"Bearer {github.token}", "X-Emulator-Key": github.admin_key}
    assert requests.post(github.url + path, data=endless(), headers=headers, timeout=60).status_code == 413


def test_it_listens_on_this_machine_only_and_a_taken_port_is_told(github, tmp_path):
    assert github.url.startswith("http://127.0.0.1:")
    port = int(github.url.rpartition(":")[2])
    with pytest.raises(Error, match="emulator-failed"):
        LocalGitHub(tmp_path / "second", port=port).start()


def test_it_starts_and_stops_again_and_keeps_its_state(tmp_path):
    server = LocalGitHub(tmp_path)
    server.seed_repository("acme", "billing", {"a": "b"})
    for _ in range(2):
        with server:
            assert requests.get(f"{server.api_url}/repos/acme/billing", timeout=20).status_code == 200
        with pytest.raises(requests.ConnectionError):
            requests.get(server.url, timeout=20)


@pytest.mark.parametrize("path", ["/unknown", "/repos/acme", "/repos/acme/billing/unknown", "/"])
def test_a_route_that_is_not_known_is_a_404_in_json(tmp_path, path):
    with LocalGitHub(tmp_path) as server:
        server.seed_repository("acme", "billing", {"a": "b"})
        answer = requests.get(f"{server.api_url}{path}", timeout=20)
    assert answer.status_code == 404
    assert answer.json()["message"] == "Not Found"


@pytest.mark.parametrize(
    ("owner", "name"), [("acme", "billing"), ("ACME", "Billing"), ("a/b", "c"), ("a", ".."), ("", "x")]
)
def test_a_name_that_github_would_not_take_is_refused(github, owner, name):
    with pytest.raises(Error, match="emulator-unknown"):
        github.seed_repository(owner, name, {"a": "b"})
