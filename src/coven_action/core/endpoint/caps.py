"""What each tier allows, and what a use of it means. Pure: rows of numbers, and the arithmetic on them.

The numbers are configuration: a deployment may replace any row. None allows any number. What ends work, takes something
back or shows it is never refused for a cap: `NEVER_REFUSED`.
"""

from collections.abc import Mapping
from typing import Annotated, Final, Literal

from pydantic import Field

from coven_action.core.records import Record

Cap = Annotated[int, Field(ge=0)] | None
Rate = Annotated[int, Field(ge=1)] | None
SOFT_PERCENT: Final = 80
"""From this share of a cap on, people are warned, where nothing else is configured."""

NEVER_REFUSED: Final = frozenset({"finish", "uses", "revoke", "approve", "reject", "export", "erase", "audit"})


class Caps(Record):
    """What an account may use.

    Args:
        tasks_per_day: Runs admitted in a day (UTC).
        concurrent_runs: Runs that hold a lease at the same time.
        familiars: Different familiars in a day.
        memory_entries: Approved entries.
        history_days: How long events are kept.
        requests_per_minute: Requests of the account that are answered, within the burst that `token_bucket` allows; what
            is never refused counts too and is answered nevertheless.
        run_requests_per_minute: Likewise, of one run.
        soft_percent: From this share of each cap on, people are warned.
    """

    tasks_per_day: Cap = None
    concurrent_runs: Cap = None
    familiars: Cap = None
    memory_entries: Cap = None
    history_days: Annotated[int, Field(ge=1)] = 365
    requests_per_minute: Rate = None
    run_requests_per_minute: Rate = None
    soft_percent: Annotated[int, Field(ge=1, le=100)] = SOFT_PERCENT


TIERS: Final[Mapping[str, Caps]] = {
    "open": Caps(
        tasks_per_day=100,
        concurrent_runs=5,
        familiars=5,
        memory_entries=1_000,
        history_days=90,
        requests_per_minute=600,
        run_requests_per_minute=300,
    ),
    "starter": Caps(
        tasks_per_day=500,
        concurrent_runs=20,
        familiars=20,
        memory_entries=5_000,
        history_days=180,
        requests_per_minute=1_800,
        run_requests_per_minute=300,
    ),
    "team": Caps(
        tasks_per_day=5_000,
        concurrent_runs=100,
        familiars=100,
        memory_entries=20_000,
        history_days=365,
        requests_per_minute=6_000,
        run_requests_per_minute=600,
    ),
    "dedicated": Caps(history_days=730),
}
"""Where a deployment configures nothing. `dedicated` has the machine to itself, and so no rate."""

Standing = Literal["free", "soft", "hard"]


def measure_cap(used: int, cap: Cap, soft_percent: int = SOFT_PERCENT) -> Standing:
    """Return where a use stands: `hard` where one more would be too many, `soft` where people are warned."""
    if cap is None:
        return "free"
    if used >= cap:
        return "hard"
    return "soft" if (used + 1) * 100 > cap * soft_percent else "free"
