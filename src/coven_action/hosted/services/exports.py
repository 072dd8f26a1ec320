"""Export an account's data, and import an export into a fresh endpoint with equal digests."""

import base64
from collections.abc import Iterator, Mapping
from typing import Any, Final

from sqlalchemy import Table, insert, select, tuple_

from coven_action.core.endpoint.audit_chain import build_head_message
from coven_action.core.endpoint.export_format import (
    TABLES,
    Export,
    ExportBroken,
    ExportHeader,
    ExportManifest,
    Summing,
    render_row,
)
from coven_action.core.endpoint.wire import AuditHead, Count, Line, Moment, Wire
from coven_action.hosted.principals import PersonPrincipal
from coven_action.hosted.problems import Problem
from coven_action.hosted.services.enrolment import TenantEnrolment, enrol_tenant
from coven_action.hosted.services.memory_entries import build_wording, find_version, index_terms, list_entries
from coven_action.hosted.services.reseal import find_newest_reseal
from coven_action.hosted.signing import SigningKey
from coven_action.hosted.store import schema
from coven_action.hosted.store.commands import Reading
from coven_action.hosted.store.transaction import Group, Transaction
from coven_action.hosted.times import from_milliseconds

PAGE: Final = 1_000
_INSERTED_AT_ONCE: Final = 500


class ExportRequest(Wire):
    """Asks for an export of the account's data."""

    reason: Line = ""


class ExportReceipt(Wire):
    """That somebody asked for an export; it is made when it is fetched, as of that moment."""

    export_id: str
    requested_at: Moment
    requested_by: str
    audit_seq: Count


def request_export(
    transaction: Transaction, person: PersonPrincipal, request: ExportRequest, *, export_id: str
) -> ExportReceipt:
    """Record that a person wants the account's data."""
    sequence = transaction.append_audit(
        actor=person.actor, action="export.request", subject=f"export:{export_id}", detail={"reason": request.reason}
    )
    receipt = ExportReceipt(
        export_id=export_id,
        requested_at=from_milliseconds(transaction.now),
        requested_by=person.actor,
        audit_seq=sequence,
    )
    transaction.execute(
        insert(schema.receipts).values(
            tenant_id=transaction.tenant_id,
            receipt_id=export_id,
            kind="export",
            document=receipt.model_dump(mode="json"),
            at=transaction.now,
        )
    )
    return receipt


def check_export(reading: Reading, export_id: str) -> None:
    """Say whether an export was asked for.

    Raises:
        Problem: `no-such-resource`.
    """
    columns = schema.receipts.c
    found = reading.fetch_one(
        select(columns.receipt_id).where(
            columns.tenant_id == reading.tenant_id, columns.receipt_id == export_id, columns.kind == "export"
        )
    )
    if found is None:
        raise Problem("no-such-resource")


def iterate_export(reading: Reading, signer: SigningKey) -> Iterator[bytes]:
    """Yield the lines of the account's export, all of them as of one moment.

    Raises:
        Problem: `no-such-resource`: there is no such account.
    """
    tenants = schema.tenants.c
    tenant = reading.fetch_one(select(schema.tenants).where(tenants.tenant_id == reading.tenant_id))
    heads = reading.fetch_one(select(schema.heads).where(schema.heads.c.tenant_id == reading.tenant_id))
    if tenant is None or heads is None:
        raise Problem("no-such-resource")
    header = ExportHeader(
        issuer=tenant.issuer,
        account_id=tenant.account_id,
        account_login=tenant.account_login,
        installation_id=tenant.installation_id,
        tier=tenant.tier,
        exported_at=from_milliseconds(reading.now),
    )
    yield header.model_dump_json().encode() + b"\n"
    summing = Summing()
    for name in TABLES:
        for row in iterate_rows(reading, schema.metadata.tables[name]):
            line = render_row(name, row)
            summing.add(name, line)
            yield line + b"\n"
    message = build_head_message(reading.tenant_id, heads.audit_sequence, heads.audit_hash)
    manifest = ExportManifest(
        tables=summing.summarise(),
        event_sequence=heads.event_sequence,
        event_floor=heads.event_floor,
        run_number=heads.run_number,
        head=AuditHead(
            seq=heads.audit_sequence,
            head=heads.audit_hash,
            signature=signer.sign(message),
            key_id=signer.key_id,
            resealed=find_newest_reseal(reading),
        ),
        public_key=base64.b64encode(signer.public_key).decode(),
    )
    yield manifest.model_dump_json().encode() + b"\n"


