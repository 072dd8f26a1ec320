"""Start the endpoint on its database, serve until told to stop, and finish what was accepted.

What the first start needs it makes itself: the database's tables, the key that signs the heads of the audit logs, and the
local administrator's token. One process serves a database file; a second one is refused.

A database of PostgreSQL is served by any number of processes, as a role that may not change its tables: those are made by
`coven-action migrate`. All of them sign with one key, whose file each is given.
"""

import asyncio
import fcntl
import gc
import os
import signal
import socket
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from types import FrameType
from typing import Final
from urllib.parse import urlsplit

import uvicorn
import uvloop
from fastapi import FastAPI

from coven_action.core.configuration.endpoint_urls import LOOPBACK
from coven_action.errors import EnvironmentFault, Error
from coven_action.hosted.admin_token import make_admin_token, make_first_admin_token
from coven_action.hosted.app import create_app
from coven_action.hosted.endpoint import Clock, Endpoint, Keys
from coven_action.hosted.identifiers import Ids, RandomIds
from coven_action.hosted.oidc import HTTPFetch, TokenVerifier, parse_issuer
from coven_action.hosted.restore_mark import refuse_unfinished
from coven_action.hosted.services.policies import record_tiers
from coven_action.hosted.settings import ADMIN_HOST, Settings
from coven_action.hosted.signing import SigningKey, load_former_keys, load_signing_key
from coven_action.hosted.signing_record import check_signing_key
from coven_action.hosted.store.commands import Command, Store
from coven_action.hosted.store.migrations import upgrade
from coven_action.hosted.store.sqlite import SQLiteStore, open_writer
from coven_action.hosted.store.transaction import Transaction

DRAIN_SECONDS: Final = 10
"""From the request to stop until what is still under way is given up."""
NOTICE_SECONDS: Final = 1
"""Of these, how long new connections are still taken, while `/readyz` says that there will soon be none."""

_TICKS_A_SECOND: Final = 10  # uvicorn's `main_loop`
_SWITCH_SECONDS: Final = 0.0005
_COLLECTOR_THRESHOLDS: Final = (20_000, 20, 50)
_OWNER_ONLY: Final = 0o600


def read_clock() -> datetime:
    """Return the time."""
    return datetime.now(UTC)


@dataclass(frozen=True, slots=True)
class Started:
    """What is told once a server listens.

    Args:
        address: Where.
        public_url: As runs and people reach it.
        admin_url: As the local administrator reaches it, from this machine.
        admin_token: The local administrator's, where one was made now.
    """

    address: str
    public_url: str
    admin_url: str
    admin_token: str | None


def check_exposure(settings: Settings) -> None:
    """Refuse to be reached from other machines without encryption: tokens would pass in the clear.

    Raises:
        EnvironmentFault: `invalid-setting`.
    """
    if settings.host not in LOOPBACK and urlsplit(settings.public_url).scheme != "https":
        raise EnvironmentFault(
            "invalid-setting",
            f"The endpoint would listen on {settings.host}, which other machines reach, and be called {settings.public_url}.",
            remedy="Put a proxy with a certificate before it and give its address: --public-url https://coven.example.com. "
            "To try it out on this machine, leave out --host.",
        )


def prepare_database(path: Path) -> str | None:
    """Make the database's file and tables, or bring them to this version; return the version it had.

    The file is its owner's alone; what SQLite puts beside it gets the same permissions.

    Raises:
        Error: `database-newer`, `database-unusable`, `restore-unfinished`, `sqlite-too-old`.
    """
    refuse_unfinished(path)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        os.close(os.open(path, os.O_RDWR | os.O_CREAT, _OWNER_ONLY))
    except OSError as error:
        raise Error("database-unusable", f"The file {path} cannot be opened: {error.strerror}.") from error
    engine = open_writer(path)
    try:
        return upgrade(engine)
    finally:
        engine.dispose()


@contextmanager
def open_store(settings: Settings) -> Iterator[Callable[[Clock], Store]]:
    """Make sure of the database that the settings name, and yield what opens it; a file is held until the block ends.

    Raises:
        Error: The database cannot be used: what `hold_database`, `prepare_database` and `check_database` refuse.
    """
    if settings.data is not None:
        path = settings.data
        with hold_database(path):
            prepare_database(path)
            yield lambda clock: SQLiteStore(path, clock)
        return
    # Only who has such a database pays for its driver.
    from coven_action.hosted.store.postgresql import PostgreSQLStore  # noqa: PLC0415
    from coven_action.hosted.store.postgresql_checks import check_database, parse_database_url  # noqa: PLC0415

    url = parse_database_url(settings.database_url or "")
    check_database(url)
    yield lambda clock: PostgreSQLStore(url, clock)


@contextmanager
def hold_database(path: Path) -> Iterator[None]:
    """Be the one process that serves a database. The kernel gives the lock back, however the process ends.

    Raises:
        Error: `database-in-use`.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        lock = os.open(path.with_name(f"{path.name}.lock"), os.O_RDWR | os.O_CREAT, _OWNER_ONLY)
    except OSError as error:
        raise Error("database-unusable", f"The folder of {path} cannot be written: {error.strerror}.") from error
    try:
        _lock(lock, path)
        yield
    finally:
        os.close(lock)


def _lock(lock: int, path: Path) -> None:
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        raise Error("database-in-use", f"Another process serves {path}.") from error


def listen(host: str, port: int, option: str = "--port") -> socket.socket:
    """Return a socket that listens at an address.

    Args:
        host: Its first part.
        port: Its second part; 0 takes a free one.
        option: By which another port is chosen.

    Raises:
        EnvironmentFault: `address-in-use`.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listening = socket.socket(family, socket.SOCK_STREAM)
    try:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.bind((host, port))
    except OSError as error:
        listening.close()
        raise EnvironmentFault(
            "address-in-use",
            f"{host}:{port} cannot be listened on: {error.strerror}.",
            remedy=f"Stop what listens there, or give another port: {option} NUMBER.",
        ) from error
    return listening


