"""Turns: who is served next, whom with whom, and that nobody is served twice at a time, forgotten, or waited for at the end."""

import asyncio
import threading
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from coven_action.hosted.store.commands import Command, StoreUnavailable
from coven_action.hosted.store.turns import Turns, Waiting

FEW = 3
ALL = 100


class Waiters:
    """Turns, and what a test lets wait there."""

    def __init__(self, size=ALL, share=ALL, few=FEW):
        self.turns = Turns(size, share, few)
        self.names = {}

    def put(self, *names, appending=True):
        """Let commands wait; a name is the tenant's number and what tells its commands apart."""
        for name in names:
            waiting = Waiting(Command(int(name[0]), lambda _: None, appending=appending), None, None)
            self.names[id(waiting)] = waiting, name
            self.turns.put(waiting)

    def name(self, taken):
        return [self.names[id(each)][1] for each in taken]

    def serve(self, most=ALL):
        with self.turns.serve(most) as taken:
            return self.name(taken)

    def serve_together(self, most=ALL):
        with self.turns.serve_together(most) as taken:
            return self.name(taken)


@pytest.fixture
def waiters():
    return Waiters()


def test_tenants_with_a_few_commands_that_append_are_served_together_in_the_order_in_which_they_came(waiters):
    waiters.put("2a", "1a", "2b", "3a")

    assert waiters.serve_together() == ["2a", "2b", "1a", "3a"]


def test_what_does_more_than_append_is_its_tenants_alone_and_so_is_what_waits_with_it(waiters):
    waiters.put("1a", "2a")
    waiters.put("1b", appending=False)
    waiters.put("1c", "3a")

    assert waiters.serve() == ["1a", "1b", "1c"]
    assert waiters.serve_together() == ["2a", "3a"]


def test_who_brings_many_gets_a_commit_of_its_own(waiters):
    waiters.put("2a", *(f"1{letter}" for letter in "abcd"), "3a")

    assert waiters.serve() == ["1a", "1b", "1c", "1d"]
    assert waiters.serve_together() == ["2a", "3a"]


def test_who_becomes_one_of_many_keeps_its_place_in_neither_line_twice(waiters):
    waiters.put(*(f"1{letter}" for letter in "abcd"))
    assert waiters.serve(most=2) == ["1a", "1b"]

    assert waiters.serve_together() == ["1c", "1d"]
    waiters.turns.close()
    assert waiters.serve() == waiters.serve_together() == []


def test_nothing_is_served_together_where_nothing_may_be():
    waiters = Waiters(few=0)
    waiters.put("1a", "2a")

    assert (waiters.serve(), waiters.serve()) == (["1a"], ["2a"])


def test_a_turn_takes_no_more_than_it_may(waiters):
    waiters.put("1a", "1b", "2a", "2b")

    assert waiters.serve_together(most=3) == ["1a", "1b", "2a"]
    assert waiters.serve_together(most=3) == ["2b"]


def test_whoever_is_served_is_nobody_elses_meanwhile(waiters):
    waiters.put("1a", "2a")
    with waiters.turns.serve_together(most=1) as taken:
        assert waiters.name(taken) == ["1a"]
        waiters.put("1b")
        waiters.put("1c", appending=False)
        assert waiters.serve_together() == ["2a"]
    assert waiters.serve() == ["1b", "1c"]


def test_what_is_put_back_comes_first_of_its_tenant_and_alone(waiters):
    waiters.put("1a", "1b", "2a")
    with waiters.turns.serve_together(ALL) as taken:
        waiters.put("1c", "2b")
        waiters.turns.put_back([each for each in taken if each.command.tenant_id == 1])
    assert waiters.serve() == ["1a", "1b", "1c"]
    assert waiters.serve_together() == ["2b"]


def test_after_the_end_what_is_served_may_still_be_put_back(waiters):
    """Who looks for the next turn must not leave while that may be."""
    waiters.put("1a")
    served = []
    with waiters.turns.serve_together(ALL) as taken:
        waiters.turns.close()
        other = threading.Thread(target=lambda: served.extend(waiters.serve()))
        other.start()
        other.join(0.05)
        assert other.is_alive()
        waiters.turns.put_back(taken)
    other.join(10)
    assert served == ["1a"]
    assert waiters.serve() == waiters.serve_together() == []


def test_after_the_end_nothing_more_is_taken(waiters):
    waiters.turns.close()

    with pytest.raises(StoreUnavailable, match="store-closing"):
        waiters.put("1a")


@pytest.mark.parametrize(("size", "share", "taken"), [(2, ALL, 2), (ALL, 1, 1)], ids=["of all", "of a tenant's"])
def test_more_than_may_wait_is_refused(size, share, taken):
    waiters = Waiters(size=size, share=share)
    with pytest.raises(StoreUnavailable, match="overloaded"):
        waiters.put("1a", "1b", "1c")

    assert len(waiters.serve_together()) == taken
    waiters.put("1d")


COMMANDS = st.lists(st.tuples(st.integers(1, 5), st.booleans()), max_size=60)


@given(COMMANDS, st.integers(1, 7), st.sampled_from([0, 1, FEW]))
def test_everything_is_served_once_and_each_tenants_in_its_order_by_however_many(commands, most, few):
    turns, told, at_work = Turns(ALL, ALL, few), [], Counter()

    def work(serve):
        while True:
            with serve(most) as taken:
                if not taken:
                    return
                tenants = {each.command.tenant_id for each in taken}
                at_work.update(tenants)
                assert max(at_work.values()) == 1, "served by two at a time"
                shared = serve == turns.serve_together
                assert shared or len(tenants) == 1
                assert not shared or all(each.command.appending and not each.alone for each in taken)
                # Every third of those that are served together finds its tenant held by somebody else.
                back = [each for each in taken if shared and each.command.tenant_id % 3 == 0]
                told.extend(each for each in taken if each not in back)
                turns.put_back(back)
                at_work.subtract(tenants)

    threads = [
        threading.Thread(target=work, args=(serve,)) for serve in (turns.serve, turns.serve, turns.serve_together)
    ]
    for thread in threads:
        thread.start()
    sent = [Waiting(Command(tenant, lambda _: None, appending=appends), None, None) for tenant, appends in commands]
    for each in sent:
        turns.put(each)
    turns.close()
    for thread in threads:
        thread.join(30)
        assert not thread.is_alive()

    for tenant in range(1, 6):
        mine = [each for each in sent if each.command.tenant_id == tenant]
        assert list(map(id, mine)) == [id(each) for each in told if each.command.tenant_id == tenant]


def test_whoever_waits_for_a_turn_is_woken_by_what_comes(waiters):
    served = []

    async def work():
        waiting = [asyncio.to_thread(lambda: served.extend(waiters.serve()))]
        waiting.append(asyncio.to_thread(lambda: served.extend(waiters.serve_together())))
        gathered = asyncio.gather(*waiting)
        await asyncio.sleep(0.02)
        waiters.put("1a")
        waiters.put("2a", appending=False)
        await asyncio.wait_for(gathered, 10)

    asyncio.run(work())

    assert sorted(served) == ["1a", "2a"]
