"""One walk over every route of the local GitHub, with what it refuses, held against GitHub's own description."""

import re
from urllib.parse import unquote

import pytest
import requests
from starlette.routing import compile_path

from coven_action.emulator.rest import OPERATIONS
from tests.emulator.client import Client
from tests.github_description import DEVIATIONS, load_description, validate_exchanges, validate_payload
from tests.payloads import build_issues_labeled

REPOSITORY = "/repos/acme/billing"


def walk(github, push_branch):
    """Call each route at least once so that it succeeds, and many so that they refuse."""
    rest, nobody = Client(github.api_url, github.token), Client(github.api_url)
    person = Client(github.api_url, github.world.add_personal_token("maintainer"))
    world = github.world
    with world.lock:
        world.open_issue(github.repository, github.outsider, "Bug", "text", ("bug", "coven:fix"))
        world.add_user("gone", kind="Bot")
        run = world.add_workflow_run(github.repository, github.maintainer, "issues", run_attempt=2)
        artifact = world.add_artifact(github.repository, run, "coven-outbox-1", b"PK")
    sha = push_branch("coven/fix", {"src/tax.py": "x = 1\n", "new.md": "# new\n", "README.md": None})
    for path in ("/meta", "/rate_limit", "/users/maintainer", "/users/acme", "/users/nobody", REPOSITORY, "/repos/a/b"):
        rest.get(path)
        nobody.get(path)
    person.get("/user")
    rest.get("/user")
    nobody.get("/user")
    _walk_git(rest, sha)
    _walk_people(rest, nobody)
    _walk_threads(rest, nobody)
    _walk_pulls(rest, sha)
    _walk_checks(rest, person, sha, run.id)
    _walk_artifacts(rest, nobody, artifact.id)


def _walk_artifacts(rest, nobody, artifact_id):
    artifacts = f"{REPOSITORY}/actions/artifacts"
    for path in (artifacts, f"{artifacts}?name=coven-outbox-1&per_page=1", f"{artifacts}?name=none"):
        nobody.get(path)
    # The zip lies at another host, which is nobody's business here: where it lies is the answer.
    for path in (f"{artifacts}/{artifact_id}/zip", f"{artifacts}/{artifact_id}/tar", f"{artifacts}/1/zip"):
        requests.get(rest.api_url + path, headers=rest.headers, timeout=20, allow_redirects=False)


def _walk_git(rest, sha):
    for path in ("git/ref/heads/main", "git/ref/heads/none", "git/matching-refs/heads/coven", "git/matching-refs/x",
                 f"git/commits/{sha}", f"git/commits/{'0' * 40}", "commits/main", "commits/heads/coven/fix",
                 "commits/nothing", "branches/main", "branches/coven/fix", "branches/none", "contents/README.md",
                 "contents/src/tax.py?ref=coven/fix", "contents/src", "contents/none", "contents/x?ref=none"):  # fmt: skip
        rest.get(f"{REPOSITORY}/{path}")
    assert rest.get(f"{REPOSITORY}/contents/src/tax.py", Accept="application/vnd.github.raw+json").text.startswith(
        "def"
    )


def _walk_people(rest, nobody):
    for login in ("maintainer", "triager", "outsider", "acme", "nobody", "gone", "github-actions[bot]"):
        rest.get(f"{REPOSITORY}/collaborators/{login}/permission")
        rest.get(f"{REPOSITORY}/collaborators/{login}")
    nobody.get(f"{REPOSITORY}/collaborators/maintainer/permission")


def _walk_threads(rest, nobody):
    issue = f"{REPOSITORY}/issues/1"
    for path in (issue, f"{issue}/labels", f"{issue}/comments?per_page=1&page=2", f"{REPOSITORY}/issues/99"):
        nobody.get(path)
    comment = rest.post(f"{issue}/comments", {"body": "one"}).json()["id"]
    for body in ({"body": ""}, {"body": "x" * 65_537}, {"body": 3}, {}, []):
        rest.post(f"{issue}/comments", body)
    rest.get(f"{REPOSITORY}/issues/comments/{comment}")
    rest.patch(f"{REPOSITORY}/issues/comments/{comment}", {"body": "two"})
    rest.get(f"{REPOSITORY}/issues/comments/1")
    rest.post(f"{issue}/labels", {"labels": ["coven:a/b", {"name": "second"}]})
    rest.post(f"{issue}/labels", ["bare"])
    rest.post(f"{issue}/labels", {"labels": "text"})
    rest.delete(f"{issue}/labels/coven%3Aa%2Fb")
    nobody.get(f"{issue}/events?per_page=2")
    rest.get(f"{REPOSITORY}/issues/99/events")
    rest.delete(f"{issue}/labels/absent")
    nobody.post(f"{issue}/labels", {"labels": ["x"]})
    Client(rest.api_url, "unknown").get(issue)
    requests.post(rest.api_url + f"{issue}/labels", data=b"{", headers=rest.headers, timeout=20)


