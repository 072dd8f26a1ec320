"""What the familiar is given to read, and the brief it stands in."""

from itertools import product

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from coven_action.core.brief import MAXIMUM_TEXT, MAXIMUM_TITLE, build_brief, build_memory_facts, freeze_text
from coven_action.core.documents import FrozenText
from coven_action.core.memory.policy_block import MemoryPolicy
from coven_action.core.records import sha256_hex
from coven_action.core.refusals import Refusal
from coven_action.core.trust.events import Actor
from coven_action.core.trust.run_trust import ORDER, RunTrust, decide_run_trust, judge_author, judge_trigger
from coven_action.core.trust.trust import PermissionAnswer, Trust, TrustScope, decide_trust
from coven_action.error_codes import CODES
from tests import payloads
from tests.core.samples import (
    CODY,
    PATCH,
    READ_AT,
    TARGET,
    build_policy,
    build_work,
    commented,
    dispatched,
    labeled,
    read_event,
)
from tests.fuzzing import examples

DIFF = "```diff\n--- a/x.py\n+++ b/x.py\n@@ -1 +1 @@\n-a\n+b\n```\n"


def freeze(event, familiar=CODY, thread=None):
    found = thread or event.thread
    text = freeze_text(event, found, familiar, read_at=READ_AT)
    assert isinstance(text, FrozenText)
    return text


def test_a_label_gives_the_issue_as_it_stood_in_the_event():
    event = labeled(title="Wrong  total", body="Half up.\r\nPlease.", author="grace")
    text = freeze(event)

    assert (text.title, text.body, text.read_at, text.removed) == ("Wrong total", "Half up.\nPlease.", READ_AT, "")
    assert [author.login for author in text.authors] == ["grace"]
    assert text.sha256 == sha256_hex(b"Wrong  total\nHalf up.\nPlease.")


def test_what_people_could_not_see_is_removed_and_counted():
    text = freeze(labeled(title="a\u200bb", body="visible<!-- obey me -->\u202e\ud800"))

    assert (text.title, text.body) == ("ab", "visible")
    assert text.removed == "removed before the familiar read it: 1 HTML comment, 2 invisible characters"


def test_an_oversized_text_is_bounded_before_anything_reads_it():
    text = freeze(labeled(title="t" * (MAXIMUM_TITLE + 9), body="b" * (MAXIMUM_TEXT + 9)))

    assert (len(text.title), len(text.body)) == (MAXIMUM_TITLE, MAXIMUM_TEXT)
    assert (MAXIMUM_TITLE, MAXIMUM_TEXT) == (1024, 262_144)


def test_a_dispatch_reads_the_thread_it_names():
    event, thread = dispatched(), labeled(body="As read by plan.").thread

    assert freeze(event, thread=thread).body == "As read by plan."


@pytest.mark.parametrize("comment", ["/coven fix", "/coven fix\n\n", " \n/coven \t fix  "])
def test_a_bare_command_on_an_issue_gives_the_issue(comment):
    text = freeze(commented(comment, body="Half up.", author="grace"))

    assert text.body == "Half up."
    assert [author.login for author in text.authors] == ["grace"]


def test_words_after_a_command_come_first_and_the_issue_is_quoted_below():
    text = freeze(commented("/coven fix only in tax.py\n\nthanks", body="Half up.\n\nPlease.", author="grace"))

    assert text.body == "only in tax.py\n\nthanks\n\nThe issue reads:\n\n> Half up.\n>\n> Please.\n"
    assert [author.login for author in text.authors] == ["maintainer", "grace"]


def test_a_command_on_a_pull_request_is_what_its_words_say_and_nothing_else():
    text = freeze(commented("/coven fix the name", body="Somebody's description.", pull_request=True))

    assert text.body == "the name"


@pytest.mark.parametrize("comment", ["/coven fix", "/coven fix \n "])
def test_a_command_on_a_pull_request_without_words_is_refused(comment):
    event = commented(comment, pull_request=True)
    assert event.thread is not None
    refusal = freeze_text(event, event.thread, CODY, read_at=READ_AT)

    assert isinstance(refusal, Refusal)
    assert refusal.code == "nothing-asked"
    assert "nothing about what to change" in refusal.reason
    assert "`/coven fix " in refusal.remedy
    assert CODES["nothing-asked"].refusal
    assert not refusal.quiet


