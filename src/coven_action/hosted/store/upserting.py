"""Write rows that may be there already, on either database."""

from collections.abc import Sequence
from typing import Any

from sqlalchemy import Connection, Table
from sqlalchemy.dialects import postgresql, sqlite


def add_to_counters(connection: Connection, table: Table, rows: Sequence[tuple[Any, ...]]) -> None:
    """Add amounts to the rows of a table whose last column is the amount and whose other columns are its key.

    Args:
        connection: In a transaction.
        table: The counters.
        rows: The key's values, and then what is to be added.
    """
    dialect = postgresql if connection.dialect.name == "postgresql" else sqlite
    *key, amount = (column.name for column in table.columns)
    statement = dialect.insert(table)
    statement = statement.on_conflict_do_update(
        index_elements=key, set_={amount: table.c[amount] + statement.excluded[amount]}
    )
    connection.execute(statement, [dict(zip((*key, amount), row, strict=True)) for row in rows])


def put_rows(connection: Connection, table: Table, rows: Sequence[dict[str, Any]]) -> None:
    """Write whole rows; one that is there under the same primary key is replaced.

    Args:
        connection: In a transaction.
        table: Where to.
        rows: Each with every column.
    """
    dialect = postgresql if connection.dialect.name == "postgresql" else sqlite
    statement = dialect.insert(table)
    key = [column.name for column in table.primary_key.columns]
    new = {column.name: statement.excluded[column.name] for column in table.columns if not column.primary_key}
    connection.execute(statement.on_conflict_do_update(index_elements=key, set_=new), rows)
