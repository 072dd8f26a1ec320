"""The webhook payloads hold what GitHub's published schemas ask for."""

import pytest

from tests import payloads
from tests.github_description import validate_payload


@pytest.mark.parametrize(
    ("definition", "payload"),
    [
        ("issues$labeled", payloads.build_issues_labeled()),
        ("issues$labeled", payloads.build_issues_labeled(body=None, private=True, author="outsider")),
        ("issues$assigned", payloads.build_issues_assigned()),
        ("issue_comment$created", payloads.build_issue_comment_created()),
        ("issue_comment$created", payloads.build_issue_comment_created(pull_request=True)),
        ("issue_comment$created", payloads.build_issue_comment_created(pull_request=True, fork=True)),
        ("issue_comment$created", payloads.build_issue_comment_created(sender="some[bot]", sender_type="Bot")),
        ("workflow_dispatch$event", payloads.build_workflow_dispatch()),
    ],
)
def test_a_payload_is_what_the_published_schema_describes(definition, payload):
    validate_payload(definition, payload)


def test_a_comment_on_a_pull_request_says_so_by_the_key_pull_request_only():
    on_issue = payloads.build_issue_comment_created()
    on_pull_request = payloads.build_issue_comment_created(pull_request=True)
    assert "pull_request" not in on_issue["issue"]
    assert on_pull_request["issue"]["pull_request"]["url"].endswith("/pulls/42")


def test_the_state_of_a_server_gives_payloads_of_the_same_shape(github):
    from coven_action.emulator.payloads import build_issues_labeled

    with github.world.lock:
        issue = github.world.open_issue(github.repository, github.outsider, "Bug", "text", ("coven:fix",))
        payload = build_issues_labeled(github.world, github.repository, issue, issue.labels[0], github.maintainer)
    validate_payload("issues$labeled", payload)
    assert payload["sender"]["id"] == github.maintainer.id
    assert payload["repository"]["url"] == f"{github.api_url}/repos/acme/billing"