class DrainingServer(uvicorn.Server):
    """Tells load balancers before it takes no more connections, and then finishes what it has accepted.

    Args:
        config: uvicorn's.
        endpoint: Is told that it is being stopped.
        on_start: Called once requests are taken.
    """

    def __init__(self, config: uvicorn.Config, endpoint: Endpoint, on_start: Callable[[], None]) -> None:
        super().__init__(config)
        self._endpoint = endpoint
        self._on_start = on_start
        self._ticks_left = NOTICE_SECONDS * _TICKS_A_SECOND

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Take requests, and say so."""
        await super().startup(sockets)
        self._on_start()

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Begin to stop: SIGTERM after a notice, SIGINT at once; a second signal gives up what is under way.

        Unlike uvicorn's own, it does not raise the signal again at the end: who was told to stop and did has succeeded.
        """
        del frame
        self.force_exit = self._endpoint.draining
        self._endpoint.draining = True
        if sig == signal.SIGINT or self.force_exit:
            self.should_exit = True

    async def on_tick(self, counter: int) -> bool:
        """Say whether to stop now."""
        if self._endpoint.draining:
            self._ticks_left -= 1
            self.should_exit = self.should_exit or self._ticks_left <= 0
        return await super().on_tick(counter)


def serve(
    settings: Settings,
    *,
    announce: Callable[[Started], None],
    new_admin_token: bool = False,
    clock: Clock = read_clock,
    ids: Ids | None = None,
) -> None:
    """Serve until a signal says to stop.

    Args:
        settings: What the operator decided.
        announce: Told once requests are taken.
        new_admin_token: Make a local administrator's token even where there is one.
        clock: Tells the time.
        ids: Makes tokens and ids.

    Raises:
        Error: The settings, the database, the key or the address cannot be used.
    """
    check_exposure(settings)
    with open_store(settings) as make_store:
        signer = load_signing_key(settings.find_signing_key())
        with ExitStack() as held:
            listening = [held.enter_context(listen(settings.host, settings.port))]
            if not settings.is_local:
                listening.append(held.enter_context(listen(ADMIN_HOST, settings.admin_port, "--admin-port")))
            runner = held.enter_context(asyncio.Runner(loop_factory=uvloop.new_event_loop))
            live = _live(
                _complete(settings, listening),
                listening,
                make_store=make_store,
                signer=signer,
                announce=announce,
                make_token=make_admin_token if new_admin_token else make_first_admin_token,
                clock=clock,
                ids=ids or RandomIds(),
            )
            runner.run(live)


def _complete(settings: Settings, listening: Sequence[socket.socket]) -> Settings:
    """Return the settings with the ports that the system chose, and an address for whoever gave none."""
    ports = [each.getsockname()[1] for each in listening]
    found = settings.model_copy(update=dict(zip(("port", "admin_port"), ports, strict=False)))
    if "public_url" in settings.model_fields_set:
        return found
    return found.model_copy(update={"public_url": found.address})


async def _live(
    settings: Settings,
    listening: list[socket.socket],
    *,
    make_store: Callable[[Clock], Store],
    signer: SigningKey,
    announce: Callable[[Started], None],
    make_token: Callable[[Transaction, Ids], str | None],
    clock: Clock,
    ids: Ids,
) -> None:
    store = make_store(clock)
    try:
        if store.shared:
            await store.write(Command(0, lambda transaction: check_signing_key(transaction, signer)))
        tiers = settings.tiers.build()
        await store.write(Command(0, lambda transaction: record_tiers(transaction, tiers)))
        admin_token = await store.write(Command(0, lambda transaction: make_token(transaction, ids)))
        async with HTTPFetch() as fetch:
            issuers = [parse_issuer(line) for line in settings.issuers]
            tokens = TokenVerifier(issuers, audience=settings.audience, fetch=fetch, clock=clock)
            keys = Keys(signer, tokens, load_former_keys(settings.find_signing_key()))
            app = create_app(settings, store=store, keys=keys, clock=clock, ids=ids)
            started = Started(settings.address, settings.public_url, settings.admin_url, admin_token)
            tune_interpreter()
            server = DrainingServer(_configure(app), app.state.endpoint, lambda: announce(started))
            await server.serve(listening)
            await tokens.aclose()
    finally:
        await store.close()


def tune_interpreter() -> None:
    """Let two threads share the interpreter in short turns, and spare the collector what was loaded for good.

    The writer gives the interpreter up at every statement, and would wait five milliseconds to have it back while requests
    are read. The collector would look at each of the hundreds of thousands of objects of the loaded modules again and again.
    """
    sys.setswitchinterval(_SWITCH_SECONDS)
    gc.collect()
    gc.freeze()
    gc.set_threshold(*_COLLECTOR_THRESHOLDS)


def _configure(app: FastAPI) -> uvicorn.Config:
    return uvicorn.Config(
        app,
        http="httptools",
        lifespan="on",
        log_config=None,
        access_log=False,
        server_header=False,
        # Whoever connects is who connects: a header cannot make them somebody on this machine.
        proxy_headers=False,
        timeout_graceful_shutdown=DRAIN_SECONDS - NOTICE_SECONDS,
    )
