"""The client against a local GitHub that answers late, wrongly, or not at all."""

import time

import pytest

from coven_action.adapters.github_api import GitHubAPI
from coven_action.core.documents import TaskIdentity
from coven_action.core.publication.publication import Annotation
from coven_action.core.publication.status_marker import Status, render_marker
from coven_action.core.publication.targets import BOT_EMAIL
from coven_action.core.redaction.redactor import Redactor
from coven_action.emulator import git_store
from coven_action.errors import GitHubError
from tests.scenario import Scene
from tests.seeded_github import SeededGitHub

redact = Redactor.build(()).redact
STATUS = Status(task=TaskIdentity(repository_id=1, event_name="issues", run_id=7, run_attempt=1), state="working")
BODY = redact(f"{render_marker(STATUS)}\nworking")
PATH = "/repos/acme/billing"


class Client:
    """The client with waits that are recorded rather than waited."""

    def __init__(self, github: SeededGitHub, **facts) -> None:
        self.waits: list[float] = []
        settings = {"token": github.token, "timeout": 2, "backoff": 0.001, "maximum_wait": 2, **facts}
        self.api = GitHubAPI("acme/billing", api_url=github.api_url, sleep=self.waits.append, **settings)


@pytest.fixture
def scene(github, tmp_path):
    return Scene(github, tmp_path)


@pytest.fixture
def client(github):
    return Client(github)


def _create_comment(api, scene):
    api.create_comment(1, BODY)
    return len(scene.repository.issues[1].comments)


def _create_pull_request(api, scene):
    api.create_pull_request(title=redact("Fix"), body=redact("x"), head="topic", base="main")
    return len(scene.repository.pulls)


def _create_check_run(api, scene, annotations=((),)):
    words = {"title": redact("t"), "summary": redact("s"), "text": redact("x")}
    api.create_check_run(
        head_sha=scene.git("rev-parse", "main").strip(), name="Coven", external_id="7-1", conclusion="neutral",
        annotations=annotations, **words,
    )  # fmt: skip
    return len(scene.repository.check_runs)


def _add_labels(api, scene):
    api.add_labels(1, [redact("automated")])
    return len(scene.labels(scene.repository.issues[1]))


POSTS = {
    "comment": (_create_comment, "/comments$"),
    "pull request": (_create_pull_request, "/pulls$"),
    "check": (_create_check_run, "/check-runs$"),
    "labels": (_add_labels, "/labels$"),
}
FAULTS = {
    "500": {"status": 500},
    "502": {"status": 502},
    "a dropped connection": {"drop": True},
    "an answer lost after the deed": {"drop_after": True},
}


@pytest.mark.parametrize("fault", FAULTS.values(), ids=FAULTS)
@pytest.mark.parametrize(("create", "path"), POSTS.values(), ids=POSTS)
def test_what_is_created_is_created_once_whatever_breaks(scene, client, create, path, fault):
    scene.open_issue()
    scene.commit({"x": "x"}, "topic")
    hit = scene.github.faults.add(method="POST", path_regex=path, **fault)

    assert create(client.api, scene) == 1
    assert hit.hits == 1


@pytest.mark.parametrize(("create", "path"), POSTS.values(), ids=POSTS)
def test_what_keeps_breaking_ends_with_an_error(scene, client, create, path):
    scene.open_issue()
    scene.commit({"x": "x"}, "topic")
    hit = scene.github.faults.add(method="POST", path_regex=path, status=503, times=50)

    with pytest.raises(GitHubError) as caught:
        create(client.api, scene)
    assert caught.value.code == "github-unavailable"
    assert hit.hits == 3
    assert len(client.waits) == 2


def test_an_answer_that_comes_too_late_creates_no_second_comment(scene):
    scene.open_issue()
    scene.github.faults.add(method="POST", path_regex="/comments$", delay=1.3)
    client = Client(scene.github, timeout=1)
    client.api._sleep = lambda _: time.sleep(0.8)

    # The first request was given up after a second, and took effect a little later.
    assert _create_comment(client.api, scene) == 1


