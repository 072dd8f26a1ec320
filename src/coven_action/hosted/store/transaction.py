"""One tenant's piece of work on the database: its statements, and the rows that every change brings along.

An effect, its events, its audit row, its meters and its idempotency record are committed together or not at all. The rows
that many pieces of work bring (events, audit, meters, replies) are gathered and written for a whole group at once; a
piece of work that fails leaves none of them. A query does not find them before: what a piece of work has appended shows in
`heads` and in `find_run` alone. Sequences are taken from the tenant's row in `heads`, which the group holds
until its commit: that is why they have no gap.
"""

import json
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from functools import lru_cache
from typing import Any, Final, NamedTuple

from sqlalchemy import (
    JSON,
    ColumnElement,
    Connection,
    Executable,
    Row,
    Select,
    bindparam,
    insert,
    select,
    tuple_,
    update,
)

from coven_action.core.endpoint.audit_chain import AuditRow, hash_audit_row
from coven_action.core.memory.canonicalisation import canonicalise
from coven_action.hosted.store import schema
from coven_action.hosted.store.prepared import Prepared, build_counting, build_replacing
from coven_action.hosted.store.prepared_query import (
    PreparedQuery,
    Query,
    count_places,
    fetch_all,
    fetch_one,
    make_places,
    number,
)
from coven_action.hosted.store.tenancy import enter


class RunKey(NamedTuple):
    """A run of a tenant."""

    repository_id: int
    run_id: int


class MeterKey(NamedTuple):
    """Whose use it is: a row of the table `meters` without its day."""

    installation_id: int = 0
    repository_id: int = 0
    familiar: str = ""
    task_kind: str = ""


class IdempotencyKey(NamedTuple):
    """What makes a repeated write the same write.

    Args:
        route: The route's name.
        key: What the client sent, the same for ever.
        fingerprint: SHA-256 of the canonical request.
    """

    route: str
    key: str
    fingerprint: str


@dataclass(frozen=True, slots=True)
class Reply:
    """An answer as it is stored for a repetition.

    Args:
        status: HTTP status.
        body: JSON, UTF-8.
        replayed: Whether it is an earlier answer, told again.
    """

    status: int
    body: bytes
    replayed: bool = False


@dataclass(slots=True)
class Heads:
    """The newest numbers of a tenant."""

    event_sequence: int
    event_floor: int
    audit_sequence: int
    audit_hash: str
    run_number: int


@dataclass(slots=True)
class _Rows:
    """Rows to be written when the group is."""

    events: list[dict[str, Any]] = field(default_factory=list)
    audit: list[dict[str, Any]] = field(default_factory=list)
    replies: dict[tuple[int, str, str], dict[str, Any]] = field(default_factory=dict)
    counts: dict[tuple[int, int, int], int] = field(default_factory=dict)
    meters: "Counter[tuple[Any, ...]]" = field(default_factory=Counter)


METERED: Final = "metered"
"""Where an audit row names what was counted: lists of a key of `meters` and the measures with their amounts."""
IDEMPOTENCY_DAYS: Final = 30
_DAY: Final = 86_400_000
# SQLite takes 32,766 parameters in a statement.
_LOOKED_UP_AT_ONCE: Final = 2_000


@lru_cache(maxsize=256)
def _build_heads(places: int, *, free_only: bool) -> PreparedQuery:
    wanted = select(schema.heads).where(schema.heads.c.tenant_id.in_(make_places("tenant", places)))
    # Who waits for nobody while it holds rows keeps nobody waiting, and cannot be waited for in a circle.
    return PreparedQuery(wanted.with_for_update(skip_locked=free_only))


_INSERT_EVENTS: Final = Prepared(lambda _: insert(schema.run_events))
_INSERT_AUDIT: Final = Prepared(lambda _: insert(schema.audit))
# A key that has expired may still have its row.
_PUT_REPLIES: Final = Prepared(lambda dialect: build_replacing(schema.idempotency, dialect))
_COUNT: Final = Prepared(lambda dialect: build_counting(schema.meters, dialect))
_UPDATE_COUNTS: Final = Prepared(
    lambda _: (
        update(schema.runs)
        .where(
            schema.runs.c.tenant_id == bindparam("of_tenant"),
            schema.runs.c.repository_id == bindparam("of_repository"),
            schema.runs.c.run_id == bindparam("of_run"),
        )
        .values(event_count=bindparam("new_count"), updated_at=bindparam("new_moment"))
    )
)
_UPDATE_HEADS: Final = Prepared(
    lambda _: (
        update(schema.heads)
        .where(schema.heads.c.tenant_id == bindparam("of_tenant"))
        .values({name: bindparam(f"new_{name}") for name in Heads.__dataclass_fields__})
    )
)


