"""Routes of memory: bundles, proposals and uses of runs; lists, decisions and policy of people."""

from collections.abc import Callable
from typing import Annotated, Any

from fastapi import APIRouter, Query, Request, Response

from coven_action.core.endpoint.memory_states import Decision
from coven_action.core.endpoint.wire import (
    DEFAULT_PAGE,
    MAX_PAGE,
    Bundle,
    BundleRequest,
    DecisionRequest,
    ErasurePage,
    ErasureReceipt,
    Memory,
    MemoryPage,
    MemoryState,
    MemoryUses,
    MemoryVersions,
    ProposalsRequest,
    ProposalVerdicts,
    Revoked,
    RevokeRequest,
    UsesRecorded,
    UsesRequest,
    ValidationsRequest,
    ValidationVerdicts,
)
from coven_action.core.memory.grants import EndpointGrant
from coven_action.core.oidc.authority import Action
from coven_action.hosted.http import (
    REPLAYED_HEADER,
    answer,
    describe,
    get_endpoint,
    get_person,
    get_run,
    read,
    read_document,
    read_key,
    write,
)
from coven_action.hosted.services import (
    bundles,
    memory_decisions,
    memory_erasure,
    memory_policy,
    memory_proposals,
    memory_reading,
    memory_uses,
)
from coven_action.hosted.services.policies import AccountPolicy, build_grant
from coven_action.hosted.store.commands import Command, Reading
from coven_action.hosted.store.transaction import Reply, Transaction

router = APIRouter(prefix="/v1")
Limit = Annotated[int, Query(ge=1, le=MAX_PAGE)]
Cursor = Annotated[str | None, Query(max_length=200)]
_OK = 200


def _tag(revision: int) -> dict[str, str]:
    return {"ETag": f'"{revision}"'}


def _name_route(request: Request) -> str:
    return str(request.scope["route"].name)


# --- runs


@router.get("/policy", **describe(gives=EndpointGrant))
async def read_grant(request: Request) -> Response:
    """Return what the endpoint grants the session's run of memory."""
    run = get_run(request)
    return await read(request, run.tenant_id, lambda reading: build_grant(reading, run))


@router.post("/memory/bundle", **describe(takes=BundleRequest, gives=Bundle))
async def offer_bundle(request: Request) -> Response:
    """Offer the session's run the entries that suit its task. They are data, never instructions."""
    run, store = get_run(request), get_endpoint(request).store
    document = await read_document(request, BundleRequest)
    key = read_key(request, document, _name_route(request))
    selection = await store.read(run.tenant_id, lambda reading: bundles.select_bundle(reading, run, document))

    def work(transaction: Transaction) -> Reply:
        choice = bundles.record_offer(transaction, run, selection)
        return Reply(_OK, choice.model_dump_json().encode())

    reply = await store.write(Command(run.tenant_id, work, key, run.run))
    choice = bundles.BundleChoice.model_validate_json(reply.body)
    if not reply.replayed:
        return answer(bundles.render_bundle(selection, choice))
    again = await store.read(run.tenant_id, lambda reading: bundles.repeat_bundle(reading, run, document, choice))
    return answer(again, headers={REPLAYED_HEADER: "true"})


@router.post("/memory/proposals", **describe(takes=ProposalsRequest, gives=ProposalVerdicts))
async def propose_entries(request: Request) -> Response:
    """Propose entries for the session's repository. Each waits for a person, unless policy approves it."""
    run, store = get_run(request), get_endpoint(request).store
    document = await read_document(request, ProposalsRequest)

    def work(transaction: Transaction) -> Reply:
        # The stored answer holds no word of what was proposed; the keys stand in the request, which is the same again.
        verdicts = memory_proposals.propose_entries(transaction, run, document)
        bare = [verdict.model_copy(update={"key": ""}) for verdict in verdicts.verdicts]
        return Reply(_OK, verdicts.model_copy(update={"verdicts": tuple(bare)}).model_dump_json().encode())

    reply = await store.write(Command(run.tenant_id, work, read_key(request, document, _name_route(request)), run.run))
    stored = ProposalVerdicts.model_validate_json(reply.body)
    named = tuple(
        verdict.model_copy(update={"key": proposed.key})
        for verdict, proposed in zip(stored.verdicts, document.proposals, strict=True)
    )
    headers = {REPLAYED_HEADER: "true"} if reply.replayed else None
    return answer(stored.model_copy(update={"verdicts": named}), headers=headers)


