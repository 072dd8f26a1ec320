"""What is left of an erased entry on a server: nothing that any query returns, and what the receipt names."""

import pytest

from coven_action.hosted.store.postgresql import ERASURE_GAPS
from tests.hosted import postgresql
from tests.hosted.databases import POSTGRESQL
from tests.hosted.memory_world import world

__all__ = ["world"]
CANARY = "zanzibarquokka"
ANALYZE = "ANALYZE memory, memory_versions, memory_terms"
STATISTICS = {"pg_statistic", "pg_stats"}


@pytest.mark.parametrize("database", [POSTGRESQL], indirect=True)
def test_no_relation_of_a_server_returns_what_was_erased_and_the_receipt_names_where_its_bytes_may_lie(world, place):
    """The statistics of a table are values of its rows: they go as soon as it is analysed again."""
    server = postgresql.get_server()
    memory_id = world.remember(f"facts/{CANARY}", f"The {CANARY} is rounded.")
    world.remember("facts/another", "What is left is what the statistics are made of.")
    server.execute(ANALYZE, database=place.database)
    assert find_relations(place.database, CANARY) >= {"memory", "memory_versions", "memory_terms", *STATISTICS}

    receipt = world.decide(memory_id, "erase", reason=f"{CANARY} asked for it").json()

    assert find_relations(place.database, CANARY) <= STATISTICS
    server.execute(ANALYZE, database=place.database)
    assert find_relations(place.database, CANARY) == set()
    assert receipt["gaps"] == list(ERASURE_GAPS)
    for where in ("vacuum", "statistics", "write-ahead log", "backups"):
        assert [where in gap for gap in receipt["gaps"]].count(True) == 1


def find_relations(database, needle):
    """Return every table and view, and what the server notes of them, with a row that says it, whoever's row it is."""
    # Bytes are shown as hexadecimal digits.
    either = f"row::text ILIKE '%{needle}%' OR row::text LIKE '%{needle.encode().hex()}%'"
    with postgresql.get_server().connect(database) as connection:
        relations = connection.execute(
            "SELECT relname FROM pg_class WHERE relkind IN ('r', 'p', 'v', 'm') AND relnamespace = 'public'::regnamespace"
        ).fetchall()
        names = {*(name for (name,) in relations), *STATISTICS}
        return {name for name in names if connection.execute(f"SELECT 1 FROM {name} AS row WHERE {either}").fetchone()}
