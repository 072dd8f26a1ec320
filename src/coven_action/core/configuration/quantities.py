"""Durations, sizes and money as people write them: `30m` to seconds, `4MiB` to bytes, `5 USD` to cents.

Pure. A number without a unit is refused, because 30 may mean seconds to one reader and minutes to another.
"""

import re
from collections.abc import Mapping
from typing import Final

SECONDS: Final[Mapping[str, int]] = {"s": 1, "m": 60, "h": 3600, "d": 86_400}
BYTES: Final[Mapping[str, int]] = {"KiB": 1024, "MiB": 1024**2}

# Nine digits are beyond every bound we set and keep the arithmetic small.
DURATION_PATTERN: Final = r"[1-9][0-9]{0,8}[smhd]"
SIZE_PATTERN: Final = r"[1-9][0-9]{0,8}[KM]iB"
MONEY_PATTERN: Final = r"(?:0|[1-9][0-9]{0,5})(?:\.[0-9]{2})? USD"

DURATION_ADVICE: Final = "write 10m, 90s or 1h"
SIZE_ADVICE: Final = "write 512KiB or 4MiB"
MONEY_ADVICE: Final = "write 5 USD or 0.50 USD"


def parse_duration(text: str) -> int:
    """Return the seconds that `text` names: a whole number and one of `s m h d`, nothing between them.

    Raises:
        ValueError: For anything else; the message says what to write.
    """
    if not re.fullmatch(DURATION_PATTERN, text):
        raise ValueError(DURATION_ADVICE)
    return int(text[:-1]) * SECONDS[text[-1]]


def parse_size(text: str) -> int:
    """Return the bytes that `text` names: a whole number and `KiB` or `MiB`, nothing between them.

    Raises:
        ValueError: For anything else; the message says what to write.
    """
    if not re.fullmatch(SIZE_PATTERN, text):
        raise ValueError(SIZE_ADVICE)
    return int(text[:-3]) * BYTES[text[-3:]]


def parse_money(text: str) -> int:
    """Return the cents that `text` names: dollars, cents after a point if at all, one space and `USD`.

    Raises:
        ValueError: For anything else; the message says what to write.
    """
    if not re.fullmatch(MONEY_PATTERN, text):
        raise ValueError(MONEY_ADVICE)
    dollars, _, cents = text.removesuffix(" USD").partition(".")
    return int(dollars) * 100 + int(cents or "0")
