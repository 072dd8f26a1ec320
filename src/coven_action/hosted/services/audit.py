"""Show the audit log to people, and its newest head, signed."""

import json
from typing import Any

from sqlalchemy import select

from coven_action.core.endpoint.audit_chain import build_head_message
from coven_action.core.endpoint.wire import AuditHead, Count, Digest, Moment, Wire
from coven_action.hosted.problems import Problem
from coven_action.hosted.services.reseal import find_newest_reseal
from coven_action.hosted.signing import SigningKey
from coven_action.hosted.store import schema
from coven_action.hosted.store.commands import Reading
from coven_action.hosted.times import from_milliseconds


class AuditEntry(Wire):
    """A row of the log; `at_ms` is what was hashed, `at` is for people."""

    seq: Count
    at: Moment
    at_ms: int
    actor: str
    action: str
    subject: str
    detail: dict[str, Any]
    previous: str
    hash: Digest


class AuditPage(Wire):
    """Rows in their order, and after which number the next ones stand."""

    entries: tuple[AuditEntry, ...]
    next: Count | None


def read_audit(reading: Reading, *, after: int, limit: int) -> AuditPage:
    """Return the rows after a number, in their order."""
    columns = schema.audit.c
    rows = reading.fetch_all(
        select(schema.audit)
        .where(columns.tenant_id == reading.tenant_id, columns.sequence > after)
        .order_by(columns.sequence)
        .limit(limit + 1)
    )
    shown = rows[:limit]
    return AuditPage(
        entries=tuple(
            AuditEntry(
                seq=row.sequence,
                at=from_milliseconds(row.at),
                at_ms=row.at,
                actor=row.actor,
                action=row.action,
                subject=row.subject,
                detail=json.loads(row.detail),
                previous=row.previous,
                hash=row.hash,
            )
            for row in shown
        ),
        next=shown[-1].sequence if len(rows) > limit else None,
    )


def read_head(reading: Reading, signer: SigningKey) -> AuditHead:
    """Return the newest head, signed.

    Raises:
        Problem: `no-such-resource`: there is no such account.
    """
    heads = reading.fetch_one(select(schema.heads).where(schema.heads.c.tenant_id == reading.tenant_id))
    if heads is None:
        raise Problem("no-such-resource")
    message = build_head_message(reading.tenant_id, heads.audit_sequence, heads.audit_hash)
    return AuditHead(
        seq=heads.audit_sequence,
        head=heads.audit_hash,
        signature=signer.sign(message),
        key_id=signer.key_id,
        resealed=find_newest_reseal(reading),
    )
