"""Queries that are asked of the driver directly: they answer, and fail, as they do by way of SQLAlchemy. On both databases."""

import pytest
from sqlalchemy import bindparam, literal_column, select
from sqlalchemy.exc import DBAPIError

from coven_action.hosted.store import prepared_query, schema
from coven_action.hosted.store.commands import StoreUnavailable
from coven_action.hosted.store.prepared_query import PreparedQuery, count_places, make_places, number
from tests.hosted import postgresql
from tests.hosted.databases import ON_BOTH, POSTGRESQL
from tests.hosted.memory_world import put_entry, turn_on

MEMORY = schema.memory.c
VERSIONS = schema.memory_versions.c


def build_query():
    """A number, texts, what is not there, a yes or no, a list and a document: whatever a column of ours can hold."""
    return (
        select(
            MEMORY.memory_id, MEMORY.approved_at, MEMORY.used_at, MEMORY.shareable, VERSIONS.branches,
            VERSIONS.proposed_by.label("by"), VERSIONS.reason,
        )
        .join(schema.memory_versions, (VERSIONS.tenant_id == MEMORY.tenant_id) & (VERSIONS.memory_id == MEMORY.memory_id))
        .where(MEMORY.tenant_id == bindparam("of_tenant"), MEMORY.state == "approved")
        .where(MEMORY.memory_id.in_(make_places("wanted", 8)))
        .order_by(MEMORY.memory_id)
    )  # fmt: skip


@pytest.fixture
def entries(deployment, tenant):
    deployment.write(tenant, turn_on)
    return deployment.write(
        tenant,
        lambda transaction: [
            put_entry(transaction, f"facts/{key}", "100% of the ledger: it's :here.", branches=branches, shareable=bool(branches))
            for key, branches in (("a", ()), ("b", ("main", "Zürich")), ("c", ()))
        ],
    )  # fmt: skip


@pytest.mark.parametrize("wanted", [slice(0, 1), slice(0, 3), slice(1, 3)])
@ON_BOTH
def test_rows_have_the_same_values_under_the_same_names(deployment, tenant, entries, wanted):
    asked = {"of_tenant": tenant, **number("wanted", entries[wanted], 8)}

    plain = deployment.read(tenant, lambda reading: reading.fetch_all(build_query(), asked))
    rows = deployment.read(tenant, lambda reading: reading.fetch_all(PreparedQuery(build_query()), asked))

    assert len(rows) == len(entries[wanted])
    assert [row._asdict() for row in rows] == [dict(row._mapping) for row in plain]
    assert [tuple(map(type, row)) for row in rows] == [tuple(map(type, row)) for row in plain]
    assert {row.memory_id: row.by for row in rows} == {key: {"run_id": 1} for key in entries[wanted]}


@ON_BOTH
def test_the_first_row_is_told_or_none(deployment, tenant, entries):
    query = PreparedQuery(build_query())

    def ask(*wanted):
        asked = {"of_tenant": tenant, **number("wanted", wanted, 8)}
        return deployment.read(tenant, lambda reading: reading.fetch_one(query, asked))

    assert ask(*entries).memory_id == min(entries)
    assert ask("mem_0000000000000000") is None


@ON_BOTH
def test_it_is_compiled_once_for_a_database(deployment, tenant, entries, monkeypatch):
    compiled = []
    original = prepared_query._Compiled.__init__

    def count(self, *given):
        compiled.append(given)
        original(self, *given)

    monkeypatch.setattr(prepared_query._Compiled, "__init__", count)
    query = PreparedQuery(build_query())
    asked = {"of_tenant": tenant, **number("wanted", entries, 8)}

    def read(statement):
        return len(deployment.read(tenant, lambda reading: reading.fetch_all(statement, asked)))

    assert [read(query), read(query)] == [3, 3]
    assert len(compiled) == 1


@ON_BOTH
def test_a_failure_is_told_without_the_values(deployment, tenant):
    query = PreparedQuery(
        select(literal_column("1").label("one")).where(literal_column("nothing") == bindparam("value"))
    )

    def ask(reading):
        with pytest.raises(DBAPIError) as caught:
            reading.fetch_all(query, {"value": "a text of memory"})
        raise caught.value

    with pytest.raises(StoreUnavailable, match="database-failed") as told:
        deployment.read(tenant, ask)

    cause = told.value.__cause__
    assert not cause.connection_invalidated
    assert "a text of memory" not in str(cause)
    assert cause.orig is not None


@ON_BOTH
def test_nothing_of_a_failed_query_stays(deployment, tenant, entries):
    """The next one, over the same connections, is answered."""
    bad = PreparedQuery(select(literal_column("nothing").label("made")))
    good = PreparedQuery(build_query())
    for _ in range(9):
        with pytest.raises(StoreUnavailable):
            deployment.read(tenant, lambda reading: reading.fetch_all(bad))

    rows = deployment.read(
        tenant, lambda reading: reading.fetch_all(good, {"of_tenant": tenant, **number("wanted", entries, 8)})
    )

    assert len(rows) == 3


@pytest.mark.parametrize("database", [POSTGRESQL], indirect=True)
def test_where_the_server_ends_the_connection_it_is_asked_again_over_another(deployment, tenant, entries, url):
    query, times = PreparedQuery(build_query()), []

    def ask(reading):
        times.append(None)
        if len(times) == 1:
            postgresql.get_server().execute(
                f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{url.database}'"
            )
        return reading.fetch_all(query, {"of_tenant": tenant, **number("wanted", entries, 8)})

    assert len(deployment.read(tenant, ask)) == 3
    assert len(times) == 2


@pytest.mark.parametrize(("values", "places"), [(0, 0), (1, 16), (16, 16), (17, 32), (500, 512)])
def test_a_list_takes_the_places_of_the_next_longer_one(values, places):
    names = [f"mem_{ordinal}" for ordinal in range(values)]

    assert count_places(names) == places
    numbered = number("wanted", names, count_places(names))
    assert list(numbered) == [place.key for place in make_places("wanted", places)]
    assert list(dict.fromkeys(numbered.values())) == names
