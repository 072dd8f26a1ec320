"""Issues, comments and labels over REST."""

import pytest
import requests

ISSUE = "/repos/acme/billing/issues/1"


@pytest.fixture(autouse=True)
def issue(github):
    with github.world.lock:
        return github.world.open_issue(github.repository, github.outsider, "Bug", "text", ("coven:fix",))


def test_comments_come_in_pages_that_lead_to_one_another(github, rest, issue):
    with github.world.lock:
        for number in range(205):
            github.world.add_comment(github.repository, issue, github.outsider, str(number))
    first = rest.get(f"{ISSUE}/comments?per_page=100")
    assert [comment["body"] for comment in first.json()] == [str(number) for number in range(100)]
    assert set(first.links) == {"next", "last"}
    second = rest.get(first.links["next"]["url"])
    assert set(second.links) == {"first", "prev", "next", "last"}
    third = rest.get(second.links["next"]["url"])
    assert [comment["body"] for comment in third.json()] == [str(number) for number in range(200, 205)]
    assert set(third.links) == {"first", "prev"}
    assert len(rest.get(f"{ISSUE}/comments?per_page=1000").json()) == 100
    assert len(rest.get(f"{ISSUE}/comments").json()) == 30


def test_a_comment_is_edited_in_place(rest):
    comment = rest.post(f"{ISSUE}/comments", {"body": "one"}).json()
    edited = rest.patch(comment["url"], {"body": "two"}).json()
    assert (edited["id"], edited["body"]) == (comment["id"], "two")
    assert [item["body"] for item in rest.get(f"{ISSUE}/comments").json()] == ["two"]


@pytest.mark.parametrize("length", [65_536, 65_537])
def test_a_comment_has_at_most_65536_characters(rest, length):
    answer = rest.post(f"{ISSUE}/comments", {"body": "ü" * length})
    assert answer.status_code == (201 if length <= 65_536 else 422)
    if answer.status_code == 422:
        assert "maximum is 65536" in answer.json()["errors"][0]["message"]


@pytest.mark.parametrize("name", ["coven:fix", "coven:a/b", "a b?#%", "ünï", "UPPER"])
def test_labels_of_every_name_are_put_on_and_taken_off(rest, name):
    from urllib.parse import quote

    names = [label["name"] for label in rest.post(f"{ISSUE}/labels", {"labels": [name]}).json()]
    assert name in names
    assert [label["name"] for label in rest.get(f"{ISSUE}/labels").json()] == names
    left = rest.delete(f"{ISSUE}/labels/{quote(name, safe='')}")
    assert name not in [label["name"] for label in left.json()]
    assert rest.delete(f"{ISSUE}/labels/{quote(name, safe='')}").status_code == 404


def test_a_label_is_put_on_once_whatever_its_case(rest):
    labels = rest.post(f"{ISSUE}/labels", {"labels": ["Coven:Fix", "coven:fix"]}).json()
    assert [label["name"] for label in labels] == ["coven:fix"]


def test_the_events_of_a_thread_say_who_applied_and_removed_which_label(rest, github):
    github.world.add_labels(github.repository, github.repository.issues[1], ["coven:draft"], github.maintainer)
    rest.post(f"{ISSUE}/labels", {"labels": ["coven:draft", "coven:late"]})
    rest.delete(f"{ISSUE}/labels/coven:draft")

    events = rest.get(f"{ISSUE}/events").json()
    bot = github.world.actions_bot.id
    assert [(event["event"], event["label"]["name"], event["actor"]["id"]) for event in events][-3:] == [
        ("labeled", "coven:draft", github.maintainer.id),
        ("labeled", "coven:late", bot),
        ("unlabeled", "coven:draft", bot),
    ]


@pytest.mark.parametrize("body", [b"{", b"[" * 100_000, b'{"body": NaN}', b'{"body": "\\ud800"}', b"\xff"])
def test_what_is_no_json_text_is_refused(rest, body):
    answer = requests.post(f"{rest.api_url}{ISSUE}/comments", data=body, headers=rest.headers, timeout=20)
    assert answer.status_code == 400


@pytest.mark.parametrize("body", [None, [], {}, {"body": None}, {"body": 1}, {"body": "  "}])
def test_a_comment_without_a_text_is_refused(rest, body):
    assert rest.post(f"{ISSUE}/comments", body).status_code == 422


@pytest.mark.parametrize("path", ["/issues/2", "/issues/999999999999999999999999", "/issues/comments/7"])
def test_what_is_not_there_is_not_found_in_json(rest, path):
    answer = rest.get(f"/repos/acme/billing{path}")
    assert answer.status_code == 404
    assert answer.json()["message"] == "Not Found"


@pytest.mark.parametrize(
    "path", ["contents/%00", "contents/..%2f..%2fx", "git/ref/heads/%00", "commits/%00", "branches/-x"]
)
def test_hostile_paths_are_not_found(rest, path):
    assert rest.get(f"/repos/acme/billing/{path}").status_code in {404, 422}
