"""kill -9, two thousand times: what a test does twenty times, with servers started as programs, and how long a start takes.

    make bench NAME=endpoint_soak ARGS="--cycles 2000"

A cycle is described in `tests/hosted/killing.py`. Every cycle compares what is new, each database at its end is compared
whole; a new one is begun every `--per-database` cycles.
"""

import argparse
import platform
import statistics
import sys
import tempfile
import time
from pathlib import Path

from tests.hosted.killing import Launcher, Siege, start_issuer

CYCLES = 2000
PER_DATABASE = 250


def besiege(cycles: int, seed: int, folder: str | None) -> Siege:
    spawner = Launcher()
    with start_issuer() as issuer, tempfile.TemporaryDirectory(dir=folder) as place:
        siege = Siege(Path(place), issuer, spawner, seed=seed, load=400)
        siege.run(cycles)
    spawner.close()
    return siege


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--cycles", type=int, default=CYCLES)
    parser.add_argument("--per-database", type=int, default=PER_DATABASE)
    parser.add_argument("--folder", help="where the databases are made, to choose the disk")
    parser.add_argument("--seed", type=int, default=time.time_ns())
    arguments = parser.parse_args()
    print(f"{platform.platform()}, Python {platform.python_version()}, seed {arguments.seed}")
    restarts: list[float] = []
    for first in range(0, arguments.cycles, arguments.per_database):
        kills = min(arguments.per_database, arguments.cycles - first)
        siege = besiege(kills, arguments.seed + first, arguments.folder)
        restarts += siege.restarts
        print(f"{kills} kills, {siege.acknowledged} acknowledged writes, {siege.resent} of them sent again", flush=True)
    ordered = sorted(restarts)
    print(
        "None lost, none doubled, every sequence without a gap, every chain whole, every meter a recount's.\n"
        f"From the start of the program to its first answer: median {statistics.median(ordered):.2f} s, "
        f"99 % {ordered[int(len(ordered) * 0.99)]:.2f} s, longest {ordered[-1]:.2f} s"
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
