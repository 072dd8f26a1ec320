"""Two replicas behind a proxy: what was acknowledged is there once, whatever happens to them and to their database."""

import asyncio
import shutil
import signal
import tempfile
from pathlib import Path

import pytest

from tests.hosted.killing import Zygote, start_issuer
from tests.hosted.postgresql import make_server
from tests.hosted.replicas import Replicas

slow = pytest.mark.slow
pytestmark = pytest.mark.timeout(300)
SOME = 60
"""Writes between two blows."""


@pytest.fixture
def replicas(tmp_path):
    folder = Path(tempfile.mkdtemp(prefix="pg-", dir="/tmp"))
    server = make_server(folder)
    spawner = Zygote()
    with start_issuer() as issuer:
        made = Replicas(tmp_path, server, issuer, spawner)
        made.enrol()
        yield made
    spawner.close()
    server.stop()
    shutil.rmtree(folder)


def live(replicas, story):
    """Run a story under load, on two replicas, and compare at its end."""

    async def run():
        async with replicas.proxy.listen():
            try:
                await replicas.start()
                await replicas.start()
                async with replicas.load():
                    await replicas.acknowledge(SOME)
                    await story()
                    await replicas.acknowledge(SOME)
            finally:
                for pid in list(replicas.living):
                    await replicas.end(pid, signal.SIGTERM)

    asyncio.run(run())
    replicas.compare()
    assert replicas.hasty == 0, "a 503 did not say when to come again"


@slow
def test_two_replicas_share_the_work(replicas):
    async def work():
        await replicas.acknowledge(SOME)

    live(replicas, work)

    assert replicas.told["acknowledged"] >= 3 * SOME
    assert (replicas.told["503"], replicas.told["broken"]) == (0, 0)


@slow
def test_replicas_that_are_killed_under_load_lose_and_double_nothing(replicas):
    async def kill():
        for _ in range(6):
            await replicas.end(next(iter(replicas.living)), signal.SIGKILL)
            await replicas.acknowledge(SOME)
            await replicas.start()
            await replicas.acknowledge(SOME)

    live(replicas, kill)

    assert replicas.told["broken"] > 0


@slow
def test_replicas_that_are_rolled_lose_nothing_and_refuse_next_to_nothing(replicas):
    async def roll():
        for pid in list(replicas.living):
            await replicas.start()
            await replicas.end(pid, signal.SIGTERM)

    live(replicas, roll)

    assert replicas.told["503"] == 0


@slow
@pytest.mark.parametrize("seconds", [5, 30])
def test_without_their_database_they_say_when_to_come_again_and_go_on_by_themselves(replicas, seconds):
    refused = []

    async def lose():
        # As if the machine had gone: nothing is said to anybody.
        await asyncio.to_thread(replicas.server.stop, signal.SIGQUIT)
        before = replicas.told["acknowledged"]
        await asyncio.sleep(seconds)
        refused.append((replicas.told["503"], replicas.told["acknowledged"] - before))
        await asyncio.to_thread(replicas.server.start)

    live(replicas, lose)

    ((count, acknowledged),) = refused
    assert count > seconds
    assert acknowledged <= 6, "what was acknowledged when the database was gone can only have been on its way"
    assert replicas.longest < seconds + 30


@slow
def test_a_database_that_fails_over_again_and_again_loses_and_doubles_nothing(replicas):
    async def fail():
        for _ in range(5):
            await asyncio.to_thread(replicas.server.stop, signal.SIGQUIT)
            await asyncio.to_thread(replicas.server.start)
            await replicas.acknowledge(SOME)

    live(replicas, fail)
