"""Erasure: after the answer, no byte of what an entry said is in the store's files, and where it is a server, in no row."""

import random
from pathlib import Path

import pytest
from sqlalchemy import bindparam, delete, insert, select

from coven_action.core.endpoint.wire import DecisionRequest
from coven_action.hosted.services.memory_decisions import Asked
from coven_action.hosted.services.memory_erasure import REVOKED_GAP, erase_entry
from coven_action.hosted.store import schema
from coven_action.hosted.store.commands import StoreUnavailable
from tests.hosted import postgresql
from tests.hosted.databases import ON_BOTH
from tests.hosted.deployment import make_person
from tests.hosted.memory_world import cite, make_proposal, put_entry, world

__all__ = ["world"]
CANARY = "zanzibarquokka"
SEEDS = (5, 8, 24)


def read_files(path):
    """Every byte of the database and of what lies beside it."""
    return {each.name: each.read_bytes() for each in path.parent.iterdir() if each.name.startswith(path.name)}


def find_files(path, needle):
    return [name for name, content in read_files(path).items() if needle.encode() in content.lower()]


def find_tables(database, needle):
    """Every table of a server's database with a row that says it, whoever's row it is; answers are kept as bytes."""
    server = postgresql.get_server()
    bodies = "convert_from(body, 'UTF8') FROM idempotency"
    rows = [f"{name}::text FROM {name}" for name in schema.metadata.tables] + [bodies]
    each = (f"SELECT '{row.rpartition(' ')[2]}' AS name, {row}" for row in rows)
    found = f"SELECT DISTINCT name FROM ({' UNION ALL '.join(each)}) AS said (name, row) WHERE row ILIKE '%{needle}%'"
    return [name for (name,) in server.execute(found, database=database)]


def find_traces(place, needle):
    return find_files(place, needle) if isinstance(place, Path) else find_tables(place.database, needle)


@ON_BOTH
def test_every_trace_of_an_erased_entry_is_gone(world, deployment, place):
    """Text, reason, terms, citations, keys, older wordings, decisions, answers kept for repetitions, the shared copy."""
    session = world.start(trust="collaborator")
    (verdict,) = world.propose(
        session,
        make_proposal(
            f"facts/{CANARY}",
            f"The {CANARY} is rounded.",
            why=f"{CANARY} said so",
            citations=[cite(f"src/{CANARY}.py")],
            branches=["main", CANARY],
        ),
        key="k",
    )
    memory_id = verdict["id"]
    world.decide(memory_id, "approve", reason=f"{CANARY} is right", key="a")
    world.decide(memory_id, "edit", text=f"The {CANARY.upper()} is rounded up.", key="b")
    shared = world.decide(memory_id, "promote", key="c").json()["id"]
    same = world.remember("facts/same", f"The {CANARY.upper()} is rounded up.")
    reader = world.start(run_id=2)
    offered = reader.send("POST", "/v1/memory/bundle", {"text": CANARY, "branch": "main"}, key="d").json()
    assert {entry["id"] for entry in offered["entries"]} >= {memory_id}
    assert find_traces(place, CANARY)

    answer = world.decide(memory_id, "erase", reason=f"{CANARY} asked for it", key="e")

    receipt = answer.json()
    assert answer.status_code == 200, answer.text
    assert receipt["erased"] == [memory_id, shared]
    assert receipt["same_text"] == [same]
    assert receipt["counts"]["versions"] == 3
    assert receipt["gaps"] == list(deployment.store.gaps)
    assert world.decide(same, "erase").status_code == 200
    assert find_traces(place, CANARY) == []

    # What stays: the id, who decided, which runs had it, the receipt, the audit row.
    gone = world.read(memory_id)
    assert (gone["state"], gone["current"], gone["waiting"], gone["canonical_key"]) == (
        "purged", None, [], f"purged/{memory_id}",
    )  # fmt: skip
    assert world.list_uses(memory_id) == [(2, "offered")]
    kept = deployment.read(1, lambda reading: reading.fetch_all(select(schema.receipts)))
    assert next(row for row in kept if row.receipt_id == receipt["receipt_id"]).document["erased"] == [
        memory_id,
        shared,
    ]
    audit = deployment.read(1, lambda reading: reading.fetch_all(select(schema.audit)))
    assert audit[receipt["audit_sequence"] - 1].action == "memory.erase"

    # Repetitions of earlier requests bring nothing back, and the key is closed.
    assert reader.send("POST", "/v1/memory/bundle", {"text": CANARY, "branch": "main"}, key="d").json()["entries"] == []
    (refused,) = world.propose(world.start(), make_proposal(f"facts/{CANARY}", "Something else."))
    assert (refused["reason"], refused["sentence"]) == ("revoked", "its key was purged")
    again = world.ask(
        "POST", f"/v1/memory/{memory_id}:erase", {"reason": f"{CANARY} asked for it"}, key="e", if_match='"4"'
    )
    assert (again.status_code, again.json()) == (200, receipt)


