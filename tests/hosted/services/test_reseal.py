"""That an account's data is a copy stands in its log, and runs are told so."""

import pytest

from coven_action.core.endpoint.wire import AuditHead
from coven_action.core.oidc.authority import Role
from coven_action.hosted.services.audit import read_audit, read_head
from coven_action.hosted.services.memory_policy import put_policy, read_versioned
from coven_action.hosted.services.reseal import CopyOrigin, excuses, find_newest_reseal, find_reseals, reseal
from coven_action.hosted.services.self_check import check_account
from tests.hosted.databases import ON_BOTH
from tests.hosted.deployment import make_person, make_token, open_session

pytestmark = ON_BOTH
ORIGIN = CopyOrigin(made_at=1_763_000_000_000, sha256="a" * 64)


def state(deployment, tenant, *, hold_memory=True):
    return deployment.write(tenant, lambda transaction: reseal(transaction, ORIGIN, hold_memory=hold_memory))


def turn_memory_on(deployment, tenant):
    def work(transaction):
        known = read_versioned(transaction)
        policy = known.policy.model_copy(update={"enabled": True})
        put_policy(transaction, make_person(tenant, Role.ADMIN), policy, f'"{known.version}"')

    deployment.write(tenant, work)


def test_the_log_says_where_the_copy_stood_and_what_it_was(deployment, tenant, other_tenant):
    turn_memory_on(deployment, tenant)
    before = deployment.read(tenant, lambda reading: read_head(reading, deployment.signer))

    stated = state(deployment, tenant)

    rows = deployment.read(tenant, lambda reading: read_audit(reading, after=before.seq, limit=10)).entries
    assert [row.action for row in rows] == ["audit.reseal", "policy.put"]
    assert rows[0].seq == stated.seq
    assert rows[0].detail == {
        "stands_at": before.seq, "head": before.head, "memory": "held", "made_at": ORIGIN.made_at, "sha256": ORIGIN.sha256,
    }  # fmt: skip
    assert deployment.read(tenant, find_reseals) == (stated,)
    assert deployment.read(other_tenant, find_reseals) == ()
    assert deployment.read(tenant, check_account).audit_seq == stated.seq + 1


def test_every_head_from_then_on_knows_of_it(deployment, tenant):
    assert deployment.read(tenant, lambda reading: read_head(reading, deployment.signer)).resealed == 0
    stated = state(deployment, tenant)

    head = deployment.read(tenant, lambda reading: read_head(reading, deployment.signer))

    assert head.resealed == stated.at == deployment.read(tenant, find_newest_reseal)


def test_two_at_the_same_moment_or_after_the_clock_was_set_back_are_two(deployment, tenant, clock):
    first, second = state(deployment, tenant), state(deployment, tenant)
    clock.advance(hours=-1)
    third = state(deployment, tenant)

    assert first.at < second.at < third.at
    assert deployment.read(tenant, find_reseals) == (first, second, third)


@pytest.mark.parametrize("hold_memory", [True, False])
def test_memory_is_held_where_it_was_on_and_should_be(deployment, tenant, hold_memory):
    turn_memory_on(deployment, tenant)

    stated = state(deployment, tenant, hold_memory=hold_memory)

    assert stated.memory == ("held" if hold_memory else "kept")
    assert deployment.read(tenant, read_versioned).policy.enabled is not hold_memory


def test_a_run_is_told_and_a_session_of_before_is_worth_nothing(client, deployment, tenant, clock):
    """As one that witnessed rows that are lost, and one whose history is another one."""
    session = open_session(client, clock())
    witnessed = open_session(client, clock()).document["witness"]
    lost = witnessed | {"seq": witnessed["seq"] + 5, "head": "b" * 64}
    stated = state(deployment, tenant)
    wrong = {"seq": stated.stands_at, "head": "c" * 64}
    # A restored database is served by another process.
    client.app.state.endpoint.sessions.clear()

    verdicts = [open_again(client, clock, known) for known in (witnessed, lost, wrong, None)]

    assert verdicts == ["consistent", "restored", "diverged", "first"]
    assert open_again(client, clock, lost | {"resealed": stated.at}) == "diverged"
    assert session.report().status_code == 401


def open_again(client, clock, known):
    answer = client.post(
        "/v1/session",
        headers={"Authorization": f"Bearer {make_token(clock())}"},
        json={} if known is None else {"witness": known},
    )
    assert answer.status_code == 201, answer.text
    return answer.json()["witnessed"]


@pytest.mark.parametrize(
    ("sequence", "resealed", "excused"),
    [(10, 0, False), (11, 0, True), (11, 499, True), (11, 500, False), (11, 501, False)],
)
def test_only_what_was_lost_and_signed_before_is_excused(deployment, tenant, sequence, resealed, excused):
    stated = state(deployment, tenant).model_copy(update={"stands_at": 10, "at": 500})

    assert excuses(stated, AuditHead(seq=sequence, head="", resealed=resealed)) is excused
