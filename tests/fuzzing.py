"""How many examples a property test tries: always the same few in the suite, ten times as many new ones by `make fuzz`.

`examples(n)` stands above every test whose number is not the usual one; `tests/conftest.py` makes the usual one the
default. No example is decided by timing.
"""

import os
from typing import Any, Final

from hypothesis import settings

FUZZING: Final = "COVEN_TESTS_FUZZ"
"""This variable in the environment says by how much the examples are multiplied; they are drawn anew then."""

FACTOR: Final = int(os.environ.get(FUZZING, "1"))
USUAL: Final = 100


def examples(count: int, **options: Any) -> settings:
    """Return the settings of a property test that tries `count` examples in the suite."""
    return settings(max_examples=count * FACTOR, derandomize=FACTOR == 1, deadline=None, database=None, **options)
