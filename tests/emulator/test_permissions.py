"""Who may do what: tokens, permissions, and the answers about collaborators that the trust rule is built on."""

import base64

import pytest

from tests.emulator.client import Client

REPOSITORY = "/repos/acme/billing"
ISSUE = f"{REPOSITORY}/issues/1"


@pytest.fixture(autouse=True)
def issue(github):
    with github.world.lock:
        return github.world.open_issue(github.repository, github.outsider, "Bug", "text")


@pytest.mark.parametrize(
    ("role", "permission", "granted"),
    [
        ("admin", "admin", "admin maintain push triage pull"),
        ("maintain", "write", "maintain push triage pull"),
        ("write", "write", "push triage pull"),
        ("triage", "read", "triage pull"),
        ("read", "read", "pull"),
        ("none", "none", ""),
    ],
)
def test_the_booleans_tell_what_the_word_folds(github, rest, role, permission, granted):
    github.world.add_collaborator(github.repository, "person", role)
    answer = rest.get(f"{REPOSITORY}/collaborators/person/permission").json()
    assert answer["permission"] == permission
    assert answer["role_name"] == role
    assert {name for name, value in answer["user"]["permissions"].items() if value} == set(granted.split())


def test_a_custom_role_shows_its_name_only_as_role_name(github, rest):
    github.world.add_collaborator(github.repository, "person", "triage", "security-lead")
    answer = rest.get(f"{REPOSITORY}/collaborators/person/permission").json()
    assert (answer["permission"], answer["role_name"]) == ("read", "security-lead")
    assert answer["user"]["permissions"]["push"] is False


def test_on_a_public_repository_everybody_has_read_and_only_collaborators_are_collaborators(rest):
    answer = rest.get(f"{REPOSITORY}/collaborators/outsider/permission").json()
    assert answer["permission"] == "read"
    assert rest.get(f"{REPOSITORY}/collaborators/outsider").status_code == 404
    assert rest.get(f"{REPOSITORY}/collaborators/triager").status_code == 204


def test_on_a_private_repository_a_stranger_has_none(github):
    hidden = github.seed_repository("acme", "hidden", {"a": "b"}, private=True)
    client = Client(github.api_url, github.world.add_actions_token(hidden))
    assert client.get("/repos/acme/hidden/collaborators/outsider/permission").json()["permission"] == "none"


def test_the_owner_is_admin(github):
    own = github.seed_repository("someone", "own", {"a": "b"}, organization=False)
    client = Client(github.api_url, github.world.add_actions_token(own))
    assert client.get("/repos/someone/own/collaborators/someone/permission").json()["permission"] == "admin"


@pytest.mark.parametrize("login", ["nobody", "github-actions[bot]", "acme"])
def test_who_is_no_user_is_not_found(rest, login):
    assert rest.get(f"{REPOSITORY}/collaborators/{login}/permission").status_code == 404


def test_after_a_renaming_the_old_login_belongs_to_another_id(github, rest):
    old = github.maintainer.id
    github.world.rename_user("maintainer", "moved")
    github.world.add_user("maintainer")
    taken = rest.get(f"{REPOSITORY}/collaborators/maintainer/permission").json()
    moved = rest.get(f"{REPOSITORY}/collaborators/moved/permission").json()
    assert taken["user"]["id"] != old
    assert taken["permission"] == "read"
    assert (moved["user"]["id"], moved["permission"]) == (old, "write")


def test_logins_differ_in_more_than_case(rest):
    assert rest.get(f"{REPOSITORY}/collaborators/MAINTAINER/permission").json()["user"]["login"] == "maintainer"


@pytest.mark.parametrize(
    ("method", "path", "body", "missing"),
    [
        ("POST", f"{ISSUE}/comments", {"body": "x"}, "issues=write; pull_requests=write"),
        ("POST", f"{ISSUE}/labels", {"labels": ["x"]}, "issues=write; pull_requests=write"),
        ("DELETE", f"{ISSUE}/labels/x", None, "issues=write; pull_requests=write"),
        ("POST", f"{REPOSITORY}/pulls", {"title": "t", "head": "h", "base": "main"}, "pull_requests=write"),
        ("POST", f"{REPOSITORY}/check-runs", {"name": "n", "head_sha": "0" * 40}, "checks=write"),
    ],
)
def test_a_missing_permission_is_refused_and_named(github, method, path, body, missing):
    client = Client(github.api_url, github.world.add_actions_token(github.repository, {"contents": "write"}))
    refused = client.send(method, path, body)
    assert refused.status_code == 403
    assert refused.json()["message"] == "Resource not accessible by integration"
    assert refused.headers["X-Accepted-GitHub-Permissions"] == missing