def iterate_rows(reading: Reading, table: Table) -> Iterator[dict[str, Any]]:
    """Yield a table's rows of the account in the order of their key, a page at a time."""
    keys = [column for column in table.primary_key.columns if column.name != "tenant_id"]
    columns = [column for column in table.columns if column.name != "tenant_id"]
    last: tuple[Any, ...] | None = None
    while True:
        statement = select(*columns).where(table.c.tenant_id == reading.tenant_id).order_by(*keys).limit(PAGE)
        if last is not None:
            statement = statement.where(tuple_(*keys) > tuple_(*last))
        rows = reading.fetch_all(statement)
        for row in rows:
            yield dict(row._mapping)  # noqa: SLF001 SQLAlchemy's public name
        if len(rows) < PAGE:
            return
        last = tuple(getattr(rows[-1], key.name) for key in keys)


def import_export(lines: Iterator[bytes], group: Group) -> tuple[int, ExportManifest]:
    """Put an export into a database that does not have the account yet; return its number there and the manifest.

    Args:
        lines: The export.
        group: The one transaction that carries it: all of it is there afterwards, or nothing.

    Raises:
        ExportBroken: The export is not what it says.
        Problem: `wrong-state`: the account is enrolled already.
    """
    export = Export(lines)
    enrolling = Transaction(group, 0)
    tenant_id = _enrol(enrolling, export.header)
    enrolling.finish()
    group.read_heads_of(tenant_id)
    transaction = Transaction(group, tenant_id)
    rows: list[dict[str, Any]] = []
    current = ""
    for table, row in export.rows():
        if table != current or len(rows) >= _INSERTED_AT_ONCE:
            _insert_rows(transaction, current, rows)
            current = table
        _check_columns(schema.metadata.tables[table], row)
        rows.append({"tenant_id": tenant_id, **row})
    _insert_rows(transaction, current, rows)
    if export.manifest is None:
        raise ExportBroken("the manifest is missing")
    _set_heads(transaction, export.manifest)
    index_everything(transaction)
    transaction.finish()
    return tenant_id, export.manifest


def _insert_rows(transaction: Transaction, table: str, rows: list[dict[str, Any]]) -> None:
    if rows:
        transaction.execute(insert(schema.metadata.tables[table]), rows)
        rows.clear()


def _enrol(transaction: Transaction, header: ExportHeader) -> int:
    enrolled = enrol_tenant(
        transaction,
        TenantEnrolment(
            issuer=header.issuer,
            account_id=header.account_id,
            account_login=header.account_login,
            installation_id=header.installation_id,
            tier=header.tier,
        ),
    )
    if not enrolled.created:
        raise Problem("wrong-state", "The account is enrolled here already.")
    return enrolled.tenant_id


def _check_columns(table: Table, row: Mapping[str, Any]) -> None:
    expected = {column.name for column in table.columns} - {"tenant_id"}
    if set(row) != expected:
        raise ExportBroken(f"a row of {table.name} has other columns than this version knows")


def _set_heads(transaction: Transaction, manifest: ExportManifest) -> None:
    heads = transaction.heads
    heads.event_sequence, heads.event_floor = manifest.event_sequence, manifest.event_floor
    heads.audit_sequence, heads.audit_hash = manifest.head.seq, manifest.head.head
    heads.run_number = manifest.run_number


def index_everything(transaction: Transaction) -> None:
    """Make every approved entry findable: the index of words is derived, and so no part of an export."""
    for entry in list_entries(transaction, schema.memory.c.state == "approved"):
        version = find_version(transaction, entry.memory_id, entry.version)
        if version is not None:
            index_terms(transaction, entry, build_wording(transaction, entry, version))
