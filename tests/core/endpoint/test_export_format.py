"""Exports that are damaged in ways that only a forger or a broken disk brings about."""

import json
from datetime import UTC, datetime

import pytest

from coven_action.core.endpoint.audit_chain import GENESIS, AuditRow
from coven_action.core.endpoint.export_format import (
    MAX_LINE_BYTES,
    TABLES,
    ExportBroken,
    ExportHeader,
    ExportManifest,
    Summing,
    render_row,
    verify_export,
)
from coven_action.core.endpoint.wire import AuditHead

HEADER = ExportHeader(
    issuer="https://example.com", account_id=501, account_login="acme", installation_id=None, tier="open",
    exported_at=datetime(2026, 11, 21, tzinfo=UTC),
)  # fmt: skip
AUDIT = AuditRow(1, 1_000, "admin", "memory.approve", "memory:1", "{}", GENESIS)


def build(*rows, **changes):
    """Return the lines of an export of these (table, row) pairs whose manifest fits them."""
    summing, lines = Summing(), [HEADER.model_dump_json().encode()]
    for table, row in rows:
        line = render_row(table, row)
        summing.add(table, line)
        lines.append(line)
    manifest = ExportManifest(
        **{
            "tables": summing.summarise(),
            "event_sequence": 0,
            "event_floor": 0,
            "run_number": 0,
            "head": AuditHead(seq=0, head=""),
            **changes,
        }
    )
    return [*lines, manifest.model_dump_json().encode()]


def test_an_export_of_nothing_is_one():
    header, manifest = verify_export(build())

    assert header == HEADER
    assert [summary.rows for summary in manifest.tables.values()] == [0] * len(TABLES)


@pytest.mark.parametrize(
    ("lines", "said"),
    [
        ([], "line 1"),
        ([b"not an export"], "line 1"),
        ([HEADER.model_dump_json().encode()], "manifest is missing"),
        ([HEADER.model_dump_json().encode(), b'{"kind": "other"}'], "line 2"),
        ([HEADER.model_dump_json().encode(), b'"' + b"x" * MAX_LINE_BYTES + b'"'], "too long"),
        ([HEADER.model_dump_json().encode(), b"\xff"], "not JSON"),
        (build(("audit", {"sequence": 1})), "has no"),
        (build(("audit", {**AUDIT._asdict(), "hash": "b" * 64})), "the audit log is broken at row 1"),
        (build(head=AuditHead(seq=1, head="a" * 64)), "does not end at the head"),
        (build(("uses", {}), ("runs", {})), "out of order"),
        ([*build(), b""], "after the manifest"),
        ([HEADER.model_dump_json().encode(), b"[]"], "this is no object"),
        ([HEADER.model_dump_json().encode(), b'{"table":"uses","row":7}'], "no row of an export"),
        ([HEADER.model_dump_json().encode(), b'{"table": "uses", "row": {}}'], "no row of an export"),
        ([*build(("uses", {}))[:-1], build()[-1]], "rows of uses are not those"),
    ],
)
def test_what_is_no_whole_export_is_told_with_its_line(lines, said):
    with pytest.raises(ExportBroken, match=said):
        verify_export(lines)


def test_a_manifest_that_leaves_out_a_table_is_refused():
    lines = build()
    manifest = json.loads(lines[-1])
    del manifest["tables"]["audit"]

    with pytest.raises(ExportBroken, match="audit"):
        verify_export([*lines[:-1], json.dumps(manifest).encode()])
