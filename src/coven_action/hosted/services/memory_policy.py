"""What an account's administrator sets for memory, in versions: the newest one holds from the next request on."""

from typing import Any, Final

from sqlalchemy import case, func, insert, select, update

from coven_action.core.endpoint.approval import BY_POLICY, DAY, find_unused_days
from coven_action.core.endpoint.wire import Count, Wire
from coven_action.core.memory.policy_block import RetentionPolicy
from coven_action.core.records import sha256_hex
from coven_action.hosted.principals import PersonPrincipal
from coven_action.hosted.services.memory_decisions import check_precondition
from coven_action.hosted.services.policies import AccountPolicy
from coven_action.hosted.store import schema
from coven_action.hosted.store.commands import Reading
from coven_action.hosted.store.transaction import Transaction

KIND: Final = "memory"


class VersionedPolicy(Wire):
    """The account's memory policy; its version, 0 before the first, is the ETag."""

    version: Count
    policy: AccountPolicy


def read_versioned(source: Reading | Transaction) -> VersionedPolicy:
    """Return what holds."""
    columns = schema.policies.c
    row = source.fetch_one(
        select(columns.version, columns.document)
        .where(columns.tenant_id == source.tenant_id, columns.kind == KIND)
        .order_by(columns.version.desc())
        .limit(1)
    )
    if row is None:
        return VersionedPolicy(version=0, policy=AccountPolicy())
    return VersionedPolicy(version=row.version, policy=AccountPolicy.model_validate(row.document))


def put_policy(
    transaction: Transaction, person: PersonPrincipal, policy: AccountPolicy, precondition: str
) -> VersionedPolicy:
    """Set the account's memory policy, and let it hold for what is approved already.

    Raises:
        Problem: `precondition-missing`; `version-changed`: somebody else has set another.
    """
    version = read_versioned(transaction).version
    check_precondition(version, precondition)
    document = policy.model_dump(mode="json")
    transaction.execute(
        insert(schema.policies).values(
            tenant_id=transaction.tenant_id,
            kind=KIND,
            version=version + 1,
            document=document,
            actor=person.actor,
            at=transaction.now,
        )
    )
    _move_expiries(transaction, policy.retention)
    transaction.append_event("policy.changed", {"kind": KIND, "version": version + 1})
    transaction.append_audit(
        actor=person.actor,
        action="policy.put",
        subject=f"policy:{KIND}",
        detail={"version": version + 1, "sha256": sha256_hex(policy.model_dump_json().encode())},
    )
    return VersionedPolicy(version=version + 1, policy=policy)


def _move_expiries(transaction: Transaction, retention: RetentionPolicy) -> None:
    """Compute when approved entries expire anew, as `compute_expiry` does, in one statement."""
    columns = schema.memory.c
    used = func.coalesce(columns.used_at, columns.approved_at)
    last: Any = case((used > columns.approved_at, used), else_=columns.approved_at)
    unused: Any = case(
        (columns.approved_by == BY_POLICY, last + find_unused_days(BY_POLICY, retention) * DAY),
        else_=last + find_unused_days("", retention) * DAY,
    )
    oldest = columns.approved_at + retention.max_age_days * DAY
    transaction.execute(
        update(schema.memory)
        .where(
            columns.tenant_id == transaction.tenant_id,
            columns.state.in_(("approved", "stale")),
        )
        .values(expires_at=case((unused < oldest, unused), else_=oldest))
    )
