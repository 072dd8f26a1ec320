"""The typed client against the real application: each of its methods, and what it says when something is wrong."""

import inspect
import json

import pytest

from coven_action.client import Client as EndpointClient
from coven_action.client import EndpointRefused
from coven_action.core.endpoint.wire import (
    BundleRequest,
    DecisionRequest,
    EventsRequest,
    FinishRequest,
    ProposalsRequest,
    ProposedEntry,
    RelayRequest,
    RevokeRequest,
    RunEvent,
    RunReport,
    UseReport,
    UsesRequest,
    ValidationsRequest,
)
from tests.hosted.deployment import ADMIN_TOKEN, Bridge, make_report, make_token
from tests.hosted.memory_world import make_proposal, world
from tests.identity_tokens import AUDIENCE

__all__ = ["world"]


def connect(world, **given):
    return EndpointClient(AUDIENCE, transport=Bridge(world.client), **given)


def test_a_run_and_a_person_say_everything_there_is_to_say(world):
    world.set_policy(approval_required=True)
    with connect(world) as run, connect(world, token=ADMIN_TOKEN, tenant="acme") as person:
        session = run.open_session(
            make_token(world.clock(), event_name="push", ref="refs/heads/main", ref_protected="true")
        )
        report = RunReport.model_validate_json(
            json.dumps(make_report(session.model_dump(mode="json"), event_name="push"))
        )
        admission = run.report_run(report, key="report")
        assert run.get_grant() == admission.grant
        accepted = run.append_events(EventsRequest(events=(RunEvent(type="note", at=world.clock()),)), key="events")
        proposal = ProposedEntry.model_validate(make_proposal(), strict=False)
        (verdict,) = run.propose(ProposalsRequest(proposals=(proposal,)), key="propose").verdicts

        (entry,) = person.list_memory(state="pending").entries
        approved = person.decide(entry.id, "approve", DecisionRequest(), revision=entry.revision, key="approve")
        (offered,) = run.fetch_bundle(BundleRequest(branch="main", text="rounded"), key="bundle").entries
        use = UseReport(id=offered.id, version=offered.version, kind="cited", reference="https://x.example/pull/1")
        assert run.report_uses(UsesRequest(uses=(use,)), key="uses").recorded == 1
        assert run.validate(ValidationsRequest(validations=()), key="validate") is not None
        assert run.relay(RelayRequest(), key="relay").verdicts == ()
        finished = run.finish_run(FinishRequest(state="done"), key="finish")
        run.close_session()

        assert verdict.id == approved.id == offered.id == person.get_memory(entry.id).id
        assert {each.kind for each in person.list_uses(entry.id).uses} == {"offered", "cited"}
        assert len(person.list_uses(entry.id, limit=1).uses) == 1
        assert tuple(person.iterate_uses(entry.id)) == person.list_uses(entry.id).uses
        assert tuple(person.iterate_memory(state="approved")) == person.list_memory().entries
        assert [each.number for each in person.list_runs(limit=1).runs] == [finished.number]
        assert person.get_run(finished.number).state == "done"
        assert run.get_meta().signing_key.key_id == session.witness.key_id
        page = person.list_events(limit=1)
        assert person.list_events(cursor=page.cursor).events[0].seq == page.events[0].seq + 1
        assert accepted.first > 0
        assert person.revoke_prefix(RevokeRequest(prefix="repo/1001"), key="revoke").entries == 1
        again = person.get_memory(entry.id)
        receipt = person.erase(again.id, DecisionRequest(), revision=again.revision, key="erase")
        assert receipt.erased == (entry.id,)
        assert person.list_erasures(limit=1).receipts == tuple(person.iterate_erasures()) == (receipt,)


def test_every_public_method_is_in_the_test_above():
    source = inspect.getsource(test_a_run_and_a_person_say_everything_there_is_to_say)
    methods = {name for name, _ in inspect.getmembers(EndpointClient, inspect.isfunction) if not name.startswith("_")}

    assert {name for name in methods if f".{name}(" not in source} == {"close"}


def test_a_refusal_has_its_code_and_a_session_that_was_ended_is_none(world):
    with connect(world) as run:
        run.open_session(make_token(world.clock()))
        run.close_session()
        with pytest.raises(EndpointRefused) as refused:
            run.get_grant()

    assert (refused.value.status, refused.value.problem) == (401, "not-authenticated")


def test_the_same_key_is_the_same_write(world):
    with connect(world) as run:
        run.open_session(make_token(world.clock()))
        with pytest.raises(EndpointRefused) as refused:
            run.finish_run(FinishRequest(state="done"), key="finish")

    assert refused.value.problem == "no-such-resource"
