"""Erase an entry: delete what it says wherever it says it, and keep a receipt of that.

What stays is the id, who decided what and when, and which runs had it. What was promoted from the entry repeats its text
and goes with it. That no byte is left in the files is the store's part: the command asks for it.
"""

import re
from collections.abc import Sequence
from typing import Any, Final

from sqlalchemy import ColumnElement, Row, and_, delete, func, insert, not_, or_, select, update

from coven_action.core.endpoint.wire import DecisionRequest, ErasurePage, ErasureReceipt
from coven_action.hosted.principals import PersonPrincipal
from coven_action.hosted.problems import Problem
from coven_action.hosted.services.memory_decisions import Asked, check_precondition, list_promoted
from coven_action.hosted.services.memory_entries import get_entry, record_decision, take_step
from coven_action.hosted.store import schema
from coven_action.hosted.store.commands import Reading
from coven_action.hosted.store.transaction import Transaction
from coven_action.hosted.times import from_milliseconds

_KIND: Final = "erasure"
_CURSOR: Final = re.compile(r"r([0-9]{1,18})\.([a-z]{1,10}_[0-9A-Za-z_-]{1,29})")
REVOKED_GAP: Final = "the entry's key stands in the list of revoked keys"


def erase_entry(
    transaction: Transaction,
    person: PersonPrincipal,
    request: DecisionRequest,
    asked: Asked,
    *,
    receipt_id: str,
    gaps: Sequence[str],
) -> ErasureReceipt:
    """Erase an entry and what was promoted from it.

    Args:
        transaction: Of the tenant.
        person: Who asks.
        request: Its reason is not kept: it may repeat what is erased.
        asked: Which entry, at which revision.
        receipt_id: A new id.
        gaps: Where the store cannot reach.

    Raises:
        Problem: `no-such-resource`; `precondition-missing`; `version-changed`; `wrong-state`: it is erased already.
    """
    del request
    entry = get_entry(transaction, asked.memory_id)
    check_precondition(entry.revision, asked.precondition)
    take_step(entry, "erase")
    erased = [entry, *(row for row in list_promoted(transaction, [entry.memory_id]) if row.state != "purged")]
    ids = [row.memory_id for row in erased]
    same_text = _list_same_text(transaction, ids)
    counts = _delete_rows(transaction, ids)
    is_revoked = _blank_revocations(transaction, [row.canonical_key for row in erased])
    for row in erased:
        _blank_entry(transaction, person, row)
    audit_sequence = transaction.append_audit(
        actor=person.actor,
        action="memory.erase",
        subject=f"memory:{entry.memory_id}",
        detail={"receipt": receipt_id, "erased": ids, "counts": counts},
    )
    receipt = ErasureReceipt(
        receipt_id=receipt_id,
        erased=tuple(ids),
        revision=entry.revision + 1,
        counts=counts,
        audit_sequence=audit_sequence,
        same_text=same_text,
        gaps=(*gaps, *([REVOKED_GAP] if is_revoked else [])),
        at=from_milliseconds(transaction.now),
    )
    transaction.execute(
        insert(schema.receipts).values(
            tenant_id=transaction.tenant_id,
            receipt_id=receipt_id,
            kind=_KIND,
            document=receipt.model_dump(mode="json"),
            at=transaction.now,
        )
    )
    transaction.append_event("memory.erase", {"ids": ids, "receipt": receipt_id})
    return receipt


def _list_same_text(transaction: Transaction, ids: Sequence[str]) -> tuple[str, ...]:
    """Return the other entries that say the same, word for word: whoever erases should know of them."""
    columns = schema.memory_versions.c
    texts = select(columns.text_sha256).where(columns.tenant_id == transaction.tenant_id, columns.memory_id.in_(ids))
    rows = transaction.fetch_all(
        select(columns.memory_id)
        .where(
            columns.tenant_id == transaction.tenant_id,
            columns.text_sha256.in_(texts),
            columns.memory_id.not_in(ids),
        )
        .distinct()
        .order_by(columns.memory_id)
    )
    return tuple(row.memory_id for row in rows)


def _delete_rows(transaction: Transaction, ids: Sequence[str]) -> dict[str, int]:
    tables = {
        "citations": schema.citations,
        "terms": schema.memory_terms,
        "versions": schema.memory_versions,
    }
    return {
        name: transaction.execute(
            delete(table).where(table.c.tenant_id == transaction.tenant_id, table.c.memory_id.in_(ids))
        )
        for name, table in tables.items()
    }


def _blank_revocations(transaction: Transaction, keys: Sequence[str]) -> bool:
    """Forget why its key was revoked; that it is has to be known. Return whether there is such a row."""
    columns = schema.revocations.c
    named: ColumnElement[bool] = and_(columns.tenant_id == transaction.tenant_id, columns.prefix.in_(keys))
    return transaction.execute(update(schema.revocations).where(named).values(reason="")) > 0


def _blank_entry(transaction: Transaction, person: PersonPrincipal, entry: Row[Any]) -> None:
    memory, decisions, uses = schema.memory.c, schema.decisions.c, schema.uses.c
    transaction.execute(
        update(schema.memory)
        .where(memory.tenant_id == transaction.tenant_id, memory.memory_id == entry.memory_id)
        .values(
            canonical_key=f"purged/{entry.memory_id}",
            state="purged",
            version=None,
            revision=entry.revision + 1,
            shareable=False,
            stale_since=None,
            expires_at=None,
            updated_at=transaction.now,
        )
    )
    transaction.execute(
        update(schema.decisions)
        .where(
            decisions.tenant_id == transaction.tenant_id,
            decisions.memory_id == entry.memory_id,
            func.length(decisions.reason) > 0,
        )
        .values(reason="")
    )
    # A link says where a use shows; anything else, from before links alone were taken, might repeat the text.
    is_link = or_(uses.reference == "", uses.reference.startswith("https://"), uses.reference.startswith("http://"))
    transaction.execute(
        update(schema.uses)
        .where(uses.tenant_id == transaction.tenant_id, uses.memory_id == entry.memory_id, not_(is_link))
        .values(reference="")
    )
    record_decision(
        transaction, entry.memory_id, entry.revision + 1, version=None, decision="erase", actor=person.actor
    )


def list_receipts(reading: Reading, *, cursor: str | None, limit: int) -> ErasurePage:
    """Return the receipts of what was erased, newest first.

    Raises:
        Problem: `cursor-invalid`.
    """
    columns = schema.receipts.c
    statement = select(columns.receipt_id, columns.document, columns.at).where(
        columns.tenant_id == reading.tenant_id, columns.kind == _KIND
    )
    if cursor is not None:
        match = _CURSOR.fullmatch(cursor)
        if match is None:
            raise Problem("cursor-invalid")
        statement = statement.where(
            or_(columns.at < int(match[1]), and_(columns.at == int(match[1]), columns.receipt_id < match[2]))
        )
    rows = reading.fetch_all(statement.order_by(columns.at.desc(), columns.receipt_id.desc()).limit(limit + 1))
    shown = rows[:limit]
    return ErasurePage(
        receipts=tuple(ErasureReceipt.model_validate(row.document) for row in shown),
        next=f"r{shown[-1].at}.{shown[-1].receipt_id}" if len(rows) > limit else None,
    )
