"""The trust of a whole run: laws over every product of facts, and the rows of the table."""

from dataclasses import dataclass, replace
from itertools import product

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from coven_action.core.brief import build_memory_facts, freeze_text
from coven_action.core.documents import FrozenText
from coven_action.core.memory.grants import SCOPES, EndpointGrant, MemorySettings, intersect_grants
from coven_action.core.memory.policy import decide_memory_policy
from coven_action.core.memory.policy_block import BranchScope, MemoryPolicy
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
    decide_sender,
    decide_trust,
    trust_listed_bot,
)
from tests import payloads
from tests.core.samples import CODY, READ_AT, TARGET, commented, dispatched, labeled, read_event
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


ANOTHER = Actor(id=9, login="another", type="User")
EVENTS = {
    "label": labeled(),
    "assignment": read_event("issues", payloads.build_issues_assigned()),
    "command": commented("/coven fix"),
    "words": commented("/coven fix keep it small"),
    "words on a pull request": commented("/coven fix keep it small", pull_request=True),
    "dispatch": dispatched(),
}
WRITE = answer(push=True)
ON = MemorySettings(enabled=True)


@dataclass(frozen=True)
class Behind:
    """Everything that a memory policy is decided from.

    Attributes:
        kind: The key of `EVENTS`.
        sender: Who caused the event, and wrote the comment where there is one.
        author: Who opened the issue or pull request.
        again: Who ran it again; None for a first attempt.
        answers: GitHub's answer about each account's login.
        head: The id of the repository that the head lies in; None where that is not known.
        visibility: Of the repository.
        listed: The bots that the configuration lists.
        settings: What the configuration says about memory.
        hosted: Whether it names an endpoint.
        grant: What that granted.
    """

    kind: str = "label"
    sender: Actor = PERSON
    author: Actor = PERSON
    again: Actor | None = None
    answers: tuple[tuple[int, PermissionAnswer | None], ...] = ((PERSON.id, WRITE),)
    head: int | None = payloads.REPOSITORY_ID
    visibility: str = "private"
    listed: tuple[int, ...] = ()
    settings: MemorySettings = ON
    hosted: bool = False
    grant: EndpointGrant | None = None

    @property
    def event(self):
        """The event, with the people in it exchanged."""
        event = EVENTS[self.kind]
        private = {"visibility": self.visibility, "private": self.visibility != "public"}
        changes = {"sender": self.sender, "repository": event.repository.model_copy(update=private)}
        if event.thread is not None:
            changes["thread"] = event.thread.model_copy(update={"user": self.author})
        if event.comment is not None:
            changes["comment"] = event.comment.model_copy(update={"user": self.sender})
        return event.model_copy(update=changes)

    @property
    def read(self):
        """Whose words the familiar reads."""
        if self.kind == "words":
            return {self.sender, self.author}
        return {self.sender if self.kind == "words on a pull request" else self.author}

    def is_known(self, account):
        """Whether GitHub says of an account, by its id, that it is more than anybody."""
        found = dict(self.answers).get(account.id)
        if account.is_bot or account == OURSELVES or found is None or found.user is None or found.user.id != account.id:
            return False
        held = found.user.permissions
        return held.admin or held.maintain or held.push or held.triage or (held.pull and self.visibility != "public")

    def may_start(self, account):
        """Whether GitHub says of an account, by its id, that it may write."""
        if not self.is_known(account):
            return False
        held = dict(self.answers)[account.id].user.permissions
        return held.admin or held.maintain or held.push


def decide(behind):
    """Return the memory policy of a run, by the steps of `plan`, or why it does not start."""
    event, answered = behind.event, dict(behind.answers)
    asking = [behind.sender] if behind.again is None else [behind.sender, behind.again]
    for actor in asking:
        refusal = decide_sender(actor, allow_bots=behind.listed)
        if refusal is not None:
            return refusal
    permission = answered.get(behind.sender.id)
    trust = trust_listed_bot() if behind.sender.is_bot else decide_trust(behind.sender, permission, event.repository)
    if isinstance(trust, Refusal):
        return trust
    thread = event.thread or EVENTS["label"].thread.model_copy(update={"user": behind.author})
    text = freeze_text(event, thread, CODY, read_at=READ_AT)
    assert isinstance(text, FrozenText)
    contributions = [judge_trigger(trust)]
    contributions += [judge_author(one, answered.get(one.id), event.repository) for one in text.authors]
    if behind.again is not None:
        contributions.append(judge_rerun(behind.again, answered.get(behind.again.id), event.repository))
    contributions.append(judge_head(head_repository_id=behind.head, repository=event.repository))
    run = decide_run_trust(contributions)
    if isinstance(run, Refusal):
        return run
    facts = build_memory_facts(event.repository, TARGET, run.scope)
    branch = BranchScope(base_ref="main", head_ref="x", same_repository=behind.head == event.repository.id)
    facts = replace(facts, branch=branch)
    return decide_memory_policy(
        facts, settings=behind.settings, trust=run.memory, hosted=behind.hosted, endpoint_grant=behind.grant
    )