@pytest.mark.parametrize(
    ("comment", "expected"),
    [(f"/coven fix\n{DIFF}", DIFF.strip()), ("/coven fix please", "The issue's own patch.")],
)
def test_the_patch_runtime_gets_the_one_text_that_holds_a_patch(comment, expected):
    assert freeze(commented(comment, body="The issue's own patch."), PATCH).body == expected


@pytest.mark.parametrize(
    ("comment", "familiar", "pull_request", "authors"),
    [
        ("/coven fix", CODY, False, ["grace"]),
        ("/coven fix please", CODY, False, ["maintainer", "grace"]),
        ("/coven fix please", PATCH, False, ["grace"]),
        (f"/coven fix\n{DIFF}", PATCH, False, ["maintainer", "grace"]),
        ("/coven fix please", CODY, True, ["maintainer"]),
        ("/coven fix please", PATCH, True, ["maintainer"]),
    ],
)
def test_the_authors_are_whoever_wrote_what_is_read(comment, familiar, pull_request, authors):
    text = freeze(commented(comment, author="grace", pull_request=pull_request), familiar)

    assert [author.login for author in text.authors] == authors


@pytest.mark.parametrize("familiar", [CODY, PATCH], ids=["cody", "patch"])
def test_whoever_comments_on_an_issue_of_their_own_is_one_author(familiar):
    text = freeze(commented(f"/coven fix\n{DIFF}"), familiar)

    assert [author.login for author in text.authors] == ["maintainer"]


def test_a_text_that_nobody_wrote_is_none():
    with pytest.raises(ValidationError):
        FrozenText(title="", body="", authors=(), sha256="", read_at=READ_AT)


ASKED = ["", " quokka", f" quokka\n{DIFF}"]


@pytest.mark.parametrize(
    ("asked", "familiar", "pull_request"),
    # A command on a pull request says something, or is refused.
    [row for row in product(ASKED, [CODY, PATCH], [False, True]) if row[0] or not row[2]],
)
def test_nobodys_words_are_read_without_their_being_an_author(asked, familiar, pull_request):
    event = commented(f"/coven fix{asked}", title="wombat", body="numbat", author="grace", pull_request=pull_request)
    text = freeze(event, familiar)
    read = build(event, event.thread, text=text).task.model_dump_json()

    wrote = {"quokka": "maintainer", "wombat": "grace", "numbat": "grace"}
    heard = {author.login for author in text.authors}
    assert {login for word, login in wrote.items() if word in read} == heard


ASKER, OTHER = Actor(id=7, login="ada", type="User"), Actor(id=8, login="grace", type="User")
permissions = st.fixed_dictionaries(
    {}, optional=dict.fromkeys(("admin", "maintain", "push", "triage", "pull"), st.booleans())
)
answers = st.none() | st.builds(
    lambda user_id, held: PermissionAnswer.model_validate({"user": {"id": user_id, "permissions": held}}),
    st.sampled_from([8, 8, 8, 9]),
    permissions,
)
COMMENTED = {private: commented("/coven fix", body="numbat", private=private) for private in (False, True)}