@router.post("/memory/validations", **describe(takes=ValidationsRequest, gives=ValidationVerdicts))
async def validate_entries(request: Request) -> Response:
    """Say which entries' citations still hold. Only runs of tier T2 may."""
    run = get_run(request)
    return await write(request, run, await read_document(request, ValidationsRequest), memory_uses.record_validations)


@router.post("/runs/self/uses", **describe(takes=UsesRequest, gives=UsesRecorded))
async def record_uses(request: Request) -> Response:
    """Report which entries the session's run has read or cited. Never refused for a cap."""
    return await write(request, get_run(request), await read_document(request, UsesRequest), memory_uses.record_uses)


# --- people


@router.get("/memory", **describe(gives=MemoryPage))
async def list_memory(
    request: Request,
    cursor: Annotated[str | None, Query(max_length=60)] = None,
    limit: Limit = DEFAULT_PAGE,
    state: MemoryState | None = None,
    repository_id: Annotated[int | None, Query(ge=1, lt=2**63)] = None,
    query: Annotated[str | None, Query(max_length=200)] = None,
) -> Response:
    """Return the account's entries, the newest first; `pending` are all of which a wording waits."""
    person = get_person(request, Action.VIEW)

    def work(reading: Reading) -> MemoryPage:
        return memory_reading.list_memory(
            reading, cursor=cursor, limit=limit, state=state, repository_id=repository_id, query=query
        )

    return await read(request, person.tenant_id, work)


@router.get("/memory/{memory_id}", **describe(gives=Memory))
async def read_memory(request: Request, memory_id: str) -> Response:
    """Return one entry. Its ETag is what a decision about it names in If-Match."""
    person = get_person(request, Action.VIEW)
    return await _show(request, person.tenant_id, memory_id)


async def _show(request: Request, tenant_id: int, memory_id: str, headers: dict[str, str] | None = None) -> Response:
    store = get_endpoint(request).store
    memory = await store.read(tenant_id, lambda reading: memory_reading.read_memory(reading, memory_id))
    return answer(memory, headers={**_tag(memory.revision), **(headers or {})})


@router.get("/memory/{memory_id}/versions", **describe(gives=MemoryVersions))
async def read_versions(
    request: Request, memory_id: str, cursor: Cursor = None, limit: Limit = DEFAULT_PAGE
) -> Response:
    """Return an entry's wordings, oldest first."""
    person = get_person(request, Action.VIEW)
    return await read(
        request,
        person.tenant_id,
        lambda reading: memory_reading.read_versions(reading, memory_id, cursor=cursor, limit=limit),
    )


@router.get("/memory/{memory_id}/uses", **describe(gives=MemoryUses))
async def read_uses(request: Request, memory_id: str, cursor: Cursor = None, limit: Limit = DEFAULT_PAGE) -> Response:
    """Return which runs were offered, have read or have cited an entry, newest first."""
    person = get_person(request, Action.VIEW)
    return await read(
        request,
        person.tenant_id,
        lambda reading: memory_reading.read_uses(reading, memory_id, cursor=cursor, limit=limit),
    )


@router.post("/memory:revoke", **describe(takes=RevokeRequest, gives=Revoked))
async def revoke_prefix(request: Request) -> Response:
    """Revoke what lies under a prefix of canonical keys, or all that the account remembers, and trace who had it."""
    person = get_person(request, Action.REVOKE)
    return await write(request, person, await read_document(request, RevokeRequest), memory_decisions.revoke_prefix)


@router.post("/memory:restore", **describe(takes=RevokeRequest, gives=Revoked))
async def restore_prefix(request: Request) -> Response:
    """Take a prefix off the list of what is revoked. Its entries stay revoked until each is restored."""
    person = get_person(request, Action.RESTORE)
    return await write(request, person, await read_document(request, RevokeRequest), memory_decisions.restore_prefix)


async def _decide(request: Request, memory_id: str, decision: Decision, action: Action) -> Response:
    """Do a decision once, however often it is asked for, and show the entry as it is then."""
    person, endpoint = get_person(request, action), get_endpoint(request)
    document = await read_document(request, DecisionRequest)
    asked = memory_decisions.Asked(
        decision,
        memory_id,
        request.headers.get("if-match", ""),
        two_people=endpoint.settings.require_separate_approver,
    )

    def work(transaction: Transaction) -> Reply:
        # The stored answer holds no word of what the entry says.
        decided = memory_decisions.decide(transaction, person, document, asked)
        return Reply(_OK, decided.model_dump_json().encode())

    key = read_key(request, document, _name_route(request))
    reply = await endpoint.store.write(Command(person.tenant_id, work, key))
    decided = memory_decisions.Decided.model_validate_json(reply.body)
    headers = {REPLAYED_HEADER: "true"} if reply.replayed else None
    return await _show(request, person.tenant_id, decided.shown, headers)


