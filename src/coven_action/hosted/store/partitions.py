"""Events on PostgreSQL: each month has a table of its own, which goes as a whole once nobody has an event in it any more.

The months are made ahead by the owner of the tables: by `coven-action migrate`, and from then on by `coven-action admin
partitions`, which a schedule runs. What no month holds is kept in the default table, and told as trouble: nothing is lost,
and the next maintenance moves it to where it belongs. How long events are kept is the accounts' policy: the sweep deletes
them row by row, and the space of deleted rows is the vacuum's to give back. A month that is over and empty is dropped with
its file and its indexes.

Maintenance changes tables that everybody reads, so it locks them in the order in which everybody else does: first the whole,
then its months. It waits for that lock for `LOCK_SECONDS` and no longer, since whoever comes after it waits behind it; where
there is nothing to do it asks for none.

Everybody reaches the months through `run_events` and its policies; by itself a month answers nobody but its owner.
"""

from datetime import UTC, datetime
from typing import Final, NamedTuple

from sqlalchemy import Connection, text

from coven_action.hosted.store.commands import Reading
from coven_action.hosted.store.tenancy import TURN_LOCK

TABLE: Final = "run_events"
DEFAULT: Final = f"{TABLE}_default"
MONTHS_AHEAD: Final = 3
"""Besides the current one. A schedule that fails has so many months to be noticed."""
LOCK_SECONDS: Final = 2
"""How long maintenance waits for those who read. Everybody else waits behind it, and gives up after ten."""
_MONTHS: Final = 12

# https://www.postgresql.org/docs/current/functions-admin.html#FUNCTIONS-ADMIN-DBSIZE: a size is told without a right to read.
_SIZE: Final = text("SELECT pg_relation_size(to_regclass(:rest)) AS size, to_regclass(:name) AS found")
_LISTED: Final = text("SELECT inhrelid::regclass::text FROM pg_inherits WHERE inhparent = to_regclass(:parent)")
# A grantee without a number is everybody. https://www.postgresql.org/docs/current/functions-info.html#FUNCTIONS-ACLITEM
_GRANTEES: Final = text(
    "SELECT DISTINCT CASE grantee WHEN 0 THEN 'PUBLIC' ELSE grantee::regrole::text END "
    "FROM pg_class, aclexplode(relacl) WHERE pg_class.oid = to_regclass(:name) AND grantee != relowner"
)


class Month(NamedTuple):
    """A month of the calendar, in UTC."""

    year: int
    month: int

    @classmethod
    def of(cls, moment: datetime) -> "Month":
        """Return the month of a moment."""
        moment = moment.astimezone(UTC)
        return cls(moment.year, moment.month)

    def move(self, months: int) -> "Month":
        """Return the month that is so many later."""
        years, month = divmod(self.month - 1 + months, _MONTHS)
        return Month(self.year + years, month + 1)

    @property
    def name(self) -> str:
        """The table's name."""
        return f"{TABLE}_{self.year:04}_{self.month:02}"

    @property
    def begin(self) -> int:
        """Its first moment, in milliseconds since 1970."""
        return int(datetime(self.year, self.month, 1, tzinfo=UTC).timestamp()) * 1000

    @property
    def end(self) -> int:
        """The first moment after it."""
        return self.move(1).begin


class Maintained(NamedTuple):
    """What a maintenance did.

    Args:
        made: Tables of months that are there now.
        dropped: Tables of months that are not there any more; they were empty.
        moved: Events that had been in the default table.
    """

    made: tuple[str, ...]
    dropped: tuple[str, ...]
    moved: int


def list_months(connection: Connection) -> list[str]:
    """Return the names of the tables of months, the default table among them."""
    return sorted(connection.execute(_LISTED, {"parent": TABLE}).scalars())


def maintain(connection: Connection, now: datetime) -> Maintained:
    """Make the months to come, move what the default table holds, and drop the months that are over and empty.

    Args:
        connection: The owner's, in a transaction.
        now: The moment.

    Raises:
        DBAPIError: With the state 55P03 where somebody goes on reading events for longer than `LOCK_SECONDS`.
    """
    connection.exec_driver_sql(f"SET LOCAL lock_timeout = '{LOCK_SECONDS}s'")
    connection.exec_driver_sql(f"SELECT pg_advisory_xact_lock({TURN_LOCK})")
    known = set(list_months(connection))
    missing, over = _plan(connection, known, Month.of(now))
    if not missing and not over:
        return Maintained((), (), 0)
    # Who reads events holds the whole before its months. In the other order each would wait for the other.
    connection.exec_driver_sql(f"LOCK TABLE {TABLE} IN ACCESS EXCLUSIVE MODE")
    # Now nobody writes any more until the end: what has come in between counts.
    missing, over = _plan(connection, known, Month.of(now))
    for name in over:
        connection.exec_driver_sql(f"ALTER TABLE {TABLE} DETACH PARTITION {name}")
        connection.exec_driver_sql(f"DROP TABLE {name}")
    moved = sum(_make(connection, month) for month in missing)
    return Maintained(tuple(month.name for month in missing), over, moved)


