"""Kill a serving endpoint again and again while runs write to it, and hold its database against what it has acknowledged.

A cycle: start the server on the database the last one left; send again, with the same keys, what got no answer; compare;
load it with runs; kill it (SIGKILL) at a random moment, sometimes while it is still starting. The tests go through few
of them, `benchmarks/endpoint_soak.py` through many.
"""

import asyncio
import contextlib
import json
import os
import random
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Final

import pysqlite3

from coven_action.core.endpoint.audit_chain import EMPTY, AuditRow, ChainHead, verify_chain
from coven_action.hosted.server import prepare_database
from coven_action.hosted.services.enrolment import RepositoryEnrolment, TenantEnrolment, enrol_repository, enrol_tenant
from coven_action.hosted.store.commands import Command
from coven_action.hosted.store.sqlite import SQLiteStore
from tests.hosted.deployment import make_report, make_token
from tests.hosted.raw_http import RawConnection, open_raw, render_request
from tests.identity_tokens import get_key

AUDIENCE: Final = "http://127.0.0.1:1"
WORKERS: Final = 6
TENANTS: Final = {501: 1001, 502: 2001}
"""Account -> its repository."""
START_SECONDS: Final = 60
ADDRESS: Final = "The endpoint listens on http://127.0.0.1:"
ROOT: Final = Path(__file__).parent.parent.parent


