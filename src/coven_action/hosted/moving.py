"""Move every account from one database into another, such as from a file to PostgreSQL, and prove that nothing differs.

An account goes in one transaction, with its number, its sessions and its keys for repetition: what was acknowledged there is
acknowledged here, and a request that is repeated after the move still has one effect. A move that is cut off goes on with
the accounts that are not there yet. Afterwards every row of both databases is read again: the digests of the tables, those
that an export names among them, have to be the same. Nothing in the database it comes from is changed.
"""

import base64
import hashlib
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Final, NamedTuple

from sqlalchemy import Table, insert, select
from sqlalchemy.exc import DBAPIError

from coven_action.core.endpoint.export_format import render_row
from coven_action.core.records import canonical_json, sha256_hex
from coven_action.errors import Error
from coven_action.hosted.operating import Operator
from coven_action.hosted.services.exports import iterate_rows
from coven_action.hosted.services.retention import list_tenants
from coven_action.hosted.store import schema
from coven_action.hosted.store.commands import Reading
from coven_action.hosted.store.tenancy import DIRECTORY, enter
from coven_action.hosted.store.transaction import Group

_AT_ONCE: Final = 500
_FIRST: Final = ("tenants", "heads")
"""The directory's part of an account: written before its data."""
TABLES: Final = (
    *_FIRST,
    *(
        table.name
        for table in schema.metadata.sorted_tables
        if "tenant_id" in table.columns and table.name not in _FIRST
    ),
)
"""Every table of an account, each after those that it refers to."""


class Summary(NamedTuple):
    """An account as it lies in a database.

    Args:
        tenant_id: Its number.
        rows: How many, in all tables.
        sha256: Of the digests of its tables.
        tables: The digest of each table; for those in an export the one that its manifest names.
    """

    tenant_id: int
    rows: int
    sha256: str
    tables: dict[str, str]


class Moved(NamedTuple):
    """What a move did.

    Args:
        accounts: Each account as it lies in both databases.
        copied: Those that were not there before.
        source_sha256: Of everything in the database it came from.
        target_sha256: Of everything in the one it went to.
    """

    accounts: tuple[Summary, ...]
    copied: tuple[int, ...]
    source_sha256: str
    target_sha256: str


def move_store(source: Operator, target: Operator, tell: Callable[[str], None] = lambda _: None) -> Moved:
    """Copy what the target does not have yet, and compare everything.

    Args:
        source: Where the accounts are, opened so that nobody serves it meanwhile.
        target: Where they go, opened likewise; it has the tables, and no other account.
        tell: Is told of every account as it is done.

    Raises:
        Error: `stores-differ`: the target holds something else, or the digests are not the same.
    """
    numbers = source.read(DIRECTORY, list_tenants)
    there = frozenset(target.read(DIRECTORY, list_tenants))
    if strangers := sorted(there - set(numbers)):
        raise Error("stores-differ", f"The target has an account {strangers[0]} that the source does not have.")
    _copy_deployment(source, target)
    copied = tuple(number for number in numbers if number not in there)
    accounts = []
    for number in numbers:
        if number in copied:
            copy_account(source, target, number)
        accounts.append(compare_account(source, target, number))
        tell(f"account {number}: {accounts[-1][0].rows} rows, {accounts[-1][0].sha256}")
    here, away = zip(*accounts, strict=True) if accounts else ((), ())
    return Moved(here, copied, _digest_store(source, here), _digest_store(target, away))


def copy_account(source: Operator, target: Operator, tenant_id: int) -> None:
    """Copy one account in one transaction.

    Raises:
        Error: `stores-differ`: the target does not take it.
    """

    def write(group: Group) -> None:
        for table in (schema.metadata.tables[name] for name in TABLES):
            if table.name not in _FIRST:
                enter(group.connection, tenant_id)
            for rows in _iterate_batches(source, tenant_id, table):
                group.connection.execute(insert(table), rows)

    try:
        target.write_group((DIRECTORY,), write)
    except DBAPIError as error:
        said = str(error.orig).partition("\n")[0]
        raise Error("stores-differ", f"The target does not take account {tenant_id}: {said}.") from error


def _iterate_batches(source: Operator, tenant_id: int, table: Table) -> Iterator[list[dict[str, Any]]]:
    batch: list[dict[str, Any]] = []
    for row in source.stream(tenant_id, lambda reading: iterate_rows(reading, table)):
        batch.append({"tenant_id": tenant_id, **row})
        if len(batch) >= _AT_ONCE:
            yield batch
            batch = []
    if batch:
        yield batch


def compare_account(source: Operator, target: Operator, tenant_id: int) -> tuple[Summary, Summary]:
    """Read an account in both databases, and return what was read.

    Raises:
        Error: `stores-differ`.
    """
    here, there = (each.read(tenant_id, summarise_account) for each in (source, target))
    differing = [name for name in TABLES if here.tables[name] != there.tables[name]]
    if differing:
        raise Error("stores-differ", f"Account {tenant_id} differs in the table {differing[0]}.")
    return here, there


def summarise_account(reading: Reading) -> Summary:
    """Read every row of an account and return its digests."""
    rows, tables = 0, {}
    for name in TABLES:
        digest = hashlib.sha256()
        for row in iterate_rows(reading, schema.metadata.tables[name]):
            digest.update(render_row(name, {key: _render(value) for key, value in row.items()}) + b"\n")
            rows += 1
        tables[name] = digest.hexdigest()
    return Summary(reading.tenant_id, rows, sha256_hex(canonical_json(tables).encode()), tables)


def _render(value: Any) -> Any:
    return {"base64": base64.b64encode(value).decode()} if isinstance(value, bytes) else value


def _digest_store(operator: Operator, accounts: Sequence[Summary]) -> str:
    """Return one digest of all accounts and of what belongs to none."""
    everything = {
        "accounts": {str(account.tenant_id): account.sha256 for account in accounts},
        "deployment": operator.read(DIRECTORY, _read_deployment),
    }
    return sha256_hex(canonical_json(everything).encode())


def _read_deployment(reading: Reading) -> dict[str, str]:
    rows = reading.fetch_all(select(schema.deployment).order_by(schema.deployment.c.name))
    return {row.name: row.value for row in rows}


def _copy_deployment(source: Operator, target: Operator) -> None:
    here, there = (each.read(DIRECTORY, _read_deployment) for each in (source, target))
    differing = sorted(name for name, value in there.items() if here.get(name) != value)
    if differing:
        raise Error("stores-differ", f"The target has another {differing[0]} already: it is another deployment's.")
    rows = [{"name": name, "value": value} for name, value in here.items() if name not in there]
    if rows:
        target.write(DIRECTORY, lambda transaction: transaction.execute(insert(schema.deployment), rows))
