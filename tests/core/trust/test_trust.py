"""Who may start work: GitHub's answer about an id decides, and nothing else does."""

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from coven_action.core.refusals import Refusal
from coven_action.core.trust.events import Actor
from coven_action.core.trust.trust import (
    GITHUB_ACTIONS_BOT_ID,
    PermissionAnswer,
    Trust,
    TrustScope,
    decide_sender,
    decide_trust,
    judge_account,
    trust_listed_bot,
)
from coven_action.error_codes import CODES
from tests.core.samples import labeled
from tests.fuzzing import examples

ADA = Actor(id=7, login="ada", type="User")
NAMES = ("admin", "maintain", "push", "triage", "pull")
# GitHub sends all five booleans; the higher permission includes the lower ones.
LADDER = {
    "admin": dict.fromkeys(NAMES, True),
    "maintain": {**dict.fromkeys(NAMES, True), "admin": False},
    "push": {**dict.fromkeys(NAMES, True), "admin": False, "maintain": False},
    "triage": {"triage": True, "pull": True},
    "pull": {"pull": True},
    "none": {},
}


def answer(permissions, user_id=7, **further):
    return PermissionAnswer.model_validate({**further, "user": {"id": user_id, "permissions": permissions}})


def repository(*, private=False):
    return labeled(private=private).repository


@pytest.mark.parametrize("private", [True, False])
@pytest.mark.parametrize("permission", LADDER)
def test_exactly_write_access_may_start_work(permission, private):
    decided = decide_trust(ADA, answer(LADDER[permission]), repository(private=private))

    if permission in {"admin", "maintain", "push"}:
        assert isinstance(decided, Trust)
        assert (decided.scope, decided.may_start) == (TrustScope.MAINTAINER, True)
        assert decided.reason == "asked by an account with write access"
    else:
        assert isinstance(decided, Refusal)
        assert decided.code == "not-a-maintainer"
        assert not decided.quiet


@pytest.mark.parametrize("flags", list(itertools.product([True, False], repeat=5)))
@pytest.mark.parametrize("private", [True, False])
def test_no_combination_of_booleans_without_write_access_starts_work(flags, private):
    permissions = dict(zip(NAMES, flags, strict=True))
    decided = decide_trust(ADA, answer(permissions), repository(private=private))

    assert isinstance(decided, Trust) == any(permissions[name] for name in ("admin", "maintain", "push"))


@pytest.mark.parametrize(
    "further",
    [
        {"permission": "admin"},
        {"role_name": "admin"},
        {"author_association": "OWNER"},
        {"permission": "write", "role_name": "maintain"},
    ],
)
def test_words_about_a_permission_grant_nothing(further):
    decided = decide_trust(ADA, answer({"pull": True}, **further), repository())

    assert isinstance(decided, Refusal)
    assert decided.code == "not-a-maintainer"


@pytest.mark.parametrize("given_answer", [None, PermissionAnswer(), PermissionAnswer(user=None)])
def test_no_answer_means_no(given_answer):
    decided = decide_trust(ADA, given_answer, repository(private=True))

    assert isinstance(decided, Refusal)
    assert decided.code == "permission-unknown"


def test_an_answer_without_booleans_grants_nothing():
    decided = decide_trust(ADA, PermissionAnswer.model_validate({"user": {"id": 7}}), repository(private=True))

    assert isinstance(decided, Refusal)
    assert decided.code == "not-a-maintainer"


def test_a_login_that_was_given_to_somebody_else_lends_no_permission():
    decided = decide_trust(ADA, answer(LADDER["admin"], user_id=8), repository())

    assert isinstance(decided, Refusal)
    assert decided.code == "identity-mismatch"


@pytest.mark.parametrize(
    "document",
    [
        {"user": {"id": 7, "permissions": {"admin": "true"}}},
        {"user": {"id": 7, "permissions": {"admin": 1}}},
        {"user": {"id": 7, "permissions": {"push": None}}},
        {"user": {"id": 7, "permissions": None}},
        {"user": {"id": 7, "permissions": ["admin"]}},
        {"user": {"id": "7", "permissions": {"admin": True}}},
        {"user": {"id": True, "permissions": {"admin": True}}},
        {"user": {"id": 0, "permissions": {"admin": True}}},
        {"user": {"permissions": {"admin": True}}},
        {"user": "ada"},
        [],
    ],
)
def test_an_answer_of_another_shape_is_not_guessed_at(document):
    with pytest.raises(ValidationError):
        PermissionAnswer.model_validate(document)


@given(
    st.integers(1, 3),
    st.integers(1, 3),
    st.fixed_dictionaries({}, optional=dict.fromkeys(NAMES, st.booleans())),
    st.text(min_size=1, max_size=20),
)
@examples(150)
def test_the_login_never_decides(sender_id, answer_id, permissions, login):
    where = repository()
    one = decide_trust(Actor(id=sender_id, login="ada"), answer(permissions, answer_id), where)
    other = decide_trust(Actor(id=sender_id, login=login), answer(permissions, answer_id), where)

    assert one == other
    if sender_id != answer_id:
        assert isinstance(one, Refusal)


