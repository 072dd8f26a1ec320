"""Usage counted again from the audit log equals the counters, whatever was done."""

import pytest
from sqlalchemy import update

from coven_action.hosted.services.metering import find_differences, recount
from coven_action.hosted.store import schema
from coven_action.hosted.store.transaction import MeterKey
from coven_action.hosted.sweeper import check_meters
from tests.hosted.databases import ON_BOTH
from tests.hosted.memory_world import make_proposal, world

pytestmark = ON_BOTH

__all__ = ["world"]
DAY = "2026-11-21"


def work(world, key="conventions/rounding"):
    """Do a bit of everything that is counted."""
    world.propose(world.start(trust="collaborator"), make_proposal(key=key))
    memory_id = world.remember(key=key)
    session = world.start()
    world.bundle(session, "rounding")
    session.append("hello", "world", key="k")
    session.append("hello", "world", key="k")
    finish = {"state": "done", "usage": {"input_tokens": 5, "cost_micro_usd": 7}}
    session.send("POST", "/v1/runs/self/finish", finish, key="f")
    session.send("POST", "/v1/runs/self/finish", finish, key="f")
    world.decide(memory_id, "revoke")


def test_a_recount_equals_the_counters(world, deployment, tenant):
    work(world)

    measures = {measure for _, measure in deployment.read(tenant, lambda reading: recount(reading, DAY))}

    assert {"sessions", "runs", "bundles", "proposals", "approvals", "events", "bytes", "input_tokens"} <= measures
    assert deployment.read(tenant, lambda reading: find_differences(reading, DAY)) == ()


def test_a_day_is_counted_by_itself(world, deployment, tenant, clock):
    work(world)
    clock.advance(days=1)
    work(world, "facts/build")

    for day in (DAY, "2026-11-22"):
        assert deployment.read(tenant, lambda reading, day=day: find_differences(reading, day)) == ()
    assert not deployment.read(tenant, lambda reading: recount(reading, "2026-11-23"))


def test_a_counter_that_somebody_changed_is_found(world, deployment, tenant):
    work(world)
    change = update(schema.meters).where(schema.meters.c.measure == "events").values(amount=1000)
    deployment.write(tenant, lambda transaction: transaction.execute(change))

    (found,) = deployment.read(tenant, lambda reading: find_differences(reading, DAY))

    assert (found.measure, found.counted, found.logged) == ("events", 1000, 2)


def test_another_accounts_use_is_not_counted(world, deployment):
    work(world)
    other = deployment.enrol(502, "globex", 2001, "ledger")

    assert not deployment.read(other, lambda reading: recount(reading, DAY))


def test_a_use_without_an_audit_row_is_a_fault_of_ours(deployment, tenant):
    with pytest.raises(AssertionError, match="audit row"):
        deployment.write(tenant, lambda transaction: transaction.meter(MeterKey(), "events"))


def test_yesterday_is_counted_again_once_and_a_difference_is_logged(world, deployment, tenant, clock, caplog):
    work(world)
    change = update(schema.meters).where(schema.meters.c.measure == "events").values(amount=1000)
    deployment.write(tenant, lambda transaction: transaction.execute(change))
    clock.advance(days=1)
    endpoint = world.client.app.state.endpoint

    found = [deployment.runner.run(check_meters(endpoint, tenant)) for _ in range(2)]

    assert found == [1, 0]
    assert "says 1000, and its audit log 2" in caplog.text
