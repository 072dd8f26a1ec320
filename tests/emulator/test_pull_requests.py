"""Pull requests over REST: what may be opened, and how they follow their branches."""

import pytest

from coven_action.emulator import git_store
from tests.emulator.client import Client

PULLS = "/repos/acme/billing/pulls"
BODY = {"title": "Fix", "head": "topic", "base": "main", "body": "b"}


@pytest.fixture
def topic(push_branch):
    return push_branch("topic", {"src/tax.py": "x = 1\n"})


@pytest.fixture
def pull(rest, topic):
    return rest.post(PULLS, BODY | {"draft": True}).json()


def get_message(answer):
    document = answer.json()
    return document["errors"][0]["message"] if "errors" in document else document["message"]


def test_a_draft_is_opened_by_the_bot_on_the_pushed_head(rest, topic, pull):
    assert pull["draft"] is True
    assert pull["head"]["sha"] == topic
    assert pull["user"]["id"] == 41898282
    assert (pull["additions"], pull["deletions"], pull["changed_files"], pull["commits"]) == (1, 2, 1, 1)
    assert (
        rest.get(f"/repos/acme/billing/issues/{pull['number']}").json()["pull_request"]["html_url"] == pull["html_url"]
    )


def test_a_second_one_for_the_same_branches_is_refused_until_the_first_is_closed(rest, pull):
    again = rest.post(PULLS, BODY)
    assert again.status_code == 422
    assert get_message(again) == "A pull request already exists for acme:topic."
    rest.patch(f"{PULLS}/{pull['number']}", {"state": "closed"})
    assert rest.post(PULLS, BODY).status_code == 201


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"head": "none"}, "head is invalid"),
        ({"head": "stranger:topic"}, "head is invalid"),
        ({"base": "none"}, "base is invalid"),
        ({"head": "main"}, "No commits between main and main"),
        ({"title": "x" * 257}, "title is too long (maximum is 256 characters)"),
        ({"body": "x" * 65_537}, "body is too long (maximum is 65536 characters)"),
        ({"title": None}, 'Invalid request.\n\n"title" wasn\'t supplied.'),
        ({"draft": "yes"}, "Invalid request.\n\nFor 'properties/draft', 'yes' is not a boolean."),
    ],
)
def test_what_github_refuses_is_refused_in_its_words(rest, topic, change, message):
    refused = rest.post(PULLS, BODY | change)
    assert refused.status_code == 422
    assert get_message(refused) == message


def test_where_drafts_are_not_offered_only_a_draft_is_refused(github, rest, topic):
    github.repository.offers_drafts = False
    refused = rest.post(PULLS, BODY | {"draft": True})
    assert refused.status_code == 422
    assert get_message(refused) == "Draft pull requests are not supported in this repository."
    assert rest.post(PULLS, BODY).status_code == 201


def test_the_switch_of_the_repository_stops_actions_and_no_person(github, rest, topic):
    github.repository.actions_may_create_pull_requests = False
    refused = rest.post(PULLS, BODY)
    assert refused.status_code == 403
    assert get_message(refused) == "GitHub Actions is not permitted to create or approve pull requests."
    person = Client(github.api_url, github.world.add_personal_token("maintainer"))
    assert person.post(PULLS, BODY).status_code == 201


def test_the_list_is_filtered_by_state_head_and_base(rest, push_branch, pull):
    push_branch("other", {"x": "y"})
    rest.post(PULLS, BODY | {"head": "other"})
    assert [item["head"]["ref"] for item in rest.get(PULLS).json()] == ["other", "topic"]
    assert [item["head"]["ref"] for item in rest.get(f"{PULLS}?head=acme:topic").json()] == ["topic"]
    assert rest.get(f"{PULLS}?head=acme:topic&base=none").json() == []
    assert rest.get(f"{PULLS}?state=closed").json() == []
    assert len(rest.get(f"{PULLS}?state=all").json()) == 2


def test_the_head_follows_a_push(rest, push_branch, pull):
    moved = push_branch("topic", {"more": "x"})
    assert rest.get(f"{PULLS}/{pull['number']}").json()["head"]["sha"] == moved


def test_a_removed_branch_closes_it_and_its_head_stays_readable(github, rest, topic, pull):
    git_store.run_git(github.repository.path, "update-ref", "-d", "refs/heads/topic")
    closed = rest.get(f"{PULLS}/{pull['number']}").json()
    assert (closed["state"], closed["merged"], closed["head"]["sha"]) == ("closed", False, topic)
    assert rest.get(f"{PULLS}/{pull['number']}/files").json()[0]["filename"] == "src/tax.py"
    assert rest.patch(f"{PULLS}/{pull['number']}", {"state": "open"}).status_code == 422


def test_a_base_that_received_the_head_merges_it(github, rest, topic, pull):
    git_store.run_git(github.repository.path, "update-ref", "refs/heads/main", topic)
    merged = rest.get(f"{PULLS}/{pull['number']}").json()
    assert (merged["state"], merged["merged"], merged["merge_commit_sha"]) == ("closed", True, topic)
    assert merged["changed_files"] == 1, "a merged pull request still shows what it changed"


def test_a_base_that_moves_on_leaves_it_open_with_the_same_changes(rest, push_branch, pull):
    push_branch("main", {"other": "x"})
    found = rest.get(f"{PULLS}/{pull['number']}").json()
    assert (found["state"], found["changed_files"], found["commits"]) == ("open", 1, 1)


def test_a_fork_brings_its_own_head(github, rest, push_branch):
    fork = github.world.fork_repository(github.repository, "outsider")
    sha = push_branch("topic", {"x": "y"}, repository=fork)
    person = Client(github.api_url, github.world.add_personal_token("maintainer"))
    pull = person.post(PULLS, BODY | {"head": "outsider:topic"}).json()
    assert pull["head"]["repo"]["full_name"] == "outsider/billing"
    assert pull["head"]["sha"] == sha
    assert git_store.resolve_commit(github.repository.path, "refs/heads/topic") is None
    assert rest.get(f"{PULLS}/{pull['number']}/files").json()[0]["filename"] == "x"


def test_title_and_body_are_edited_in_place(rest, pull):
    edited = rest.patch(f"{PULLS}/{pull['number']}", {"title": "Better", "body": "more"}).json()
    assert (edited["title"], edited["body"], edited["number"]) == ("Better", "more", pull["number"])