@pytest.mark.parametrize("kind", ["User", "Bot", ""])
@pytest.mark.parametrize("login", ["github-actions[bot]", "github-actions", "ada"])
@pytest.mark.parametrize("allow_bots", [(), (GITHUB_ACTIONS_BOT_ID,)])
def test_our_own_events_start_nothing_even_where_the_configuration_lists_us(kind, login, allow_bots):
    refusal = decide_sender(Actor(id=GITHUB_ACTIONS_BOT_ID, login=login, type=kind), allow_bots=allow_bots)

    assert refusal is not None
    assert (refusal.code, refusal.quiet) == ("own-event", True)


@pytest.mark.parametrize(
    ("actor", "allow_bots", "code"),
    [
        (Actor(id=7, login="ada", type="User"), (), None),
        (Actor(id=7, login="ada[bot]", type="User"), (), None),
        (Actor(id=7, login="github-actions[bot]", type="User"), (), None),
        (Actor(id=9, login="renovate[bot]", type="Bot"), (9,), None),
        (Actor(id=9, login="renovate[bot]", type="Bot"), (), "bot-not-listed"),
        (Actor(id=9, login="renovate[bot]", type="Bot"), (8, 99), "bot-not-listed"),
        (Actor(id=9, login="renovate", type="Bot"), (), "bot-not-listed"),
        (Actor(id=9, login="acme", type="Organization"), (), "bot-not-listed"),
        (Actor(id=9, login="unknown"), (), "bot-not-listed"),
    ],
)
def test_a_bot_may_ask_exactly_when_its_id_is_listed(actor, allow_bots, code):
    refusal = decide_sender(actor, allow_bots=allow_bots)

    assert (refusal.code if refusal else None) == code
    if refusal is not None:
        assert str(actor.id) in refusal.remedy


def test_a_listed_bot_may_start_work_and_counts_for_less_than_a_maintainer():
    trust = trust_listed_bot()

    assert (trust.scope, trust.may_start) == (TrustScope.COLLABORATOR, True)
    assert "bot" in trust.reason


@pytest.mark.parametrize("private", [True, False])
@pytest.mark.parametrize(
    ("permission", "scope"),
    [
        ("admin", TrustScope.MAINTAINER),
        ("maintain", TrustScope.MAINTAINER),
        ("push", TrustScope.MAINTAINER),
        ("triage", TrustScope.COLLABORATOR),
        ("pull", None),
        ("none", TrustScope.EXTERNAL),
    ],
)
def test_an_accounts_words_are_worth_its_permission(permission, scope, private):
    # Reading proves something only where not everybody can.
    expected = scope or (TrustScope.COLLABORATOR if private else TrustScope.EXTERNAL)

    assert judge_account(ADA, answer(LADDER[permission]), repository(private=private)) is expected


@pytest.mark.parametrize("given_answer", [None, PermissionAnswer(), answer(LADDER["admin"], user_id=8)])
def test_without_an_answer_about_this_very_id_words_are_a_strangers(given_answer):
    assert judge_account(ADA, given_answer, repository(private=True)) is TrustScope.EXTERNAL


def test_every_refusal_has_a_public_code():
    refusals = [
        decide_trust(ADA, None, repository()),
        decide_trust(ADA, answer({}, 8), repository()),
        decide_trust(ADA, answer({}), repository()),
        decide_sender(Actor(id=GITHUB_ACTIONS_BOT_ID, login="x"), allow_bots=()),
        decide_sender(Actor(id=9, login="x"), allow_bots=()),
    ]
    for refusal in refusals:
        assert isinstance(refusal, Refusal)
        assert CODES[refusal.code].refusal


def test_our_own_account_is_the_one_that_github_documents():
    # https://api.github.com/users/github-actions%5Bbot%5D
    assert GITHUB_ACTIONS_BOT_ID == 41898282


@pytest.mark.parametrize(
    ("decide", "said", "quiet"),
    [
        (lambda: decide_trust(ADA, None, repository()), "no answer about the permission", False),
        (lambda: decide_trust(ADA, answer({}, 8), repository()), "belongs to another account.", False),
        (lambda: decide_trust(ADA, answer({}), repository()), "Only somebody with write access", False),
        (
            lambda: decide_sender(Actor(id=GITHUB_ACTIONS_BOT_ID, login="x"), allow_bots=()),
            "by this action itself",
            True,
        ),
        (
            lambda: decide_sender(Actor(id=9, login="x"), allow_bots=()),
            "a bot that the configuration does not list",
            True,
        ),
    ],
)
def test_a_refusal_says_why_and_only_people_are_told_whom_to_ask(decide, said, quiet):
    refusal = decide()

    assert said in refusal.reason
    assert refusal.reason.endswith(".")
    assert not refusal.reason.endswith("..")
    assert refusal.quiet is quiet
    if not quiet:
        assert "Ask a maintainer" in refusal.remedy
