"""B8: what the digest of a failing check costs in tokens, beside the whole log and its last 200 lines, and what each still holds.

The outputs are those of `tests/data/checks`: what pytest, unittest, go, cargo, jest, vitest, TAP, compilers and linters print
about a small failure. Each is measured as it is, and in the middle of a log as a build on GitHub has it: times on every
line, what was installed before it, and a table of coverage after it, of three sizes. Tokens are estimated as bytes / 4, for
all three alike. `holds` says whether the first failing assertion, as written down by hand beside each output, is still
there. No figure is printed where an output was not read by its own reader. The bar is for the logs of 2,000 lines and more: a
short output cannot be made twenty times shorter and still say what is wrong.

Usage: make bench NAME=digest
"""

import platform
import statistics
import sys
import time
from collections.abc import Iterator
from typing import Final

from coven_action.core.checks.digest import estimate_tokens, write_digest
from tests.core.checks.corpus import EXPECTED, check, read_output

SIZES: Final = (0, 500, 2_000, 8_000)
HELD_TO_THE_BAR: Final = 2_000
SHARE: Final = 0.05
LEAST: Final = 0.95
TAIL: Final = 200
RUNS: Final = 5
TIME: Final = "2026-03-02T09:14:07.1234567Z "


def build_log(output: bytes, size: int) -> bytes:
    """Return `output` in the middle of a log of about `size` more lines."""
    if not size:
        return output
    before = (
        f"Collecting package-{number} (from -r requirements.txt (line {number}))" for number in range(size * 4 // 5)
    )
    table = (f"src/billing/module_{number}.py      {number % 97 + 3}      0   100%" for number in range(size // 5))
    lines = [*before, *output.decode().splitlines(), *table, "Error: Process completed with exit code 1."]
    return "".join(f"{TIME}{line}\n" for line in lines).encode()


def measure(size: int) -> Iterator[tuple[str, int, int, int, bool, bool, float]]:
    """Yield for each output: name, tokens of log, tail and digest, whether tail and digest hold the assertion, CPU seconds."""
    for name, expected in EXPECTED.items():
        log = build_log(read_output(name), size)
        seconds = []
        for _ in range(RUNS + 1):
            started = time.process_time()
            result = check(log)
            digest = write_digest([result])
            seconds.append(time.process_time() - started)
        if result.result.source != expected.source:
            sys.exit(f"{name} was read as {result.result.source}; no figures")
        tail = b"\n".join(log.split(b"\n")[-TAIL:])
        if expected.assertion.encode() not in log:
            sys.exit(f"{name} does not hold its own assertion; no figures")
        yield (
            name,
            estimate_tokens(log),
            estimate_tokens(tail),
            estimate_tokens(digest.encode()),
            expected.assertion.encode() in tail,
            expected.assertion in digest,
            statistics.median(seconds[1:]),
        )


def main() -> int:
    """Print one table; return 1 where the bar is missed."""
    print(f"digest of failing checks, tokens = bytes / 4, Python {platform.python_version()}, {platform.machine()}")
    print(
        f"{'lines':>8}{'outputs':>9}{'log':>9}{'tail 200':>10}{'digest':>8}{'share':>8}"
        f"{'tail holds':>12}{'digest holds':>14}{'ms':>7}"
    )
    met = True
    for size in SIZES:
        rows = list(measure(size))
        middle = [statistics.median(row[column] for row in rows) for column in (1, 2, 3)]
        good = sum(row[5] and row[3] <= SHARE * row[1] for row in rows) / len(rows)
        met &= good >= LEAST or size < HELD_TO_THE_BAR
        share = statistics.median(row[3] / row[1] for row in rows)
        holds = (f"{sum(row[column] for row in rows)}/{len(rows)}" for column in (4, 5))
        print(
            f"{size or 'as is':>8}{len(rows):>9}{middle[0]:>9.0f}{middle[1]:>10.0f}{middle[2]:>8.0f}{share:>8.1%}"
            f"{next(holds):>12}{next(holds):>14}{1000 * statistics.median(row[6] for row in rows):>7.1f}"
            f"   {good:.0%} keep it at <= {SHARE:.0%}"
        )
    return 0 if met else 1


if __name__ == "__main__":
    sys.exit(main())
