"""Every condition that names the tenant is needed: without any one of them somebody notices the neighbours."""

import asyncio
from datetime import datetime

import pytest
from sqlalchemy import insert, select

from coven_action.hosted.services.reseal import CopyOrigin, find_reseals, reseal
from coven_action.hosted.services.self_check import check_account
from coven_action.hosted.store import schema
from tests.hosted.databases import POSTGRESQL, SQLITE
from tests.hosted.neighbours import (
    NUMBERS,
    Act,
    Answer,
    Leak,
    Recording,
    compare,
    open_street,
    play_alone,
    schedule_day,
    watch_crowd,
)
from tests.hosted.predicates import disabled, list_predicates

REDUNDANT = {
    "services.sessions.close_session[1]": "the hash is of a token that names the account, and is nobody else's",
    "services.suspension.end_sessions[2]": "the hashes are of tokens that name the account, and are nobody else's",
    "authentication._read_session[1]": "the hash is of a token that names the account, and is nobody else's",
}
"""Conditions that add nothing to another one beside them, and why; they stay, since a reader need not know that."""
CROWDED_OUT = {
    "services.bundles._NEWEST[1]": "what it finds is looked up in the account again, but others' may take all places"
}
"""Conditions without which nothing is told, and a neighbour who remembers a great deal leaves no room."""
SAMPLE = frozenset(
    {
        "services.bundles._READ[1]",
        "services.bundles._TOUCH[1]",
        "services.memory_entries.find_entry[1]",
        "services.runs.read_run[1]",
    }
)
"""Those that are taken away on PostgreSQL as well, whose policies hold without them."""
BY_OPERATORS = ("services.reseal.", "services.self_check.")
"""What an operator starts, account by account, after a restore: no request of anybody's comes to it, so no day shows it."""
PREDICATES = [
    each for each in list_predicates() if str(each) not in REDUNDANT and not str(each).startswith(BY_OPERATORS)
]


class Expected:
    """The day as each account has it alone."""

    def __init__(self, runner: asyncio.Runner) -> None:
        with open_street(runner) as street:
            recording = Recording(street)
            self.schedule: list[tuple[int, Act, datetime]] = []
            for number, act in schedule_day():
                recording.now += act.after
                self.schedule.append((number, act, recording.now))
        self.answers: dict[int, list[list[Answer]]] = {
            number: play_alone(number, self.schedule, runner) for number in NUMBERS
        }


@pytest.fixture(scope="module")
def runner():
    with asyncio.Runner() as started:
        yield started


@pytest.fixture(scope="module")
def expected(runner):
    return Expected(runner)


def find_leak(expected, runner, database=SQLITE):
    """Return how the neighbours were noticed in the course of the day, None where they were not."""
    with open_street(runner, database) as street:
        recording = Recording(street)
        answers = {number: iter(all_) for number, all_ in expected.answers.items()}
        for number, act, _ in expected.schedule:
            try:
                recording.act(number, act)
                compare(number, act, recording.played[-1][3], next(answers[number]))
            except Leak as leak:
                return str(leak)
            except Exception as error:  # noqa: BLE001 a service that stumbles over another's rows has noticed them as well
                return f"{act} of account {number} ends with {type(error).__name__}"
    return None


@pytest.mark.slow
def test_with_all_of_them_nobody_is_noticed(expected, runner):
    assert find_leak(expected, runner) is None


def test_what_is_said_of_them_is_of_ones_that_are_there():
    assert {*REDUNDANT, *CROWDED_OUT, *SAMPLE} <= {str(each) for each in list_predicates()}


@pytest.mark.slow
@pytest.mark.parametrize("predicate", PREDICATES, ids=str)
def test_without_one_somebody_is(expected, runner, predicate):
    with disabled(predicate):
        if str(predicate) in CROWDED_OUT:
            before, after = watch_crowd(runner)
            assert after != before
        else:
            assert find_leak(expected, runner) is not None


@pytest.mark.slow
@pytest.mark.parametrize("predicate", [each for each in PREDICATES if str(each) in SAMPLE], ids=str)
def test_without_one_the_policies_of_postgresql_still_keep_everybody_apart(expected, runner, predicate):
    with disabled(predicate):
        assert find_leak(expected, runner, POSTGRESQL) is None


def are_kept_apart(deployment, one, other):
    """State a restore in two accounts, and say whether each has its own statement, sessions and sound log afterwards."""

    def count_sessions():
        return deployment.read(other, lambda reading: len(reading.fetch_all(select(schema.sessions.c.tenant_id))))

    def state(tenant):
        return deployment.write(tenant, lambda transaction: reseal(transaction, CopyOrigin(), hold_memory=False))

    def open_session(transaction):
        moments = {"created_at": transaction.now, "expires_at": transaction.now + 1}
        row = {"tenant_id": transaction.tenant_id, "token_sha256": "0" * 64, "document": {}, **moments}
        transaction.execute(insert(schema.sessions).values(row))

    try:
        deployment.write(other, open_session)
        sessions = count_sessions()
        first = state(one)
        kept = count_sessions() == sessions and deployment.read(other, find_reseals) == ()
        second = state(other)
        kept = (
            kept
            and deployment.read(one, find_reseals) == (first,)
            and deployment.read(other, find_reseals) == (second,)
        )
        return kept and all(deployment.read(tenant, check_account) for tenant in (one, other))
    except Exception:  # noqa: BLE001 - whatever another account's rows lead to
        return False


def test_what_operators_start_keeps_accounts_apart(deployment, tenant, other_tenant):
    assert are_kept_apart(deployment, tenant, other_tenant)


@pytest.mark.parametrize(
    "predicate", [each for each in list_predicates() if str(each).startswith(BY_OPERATORS)], ids=str
)
def test_without_one_what_operators_start_reaches_another_account(deployment, tenant, other_tenant, predicate):
    with disabled(predicate):
        assert not are_kept_apart(deployment, tenant, other_tenant)
