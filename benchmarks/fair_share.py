"""What one account's flood costs another one: the latency of a quiet account's writes, alone and beside it.

    make bench NAME=fair_share
    make bench NAME=fair_share ARGS="--postgresql"

Two accounts of the same tier at one server, as a process of its own. The quiet one writes one event after another, evenly,
at half of what its tier allows; beside it, from another process, the other asks ten times what its tier allows, whatever it
is answered. Both parts take turns, so that what else the machine does falls on both. Latency is counted from when a request was
due. The sessions are those of a few hundred runs, each looked up before. Where the machine has other work, run it under a
real-time policy (`chrt -r 10`): the quiet sender then comes before the server, and the flood, which stands for other machines,
gives way to it. The last two lines leave the rates out (`dedicated`): what is left is that accounts take turns at the database.
"""

import argparse
import asyncio
import itertools
import json
import os
import platform
import secrets
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path
from typing import Any

import pysqlite3
import uvloop

from benchmarks.endpoint import ACCEPTED, build_request, hold_on_postgresql, seed, serve
from benchmarks.endpoint import start as start_server
from coven_action.core.endpoint.caps import TIERS
from tests.hosted.raw_http import RawConnection, open_raw

SECONDS = 8.0
ROUNDS = 4
TIER = "team"
QUIET_RATE = TIERS[TIER].requests_per_minute / 60 / 2
FLOOD_RATE = TIERS[TIER].requests_per_minute / 60 * 10
TOLD = frozenset({ACCEPTED, 429, 503})
RUNS = 200
"""Whose sessions each account uses in turn."""
BUDGET = 2.0
"""How many times the quiet p99 a flood may cost, at most."""


async def send_evenly(port: int, tokens: list[str], rate: float, seconds: float, connections: int) -> dict[str, Any]:
    """Send one event with each request, at a rate, and return how each was answered and after how long."""
    opened = [await open_raw(port) for _ in range(connections)]
    requests = itertools.cycle([build_request(token, 1) for token in tokens])
    prefix, count = secrets.token_hex(6), itertools.count()
    statuses: dict[int, int] = {}
    latencies: list[float] = []
    began = time.perf_counter()

    async def work(connection: RawConnection, number: int) -> None:
        due = began + number / rate
        # Who is answered slowly falls behind, and stops in time all the same.
        while max(due, time.perf_counter()) < began + seconds:
            await asyncio.sleep(max(0.0, due - time.perf_counter()))
            before, after = next(requests)
            status, answer = await connection.send(b"%b%b-%d%b" % (before, prefix.encode(), next(count), after))
            if status not in TOLD:
                raise AssertionError((status, answer))
            statuses[status] = statuses.get(status, 0) + 1
            if status == ACCEPTED:
                latencies.append(time.perf_counter() - due)
            due += connections / rate

    await asyncio.gather(*(work(connection, number) for number, connection in enumerate(opened)))
    for connection in opened:
        connection.close()
    return {"statuses": statuses, "latencies": latencies, "seconds": time.perf_counter() - began}


def take_priority(priority: int) -> None:
    """Come before the server, or give way to it, where the whole benchmark runs under a real-time policy."""
    if os.sched_getscheduler(0) != os.SCHED_OTHER:
        os.sched_setscheduler(0, os.SCHED_RR, os.sched_param(priority))


def start(**asked: Any) -> "subprocess.Popen[str]":
    """Begin to send, in a process of its own."""
    argv = [sys.executable, "-P", __file__, "--send", json.dumps(asked)]
    return subprocess.Popen(argv, stdout=subprocess.PIPE, text=True)


def end(process: "subprocess.Popen[str]") -> dict[str, Any]:
    said, _ = process.communicate()
    if process.returncode:
        raise AssertionError("a sender failed")
    seen: dict[str, Any] = json.loads(said)
    return seen