# Without the documents of a run, which would be read anew for each of its events.
_SUMMARY: Final = tuple(column for column in schema.runs.columns if not isinstance(column.type, JSON))
_SUMMARY_NAMES: Final = frozenset(column.name for column in _SUMMARY)


def _build_look_up(read: Select[Any], *key: ColumnElement[Any]) -> Select[Any]:
    return read.where(tuple_(*key).in_(bindparam("wanted", expanding=True)))


_READ_RUNS: Final = _build_look_up(
    select(*_SUMMARY), schema.runs.c.tenant_id, schema.runs.c.repository_id, schema.runs.c.run_id
)
_READ_REPLIES: Final = _build_look_up(
    select(schema.idempotency), schema.idempotency.c.tenant_id, schema.idempotency.c.route, schema.idempotency.c.key
)


def to_milliseconds(moment: datetime) -> int:
    """Return a moment as the tables hold it."""
    return int(moment.timestamp() * 1000)


class Group:
    """The pieces of work that one commit carries.

    Args:
        connection: In a transaction of its own.
        now: The moment of all of them.
        tenants: Whose work it is; their rows in `heads` are read, and held, at once.
        free_only: Whether a row in `heads` that somebody else holds is left out, rather than waited for.
        keys: Idempotency keys that will be asked for.
        runs: Runs that will be asked for.
    """

    def __init__(
        self,
        connection: Connection,
        now: datetime,
        *,
        tenants: Iterable[int],
        free_only: bool = False,
        keys: Iterable[tuple[int, IdempotencyKey]] = (),
        runs: Iterable[tuple[int, RunKey]] = (),
    ) -> None:
        self.connection = connection
        self.now = to_milliseconds(now)
        self.day = now.strftime("%Y-%m-%d")
        self.heads = self._read_heads(sorted(set(tenants)), free_only=free_only)
        self.rows = _Rows()
        self.runs: dict[tuple[int, int, int], Mapping[str, Any]] = self._read_runs(runs)
        self.replies = self._read_replies(keys)
        self._changed_heads: set[int] = set()

    def _read_heads(self, tenants: Sequence[int], *, free_only: bool = False) -> dict[int, Heads]:
        places = count_places(tenants)
        query = _build_heads(places, free_only=free_only)
        found: Any = query.fetch_all(self.connection, number("tenant", tenants, places))
        return {row[0]: Heads(*row[1:]) for row in found}

    def read_heads_of(self, tenant_id: int) -> None:
        """Go on as a tenant that this very group has enrolled: read, and hold, its heads."""
        enter(self.connection, tenant_id)
        self.heads |= self._read_heads([tenant_id])

    def _read_runs(self, runs: Iterable[tuple[int, RunKey]]) -> dict[tuple[int, int, int], Mapping[str, Any]]:
        found = self._look_up(_READ_RUNS, {(tenant, *run) for tenant, run in runs})
        return {(row.tenant_id, row.repository_id, row.run_id): dict(row._mapping) for row in found}  # noqa: SLF001 SQLAlchemy's public name

    def _read_replies(
        self, keys: Iterable[tuple[int, IdempotencyKey]]
    ) -> dict[tuple[int, str, str], tuple[str, Reply]]:
        found = self._look_up(_READ_REPLIES, {(tenant, key.route, key.key) for tenant, key in keys})
        return {
            (row.tenant_id, row.route, row.key): (row.fingerprint, Reply(row.status, row.body, replayed=True))
            for row in found
            if row.expires_at > self.now
        }

    def _look_up(self, statement: Select[Any], wanted: set[tuple[Any, ...]]) -> list[Row[Any]]:
        """Return the rows of all the wanted keys: one statement for the whole group, not one for each piece of work."""
        ordered = sorted(wanted)
        return [
            row
            for start in range(0, len(ordered), _LOOKED_UP_AT_ONCE)
            for row in self.connection.execute(statement, {"wanted": ordered[start : start + _LOOKED_UP_AT_ONCE]})
        ]

    def find_reply(self, tenant_id: int, key: IdempotencyKey) -> tuple[str, Reply] | None:
        """Return the fingerprint and the answer that were stored under a key."""
        return self.replies.get((tenant_id, key.route, key.key))

    def absorb(self, transaction: "Transaction") -> None:
        """Take over what a piece of work has left to be written."""
        rows = transaction.rows
        self.rows.events += rows.events
        self.rows.audit += rows.audit
        self.rows.replies |= rows.replies
        self.rows.counts |= rows.counts
        self.rows.meters.update(rows.meters)
        self.runs |= transaction.known_runs
        for place, row in rows.replies.items():
            self.replies[place] = (row["fingerprint"], Reply(row["status"], row["body"], replayed=True))
        if transaction.held_heads is not None and transaction.held_heads != self.heads[transaction.tenant_id]:
            self.heads[transaction.tenant_id] = transaction.held_heads
            self._changed_heads.add(transaction.tenant_id)

    def flush(self) -> None:
        """Write what the pieces of work have left."""
        for statement, rows in (
            (_INSERT_EVENTS, self.rows.events),
            (_INSERT_AUDIT, self.rows.audit),
            (_PUT_REPLIES, list(self.rows.replies.values())),
            (_UPDATE_COUNTS, self._list_counts()),
            (_COUNT, self._list_meters()),
            (_UPDATE_HEADS, self._list_heads()),
        ):
            if rows:
                statement.run(self.connection, rows)

    def _list_counts(self) -> list[dict[str, Any]]:
        names = ("of_tenant", "of_repository", "of_run", "new_count", "new_moment")
        return [dict(zip(names, (*place, count, self.now), strict=True)) for place, count in self.rows.counts.items()]

    def _list_meters(self) -> list[dict[str, Any]]:
        names = schema.meters.columns.keys()
        return [
            dict(zip(names, (*key, amount), strict=True)) for key, amount in sorted(self.rows.meters.items()) if amount
        ]

    def _list_heads(self) -> list[dict[str, Any]]:
        return [
            {"of_tenant": tenant}
            | {f"new_{name}": getattr(self.heads[tenant], name) for name in Heads.__dataclass_fields__}
            for tenant in sorted(self._changed_heads)
        ]