people = st.sampled_from([PERSON, PERSON, ANOTHER, BOT, OURSELVES])
scopes = st.sets(st.sampled_from(SCOPES)).map(tuple)
about = st.fixed_dictionaries(
    {
        actor.id: st.none()
        | st.builds(
            PermissionAnswer,
            user=st.none()
            | st.builds(PermissionUser, id=st.sampled_from([actor.id] * 4 + [77]), permissions=permissions),
        )
        for actor in (PERSON, ANOTHER, BOT, OURSELVES)
    }
).map(lambda found: tuple(found.items()))
grants = st.builds(
    lambda read, write, **rest: EndpointGrant(
        read_scopes=read, write_scopes=tuple(one for one in write if one in read), **rest
    ),
    scopes,
    scopes,
    enabled=st.sampled_from([True, True, False]),
    shareable_only=st.booleans(),
    approval_required=st.booleans(),
)
behinds = st.builds(
    Behind,
    kind=st.sampled_from(list(EVENTS)),
    sender=people,
    author=people,
    again=st.none() | people,
    answers=about,
    head=st.sampled_from([payloads.REPOSITORY_ID] * 3 + [None, 999]),
    visibility=st.sampled_from(["public", "private", "internal"]),
    listed=st.sampled_from([(), (BOT.id,), (BOT.id, OURSELVES.id)]),
    settings=st.builds(
        MemorySettings,
        enabled=st.sampled_from([True, True, False]),
        read=scopes,
        write=scopes,
        approval=st.sampled_from(["required", "automatic"]),
    ),
    hosted=st.booleans(),
    grant=st.none() | grants,
)


@examples(150)
@given(behinds)
@example(Behind(kind="words", author=ANOTHER))
@example(Behind(sender=BOT, author=BOT, listed=(BOT.id,)))
@example(Behind(head=999))
def test_only_words_of_known_accounts_in_this_repository_ever_give_a_write_scope(behind):
    policy = decide(behind)

    if isinstance(policy, MemoryPolicy):
        assert set(policy.write_scopes) <= set(policy.read_scopes)
        outside = behind.head != payloads.REPOSITORY_ID or not all(map(behind.is_known, behind.read))
        if outside:
            assert policy.write_scopes == ()
            assert policy.shareable_only
            assert policy.trust_scope in {"external", "fork_pr"}


@examples(150)
@given(behinds)
@example(Behind(answers=()))
@example(Behind(again=ANOTHER))
@example(Behind(sender=OURSELVES, listed=(OURSELVES.id,)))
def test_work_starts_for_nobody_whose_id_github_did_not_answer_for(behind):
    started = isinstance(decide(behind), MemoryPolicy)

    listed = behind.sender == BOT and BOT.id in behind.listed
    asked = listed or behind.may_start(behind.sender)
    rerun = behind.again is None or behind.may_start(behind.again)
    assert started == (asked and rerun)


@examples(100)
@given(behinds, people, st.sampled_from([None, 999]))
def test_no_further_input_ever_widens_a_policy(behind, again, head):
    before = decide(replace(behind, again=None, head=payloads.REPOSITORY_ID))

    for further in ({"again": again}, {"head": head}, {"again": again, "head": head}):
        after = decide(replace(behind, **{"again": None, "head": payloads.REPOSITORY_ID, **further}))
        if isinstance(before, Refusal):
            assert isinstance(after, Refusal)
        elif isinstance(after, MemoryPolicy):
            assert set(after.read_scopes) <= set(before.read_scopes)
            assert set(after.write_scopes) <= set(before.write_scopes)
            assert after.shareable_only >= before.shareable_only
            assert after.approval_required >= before.approval_required


def test_a_maintainer_alone_may_have_memory_read_and_proposed():
    policy = decide(Behind())

    assert isinstance(policy, MemoryPolicy)
    assert (policy.read_scopes, policy.write_scopes, policy.shareable_only) == (("repo",), ("repo",), False)