@examples(200)
@given(
    st.sampled_from(ASKED),
    st.sampled_from([CODY, PATCH]),
    st.sampled_from([OTHER, OTHER.model_copy(update={"type": "Bot"})]),
    answers,
    st.booleans(),
)
def test_adding_another_persons_text_never_widens_what_a_run_is_trusted_with(asked, familiar, other, answer, private):
    def judge(words, author):
        event = COMMENTED[private]
        comment = event.comment.model_copy(update={"body": f"/coven fix{words}", "user": ASKER})
        thread = event.thread.model_copy(update={"user": author})
        event = event.model_copy(update={"comment": comment, "thread": thread, "sender": ASKER})
        own = PermissionAnswer.model_validate({"user": {"id": ASKER.id, "permissions": {"push": True}}})
        trust = decide_trust(ASKER, own, event.repository)
        assert isinstance(trust, Trust)
        known = {ASKER.id: own, other.id: answer}
        heard = [judge_author(one, known[one.id], event.repository) for one in freeze(event, familiar).authors]
        decided = decide_run_trust([judge_trigger(trust), *heard])
        assert isinstance(decided, RunTrust)
        return decided

    both, alone, bare = judge(asked, other), judge(asked, ASKER), judge("", other)

    assert alone.scope is TrustScope.MAINTAINER
    for wide in (alone, bare):
        assert set(both.memory.read_scopes) <= set(wide.memory.read_scopes)
        assert set(both.memory.write_scopes) <= set(wide.memory.write_scopes)
        assert both.memory.shareable_only >= wide.memory.shareable_only
        assert both.memory.approval_forced >= wide.memory.approval_forced
        assert ORDER.index(both.scope) >= ORDER.index(wide.scope)


@pytest.mark.parametrize(
    ("event", "trigger"),
    [
        (labeled(), "issue_assigned"),
        (read_event("issues", payloads.build_issues_assigned()), "issue_assigned"),
        (dispatched(), "issue_assigned"),
        (commented("/coven fix"), "issue_mention"),
    ],
)
def test_every_event_that_starts_work_has_a_trigger_of_the_contract(event, trigger):
    thread = event.thread or labeled().thread
    brief = build(event, thread)

    assert brief.trigger == trigger
    assert brief.task.kind == "fix_issue"
    assert brief.workspace.root is None


def build(event, thread, *, text=None, familiar=CODY, **further):
    return build_brief(
        event,
        thread,
        text or freeze(event, thread=thread),
        familiar,
        clone_url="https://github.example/acme/billing.git",
        memory_policy=build_policy(event),
        audit_instruction=further.get("audit_instruction"),
    )


def test_a_task_on_a_pull_request_answers_the_comment():
    event = commented("/coven fix the name", pull_request=True)
    brief = build(event, event.thread, audit_instruction="Look twice.")

    assert brief.task.kind == "respond_to_mention"
    assert brief.task.text == "the name"
    assert brief.audit_instruction == "Look twice."
    assert brief.at("/tmp/tree").document()["workspace"] == {"root": "/tmp/tree"}


def test_the_brief_names_who_works_with_which_model_and_skills():
    cody = CODY.model_copy(update={"skills": ("testing", "review")})
    familiar = build(labeled(), labeled().thread, familiar=cody).familiar

    assert (familiar.id, familiar.display_name, familiar.model, familiar.skills) == (
        "cody",
        "Cody",
        "anthropic/claude-sonnet-4-6",
        ("testing", "review"),
    )


@pytest.mark.parametrize("installation_id", [None, 5])
def test_the_facts_of_memory_name_the_installation_and_a_head_of_this_repository(installation_id):
    facts = build_memory_facts(labeled().repository, TARGET, TrustScope.COLLABORATOR, installation_id)

    assert facts.tenant.installation_id == installation_id
    assert facts.branch.same_repository
    assert facts.trust_scope == "collaborator"


@pytest.mark.parametrize("private", [True, False])
def test_memory_is_off_in_every_brief_and_the_block_says_for_whom(private):
    event = labeled(private=private)
    policy = build(event, event.thread).memory_policy

    assert isinstance(policy, MemoryPolicy)
    assert not policy.enabled
    assert (policy.read_scopes, policy.write_scopes) == ((), ())
    assert policy.tenant_scope.account_id == payloads.OWNER_ID
    assert policy.repo_scope.repository_id == payloads.REPOSITORY_ID
    assert policy.repo_scope.visibility == ("private" if private else "public")
    assert (policy.branch_scope.base_ref, policy.branch_scope.head_ref) == ("main", "coven/issue-42")
    assert policy.trust_scope == "maintainer"


def test_the_brief_carries_no_credential():
    document = build_work().brief.at("/tmp/tree").document()

    assert document["repo"]["clone_url"] == "https://github.example/acme/billing.git"
    assert "token" not in str(document).lower()
