"""Suspend an account or a repository of it: its runs are refused, and the sessions they have open end with that."""

from typing import Final, Literal

from sqlalchemy import select, update

from coven_action.hosted.store import schema
from coven_action.hosted.store.transaction import Transaction

AccountStatus = Literal["active", "suspended"]

_AT_ONCE: Final = 500


def change_account_status(transaction: Transaction, actor: str, status: AccountStatus, reason: str) -> int:
    """Suspend the account or release it, and return how many sessions that has ended.

    What people may do with their data stays: they look at it, revoke, erase and export. A session that was ended stays so;
    after a release the account's runs open new ones.
    """
    columns = schema.tenants.c
    transaction.execute(update(schema.tenants).where(columns.tenant_id == transaction.tenant_id).values(status=status))
    ended = end_sessions(transaction) if status == "suspended" else 0
    transaction.append_audit(
        actor=actor, action=f"account.{status}", subject="account", detail={"reason": reason, "sessions": ended}
    )
    return ended


def end_sessions(transaction: Transaction, repository_id: int | None = None) -> int:
    """End the sessions of the account, or those of one repository; return how many were open.

    Whoever keeps sessions at hand has to be told once this is committed: see `hosted.ended_sessions`.
    """
    columns = schema.sessions.c
    # Those whose time is over, too: a clock that is set back would open them again.
    rows = transaction.fetch_all(
        select(columns.token_sha256, columns.document, columns.expires_at).where(
            columns.tenant_id == transaction.tenant_id, columns.closed_at.is_(None)
        )
    )
    ended = [row for row in rows if repository_id in (None, row.document["repository_id"])]
    tokens = [row.token_sha256 for row in ended]
    for start in range(0, len(tokens), _AT_ONCE):
        transaction.execute(
            update(schema.sessions)
            .where(
                columns.tenant_id == transaction.tenant_id,
                columns.token_sha256.in_(tokens[start : start + _AT_ONCE]),
            )
            .values(closed_at=transaction.now)
        )
    return sum(row.expires_at > transaction.now for row in ended)
