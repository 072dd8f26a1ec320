"""The governance of memory, case by case: what another tenant, repository or fork, a missing scope or a greedy result gets."""

from typing import Any

import pytest

from coven_action.core.memory.grants import MEMORY_GRANTS, EndpointGrant, MemorySettings, intersect_grants
from coven_action.core.memory.hand_off import Proposal, ProposedCitation, Use
from coven_action.core.memory.judging import judge_proposals, judge_uses
from coven_action.core.memory.keys import build_canonical_key, build_entry_id
from coven_action.core.memory.policy import MemoryFacts, decide_memory_policy
from coven_action.core.memory.policy_block import BranchScope, MemoryPolicy, RepositoryScope, TenantScope
from coven_action.core.redaction.redactor import Redactor
from coven_action.core.trust.trust import TrustScope

ON = MemorySettings(enabled=True)
EVERYTHING = EndpointGrant(
    enabled=True,
    read_scopes=("repo", "tenant_shared"),
    write_scopes=("repo",),
    shareable_only=False,
    approval_required=False,
)


def decide(
    *,
    settings: MemorySettings = ON,
    scope: TrustScope = TrustScope.MAINTAINER,
    account_id: int | None = 1,
    repository_id: int | None = 2,
    same_repository: bool = True,
    **further: Any,
) -> MemoryPolicy:
    facts = MemoryFacts(
        tenant=TenantScope(account_id=account_id, account_login="acme"),
        repository=RepositoryScope(
            repository_id=repository_id, owner="acme", name="billing", visibility="private", default_branch="main"
        ),
        branch=BranchScope(base_ref="main", head_ref="coven/issue-1", same_repository=same_repository),
        trust_scope=scope.value,
    )
    trust = further.pop("trust", MEMORY_GRANTS[scope.value])
    return decide_memory_policy(facts, settings=settings, trust=trust, **further)


def propose(policy: MemoryPolicy, key: str = "conventions/rounding", **facts: Any) -> str | None:
    proposal = Proposal(
        line=1,
        key=key,
        kind="fact",
        text="Round half up.",
        citations=(ProposedCitation(path="a.py", start=1, end=1),),
        **facts,
    )
    (judged,) = judge_proposals(
        [proposal], policy=policy, versions={}, read_file=lambda _path: b"x = 1\n", redactor=Redactor.build()
    )
    return judged.reason


def test_cross_installation():
    """Another account's entry has another id, so a run can neither be given it nor cite it."""
    here, there = (build_entry_id(f"tenant/{account}/conventions/rounding") for account in (1, 2))

    assert here != there
    (judged,) = judge_uses([Use(line=1, used=there)], manifest=(), withheld=())
    assert judged.reason == "not_materialised"
    # In hosted mode an endpoint that granted this account nothing means no memory.
    assert not decide(hosted=True, endpoint_grant=None).enabled
    assert decide(hosted=True, endpoint_grant=EVERYTHING).tenant_scope.account_id == 1


def test_cross_repository():
    """Another repository's entry has another id; a proposal cannot name a repository at all."""
    here, there = (build_entry_id(build_canonical_key(number, "conventions/rounding")) for number in (2, 3))

    assert here != there
    (judged,) = judge_uses([Use(line=1, used=there)], manifest=(), withheld=())
    assert judged.reason == "not_materialised"
    assert propose(decide(), key="repo/3/conventions/rounding") == "malformed"


@pytest.mark.parametrize("scope", list(TrustScope))
def test_fork_pull_request(scope: TrustScope):
    """Whatever else is true of a run, a head in another repository reads shareable entries at most and proposes nothing."""
    policy = decide(scope=scope, same_repository=False, trust=MEMORY_GRANTS["maintainer"])

    assert policy.write_scopes == ()
    assert policy.shareable_only
    assert propose(policy) == "out_of_scope"
    assert intersect_grants([MEMORY_GRANTS["maintainer"], MEMORY_GRANTS["fork_pr"]]).write_scopes == ()


@pytest.mark.parametrize(
    ("settings", "grant"),
    [(MemorySettings(), EVERYTHING), (ON, EndpointGrant(enabled=False)), (MemorySettings(enabled=False), None)],
)
def test_memory_disabled(settings: MemorySettings, grant: EndpointGrant | None):
    """Off on one side is off: no scope is left, and a proposal is refused."""
    policy = decide(settings=settings, hosted=grant is not None, endpoint_grant=grant)

    assert not policy.enabled
    assert (policy.read_scopes, policy.write_scopes) == ((), ())
    assert policy.reason
    assert propose(policy) == "out_of_scope"


@pytest.mark.parametrize("missing", [{"account_id": None}, {"repository_id": None}])
def test_scope_missing(missing: dict[str, None]):
    """In hosted mode a missing tenant or repository scope means no memory, with the reason."""
    policy = decide(hosted=True, endpoint_grant=EVERYTHING, **missing)

    assert not policy.enabled
    assert (policy.read_scopes, policy.write_scopes) == ((), ())
    assert policy.reason


@pytest.mark.parametrize("scope", [TrustScope.EXTERNAL, TrustScope.FORK_PR])
def test_result_writes_outside_scope(scope: TrustScope):
    """What a result proposes outside its scopes is rejected and recorded, and nothing of it is kept."""
    assert propose(decide(scope=scope)) == "out_of_scope"
    assert propose(decide(settings=MemorySettings(enabled=True, write=()))) == "out_of_scope"
    assert propose(decide()) is None
