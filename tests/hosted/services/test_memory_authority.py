"""What a run may read, entry by entry: each single reason against it is enough."""

from dataclasses import replace
from types import SimpleNamespace

import pytest

from coven_action.core.memory.policy_block import RetentionPolicy
from coven_action.hosted.services.memory_authority import MemoryAuthority

AUTHORITY = MemoryAuthority(
    number=1,
    repository_id=1001,
    account_id=501,
    default_branch="main",
    base_branch="main",
    trust_scope="maintainer",
    read_scopes=("repo", "tenant_shared"),
    write_scopes=("repo",),
    shareable_only=False,
    approval_required=False,
    reported_approval_required=False,
    visibilities=("private",),
    denied=("repo/1001/banned", "repo/1001/facts/banned"),
    retention=RetentionPolicy(),
    installation_id=0,
    familiar="sage",
    task_kind="fix",
    reason="",
)
ENTRY = {
    "canonical_key": "repo/1001/facts/a",
    "scope": "repo",
    "repository_id": 1001,
    "state": "approved",
    "shareable": False,
    "branches": (),
    "expires_at": 1001,
}
SHARED = {"canonical_key": "tenant/501/facts/a", "scope": "tenant_shared", "repository_id": None}


def may_read(authority=AUTHORITY, branch="main", now=1000, **changes):
    return authority.may_read(SimpleNamespace(**(ENTRY | changes)), branch, now)


@pytest.mark.parametrize(
    "changes",
    [
        {},
        SHARED,
        {"expires_at": None},
        {"branches": ("next", "main")},
        {"branches": ("next",), "branch": "next"},
        {"authority": replace(AUTHORITY, shareable_only=True), "shareable": True},
        {"canonical_key": "repo/1001/banned-not/a"},
    ],
)
def test_what_may_be_read(changes):
    assert may_read(**changes)


@pytest.mark.parametrize(
    "changes",
    [
        {"repository_id": 1002},
        {"repository_id": None},
        SHARED | {"repository_id": 1001},
        {"state": "pending"},
        {"state": "stale"},
        {"state": "revoked"},
        {"state": "expired"},
        {"state": "purged"},
        {"authority": replace(AUTHORITY, read_scopes=("tenant_shared",))},
        {"authority": replace(AUTHORITY, read_scopes=())},
        SHARED | {"authority": replace(AUTHORITY, read_scopes=("repo",))},
        {"authority": replace(AUTHORITY, shareable_only=True)},
        {"branch": "next"},
        {"branches": ("next",)},
        {"branches": ("mai",)},
        {"expires_at": 1000},
        {"expires_at": 1},
        {"canonical_key": "repo/1001/banned/a"},
        {"canonical_key": "repo/1001/facts/banned"},
    ],
)
def test_what_may_not_be_read(changes):
    assert not may_read(**changes)


@pytest.mark.parametrize(("branch", "names"), [("main", ("main", "")), ("next", ("next",))])
def test_entries_that_name_no_branch_are_for_the_default_one(branch, names):
    assert AUTHORITY.list_branches(branch) == names
