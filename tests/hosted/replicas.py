"""Replicas of the endpoint behind a plain TCP proxy, on one PostgreSQL, and runs that write to them whatever happens.

A run's client asks again with the same key until it has an answer: after a connection that broke, and after a 503 when the
seconds in its Retry-After are over (or a little sooner, so that the test does not take as long). What it was told is what
the database is held against.
"""

import asyncio
import contextlib
import itertools
import json
import re
import signal
import time
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from coven_action.hosted.operating import open_database
from coven_action.hosted.services.enrolment import RepositoryEnrolment, TenantEnrolment, enrol_repository, enrol_tenant
from tests.hosted.deployment import make_report, make_token
from tests.hosted.killing import ADDRESS, AUDIENCE, TENANTS, Ledger, Zygote, compare_account, end_process, is_alive
from tests.hosted.postgresql import APP, TEMPLATE, Server
from tests.hosted.raw_http import RawConnection, open_raw, render_request

WORKERS: Final = 6
START_SECONDS: Final = 60
_PATIENCE: Final = 120.0
"""Seconds in which a write gets its answer, whatever happens meanwhile."""
_AT_MOST: Final = 0.25
_RETRY_AFTER: Final = re.compile(rb"\r\nretry-after: ([0-9]+)\r\n")


class Proxy:
    """Passes each connection on to the next replica that takes it; it knows nothing of HTTP."""

    def __init__(self) -> None:
        self.ports: list[int] = []
        self.port = 0
        self._turns = itertools.count()
        self._passing: set[asyncio.Task[Any]] = set()

    @asynccontextmanager
    async def listen(self) -> AsyncIterator[None]:
        """Listen until the block ends."""
        server = await asyncio.start_server(self._pass_on, "127.0.0.1", 0)
        self.port = server.sockets[0].getsockname()[1]
        try:
            yield
        finally:
            server.close()
            for task in self._passing:
                task.cancel()
            await asyncio.gather(*self._passing, return_exceptions=True)

    async def _pass_on(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        turn = next(self._turns)
        listed = self.ports[turn % len(self.ports) :] + self.ports[: turn % len(self.ports)] if self.ports else []
        for port in listed:
            with contextlib.suppress(OSError):
                other = await asyncio.open_connection("127.0.0.1", port)
                break
        else:
            writer.close()
            return
        ways = [asyncio.create_task(_copy(reader, other[1])), asyncio.create_task(_copy(other[0], writer))]
        self._passing.update(ways)
        await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
        for each in (*ways, writer, other[1]):
            each.cancel() if isinstance(each, asyncio.Task) else each.close()
        await asyncio.gather(*ways, return_exceptions=True)
        self._passing.difference_update(ways)


async def _copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with contextlib.suppress(ConnectionError):
        while data := await reader.read(65_536):
            writer.write(data)
            await writer.drain()


class Replicas:
    """Some processes of the endpoint on one database.

    Args:
        folder: For what they print, and their key.
        server: The database's.
        issuer: Address of the issuer.
        spawner: Starts them.
    """

    def __init__(self, folder: Path, server: Server, issuer: str, spawner: Zygote) -> None:
        self.server = server
        self.proxy = Proxy()
        self.living: dict[int, int] = {}
        self.ledgers = {account: Ledger() for account in TENANTS}
        self.tenants: dict[int, int] = {}
        self.told: Counter[str] = Counter()
        """What the runs met: acknowledged, replayed, broken, and the statuses that were none of these."""
        self.hasty = 0
        """503 without Retry-After."""
        self.longest = 0.0
        self._folder = folder
        self._issuer = issuer
        self._spawner = spawner
        self._counter = itertools.count(1)
        self._stopping = asyncio.Event()

    @property
    def _url(self) -> str:
        return f"postgresql://{APP}@/{TEMPLATE}?host={self.server.folder}"

    def enrol(self) -> None:
        """Enrol the accounts whose runs write."""
        with open_database(self._url) as database:
            for account, repository_id in TENANTS.items():
                tenant = TenantEnrolment(
                    issuer=self._issuer, account_id=account, account_login=f"a{account}", tier="dedicated"
                )
                made = database.write(0, lambda transaction, it=tenant: enrol_tenant(transaction, it))
                repository = RepositoryEnrolment(
                    repository_id=repository_id, owner="a", name="b", visibility="private", default_branch="main"
                )
                database.write(
                    made.tenant_id, lambda transaction, it=repository: enrol_repository(transaction, "admin", it)
                )
                self.tenants[account] = made.tenant_id

    async def start(self) -> int:
        """Start a replica, let the proxy know it, and return its process id."""
        output = self._folder / f"output-{next(self._counter)}.txt"
        output.write_text("")
        pid = self._spawner.spawn(
            ["serve", "--database", self._url, "--signing-key", str(self._folder / "signing.key"), "--port", "0",
             "--public-url", AUDIENCE, "--issuer", self._issuer],
            output,
        )  # fmt: skip
        end = time.monotonic() + START_SECONDS
        while time.monotonic() < end and is_alive(pid):
            for line in output.read_text().splitlines(keepends=True):
                if line.startswith(ADDRESS) and line.endswith("\n"):
                    self.living[pid] = int(line.removeprefix(ADDRESS))
                    self.proxy.ports.append(self.living[pid])
                    return pid
            await asyncio.sleep(0.01)
        raise AssertionError(f"The replica did not start: {output.read_text()}")

    async def end(self, pid: int, sent: signal.Signals) -> None:
        """Send a signal to a replica, wait for its end, and let the proxy forget it then: it learns of nothing before."""
        await end_process(pid, sent)
        self.proxy.ports.remove(self.living.pop(pid))

    # --- runs

    @asynccontextmanager
    async def load(self) -> AsyncIterator[None]:
        """Let runs write until the block ends, and then until each has the answers to what it has sent."""
        self._stopping.clear()
        workers = [asyncio.create_task(self._work(account)) for account in TENANTS for _ in range(WORKERS // 2)]
        try:
            yield
        finally:
            self._stopping.set()
            outcomes = await asyncio.gather(*workers, return_exceptions=True)
        for outcome in outcomes:
            if outcome is not None:
                raise outcome

    async def acknowledge(self, count: int) -> None:
        """Wait until so many more writes are acknowledged."""
        goal, end = self.told["acknowledged"] + count, time.monotonic() + _PATIENCE
        while self.told["acknowledged"] < goal:
            assert time.monotonic() < end, self.told
            await asyncio.sleep(0.01)

    async def _work(self, account: int) -> None:
        while not self._stopping.is_set():
            await _Run(self, account).live()

    def render_token(self, account: int, run_id: int) -> str:
        return make_token(
            datetime.now(UTC), iss=self._issuer, aud=AUDIENCE, repository_id=str(TENANTS[account]),
            repository_owner_id=str(account), run_id=str(run_id),
        )  # fmt: skip

    def count(self) -> int:
        return next(self._counter)

    def compare(self) -> None:
        """Hold the whole database against what was acknowledged."""
        with self.server.connect(TEMPLATE) as connection:
            for account, ledger in self.ledgers.items():
                anew = Ledger(ledger.sequences, ledger.finished)
                compare_account(_Asking(connection), self.tenants[account], anew)


class _Asking:
    """Takes the statements of the comparison as they are written for a file."""

    def __init__(self, connection: Any) -> None:
        self._connection = connection

    def execute(self, statement: str, parameters: tuple[Any, ...]) -> Any:
        return self._connection.execute(statement.replace("?", "%s"), parameters)


class _Run:
    """A run's client: it asks until it is answered."""

    def __init__(self, replicas: Replicas, account: int) -> None:
        self._replicas = replicas
        self._account = account
        self._run_id = replicas.count()
        self._connection: RawConnection | None = None

    async def live(self) -> None:
        session = await self._open()
        await self._write(session, "PUT", "/v1/runs/self", json.dumps(make_report(session)).encode())
        ledger = self._replicas.ledgers[self._account]
        for _ in range(10):
            text = f"{self._run_id}-{self._replicas.count()}"
            listed = [{"type": "note", "at": "2026-11-21T12:00:00Z", "data": {"text": text}}]
            body = json.dumps({"events": listed}).encode()
            accepted = await self._write(session, "POST", "/v1/runs/self/events", body)
            ledger.sequences[text] = accepted["first"]
        await self._write(session, "POST", "/v1/runs/self/finish", b'{"state": "done"}')
        ledger.finished.add(self._run_id)
        if self._connection is not None:
            self._connection.close()

    async def _open(self) -> dict[str, Any]:
        """Open a session. It has no key: each try has a token of its own."""

        def render() -> bytes:
            token = self._replicas.render_token(self._account, self._run_id)
            return render_request("POST", "/v1/session", token, "none", b"{}")

        return await self._ask(render)

    async def _write(self, session: dict[str, Any], method: str, path: str, body: bytes) -> dict[str, Any]:
        request = render_request(method, path, session["token"], f"key-{self._replicas.count()}", body)
        return await self._ask(lambda: request)

    async def _ask(self, render: Any) -> dict[str, Any]:
        told, begun = self._replicas.told, time.monotonic()
        while time.monotonic() < begun + _PATIENCE:
            try:
                if self._connection is None:
                    self._connection = await open_raw(self._replicas.proxy.port)
                status, body = await self._connection.send(render())
            except OSError:
                told["broken"] += 1
                self._connection = None
                await asyncio.sleep(0.02)
                continue
            if status in {200, 201, 202}:
                told["acknowledged"] += 1
                told["replayed"] += b"\r\nidempotency-replayed: true" in self._connection.head
                self._replicas.longest = max(self._replicas.longest, time.monotonic() - begun)
                return json.loads(body)  # type: ignore[no-any-return] # an object
            assert status == 503, (status, body)
            told["503"] += 1
            found = _RETRY_AFTER.search(self._connection.head)
            self._replicas.hasty += found is None
            await asyncio.sleep(min(float(found[1]) if found else 0, _AT_MOST))
        raise AssertionError(f"no answer in {_PATIENCE} seconds: {told}")
