"""What an account has used, and whether the counters are what the records say."""

from collections.abc import Sequence
from typing import Final

from sqlalchemy import BigInteger, cast, func, select

from coven_action.core.endpoint.wire import Wire
from coven_action.hosted.problems import Problem
from coven_action.hosted.store import schema
from coven_action.hosted.store.commands import Reading

GROUPS: Final = {
    "installation": "installation_id",
    "repo": "repository_id",
    "familiar": "familiar",
    "task": "task_kind",
    "day": "day",
}
"""What usage may be grouped by -> the column of `meters`."""


class UsageRow(Wire):
    """A sum of one measure for one group."""

    group: dict[str, str | int]
    measure: str
    amount: int


class UsagePage(Wire):
    """Usage from a day to a day (UTC), both included."""

    since: str
    until: str
    rows: tuple[UsageRow, ...]


def read_usage(reading: Reading, *, groups: Sequence[str], since: str, until: str) -> UsagePage:
    """Return sums of every measure.

    Args:
        reading: Of the account.
        groups: Names of `GROUPS`; none sums everything.
        since: The first day, as `2026-11-01`.
        until: The last day.

    Raises:
        Problem: `malformed-request`: a group is none.
    """
    unknown = [group for group in groups if group not in GROUPS]
    if unknown:
        raise Problem("malformed-request", f"Usage is grouped by {', '.join(GROUPS)}.")
    columns = schema.meters.c
    by = [columns[GROUPS[group]] for group in dict.fromkeys(groups)]
    # PostgreSQL's sum of whole numbers is none of their type.
    rows = reading.fetch_all(
        select(*by, columns.measure, cast(func.sum(columns.amount), BigInteger).label("amount"))
        .where(columns.tenant_id == reading.tenant_id, columns.day >= since, columns.day <= until)
        .group_by(*by, columns.measure)
        .order_by(*by, columns.measure)
    )
    return UsagePage(
        since=since,
        until=until,
        rows=tuple(
            UsageRow(
                group={group: getattr(row, GROUPS[group]) for group in dict.fromkeys(groups)},
                measure=row.measure,
                amount=row.amount,
            )
            for row in rows
        ),
    )