def _walk_pulls(rest, sha):
    pulls = f"{REPOSITORY}/pulls"
    body = {"title": "Fix", "head": "acme:coven/fix", "base": "main", "body": "Closes #1.", "draft": True}
    rest.post(pulls, body | {"head": "none"})
    rest.post(pulls, body | {"title": "x" * 257})
    number = rest.post(pulls, body).json()["number"]
    rest.post(pulls, body)
    for query in ("", "?state=all&head=acme:coven/fix&base=main", "?state=closed"):
        rest.get(pulls + query)
    for path in (f"{pulls}/{number}", f"{pulls}/{number}/files", f"{pulls}/1", f"{REPOSITORY}/issues/{number}"):
        rest.get(path)
    for change in ({"title": "Better", "body": "b"}, {"state": "closed"}, {"state": "open"}, {"base": "none"}):
        rest.patch(f"{pulls}/{number}", change)


def _walk_checks(rest, person, sha, run_id):
    checks = f"{REPOSITORY}/check-runs"
    note = {"path": "a.py", "start_line": 1, "end_line": 1, "annotation_level": "notice", "message": "m"}
    run = rest.post(checks, {"name": "Cody", "head_sha": sha, "external_id": "7-1"}).json()["id"]
    rest.post(checks, {"name": "Cody", "head_sha": "0" * 40})
    rest.post(checks, {"name": "Cody"})
    person.post(checks, {"name": "Cody", "head_sha": sha})
    output = {"title": "t", "summary": "s", "annotations": [note | {"start_column": 1, "end_column": 2, "title": "t"}]}
    rest.patch(f"{checks}/{run}", {"status": "in_progress", "output": output})
    rest.patch(f"{checks}/{run}", {"conclusion": "success", "completed_at": "2026-01-05T09:00:00Z"})
    rest.patch(f"{checks}/{run}", {"output": output | {"annotations": [note] * 51}})
    for path in (f"check-runs/{run}", f"check-runs/{run}/annotations", f"commits/{sha}/check-runs?check_name=Cody",
                 "commits/coven/fix/check-runs?filter=all", "check-runs/1", f"actions/runs/{run_id}",
                 "actions/runs/1"):  # fmt: skip
        rest.get(f"{REPOSITORY}/{path}")


def test_every_route_answers_what_the_description_allows(github, push_branch):
    walk(github, push_branch)
    met = validate_exchanges(github.exchanges)
    assert met == {deviation.name for deviation in DEVIATIONS}, "a known deviation that is not met has to go"


def find_handler(method, path):
    """Return the name of the handler that answers, found in the order in which the server looks."""
    plain = unquote(path.removeprefix("/api"))
    matching = (it for it in OPERATIONS if it.method == method and compile_path(it.path)[0].match(plain))
    return next((operation.handler.__name__ for operation in matching), None)


def test_the_walk_leaves_no_route_out(github, push_branch):
    walk(github, push_branch)
    answered = [exchange for exchange in github.exchanges if 200 <= exchange.status < 400]
    succeeded = {find_handler(exchange.method, exchange.path) for exchange in answered}
    assert succeeded >= {operation.handler.__name__ for operation in OPERATIONS}


def test_there_are_at_most_ten_known_deviations_and_each_has_a_reason():
    assert len(DEVIATIONS) <= 10
    assert all(len(deviation.reason) > 40 for deviation in DEVIATIONS)


def get_shape(path):
    return re.sub(r"\{[^}]*\}", "{}", path)


def test_every_route_is_one_that_github_describes():
    described = {get_shape(path) for path in load_description()["paths"]}
    assert {get_shape(operation.path) for operation in OPERATIONS} <= described


def test_a_wrong_answer_is_found(github):
    """The check itself can fail: an answer that lacks something is a difference."""
    requests.get(f"{github.api_url}/users/maintainer", timeout=20)
    exchange = github.exchanges[-1]
    kept = exchange.response_body
    exchange.response_body = kept.replace(b'"login"', b'"nickname"')
    with pytest.raises(AssertionError, match="login"):
        validate_exchanges([exchange])
    exchange.response_body = kept


def test_a_wrong_payload_is_found():
    payload = build_issues_labeled()
    del payload["issue"]["title"]
    with pytest.raises(AssertionError, match="title"):
        validate_payload("issues$labeled", payload)
