"""The GraphQL part: edits, renames and check rollups, and an error for everything else."""

import pytest
import requests

EDITS = """
query Edits($owner: String!, $name: String!, $number: Int!) {
  repository(owner: $owner, name: $name) {
    issueOrPullRequest(number: $number) {
      __typename
      ... on Issue {
        title
        lastEditedAt
        userContentEdits(first: 10) { totalCount nodes { editedAt editor { login } } }
        timelineItems(itemTypes: [RENAMED_TITLE_EVENT], last: 10) {
          nodes { ... on RenamedTitleEvent { createdAt previousTitle currentTitle actor { login } } }
        }
      }
    }
  }
}
"""
ROLLUP = """{ repository(owner: "acme", name: "billing") { pullRequest(number: 2) { headRefOid
  commits(last: 1) { nodes { commit { oid statusCheckRollup { state contexts(first: 5) {
    nodes { __typename ... on CheckRun { name conclusion } } } } } } } } } }"""


@pytest.fixture
def ask(github):
    def send(query, token=github.token, **variables):
        headers = {"Authorization": f"bearer {token}"} if token else {}
        body = {"query": query, "variables": variables}
        return requests.post(github.graphql_url, json=body, headers=headers, timeout=20)

    return send


@pytest.fixture
def issue(github):
    with github.world.lock:
        return github.world.open_issue(github.repository, github.outsider, "First", "text")


def test_an_untouched_issue_has_no_edits(ask, issue):
    document = ask(EDITS, owner="acme", name="billing", number=1).json()
    found = document["data"]["repository"]["issueOrPullRequest"]
    assert found["__typename"] == "Issue"
    assert found["lastEditedAt"] is None
    assert found["userContentEdits"] == {"totalCount": 0, "nodes": []}
    assert found["timelineItems"] == {"nodes": []}


def test_edits_and_renames_are_told_in_order(github, ask, issue):
    with github.world.lock:
        github.world.edit_issue(issue, github.maintainer, title="Second")
        github.world.edit_issue(issue, github.maintainer, title="Third", body="other text")
    found = ask(EDITS, owner="acme", name="billing", number=1).json()["data"]["repository"]["issueOrPullRequest"]
    assert found["lastEditedAt"].endswith("Z")
    assert found["userContentEdits"]["totalCount"] == 2, "the creation counts once there is an edit"
    assert found["userContentEdits"]["nodes"][0]["editor"] == {"login": "maintainer"}
    titles = [(node["previousTitle"], node["currentTitle"]) for node in found["timelineItems"]["nodes"]]
    assert titles == [("First", "Second"), ("Second", "Third")]


def test_a_comment_is_found_by_the_node_id_of_the_rest_interface(github, ask, issue):
    with github.world.lock:
        comment = github.world.add_comment(github.repository, issue, github.outsider, "/coven fix")
    document = requests.get(f"{github.api_url}/repos/acme/billing/issues/comments/{comment.id}", timeout=20).json()
    query = "query($id: ID!) { node(id: $id) { ... on IssueComment { databaseId lastEditedAt } } }"
    assert ask(query, id=document["node_id"]).json()["data"]["node"] == {
        "databaseId": comment.id,
        "lastEditedAt": None,
    }


@pytest.mark.parametrize(
    ("query", "message"),
    [
        ('{ repository(owner: "acme", name: "billing") { stars } }', "doesn't exist on type 'Repository'"),
        ('{ repository(owner: "acme", name: "other") { id } }', "Could not resolve to a Repository"),
        ('{ repository(owner: "acme", name: "billing") { issue(number: 9) { title } } }', "Could not resolve"),
        ('{ repository(owner: "acme", name: "billing") { issue(number: 1) { comments { totalCount } } } }', "first"),
        ('{ repository(owner: "acme", name: "billing") { issue(number: 1) } }', "must have selections"),
        ("mutation { addComment { id } }", "only queries"),
        ("{ viewer { login } } fragment F on User { id }", "without named fragments"),
        ("{ viewer { login ", "end of the query"),
        ("{ viewer { login } ; }", "Expected one of the known symbols"),
        ("{" + "a{" * 60, "nested too deeply"),
        ('query($n: Int!) { repository(owner: $o, name: "x") { id } }', "provided no value"),
    ],
)
def test_what_is_not_known_is_an_error_and_never_an_empty_answer(ask, issue, query, message):
    document = ask(query).json()
    assert message in document["errors"][0]["message"]
    assert not document.get("data")


def test_nobody_asks_without_a_token(ask):
    assert ask("{ viewer { login } }", token=None).status_code == 401
    assert ask("{ viewer { login } }", token="wrong").status_code == 401


def test_a_client_that_derives_the_address_from_the_rest_interface_finds_it(github):
    import github as pygithub

    client = pygithub.Github(base_url=github.api_url, auth=pygithub.Auth.Token(github.token), retry=0)
    _, document = client.requester.graphql_query("query { viewer { login } }", {})
    assert document["data"]["viewer"]["login"] == "github-actions"


def test_the_rollup_follows_the_check_runs_of_the_head(github, ask, issue, push_branch, rest):
    sha = push_branch("topic", {"src/tax.py": "x = 1\n"})
    rest.post("/repos/acme/billing/pulls", {"title": "T", "head": "topic", "base": "main"})
    commit = {"oid": sha, "statusCheckRollup": None}
    found = ask(ROLLUP).json()["data"]["repository"]["pullRequest"]
    assert found == {"headRefOid": sha, "commits": {"nodes": [{"commit": commit}]}}
    run = rest.post("/repos/acme/billing/check-runs", {"name": "Cody", "head_sha": sha}).json()
    states = []
    for change in ({}, {"conclusion": "neutral"}, {"conclusion": "failure"}):
        rest.patch(f"/repos/acme/billing/check-runs/{run['id']}", change)
        pull = ask(ROLLUP).json()["data"]["repository"]["pullRequest"]
        states.append(pull["commits"]["nodes"][0]["commit"]["statusCheckRollup"]["state"])
    assert states == ["PENDING", "SUCCESS", "FAILURE"]
