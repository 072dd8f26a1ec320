"""Artifacts over REST: listed by name, downloaded from another host with no token."""

from datetime import timedelta

import pytest
import requests

from tests.emulator.client import Client

ARTIFACTS = "/repos/acme/billing/actions/artifacts"


@pytest.fixture
def run(github):
    return github.world.add_workflow_run(github.repository, github.maintainer, "issues")


@pytest.fixture
def add(github, run):
    def add(name="coven-outbox-1", content=b"PK", **facts):
        return github.world.add_artifact(github.repository, run, name, content, **facts)

    return add


def test_artifacts_are_listed_newest_first_by_exact_name(rest, add, run):
    first, _, last = add(), add("coven-outbox-11"), add()

    listed = rest.get(f"{ARTIFACTS}?name=coven-outbox-1").json()

    assert listed["total_count"] == 2
    assert [artifact["id"] for artifact in listed["artifacts"]] == [last.id, first.id]
    assert listed["artifacts"][0]["workflow_run"]["id"] == run.id
    assert rest.get(f"{ARTIFACTS}?per_page=1").json()["total_count"] == 3


def test_a_download_is_a_redirection_to_another_host_that_takes_no_token(rest, add):
    artifact = add(content=b"zip")

    redirected = requests.get(
        f"{rest.api_url}{ARTIFACTS}/{artifact.id}/zip", headers=rest.headers, allow_redirects=False, timeout=20
    )

    assert redirected.status_code == 302
    address = redirected.headers["location"]
    assert address.startswith("http://localhost:")
    assert requests.get(address, timeout=20).content == b"zip"
    assert requests.get(address, headers=rest.headers, timeout=20).status_code == 403
    assert requests.get(address[:-1], timeout=20).status_code == 403


def test_an_address_is_good_for_a_minute(github, rest, add):
    url = f"{rest.api_url}{ARTIFACTS}/{add().id}/zip"
    address = requests.get(url, headers=rest.headers, allow_redirects=False, timeout=20).headers["location"]
    now = github.world.clock()
    github.world.clock = lambda: now + timedelta(minutes=2)

    assert requests.get(address, timeout=20).status_code == 403


def test_what_has_expired_is_listed_and_gone(rest, add):
    artifact = add(lifetime=timedelta(seconds=-1))

    assert rest.get(ARTIFACTS).json()["artifacts"][0]["expired"] is True
    assert rest.get(f"{ARTIFACTS}/{artifact.id}/zip").status_code == 410
    assert rest.get(f"{ARTIFACTS}/999999/zip").status_code == 404


def test_nobody_downloads_without_the_permission(github, add):
    artifact = add()
    weak = Client(github.api_url, github.world.add_actions_token(github.repository, {"contents": "read"}))

    assert weak.get(f"{ARTIFACTS}/{artifact.id}/zip").status_code == 403
    assert Client(github.api_url).get(f"{ARTIFACTS}/{artifact.id}/zip").status_code == 401
