"""A view of one tenant's data that changes nothing."""

from collections.abc import Sequence
from typing import Any

from sqlalchemy import Connection, Executable, Row


class ConnectionReading:
    """Queries over a connection, all of them as of one moment.

    Args:
        connection: In a transaction.
        tenant_id: Whose data is asked for. Every statement names it.
        now: Milliseconds since 1970.
    """

    def __init__(self, connection: Connection, tenant_id: int, now: int) -> None:
        self.tenant_id = tenant_id
        self.now = now
        self._connection = connection

    def fetch_all(self, statement: Executable, parameters: Any = None) -> Sequence[Row[Any]]:
        """Return every row of a query."""
        return self._connection.execute(statement, parameters).fetchall()

    def fetch_one(self, statement: Executable, parameters: Any = None) -> Row[Any] | None:
        """Return the first row of a query, None where there is none."""
        return self._connection.execute(statement, parameters).first()
