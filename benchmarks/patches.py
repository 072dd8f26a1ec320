"""Measures how the time to read pasted diffs grows with hostile text: for each, the CPU seconds of a size and of twice it.

Usage: make bench NAME=patches
The texts are those of tests/core/patches/test_extraction.py, at their long sizes. The last column is the growth: about 2 for
linear work, about 4 for quadratic. It exits with 1 where a text that takes longer than a tenth of a second grows by more
than 3.
"""

import platform
import sys
import time
from collections.abc import Callable

from tests.core.patches.test_explanation import _search
from tests.core.patches.test_extraction import HOSTILE, extract

NOTICEABLE = 0.1
BAR = 3.0


def measure(do: Callable[[], object]) -> float:
    """Return the CPU seconds of the faster of two runs."""
    seconds = []
    for _ in range(2):
        started = time.process_time()
        do()
        seconds.append(time.process_time() - started)
    return min(seconds)


def main() -> int:
    """Print the table."""
    print(f"pasted diffs, CPU seconds, Python {platform.python_version()}, {platform.machine()}")
    rows: dict[str, tuple[Callable[[int], object], int]] = {
        name: (lambda size, build=build: extract(build(size)), long) for name, (build, long) in HOSTILE.items()
    }
    rows["a hunk that is searched for"] = (_search, 100_000)
    slow = False
    for name, (do, size) in rows.items():
        small, large = (measure(lambda size=each, do=do: do(size)) for each in (size, 2 * size))  # type: ignore[misc]
        growth = large / small if small else 0.0
        slow |= large > NOTICEABLE and growth > BAR
        print(f"{name:36}{small:>9.3f}{large:>9.3f}{growth:>8.1f}")
    return 1 if slow else 0


if __name__ == "__main__":
    sys.exit(main())
