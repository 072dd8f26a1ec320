"""Moments between the tables, which hold milliseconds, and everybody else, who holds datetimes."""

from datetime import UTC, datetime
from typing import overload


@overload
def from_milliseconds(moment: int) -> datetime: ...
@overload
def from_milliseconds(moment: None) -> None: ...
def from_milliseconds(moment: int | None) -> datetime | None:
    """Return a moment of the tables as a datetime in UTC."""
    return None if moment is None else datetime.fromtimestamp(moment / 1000, UTC)
