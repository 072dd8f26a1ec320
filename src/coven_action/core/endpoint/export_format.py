"""An account's export: JSON lines that anybody can check without the endpoint. Pure.

The first line says what it is; then one line for each row, table by table and in the order of their keys; the last line is
the manifest, with how many rows of each table there are and the SHA-256 of their lines. No line names the deployment's own
number for the account, so that the same data gives the same digests wherever it lies.
"""

import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping
from typing import Annotated, Any, Final, Literal

from pydantic import Field, ValidationError

from coven_action.core.endpoint.audit_chain import AuditRow, ChainBroken, verify_chain
from coven_action.core.endpoint.wire import AuditHead, Count, Digest, Moment, Wire

EXPORT_VERSION: Final = 1
MAX_LINE_BYTES: Final = 4 * 1024 * 1024

TABLES: Final = (
    "repositories", "repository_names", "policies", "runs", "run_attempts", "run_events", "memory", "memory_versions",
    "citations", "decisions", "uses", "revocations", "meters", "audit", "receipts",
)  # fmt: skip
"""What an export holds, in its order. Sessions and keys for repetition are no history; the index of words is derived."""


class ExportHeader(Wire):
    """The first line: whose data, as of when."""

    kind: Literal["coven-action/export"] = "coven-action/export"
    version: Literal[1] = 1
    issuer: str
    account_id: Count
    account_login: str
    installation_id: Count | None
    tier: str
    exported_at: Moment


class TableSummary(Wire):
    """How many rows of a table there are, and the SHA-256 of their lines."""

    rows: Count
    sha256: Digest


class ExportManifest(Wire):
    """The last line.

    Args:
        tables: Each table of `TABLES`.
        event_sequence: The newest number of the events.
        event_floor: Events up to this number are no longer kept.
        run_number: The newest number of the runs.
        head: The newest row of the audit log, signed.
        public_key: The key that signed it, base64.
    """

    kind: Literal["coven-action/export-manifest"] = "coven-action/export-manifest"
    tables: Annotated[dict[str, TableSummary], Field(max_length=40)]
    event_sequence: Count
    event_floor: Count
    run_number: Count
    head: AuditHead
    public_key: str = ""


class ExportBroken(Exception):
    """Raised where an export is not what it says. The message is one sentence with the line."""


def render_row(table: str, row: Mapping[str, Any]) -> bytes:
    """Return a row's line, without its line feed: keys in order, so that equal rows give equal lines."""
    return json.dumps({"table": table, "row": row}, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()


class Summing:
    """Counts and hashes the rows of an export as they pass."""

    def __init__(self) -> None:
        self._rows = dict.fromkeys(TABLES, 0)
        self._digests = {table: hashlib.sha256() for table in TABLES}

    def add(self, table: str, line: bytes) -> None:
        """Take a row's line into account."""
        self._rows[table] += 1
        self._digests[table].update(line + b"\n")

    def summarise(self) -> dict[str, TableSummary]:
        """Return the summary of every table."""
        return {
            table: TableSummary(rows=self._rows[table], sha256=self._digests[table].hexdigest()) for table in TABLES
        }


class Export:
    """An export that is being read, line by line: constant memory, whatever its size.

    Args:
        lines: The lines, with or without their line feeds.
    """

    def __init__(self, lines: Iterable[bytes]) -> None:
        self._lines = enumerate(lines, 1)
        self._summing = Summing()
        self.header = self._read_header()
        self.manifest: ExportManifest | None = None

    def _read_header(self) -> ExportHeader:
        for _, line in self._lines:
            try:
                return ExportHeader.model_validate_json(line)
            except ValidationError:
                break
        raise ExportBroken("line 1: this is no export of this version")

    def rows(self) -> Iterator[tuple[str, dict[str, Any]]]:
        """Yield every row with its table, and check the manifest at the end.

        Raises:
            ExportBroken: A line is none, a table stands where it may not, or the manifest is missing or says otherwise.
        """
        order = 0
        for number, line in self._lines:
            stripped = line.rstrip(b"\n")
            document = _parse_line(number, stripped)
            if "table" not in document:
                self._check_manifest(number, stripped)
                self._check_end()
                return
            table, row = document["table"], document.get("row")
            if table not in TABLES or not isinstance(row, dict) or render_row(table, row) != stripped:
                raise ExportBroken(f"line {number}: this is no row of an export")
            if TABLES.index(table) < order:
                raise ExportBroken(f"line {number}: {table} stands out of order")
            order = TABLES.index(table)
            self._summing.add(table, stripped)
            yield table, row
        raise ExportBroken("the manifest is missing: the export is cut off")

    def _check_manifest(self, number: int, line: bytes) -> None:
        try:
            manifest = ExportManifest.model_validate_json(line)
        except ValidationError as error:
            raise ExportBroken(f"line {number}: this is neither a row nor the manifest") from error
        found = self._summing.summarise()
        for table in TABLES:
            if manifest.tables.get(table) != found[table]:
                raise ExportBroken(f"line {number}: the rows of {table} are not those the manifest names")
        self.manifest = manifest

    def _check_end(self) -> None:
        for number, _ in self._lines:
            raise ExportBroken(f"line {number}: something stands after the manifest")


def _parse_line(number: int, line: bytes) -> dict[str, Any]:
    if len(line) > MAX_LINE_BYTES:
        raise ExportBroken(f"line {number}: the line is too long")
    try:
        document = json.loads(line)
    except ValueError as error:
        raise ExportBroken(f"line {number}: this is not JSON") from error
    if not isinstance(document, dict):
        raise ExportBroken(f"line {number}: this is no object")
    return document


def verify_export(lines: Iterable[bytes]) -> tuple[ExportHeader, ExportManifest]:
    """Check an export from the first line to the last, its audit chain included, and return what it says of itself.

    Raises:
        ExportBroken: It is not what it says.
    """
    export = Export(lines)
    try:
        head = verify_chain(_iterate_audit(export))
    except ChainBroken as error:
        raise ExportBroken(f"the audit log is broken at {error}") from error
    # A chain that is whole can still be cut at its end: the signed head names the number it must reach.
    if export.manifest is None or (head.sequence, head.hash) != (export.manifest.head.seq, export.manifest.head.head):
        raise ExportBroken("the audit log does not end at the head that the manifest names")
    return export.header, export.manifest


def _iterate_audit(export: Export) -> Iterator[tuple[AuditRow, str]]:
    for table, row in export.rows():
        if table == "audit":
            try:
                yield AuditRow(**{name: row[name] for name in AuditRow._fields}), row["hash"]
            except KeyError as error:
                raise ExportBroken(f"a row of the audit log has no {error}") from error