@contextmanager
def serve_it(data: Path, *, on_postgresql: bool) -> Iterator[int]:
    """Serve what a file holds, from there or from a PostgreSQL server of its own, and give the port."""
    with ExitStack() as stack:
        if on_postgresql:
            _, program = stack.enter_context(hold_on_postgresql(data))
            yield stack.enter_context(start_server(program))[0]
        else:
            yield stack.enter_context(serve(data))[0]


def measure(
    folder: Path, tier: str, seconds: float, rounds: int, *, on_postgresql: bool
) -> tuple[list[float], list[float], dict[str, int]]:
    """Return the quiet account's latencies alone and beside the flood, and how the flood was answered."""
    data = folder / f"{tier}.db"
    tokens = seed(data, 2)
    with closing(pysqlite3.connect(str(data), isolation_level=None)) as connection:
        connection.execute("UPDATE tenants SET tier=?", (tier,))
    files = {}
    for number in (1, 2):
        files[number] = folder / f"{tier}-{number}.json"
        files[number].write_text(json.dumps([token for token in tokens if token.startswith(f"cvs_{number}_")][:RUNS]))
    alone: list[float] = []
    beside: list[float] = []
    flooded: dict[str, int] = {}
    with serve_it(data, on_postgresql=on_postgresql) as port:
        quiet = {"port": port, "tokens": str(files[1]), "rate": QUIET_RATE, "connections": 16, "priority": 20}
        flood = {"port": port, "tokens": str(files[2]), "rate": FLOOD_RATE, "connections": 128, "priority": 1}
        # The first requests look everything up.
        for sender in (quiet, flood):
            end(start(**{**sender, "rate": QUIET_RATE}, seconds=RUNS / QUIET_RATE + 1))
        for _ in range(rounds):
            alone += end(start(**quiet, seconds=seconds))["latencies"]
            flooding = start(**flood, seconds=seconds + 4)
            # What the flood may ask at once at its beginning is not what is measured.
            time.sleep(3.0)
            beside += end(start(**quiet, seconds=seconds))["latencies"]
            for status, count in end(flooding)["statuses"].items():
                flooded[status] = flooded.get(status, 0) + count
    return alone, beside, flooded


def find_percentile(latencies: list[float], share: float) -> float:
    """Return a percentile in milliseconds."""
    return sorted(latencies)[int(len(latencies) * share)] * 1000


def tell(tier: str, alone: list[float], beside: list[float], flooded: dict[str, int]) -> float:
    """Print what was seen, and return how many times the quiet p99 the flood has cost."""
    quiet, pushed = find_percentile(alone, 0.99), find_percentile(beside, 0.99)
    print(
        f"{tier}: alone p50 {find_percentile(alone, 0.5):.1f} ms, p99 {quiet:.1f} ms ({len(alone)} writes); beside the flood "
        f"p50 {find_percentile(beside, 0.5):.1f} ms, p99 {pushed:.1f} ms ({len(beside)} writes): {pushed / quiet:.2f} x; "
        f"the flood was answered {flooded}",
        flush=True,
    )
    return pushed / quiet


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=float, default=SECONDS)
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    parser.add_argument("--folder", help="where the databases are made, to choose the disk")
    parser.add_argument("--postgresql", action="store_true", help="keep the accounts there instead of in a file")
    parser.add_argument("--send", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.send:
        asked = json.loads(arguments.send)
        take_priority(asked.pop("priority"))
        asked["tokens"] = json.loads(Path(asked["tokens"]).read_text())
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            print(json.dumps(runner.run(send_evenly(**asked))))
        return 0
    print(
        f"{platform.platform()}, Python {platform.python_version()}, {os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}; "
        f"quiet {QUIET_RATE:.0f}/s, flood {FLOOD_RATE:.0f}/s"
    )
    with tempfile.TemporaryDirectory(dir=arguments.folder) as folder:
        seen = [
            tell(
                tier,
                *measure(Path(folder), tier, arguments.seconds, arguments.rounds, on_postgresql=arguments.postgresql),
            )
            for tier in (TIER, "dedicated")
        ]
    return 0 if seen[0] <= BUDGET else 1


if __name__ == "__main__":
    sys.exit(main())
