"""No account notices another: not by a word, a number, an order, nor by what is not there."""

import asyncio
from datetime import timedelta

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, rule

from coven_action.hosted.app import ROUTERS
from coven_action.hosted.authentication import OPEN_PATHS
from tests.fuzzing import examples
from tests.hosted.databases import POSTGRESQL, SQLITE
from tests.hosted.neighbours import (
    ENTRIES,
    NUMBERS,
    OPERATIONS,
    PREFIXES,
    RUNS,
    Act,
    Recording,
    hold_against_solitude,
    open_street,
    schedule_day,
    watch_crowd,
)


@pytest.fixture(scope="module")
def solitude():
    """What each is answered alone on that day, for both databases."""
    return {}


@pytest.fixture(scope="module", params=[SQLITE, POSTGRESQL])
def day(request, solitude):
    """A day on which all three do everything, held against what each would have been answered alone, in a file.

    So every route answers the same, byte for byte, whichever database it has.
    """
    with asyncio.Runner() as runner, open_street(runner, request.param) as street:
        recording = Recording(street)
        for number, act in schedule_day():
            recording.act(number, act)
        hold_against_solitude(recording.played, runner, solitude)
        return recording


def test_on_a_day_on_which_everything_happens_nobody_notices_the_others(day):
    assert {number for number, *_ in day.played} == set(NUMBERS)


def test_every_route_has_its_rule(day):
    routes = {
        (method.lower(), route.path)
        for router in ROUTERS
        for route in router.routes
        for method in route.methods
        if route.path not in OPEN_PATHS
    }

    assert day.street.hits == routes, "a route that no act of tests/hosted/neighbours.py reaches may tell anything"


def test_every_kind_of_act_happens(day):
    assert {act.name for _, act, *_ in day.played} == set(OPERATIONS)


def test_what_is_asked_for_is_really_there(day):
    """Each account reads its own words: the canaries are where others could find them."""
    told = {
        number: b"".join(answer.body for whose, *_, all_ in day.played if whose == number for answer in all_)
        for number in NUMBERS
    }

    for number, household in day.street.households.items():
        assert told[number].count(household.who.canary.encode()) > 100


@pytest.mark.parametrize("database", [SQLITE, POSTGRESQL])
def test_a_neighbour_who_fills_up_changes_neither_what_is_offered_nor_its_order(database):
    with asyncio.Runner() as runner:
        before, after = watch_crowd(runner, database)

    assert after == before
    assert [len(entries) for entries in before] == [3, 3, 3, 3, 2, 1]


# --- any day

ARGUMENTS = {
    **dict.fromkeys(("report", "append", "repeat", "bundle", "use", "ask_grant", "finish", "relay", "close", "forge"),
                    st.tuples(st.sampled_from(RUNS))),
    "propose": st.tuples(st.sampled_from(RUNS), st.sampled_from(ENTRIES)),
    "validate": st.tuples(st.just(3), st.booleans()),
    "open": st.tuples(st.sampled_from(RUNS)),
    "decide": st.tuples(
        st.sampled_from(ENTRIES),
        st.sampled_from(("approve", "reject", "edit", "revoke", "restore", "supersede", "promote", "erase")),
    ),
    "decide_about_others": st.tuples(st.sampled_from(("approve", "revoke", "erase"))),
    "put_policy": st.tuples(st.booleans()),
    **dict.fromkeys(("revoke_prefix", "restore_prefix"), st.tuples(st.sampled_from(range(len(PREFIXES))))),
    "enrol": st.tuples(st.sampled_from((1001, 1002)), st.sampled_from(("shop", "stall"))),
    **dict.fromkeys(("suspend", "release"), st.tuples(st.sampled_from((1001, 1002)))),
}  # fmt: skip
PAUSES = st.sampled_from((timedelta(seconds=1), timedelta(0), timedelta(minutes=16), timedelta(days=20)))
ACTS = st.sampled_from(sorted(OPERATIONS)).flatmap(
    lambda name: st.tuples(ARGUMENTS.get(name, st.just(())), PAUSES).map(lambda drawn: Act(name, *drawn))
)


class Neighbours(RuleBasedStateMachine):
    """Three accounts do anything in any order; at the end each does its part again where it is alone."""

    def __init__(self):
        super().__init__()
        self._runner = asyncio.Runner()
        self._opened = open_street(self._runner)
        self._recording = Recording(self._opened.__enter__())

    @rule(number=st.sampled_from(NUMBERS), act=ACTS)
    def live(self, number, act):
        self._recording.act(number, act)

    def teardown(self):
        try:
            self._opened.__exit__(None, None, None)
            hold_against_solitude(self._recording.played, self._runner)
        finally:
            self._runner.close()


TestNeighbours = Neighbours.TestCase
TestNeighbours.settings = examples(4, stateful_step_count=12)