class Transaction:
    """What a service works with: statements of one tenant, and the rows that a change brings along.

    Args:
        group: The commit it belongs to.
        tenant_id: Whose work it is.
        appending: Whether it may do without statements of its own, and so has to.
    """

    def __init__(self, group: Group, tenant_id: int, *, appending: bool = False) -> None:
        self.tenant_id = tenant_id
        self._appending = appending
        self.now = group.now
        self.rows = _Rows()
        self._group = group
        self._unaudited: dict[MeterKey, dict[str, int]] = {}
        self._savepoint: Any = None
        self.known_runs: dict[tuple[int, int, int], Mapping[str, Any]] = {}
        held = group.heads.get(tenant_id)
        self.held_heads = Heads(**{name: getattr(held, name) for name in Heads.__dataclass_fields__}) if held else None

    @property
    def heads(self) -> Heads:
        """The tenant's newest numbers; to change them here is what changes their row.

        Raises:
            LookupError: The tenant is not enrolled, so that it has no sequence in which anything could stand.
        """
        if self.held_heads is None:
            raise LookupError(f"tenant {self.tenant_id} has no heads")
        return self.held_heads

    @property
    def day(self) -> str:
        """The day of the group's moment in UTC, as the meters write it."""
        return self._group.day

    def fetch_all(self, statement: Query, parameters: Any = None) -> Sequence[Row[Any]]:
        """Return every row of a query."""
        return fetch_all(self._get_connection(), statement, parameters)

    def fetch_one(self, statement: Query, parameters: Any = None) -> Row[Any] | None:
        """Return the first row of a query, None where there is none."""
        return fetch_one(self._get_connection(), statement, parameters)

    def execute(self, statement: Executable, parameters: Any = None) -> int:
        """Change rows; return how many."""
        connection = self._get_connection()
        # Work that only appends needs no savepoint: its rows are gathered, and forgotten where it fails.
        if self._savepoint is None:
            self._savepoint = connection.begin_nested()
        return connection.execute(statement, parameters).rowcount

    def _get_connection(self) -> Connection:
        if self._appending:
            raise AssertionError("work that only appends has no statement of its own")
        return self._group.connection

    def find_run_summary(self, run: RunKey) -> Mapping[str, Any] | None:
        """Return the row of a run without its documents, as this work sees it: with what its group has changed."""
        place = (self.tenant_id, *run)
        known = self.known_runs.get(place) or self._group.runs.get(place)
        if known is not None or self._appending:
            return known
        row = self.fetch_one(select(*_SUMMARY).where(*self._name_run(run)))
        if row is not None:
            self.known_runs[place] = dict(row._mapping)  # noqa: SLF001 SQLAlchemy's public name
        return self.known_runs.get(place)

    def find_run(self, run: RunKey) -> Mapping[str, Any] | None:
        """Return the whole row of a run as this work sees it."""
        row = self.fetch_one(select(schema.runs).where(*self._name_run(run)))
        if row is None:
            return None
        # What is gathered for the group, such as the number of events, is not in the table yet.
        return {**row._mapping, **(self.find_run_summary(run) or {})}  # noqa: SLF001 SQLAlchemy's public name

    def update_run(self, run: RunKey, values: Mapping[str, Any]) -> None:
        """Change the row of a run, which must exist."""
        self.execute(update(schema.runs).where(*self._name_run(run)).values(**values, updated_at=self.now))
        changed = {name: value for name, value in values.items() if name in _SUMMARY_NAMES}
        self.known_runs[self.tenant_id, *run] = {
            **(self.find_run_summary(run) or {}),
            **changed,
            "updated_at": self.now,
        }

    def _name_run(self, run: RunKey) -> tuple[ColumnElement[bool], ...]:
        columns = schema.runs.c
        return (
            columns.tenant_id == self.tenant_id,
            columns.repository_id == run.repository_id,
            columns.run_id == run.run_id,
        )

    def append_event(
        self, type_: str, data: Mapping[str, Any] | str, *, run: RunKey | None = None, attempt: int | None = None,
        at: int | None = None,
    ) -> int:  # fmt: skip
        """Add an event to the tenant's sequence and return its number.

        Args:
            type_: What happened.
            data: What there is to say, as an object or as its JSON.
            run: The run it belongs to.
            attempt: The attempt of the run.
            at: When it happened, in milliseconds; now where it is not given.
        """
        self.heads.event_sequence += 1
        self.rows.events.append(
            {
                "tenant_id": self.tenant_id,
                "sequence": self.heads.event_sequence,
                "repository_id": run.repository_id if run else None,
                "run_id": run.run_id if run else None,
                "attempt": attempt,
                "type": type_,
                "at": self.now if at is None else at,
                "recorded_at": self.now,
                "data": data if isinstance(data, str) else json.dumps(data, separators=(",", ":")),
            }
        )
        return self.heads.event_sequence

    def count_events(self, run: RunKey, count: int) -> None:
        """Note that a run, which must exist, has so many more events of its own."""
        row = self.find_run_summary(run) or {}
        place = (self.tenant_id, *run)
        self.rows.counts[place] = row["event_count"] + count
        self.known_runs[place] = {**row, "event_count": self.rows.counts[place], "updated_at": self.now}

    def append_audit(self, *, actor: str, action: str, subject: str, detail: Mapping[str, Any]) -> int:
        """Add a row to the tenant's chain and return its number.

        Args:
            actor: Who did it: `run:<repository id>/<run id>`, `person:<id>`, `admin` or `policy`.
            action: What was done.
            subject: To what.
            detail: Ids, digests, counts and reasons; never a text of memory. What was counted since the last row of
                this work is added as `metered`, so that usage can be counted again from the log alone.
        """
        if self._unaudited:
            metered = [[*key, measures] for key, measures in sorted(self._unaudited.items())]
            detail = {**detail, METERED: metered}
            self._unaudited = {}
        row = AuditRow(
            sequence=self.heads.audit_sequence + 1,
            at=self.now,
            actor=actor,
            action=action,
            subject=subject,
            detail=canonicalise(detail).decode(),
            previous=self.heads.audit_hash,
        )
        digest = hash_audit_row(row)
        self.rows.audit.append({"tenant_id": self.tenant_id, **row._asdict(), "hash": digest})
        self.heads.audit_sequence, self.heads.audit_hash = row.sequence, digest
        return row.sequence

    def meter(self, key: MeterKey, measure: str, amount: int = 1) -> None:
        """Count a use on the day of the group. An audit row that says what it was has to follow."""
        self.rows.meters[self.tenant_id, self.day, *key, measure] += amount
        measures = self._unaudited.setdefault(key, {})
        measures[measure] = measures.get(measure, 0) + amount

    def store_reply(self, key: IdempotencyKey, reply: Reply) -> None:
        """Keep an answer for a repetition of its request."""
        self.rows.replies[self.tenant_id, key.route, key.key] = {
            "tenant_id": self.tenant_id,
            "route": key.route,
            "key": key.key,
            "fingerprint": key.fingerprint,
            "status": reply.status,
            "body": reply.body,
            "expires_at": self.now + IDEMPOTENCY_DAYS * _DAY,
        }

    def finish(self) -> None:
        """Keep what the work did, as part of its group."""
        if self._unaudited:
            raise AssertionError("a use was counted that no audit row names")
        if self._savepoint is not None:
            self._savepoint.commit()
        self._group.absorb(self)

    def abandon(self) -> None:
        """Undo what the work did; the group goes on."""
        if self._savepoint is not None:
            self._savepoint.rollback()