def _plan(connection: Connection, known: set[str], current: Month) -> tuple[list[Month], tuple[str, ...]]:
    """Return the months that are to be made, and the tables that are to be dropped."""
    wanted = {current.move(months) for months in range(MONTHS_AHEAD + 1)} | _find_homeless(connection)
    past = sorted(name for name in known - {DEFAULT} if name < current.name)
    missing = sorted(month for month in wanted if month.name not in known)
    return missing, tuple(name for name in past if _is_empty(connection, name))


def _find_homeless(connection: Connection) -> set[Month]:
    """Return the months of the events in the default table."""
    found = connection.exec_driver_sql(
        f"SELECT DISTINCT date_trunc('month', to_timestamp(recorded_at / 1000), 'UTC') FROM {DEFAULT}"  # noqa: S608 our own name
    )
    return {Month.of(moment) for (moment,) in found}


def _is_empty(connection: Connection, name: str) -> bool:
    return connection.exec_driver_sql(f"SELECT 1 FROM {name} LIMIT 1").first() is None  # noqa: S608 our own name


def _make(connection: Connection, month: Month) -> int:
    """Make a month's table with what belongs into it, and return how many events were in the default one."""
    bounds = f"recorded_at >= {month.begin} AND recorded_at < {month.end}"
    connection.exec_driver_sql(f"CREATE TABLE {month.name} (LIKE {TABLE} INCLUDING DEFAULTS INCLUDING CONSTRAINTS)")
    moved = connection.exec_driver_sql(
        f"WITH moved AS (DELETE FROM {DEFAULT} WHERE {bounds} RETURNING *) INSERT INTO {month.name} SELECT * FROM moved"  # noqa: S608 our own names and numbers
    ).rowcount
    connection.exec_driver_sql(
        f"ALTER TABLE {TABLE} ATTACH PARTITION {month.name} FOR VALUES FROM ({month.begin}) TO ({month.end})"
    )
    # Its rows are seen through the whole table, whose policies hold; by itself it shows none.
    connection.exec_driver_sql(f"ALTER TABLE {month.name} ENABLE ROW LEVEL SECURITY")
    _close(connection, month.name)
    return moved


def _close(connection: Connection, name: str) -> None:
    """Take every right on a table from everybody but its owner, such as those that the owner's default privileges give."""
    for (grantee,) in connection.execute(_GRANTEES, {"name": name}).all():
        connection.exec_driver_sql(f"REVOKE ALL ON {name} FROM {grantee}")


def shrink_default(connection: Connection) -> None:
    """Give back the space of events that are gone from the default table, so that its size says again that it is empty.

    A vacuum, and no TRUNCATE: whoever has begun to read before, as an export does, still finds in it what was moved since.
    Where such a reader is under way, the next maintenance gives the space back.

    Args:
        connection: The owner's, in no transaction.
    """
    if connection.execute(_SIZE, {"rest": DEFAULT, "name": DEFAULT}).one().size:
        connection.exec_driver_sql(f"VACUUM (TRUNCATE true, SKIP_LOCKED true) {DEFAULT}")


def find_trouble(reading: Reading) -> tuple[str, ...]:
    """Say what of the months wants maintenance."""
    following = Month.of(datetime.fromtimestamp(reading.now / 1000, UTC)).move(1)
    row = reading.fetch_one(_SIZE, {"rest": DEFAULT, "name": following.name})
    if row is None:
        raise LookupError("a query without a table answers with a row")
    troubles = []
    if row.size:
        troubles.append(f"Events lie in {DEFAULT}: no table was made for their month.")
    if row.found is None:
        troubles.append(f"There is no {following.name} for the events of the next month.")
    return tuple(f"{trouble} Run `coven-action admin partitions` as the owner." for trouble in troubles)
