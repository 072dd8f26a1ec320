"""Statements of the busiest path, compiled once: they are run for many rows at a time, and in every group.

SQLAlchemy compiles them for the database at hand; from then on the rows go to its driver directly. Only for columns whose
values the driver takes as they are: numbers, texts and bytes.
"""

from collections.abc import Callable, Mapping, Sequence
from operator import itemgetter
from typing import Any, Final

from sqlalchemy import Connection, Executable, Table
from sqlalchemy.dialects import postgresql, sqlite

Row = Mapping[str, Any]
_DIALECTS: Final = {"postgresql": postgresql, "sqlite": sqlite}


class Prepared:
    """A statement whose parameters are given by name, row for row.

    Args:
        build: Returns the statement, from the module of the database's dialect.
    """

    def __init__(self, build: Callable[[Any], Executable]) -> None:
        self._build = build
        self._compiled: dict[str, tuple[str, Callable[[Row], Any]]] = {}

    def run(self, connection: Connection, rows: Sequence[Row]) -> None:
        """Run the statement for every row."""
        found = self._compiled.get(connection.dialect.name)
        if found is None:
            found = self._compiled[connection.dialect.name] = self._compile(connection)
        text, order = found
        connection.exec_driver_sql(text, [order(row) for row in rows])

    def _compile(self, connection: Connection) -> tuple[str, Callable[[Row], Any]]:
        statement: Any = self._build(_DIALECTS[connection.dialect.name])
        compiled = statement.compile(dialect=connection.dialect)
        # A driver takes its parameters in their order or by their names.
        return str(compiled), itemgetter(*compiled.positiontup) if compiled.positional else dict


def build_counting(table: Table, dialect: Any) -> Executable:
    """Return what adds to counters that may not exist yet: the last column is the amount, the others are its key."""
    *key, amount = (column.name for column in table.columns)
    statement = dialect.insert(table)
    counting: Executable = statement.on_conflict_do_update(
        index_elements=key, set_={amount: table.c[amount] + statement.excluded[amount]}
    )
    return counting


def build_replacing(table: Table, dialect: Any) -> Executable:
    """Return what writes whole rows; one that is there under the same primary key is replaced."""
    statement = dialect.insert(table)
    new = {column.name: statement.excluded[column.name] for column in table.columns if not column.primary_key}
    replacing: Executable = statement.on_conflict_do_update(index_elements=list(table.primary_key.columns), set_=new)
    return replacing
