"""Events on PostgreSQL: each month has a table of its own, so that what is past its time goes without a trace and a vacuum.

The months are made ahead by the owner of the tables: by `coven-action migrate`, and from then on by `coven-action admin
partitions`, which a schedule runs. What no month holds is kept in the default table, and told as trouble: nothing is lost,
and the next maintenance moves it to where it belongs. A month is dropped once it is over and holds no event of anybody any
more: how long events are kept is the accounts' policy, and the sweep's work.

Everybody reaches the months through `run_events` and its policies; by itself a month answers nobody but its owner.
"""

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Final, NamedTuple

from sqlalchemy import Connection, text

from coven_action.hosted.store.commands import Reading
from coven_action.hosted.store.tenancy import TURN_LOCK

TABLE: Final = "run_events"
DEFAULT: Final = f"{TABLE}_default"
MONTHS_AHEAD: Final = 3
"""Besides the current one. A schedule that fails has so many months to be noticed."""
_MONTHS: Final = 12

# https://www.postgresql.org/docs/current/functions-admin.html#FUNCTIONS-ADMIN-DBSIZE: a size is told without a right to read.
_SIZE: Final = text("SELECT pg_relation_size(to_regclass(:rest)) AS size, to_regclass(:name) AS found")
_LISTED: Final = text("SELECT inhrelid::regclass::text FROM pg_inherits WHERE inhparent = to_regclass(:parent)")


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


def maintain(connection: Connection, now: datetime) -> Maintained:
    """Make the months to come, move what the default table holds, and drop the months that are over and empty.

    Args:
        connection: The owner's, in a transaction.
        now: The moment.
    """
    connection.exec_driver_sql(f"SELECT pg_advisory_xact_lock({TURN_LOCK})")
    current = Month.of(now)
    known = set(connection.execute(_LISTED, {"parent": TABLE}).scalars())
    dropped = tuple(_drop_old(connection, known, current))
    wanted = {current.move(months) for months in range(MONTHS_AHEAD + 1)} | _find_homeless(connection)
    missing = sorted(month for month in wanted if month.name not in known)
    moved = sum(_make(connection, month) for month in missing)
    if moved:
        # Nothing is left in it: every month that it held events of has been made. Now it has no size either.
        connection.exec_driver_sql(f"TRUNCATE {DEFAULT}")
    return Maintained(tuple(month.name for month in missing), dropped, moved)


def _find_homeless(connection: Connection) -> set[Month]:
    """Return the months of the events in the default table, into which nobody writes any more until the end."""
    connection.exec_driver_sql(f"LOCK TABLE {DEFAULT} IN ACCESS EXCLUSIVE MODE")
    found = connection.exec_driver_sql(
        f"SELECT DISTINCT date_trunc('month', to_timestamp(recorded_at / 1000), 'UTC') FROM {DEFAULT}"  # noqa: S608 our own name
    )
    return {Month.of(moment) for (moment,) in found}


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
    return moved


def _drop_old(connection: Connection, known: set[str], current: Month) -> Iterator[str]:
    for name in sorted(known - {DEFAULT}):
        if name >= current.name:
            continue
        connection.exec_driver_sql(f"LOCK TABLE {name} IN ACCESS EXCLUSIVE MODE")
        if connection.exec_driver_sql(f"SELECT 1 FROM {name} LIMIT 1").first() is None:  # noqa: S608 our own name
            connection.exec_driver_sql(f"ALTER TABLE {TABLE} DETACH PARTITION {name}")
            connection.exec_driver_sql(f"DROP TABLE {name}")
            yield name


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
