"""The trust of a whole run: laws over every product of facts, and the rows of the table."""

from itertools import product

import pytest
from hypothesis import given
from hypothesis import strategies as st

from coven_action.core.memory.grants import intersect_grants
from coven_action.core.refusals import Refusal
from coven_action.core.trust.events import Actor, Owner, Repository
from coven_action.core.trust.run_trust import (
    MAY_START,
    ORDER,
    Contribution,
    RunTrust,
    decide_run_trust,
    judge_author,
    judge_head,
    judge_rerun,
    judge_trigger,
)
from coven_action.core.trust.trust import (
    GITHUB_ACTIONS_BOT_ID,
    PermissionAnswer,
    Permissions,
    PermissionUser,
    Trust,
    TrustScope,
    decide_trust,
)
from tests.fuzzing import examples

OWNER = Owner(id=1, login="acme")
PERSON = Actor(id=7, login="person", type="User")
BOT = Actor(id=8, login="robot[bot]", type="Bot")
OURSELVES = Actor(id=GITHUB_ACTIONS_BOT_ID, login="github-actions[bot]", type="Bot")

actors = st.sampled_from([PERSON, BOT, OURSELVES])
repositories = st.builds(
    Repository,
    id=st.just(2),
    name=st.just("billing"),
    owner=st.just(OWNER),
    private=st.booleans(),
    visibility=st.just("private"),
    default_branch=st.just("main"),
)
permissions = st.builds(
    Permissions,
    admin=st.booleans(),
    maintain=st.booleans(),
    push=st.booleans(),
    triage=st.booleans(),
    pull=st.booleans(),
)
answers = st.none() | st.builds(
    PermissionAnswer, user=st.none() | st.builds(PermissionUser, id=st.sampled_from([7, 8, 9]), permissions=permissions)
)
heads = st.sampled_from([None, 2, 3])
contributions = st.lists(
    st.builds(
        Contribution,
        part=st.sampled_from(["trigger", "text", "re-run", "head"]),
        scope=st.sampled_from(list(TrustScope)),
        may_start=st.booleans(),
        reason=st.just("because"),
    ),
    max_size=5,
)


def answer(actor_id=7, **booleans):
    return PermissionAnswer(user=PermissionUser(id=actor_id, permissions=Permissions(**booleans)))


def repository(*, private=False):
    return Repository(
        id=2,
        name="billing",
        owner=OWNER,
        private=private,
        visibility="private" if private else "public",
        default_branch="main",
    )


def maintainer(part="trigger"):
    return Contribution(part=part, scope=TrustScope.MAINTAINER, may_start=True, reason="a maintainer")


@examples(300)
@given(actors, answers, repositories, heads, st.booleans())
def test_no_fork_and_no_outside_text_ever_yields_a_write_scope(author, answered, where, head, private):
    del private
    decided = decide_run_trust(
        [maintainer(), judge_author(author, answered, where), judge_head(head_repository_id=head, repository=where)]
    )

    assert isinstance(decided, RunTrust)
    outside = any(one.scope in {TrustScope.EXTERNAL, TrustScope.FORK_PR} for one in decided.contributions)
    assert outside == (decided.memory.write_scopes == ())
    assert (head != where.id) <= (decided.scope is TrustScope.FORK_PR)


@examples(300)
@given(contributions, contributions)
def test_adding_an_input_never_widens_a_grant(before, added):
    narrow, wide = decide_run_trust([*before, *added]), decide_run_trust(before)

    if isinstance(wide, Refusal):
        # What did not start may only start because the trigger itself was among what was added.
        assert isinstance(narrow, Refusal) or any(one.part == "trigger" for one in added)
    elif isinstance(narrow, RunTrust):
        assert set(narrow.memory.read_scopes) <= set(wide.memory.read_scopes)
        assert set(narrow.memory.write_scopes) <= set(wide.memory.write_scopes)
        assert narrow.memory.shareable_only >= wide.memory.shareable_only
        assert narrow.memory.approval_forced >= wide.memory.approval_forced
        assert ORDER.index(narrow.scope) >= ORDER.index(wide.scope)


@examples(300)
@given(contributions)
def test_the_order_of_the_inputs_changes_no_grant(given_contributions):
    one, other = decide_run_trust(given_contributions), decide_run_trust(reversed(given_contributions))

    assert type(one) is type(other)
    if isinstance(one, RunTrust) and isinstance(other, RunTrust):
        assert (one.scope, one.memory) == (other.scope, other.memory)


@examples(300)
@given(actors, answers, repositories)
def test_an_answer_that_is_missing_or_about_another_id_starts_nothing_and_trusts_nobody(actor, answered, where):
    about_somebody_else = answered is None or answered.user is None or answered.user.id != actor.id

    if about_somebody_else:
        assert isinstance(decide_trust(actor, answered, where), Refusal)
        assert judge_author(actor, answered, where).scope is TrustScope.EXTERNAL
        assert not judge_rerun(actor, answered, where).may_start


