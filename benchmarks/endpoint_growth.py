"""What a request costs at an endpoint whose store has grown: with 100,000 events, with a million, with ten million.

    make bench NAME=endpoint_growth
    make bench NAME=endpoint_growth ARGS="--sqlite --runs 1000 100000"

Every run has reported a hundred events, spread over the last year, so that on PostgreSQL they lie in the tables of twelve
months; the runs are those of a hundred accounts. The rows are laid by the database itself, the first account's went the way
every account's goes. Then `coven-action serve`, as a process of its own, is asked each kind of request at an even rate by
another process, for accounts and runs drawn at random; every answer is checked. Latency is counted from when a request was
due. CPU time a request is the endpoint's own; PostgreSQL's, all of its processes, stands beside it.
"""

# ruff: noqa: S608 - statements made of our own names and numbers

import argparse
import asyncio
import itertools
import json
import os
import platform
import random
import secrets
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final

import pysqlite3
import uvloop
from sqlalchemy import create_engine

from benchmarks.endpoint import ACCEPTED, EVENT, build_request, hold_on_postgresql, read_cpu_seconds, seed, start
from coven_action.core.records import sha256_hex
from coven_action.hosted.admin_token import ROW
from coven_action.hosted.store.partitions import Month, maintain
from tests.hosted import postgresql
from tests.hosted.raw_http import RawConnection, open_raw

SIZES: Final = (1_000, 10_000, 100_000)
"""Runs, all accounts together."""
EVENTS: Final = 100
"""Of each run."""
TENANTS: Final = 100
SECONDS: Final = 5.0
RATE: Final = 100.0
CONNECTIONS: Final = 16
MONTHS: Final = 12
ADMIN: Final = f"cva_{secrets.token_urlsafe(32)}"
OK: Final = 200
TABLES: Final = ("run_events", "runs", "run_attempts", "sessions", "audit", "meters")


# --- a store that has grown

# A run's events follow those of the run before it, in the account's sequence without a gap, and fill the year evenly.
_SEQUENCE: Final = f"(runs.number - 1) * {EVENTS} + n"
_FILL: Final = """
INSERT INTO run_events (tenant_id, sequence, repository_id, run_id, attempt, type, at, recorded_at, data)
SELECT runs.tenant_id, {sequence}, runs.repository_id, runs.run_id, 1, 'progress',
       {begin} + {span} * ({sequence}) / {events}, {begin} + {span} * ({sequence}) / {events}, '{data}'
FROM runs, {numbers}
ORDER BY 1, 2
"""


def list_statements(runs_of_account: int, numbers: str, now: datetime) -> tuple[str, ...]:
    """Return what lays the events, and what counts them where the endpoint counts them."""
    begin, end = now - timedelta(days=30 * (MONTHS - 1)), now
    filled = _FILL.format(
        sequence=_SEQUENCE, begin=int(begin.timestamp() * 1000), span=int((end - begin).total_seconds() * 1000),
        events=runs_of_account * EVENTS, data=json.dumps(EVENT["data"]), numbers=numbers,
    )  # fmt: skip
    return (
        filled,
        f"UPDATE runs SET event_count = {EVENTS}",
        f"UPDATE heads SET event_sequence = {runs_of_account * EVENTS}",
        f"INSERT INTO deployment (name, value) VALUES ('{ROW}', '{sha256_hex(ADMIN.encode())}')",
    )


def fill_file(path: Path, runs_of_account: int) -> None:
    """Lay the events into a file."""
    numbers = f"(WITH RECURSIVE r(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM r WHERE n < {EVENTS}) SELECT n FROM r)"
    with closing(pysqlite3.connect(str(path), isolation_level=None)) as connection:
        connection.execute("BEGIN")
        for statement in list_statements(runs_of_account, numbers, datetime.now(UTC)):
            connection.execute(statement)
        connection.execute("COMMIT")
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")


def fill_server(server: postgresql.Server, runs_of_account: int) -> None:
    """Lay the events into a PostgreSQL database, each into its month's table."""
    now = datetime.now(UTC)
    months = [Month.of(now).move(-back) for back in range(MONTHS)]
    homeless = ", ".join(
        f"(1, -{number}, 'progress', {month.begin}, {month.begin}, '{{}}')" for number, month in enumerate(months)
    )
    server.execute(
        f"INSERT INTO run_events (tenant_id, sequence, type, at, recorded_at, data) VALUES {homeless}",
        database=postgresql.TEMPLATE,
    )
    # What lies in no month's table makes its month.
    engine = create_engine(server.render_url(postgresql.TEMPLATE, postgresql.OWNER))
    with engine.begin() as connection:
        maintain(connection, now)
    engine.dispose()
    server.execute(
        "DELETE FROM run_events WHERE sequence <= 0",
        *list_statements(runs_of_account, f"generate_series(1, {EVENTS}) AS n", now),
        "VACUUM ANALYZE",
        database=postgresql.TEMPLATE,
    )