@pytest.mark.parametrize("fault", [{"status": 500}, {"status": 429}, {"drop": True}, {"drop_after": True}], ids=str)
@pytest.mark.parametrize("method", ["GET", "PATCH", "DELETE"])
def test_what_reads_replaces_or_removes_is_tried_again(scene, client, method, fault):
    issue = scene.open_issue()
    comment = scene.world.add_comment(scene.repository, issue, scene.world.actions_bot, "x")
    scene.world.add_labels(scene.repository, issue, ["coven:fix"])
    scene.github.faults.add(method=method, path_regex="", times=2, **fault)
    deeds = {
        "GET": lambda: client.api.get_thread(1).number == 1,
        "PATCH": lambda: client.api.update_comment(comment.id, redact("y")) or comment.body == "y",
        "DELETE": lambda: client.api.remove_label(1, "coven:fix") or scene.labels(issue) == [],
    }

    assert deeds[method]()


@pytest.mark.parametrize("method", ["GET", "POST"])
@pytest.mark.parametrize("kind", ["primary", "secondary"])
@pytest.mark.parametrize("status", [403, 429])
def test_a_long_rate_limit_ends_at_once_and_is_named(scene, client, method, kind, status):
    scene.open_issue()
    facts = {"status": status, "method": method, "times": 50}
    if kind == "primary":
        hit = scene.github.faults.add_primary_rate_limit(reset=int(time.time()) + 3000, **facts)
    else:
        hit = scene.github.faults.add_secondary_rate_limit(retry_after=900, **facts)

    with pytest.raises(GitHubError) as caught:
        client.api.get_thread(1) if method == "GET" else _create_comment(client.api, scene)
    assert caught.value.code == "rate-limited"
    assert hit.hits == 1
    assert client.waits == []


@pytest.mark.parametrize("method", ["GET", "POST"])
@pytest.mark.parametrize("kind", ["primary", "secondary"])
def test_a_short_rate_limit_is_waited_out(scene, client, method, kind):
    scene.open_issue()
    if kind == "primary":
        hit = scene.github.faults.add_primary_rate_limit(reset=int(time.time()), method=method)
    else:
        hit = scene.github.faults.add_secondary_rate_limit(retry_after=0, method=method)

    assert client.api.get_thread(1).number == 1 if method == "GET" else _create_comment(client.api, scene) == 1
    assert hit.hits == 1
    assert all(wait <= 2 for wait in client.waits)


def test_nothing_that_answers_is_unavailable_and_says_where(tmp_path):
    api = GitHubAPI("acme/billing", token="x", api_url="http://127.0.0.1:9", backoff=0.001, sleep=lambda _: None)

    with pytest.raises(GitHubError) as caught:
        api.get_branch_sha("main")
    assert caught.value.code == "github-unavailable"
    assert caught.value.place == f"GET {PATH}/git/ref/heads/main"


def test_a_token_that_github_does_not_accept_is_named(github):
    with pytest.raises(GitHubError) as caught:
        Client(github, token="ghs_" + "x" * 40).api.get_branch_sha("main")
    assert caught.value.code == "bad-credentials"
    assert "x" * 40 not in caught.value.diagnostics()


def test_a_missing_permission_is_named_with_the_line_to_add(scene):
    scene.open_issue()
    token = scene.world.add_actions_token(scene.repository, {"metadata": "read", "contents": "read"})

    with pytest.raises(GitHubError) as caught:
        _create_comment(Client(scene.github, token=token).api, scene)
    assert caught.value.code == "missing-permission"
    assert "issues: write" in caught.value.remedy


def _ask(question):
    try:
        return question()
    except GitHubError as error:
        return error.code


ODD = {"a list": [], "a text": "x", "a number": 7, "null": None, "an empty object": {}, "no JSON": b"<html>"}


