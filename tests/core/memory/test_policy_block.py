"""The memory policy block."""

import json

import pytest
from pydantic import ValidationError

from coven_action.core.memory.policy_block import MemoryPolicy
from tests.core.contract.test_contract import POLICY

GRANT = {
    **json.loads(POLICY.model_dump_json()),
    "enabled": True,
    "read_scopes": ["repo", "tenant_shared"],
    "write_scopes": ["repo"],
    "reason": "enabled in .github/coven.yml for a maintainer",
}


def test_the_block_that_is_off_has_every_field_and_grants_nothing():
    document = json.loads(POLICY.model_dump_json())
    assert set(document) == {
        "enabled", "tenant_scope", "repo_scope", "branch_scope", "trust_scope", "read_scopes", "write_scopes",
        "shareable_only", "approval_required", "retention_policy", "denied", "reason",
    }  # fmt: skip
    assert document["enabled"] is False
    assert (document["read_scopes"], document["write_scopes"]) == ([], [])
    assert document["shareable_only"]
    assert document["approval_required"]
    assert document["retention_policy"] == {
        "max_age_days": 365, "unused_days": 90, "delete_on_uninstall": True, "redact_secrets": True,
    }  # fmt: skip


def test_a_grant_survives_its_way_through_a_document():
    policy = MemoryPolicy.model_validate(GRANT)
    assert MemoryPolicy.model_validate_json(policy.model_dump_json()) == policy


@pytest.mark.parametrize(
    "changes",
    [
        {"enabled": False},
        {"enabled": False, "write_scopes": []},
        {"enabled": "yes"},
        {"read_scopes": ["familiar_global"]},
        {"read_scopes": ["repo"], "write_scopes": ["tenant_shared"]},
        {"read_scopes": [], "write_scopes": ["repo"]},
        {"trust_scope": "fork_pr"},
        {"trust_scope": "owner"},
        {"reason": ""},
        {"reason": "two\nlines"},
        {"reason": "x" * 301},
        {"tenant_scope": {"account_id": "7", "account_login": "acme"}},
        {"tenant_scope": {"account_id": 0, "account_login": "acme"}},
        {"tenant_scope": {"account_id": True, "account_login": "acme"}},
        {"retention_policy": {"redact_secrets": False}},
        {"retention_policy": {"delete_on_uninstall": False}},
        {"retention_policy": {"max_age_days": 0}},
        {"retention_policy": {"unused_days": 0}},
        {"repo_scope": {**GRANT["repo_scope"], "repository_id": 0}},
        {"repo_scope": {**GRANT["repo_scope"], "visibility": "secret"}},
        {"surprise": 1},
    ],
)
def test_a_block_that_grants_what_no_run_gets_is_refused(changes):
    with pytest.raises(ValidationError):
        MemoryPolicy.model_validate({**GRANT, **changes})


def test_a_reason_of_exactly_the_allowed_length_is_kept():
    assert MemoryPolicy.model_validate({**GRANT, "reason": "x" * 300}).reason == "x" * 300
    assert MemoryPolicy.model_validate({**GRANT, "reason": "x"}).reason == "x"


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"enabled": False, "write_scopes": []}, "memory that is off grants no scope"),
        ({"enabled": False, "read_scopes": []}, "memory that is off grants no scope"),
        ({"read_scopes": []}, "a write scope is never wider than the read scope"),
        ({"trust_scope": "fork_pr"}, "a fork never receives a write scope"),
    ],
)
def test_a_contradiction_is_told(changes, said):
    with pytest.raises(ValidationError, match=said):
        MemoryPolicy.model_validate({**GRANT, **changes})


def test_a_block_never_changes():
    with pytest.raises(ValidationError, match="frozen"):
        POLICY.enabled = True


def test_a_fork_may_read_but_never_propose():
    policy = MemoryPolicy.model_validate({**GRANT, "trust_scope": "fork_pr", "write_scopes": []})
    assert policy.read_scopes == ("repo", "tenant_shared")
