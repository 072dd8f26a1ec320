"""What an operator replaces of the built-in caps, tier by tier: the tables `[tiers.open]` and so on of the settings file."""

from typing import Annotated, Final, Literal, get_args

from pydantic import Field

from coven_action.core.endpoint.caps import TIERS, Caps
from coven_action.core.records import Record

Unlimited = Literal["unlimited"]
UNLIMITED: Final[str] = get_args(Unlimited)[0]
_Cap = Annotated[int, Field(ge=0)] | Unlimited | None
_Rate = Annotated[int, Field(ge=1)] | Unlimited | None


class TierChanges(Record):
    """The caps of a tier that are not the built-in ones; `unlimited` allows any number. See `core.endpoint.caps.Caps`.

    Args:
        tasks_per_day: Runs admitted in a day (UTC).
        concurrent_runs: Runs that hold a lease at the same time.
        familiars: Different familiars in a day.
        memory_entries: Approved entries.
        history_days: How long events are kept.
        requests_per_minute: Requests of the account that are answered.
        run_requests_per_minute: Likewise, of one run.
        soft_percent: From this share of each cap on, people are warned.
    """

    tasks_per_day: _Cap = None
    concurrent_runs: _Cap = None
    familiars: _Cap = None
    memory_entries: _Cap = None
    history_days: Annotated[int, Field(ge=1)] | None = None
    requests_per_minute: _Rate = None
    run_requests_per_minute: _Rate = None
    soft_percent: Annotated[int, Field(ge=1, le=100)] | None = None

    def apply(self, caps: Caps) -> Caps:
        """Return the caps with what is replaced."""
        said = self.model_dump(exclude_none=True)
        return Caps.model_validate(
            caps.model_dump() | {name: None if value == UNLIMITED else value for name, value in said.items()}
        )


class TierSettings(Record):
    """Every tier's changes; none of them leaves the built-in row as it is."""

    open: TierChanges = TierChanges()
    starter: TierChanges = TierChanges()
    team: TierChanges = TierChanges()
    dedicated: TierChanges = TierChanges()

    def build(self) -> dict[str, Caps]:
        """Return the caps of every tier."""
        return {name: getattr(self, name).apply(caps) for name, caps in TIERS.items()}