@ON_BOTH
def test_an_erased_entry_that_was_revoked_stays_revoked_and_the_receipt_says_so(world):
    memory_id = world.remember()
    world.decide(memory_id, "revoke", reason="wrong")

    receipt = world.decide(memory_id, "erase").json()

    assert REVOKED_GAP in receipt["gaps"]
    assert world.start().send("GET", "/v1/policy").json()["denied"] == ["repo/1001/conventions/rounding"]


@pytest.mark.parametrize("seed", SEEDS)
def test_pages_that_were_split_and_merged_keep_no_copy(deployment, tenant, data, seed):
    """Deleting overwrites a cell where it lies, not a copy that an earlier rebalancing left in free space.

    With these seeds, and without writing the file anew, words of deleted rows are found in it.
    """
    chance = random.Random(seed)
    memory_id = deployment.write(tenant, lambda transaction: put_entry(transaction, "facts/a", "Logs are JSON."))
    live, gone = [], []
    place = {"tenant_id": tenant, "branch": "", "memory_id": memory_id, "shareable": False}
    terms = schema.memory_terms.c
    named = delete(schema.memory_terms).where(
        terms.tenant_id == tenant, terms.scope_id == bindparam("scope"), terms.term == bindparam("word")
    )

    def churn(transaction):
        for _ in range(800):
            if live and chance.random() < 0.4:
                gone.append(live.pop(chance.randrange(len(live))))
                rows = [{"scope": scope, "word": f"{gone[-1]}{part}"} for scope in range(4) for part in range(8)]
                transaction.execute(named, rows)
            else:
                live.append(f"m{chance.getrandbits(40):010x}")
                rows = [{**place, "scope_id": chance.randrange(4), "term": f"{live[-1]}{part}"} for part in range(8)]
                transaction.execute(insert(schema.memory_terms), rows)

    deployment.write(tenant, churn, scrub=True)

    content = b"".join(read_files(data).values())
    assert [marker for marker in gone if marker.encode() in content] == []
    assert all(marker.encode() in content for marker in live)


def erase(transaction, memory_id):
    asked = Asked("erase", memory_id, '"2"')
    person = make_person(transaction.tenant_id)
    return erase_entry(transaction, person, DecisionRequest(), asked, receipt_id=f"rcp_{memory_id}", gaps=())


@ON_BOTH
def test_references_that_are_no_links_go_with_the_text(deployment, tenant):
    memory_id = deployment.write(tenant, lambda transaction: put_entry(transaction, "facts/a", "Logs are JSON."))
    use = {
        "tenant_id": tenant,
        "memory_id": memory_id,
        "repository_id": 1001,
        "version": "0" * 64,
        "kind": "cited",
        "at": 1,
    }
    rows = [{**use, "run_id": 1, "reference": "Logs are JSON."}, {**use, "run_id": 2, "reference": "https://x.test/1"}]
    deployment.write(tenant, lambda transaction: transaction.execute(schema.uses.insert(), rows))

    deployment.write(tenant, lambda transaction: erase(transaction, memory_id))

    columns = schema.uses.c
    kept = deployment.read(
        tenant, lambda reading: reading.fetch_all(select(columns.reference).order_by(columns.run_id))
    )
    assert [row.reference for row in kept] == ["", "https://x.test/1"]


def test_whoever_asked_is_told_when_the_files_could_not_be_scrubbed(deployment, tenant, data):
    """The effect is committed; the repetition with the same key scrubs again."""
    memory_id = deployment.write(tenant, lambda transaction: put_entry(transaction, "facts/a", f"The {CANARY}."))
    reader = deployment.store._readers.connect()
    deployment.store._writer.raw_connection().cursor().execute("PRAGMA busy_timeout=0")
    held = reader.begin()
    reader.execute(select(schema.memory)).fetchall()
    try:
        with pytest.raises(StoreUnavailable, match="overloaded"):
            deployment.write(tenant, lambda transaction: erase(transaction, memory_id), scrub=True)
    finally:
        held.rollback()
        reader.close()
    deployment.write(tenant, lambda transaction: None, scrub=True)

    assert find_files(data, CANARY) == []