class IssuerServer(ThreadingHTTPServer):
    """An issuer on this machine whose keys are those of `identity_tokens`."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _IssuerHandler)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"


class _IssuerHandler(BaseHTTPRequestHandler):
    server: IssuerServer

    def do_GET(self) -> None:
        url = self.server.url
        document = {"issuer": url, "jwks_uri": f"{url}/keys"} if "openid" in self.path else {"keys": [get_key().public]}
        body = json.dumps(document).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@contextlib.contextmanager
def start_issuer() -> Iterator[str]:
    """Run an issuer and give its address."""
    with IssuerServer() as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        try:
            yield server.url
        finally:
            server.shutdown()
            thread.join()


class Zygote:
    """Forks servers from one process that has loaded them; see `zygote.py`."""

    def __init__(self) -> None:
        argv = [sys.executable, "-P", str(Path(__file__).parent / "zygote.py")]
        self._process = subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, cwd=ROOT, text=True)

    def spawn(self, argv: list[str], output: Path) -> int:
        self._process.stdin.write(json.dumps([argv, str(output)]) + "\n")
        self._process.stdin.flush()
        return int(self._process.stdout.readline())

    def close(self) -> None:
        self._process.stdin.close()
        self._process.wait()
        self._process.stdout.close()


class Launcher:
    """Starts servers as programs of their own, the loading included."""

    def __init__(self) -> None:
        self._processes: list[subprocess.Popen[bytes]] = []

    def spawn(self, argv: list[str], output: Path) -> int:
        with output.open("wb") as written:
            process = subprocess.Popen(
                [sys.executable, "-P", "-m", "coven_action", *argv],
                stdin=subprocess.DEVNULL,
                stdout=written,
                stderr=written,
            )
        # Reaped in a thread, so that whoever waits for its end sees it.
        threading.Thread(target=process.wait, daemon=True).start()
        self._processes.append(process)
        return process.pid

    def close(self) -> None:
        for process in self._processes:
            process.wait()


@dataclass
class Write:
    """A request that was sent, and what became of it."""

    account: int
    request: bytes
    texts: tuple[str, ...] = ()
    finishes: int | None = None


@dataclass
class Ledger:
    """What one account's runs know that the endpoint has acknowledged.

    Attributes:
        sequences: Text of an event -> its number.
        finished: Runs whose end was acknowledged.
        head: The audit log's, when it was last verified.
        floor: The event's number up to which the table was compared.
    """

    sequences: dict[str, int] = field(default_factory=dict)
    finished: set[int] = field(default_factory=set)
    head: ChainHead = EMPTY
    floor: int = 0


class Siege:
    """The cycles, on a database of their own.

    Args:
        folder: Where the database is made.
        issuer: Address of the issuer.
        spawner: Starts the server.
        seed: Of the random moments.
        load: How many writes a server acknowledges at most before it is killed.
    """

    def __init__(self, folder: Path, issuer: str, spawner: Zygote | Launcher, *, seed: int = 0, load: int = 60) -> None:
        self.data = folder / "coven.db"
        self.restarts: list[float] = []
        self.acknowledged = 0
        self.resent = 0
        self._output = folder / "output.txt"
        self._issuer = issuer
        self._spawner = spawner
        self._random = random.Random(seed)
        self._most = load
        self.ledgers = {account: Ledger() for account in TENANTS}
        self._pending: list[Write] = []
        self._goal = 0
        self._living: int | None = None
        self._reached = asyncio.Event()
        self._count = 0
        self.tenants: dict[int, int] = {}

    def run(self, cycles: int) -> None:
        """Go through the cycles, and end with a server that is stopped in order."""
        prepare_database(self.data)
        asyncio.run(self._enrol())
        try:
            asyncio.run(self._run(cycles))
        except AssertionError as error:
            error.add_note(self._output.read_text()[-5000:])
            raise
        finally:
            if self._living is not None:
                os.kill(self._living, signal.SIGKILL)

    async def _enrol(self) -> None:
        store = SQLiteStore(self.data, lambda: datetime.now(UTC))
        for account, repository_id in TENANTS.items():
            tenant = TenantEnrolment(
                issuer=self._issuer, account_id=account, account_login=f"a{account}", tier="dedicated"
            )
            made = await store.write(Command(0, lambda transaction, tenant=tenant: enrol_tenant(transaction, tenant)))
            repository = RepositoryEnrolment(
                repository_id=repository_id, owner="a", name="b", visibility="private", default_branch="main"
            )
            await store.write(
                Command(made.tenant_id, lambda transaction, it=repository: enrol_repository(transaction, "admin", it))
            )
            self.tenants[account] = made.tenant_id
        await store.close()

    async def _run(self, cycles: int) -> None:
        for number in range(cycles):
            pid = self._spawn()
            if number % 5 == 4:
                # Killed while it starts, wherever it is by then.
                await asyncio.sleep(self._random.uniform(0, 0.15))
            else:
                port = await self._await_start(pid)
                await self._resend(port)
                self.compare()
                await self._load(port, pid)
            await self._end(pid, signal.SIGKILL)
        pid = self._spawn()
        await self._resend(await self._await_start(pid))
        await self._end(pid, signal.SIGTERM)
        self.compare(whole=True)

    async def _end(self, pid: int, sent: signal.Signals) -> None:
        await end_process(pid, sent)
        self._living = None

    def _spawn(self) -> int:
        self._output.write_text("")
        argv = ["serve", "--data", str(self.data), "--port", "0", "--public-url", AUDIENCE, "--issuer", self._issuer]
        self._began = time.perf_counter()
        self._living = self._spawner.spawn(argv, self._output)
        return self._living

    async def _await_start(self, pid: int) -> int:
        while time.perf_counter() - self._began < START_SECONDS:
            said = self._output.read_text()
            for line in said.splitlines(keepends=True):
                if line.startswith(ADDRESS) and line.endswith("\n"):
                    return await self._await_answer(int(line.removeprefix(ADDRESS)))
            if not is_alive(pid):
                break
            await asyncio.sleep(0.005)
        raise AssertionError(f"The server did not start: {self._output.read_text()}")

    async def _await_answer(self, port: int) -> int:
        connection = await open_raw(port)
        status, _ = await connection.send(b"GET /readyz HTTP/1.1\r\nHost: x\r\n\r\n")
        connection.close()
        assert status == 200
        self.restarts.append(time.perf_counter() - self._began)
        return port

    async def _resend(self, port: int) -> None:
        connection = await open_raw(port)
        for write in self._pending:
            self._acknowledge(write, *await connection.send(write.request))
            self.resent += 1
        self._pending.clear()
        connection.close()

    async def _load(self, port: int, pid: int) -> None:
        workers = [asyncio.create_task(self._work(port, account)) for account in TENANTS for _ in range(WORKERS // 2)]
        # A number of answers and not a time: a slow machine is to be hit amid the writes as well.
        self._goal, self._reached = self.acknowledged + 1 + self._random.randrange(self._most), asyncio.Event()
        reached = asyncio.create_task(self._reached.wait())
        await asyncio.wait([reached, *workers], return_when=asyncio.FIRST_COMPLETED)
        reached.cancel()
        await asyncio.sleep(self._random.uniform(0, 0.003))
        os.kill(pid, signal.SIGKILL)
        for outcome in await asyncio.gather(*workers, return_exceptions=True):
            if not isinstance(outcome, ConnectionError):
                raise outcome

    async def _work(self, port: int, account: int) -> None:
        """Be one run after the other, until the server is gone."""
        connection = await open_raw(port)
        while True:
            await self._be_run(connection, account)

    async def _be_run(self, connection: RawConnection, account: int) -> None:
        run_id = self._next()
        token = make_token(
            datetime.now(UTC), iss=self._issuer, aud=AUDIENCE, repository_id=str(TENANTS[account]),
            repository_owner_id=str(account), run_id=str(run_id),
        )  # fmt: skip
        # A session has no key: one whose answer is lost is lost, and takes nothing with it.
        status, body = await connection.send(render_request("POST", "/v1/session", token, "none", b"{}"))
        assert status == 201, body
        session = json.loads(body)
        report = json.dumps(make_report(session)).encode()
        await self._send(connection, account, session, "PUT", "/v1/runs/self", report)
        for _ in range(self._random.randrange(1, 40)):
            texts = tuple(f"{run_id}-{self._next()}" for _ in range(self._random.choice((1, 1, 1, 5))))
            listed = [{"type": "note", "at": "2026-11-21T12:00:00Z", "data": {"text": text}} for text in texts]
            body = json.dumps({"events": listed}).encode()
            await self._send(connection, account, session, "POST", "/v1/runs/self/events", body, texts=texts)
        await self._send(
            connection, account, session, "POST", "/v1/runs/self/finish", b'{"state": "done"}', finishes=run_id
        )

    async def _send(
        self,
        connection: RawConnection,
        account: int,
        session: dict[str, Any],
        method: str,
        path: str,
        body: bytes,
        **more: Any,
    ) -> None:
        write = Write(account, render_request(method, path, session["token"], f"key-{self._next()}", body), **more)
        try:
            answer = await connection.send(write.request)
        except ConnectionError:
            self._pending.append(write)
            raise
        self._acknowledge(write, *answer)

    def _next(self) -> int:
        self._count += 1
        return self._count

    def _acknowledge(self, write: Write, status: int, body: bytes) -> None:
        assert status in {200, 202}, (status, body)
        self.acknowledged += 1
        if self.acknowledged >= self._goal:
            self._reached.set()
        ledger = self.ledgers[write.account]
        if write.texts:
            accepted = json.loads(body)
            numbers = range(accepted["first"], accepted["last"] + 1)
            ledger.sequences.update(zip(write.texts, numbers, strict=True))
        if write.finishes is not None:
            ledger.finished.add(write.finishes)

    def compare(self, *, whole: bool = False) -> None:
        """Hold the database against the ledger: since the last time, or the whole of it."""
        connection = pysqlite3.connect(str(self.data))
        try:
            for account, ledger in self.ledgers.items():
                if whole:
                    ledger.head, ledger.floor = EMPTY, 0
                compare_account(connection, self.tenants[account], ledger)
            if whole:
                assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)
                assert connection.execute("PRAGMA foreign_key_check").fetchone() is None
        finally:
            connection.close()


def compare_account(connection: Any, tenant_id: int, ledger: Ledger) -> None:
    """Raise AssertionError where an acknowledged write is lost or doubled, or a sequence, the chain or a meter is wrong."""

    def ask(statement: str, *parameters: Any) -> list[Any]:
        return connection.execute(statement, (tenant_id, *parameters)).fetchall()

    events = ask(
        "SELECT sequence, type, data FROM run_events WHERE tenant_id=? AND sequence>? ORDER BY sequence", ledger.floor
    )
    ((event_sequence, audit_sequence, audit_hash),) = ask(
        "SELECT event_sequence, audit_sequence, audit_hash FROM heads WHERE tenant_id=?"
    )
    assert [row[0] for row in events] == list(range(ledger.floor + 1, event_sequence + 1)), "a gap in the events"
    notes = {json.loads(data)["text"]: sequence for sequence, kind, data in events if kind == "note"}
    known = {text: number for text, number in ledger.sequences.items() if number > ledger.floor}
    assert len(notes) == sum(row[1] == "note" for row in events), "an event is there twice"
    assert notes == known, "an acknowledged event is lost, moved or doubled"
    rows = ask(
        "SELECT sequence, at, actor, action, subject, detail, previous, hash FROM audit WHERE tenant_id=? AND sequence>?"
        " ORDER BY sequence",
        ledger.head.sequence,
    )
    head = verify_chain(((AuditRow(*row[:7]), row[7]) for row in rows), ledger.head)
    assert head == (audit_sequence, audit_hash), "the head is not the last row"
    ended = {row[0] for row in ask("SELECT run_id FROM runs WHERE tenant_id=? AND state='done'")}
    assert ended == ledger.finished, "an acknowledged end is lost"
    metered = dict(ask("SELECT measure, sum(amount) FROM meters WHERE tenant_id=? GROUP BY measure"))
    ((count, size),) = ask("SELECT count(*), sum(length(data)) FROM run_events WHERE tenant_id=? AND type='note'")
    ((sessions,),) = ask("SELECT count(*) FROM audit WHERE tenant_id=? AND action='session.open'")
    ((runs,),) = ask("SELECT count(*) FROM runs WHERE tenant_id=? AND counted_at IS NOT NULL")
    recounted = {"events": count, "bytes": size or 0, "sessions": sessions, "runs": runs}
    assert {name: metered.get(name, 0) for name in recounted} == recounted, "the meters are not a recount's"
    ledger.head, ledger.floor = head, event_sequence


def is_alive(pid: int) -> bool:
    """Say whether a process is there. One whose threads are still ending is, and still holds its files."""
    return Path(f"/proc/{pid}").exists()


async def end_process(pid: int, sent: signal.Signals) -> None:
    """Send a signal and wait until the process is gone."""
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, sent)
    for _ in range(6000):
        if not is_alive(pid):
            return
        await asyncio.sleep(0.005)
    raise AssertionError("the process did not end")