def _add_decision(decision: Decision, action: Action, does: str) -> Callable[..., Any]:
    async def route(request: Request, memory_id: str) -> Response:
        return await _decide(request, memory_id, decision, action)

    route.__doc__ = does
    router.post(
        f"/memory/{{memory_id}}:{decision}",
        name=f"{decision}_entry",
        description=does,
        **describe(takes=DecisionRequest, gives=Memory),
    )(route)
    return route


_DECISIONS: dict[Decision, tuple[Action, str]] = {
    "approve": (Action.APPROVE, "Let a wording hold that waits."),
    "reject": (Action.REJECT, "Refuse a wording that waits; it cannot be proposed again."),
    "edit": (Action.EDIT, "Let another wording hold."),
    "revoke": (Action.REVOKE, "Take an entry back, from the next read on, and what was promoted from it."),
    "restore": (
        Action.RESTORE,
        "Let hold again what was revoked, superseded or has expired; let wait what was rejected.",
    ),
    "supersede": (Action.SUPERSEDE, "Let another approved entry stand for this one."),
    "promote": (Action.PROMOTE, "Make an entry of the whole account of an approved one."),
}
for _decision, (_action, _does) in _DECISIONS.items():
    _add_decision(_decision, _action, _does)


@router.post("/memory/{memory_id}:erase", **describe(takes=DecisionRequest, gives=ErasureReceipt))
async def erase_entry(request: Request, memory_id: str) -> Response:
    """Delete what an entry says, everywhere, and answer with the receipt."""
    person, endpoint = get_person(request, Action.ERASE), get_endpoint(request)
    document = await read_document(request, DecisionRequest)
    asked = memory_decisions.Asked("erase", memory_id, request.headers.get("if-match", ""))
    receipt_id = endpoint.ids.new("rcp")

    def work(transaction: Transaction) -> Reply:
        receipt = memory_erasure.erase_entry(
            transaction, person, document, asked, receipt_id=receipt_id, gaps=endpoint.store.gaps
        )
        return Reply(_OK, receipt.model_dump_json().encode())

    key = read_key(request, document, _name_route(request))
    # A repetition scrubs again: the first one may have been cut off between its commit and the end of the scrub.
    reply = await endpoint.store.write(Command(person.tenant_id, work, key, scrub=True))
    receipt = ErasureReceipt.model_validate_json(reply.body)
    headers = {REPLAYED_HEADER: "true"} if reply.replayed else {}
    return answer(receipt, headers={**_tag(receipt.revision), **headers})


@router.get("/erasures", **describe(gives=ErasurePage))
async def list_erasures(request: Request, cursor: Cursor = None, limit: Limit = DEFAULT_PAGE) -> Response:
    """Return the receipts of what was erased, newest first."""
    person = get_person(request, Action.ERASE)
    return await read(
        request,
        person.tenant_id,
        lambda reading: memory_erasure.list_receipts(reading, cursor=cursor, limit=limit),
    )


@router.get("/tenants/self/policy", **describe(gives=memory_policy.VersionedPolicy))
async def read_policy(request: Request) -> Response:
    """Return the account's memory policy. Its ETag is what a change of it names in If-Match."""
    person = get_person(request, Action.VIEW)
    store = get_endpoint(request).store
    policy = await store.read(person.tenant_id, memory_policy.read_versioned)
    return answer(policy, headers=_tag(policy.version))


@router.put("/tenants/self/policy", **describe(takes=AccountPolicy, gives=memory_policy.VersionedPolicy))
async def put_policy(request: Request) -> Response:
    """Set the account's memory policy."""
    person = get_person(request, Action.POLICY)
    precondition = request.headers.get("if-match", "")
    response = await write(
        request,
        person,
        await read_document(request, AccountPolicy),
        lambda transaction, who, policy: memory_policy.put_policy(transaction, who, policy, precondition),
    )
    version = memory_policy.VersionedPolicy.model_validate_json(bytes(response.body)).version
    response.headers.update(_tag(version))
    return response
