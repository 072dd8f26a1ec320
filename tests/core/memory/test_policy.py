"""The memory policy: every side can only narrow it."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from coven_action.core.memory.grants import (
    MEMORY_GRANTS,
    NOTHING,
    SCOPES,
    EndpointGrant,
    MemoryGrant,
    MemorySettings,
    intersect_grants,
    intersect_scopes,
)
from coven_action.core.memory.policy import decide_memory_policy
from coven_action.core.memory.policy_block import RetentionPolicy
from tests.core.memory.values import facts
from tests.fuzzing import examples

ON = MemorySettings(enabled=True)
FULL = MEMORY_GRANTS["maintainer"]
ENDPOINT = EndpointGrant(
    enabled=True,
    read_scopes=("repo", "tenant_shared"),
    write_scopes=("repo",),
    shareable_only=False,
    approval_required=False,
    retention=RetentionPolicy(max_age_days=400, unused_days=28),
    denied=("repo/9/old",),
    installation_id=5,
)
WIDE = MemorySettings(enabled=True, read=("repo", "tenant_shared"), approval="automatic")


def _decide(stated=None, *, written=ON, trust=FULL, **changes):
    return decide_memory_policy(stated or facts(), settings=written, trust=trust, **changes)


def test_the_table_of_trust_is_the_one_of_the_documents():
    assert {
        scope: (grant.read_scopes, grant.write_scopes, grant.shareable_only, grant.approval_forced)
        for scope, grant in MEMORY_GRANTS.items()
    } == {
        "maintainer": (("repo", "tenant_shared"), ("repo",), False, False),
        "scheduled": (("repo",), ("repo",), False, True),
        "collaborator": (("repo",), ("repo",), False, True),
        "external": (("repo",), (), True, True),
        "fork_pr": (("repo",), (), True, True),
    }


@pytest.mark.parametrize(
    ("scope", "reason"),
    [
        ("maintainer", "reads this repository's entries; proposes to this repository's memory, a person approves."),
        ("scheduled", "reads this repository's entries; proposes to this repository's memory, a person approves."),
        ("collaborator", "reads this repository's entries; proposes to this repository's memory, a person approves."),
        (
            "external",
            "reads this repository's entries marked shareable (trust: external); proposes nothing (trust: external).",
        ),
        (
            "fork_pr",
            "reads this repository's entries marked shareable (trust: fork_pr); proposes nothing (trust: fork_pr).",
        ),
    ],
)
def test_each_trust_scope_has_its_policy_and_its_line(scope, reason):
    policy = _decide(facts(trust_scope=scope), trust=MEMORY_GRANTS[scope])

    assert policy.enabled
    assert policy.read_scopes == ("repo",)
    assert policy.write_scopes == MEMORY_GRANTS[scope].write_scopes
    assert policy.shareable_only is MEMORY_GRANTS[scope].shareable_only
    assert policy.approval_required
    assert policy.reason == f"Memory is on: {reason}"


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"written": MemorySettings()}, "memory.enabled is not set in the configuration"),
        ({"stated": facts(repository_id=None)}, "the repository's id is unknown"),
        (
            {"stated": facts(repository_id=None), "hosted": True, "endpoint_grant": ENDPOINT},
            "the repository's id is unknown",
        ),
        (
            {"stated": facts(account_id=None), "hosted": True, "endpoint_grant": ENDPOINT},
            "the id of the repository's account is unknown",
        ),
        ({"hosted": True}, "the endpoint granted nothing"),
        ({"endpoint_grant": ENDPOINT.model_copy(update={"enabled": False})}, "the endpoint has it off"),
        ({"trust": NOTHING}, "nothing is left to read (trust: maintainer)"),
        ({"written": MemorySettings(enabled=True, read=())}, "nothing is left to read (configuration)"),
        (
            {"endpoint_grant": EndpointGrant(enabled=True)},
            "nothing is left to read (configuration, trust and store share no scope)",
        ),
    ],
)
def test_memory_is_off_with_the_side_that_switched_it_off(changes, reason):
    policy = _decide(**changes)

    assert not policy.enabled
    assert policy.read_scopes == policy.write_scopes == ()
    assert policy.reason == f"Memory is off: {reason}."


def test_an_unknown_account_is_no_obstacle_to_files():
    assert _decide(facts(account_id=None)).enabled


def test_without_an_endpoint_nothing_is_shared_by_an_account_and_a_person_approves():
    policy = _decide(written=WIDE)

    assert policy.read_scopes == ("repo",)
    assert policy.approval_required


def test_with_an_endpoint_the_whole_grant_can_be_used():
    policy = _decide(written=WIDE, hosted=True, endpoint_grant=ENDPOINT, revoked=["repo/9/bad/one"])

    assert policy.read_scopes == ("repo", "tenant_shared")
    assert policy.write_scopes == ("repo",)
    assert not policy.shareable_only
    assert not policy.approval_required
    assert policy.retention_policy == RetentionPolicy(max_age_days=365, unused_days=28)
    assert policy.denied == ("repo/9/bad/one", "repo/9/old")
    assert policy.tenant_scope.installation_id == 5
    assert policy.reason == (
        "Memory is on: reads this repository's and the account's shared entries; "
        "proposes to this repository's memory, clean ones are approved by policy."
    )


def test_an_installation_that_plan_was_told_stays():
    stated = facts()
    tenant = stated.tenant.model_copy(update={"installation_id": 3})
    stated = type(stated)(tenant, stated.repository, stated.branch, stated.trust_scope)

    assert _decide(stated, endpoint_grant=ENDPOINT).tenant_scope.installation_id == 3


@pytest.mark.parametrize(
    ("stated", "changes"),
    [
        (facts(), {"written": WIDE.model_copy(update={"approval": "required"})}),
        (facts(visibility="public"), {}),
        (facts(visibility="internal"), {}),
        (facts(), {"endpoint_grant": ENDPOINT.model_copy(update={"approval_required": True})}),
        (facts(), {"trust": FULL.model_copy(update={"approval_forced": True})}),
        (facts(trust_scope="scheduled"), {}),
        (facts(trust_scope="collaborator"), {}),
    ],
)
def test_a_person_approves_where_anybody_asks_for_it(stated, changes):
    changes = {"written": WIDE, "hosted": True, "endpoint_grant": ENDPOINT, **changes}

    assert _decide(stated, **changes).approval_required


def test_an_endpoint_gives_a_public_repository_only_what_is_shareable():
    policy = _decide(facts(visibility="public"), written=WIDE, hosted=True, endpoint_grant=ENDPOINT)

    assert policy.shareable_only
    assert "(public repository)" in policy.reason
    assert not _decide(facts(visibility="public")).shareable_only


def test_the_line_names_the_endpoint_where_it_narrows():
    grant = ENDPOINT.model_copy(update={"shareable_only": True, "write_scopes": ()})

    reason = _decide(written=WIDE, hosted=True, endpoint_grant=grant).reason

    assert reason.endswith("entries marked shareable (endpoint); proposes nothing (endpoint).")


def test_the_line_names_the_configuration_where_it_narrows():
    assert _decide(written=MemorySettings(enabled=True, write=())).reason.endswith("proposes nothing (configuration).")


def test_a_head_in_another_repository_is_a_fork_whatever_else_is_said():
    policy = _decide(facts(same_repository=False))

    assert policy.write_scopes == ()
    assert policy.shareable_only
    assert "(fork)" in policy.reason


@pytest.mark.parametrize("scope", ["external", "fork_pr"])
def test_a_wide_grant_does_not_lift_the_scope_that_is_shown(scope):
    """A caller that forgot an input must not give an outsider what a maintainer has."""
    policy = _decide(facts(trust_scope=scope), trust=FULL)

    assert policy.write_scopes == ()
    assert policy.shareable_only


def test_no_input_grants_nothing():
    assert intersect_grants([]) == NOTHING
    assert intersect_scopes() == ()


def test_scopes_are_a_set_in_one_order():
    assert MemoryGrant(read_scopes=["tenant_shared", "repo", "repo"]).read_scopes == ("repo", "tenant_shared")


def test_a_scope_that_nobody_knows_is_named_in_the_refusal():
    with pytest.raises(ValidationError, match=r"'repo' or 'tenant_shared'.*familiar_global"):
        MemoryGrant(read_scopes=("repo", "familiar_global"))


def test_what_the_configuration_and_the_endpoint_do_not_say_is_the_narrowest():
    assert MemorySettings() == MemorySettings(
        enabled=False,
        read=("repo",),
        write=("repo",),
        approval="required",
        separate_approver=False,
        max_age_days=365,
        unused_days=90,
    )
    assert EndpointGrant(enabled=True) == EndpointGrant(
        enabled=True,
        read_scopes=(),
        write_scopes=(),
        shareable_only=True,
        approval_required=True,
        retention=RetentionPolicy(max_age_days=365, unused_days=90),
        denied=(),
        installation_id=None,
    )


@pytest.mark.parametrize(
    ("model", "wrong"),
    [
        (MemorySettings, {"max_age_days": 0}),
        (MemorySettings, {"unused_days": 0}),
        (EndpointGrant, {"enabled": True, "installation_id": 0}),
    ],
)
def test_an_age_and_an_id_begin_at_one(model, wrong):
    with pytest.raises(ValidationError, match="greater than 0"):
        model(**wrong)


@pytest.mark.parametrize(
    "wrong",
    [
        {"read_scopes": ("familiar_global",)},
        {"read_scopes": "repo"},
        {"read_scopes": None},
        {"read_scopes": (), "write_scopes": ("repo",)},
        {"read_scopes": ("repo",), "write_scopes": ("repo", "tenant_shared")},
    ],
)
def test_a_grant_that_no_run_gets_is_refused(wrong):
    with pytest.raises(ValidationError):
        MemoryGrant(**wrong)


# --- laws

SETS = st.sets(st.sampled_from(SCOPES)).map(tuple)
DAYS = st.integers(1, 1000)
GRANTS = st.builds(
    lambda read, write, shareable, forced: MemoryGrant(
        read_scopes=read,
        write_scopes=intersect_scopes(read, write),
        shareable_only=shareable,
        approval_forced=forced,
    ),
    SETS,
    SETS,
    st.booleans(),
    st.booleans(),
)
RETENTION = st.builds(RetentionPolicy, max_age_days=DAYS, unused_days=DAYS)
ENDPOINTS = st.builds(
    EndpointGrant,
    enabled=st.booleans(),
    read_scopes=SETS,
    write_scopes=SETS,
    shareable_only=st.booleans(),
    approval_required=st.booleans(),
    retention=RETENTION,
    denied=st.lists(st.sampled_from(["repo/9", "repo/9/a", "tenant/7"])).map(tuple),
    installation_id=st.none() | st.integers(1, 9),
)
WRITTEN = st.builds(
    MemorySettings,
    enabled=st.booleans(),
    read=SETS,
    write=SETS,
    approval=st.sampled_from(["required", "automatic"]),
    max_age_days=DAYS,
    unused_days=DAYS,
)
FACTS = st.builds(
    lambda scope, visibility, same, account, repository: facts(
        trust_scope=scope,
        visibility=visibility,
        same_repository=same,
        account_id=account,
        repository_id=repository,
    ),
    st.sampled_from(list(MEMORY_GRANTS)),
    st.sampled_from(["public", "private", "internal"]),
    st.booleans(),
    st.none() | st.just(7),
    st.none() | st.just(9),
)
LAW = examples(150)


def _is_narrower(one, other):
    """Whether `one` allows nothing that `other` does not."""
    return (
        one.enabled <= other.enabled
        and set(one.read_scopes) <= set(other.read_scopes)
        and set(one.write_scopes) <= set(other.write_scopes)
        and (not one.enabled or one.shareable_only >= other.shareable_only)
        and (not one.enabled or one.approval_required >= other.approval_required)
        and (not one.enabled or set(one.denied) >= set(other.denied))
        and (not one.enabled or one.retention_policy.max_age_days <= other.retention_policy.max_age_days)
        and (not one.enabled or one.retention_policy.unused_days <= other.retention_policy.unused_days)
    )


@LAW
@given(FACTS, WRITTEN, GRANTS, st.none() | ENDPOINTS, st.booleans())
def test_no_side_is_ever_exceeded(stated, written, trust, endpoint, hosted):
    policy = _decide(stated, written=written, trust=trust, endpoint_grant=endpoint, hosted=hosted)

    assert set(policy.write_scopes) <= set(policy.read_scopes) <= set(written.read) & set(trust.read_scopes)
    assert set(policy.write_scopes) <= set(written.write) & set(trust.write_scopes)
    assert len(policy.reason) <= 300
    if policy.enabled:
        assert written.enabled
        assert stated.repository.repository_id is not None
        assert policy.shareable_only >= trust.shareable_only
        assert policy.approval_required >= trust.approval_forced
        assert policy.retention_policy.max_age_days <= written.max_age_days
        if hosted:
            assert endpoint is not None
            assert stated.tenant.account_id is not None
        if endpoint is None:
            assert policy.read_scopes == ("repo",)
        else:
            assert endpoint.enabled
            assert set(policy.read_scopes) <= set(endpoint.read_scopes)
            assert set(policy.write_scopes) <= set(endpoint.write_scopes)
            assert policy.shareable_only >= endpoint.shareable_only
            assert policy.approval_required >= endpoint.approval_required
            assert policy.retention_policy.unused_days <= endpoint.retention.unused_days
            assert set(policy.denied) >= set(endpoint.denied)


@LAW
@given(FACTS, WRITTEN, GRANTS, st.none() | ENDPOINTS, st.booleans())
def test_a_fork_or_an_outsider_never_writes(stated, written, trust, endpoint, hosted):
    policy = _decide(stated, written=written, trust=trust, endpoint_grant=endpoint, hosted=hosted)

    if stated.trust_scope in {"external", "fork_pr"} or not stated.branch.same_repository:
        assert policy.write_scopes == ()
        assert policy.shareable_only


@LAW
@given(FACTS, WRITTEN, GRANTS, GRANTS, ENDPOINTS, st.booleans())
def test_one_more_input_never_widens_the_policy(stated, written, trust, more, endpoint, hosted):
    decided = {"written": written, "endpoint_grant": endpoint, "hosted": hosted}

    assert _is_narrower(
        _decide(stated, trust=intersect_grants([trust, more]), **decided), _decide(stated, trust=trust, **decided)
    )


@LAW
@given(FACTS, WRITTEN, GRANTS, ENDPOINTS, ENDPOINTS)
def test_a_narrower_endpoint_never_widens_the_policy(stated, written, trust, endpoint, other):
    narrower = EndpointGrant(
        enabled=endpoint.enabled and other.enabled,
        read_scopes=intersect_scopes(endpoint.read_scopes, other.read_scopes),
        write_scopes=intersect_scopes(endpoint.write_scopes, other.write_scopes),
        shareable_only=endpoint.shareable_only or other.shareable_only,
        approval_required=endpoint.approval_required or other.approval_required,
        retention=RetentionPolicy(
            max_age_days=min(endpoint.retention.max_age_days, other.retention.max_age_days),
            unused_days=min(endpoint.retention.unused_days, other.retention.unused_days),
        ),
        denied=(*endpoint.denied, *other.denied),
    )

    assert _is_narrower(
        _decide(stated, written=written, trust=trust, endpoint_grant=narrower),
        _decide(stated, written=written, trust=trust, endpoint_grant=endpoint),
    )


@LAW
@given(st.lists(GRANTS, min_size=1, max_size=4), st.randoms(use_true_random=False))
def test_the_intersection_knows_no_order_and_no_repetition(grants, random):
    shuffled = [*grants, *grants]
    random.shuffle(shuffled)

    assert intersect_grants(shuffled) == intersect_grants(grants)


@pytest.mark.parametrize(
    ("own", "theirs", "expected"),
    [((10, 5), None, (10, 5)), ((10, 5), (9, 6), (9, 5)), ((10, 5), (11, 4), (10, 4)), ((10, 5), (11, 6), (10, 5))],
)
def test_the_shorter_retention_of_configuration_and_endpoint_holds_for_each_limit(own, theirs, expected):
    endpoint = theirs and EndpointGrant(
        enabled=True,
        read_scopes=("repo",),
        retention=RetentionPolicy(max_age_days=theirs[0], unused_days=theirs[1]),
    )
    decided = decide_memory_policy(
        facts(),
        settings=MemorySettings(enabled=True, max_age_days=own[0], unused_days=own[1]),
        trust=MEMORY_GRANTS["maintainer"],
        hosted=endpoint is not None,
        endpoint_grant=endpoint,
    )

    assert decided.enabled
    assert (decided.retention_policy.max_age_days, decided.retention_policy.unused_days) == expected


def test_a_grant_that_writes_more_than_it_reads_says_so():
    with pytest.raises(ValidationError, match="never wider than the read scope"):
        MemoryGrant(read_scopes=(), write_scopes=("repo",))


def test_what_is_denied_stands_in_one_order_each_once():
    revoked = [f"repo/9/{name}" for name in "hgfedcbaijklmnopabc"]

    assert _decide(revoked=revoked).denied == tuple(sorted(set(revoked)))