@pytest.mark.parametrize("body", ODD.values(), ids=ODD)
def test_an_answer_that_is_not_githubs_is_an_error_and_no_crash(scene, client, body):
    scene.open_issue()
    scene.github.faults.add(path_regex="", status=200, body=body, times=999)
    questions = (
        lambda: client.api.get_branch_sha("main"),
        lambda: client.api.find_file("x", "main"),
        lambda: client.api.get_thread(1),
        lambda: list(client.api.fetch_comments(1)),
        lambda: client.api.find_branches("coven/issue-1"),
        lambda: client.api.get_head("0" * 40),
        lambda: client.api.find_pull_requests("topic"),
        lambda: client.api.find_changed_paths(1),
        lambda: client.api.find_labeller(1, "bug"),
        lambda: client.api.get_pull_request(1),
        lambda: client.api.find_check_runs("0" * 40, "Coven"),
        lambda: client.api.create_comment(1, BODY),
        lambda: client.api.create_pull_request(title=redact("x"), body=redact("x"), head="topic", base="main"),
    )
    for ask in questions:
        # An empty list is an answer, and anything else is an error with its code; nothing else is raised.
        assert _ask(ask) in ("unexpected-answer", (), [])


def test_all_pages_are_read_in_order(scene, client):
    issue = scene.open_issue()
    for number in range(230):
        scene.world.add_comment(scene.repository, issue, scene.github.outsider, str(number))

    assert [comment.body for comment in client.api.fetch_comments(1)] == [str(number) for number in range(230)]


def test_pages_are_read_no_further_than_needed(scene, client):
    issue = scene.open_issue()
    for number in range(230):
        scene.world.add_comment(scene.repository, issue, scene.github.outsider, str(number))
    before = len(scene.github.requests)

    next(client.api.fetch_comments(1))
    assert len(scene.github.requests) == before + 1


def test_pages_without_end_are_an_error(scene, client, monkeypatch):
    monkeypatch.setattr("coven_action.adapters.github_api.MAXIMUM_PAGES", 2)
    issue = scene.open_issue()
    for number in range(230):
        scene.world.add_comment(scene.repository, issue, scene.github.outsider, str(number))

    with pytest.raises(GitHubError) as caught:
        list(client.api.fetch_comments(1))
    assert caught.value.code == "too-many-pages"


def test_a_comment_with_our_marker_by_somebody_else_does_not_stand_for_ours(scene, client):
    issue = scene.open_issue()
    scene.world.add_comment(scene.repository, issue, scene.github.outsider, str(BODY))
    scene.github.faults.add(method="POST", path_regex="/comments$", drop=True)

    client.api.create_comment(1, BODY)
    assert [comment.user for comment in issue.comments] == [scene.github.outsider, scene.world.actions_bot]


def test_annotations_go_in_the_batches_given(scene, client):
    note = Annotation(path="a", start_line=1, end_line=1, annotation_level="notice", title="t", message="m")
    batches = [[(note, redact("m"))] * 50, [(note, redact("m"))] * 50, [(note, redact("m"))] * 7]

    assert _create_check_run(client.api, scene, batches) == 1
    (check,) = scene.check_runs
    assert len(check.annotations) == 107


@pytest.mark.parametrize("number", [1, 2])
@pytest.mark.parametrize("fault", FAULTS.values(), ids=FAULTS)
def test_no_annotation_appears_twice_or_is_lost_whatever_breaks(scene, client, fault, number):
    batches = [
        [(Annotation(path=f"{batch}-{place}", start_line=1, end_line=1, annotation_level="notice", title="t", message="m"),
          redact("m")) for place in range(size)]
        for batch, size in enumerate((50, 50, 7))
    ]  # fmt: skip
    hit = scene.github.faults.add(method="PATCH", path_regex="/check-runs/", nth=number, **fault)

    assert _create_check_run(client.api, scene, batches) == 1

    (check,) = scene.check_runs
    assert hit.hits == 1
    paths = [annotation["path"] for annotation in check.annotations]
    assert paths == [annotation.path for batch in batches for annotation, _ in batch]


def test_annotations_that_keep_breaking_end_with_an_error(scene, client):
    note = Annotation(path="a", start_line=1, end_line=1, annotation_level="notice", title="t", message="m")
    hit = scene.github.faults.add(method="PATCH", path_regex="/check-runs/", status=503, times=50)

    with pytest.raises(GitHubError) as caught:
        _create_check_run(client.api, scene, [[(note, redact("m"))] * 50, [(note, redact("m"))]])
    assert (caught.value.code, hit.hits) == ("github-unavailable", 3)


