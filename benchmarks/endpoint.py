"""How many durable writes a serving endpoint acknowledges in a second, with authentication, metering and audit on.

    make bench NAME=endpoint
    make bench NAME=endpoint ARGS="--postgresql 1 2 4"

The server is `coven-action serve`, as a process of its own; the load comes from another process over HTTP. Beside it stand
a loop that commits one row at a time to the same disk, and the same endpoint with groups of one. Every answer is
checked: 202 says that the events are on the disk. With --postgresql the database is a PostgreSQL server of its own on this
machine, which waits for the disk as well, and so many processes serve it side by side; the load is spread evenly over them.
Latency at half load is counted from when a request was due, so that one that waits for the one before it is not forgotten.
CPU time a request is the endpoint's own, all threads and processes, without the database server's.
"""

import argparse
import asyncio
import cProfile
import functools
import itertools
import json
import os
import platform
import secrets
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pysqlite3
import uvloop

from coven_action.cli.main import main as main_of_program
from coven_action.core.endpoint.audit_chain import GENESIS
from coven_action.core.endpoint.wire import RunReport
from coven_action.core.records import sha256_hex
from coven_action.hosted.authentication import SESSION_TIME, render_session_token
from coven_action.hosted.moving import move_store
from coven_action.hosted.operating import open_database
from coven_action.hosted.server import prepare_database
from coven_action.hosted.services.enrolment import RepositoryEnrolment, TenantEnrolment, enrol_repository, enrol_tenant
from coven_action.hosted.services.runs import report_run
from coven_action.hosted.settings import GITHUB_ISSUER
from coven_action.hosted.store.commands import Command
from coven_action.hosted.store.sqlite import SQLiteStore
from coven_action.hosted.store.transaction import to_milliseconds
from tests.hosted.deployment import make_report, make_run
from tests.hosted.raw_http import RawConnection, open_raw

SECONDS = 6.0
BATCH = 100
CONNECTIONS = 128
RUNS = 10_000
"""Runs that report in turn, whatever the number of tenants: a run may report 5,000 events, so that few are not enough."""
SIZES = (10, 10_000)
ACCEPTED = 202
EVENT = {
    "type": "progress",
    "at": "2026-11-21T12:00:00Z",
    "data": {"stage": "run", "attempt": 1, "done": "edited 3 files"},
}


# --- a database with many tenants


