"""Queries of the busiest path, compiled once: from then on the database's driver is asked directly.

To lead a small query through SQLAlchemy and back takes several times as long as SQLite takes to answer it. What comes back
is the same: values of the columns' types under the columns' names, and failures as SQLAlchemy tells them.
"""

from collections import namedtuple
from collections.abc import Callable, Iterable, Sequence
from contextlib import closing
from typing import Any, Final, cast

from sqlalchemy import BindParameter, Connection, Dialect, Executable, Row, bindparam
from sqlalchemy.exc import DBAPIError

_STEP: Final = 16


class _Compiled:
    """A query in the words of one database.

    Args:
        statement: The query.
        dialect: Of the database.
    """

    def __init__(self, statement: Any, dialect: Dialect) -> None:
        compiled = statement.compile(dialect=dialect)
        columns = statement.selected_columns
        self.text = str(compiled)
        self._order: Sequence[str] | None = compiled.positiontup if compiled.positional else None
        self._constants = {name: bound.value for name, bound in compiled.binds.items() if not bound.required}
        named: Any = namedtuple("Row", [column.key for column in columns])  # type: ignore[misc] # noqa: PYI024 the names are the query's
        self._make: Callable[[Iterable[Any]], Any] = named._make
        processors = [column.type.dialect_impl(dialect).result_processor(dialect, None) for column in columns]
        self._processors = [(place, process) for place, process in enumerate(processors) if process is not None]

    def order(self, parameters: Any) -> Any:
        """Return parameters as the driver takes them: in their order, or by their names."""
        known = {**self._constants, **(parameters or {})}
        return known if self._order is None else tuple(map(known.__getitem__, self._order))

    def name(self, rows: Iterable[Sequence[Any]]) -> list[Any]:
        """Return the driver's rows with the values that the columns' types make of its own, under their names."""
        if not self._processors:
            return list(map(self._make, rows))
        named = []
        for row in rows:
            values = list(row)
            for place, process in self._processors:
                values[place] = process(values[place])
            named.append(self._make(values))
        return named


class PreparedQuery:
    """A query whose answer is asked of the driver.

    Only for parameters that the driver takes as they are (numbers, texts and bytes), each of them by its name; a list has a
    place for each of its values.

    Args:
        statement: The query.
    """

    def __init__(self, statement: Executable) -> None:
        self.statement = statement
        self._compiled: dict[str, _Compiled] = {}

    def fetch_all(self, connection: Connection, parameters: Any = None) -> Sequence[Row[Any]]:
        """Return every row.

        Raises:
            DBAPIError: The database did not answer.
        """
        dialect = connection.dialect
        compiled = self._compiled.get(dialect.name)
        if compiled is None:
            compiled = self._compiled[dialect.name] = _Compiled(self.statement, dialect)
        rows = compiled.name(_ask(connection, compiled.text, compiled.order(parameters)))
        # Of a row nothing is asked but its values, by their names or in their order.
        return cast("Sequence[Row[Any]]", rows)


Query = Executable | PreparedQuery


def count_places(values: Sequence[Any]) -> int:
    """Return for how many values a list in a statement has places that takes these.

    Not each number of values has a statement of its own: what is left over takes the last one once more.
    """
    return -(-len(values) // _STEP) * _STEP


def make_places(name: str, count: int) -> "list[BindParameter[Any]]":
    """Return a list's places in a statement, for `column.in_`: one that is unfolded anew each time costs as much as a query."""
    return [bindparam(place) for place in _name_places(name, count)]


def number(name: str, values: Sequence[Any], places: int | None = None) -> dict[str, Any]:
    """Return a list as parameters.

    Args:
        name: The same as that of its places.
        values: At least one where there are places.
        places: How many there are; as many as there are values where it is not given.
    """
    count = len(values) if places is None else places
    filled = list(values)
    filled += filled[-1:] * (count - len(values))
    return dict(zip(_name_places(name, count), filled, strict=True))


def _name_places(name: str, count: int) -> list[str]:
    return [f"{name}_{ordinal}" for ordinal in range(count)]


def fetch_all(connection: Connection, query: Query, parameters: Any = None) -> Sequence[Row[Any]]:
    """Return every row of a query, prepared or not.

    Raises:
        DBAPIError: The database did not answer.
    """
    if isinstance(query, PreparedQuery):
        return query.fetch_all(connection, parameters)
    return connection.execute(query, parameters).fetchall()


def fetch_one(connection: Connection, query: Query, parameters: Any = None) -> Row[Any] | None:
    """Return the first row of a query, prepared or not; None where there is none.

    Raises:
        DBAPIError: The database did not answer.
    """
    if isinstance(query, PreparedQuery):
        return next(iter(query.fetch_all(connection, parameters)), None)
    return connection.execute(query, parameters).first()


def _ask(connection: Connection, text: str, parameters: Any) -> Sequence[Sequence[Any]]:
    driver: Any = connection.dialect.dbapi
    with closing(connection.connection.cursor()) as cursor:
        try:
            cursor.execute(text, parameters)
            rows: Sequence[Sequence[Any]] = cursor.fetchall()
        except driver.Error as error:
            lost = connection.dialect.is_disconnect(error, connection.connection, cursor)
            if lost:
                connection.invalidate(error)
            # The values may be texts of memory.
            raise DBAPIError(text, None, error, hide_parameters=True, connection_invalidated=lost) from error
    return rows
