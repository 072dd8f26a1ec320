"""Whose rows a transaction sees on PostgreSQL: those of the tenant it names as it begins, and nobody's if it names none.

Every table has policies (row-level security, enabled and forced) that compare `tenant_id` with the setting `coven.tenant`,
which lives as long as the transaction (`SET LOCAL`). The conditions in the statements stay: they are what finds the rows by
an index. The policies are there for the statement that forgets one.

A commit that several tenants share names them all, in a setting of its own (`coven.tenants`). Under that one no table is
seen but those that appending to a run takes, and of them no more than it does there: no memory, no event, no row of the audit
log can be read, and nothing be deleted. No work of a service runs there, only the statements of `transaction`.

Tenant 0 is the deployment itself: its directory. Only a transaction that names it sees accounts and repositories of
everybody, which is what it takes to enrol, to find the account of an ID token, and to list whom to sweep; it sees no run,
no event, no memory, no audit of anybody, and may change no repository. So nothing has to go around the policies: there is
no function with its owner's rights, and no role that bypasses them.

SQLite has no policies; there the conditions alone decide, and tests take out each of them in turn.
https://www.postgresql.org/docs/current/ddl-rowsecurity.html
"""

from collections.abc import Iterable, Iterator
from typing import Final, NamedTuple

from sqlalchemy import Connection, MetaData

SETTING: Final = "coven.tenant"
TOGETHER: Final = "coven.tenants"
DIRECTORY: Final = 0
"""The tenant that stands for the deployment itself."""
TURN_LOCK: Final = 0x636F76656E00
"""Advisory lock: whoever works on the directory or on the tables takes turns. The number is ASCII `coven` and a zero."""

# A setting that a transaction has made is empty after it, and not gone.
_NAMED: Final = f"NULLIF(current_setting('{SETTING}', true), '')::integer"
_OWN: Final = f"tenant_id = {_NAMED}"
_ONE_OF_THEM: Final = f"tenant_id = ANY (NULLIF(current_setting('{TOGETHER}', true), '')::integer[])"
_BY_DIRECTORY: Final = f"{_NAMED} = {DIRECTORY}"


class Policy(NamedTuple):
    """Which rows a command reaches.

    Args:
        table: Whose rows.
        name: The policy's.
        command: SELECT, INSERT, UPDATE, DELETE or ALL.
        condition: Holds for the rows that are seen, and, as PostgreSQL has it, also for those that are written.
    """

    table: str
    name: str
    command: str
    condition: str

    def render(self) -> str:
        """Return the statement that makes it."""
        clause = "WITH CHECK" if self.command == "INSERT" else "USING"
        of_one = "" if self.command == "ALL" else f" FOR {self.command}"
        return f"CREATE POLICY {self.name} ON {self.table}{of_one} {clause} ({self.condition})"


_OF_DIRECTORY: Final = (
    Policy("tenants", "listed", "SELECT", _BY_DIRECTORY),
    Policy("tenants", "enrolled", "INSERT", _BY_DIRECTORY),
    Policy("tenants", "labelled", "UPDATE", _BY_DIRECTORY),
    Policy("heads", "enrolled", "INSERT", _BY_DIRECTORY),
    Policy("repositories", "listed", "SELECT", _BY_DIRECTORY),
    Policy("deployment", "own", "ALL", _BY_DIRECTORY),
    # What each tier allows is every tenant's to read.
    Policy("deployment", "tiers", "SELECT", f"name = 'tiers' AND current_setting('{SETTING}', true) <> ''"),
)

_OF_TENANTS_TOGETHER: Final = tuple(
    Policy(table, f"{command.lower()}_together", command, _ONE_OF_THEM)
    for table, commands in {
        "heads": ("SELECT", "UPDATE"),
        "runs": ("SELECT", "UPDATE"),
        "run_events": ("INSERT",),
        "audit": ("INSERT",),
        "meters": ("SELECT", "INSERT", "UPDATE"),
        "idempotency": ("SELECT", "INSERT", "UPDATE"),
    }.items()
    for command in commands
)


def list_policies(metadata: MetaData) -> tuple[Policy, ...]:
    """Return every policy of the tables, in the order of their names."""
    of_tenants = [
        Policy(name, "own", "ALL", _OWN) for name, table in metadata.tables.items() if "tenant_id" in table.columns
    ]
    return tuple(sorted((*of_tenants, *_OF_TENANTS_TOGETHER, *_OF_DIRECTORY)))


def render_protection(metadata: MetaData) -> Iterator[str]:
    """Yield the statements that protect the tables on PostgreSQL: for steps of the migration, which keep them as they are."""
    for table in sorted(metadata.tables):
        yield f"ALTER TABLE {table} ENABLE ROW LEVEL SECURITY"
        yield f"ALTER TABLE {table} FORCE ROW LEVEL SECURITY"
    for policy in list_policies(metadata):
        yield policy.render()


def name_tenant(tenant_id: int) -> str:
    """Return the statement that names the tenant for the rest of the transaction."""
    return f"SELECT set_config('{SETTING}', '{int(tenant_id)}', true)"


def name_tenants(tenants: Iterable[int]) -> str:
    """Return the statement that names all tenants that share the rest of the transaction."""
    listed = ",".join(str(int(tenant_id)) for tenant_id in tenants)
    return f"SELECT set_config('{TOGETHER}', '{{{listed}}}', true)"


def enter(connection: Connection, tenant_id: int) -> None:
    """Go on with another tenant in the same transaction, such as one that it has just enrolled."""
    if connection.dialect.name == "postgresql":
        connection.exec_driver_sql(name_tenant(tenant_id))
