"""Row-level security: what a transaction of one tenant reaches, whatever its statements forget, and that each policy counts.

Every table gets a row of two tenants. The law is then asked of the tables, not of the services: without any condition in a
statement, a transaction reaches the rows of the tenant that it names, and no others.
"""

import itertools
from contextlib import contextmanager

import psycopg
import pytest
from sqlalchemy import JSON, Boolean, Integer, LargeBinary, String
from sqlalchemy.schema import UniqueConstraint

from coven_action.hosted.store.schema import metadata
from coven_action.hosted.store.tenancy import DIRECTORY, SETTING, TOGETHER, list_policies, name_tenant, name_tenants
from tests.hosted import postgresql
from tests.hosted.postgresql import APP, OWNER

MINE, THEIRS, NEW = 1, 2, 3
SHARING = (MINE, NEW)
"""Tenants that share a commit."""
SHOWN = "tiers"
"""The one row of the deployment's own that everybody may read."""
TABLES = sorted(metadata.tables)
OF_TENANTS = [name for name in TABLES if "tenant_id" in metadata.tables[name].columns]
POLICIES = list_policies(metadata)
REFUSED = psycopg.errors.InsufficientPrivilege


def invent(column, tenant):
    """Return a value of a column's type that differs from tenant to tenant."""
    if column.name == "tenant_id":
        return tenant
    if isinstance(column.type, Boolean):
        return True
    if isinstance(column.type, JSON):
        return "{}"
    if isinstance(column.type, LargeBinary):
        return b"{}"
    if isinstance(column.type, Integer):
        return 100 + tenant
    assert isinstance(column.type, String), column
    return f"t{tenant}"


def insert_row(connection, table, tenant):
    columns = metadata.tables[table].columns
    names = ", ".join(column.name for column in columns)
    places = ", ".join(["%s"] * len(columns))
    connection.execute(f"INSERT INTO {table} ({names}) VALUES ({places})", [invent(each, tenant) for each in columns])


@pytest.fixture(scope="module")
def database():
    """A database in which every table has a row of two tenants."""
    with postgresql.open_database() as name:
        with postgresql.get_server().connect(name) as connection:
            # The rows stand for themselves: what they refer to is not there.
            connection.execute("SET session_replication_role = replica")
            for table in TABLES:
                for tenant in (MINE, THEIRS) if table in OF_TENANTS else (DIRECTORY,):
                    insert_row(connection, table, tenant)
            connection.execute("INSERT INTO deployment (name, value) VALUES (%s, '{}')", [SHOWN])
        yield name


@contextmanager
def acting(database, tenant, *altering):
    """Be the endpoint's role within a transaction of a tenant, or of several who share it, which is undone at the end.

    Args:
        altering: Statements of the owner's that the transaction begins with.
    """
    with postgresql.get_server().connect(database) as connection, connection.transaction(force_rollback=True):
        connection.execute("SET LOCAL session_replication_role = replica")
        for statement in altering:
            connection.execute(statement)
        if isinstance(tenant, tuple):
            connection.execute(name_tenants(tenant))
        elif tenant is not None:
            connection.execute("SELECT set_config(%s, %s, true)", [SETTING, str(tenant)])
        connection.execute(f"SET LOCAL ROLE {APP}")
        yield connection


def try_alone(connection, work):
    """Return what some work gives, None where it is refused; it is undone."""
    try:
        with connection.transaction(force_rollback=True):
            return work()
    except REFUSED:
        return None


def change_all(connection, table):
    column = metadata.tables[table].columns.values()[-1]
    return connection.execute(f"UPDATE {table} SET {column.name} = %s", [invent(column, MINE)]).rowcount


def find_reached(connection, tables=TABLES):
    """Return, for each table, how many rows each command reaches that names no tenant, and whether a new one's is taken."""
    reached = {}
    for table in tables:
        reached[table, "SELECT"] = try_alone(connection, lambda: connection.execute(f"SELECT * FROM {table}").rowcount)  # noqa: B023 called at once
        reached[table, "UPDATE"] = try_alone(connection, lambda: change_all(connection, table))  # noqa: B023
        reached[table, "DELETE"] = try_alone(connection, lambda: connection.execute(f"DELETE FROM {table}").rowcount)  # noqa: B023
        reached[table, "INSERT"] = try_alone(connection, lambda: insert_row(connection, table, NEW) or 1)  # noqa: B023
    return {what: count for what, count in reached.items() if count}


