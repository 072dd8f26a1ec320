"""Whether the database can be read is asked once for everybody, and its answer is repeated for a second."""

import asyncio

import pytest

from coven_action.hosted.readiness import Readiness
from coven_action.hosted.store.commands import StoreUnavailable
from tests.hosted.databases import ON_BOTH

pytestmark = ON_BOTH


class Counted:
    """The database, which counts how often it is read, waits for the gate, and fails with the fault while there is one."""

    def __init__(self, store):
        self._store = store
        self.count = 0
        self.fault = None
        self.gate = asyncio.Event()
        self.gate.set()

    async def read(self, tenant_id, work):
        self.count += 1
        await self.gate.wait()
        if self.fault is not None:
            raise self.fault
        return await self._store.read(tenant_id, work)


@pytest.fixture
def counted(store):
    return Counted(store)


@pytest.fixture
def ask(runner, counted, clock):
    """Ask, and return why the database cannot be read: the reason's code, None where it can."""
    readiness = Readiness()

    def call():
        trouble = runner.run(readiness.find_trouble(counted, clock))
        return trouble and trouble.reason

    return call


def test_an_answer_is_repeated_for_a_second_and_no_longer(ask, counted, clock):
    assert [ask() for _ in range(100)] == [None] * 100
    assert counted.count == 1

    clock.advance(seconds=0.999)
    assert (ask(), counted.count) == (None, 1)
    clock.advance(seconds=0.001)
    assert (ask(), counted.count) == (None, 2)


def test_a_clock_that_was_set_back_makes_no_answer_younger(ask, counted, clock):
    ask()
    clock.advance(hours=-1)

    ask()

    assert counted.count == 2


def test_that_it_cannot_be_read_is_repeated_too_and_that_it_can_again_is_told_within_a_second(ask, counted, clock):
    counted.fault = StoreUnavailable("database-failed", retry_after=5)
    assert [ask() for _ in range(3)] == ["database-failed"] * 3
    assert counted.count == 1

    counted.fault = None
    clock.advance(seconds=1)

    assert (ask(), counted.count) == (None, 2)


def test_a_fault_of_our_own_is_no_answer(ask, counted):
    counted.fault = ZeroDivisionError()
    with pytest.raises(ZeroDivisionError):
        ask()

    counted.fault = None

    assert (ask(), counted.count) == (None, 2)


def test_however_many_ask_the_database_is_asked_once_at_a_time(runner, counted, clock):
    readiness = Readiness()

    async def ask_together():
        counted.gate.clear()
        asking = [asyncio.create_task(readiness.find_trouble(counted, clock)) for _ in range(50)]
        await asyncio.sleep(0)
        # However long it takes, nobody asks again meanwhile.
        clock.advance(minutes=1)
        asking += [asyncio.create_task(readiness.find_trouble(counted, clock)) for _ in range(50)]
        await asyncio.sleep(0)
        # Who asked first goes away, and takes the answer from nobody.
        asking[0].cancel()
        await asyncio.sleep(0)
        counted.gate.set()
        return await asyncio.gather(*asking, return_exceptions=True)

    first, *others = runner.run(ask_together())

    assert isinstance(first, asyncio.CancelledError)
    assert others == [None] * 99
    assert counted.count == 1
