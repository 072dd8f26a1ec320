"""A view of one tenant's data that changes nothing."""

from collections.abc import Sequence
from typing import Any

from sqlalchemy import Connection, Row

from coven_action.hosted.store.prepared_query import Query, fetch_all, fetch_one


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

    def fetch_all(self, statement: Query, parameters: Any = None) -> Sequence[Row[Any]]:
        """Return every row of a query."""
        return fetch_all(self._connection, statement, parameters)

    def fetch_one(self, statement: Query, parameters: Any = None) -> Row[Any] | None:
        """Return the first row of a query, None where there is none."""
        return fetch_one(self._connection, statement, parameters)