# --- the servers


@contextmanager
def serve_file(place: Path, tenants: int, runs: int) -> Iterator["Served"]:
    """Serve a file with so many runs."""
    data = place / "coven.db"
    tokens = seed(data, tenants, runs)
    fill_file(data, runs // tenants)

    def count_bytes() -> dict[str, int]:
        return {"everything": data.stat().st_size}

    with start(["-m", "coven_action", "serve", "--data", str(data), "--port", "0"]) as (port, pid):
        yield Served(port, pid, tokens, lambda: 0.0, count_bytes)


@contextmanager
def serve_postgresql(place: Path, tenants: int, runs: int) -> Iterator["Served"]:
    """Serve a PostgreSQL database with so many runs."""
    data = place / "coven.db"
    tokens = seed(data, tenants, runs)
    with hold_on_postgresql(data, shared_buffers="512MB", max_wal_size="8GB", work_mem="32MB") as (server, program):

        def count_bytes() -> dict[str, int]:
            rows = server.execute(
                "SELECT coalesce(parent.relname, each.relname), sum(pg_total_relation_size(each.oid)) FROM pg_class AS each "
                "LEFT JOIN pg_inherits ON inhrelid = each.oid LEFT JOIN pg_class AS parent ON parent.oid = inhparent "
                "WHERE each.relkind = 'r' GROUP BY 1",
                database=postgresql.TEMPLATE,
            )
            ((everything,),) = server.execute(f"SELECT pg_database_size('{postgresql.TEMPLATE}')")
            return {name: int(size) for name, size in rows if name in TABLES} | {"everything": int(everything)}

        fill_server(server, runs // tenants)
        with start(program) as (port, pid):
            yield Served(port, pid, tokens, lambda: read_cpu_of(server.folder), count_bytes)


@dataclass(frozen=True)
class Served:
    """A server, and how to look at it.

    Args:
        port: Where it listens.
        pid: Its process.
        tokens: Of the sessions of all runs.
        read_database_cpu: Returns the seconds that a database server of its own has worked.
        count_bytes: Returns `everything` -> bytes on disk, and table -> bytes with its indexes where that is known.
    """

    port: int
    pid: int
    tokens: list[str]
    read_database_cpu: Callable[[], float]
    count_bytes: Callable[[], dict[str, int]]


def read_cpu_of(folder: Path) -> float:
    """Return the seconds that the processes of the server in a folder have worked."""
    leader = int((folder / "data/postmaster.pid").read_text().split()[0])
    children = Path(f"/proc/{leader}/task/{leader}/children").read_text().split()
    # Of those that have ended the leader knows.
    ended = Path(f"/proc/{leader}/stat").read_text().rsplit(")", 1)[1].split()
    return read_cpu_seconds(leader) + sum(map(int, ended[13:15])) / os.sysconf("SC_CLK_TCK") + sum(
        read_cpu_seconds(int(child)) for child in children
    )  # fmt: skip


# --- the load, in a process of its own


def ask(path: str, tenant: int, admin: str) -> bytes:
    """Return a request of the administrator's."""
    return (
        f"GET /v1/{path} HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: Bearer {admin}\r\nCoven-Tenant: {tenant}\r\n\r\n"
    ).encode()


def build_kinds(tenants: int, runs: int, tokens: list[str], admin: str) -> dict[str, Callable[[], bytes]]:
    """Return kind of request -> a builder of the next one."""
    draw, prefix, count = random.Random(7), secrets.token_hex(6), itertools.count()  # noqa: S311 - the same rows each time

    def write() -> bytes:
        before, after = build_request(draw.choice(tokens), 1)
        return b"%b%b-%d%b" % (before, prefix.encode(), next(count), after)

    def somewhere(path: str) -> Callable[[], bytes]:
        def build() -> bytes:
            number = draw.randint(1, runs // tenants)
            return ask(path.format(number=number, cursor=(number - 1) * EVENTS), draw.randint(1, tenants), admin)

        return build

    today = datetime.now(UTC).date()
    return {
        "append an event": write,
        "newest runs": somewhere("runs?limit=50"),
        "a run": somewhere("runs/{number}"),
        "a run's events": somewhere("runs/{number}/events?limit=100"),
        "events after a cursor": somewhere("events?cursor=e{cursor}&limit=100"),
        "use of a month": somewhere(f"usage?since={today - timedelta(days=30)}&until={today}"),
    }


async def load(port: int, build: Callable[[], bytes], rate: float, seconds: float) -> list[float]:
    """Send requests at an even rate and return after how many seconds each was answered, in order of size."""
    connections = [await open_raw(port) for _ in range(CONNECTIONS)]
    latencies: list[float] = []
    began = time.perf_counter()

    async def work(connection: RawConnection, number: int) -> None:
        due = began + number / rate
        while due < began + seconds:
            await asyncio.sleep(max(0.0, due - time.perf_counter()))
            status, answer = await connection.send(build())
            if status not in {OK, ACCEPTED}:
                raise AssertionError((status, answer))
            latencies.append(time.perf_counter() - due)
            due += CONNECTIONS / rate

    await asyncio.gather(*(work(connection, number) for number, connection in enumerate(connections)))
    for connection in connections:
        connection.close()
    return sorted(latencies)


def load_elsewhere(folder: Path, **asked: Any) -> list[float]:
    """Have another process send the requests."""
    (folder / "asked.json").write_text(json.dumps(asked))
    argv = [sys.executable, "-P", __file__, "--load", str(folder / "asked.json")]
    latencies: list[float] = json.loads(subprocess.run(argv, stdout=subprocess.PIPE, check=True).stdout)
    return latencies


# --- what is compared


def measure(place: Path, served: Served, tenants: int, runs: int, seconds: float) -> None:
    """Print what each kind of request costs, and how much room the rows take."""
    sizes = served.count_bytes()
    events = runs * EVENTS
    print(
        f"\n{runs:,} runs, {events:,} events: {sizes['everything'] / 1e6:,.0f} MB on disk, "
        f"{sizes['everything'] / events:.0f} bytes an event"
        + "".join(f"; {name} {sizes[name] / 1e6:,.1f} MB" for name in TABLES if name in sizes),
        flush=True,
    )
    asked = {
        "port": served.port, "tokens": served.tokens, "admin": ADMIN, "tenants": tenants, "runs": runs, "rate": RATE
    }  # fmt: skip
    for kind in build_kinds(1, 1, served.tokens, ADMIN):
        load_elsewhere(place, kind=kind, seconds=1.0, **asked)
        cpu, database = read_cpu_seconds(served.pid), served.read_database_cpu()
        latencies = load_elsewhere(place, kind=kind, seconds=seconds, **asked)
        cpu, database = read_cpu_seconds(served.pid) - cpu, served.read_database_cpu() - database
        asked_times, milliseconds = len(latencies), [latency * 1e3 for latency in latencies]
        print(
            f"  {kind:22} p50 {milliseconds[asked_times // 2]:6.2f} ms  p99 {milliseconds[int(asked_times * 0.99)]:7.2f} ms"
            f"  endpoint {cpu / asked_times * 1e6:6.0f} µs CPU  database {database / asked_times * 1e6:6.0f} µs CPU",
            flush=True,
        )


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--sqlite", action="store_true", help="measure a file instead of PostgreSQL")
    parser.add_argument("--runs", type=int, nargs="*", default=SIZES, help="sizes to compare, in runs")
    parser.add_argument("--tenants", type=int, default=TENANTS)
    parser.add_argument("--seconds", type=float, default=SECONDS, help="for each kind of request")
    parser.add_argument(
        "--folder", default=tempfile.gettempdir(), help="where the databases are made, to choose the disk"
    )
    parser.add_argument("--load", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.load:
        asked = json.loads(Path(arguments.load).read_text())
        build = build_kinds(*(asked[name] for name in ("tenants", "runs", "tokens", "admin")))[asked["kind"]]
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            print(json.dumps(runner.run(load(asked["port"], build, asked["rate"], asked["seconds"]))))
        return 0
    print(
        f"{platform.platform()}, Python {platform.python_version()}, {os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}; "
        f"{'SQLite' if arguments.sqlite else 'PostgreSQL'}, {arguments.tenants:,} accounts, {RATE:.0f} requests/s"
    )
    serve = serve_file if arguments.sqlite else serve_postgresql
    for runs in arguments.runs:
        with tempfile.TemporaryDirectory(dir=arguments.folder) as folder:
            place = Path(folder) / "place"
            place.mkdir()
            with serve(place, arguments.tenants, runs) as served:
                measure(place, served, arguments.tenants, runs, arguments.seconds)
    return 0


if __name__ == "__main__":
    sys.exit(main())