def test_whoever_applied_a_label_last_is_found_over_all_pages(scene, client):
    issue = scene.open_issue()
    bot, person, other = scene.world.actions_bot, scene.github.maintainer, scene.github.triager
    assert client.api.find_labeller(1, "coven:needs-review") is None
    for number in range(60):
        scene.world.add_labels(scene.repository, issue, ["Coven:Needs-Review"], person)
        scene.world.remove_label(issue, "coven:needs-review", other)
        scene.world.add_labels(scene.repository, issue, [f"bug-{number}"], other)
    assert client.api.find_labeller(1, "coven:needs-review") == person.id

    scene.world.add_labels(scene.repository, issue, ["coven:needs-review"], bot)
    assert client.api.find_labeller(1, "coven:needs-review") == bot.id
    assert client.api.find_labeller(1, "bug-3") == other.id


def test_an_event_of_a_deleted_account_names_nobody(scene, client):
    scene.open_issue()
    events = [{"event": "labeled", "label": {"name": "bug"}, "actor": None}, {"event": "mentioned", "actor": None}]
    scene.github.faults.add(path_regex="/events", status=200, body=events, times=2)

    assert client.api.find_labeller(1, "bug") is None


def test_the_changed_paths_of_a_pull_request_are_found_with_both_names_of_a_rename(scene, client):
    scene.open_issue()
    answer = [{"filename": "new.json", "previous_filename": "package.json"}, {"filename": "src/tax.py"}]
    scene.github.faults.add(path_regex="/files", status=200, body=answer)
    assert client.api.find_changed_paths(1) == ("new.json", "package.json", "src/tax.py")

    scene.commit({f"texts/{number}": "x" for number in range(130)}, "topic")
    words = {"title": redact("Fix"), "body": redact("x"), "head": "topic", "base": "main"}
    made, _ = client.api.create_pull_request(**words)
    assert len(client.api.find_changed_paths(made.number)) == 130


@pytest.mark.parametrize(("email", "key"), [(BOT_EMAIL, "301/issues/7"), ("maintainer@example.invalid", None)])
def test_a_head_is_ours_only_where_we_committed_it(scene, client, email, key):
    tree, parent = scene.git("rev-parse", "main^{tree}", "main").split()
    lines = f"tree {tree}\nparent {parent}\nauthor a <{BOT_EMAIL}> 1 +0000\ncommitter c <{email}> 1 +0000\n\nFix\n\n"
    content = f"{lines}Coven-Task: 301/issues/7\n".encode()
    made = git_store.run_git(scene.repository.path, "hash-object", "-t", "commit", "-w", "--stdin", content=content)
    scene.git("update-ref", "refs/heads/topic", made.decode().strip())

    head = client.api.get_head(made.decode().strip())
    assert (head.task_key, head.parent_sha) == (key, parent)


def test_a_superseded_check_keeps_its_head(scene, client):
    _create_check_run(client.api, scene)
    (check,) = scene.check_runs
    head = check.head_sha

    (found,) = client.api.find_check_runs(head, "Coven")
    client.api.supersede_check_run(found, title=redact("superseded by 1"), summary=redact("s"))
    assert (check.head_sha, check.conclusion, check.title) == (head, "neutral", "superseded by 1")


def test_a_pull_request_that_is_there_already_is_taken(scene, client):
    scene.commit({"x": "x"}, "topic")
    words = {"title": redact("Fix"), "body": redact("x"), "head": "topic", "base": "main"}
    first, _ = client.api.create_pull_request(**words)

    again, is_draft = client.api.create_pull_request(**words)
    assert (again.number, is_draft) == (first.number, True)


def test_what_does_not_exist_is_none_where_that_is_an_answer(client):
    assert client.api.find_file("absent.yml", "main") is None
    assert client.api.find_permission("nobody-of-this-name") is None
    assert client.api.find_branches("coven/issue-1") == ()
    assert client.api.find_pull_requests("coven/issue-1") == ()
    client.api.remove_label(1, "absent")


@pytest.mark.parametrize("login", ["../../user", "a/b", "x?y=1", "helper[bot]"])
def test_a_login_cannot_change_the_address_of_a_request(github, client, login):
    before = len(github.requests)
    client.api.find_permission(login)

    assert github.requests[before:][0].startswith(f"GET {PATH}/collaborators/")
    assert github.requests[before:][0].endswith("/permission")
