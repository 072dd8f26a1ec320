"""Entries, policies and files for the tests of memory."""

from datetime import date

from coven_action.core.memory.entries import hash_cited_lines
from coven_action.core.memory.grants import MEMORY_GRANTS, MemorySettings
from coven_action.core.memory.policy import MemoryFacts, decide_memory_policy
from coven_action.core.memory.policy_block import BranchScope, RepositoryScope, TenantScope
from coven_action.core.redaction.redactor import Redactor

REPOSITORY_ID = 9
TODAY = date(2026, 11, 21)
REDACTOR = Redactor.build()
TREE = {
    "src/tax.py": b"import decimal\n\n\ndef total(net):\n    return round(net * 1.19, 2)\n",
    "README.md": b"# Billing\n\nRun `make generate` after editing protocol files.\n",
}
TOKEN = "ghp_" + "16C7e42F292c6912E7710c838347Ae178B4a"


def facts(**changes):
    visibility = changes.pop("visibility", "private")
    repository_id = changes.pop("repository_id", REPOSITORY_ID)
    account_id = changes.pop("account_id", 7)
    base_ref = changes.pop("base_ref", "main")
    same_repository = changes.pop("same_repository", True)
    trust_scope = changes.pop("trust_scope", "maintainer")
    assert not changes
    return MemoryFacts(
        tenant=TenantScope(account_id=account_id, account_login="acme"),
        repository=RepositoryScope(
            repository_id=repository_id, owner="acme", name="billing", visibility=visibility, default_branch="main"
        ),
        branch=BranchScope(base_ref=base_ref, head_ref="coven/issue-1", same_repository=same_repository),
        trust_scope=trust_scope,
    )


def policy(*, settings=None, revoked=(), **changes):
    stated = facts(**changes)
    return decide_memory_policy(
        stated,
        settings=settings or MemorySettings(enabled=True),
        trust=MEMORY_GRANTS[stated.trust_scope],
        revoked=revoked,
    )


def cite(path="src/tax.py", start=4, end=5):
    return f'{{path: {path}, start: {start}, end: {end}, sha256: "{hash_cited_lines(TREE[path], start, end)}"}}'


def entry(
    text="Totals are rounded to two places.", *, head="", citation=None, kind="convention", source="{person: ada}"
):
    return (
        f"---\nkind: {kind}\nsource: {source}\ncitations:\n  - {citation or cite()}\n{head and head + chr(10)}---\n\n{text}\n"
    ).encode()


def path(key):
    return f".github/coven/memory/{key}.md"
