"""The status comment is ours with the marker and an own author id; its content is untrusted all the same."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from coven_action.core.documents import TaskIdentity
from coven_action.core.publication.status_marker import (
    REMEMBERED_TASKS,
    Status,
    ThreadComment,
    add_beside,
    find_status_comment,
    parse_marker,
    render_marker,
)
from coven_action.core.trust.trust import GITHUB_ACTIONS_BOT_ID, OWN_IDS
from tests.core.samples import TASK
from tests.fuzzing import examples

STATUS = Status(task=TASK, state="published", branch="coven/issue-42", head_sha="a" * 40, pull_request=7)
MARKER = render_marker(STATUS)
PREFIX = "<!-- coven-action:status "


def comment(comment_id, body, user_id: int | None = GITHUB_ACTIONS_BOT_ID):
    user = None if user_id is None else {"id": user_id, "login": "github-actions[bot]", "type": "Bot"}
    return ThreadComment.model_validate({"id": comment_id, "body": body, "user": user})


IDS = st.integers(1, 2**63)
KEYS = st.builds("{}/{}/{}".format, IDS, st.from_regex(r"[a-z_]{1,50}", fullmatch=True), IDS)
STATUSES = st.builds(
    Status,
    task=st.builds(
        TaskIdentity,
        repository_id=IDS,
        event_name=st.from_regex(r"[a-z_]{1,50}", fullmatch=True),
        run_id=IDS,
        run_attempt=IDS,
    ),
    state=st.sampled_from(["working", "published", "failed", "declined", "nothing"]),
    branch=st.none() | st.from_regex(r"coven/issue-[1-9][0-9]{0,8}(-[1-9][0-9]{0,11})?", fullmatch=True),
    head_sha=st.none() | st.from_regex(r"[0-9a-f]{40}", fullmatch=True),
    pull_request=st.none() | IDS,
    check_run_id=st.none() | IDS,
    conclusion=st.sampled_from([None, "neutral", "failure", "action_required", "success"]),
    earlier=st.lists(KEYS, max_size=REMEMBERED_TASKS).map(tuple),
)


@given(STATUSES)
@examples(100)
def test_a_marker_is_one_hidden_line_that_remembers_the_status(status):
    marker = render_marker(status)

    assert "\n" not in marker
    assert marker.count("-->") == 1
    assert marker.startswith("<!--")
    assert marker.endswith("-->")
    assert parse_marker(f"{marker}\nCody · working") == status


@pytest.mark.parametrize(
    "body",
    [
        "",
        "Cody · working",
        PREFIX,
        f"{PREFIX}-->",
        f"{PREFIX}{{}} -->",
        f"{PREFIX}{{not json}} -->",
        f"{PREFIX}[] -->",
        MARKER.replace('"state":"published"', '"state":"approved"'),
        MARKER.replace('"run_id":1001', '"run_id":"1001"'),
        MARKER.replace('"run_attempt":1', '"run_attempt":0'),
        MARKER.replace("{", '{"surprise":1,', 1),
        MARKER.replace('{"task"', '{\n"task"'),
        MARKER.replace("coven/issue-42", "<b>"),
        MARKER.replace("coven/issue-42", "x" * 4001),
        MARKER.replace("}", ',"earlier":["x"]}'[:-1] + "}", 1),
        MARKER.replace(" -->", "-->"),
        MARKER.replace(" -->", ""),
    ],
    ids=range(17),
)
def test_a_marker_that_was_tampered_with_says_nothing(body):
    assert body != MARKER
    assert parse_marker(body) is None


def test_the_first_marker_counts_since_ours_stands_first():
    later = render_marker(STATUS.model_copy(update={"state": "failed"}))

    assert parse_marker(f"{MARKER}\ntext that quotes somebody\n{later}") == STATUS


@pytest.mark.parametrize(
    "comments",
    [
        [],
        [comment(1, MARKER, user_id=7)],
        [comment(1, MARKER, user_id=None)],
        [comment(1, "An ordinary comment of another workflow")],
        [comment(1, None)],
        [comment(1, ""), comment(2, MARKER, user_id=7)],
    ],
    ids=range(6),
)
def test_neither_the_marker_nor_the_author_alone_makes_a_comment_ours(comments):
    assert find_status_comment(comments, OWN_IDS) is None


def test_ours_is_found_among_copies_by_others():
    found = find_status_comment(
        iter([comment(1, MARKER, user_id=7), comment(2, "hello"), comment(3, MARKER), comment(4, MARKER)]), OWN_IDS
    )

    assert found is not None
    assert (found.comment_id, found.status) == (3, STATUS)


def test_a_comment_of_ours_that_people_broke_is_still_ours_and_remembers_nothing():
    found = find_status_comment([comment(3, f"{PREFIX}{{broken}} -->")], OWN_IDS)

    assert found is not None
    assert (found.comment_id, found.status) == (3, None)


def test_without_own_ids_no_comment_is_ours():
    assert find_status_comment([comment(3, MARKER)], frozenset()) is None


@given(st.text(alphabet='{}[]":,-> \nabckst1', max_size=80))
@examples(200)
def test_no_content_makes_the_reader_fail(content):
    assert parse_marker(f"{PREFIX}{{{content}}} -->") is None


@pytest.mark.parametrize(
    ("state", "earlier", "published"),
    [
        ("published", (), (TASK.key,)),
        ("published", ("1/issues/2",), ("1/issues/2", TASK.key)),
        ("published", (TASK.key, "1/issues/2"), (TASK.key, "1/issues/2")),
        ("failed", ("1/issues/2",), ("1/issues/2",)),
        ("working", (), ()),
        ("published", tuple(f"1/issues/{n}" for n in range(20)), (*(f"1/issues/{n}" for n in range(1, 20)), TASK.key)),
    ],
)
def test_the_tasks_that_published_are_remembered_the_newest_last(state, earlier, published):
    status = Status(task=TASK, state=state, earlier=earlier)

    assert status.published_tasks == published
    assert parse_marker(render_marker(status.model_copy(update={"earlier": status.published_tasks}))) is not None


SAID = "**Coven** was asked again and did not start: so it is."


def test_what_is_said_beside_a_comment_leaves_it_and_what_it_remembers():
    body = f"{MARKER}\n**Cody** · PR #7 is ready\n"

    beside = add_beside(body, SAID, 65_536)

    assert beside.startswith(body.rstrip())
    assert beside.endswith(f"\n\n{SAID}")
    assert parse_marker(beside) == STATUS


@pytest.mark.parametrize("sayings", [2, 3])
def test_the_newest_saying_takes_the_place_of_the_one_before(sayings):
    body = f"{MARKER}\n**Cody** · PR #7 is ready"
    once = add_beside(body, SAID, 65_536)
    often = body
    for number in range(sayings):
        often = add_beside(often, f"{number}" if number < sayings - 1 else SAID, 65_536)

    assert often == once


@pytest.mark.parametrize("length", [65_000, 65_536, 70_000])
def test_a_long_comment_is_cut_for_what_is_said_beside_it_and_remembers_the_same(length):
    body = (f"{MARKER}\n**Cody** · " + "word " * 20_000)[:length]

    beside = add_beside(body, SAID, 65_000)

    assert len(beside) <= 65_000
    assert beside.endswith(SAID)
    assert "Cut here" in beside
    assert parse_marker(beside) == STATUS


def test_our_comment_is_found_with_all_that_it_says():
    found = find_status_comment([comment(3, f"{MARKER}\nCody")], OWN_IDS)

    assert found is not None
    assert found.body == f"{MARKER}\nCody"
