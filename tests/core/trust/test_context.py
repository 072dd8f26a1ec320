"""The job's own variables: GitHub's, or refused."""

import pytest

from coven_action.core.documents import TaskIdentity
from coven_action.core.trust.context import parse_job_context
from coven_action.errors import EnvironmentFault

JOB = {
    "GITHUB_EVENT_NAME": "issues",
    "GITHUB_REPOSITORY": "acme/billing",
    "GITHUB_REPOSITORY_ID": "301",
    "GITHUB_RUN_ID": "1001",
    "GITHUB_RUN_ATTEMPT": "2",
    "GITHUB_SERVER_URL": "https://github.com",
    "GITHUB_API_URL": "https://api.github.com",
}


def test_a_job_is_described_by_githubs_variables():
    context = parse_job_context({**JOB, "UNRELATED": "x"})

    assert context.repository == "acme/billing"
    assert context.task == TaskIdentity(repository_id=301, event_name="issues", run_id=1001, run_attempt=2)
    assert (context.server.server_url, context.server.api_url) == ("https://github.com", "https://api.github.com")


@pytest.mark.parametrize(
    ("name", "value", "shown"),
    [
        ("GITHUB_SERVER_URL", "http://127.0.0.1:8765/", "http://127.0.0.1:8765"),
        ("GITHUB_SERVER_URL", "https://github.example.com/X", "https://github.example.com/X"),
        ("GITHUB_SERVER_URL", "https://github.example.com", "https://github.example.com"),
        ("GITHUB_API_URL", "https://github.example.com/api/v3", "https://github.example.com/api/v3"),
    ],
)
def test_other_servers_are_taken_as_they_are(name, value, shown):
    server = parse_job_context({**JOB, name: value}).server

    assert shown in {server.server_url, server.api_url}


@pytest.mark.parametrize("name", ["x", "x" * 50, "workflow_dispatch"])
def test_an_events_name_has_one_to_fifty_letters(name):
    assert parse_job_context({**JOB, "GITHUB_EVENT_NAME": name}).event_name == name


@pytest.mark.parametrize("name", JOB)
@pytest.mark.parametrize("given", [None, ""])
def test_a_missing_variable_is_named(name, given):
    environment = {key: value for key, value in JOB.items() if key != name}
    if given is not None:
        environment[name] = given

    with pytest.raises(EnvironmentFault, match=f"{name} is not set") as caught:
        parse_job_context(environment)
    assert caught.value.code == "missing-environment"


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("GITHUB_REPOSITORY", "acme"),
        ("GITHUB_REPOSITORY", "acme/billing/x"),
        ("GITHUB_REPOSITORY", "acme/bil ling"),
        ("GITHUB_REPOSITORY", "acme/billing\n"),
        ("GITHUB_REPOSITORY", "acme/billing?x=1"),
        ("GITHUB_REPOSITORY_ID", "0"),
        ("GITHUB_REPOSITORY_ID", "01"),
        ("GITHUB_REPOSITORY_ID", "-1"),
        ("GITHUB_REPOSITORY_ID", "3.0"),
        ("GITHUB_RUN_ID", "1001\n"),
        ("GITHUB_RUN_ID", "\u0661"),
        ("GITHUB_RUN_ID", "9" * 20),
        ("GITHUB_RUN_ATTEMPT", "0"),
        ("GITHUB_RUN_ATTEMPT", "x"),
        ("GITHUB_EVENT_NAME", "issues -->"),
        ("GITHUB_EVENT_NAME", "Issues"),
        ("GITHUB_EVENT_NAME", "issues\n"),
        ("GITHUB_EVENT_NAME", "x" * 51),
        ("GITHUB_SERVER_URL", "github.com"),
        ("GITHUB_SERVER_URL", "ftp://github.com"),
        ("GITHUB_SERVER_URL", "https://user@github.com"),
        ("GITHUB_SERVER_URL", "https://github.com?x"),
        ("GITHUB_SERVER_URL", "https://github.com\n"),
        ("GITHUB_API_URL", "https://"),
        ("GITHUB_API_URL", "file:///etc"),
        ("GITHUB_API_URL", "https://api.github.com/#x"),
    ],
)
def test_a_variable_that_is_not_what_github_sets_is_refused(name, value):
    with pytest.raises(EnvironmentFault, match=name) as caught:
        parse_job_context({**JOB, name: value})
    assert caught.value.code == "missing-environment"


def test_a_hostile_value_is_shown_in_part():
    with pytest.raises(EnvironmentFault) as caught:
        parse_job_context({**JOB, "GITHUB_RUN_ID": "x" * 100_000})
    assert len(caught.value.message) < 200