@pytest.mark.parametrize(
    ("booleans", "private", "scope"),
    [
        ({"admin": True}, False, TrustScope.MAINTAINER),
        ({"maintain": True}, False, TrustScope.MAINTAINER),
        ({"push": True}, False, TrustScope.MAINTAINER),
        ({"triage": True, "pull": True}, False, TrustScope.COLLABORATOR),
        ({"pull": True}, True, TrustScope.COLLABORATOR),
        ({"pull": True}, False, TrustScope.EXTERNAL),
        ({}, True, TrustScope.EXTERNAL),
    ],
)
def test_the_words_of_an_author_are_worth_what_github_says_of_the_account(booleans, private, scope):
    contribution = judge_author(PERSON, answer(**booleans), repository(private=private))

    assert contribution.scope is scope
    assert not contribution.may_start


@pytest.mark.parametrize("author", [BOT, OURSELVES])
def test_what_a_bot_wrote_is_a_strangers_text_whatever_its_rights(author):
    assert judge_author(author, answer(author.id, admin=True), repository()).scope is TrustScope.EXTERNAL


def test_a_rerun_by_ourselves_starts_nothing():
    assert not judge_rerun(OURSELVES, answer(OURSELVES.id, admin=True), repository()).may_start


@pytest.mark.parametrize("scope", list(TrustScope))
def test_only_a_maintainer_or_a_schedule_starts_work(scope):
    trigger = judge_trigger(Trust(scope=scope, may_start=scope in MAY_START, reason="asked"))

    assert isinstance(decide_run_trust([trigger]), RunTrust) == (scope in {TrustScope.MAINTAINER, TrustScope.SCHEDULED})


def test_nothing_starts_nothing():
    assert isinstance(decide_run_trust([]), Refusal)
    assert isinstance(decide_run_trust([judge_head(head_repository_id=2, repository=repository())]), Refusal)


def test_a_rerun_by_somebody_without_write_access_starts_nothing():
    rerun = judge_rerun(PERSON, answer(triage=True), repository())

    decided = decide_run_trust([maintainer(), rerun])

    assert isinstance(decided, Refusal)
    assert "re-run by a collaborator" in decided.reason


def test_the_scope_shown_is_the_lowest_and_says_why():
    decided = decide_run_trust([maintainer(), judge_author(PERSON, None, repository())])

    assert isinstance(decided, RunTrust)
    assert decided.scope is TrustScope.EXTERNAL
    assert decided.reason == "a maintainer; the text is from outside"
    assert decided.memory == intersect_grants([decided.memory])


def test_every_pair_of_scopes_gives_the_lower_one():
    for one, other in product(TrustScope, TrustScope):
        text = Contribution(part="text", scope=other, may_start=False, reason="text")
        decided = decide_run_trust([Contribution(part="trigger", scope=one, may_start=True, reason="asked"), text])
        assert isinstance(decided, RunTrust)
        assert decided.scope is ORDER[max(ORDER.index(one), ORDER.index(other))]


def test_our_own_account_is_a_stranger_whatever_type_it_claims():
    ourselves = Actor(id=GITHUB_ACTIONS_BOT_ID, login="github-actions", type="User")

    assert judge_author(ourselves, answer(ourselves.id, admin=True), repository()).scope is TrustScope.EXTERNAL


@pytest.mark.parametrize(
    ("head_repository_id", "scope", "said"),
    [
        (repository().id, TrustScope.MAINTAINER, "the head is in this repository"),
        (repository().id + 1, TrustScope.FORK_PR, "the head is in another repository"),
        (None, TrustScope.FORK_PR, "the head is in another repository"),
    ],
)
def test_a_head_counts_by_its_repository_and_starts_nothing(head_repository_id, scope, said):
    head = judge_head(head_repository_id=head_repository_id, repository=repository())

    assert (head.part, head.scope, head.may_start, head.reason) == ("head", scope, False, said)


@pytest.mark.parametrize(("head_repository_id", "told"), [(repository().id, False), (None, True)])
def test_a_head_is_told_exactly_where_it_lowers_the_trust(head_repository_id, told):
    head = judge_head(head_repository_id=head_repository_id, repository=repository())
    decided = decide_run_trust([maintainer(), head])

    assert isinstance(decided, RunTrust)
    assert (head.reason in decided.reason) is told
    assert maintainer().reason in decided.reason


def test_whoever_is_declined_learns_why_and_whom_to_ask():
    decided = decide_run_trust([])

    assert isinstance(decided, Refusal)
    assert decided.code == "not-a-maintainer"
    assert "nobody is known to have asked" in decided.reason
    assert "Ask a maintainer" in decided.remedy


@pytest.mark.parametrize(
    ("booleans", "text", "rerun"),
    [
        ({"push": True}, "the text is a maintainer's", "re-run by a maintainer"),
        ({"triage": True}, "the text is a collaborator's", "re-run by a collaborator"),
        ({}, "the text is from outside", "re-run by somebody from outside"),
    ],
)
def test_a_contribution_says_whose_it_is(booleans, text, rerun):
    assert judge_author(PERSON, answer(**booleans), repository()).reason == text
    assert judge_rerun(PERSON, answer(**booleans), repository()).reason == rerun