OWN = {(table, command): 1 for table in OF_TENANTS for command in ("SELECT", "UPDATE", "DELETE")} | {
    ("deployment", "SELECT"): 1
}
"""What a tenant reaches: its own row of every table, and no other tenant may come from it."""
BY_DIRECTORY = {
    ("tenants", "SELECT"): 2,
    ("tenants", "UPDATE"): 2,
    ("tenants", "INSERT"): 1,
    ("heads", "INSERT"): 1,
    ("repositories", "SELECT"): 2,
    **{("deployment", command): 2 for command in ("SELECT", "UPDATE", "DELETE")},
    ("deployment", "INSERT"): 1,
}
APPENDED = {
    **{(table, command): 1 for table in ("heads", "runs") for command in ("SELECT", "UPDATE")},
    **{(table, "INSERT"): 1 for table in ("run_events", "audit")},
    **{(table, command): 1 for table in ("meters", "idempotency") for command in ("SELECT", "INSERT", "UPDATE")},
}
"""What appending takes."""


def test_a_tenant_reaches_its_own_rows_and_no_others(database):
    with acting(database, MINE) as connection:
        assert find_reached(connection) == OWN


def test_the_directory_reaches_accounts_and_repositories_and_no_data(database):
    with acting(database, DIRECTORY) as connection:
        assert find_reached(connection) == BY_DIRECTORY


def test_those_who_share_a_commit_append_and_read_or_delete_nothing_else(database):
    with acting(database, SHARING) as connection:
        assert find_reached(connection) == APPENDED


@pytest.mark.parametrize("tenants", [(NEW,), ()], ids=["others", "nobody"])
def test_whoever_is_not_named_has_no_part_in_a_shared_commit(database, tenants):
    with acting(database, tenants) as connection:
        reached = find_reached(connection)
    assert set(reached) == ({what for what in APPENDED if what[1] == "INSERT"} if tenants else set())


@pytest.mark.parametrize("name", [SETTING, TOGETHER])
@pytest.mark.parametrize("setting", [None, ""], ids=["never named", "empty, as after a transaction that named one"])
def test_without_a_tenant_there_is_nothing(database, setting, name):
    with acting(database, None) as connection:
        if setting is not None:
            connection.execute("SELECT set_config(%s, %s, true)", [name, setting])
        assert find_reached(connection) == {}


def test_a_tenant_lasts_as_long_as_its_transaction(database):
    with postgresql.get_server().connect(database, APP) as connection:
        for naming in (name_tenant(MINE), name_tenants([MINE])):
            with connection.transaction():
                connection.execute(naming)
                assert connection.execute("SELECT * FROM runs").rowcount == 1
        assert connection.execute("SELECT * FROM runs").rowcount == 0


# --- each policy is needed


def loosen(policy):
    return (
        f"ALTER POLICY {policy.name} ON {policy.table} {'WITH CHECK' if policy.command == 'INSERT' else 'USING'} (true)"
    )


@pytest.mark.parametrize("policy", POLICIES, ids=lambda policy: f"{policy.table}.{policy.name}")
def test_without_the_condition_of_any_policy_somebody_reaches_others_rows(database, policy):
    with acting(database, MINE, loosen(policy)) as connection:
        assert find_reached(connection, [policy.table]) != find_expected(OWN, policy.table)


@pytest.mark.parametrize("policy", POLICIES, ids=lambda policy: f"{policy.table}.{policy.name}")
def test_without_any_policy_its_rows_are_nobodys_rather_than_everybodys(database, policy):
    drop = f"DROP POLICY {policy.name} ON {policy.table}"
    tenant, usual = find_user(policy)

    with acting(database, tenant, drop) as connection:
        reached = find_reached(connection, [policy.table])

    expected = find_expected(usual, policy.table)
    assert reached != expected
    assert all(count <= expected[what] for what, count in reached.items())


def find_user(policy):
    """Return who needs a policy, and what they reach with it."""
    if policy.name.endswith("_together"):
        return SHARING, APPENDED
    if (policy.name == "own") == (policy.table == "deployment") and policy.name != SHOWN:
        return DIRECTORY, BY_DIRECTORY
    return MINE, OWN


@pytest.mark.parametrize("table", TABLES)
def test_a_table_without_row_security_shows_everything(database, table):
    with acting(database, MINE, f"ALTER TABLE {table} DISABLE ROW LEVEL SECURITY") as connection:
        assert find_reached(connection, [table])[table, "SELECT"] == 2


def find_expected(usual, table):
    return {what: count for what, count in usual.items() if what[0] == table}


def test_the_owner_is_held_by_the_policies_as_well(database):
    with postgresql.get_server().connect(database, OWNER) as connection:
        for table in TABLES:
            assert connection.execute(f"SELECT * FROM {table}").rowcount == 0, table


# --- the tables


