"""State in an account's audit log that the database is a copy, after which something may be lost.

A restored copy and a rewritten log look alike to a run that has witnessed more than is there. The difference is that a
restore says so: in a row of the chain itself, which names where the copy stood. It excuses the witnesses of what was lost
and nobody else: a head that was signed after the restore knows of it, and must be found like any other.
"""

from collections.abc import Callable, Sequence
from typing import Final, Literal, Protocol

from sqlalchemy import bindparam, delete, insert, select

from coven_action.core.endpoint.wire import AuditHead, Count, Digest, Wire
from coven_action.core.oidc.authority import Role
from coven_action.hosted.principals import PersonPrincipal
from coven_action.hosted.services.memory_policy import put_policy, read_versioned
from coven_action.hosted.store import schema
from coven_action.hosted.store.commands import Reading
from coven_action.hosted.store.transaction import Transaction

ACTION: Final = "audit.reseal"
_RECEIPT: Final = "reseal"
_FIND: Final = select(schema.receipts.c.document).where(
    schema.receipts.c.tenant_id == bindparam("of_tenant"), schema.receipts.c.receipt_id == _RECEIPT
)


class CopyOrigin(Wire):
    """What is known of a copy.

    Args:
        made_at: When it was made, in milliseconds since 1970; None where nobody knows.
        sha256: Of its file; None where it is no file.
    """

    made_at: Count | None = None
    sha256: Digest | None = None


class Reseal(Wire):
    """A restore, as the log states it.

    Args:
        at: When, in milliseconds since 1970.
        seq: The number of the row that states it.
        stands_at: The newest row of the copy: what came after it may be lost.
        head: The hash of that row.
        origin: The copy.
        memory: Whether memory was turned off until an administrator has looked at it.
    """

    at: Count
    seq: Count
    stands_at: Count
    head: str
    origin: CopyOrigin
    memory: Literal["held", "kept"]


class Reseals(Wire):
    """Every restore of an account's data, the newest last."""

    stated: tuple[Reseal, ...] = ()


def find_reseals(source: Reading | Transaction) -> tuple[Reseal, ...]:
    """Return every restore that the account's log states."""
    row = source.fetch_one(_FIND, {"of_tenant": source.tenant_id})
    return () if row is None else Reseals.model_validate(row.document, strict=False).stated


def find_newest_reseal(source: Reading | Transaction) -> int:
    """Return when the log last stated a restore, in milliseconds; 0 where it never did."""
    return max((each.at for each in find_reseals(source)), default=0)


def excuses(reseal: Reseal, known: AuditHead) -> bool:
    """Return whether a restore explains that a witness's row is missing or another: it was lost, and signed before."""
    return known.seq > reseal.stands_at and known.resealed < reseal.at


def reseal(transaction: Transaction, origin: CopyOrigin, *, hold_memory: bool) -> Reseal:
    """Write that the account's data is a copy, and take back what the lost part may have taken back.

    Open sessions end, since one of them may have been closed. Memory is turned off where it is to be held: an entry that was
    revoked or erased after the copy was made is approved in it.

    Args:
        transaction: Of the account.
        origin: The copy.
        hold_memory: Whether memory waits for an administrator.
    """
    stands_at, head = transaction.heads.audit_sequence, transaction.heads.audit_hash
    known = read_versioned(transaction)
    held = hold_memory and known.policy.enabled
    stated = find_reseals(transaction)
    # Two restores within a millisecond, or after the clock was set back, are two restores.
    at = max(transaction.now, stated[-1].at + 1 if stated else 0)
    memory: Literal["held", "kept"] = "held" if held else "kept"
    sequence = transaction.append_audit(
        actor="operator",
        action=ACTION,
        subject="account",
        detail={"stands_at": stands_at, "head": head, "memory": memory, **origin.model_dump()},
    )
    done = Reseal(at=at, seq=sequence, stands_at=stands_at, head=head, origin=origin, memory=memory)
    _record(transaction, Reseals(stated=(*stated, done)))
    sessions = schema.sessions
    transaction.execute(delete(sessions).where(sessions.c.tenant_id == transaction.tenant_id))
    transaction.append_event(
        "endpoint.restored",
        {"audit_seq": sequence, "stands_at": stands_at, "made_at": origin.made_at, "memory": memory},
    )
    if held:
        operator = PersonPrincipal(transaction.tenant_id, Role.ADMIN, "operator")
        put_policy(transaction, operator, known.policy.model_copy(update={"enabled": False}), f'"{known.version}"')
    return done


class Writing(Protocol):
    """Does a piece of work for an account in a transaction of its own, as an operator's database does."""

    def write(self, tenant_id: int, work: Callable[[Transaction], Reseal]) -> Reseal:
        """Do it."""
        ...


def reseal_accounts(
    database: Writing, tenants: Sequence[int], origin: CopyOrigin, *, hold_memory: bool
) -> dict[int, Reseal]:
    """State in the audit log of every account that the database is a copy; return what each says."""
    return {
        tenant_id: database.write(tenant_id, lambda transaction: reseal(transaction, origin, hold_memory=hold_memory))
        for tenant_id in tenants
    }


def _record(transaction: Transaction, reseals: Reseals) -> None:
    columns = schema.receipts.c
    transaction.execute(
        delete(schema.receipts).where(columns.tenant_id == transaction.tenant_id, columns.receipt_id == _RECEIPT)
    )
    transaction.execute(
        insert(schema.receipts).values(
            tenant_id=transaction.tenant_id,
            receipt_id=_RECEIPT,
            kind="reseal",
            document=reseals.model_dump(mode="json"),
            at=transaction.now,
        )
    )
