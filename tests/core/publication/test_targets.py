"""Where a result goes: never over a branch that people may have pushed to."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from coven_action.core.documents import TaskIdentity
from coven_action.core.publication.publication import build_commit_message
from coven_action.core.publication.targets import (
    BOT_EMAIL,
    Branch,
    Head,
    PullRequest,
    branch_prefix,
    check_pull_request,
    decide_issue_target,
    decide_pull_request_target,
    find_task_key,
    find_thread_number,
    is_branch_of,
)
from coven_action.error_codes import CODES
from tests import payloads
from tests.core.samples import TASK, build_work
from tests.fuzzing import examples

MAIN, OURS, THEIRS, BEFORE, DEVELOP = "a" * 40, "b" * 40, "c" * 40, "d" * 40, "e" * 40
AGAIN = TASK.model_copy(update={"run_attempt": 2})
OTHER_TASK = "301/issues/999"
SAME = Head(sha=OURS, task_key=TASK.key, parent_sha=BEFORE)
SAME_MERGED = Head(sha=OURS, task_key=TASK.key)
OTHER = Head(sha=OURS, task_key=OTHER_TASK, parent_sha=BEFORE)
HUMAN = Head(sha=THEIRS, parent_sha=OURS)
FIRST, SECOND = "coven/issue-42", "coven/issue-42-1001"


def branch(name=FIRST, head=OTHER, **facts):
    return Branch(name=name, head=head, **facts)


# Branches that exist -> branch, expected head, commit to work from, pull request.
CASES = {
    "nothing yet": ([], FIRST, None, MAIN, None),
    "open pull request, another task's head": ([branch(open_pull_request=7)], FIRST, OURS, OURS, 7),
    "open pull request, a person pushed": ([branch(head=HUMAN, open_pull_request=7)], FIRST, THEIRS, THEIRS, 7),
    "open pull request, this task's own head": ([branch(head=SAME, open_pull_request=7)], FIRST, OURS, BEFORE, 7),
    "open pull request, this task's head is a merge": (
        [branch(head=SAME_MERGED, open_pull_request=7)], FIRST, OURS, OURS, 7,
    ),
    "open pull request on a later branch": (
        [branch(has_pull_request=True), branch("coven/issue-42-55", open_pull_request=8, has_pull_request=True)],
        "coven/issue-42-55", OURS, OURS, 8,
    ),
    "two open pull requests: the first": (
        [branch(open_pull_request=7), branch("coven/issue-42-55", open_pull_request=8)], FIRST, OURS, OURS, 7,
    ),
    "closed pull request": ([branch(has_pull_request=True)], SECOND, None, MAIN, None),
    "closed pull request, this task's own head": (
        [branch(head=SAME, has_pull_request=True)], SECOND, None, MAIN, None,
    ),
    "left over by this task": ([branch(head=SAME)], FIRST, OURS, MAIN, None),
    "left over by another task": ([branch(head=OTHER)], SECOND, None, MAIN, None),
    "left over by a person": ([branch(head=HUMAN)], SECOND, None, MAIN, None),
    "left over by a person, and by this task": (
        [branch(head=HUMAN), branch(SECOND, SAME)], SECOND, OURS, MAIN, None,
    ),
    "both names taken by a person": (
        [branch(head=HUMAN), branch(SECOND, HUMAN)], "coven/issue-42-1001002", None, MAIN, None,
    ),
    "both names taken, the second by a closed pull request of this task": (
        [branch(head=HUMAN), branch(SECOND, SAME, has_pull_request=True)], "coven/issue-42-1001002", None, MAIN, None,
    ),
    "another run's name does not matter": ([branch("coven/issue-42-55", HUMAN)], FIRST, None, MAIN, None),
}  # fmt: skip


HEADS_OF = {"main": MAIN, "develop": DEVELOP}


def decide(branches, task=AGAIN):
    return decide_issue_target(42, task, base_ref="main", branches=branches, find_sha=HEADS_OF.__getitem__)


@pytest.mark.parametrize("name", CASES)
def test_a_task_on_an_issue_goes_where_nobody_elses_work_is(name):
    branches, expected_branch, expected_sha, base_sha, pull_request = CASES[name]
    target = decide(iter(branches))

    assert (target.branch, target.expected_sha, target.base_sha) == (expected_branch, expected_sha, base_sha)
    assert target.pull_request == pull_request
    assert (target.base_ref, target.base_ref_sha) == ("main", MAIN)
    assert target.why


def test_a_pull_request_keeps_the_base_that_people_gave_it():
    target = decide([branch(open_pull_request=7, open_base="develop")])

    assert (target.base_ref, target.base_ref_sha) == ("develop", DEVELOP)
    assert (target.base_sha, target.pull_request) == (OURS, 7)


def test_a_closed_pull_requests_base_says_nothing_of_the_next():
    target = decide([branch(has_pull_request=True, open_base="develop")])

    assert (target.base_ref, target.base_ref_sha, target.pull_request) == ("main", MAIN, None)


HEADS = st.sampled_from([SAME, SAME_MERGED, OTHER, HUMAN, Head(sha=THEIRS)])
BRANCHES = st.builds(
    Branch,
    name=st.sampled_from([FIRST, SECOND, "coven/issue-42-55"]),
    head=HEADS,
    open_pull_request=st.none() | st.integers(1, 9),
    has_pull_request=st.booleans(),
)


@given(st.lists(BRANCHES, max_size=3, unique_by=lambda found: found.name))
@examples(300)
def test_a_head_is_replaced_only_if_this_task_made_it_or_its_pull_request_is_open(branches):
    target = decide(branches)
    existing = {found.name: found for found in branches}.get(target.branch)

    assert is_branch_of(target.branch, 42)
    assert target.expected_sha == (existing.head.sha if existing else None)
    if existing is None:
        assert target.base_sha == MAIN
    elif target.pull_request is None:
        assert existing.head.task_key == AGAIN.key
        assert target.base_sha == MAIN
    else:
        # What is pushed stands on the head, or on the parent of this same task's earlier attempt.
        replaced = target.base_sha != existing.head.sha
        assert not replaced or (existing.head.task_key == AGAIN.key and target.base_sha == existing.head.parent_sha)


@pytest.mark.parametrize("other", [{"run_id": 1002}, {"event_name": "issue_comment"}, {"repository_id": 302}])
def test_the_same_task_means_repository_event_and_run(other):
    task = AGAIN.model_copy(update=other)

    assert SAME.base_for(AGAIN) == BEFORE
    assert SAME.base_for(task) == OURS


@pytest.mark.parametrize("name", [FIRST, "coven/issue-42-1", "coven/issue-42-1001002"])
def test_a_branch_of_the_thread_is_recognised(name):
    assert name.startswith(branch_prefix(42))
    assert is_branch_of(name, 42)


@pytest.mark.parametrize(
    "name",
    [
        "coven/issue-4", "coven/issue-421", "coven/issue-4-2", "coven/issue-042", "coven/issue-42-", "coven/issue-42-x",
        "coven/issue-42-01", "coven/issue-42-1-2", "coven/issue-42\n", "coven/issue-42/x", "x/coven/issue-42",
        "Coven/issue-42", "coven/issue-\u0664\u0662", "coven/issue-" + "4" * 5000, "main", "",
    ],
)  # fmt: skip
def test_another_branch_is_not_taken_for_one_of_the_thread(name):
    assert not is_branch_of(name, 42)


@pytest.mark.parametrize(
    ("name", "number"),
    [(FIRST, 42), (SECOND, 42), ("coven/issue-4", 4), ("main", None), ("coven/issue-x", None), ("coven/issue-0", None)],
)
def test_a_branch_of_ours_says_which_issue_it_was_made_for(name, number):
    assert find_thread_number(name) == number


@given(st.integers(1, 10**6), st.integers(1, 10**6), st.none() | st.integers(1, 10**12))
@examples(200)
def test_a_branch_belongs_to_exactly_one_thread(one, other, run_id):
    name = branch_prefix(one) + (f"-{run_id}" if run_id else "")

    assert is_branch_of(name, other) == (one == other)


@given(st.integers(1, 2**63), st.sampled_from(["issues", "issue_comment", "workflow_dispatch"]), st.integers(1, 2**63))
@examples(50)
def test_a_commit_of_ours_remembers_its_task(repository_id, event_name, run_id):
    task = TaskIdentity(repository_id=repository_id, event_name=event_name, run_id=run_id, run_attempt=3)

    message = build_commit_message("Round half up (#42)", build_work(), task)
    assert find_task_key(message, committer=BOT_EMAIL) == task.key


@pytest.mark.parametrize("committer", ["maintainer@example.invalid", "noreply@github.com", "", BOT_EMAIL.upper()])
def test_a_commit_that_somebody_else_committed_is_theirs_whatever_its_message(committer):
    message = build_commit_message("Round half up (#42)", build_work(), TASK)
    assert find_task_key(message, committer=committer) is None


@pytest.mark.parametrize(
    "message",
    [
        "", "Fix", "Coven-Task: 1/issues/2\n\nand more", " Coven-Task: 1/issues/2", "x Coven-Task: 1/issues/2",
        "Coven-Task: 1/issues/2/3", "Coven-Task: 1/Issues/2", "Coven-Task: /issues/2", "coven-task: 1/issues/2",
        "Coven-Task: 1/issues/2 x", "Coven-Task: 1/issues/\u0662",
    ],
)  # fmt: skip
def test_only_a_last_line_of_the_right_form_names_a_task(message):
    assert find_task_key(message, committer=BOT_EMAIL) is None


def test_a_trailer_that_a_title_smuggles_in_does_not_win_over_the_last_line():
    message = "x\n\nCoven-Task: 1/issues/1\n\nCoven-Task: 1/issues/2\n"
    assert find_task_key(message, committer=BOT_EMAIL) == "1/issues/2"


def pull_request(ref=FIRST, *, repository_id: int | None = payloads.REPOSITORY_ID, **facts):
    head = {"ref": ref, "sha": OURS, "repo": None if repository_id is None else {"id": repository_id}}
    return PullRequest.model_validate(
        {"number": 7, "state": "open", "head": head, "base": {"ref": "develop", "sha": MAIN, "repo": None}, **facts}
    )


@pytest.mark.parametrize(
    ("found", "code"),
    [
        (pull_request(), None),
        (pull_request("coven/issue-42-1001"), None),
        (pull_request(repository_id=302), "fork-pull-request"),
        (pull_request(repository_id=None), "fork-pull-request"),
        (pull_request(repository_id=302, state="closed"), "fork-pull-request"),
        (pull_request(state="closed"), "pull-request-closed"),
        (pull_request(state="OPEN"), "pull-request-closed"),
        (pull_request("feature"), "not-our-pull-request"),
        (pull_request("coven/issue-x"), "not-our-pull-request"),
        (pull_request("coven/issue-42\n"), "not-our-pull-request"),
        (pull_request("main"), "not-our-pull-request"),
    ],
)
def test_only_an_open_pull_request_on_a_branch_of_ours_is_worked_on(found, code):
    refusal = check_pull_request(found, payloads.REPOSITORY_ID)

    assert (refusal.code if refusal else None) == code
    if refusal is not None:
        assert CODES[refusal.code].refusal
        assert refusal.remedy


def test_a_task_on_a_pull_request_goes_on_top_of_its_head():
    target = decide_pull_request_target(pull_request(), HUMAN, TASK, find_sha=HEADS_OF.__getitem__)

    assert (target.branch, target.base_ref, target.pull_request) == (FIRST, "develop", 7)
    assert target.base_ref_sha == DEVELOP
    assert (target.base_sha, target.expected_sha) == (THEIRS, THEIRS)
    assert target.why == "pull request #7, on top of its head"


def test_a_second_attempt_on_a_pull_request_replaces_its_own_commit():
    target = decide_pull_request_target(pull_request(), SAME, AGAIN, find_sha=HEADS_OF.__getitem__)

    assert (target.base_sha, target.expected_sha) == (BEFORE, OURS)
    assert target.why == "pull request #7, again after a failed attempt"


@pytest.mark.parametrize(
    ("labels", "has"), [(["coven:needs-review"], True), (["Coven:Needs-Review"], True), ([], False)]
)
def test_labels_are_known_whatever_their_case(labels, has):
    assert pull_request(labels=[{"name": name, "id": 1} for name in labels]).has_label("coven:needs-review") is has