def test_every_table_has_its_policies_and_no_others(database):
    found = postgresql.get_server().execute(
        "SELECT tablename, policyname, cmd, permissive, roles FROM pg_policies WHERE schemaname = 'public'",
        database=database,
    )
    forced = postgresql.get_server().execute(
        "SELECT relname FROM pg_class WHERE relrowsecurity AND relforcerowsecurity", database=database
    )

    assert sorted(found) == [(each.table, each.name, each.command, "PERMISSIVE", ["public"]) for each in POLICIES]
    assert {name for (name,) in forced} == set(TABLES)
    assert {each.table for each in POLICIES} == set(TABLES)


def test_texts_are_in_the_order_of_their_bytes_whatever_the_server_speaks(database):
    found = postgresql.get_server().execute(
        "SELECT attrelid::regclass::text, attname FROM pg_attribute JOIN pg_class ON pg_class.oid = attrelid "
        "WHERE relnamespace = 'public'::regnamespace AND relkind IN ('r', 'p') AND attnum > 0 "
        "AND attcollation NOT IN (0, (SELECT oid FROM pg_collation WHERE collname = 'C')) AND relname != 'alembic_version'",
        database=database,
    )
    assert found == []


REFERENCES = [
    (name, reference)
    for name in TABLES
    for reference in sorted(metadata.tables[name].foreign_key_constraints, key=lambda each: str(each.name))
]


def test_every_key_and_every_reference_leads_with_the_tenant():
    for name, reference in REFERENCES:
        assert reference.column_keys[0] == "tenant_id", name
        assert reference.elements[0].column.name == "tenant_id", name
    for name in set(OF_TENANTS) - {"tenants"}:
        table = metadata.tables[name]
        keys = [table.primary_key, *(each for each in table.constraints if isinstance(each, UniqueConstraint))]
        assert {next(iter(key.columns)).name for key in keys} == {"tenant_id"}, name


@pytest.mark.parametrize(("table", "reference"), REFERENCES, ids=lambda each: getattr(each, "name", each))
def test_nothing_refers_to_a_row_of_another_tenant(database, table, reference):
    """Not even by a role that no policy holds for."""
    row = {column.name: invent(column, NEW) for column in metadata.tables[table].columns}
    # The values of the other tenant's row, which is there, under one's own number.
    row |= {name: invent(metadata.tables[table].columns[name], THEIRS) for name in reference.column_keys[1:]}
    with postgresql.get_server().connect(database) as connection, connection.transaction(force_rollback=True):
        connection.execute("SET LOCAL session_replication_role = replica")
        for parent in itertools.chain(*(each.elements for each in metadata.tables[table].foreign_key_constraints)):
            other = parent.column.table.name
            if other != reference.referred_table.name and connection.execute(
                f"SELECT 1 FROM {other} WHERE tenant_id = {NEW}"
            ).rowcount == 0:  # fmt: skip
                insert_row(connection, other, NEW)
        connection.execute("SET LOCAL session_replication_role = origin")
        names, places = ", ".join(row), ", ".join(["%s"] * len(row))
        with pytest.raises(psycopg.errors.ForeignKeyViolation, match=reference.name):
            connection.execute(f"INSERT INTO {table} ({names}) VALUES ({places})", list(row.values()))


FORBIDDEN = {
    "to open a table": "ALTER TABLE memory DISABLE ROW LEVEL SECURITY",
    "to let the owner go around": "ALTER TABLE memory NO FORCE ROW LEVEL SECURITY",
    "to change a policy": "ALTER POLICY own ON memory USING (true)",
    "to add a policy": "CREATE POLICY more ON memory USING (true)",
    "to drop a table": "DROP TABLE memory",
    "to empty a table for everybody": "TRUNCATE audit",
    "to become the owner": f"SET ROLE {OWNER}",
    "to make a table": "CREATE TABLE copies (id integer)",
    "to make a view with somebody's rights": "CREATE VIEW seen AS SELECT * FROM memory",
    "to watch changes": "CREATE TRIGGER t AFTER INSERT ON memory EXECUTE FUNCTION suppress_redundant_updates_trigger()",
    "to change the version": "UPDATE alembic_version SET version_num = '0'",
    "to put files into the database": "COPY memory FROM '/etc/passwd'",
}


@pytest.mark.parametrize("statement", FORBIDDEN.values(), ids=FORBIDDEN)
def test_the_endpoints_role_may_not(database, statement):
    with postgresql.get_server().connect(database, APP) as connection, pytest.raises(REFUSED):
        connection.execute(statement)


def test_turning_row_security_off_shows_an_error_and_no_row(database):
    with postgresql.get_server().connect(database, APP) as connection:
        connection.execute("SET row_security = off")
        with pytest.raises(REFUSED):
            connection.execute("SELECT * FROM memory")
