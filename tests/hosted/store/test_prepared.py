"""Statements that are compiled once: for either database, in the order or by the names that its driver takes."""

import pytest
from sqlalchemy import insert
from sqlalchemy.dialects import postgresql, sqlite

from coven_action.hosted.store import schema
from coven_action.hosted.store.prepared import Prepared, build_counting, build_replacing


class Recorder:
    """A connection that keeps what it is told to run."""

    def __init__(self, dialect):
        self.dialect = dialect
        self.ran = []

    def exec_driver_sql(self, text, rows):
        self.ran.append((text, rows))


STATEMENTS = {
    "insert": lambda _: insert(schema.heads),
    "replace": lambda dialect: build_replacing(schema.heads, dialect),
    "count": lambda dialect: build_counting(schema.meters, dialect),
}


@pytest.mark.parametrize("name", STATEMENTS)
@pytest.mark.parametrize("module", [sqlite, postgresql])
def test_a_row_goes_to_the_driver_in_the_form_it_takes(module, name):
    connection = Recorder(module.dialect())
    table = schema.meters if name == "count" else schema.heads
    row = {column.name: number for number, column in enumerate(table.columns)}

    # The order of a row's own names does not matter.
    Prepared(STATEMENTS[name]).run(connection, [row, dict(reversed(row.items()))])

    ((text, rows),) = connection.ran
    assert text.startswith(f"INSERT INTO {table.name} (")
    assert rows == ([tuple(row.values())] * 2 if module is sqlite else [row, row])


def test_it_is_compiled_once_for_a_database():
    built = []
    statement = Prepared(lambda dialect: built.append(dialect) or insert(schema.heads))
    rows = [{column.name: 1 for column in schema.heads.columns}]

    for module in (sqlite, postgresql, sqlite):
        statement.run(Recorder(module.dialect()), rows)

    assert built == [sqlite, postgresql]


def test_a_counter_is_counted_on_and_a_row_replaced_whole():
    dialect = sqlite.dialect()

    assert "DO UPDATE SET amount = (meters.amount + excluded.amount)" in str(
        build_counting(schema.meters, sqlite).compile(dialect=dialect)
    )
    replacing = str(build_replacing(schema.idempotency, sqlite).compile(dialect=dialect))
    assert "ON CONFLICT (tenant_id, route, " in replacing
    assert "body = excluded.body" in replacing
    assert "tenant_id = excluded" not in replacing
