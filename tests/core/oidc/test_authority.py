"""What signed claims and live permissions may do: every row of the tables, and what no row may ever give."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from coven_action.core.oidc.authority import (
    ACTIONS,
    ADMISSION,
    AUTHORITY,
    PULL_REQUEST_EVENTS,
    Action,
    Authority,
    EnrolledRepository,
    EnrolmentPolicy,
    MemoryRead,
    NotAdmitted,
    Role,
    Tier,
    decide_authority,
    decide_role,
    may_act,
)
from coven_action.core.oidc.claims import Expectation, verify_claims
from coven_action.core.trust.trust import Permissions
from coven_action.error_codes import CODES
from tests.identity_tokens import AUDIENCE, CLAIMS, ISSUER, NOW, make_claims, make_signed

WORKFLOW = ".github/workflows/coven.yml@refs/heads/main"
REUSABLE = "acme/shared/.github/workflows/familiar.yml@refs/heads/main"
ENROLLED = EnrolledRepository(
    issuer=ISSUER,
    tenant_id=1,
    repository_id="1001",
    account_id="501",
    default_branch="main",
    people=frozenset({"77", "78"}),
    public=False,
    tenant_shared=True,
)


def decide(enrolled=ENROLLED, issuer_account=None, **claims):
    return decide_authority(make_signed(**claims), enrolled, issuer_account=issuer_account)


def summarise(authority):
    return (
        authority.tier.value,
        authority.read.value,
        authority.tenant_shared,
        authority.propose,
        authority.validate,
    )


T0_NOTHING = ("T0", "none", False, False, False)
T0_SHAREABLE = ("T0", "shareable", False, False, False)
T1 = ("T1", "repo", True, True, False)
T2 = ("T2", "repo", True, True, True)

# (event, changes of the claims, what it gives in a private repository that is granted what its tenant shares)
ROWS = [
    ("pull_request", {}, T0_NOTHING),
    ("pull_request_comment", {}, T0_NOTHING),
    ("pull_request_review", {}, T0_NOTHING),
    ("pull_request_review_comment", {}, T0_NOTHING),
    ("pull_request_review_thread", {}, T0_NOTHING),
    ("pull_request_target", {}, T0_NOTHING),
    ("workflow_run", {}, T0_SHAREABLE),
    ("push", {}, T2),
    ("push", {"actor_id": "99"}, T2),
    ("push", {"ref": "refs/heads/feature"}, T1),
    ("push", {"ref": "refs/tags/main"}, T1),
    ("push", {"ref": "main"}, T1),
    ("push", {"ref": "refs/heads/Main"}, T1),
    ("push", {"ref": ""}, T1),
    ("push", {"ref_protected": "false"}, T1),
    ("push", {"ref_protected": ...}, T1),
    ("schedule", {}, T2),
    ("schedule", {"ref_protected": "false"}, T1),
    ("workflow_dispatch", {}, T2),
    ("workflow_dispatch", {"actor_id": "78"}, T2),
    ("workflow_dispatch", {"actor_id": "99"}, T1),
    ("workflow_dispatch", {"ref": "refs/heads/feature"}, T1),
    ("workflow_dispatch", {"ref_protected": "false"}, T1),
    ("issues", {}, T1),
    ("issue_comment", {}, T1),
    ("repository_dispatch", {}, T1),
    ("merge_group", {}, T0_NOTHING),
    ("deployment", {}, T0_NOTHING),
    ("release", {}, T0_NOTHING),
    ("Issues", {}, T0_NOTHING),
    ("issues ", {}, T0_NOTHING),
    ("push_request", {}, T0_NOTHING),
    ("tomorrows_event", {}, T0_NOTHING),
]


@pytest.mark.parametrize(("event", "changes", "given"), ROWS)
def test_every_row_of_the_table_of_authority(event, changes, given):
    assert summarise(decide(event_name=event, **changes)) == given


def test_every_row_is_reached_by_one_of_these():
    reached = {decide(event_name=event, **changes).reason for event, changes, _ in ROWS}

    assert reached == {row.reason for row in AUTHORITY}


def test_the_last_row_takes_whatever_is_left_and_gives_nothing():
    last = AUTHORITY[-1]

    assert (last.events, last.conditions, last.tier, last.read) == (None, (), Tier.T0, MemoryRead.NONE)
    assert not last.propose
    assert not last.validate
    assert all(row.events for row in AUTHORITY[:-1])


@pytest.mark.parametrize(
    ("public", "visibility", "read", "shared"),
    [
        (False, "private", "repo", True),
        (False, "internal", "repo", True),
        (False, "public", "shareable", False),
        (True, "private", "shareable", False),
        (True, "public", "shareable", False),
    ],
)
@pytest.mark.parametrize("event", ["issues", "push"])
def test_a_repository_that_either_side_calls_public_reads_what_is_marked_shareable(
    event, public, visibility, read, shared
):
    authority = decide(replace(ENROLLED, public=public), event_name=event, repository_visibility=visibility)

    assert (authority.read.value, authority.tenant_shared, authority.propose) == (read, shared, True)


def test_what_a_tenant_shares_is_for_those_it_was_granted_to():
    assert not decide(replace(ENROLLED, tenant_shared=False)).tenant_shared


def test_what_enrolment_does_not_say_is_the_stricter():
    enrolled = EnrolledRepository(ISSUER, 1, "1001", "501", "main")

    assert summarise(decide(enrolled, event_name="workflow_dispatch")) == ("T1", "shareable", False, True, False)


# What differs -> the code, and a word of the reason.
TURNED_AWAY = {
    "another repository": ({"repository_id": "1002"}, {}, "not-authenticated", "enrolled"),
    "the same number at another GitHub": ({"iss": "https://ghes.example/_services/token"}, {}, "not-authenticated", "en"),
    "another owner": ({"repository_owner_id": "502"}, {}, "repo-transferred", "another account"),
    "another owner of the same name": (
        {"repository_owner_id": "502", "repository_owner": "acme"}, {}, "repo-transferred", "another account"
    ),
    "a suspended one": ({}, {"suspended": True}, "repository-suspended", "suspended"),
    "a suspended one that was transferred": (
        {"repository_owner_id": "502"}, {"suspended": True}, "repo-transferred", "another account"
    ),
    "an event that is not listed": (
        {}, {"policy": EnrolmentPolicy(events=frozenset({"push"}))}, "run-not-admitted", "event"
    ),
    "no event is listed": ({}, {"policy": EnrolmentPolicy(events=frozenset())}, "run-not-admitted", "event"),
    "a ref that is not listed": (
        {"ref": "refs/heads/x"}, {"policy": EnrolmentPolicy(refs=frozenset({"refs/heads/main"}))}, "run-not-admitted", "ref"
    ),
    "a ref that a listed one begins": (
        {"ref": "refs/heads/main2"},
        {"policy": EnrolmentPolicy(refs=frozenset({"refs/heads/main"}))},
        "run-not-admitted",
        "ref",
    ),
    "no ref": (
        {"ref": ""}, {"policy": EnrolmentPolicy(refs=frozenset({"refs/heads/main"}))}, "run-not-admitted", "ref"
    ),
    "a workflow of another file": (
        {"workflow_ref": "acme/billing/.github/workflows/evil.yml@refs/heads/main"},
        {"policy": EnrolmentPolicy(workflows=frozenset({WORKFLOW}))},
        "run-not-admitted",
        "workflow",
    ),
    "the workflow of another branch": (
        {"workflow_ref": "acme/billing/.github/workflows/coven.yml@refs/heads/x"},
        {"policy": EnrolmentPolicy(workflows=frozenset({WORKFLOW}))},
        "run-not-admitted",
        "workflow",
    ),
    "the same file in another repository": (
        {"workflow_ref": "evil/billing/.github/workflows/coven.yml@refs/heads/main"},
        {"policy": EnrolmentPolicy(workflows=frozenset({WORKFLOW}))},
        "run-not-admitted",
        "workflow",
    ),
    "a file that is named like a listed one": (
        {"workflow_ref": "acme/billing/.github/workflows/evil.yml@.github/workflows/coven.yml@refs/heads/main"},
        {"policy": EnrolmentPolicy(workflows=frozenset({WORKFLOW}))},
        "run-not-admitted",
        "workflow",
    ),
    "a reusable workflow that is not listed": (
        {"job_workflow_ref": REUSABLE},
        {"policy": EnrolmentPolicy(workflows=frozenset({WORKFLOW}))},
        "run-not-admitted",
        "workflow",
    ),
    "a listed reusable workflow, called by another": (
        {"job_workflow_ref": REUSABLE, "workflow_ref": "acme/billing/.github/workflows/evil.yml@refs/heads/main"},
        {"policy": EnrolmentPolicy(workflows=frozenset({WORKFLOW, REUSABLE}))},
        "run-not-admitted",
        "workflow",
    ),
    "another environment": (
        {}, {"policy": EnrolmentPolicy(environments=frozenset({"production"}))}, "run-not-admitted", "environment"
    ),
    "no environment": (
        {"environment": ...},
        {"policy": EnrolmentPolicy(environments=frozenset({"coven"}))},
        "run-not-admitted",
        "environment",
    ),
    "another kind of runner": (
        {"runner_environment": "self-hosted"},
        {"policy": EnrolmentPolicy(runner_environments=frozenset({"github-hosted"}))},
        "run-not-admitted",
        "runner",
    ),
}  # fmt: skip


@pytest.mark.parametrize(("claims", "enrolled", "code", "word"), TURNED_AWAY.values(), ids=TURNED_AWAY)
def test_a_run_that_is_not_admitted_is_turned_away_with_a_code(claims, enrolled, code, word):
    refusal = decide(replace(ENROLLED, **enrolled), **claims)

    assert isinstance(refusal, NotAdmitted)
    assert refusal.code == code
    assert word in refusal.reason


def test_every_refusal_is_reached_by_one_of_these_and_has_a_public_code():
    reached = {decide(replace(ENROLLED, **enrolled), **claims) for claims, enrolled, _, _ in TURNED_AWAY.values()}

    assert reached == {refusal for _, refusal in ADMISSION}
    assert {CODES[refusal.code].status for refusal in reached} == {401, 403}


ADMITTED = {
    "lists of what it is": EnrolmentPolicy(
        events=frozenset({"issues"}),
        refs=frozenset({"refs/heads/main"}),
        workflows=frozenset({WORKFLOW}),
        environments=frozenset({"coven"}),
        runner_environments=frozenset({"github-hosted"}),
    ),
    "no list at all": EnrolmentPolicy(),
}


@pytest.mark.parametrize("policy", ADMITTED.values(), ids=ADMITTED)
def test_a_run_that_the_lists_name_is_admitted(policy):
    assert summarise(decide(replace(ENROLLED, policy=policy))) == T1


def test_a_job_without_an_environment_is_listed_by_the_empty_text():
    policy = EnrolmentPolicy(environments=frozenset({""}))

    assert isinstance(decide(replace(ENROLLED, policy=policy), environment=...), Authority)
    assert isinstance(decide(replace(ENROLLED, policy=policy)), NotAdmitted)


@pytest.mark.parametrize("reusable", [..., f"acme/billing/{WORKFLOW}", REUSABLE])
def test_a_reusable_workflow_is_held_against_the_same_list(reusable):
    policy = EnrolmentPolicy(workflows=frozenset({WORKFLOW, REUSABLE}))

    assert isinstance(decide(replace(ENROLLED, policy=policy), job_workflow_ref=reusable), Authority)


def test_nothing_that_was_enrolled_is_not_enrolled():
    assert decide(None) == decide(None, issuer_account=501) == decide(repository_id="1002")


@pytest.mark.parametrize(("account", "admitted"), [(None, True), (501, True), (502, False), (1, False), (0, False)])
def test_an_issuer_that_is_bound_to_an_account_speaks_for_no_other(account, admitted):
    assert isinstance(decide(issuer_account=account), Authority) is admitted


# --- laws

EVENTS = st.sampled_from([*{name for row in AUTHORITY for name in row.events or ()}, "release", "", "x"]) | st.text(
    max_size=20
)
SETTINGS = st.fixed_dictionaries(
    {
        "event_name": EVENTS,
        "ref": st.sampled_from(["refs/heads/main", "refs/heads/x", "refs/tags/main", ""]),
        "ref_protected": st.sampled_from(["true", "false", ""]),
        "actor_id": st.sampled_from(["77", "99"]),
        "repository_visibility": st.sampled_from(["public", "private", "internal"]),
    }
)
REPOSITORIES = st.builds(
    lambda public, shared, people: replace(ENROLLED, public=public, tenant_shared=shared, people=frozenset(people)),
    st.booleans(),
    st.booleans(),
    st.sets(st.sampled_from(["77", "78"])),
)


def decide_any(enrolled, claims):
    signed = make_signed().model_copy(update=claims)
    return decide_authority(signed, enrolled)


@given(enrolled=REPOSITORIES, claims=SETTINGS)
def test_a_pull_request_an_unknown_event_and_a_workflow_run_never_propose(enrolled, claims):
    authority = decide_any(enrolled, claims)
    known = {"issue_comment", "issues", "push", "repository_dispatch", "schedule", "workflow_dispatch"}

    assert authority.propose == (claims["event_name"] in known)
    if claims["event_name"] in PULL_REQUEST_EVENTS:
        assert authority.read is MemoryRead.NONE
    if not authority.propose:
        assert (authority.tier, authority.validate, authority.tenant_shared) == (Tier.T0, False, False)


@given(enrolled=REPOSITORIES, claims=SETTINGS)
def test_a_public_repository_never_reads_more_than_what_is_shareable(enrolled, claims):
    authority = decide_any(enrolled, claims)

    if enrolled.public or claims["repository_visibility"] == "public":
        assert authority.read is not MemoryRead.REPO
        assert not authority.tenant_shared


@given(enrolled=REPOSITORIES, claims=SETTINGS)
def test_only_a_protected_default_branch_marks_entries_stale(enrolled, claims):
    authority = decide_any(enrolled, claims)

    assert authority.validate == (authority.tier is Tier.T2)
    if authority.validate:
        assert (claims["ref"], claims["ref_protected"]) == ("refs/heads/main", "true")
        assert claims["event_name"] != "workflow_dispatch" or claims["actor_id"] in enrolled.people


RENAMED = st.from_regex(r"[A-Za-z0-9._-]{1,20}", fullmatch=True)
UNREAD = (
    "sub",
    "actor",
    "workflow",
    "repository_owner",
    "base_ref",
    "head_ref",
    "enterprise",
    "ref_type",
    "run_number",
)


@given(
    claims=SETTINGS.filter(lambda facts: facts["event_name"].isidentifier()),
    unread=st.dictionaries(st.sampled_from(UNREAD), st.text(max_size=30)),
    owner=RENAMED,
    name=RENAMED,
    pinned=st.booleans(),
)
def test_names_and_the_subject_decide_nothing(claims, unread, owner, name, pinned):
    """Whatever an account, a repository or a workflow is called, and however `sub` is written."""
    policy = EnrolmentPolicy(workflows=frozenset({WORKFLOW}) if pinned else None)
    enrolled = replace(ENROLLED, policy=policy)
    renamed = {
        "repository": f"{owner}/{name}",
        "workflow_ref": f"{owner}/{name}/{WORKFLOW}",
        "job_workflow_ref": f"{owner}/{name}/{WORKFLOW}",
    }
    expected = Expectation(ISSUER, AUDIENCE, NOW)
    before = verify_claims(make_claims(**claims), expected)
    after = verify_claims(make_claims(**claims, **unread, **renamed), expected)

    assert decide_authority(before, enrolled) == decide_authority(after, enrolled)


DECIDING = {
    "iss", "repository_id", "repository_owner_id", "event_name", "ref", "ref_protected", "actor_id", "repository_visibility",
}  # fmt: skip


@given(
    claims=SETTINGS,
    others=st.fixed_dictionaries(
        {}, optional={name: st.text(max_size=20) for name in sorted(set(CLAIMS) - DECIDING - {"iat", "nbf", "exp"})}
    ),
)
def test_only_the_listed_facts_decide(claims, others):
    signed = make_signed().model_copy(update=claims)
    changed = signed.model_copy(update={name: text for name, text in others.items() if hasattr(signed, name)})

    assert decide_authority(signed, ENROLLED) == decide_authority(changed, ENROLLED)


# --- people

PERMISSIONS = [
    ({"admin": True, "maintain": True, "push": True, "triage": True, "pull": True}, "admin", "admin"),
    ({"admin": True}, "admin", "admin"),
    ({"maintain": True, "push": True, "triage": True, "pull": True}, "approver", "approver"),
    ({"push": True, "triage": True, "pull": True}, "viewer", "viewer"),
    ({"triage": True, "pull": True}, "viewer", "viewer"),
    ({"pull": True}, "viewer", None),
    ({}, None, None),
]


@pytest.mark.parametrize(("permissions", "private", "public"), PERMISSIONS)
def test_a_live_permission_makes_a_role(permissions, private, public):
    answer = Permissions(**permissions)

    assert decide_role(answer, public=False) == private
    assert decide_role(answer, public=True) == public


ROLES = {
    Action.VIEW: {"viewer", "approver", "admin"},
    Action.APPROVE: {"approver", "admin"},
    Action.REJECT: {"approver", "admin"},
    Action.REVOKE: {"approver", "admin"},
    Action.RESTORE: {"approver", "admin"},
    Action.EDIT: {"approver", "admin"},
    Action.SUPERSEDE: {"approver", "admin"},
    Action.PROMOTE: {"admin"},
    Action.EXPORT: {"admin"},
    Action.ERASE: {"admin"},
    Action.POLICY: {"admin"},
}


@pytest.mark.parametrize("action", Action)
def test_each_action_is_for_these_roles(action):
    assert {role.value for role in Role if may_act(role, action)} == ROLES[action]
    assert not may_act(None, action)


def test_a_higher_role_may_do_all_that_a_lower_one_may():
    assert set(ACTIONS) == set(Role)
    assert ACTIONS[Role.VIEWER] < ACTIONS[Role.APPROVER] < ACTIONS[Role.ADMIN] == frozenset(Action)