def test_public_data_is_read_with_any_token_and_private_data_only_with_the_permission(github):
    client = Client(github.api_url, github.world.add_actions_token(github.repository, {"contents": "read"}))
    assert client.get(ISSUE).status_code == 200
    hidden = github.seed_repository("acme", "hidden", {"a": "b"}, private=True)
    with github.world.lock:
        github.world.open_issue(hidden, github.maintainer, "Secret")
    token = github.world.add_actions_token(hidden, {"contents": "read"})
    assert Client(github.api_url, token).get("/repos/acme/hidden/issues/1").status_code == 403
    assert Client(github.api_url, token).get("/repos/acme/hidden/contents/a").status_code == 200
    assert client.get("/repos/acme/hidden").status_code == 404, "what may not be seen is not there"
    assert Client(github.api_url).get("/repos/acme/hidden").status_code == 404


def test_a_token_of_another_repository_changes_nothing_here(github):
    other = github.seed_repository("acme", "other", {"a": "b"})
    client = Client(github.api_url, github.world.add_actions_token(other))
    assert client.post(f"{ISSUE}/comments", {"body": "x"}).status_code == 403


@pytest.mark.parametrize("scheme", ["Bearer {}", "token {}", "bearer {}"])
def test_a_token_is_taken_in_every_scheme_that_github_takes(github, scheme):
    client = Client(github.api_url)
    assert (
        client.get(f"{REPOSITORY}/collaborators/triager", Authorization=scheme.format(github.token)).status_code == 204
    )
    basic = base64.b64encode(f"x-access-token:{github.token}".encode()).decode()
    assert client.get(f"{REPOSITORY}/collaborators/triager", Authorization=f"Basic {basic}").status_code == 204


@pytest.mark.parametrize("header", ["Bearer unknown", "Basic !!!", "Basic eDp5", "Digest x", "Bearer", "x"])
def test_an_unknown_token_is_refused_even_for_public_data(github, header):
    refused = Client(github.api_url).get(ISSUE, Authorization=header)
    assert refused.status_code == 401
    assert refused.json()["message"] == "Bad credentials"


def test_without_a_token_public_data_is_read_and_nothing_is_written(github):
    nobody = Client(github.api_url)
    assert nobody.get(ISSUE).status_code == 200
    assert nobody.post(f"{ISSUE}/comments", {"body": "x"}).status_code == 401
    assert nobody.get(f"{REPOSITORY}/collaborators/triager/permission").status_code == 401


def test_a_person_comments_with_read_and_labels_with_push(github):
    person = Client(github.api_url, github.world.add_personal_token("outsider"))
    assert person.post(f"{ISSUE}/comments", {"body": "x"}).status_code == 201
    assert person.post(f"{ISSUE}/labels", {"labels": ["x"]}).status_code == 403
    assert person.get(f"{REPOSITORY}/collaborators/triager/permission").status_code == 403
    assert person.post(f"{REPOSITORY}/check-runs", {}).status_code == 403
    writer = Client(github.api_url, github.world.add_personal_token("maintainer"))
    assert writer.post(f"{ISSUE}/labels", {"labels": ["x"]}).status_code == 200
    assert writer.get("/user").json()["id"] == github.maintainer.id


def test_a_person_edits_their_own_comment_and_a_writer_every_one(github, rest):
    person = Client(github.api_url, github.world.add_personal_token("outsider"))
    writer = Client(github.api_url, github.world.add_personal_token("maintainer"))
    foreign = rest.post(f"{ISSUE}/comments", {"body": "x"}).json()["url"]
    own = person.post(f"{ISSUE}/comments", {"body": "x"}).json()["url"]
    assert person.patch(own, {"body": "y"}).status_code == 200
    assert person.patch(foreign, {"body": "y"}).status_code == 403
    assert writer.patch(foreign, {"body": "y"}).status_code == 200


def test_an_actions_token_acts_as_the_bot_and_is_no_user(github, rest):
    assert rest.get("/user").status_code == 403
    comment = rest.post(f"{ISSUE}/comments", {"body": "x"}).json()
    assert (comment["user"]["id"], comment["user"]["login"]) == (41898282, "github-actions[bot]")


def test_every_answer_says_what_is_left_of_the_hour_and_a_used_up_one_refuses(github, rest):
    headers = rest.get(REPOSITORY).headers
    assert (headers["X-RateLimit-Limit"], headers["X-RateLimit-Remaining"]) == ("1000", "999")
    github.world.tokens[github.token].used = 1000
    refused = rest.get(REPOSITORY)
    assert refused.status_code == 403
    assert refused.headers["X-RateLimit-Remaining"] == "0"
    assert int(refused.headers["X-RateLimit-Reset"]) > 0
    assert rest.get("/rate_limit").json()["rate"]["remaining"] == 0