def seed(path: Path, tenants: int, all_runs: int = RUNS) -> list[str]:
    """Make a database of so many tenants whose runs have reported, and return the tokens of their sessions.

    The first tenant goes the way every tenant goes; the others are copies of its rows.
    """
    prepare_database(path)
    asyncio.run(enrol_first(path))
    runs = max(1, all_runs // tenants)
    connection = pysqlite3.connect(str(path), isolation_level=None)
    connection.execute("BEGIN")
    for table in ("runs", "run_attempts"):
        new = {"run_id": "run_id + n", "number": "number + n"}
        multiply(
            connection, table, runs - 1, {name: value for name, value in new.items() if has(connection, table, name)}
        )
    connection.execute("UPDATE heads SET run_number=?", (runs,))
    for table in ("tenants", "heads", "repositories", "runs", "run_attempts"):
        new = {"tenant_id": "tenant_id + n"} | ({"account_id": "account_id + n"} if table == "tenants" else {})
        multiply(connection, table, tenants - 1, new)
    found = connection.execute("SELECT tenant_id, run_id FROM runs").fetchall()
    tokens = [add_session(connection, tenant_id, run_id) for tenant_id, run_id in found]
    connection.execute("COMMIT")
    assert connection.execute("PRAGMA foreign_key_check").fetchone() is None
    connection.close()
    return tokens


async def enrol_first(path: Path) -> None:
    store = SQLiteStore(path, lambda: datetime.now(UTC))
    tenant = TenantEnrolment(issuer=GITHUB_ISSUER, account_id=501, account_login="acme", tier="dedicated")
    repository = RepositoryEnrolment(
        repository_id=1001, owner="acme", name="billing", visibility="private", default_branch="main"
    )
    principal = make_run(1)
    report = RunReport.model_validate_json(json.dumps(make_report(principal.session.model_dump())))
    for tenant_id, work in (
        (0, lambda transaction: enrol_tenant(transaction, tenant)),
        (1, lambda transaction: enrol_repository(transaction, "admin", repository)),
        (1, lambda transaction: report_run(transaction, principal, report)),
    ):
        await store.write(Command(tenant_id, work))
    await store.close()
    connection = pysqlite3.connect(str(path))
    # The log's rows are not copied, so that every copy begins with an empty one.
    connection.execute("DELETE FROM audit")
    connection.execute("DELETE FROM run_events")
    connection.execute("UPDATE heads SET audit_sequence=0, audit_hash=?, event_sequence=0", (GENESIS,))
    connection.commit()
    connection.close()


def has(connection: Any, table: str, column: str) -> bool:
    return column in list_columns(connection, table)


def list_columns(connection: Any, table: str) -> list[str]:
    return [row[1] for row in connection.execute(f"PRAGMA table_info({table})")]


def multiply(connection: Any, table: str, copies: int, new: dict[str, str]) -> None:
    """Add copies of every row of a table, numbered n, with new values."""
    columns = list_columns(connection, table)
    values = ", ".join(new.get(column, f'"{column}"') for column in columns)
    connection.execute(
        f"WITH RECURSIVE numbers(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM numbers WHERE n < ?)"  # noqa: S608
        f" INSERT INTO {table} SELECT {values} FROM {table}, numbers WHERE n <= ?",
        (copies, copies),
    )


def add_session(connection: Any, tenant_id: int, run_id: int) -> str:
    token = render_session_token(tenant_id, secrets.token_urlsafe(32))
    now = datetime.now(UTC)
    connection.execute(
        "INSERT INTO sessions (tenant_id, token_sha256, document, created_at, expires_at) VALUES (?, ?, ?, ?, ?)",
        (
            tenant_id,
            sha256_hex(token.encode()),
            make_run(tenant_id, run_id=run_id).session.model_dump_json(),
            to_milliseconds(now),
            to_milliseconds(now + SESSION_TIME),
        ),
    )
    return token


# --- the load, in a process of its own


def build_request(token: str, events: int) -> tuple[bytes, bytes]:
    """Return a request in two parts, between which its key stands."""
    body = json.dumps({"events": [EVENT] * events}, separators=(",", ":")).encode()
    before = (
        "POST /v1/runs/self/events HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\n"
        f"Authorization: Bearer {token}\r\nContent-Length: {len(body)}\r\nIdempotency-Key: "
    )
    return before.encode(), b"\r\n\r\n" + body


async def run_load(
    ports: list[int], tokens: list[str], events: int, seconds: float, rate: float | None
) -> dict[str, Any]:
    """Send requests on all connections and return what was seen. `seconds` 0 asks for one request with each token.

    Args:
        ports: The servers'.
        tokens: Of the runs, used in turn; a run that has reported enough is left.
        events: In each request.
        seconds: How long.
        rate: Requests a second, evenly; None for as many as are answered.
    """
    connections = [await open_raw(port) for port, _ in zip(itertools.cycle(ports), range(CONNECTIONS), strict=False)]
    prefix, count, latencies = secrets.token_hex(6), itertools.count(), []
    requests = itertools.cycle([build_request(token, events) for token in tokens])
    began = time.perf_counter()
    end = began + seconds

    async def work(connection: RawConnection, number: int) -> None:
        due = began if rate is None else began + number / rate
        while True:
            now = time.perf_counter()
            if rate is None:
                due = now
            elif due > now:
                await asyncio.sleep(due - now)
            if (due >= end) if seconds else (len(latencies) >= len(tokens)):
                return
            before, after = next(requests)
            status, answer = await connection.send(b"%b%b-%d%b" % (before, prefix.encode(), next(count), after))
            if status != ACCEPTED:
                raise AssertionError((status, answer))
            latencies.append(time.perf_counter() - due)
            if rate is not None:
                due += CONNECTIONS / rate

    await asyncio.gather(*(work(connection, number) for number, connection in enumerate(connections)))
    took = time.perf_counter() - began
    for connection in connections:
        connection.close()
    ordered = sorted(latencies)
    return {
        "requests": len(ordered),
        "rate": len(ordered) / took,
        "p50": ordered[len(ordered) // 2] * 1000,
        "p99": ordered[int(len(ordered) * 0.99)] * 1000,
        "cpu": time.process_time(),
    }


def load(ports: list[int], tokens: Path, **asked: Any) -> dict[str, Any]:
    """Have another process load the server; return what it saw."""
    argv = [sys.executable, "-P", __file__, "--load", json.dumps({"ports": ports, "tokens": str(tokens), **asked})]
    done = subprocess.run(argv, stdout=subprocess.PIPE, check=True)
    seen: dict[str, Any] = json.loads(done.stdout)
    return seen


# --- the server


@contextmanager
def serve(data: Path, group_size: int | None = None, profile: Path | None = None) -> Iterator[tuple[int, int]]:
    """Run a server and give its port and process id."""
    program = (
        [__file__, "--serve", json.dumps([group_size, profile and str(profile)])]
        if group_size or profile
        else ["-m", "coven_action"]
    )
    with start([*program, "serve", "--data", str(data), "--port", "0"]) as found:
        yield found


@contextmanager
def start(program: list[str]) -> Iterator[tuple[int, int]]:
    argv = [sys.executable, "-P", *program]
    with subprocess.Popen(argv, stdout=subprocess.PIPE, text=True) as server:
        port = int(server.stdout.readline().rpartition(":")[2])
        try:
            yield port, server.pid
        finally:
            server.terminate()
            server.stdout.read()


def serve_differently(group_size: int | None, profile: str | None, argv: list[str]) -> None:
    """Be a server with groups of another size, or under a profiler."""
    from coven_action.hosted import server  # noqa: PLC0415

    if group_size:
        server.SQLiteStore = functools.partial(SQLiteStore, group_size=group_size)
    sys.argv = ["coven-action", *argv]
    if not profile:
        main_of_program()
    profiler = cProfile.Profile()
    try:
        profiler.runcall(main_of_program)
    finally:
        profiler.dump_stats(profile)


def read_cpu_seconds(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return sum(map(int, fields[11:13])) / os.sysconf("SC_CLK_TCK")


# --- what is compared


def measure(
    place: Path, tenants: int, *, group_size: int | None = None, seconds: float, profile: Path | None = None
) -> dict[str, dict[str, Any]]:
    """Measure single events, batches, and single events at half of what was reached, on a new database."""
    data, tokens = place / "coven.db", place / "tokens.json"
    tokens.write_text(json.dumps(seed(data, tenants)))
    with serve(data, group_size, profile) as (port, pid):
        return watch([port], lambda: read_cpu_seconds(pid), tokens, seconds)


def watch(ports: list[int], read_cpu: Callable[[], float], tokens: Path, seconds: float) -> dict[str, dict[str, Any]]:
    """Load servers in each way, and return what was seen."""
    seen = {}
    # The first request of a session looks it up; what follows is what is measured.
    seen["first"] = load(ports, tokens, events=1, seconds=0, rate=None)
    for name, events in (("single", 1), ("batched", BATCH), ("half", 1)):
        rate = seen["single"]["rate"] / 2 if name == "half" else None
        before = read_cpu()
        seen[name] = load(ports, tokens, events=events, seconds=seconds, rate=rate)
        seen[name]["server_cpu"] = (read_cpu() - before) / seen[name]["requests"]
    return seen


def measure_replicas(place: Path, tenants: int, replicas: int, *, seconds: float) -> dict[str, dict[str, Any]]:
    """Measure so many processes on a PostgreSQL server of their own, which holds what a file was seeded with."""
    data, tokens = place / "coven.db", place / "tokens.json"
    tokens.write_text(json.dumps(seed(data, tenants)))
    with hold_on_postgresql(data) as (_, program), ExitStack() as stack:
        started = [stack.enter_context(start(program)) for _ in range(replicas)]
        pids = [pid for _, pid in started]
        return watch([port for port, _ in started], lambda: sum(map(read_cpu_seconds, pids)), tokens, seconds)


@contextmanager
def hold_on_postgresql(data: Path, **more: str) -> Iterator[tuple[Any, list[str]]]:
    """Move what a file holds to a PostgreSQL server of its own; give it, and the program that serves its database."""
    from tests.hosted import postgresql  # noqa: PLC0415 - its server is there for those who ask

    # Not below the other files, which nobody else may read: the server may have to run as somebody else.
    folder = Path(tempfile.mkdtemp(prefix="pg-"))
    settings = {"shared_buffers": "256MB", "max_wal_size": "4GB", **more}
    server = postgresql.make_server(folder, fsync="on", full_page_writes="on", autovacuum="on", **settings)
    url = f"postgresql://{postgresql.APP}@/{postgresql.TEMPLATE}?host={folder}"
    try:
        with open_database(data) as source, open_database(url) as target:
            move_store(source, target)
        yield server, ["-m", "coven_action", "serve", "--database", url, "--signing-key", f"{data}.key", "--port", "0"]
    finally:
        server.stop()
        shutil.rmtree(folder)


def insert_one_by_one(folder: Path, seconds: float) -> float:
    """Return how many rows a plain loop commits in a second, each on the disk before the next."""
    connection = pysqlite3.connect(str(folder / "plain.db"), isolation_level=None)
    for statement in (
        "PRAGMA journal_mode=WAL",
        "PRAGMA synchronous=FULL",
        "CREATE TABLE events (id INTEGER PRIMARY KEY, data TEXT)",
    ):
        connection.execute(statement)
    data, count = json.dumps(EVENT), 0
    end = time.perf_counter() + seconds
    while time.perf_counter() < end:
        connection.execute("BEGIN IMMEDIATE")
        connection.execute("INSERT INTO events (data) VALUES (?)", (data,))
        connection.execute("COMMIT")
        count += 1
    connection.close()
    return count / seconds


def tell(name: str, seen: dict[str, dict[str, Any]]) -> None:
    single, batched, half = (seen[key] for key in ("single", "batched", "half"))
    print(
        f"{name}: {single['rate']:,.0f} single-event requests/s ({single['server_cpu'] * 1e6:.0f} µs CPU each), "
        f"{batched['rate'] * BATCH:,.0f} batched events/s ({batched['server_cpu'] * 1e6:.0f} µs CPU for {BATCH}), at half load "
        f"({half['rate']:,.0f}/s) p50 {half['p50']:.1f} ms, p99 {half['p99']:.1f} ms ({half['server_cpu'] * 1e6:.0f} µs CPU "
        f"each); the first request of each session {seen['first']['rate']:,.0f}/s",
        flush=True,
    )


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=float, default=SECONDS)
    parser.add_argument("--folder", help="where the databases are made, to choose the disk")
    parser.add_argument("--tenants", type=int, nargs="*", default=SIZES)
    parser.add_argument("--postgresql", type=int, nargs="*", help="measure so many processes on PostgreSQL instead")
    parser.add_argument("--profile", type=Path, help="write a cProfile of the server here, and do nothing else")
    parser.add_argument("--load", help=argparse.SUPPRESS)
    parser.add_argument("--serve", help=argparse.SUPPRESS)
    arguments, rest = parser.parse_known_args()
    if arguments.load:
        asked = json.loads(arguments.load)
        asked["tokens"] = json.loads(Path(asked["tokens"]).read_text())
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            print(json.dumps(runner.run(run_load(**asked))))
        return 0
    if arguments.serve:
        serve_differently(*json.loads(arguments.serve), rest)
    print(
        f"{platform.platform()}, Python {platform.python_version()}, {os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}"
    )
    with tempfile.TemporaryDirectory(dir=arguments.folder) as folder:
        compare(Path(folder), arguments)
    return 0


def compare(folder: Path, arguments: argparse.Namespace) -> None:
    def make(name: str) -> Path:
        place = folder / name
        place.mkdir()
        return place

    if arguments.profile:
        tell("profiled", measure(make("profiled"), 10, seconds=arguments.seconds, profile=arguments.profile))
        return
    if arguments.postgresql:
        for tenants, replicas in itertools.product(arguments.tenants, arguments.postgresql):
            seen = measure_replicas(make(f"{tenants}-{replicas}"), tenants, replicas, seconds=arguments.seconds)
            tell(f"PostgreSQL, {tenants:,} tenants, {replicas} processes", seen)
        return
    plain = insert_one_by_one(folder, arguments.seconds)
    print(f"one durable insert per transaction, plain loop: {plain:,.0f}/s", flush=True)
    for tenants in arguments.tenants:
        seen = measure(make(str(tenants)), tenants, seconds=arguments.seconds)
        tell(f"{tenants:,} tenants", seen)
        print(f"  {seen['single']['rate'] / plain:.1f} x the plain loop; load {os.getloadavg()[0]:.1f}")
    tell("groups of one", measure(make("one"), 10, group_size=1, seconds=arguments.seconds))


if __name__ == "__main__":
    sys.exit(main())
