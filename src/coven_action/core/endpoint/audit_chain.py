"""The audit log's chain: each row is hashed together with the hash of the one before it. Pure.

A row that is changed, left out, moved or put in gives another hash for itself and for all that follow, so that whoever
kept one newer head can tell. The runs keep them: see `witness` there where heads are signed and compared.
"""

from collections.abc import Iterable
from typing import Final, NamedTuple

from coven_action.core.memory.canonicalisation import canonicalise
from coven_action.core.records import sha256_hex

GENESIS: Final = ""
"""What the first row of a chain names as its predecessor."""


class AuditRow(NamedTuple):
    """A row of the log before it is hashed.

    Args:
        sequence: Its number, from 1 without a gap.
        at: Milliseconds since 1970.
        actor: Who did it.
        action: What was done.
        subject: To what.
        detail: Canonical JSON.
        previous: The hash of the row before.
    """

    sequence: int
    at: int
    actor: str
    action: str
    subject: str
    detail: str
    previous: str


class ChainHead(NamedTuple):
    """The newest row of a chain, or of the part of it that somebody knows."""

    sequence: int
    hash: str


EMPTY: Final = ChainHead(0, GENESIS)


class ChainBroken(Exception):
    """Raised where a log is not what was once hashed.

    Args:
        sequence: Of the first row that does not fit.
        reason: What is wrong with it.
    """

    def __init__(self, sequence: int, reason: str) -> None:
        super().__init__(f"row {sequence}: {reason}")
        self.sequence = sequence
        self.reason = reason


def hash_audit_row(row: AuditRow) -> str:
    """Return the hash of a row: SHA-256 of the canonical JSON of all its values, in the order of `AuditRow`."""
    return sha256_hex(canonicalise(list(row)))


def verify_chain(rows: Iterable[tuple[AuditRow, str]], start: ChainHead = EMPTY) -> ChainHead:
    """Return the head of rows that follow one another without a gap, each with the hash that its values have.

    Moments are not compared: a clock may be set back, and order is the sequence's alone.

    Args:
        rows: Each with its hash, in the order of their numbers.
        start: The row before them.

    Raises:
        ChainBroken: One is missing, changed, moved or put in. Rows that are missing at the end show only against a head
            that somebody has kept.
    """
    head = start
    for row, stored in rows:
        if row.sequence != head.sequence + 1:
            raise ChainBroken(row.sequence, f"row {head.sequence + 1} was expected")
        if row.previous != head.hash:
            raise ChainBroken(row.sequence, "it does not follow the row before it")
        if stored != hash_audit_row(row):
            raise ChainBroken(row.sequence, "its values are not those that were hashed")
        head = ChainHead(row.sequence, stored)
    return head


def build_head_message(tenant_id: int, sequence: int, head: str) -> bytes:
    """Return what is signed of a head: canonical JSON that names the tenant, so that no head passes for another's."""
    return canonicalise({"kind": "coven-action/audit-head", "tenant": tenant_id, "seq": sequence, "head": head})
