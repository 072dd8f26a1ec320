"""Sign the newest head of a tenant's audit log, and compare it with the one that a run has kept.

The customer's own runs are the witnesses: each gets the newest signed head, keeps it among its evidence, and the next one
sends it back. Whoever rewrites the log must change the hash at that number, and is found out by the next run. A restored
copy ends before what some runs have witnessed; the log states that itself, and the run is told which of the two it is.
"""

from sqlalchemy import select

from coven_action.core.endpoint.audit_chain import GENESIS, build_head_message
from coven_action.core.endpoint.wire import AuditHead, WitnessVerdict
from coven_action.hosted.services.reseal import excuses, find_newest_reseal, find_reseals
from coven_action.hosted.signing import SigningKey
from coven_action.hosted.store import schema
from coven_action.hosted.store.transaction import Transaction


def witness_head(transaction: Transaction, known: AuditHead | None) -> WitnessVerdict:
    """Return whether the log still has, at its number, the head that a run has kept."""
    if known is None:
        return "first"
    columns = schema.audit.c
    row = transaction.fetch_one(
        select(columns.hash).where(columns.tenant_id == transaction.tenant_id, columns.sequence == known.seq)
    )
    found = row.hash if row is not None else (GENESIS if known.seq == 0 else None)
    if found == known.head:
        return "consistent"
    return "restored" if any(excuses(each, known) for each in find_reseals(transaction)) else "diverged"


def sign_head(transaction: Transaction, signer: SigningKey) -> AuditHead:
    """Return the newest head, with this work's own rows in it, signed."""
    heads = transaction.heads
    message = build_head_message(transaction.tenant_id, heads.audit_sequence, heads.audit_hash)
    return AuditHead(
        seq=heads.audit_sequence,
        head=heads.audit_hash,
        signature=signer.sign(message),
        key_id=signer.key_id,
        resealed=find_newest_reseal(transaction),
    )
