"""Bundles: what a run is offered, whatever else is stored, by whomever."""

import asyncio
import shutil
from collections import Counter
from datetime import UTC, datetime
from pathlib import Path
from unittest.mock import patch

import pytest
from hypothesis import HealthCheck, given
from hypothesis import strategies as st
from sqlalchemy import select

from coven_action.core.endpoint.ranking import bound_candidates, choose_terms, extract_query
from coven_action.core.endpoint.wire import BundleRequest
from coven_action.hosted.problems import Problem
from coven_action.hosted.services import bundles, memory_entries
from coven_action.hosted.services.memory_entries import find_matched
from coven_action.hosted.settings import Settings
from coven_action.hosted.signing import SigningKey
from coven_action.hosted.store import schema
from coven_action.hosted.store.sqlite import SQLiteStore
from tests.fuzzing import examples
from tests.hosted.databases import ON_BOTH
from tests.hosted.deployment import CountedIds, Deployment, SettableClock, make_run
from tests.hosted.memory_world import put_entry, report, turn_on

WORDS = ("ledger", "round", "deploy", "cache", "lock", "log")
ACME, GLOBEX = 1, 2
NOW = datetime(2026, 11, 21, 12, tzinfo=UTC)


class Store:
    """A deployment with two accounts, three repositories and reported runs, for many examples."""

    def __init__(self, runner: asyncio.Runner, path: Path) -> None:
        self.clock = SettableClock(NOW)
        self.store = SQLiteStore(path, self.clock)
        self.deployment = Deployment(
            runner, self.store, self.clock, CountedIds(), Settings(data=path), SigningKey(bytes(32))
        )
        self.deployment.enrol(501, "acme", 1001, "billing", tenant_shared=True)
        self.deployment.enrol(501, "acme", 1002, "ledger")
        self.deployment.enrol(502, "globex", 1001, "billing")
        for tenant in (ACME, GLOBEX):
            self.deployment.write(tenant, turn_on)

    def prepare(self, run, **policy):
        self.deployment.write(run.tenant_id, lambda transaction: report(transaction, run, **policy))

    def ask(self, run, text, **request):
        asked = BundleRequest(text=text, branch=request.pop("branch", "main"), **request)
        selection = self.deployment.read(run.tenant_id, lambda reading: bundles.select_bundle(reading, run, asked))
        choice = self.deployment.write(
            run.tenant_id, lambda transaction: bundles.record_offer(transaction, run, selection)
        )
        return bundles.render_bundle(selection, choice)


@pytest.fixture(scope="module")
def shared(tmp_path_factory, empty_database):
    path = Path(shutil.copy(empty_database, tmp_path_factory.mktemp("bundles") / "coven.db"))
    with asyncio.Runner() as runner:
        made = Store(runner, path)
        yield made
        runner.run(made.store.close())


ENTRY = st.fixed_dictionaries(
    {
        "text": st.lists(st.sampled_from(WORDS), min_size=1, max_size=4).map(" ".join),
        "state": st.sampled_from(
            ["approved"] * 3 + ["pending", "stale", "revoked", "expired", "superseded", "rejected"]
        ),
        "branches": st.sampled_from([(), ("main",), ("next",), ("main", "next")]),
        "shareable": st.booleans(),
        "where": st.sampled_from(["own", "own", "sibling", "shared", "other"]),
        "approved_by": st.sampled_from(["admin", "policy"]),
    }
)


def clear(transaction):
    for table in (
        schema.memory_terms,
        schema.citations,
        schema.memory_versions,
        schema.decisions,
        schema.uses,
        schema.memory,
    ):
        transaction.execute(table.delete().where(table.c.tenant_id == transaction.tenant_id))


def fill(shared, entries):
    """Write entries to where they belong; return what each became, by id and tenant."""
    for tenant in (ACME, GLOBEX):
        shared.deployment.write(tenant, clear)
    written = {}
    for number, entry in entries:
        where = entry["where"]
        tenant = GLOBEX if where == "other" else ACME
        place = {"scope": "tenant_shared", "repository_id": None} if where == "shared" else {
            "repository_id": 1002 if where == "sibling" else 1001
        }  # fmt: skip
        kept = {name: value for name, value in entry.items() if name != "where"}
        memory_id = shared.deployment.write(
            tenant,
            lambda transaction, kept=kept, n=number, place=place: put_entry(
                transaction, f"facts/n{n}", **kept, **place
            ),
        )
        written[tenant, memory_id] = entry
    return written


@examples(25, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    entries=st.lists(ENTRY, max_size=8),
    query=st.lists(st.sampled_from(WORDS), max_size=3).map(" ".join),
    branch=st.sampled_from(["main", "next"]),
    shareable_only=st.booleans(),
    shared_too=st.booleans(),
    budget=st.sampled_from([100, 300, 1500]),
)
def test_a_run_is_offered_what_it_may_read_and_nothing_else(
    shared, entries, query, branch, shareable_only, shared_too, budget
):
    written = fill(shared, list(enumerate(entries)))
    run = make_run(ACME, run_id=7001, scopes={"tenant_shared": True})
    scopes = ["repo", "tenant_shared"] if shared_too else ["repo"]
    shared.prepare(
        run, read_scopes=scopes, shareable_only=shareable_only,
        branch_scope={"base_ref": branch, "head_ref": "x", "same_repository": True},
    )  # fmt: skip

    bundle = shared.ask(run, query, branch=branch, token_budget=budget)
    offered = [entry.id for entry in bundle.entries]

    readable = {
        memory_id
        for (tenant, memory_id), entry in written.items()
        if tenant == ACME
        and entry["state"] == "approved"
        and (entry["where"] == "own" or (entry["where"] == "shared" and shared_too))
        and branch in (entry["branches"] or ("main",))
        and (entry["shareable"] or not shareable_only)
    }
    assert set(offered) <= readable
    assert len(set(offered)) == len(offered)
    assert bundle.tokens <= budget
    assert len(offered) + bundle.left_out == len(readable)
    used = shared.deployment.read(ACME, lambda reading: reading.fetch_all(select(schema.uses)))
    assert {row.memory_id for row in used} == set(offered)


@examples(15, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    entries=st.lists(ENTRY, min_size=1, max_size=6),
    others=st.lists(ENTRY, max_size=6),
    query=st.lists(st.sampled_from(WORDS), max_size=3).map(" ".join),
    seed=st.randoms(),
)
def test_another_tenants_entries_and_the_order_of_writing_change_nothing(shared, entries, others, query, seed):
    own = [(number, entry | {"where": "own"}) for number, entry in enumerate(entries)]
    foreign = [(number, entry | {"where": "other"}) for number, entry in enumerate(others)]
    run = make_run(ACME, run_id=7002)
    shared.prepare(run)
    fill(shared, own)
    alone = shared.ask(run, query)
    mixed = own + foreign
    seed.shuffle(mixed)

    fill(shared, mixed)

    assert shared.ask(run, query) == alone


def find_plainly(rows, query, *, scopes, branches, shareable_only, most, postings):
    """Return what `find_matched` has to, from the rows of the terms one by one."""
    holding = {}
    for row in rows:
        if row.scope_id in scopes and row.branch in branches and (row.shareable or not shareable_only):
            holding.setdefault(row.term, []).append(row.memory_id)
    chosen = choose_terms({term: len(holding[term]) for term in query if term in holding}, postings)
    found = Counter(memory_id for term in chosen for memory_id in holding[term])
    nearest = sorted(found, key=lambda memory_id: (-found[memory_id], memory_id))[:most]
    everything = Counter(memory_id for term in query for memory_id in holding.get(term, ()))
    return {memory_id: everything[memory_id] for memory_id in nearest}


@examples(40, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    entries=st.lists(ENTRY, max_size=8),
    query=st.lists(st.sampled_from((*WORDS, "fact", "nowhere")), max_size=6, unique=True).map(" ".join),
    where=st.sampled_from([[1001], [1001, memory_entries.SHARED], [memory_entries.SHARED], []]),
    branches=st.sampled_from([["main", ""], ["next"]]),
    shareable_only=st.booleans(),
    most=st.integers(1, 6),
    postings=st.integers(0, 12),
)
def test_what_holds_the_most_words_is_found_as_a_plain_count_finds_it(
    shared, entries, query, where, branches, shareable_only, most, postings
):
    """Each frequent word is counted no further than has to be known, and is still counted for what is found."""
    fill(shared, list(enumerate(entries)))
    asked = {"scopes": where, "branches": branches, "shareable_only": shareable_only, "most": most}
    words = extract_query(query)

    with (
        patch.object(memory_entries, "MAX_POSTINGS", postings),
        patch.object(memory_entries, "choose_terms", lambda counts: choose_terms(counts, postings)),
    ):
        found = shared.deployment.read(ACME, lambda reading: find_matched(reading, words, **asked))

    terms = schema.memory_terms
    rows = shared.deployment.read(
        ACME, lambda reading: reading.fetch_all(select(terms).where(terms.c.tenant_id == ACME))
    )
    assert found == find_plainly(rows, words, postings=postings, **asked)


@ON_BOTH
def test_what_is_revoked_between_the_search_and_the_offer_is_not_offered(deployment, tenant):
    deployment.write(tenant, turn_on)
    run = make_run(tenant)
    deployment.write(tenant, lambda transaction: report(transaction, run))
    ids = deployment.write(
        tenant, lambda transaction: [put_entry(transaction, f"facts/n{n}", f"ledger {n}") for n in range(3)]
    )
    selection = deployment.read(
        tenant, lambda reading: bundles.select_bundle(reading, run, BundleRequest(text="ledger", branch="main"))
    )
    deployment.write(
        tenant,
        lambda transaction: transaction.execute(
            schema.memory.update().where(schema.memory.c.memory_id == ids[0]).values(state="revoked")
        ),
    )

    choice = deployment.write(tenant, lambda transaction: bundles.record_offer(transaction, run, selection))

    assert {id_ for id_, _ in choice.entries} == set(ids[1:])
    assert {entry.id for entry in bundles.render_bundle(selection, choice).entries} == set(ids[1:])


def test_what_is_narrowed_between_the_search_and_the_offer_is_asked_for_anew(deployment, tenant):
    deployment.write(tenant, turn_on)
    run = make_run(tenant)
    deployment.write(tenant, lambda transaction: report(transaction, run))
    selection = deployment.read(
        tenant, lambda reading: bundles.select_bundle(reading, run, BundleRequest(text="ledger", branch="main"))
    )
    deployment.write(tenant, lambda transaction: report(transaction, run, trust="external", write_scopes=[]))

    with pytest.raises(Problem, match="version-changed"):
        deployment.write(tenant, lambda transaction: bundles.record_offer(transaction, run, selection))


@pytest.mark.parametrize("status", ["suspended", "transferred"])
def test_a_suspended_repository_reads_nothing(deployment, tenant, status):
    deployment.write(tenant, turn_on)
    run = make_run(tenant)
    deployment.write(tenant, lambda transaction: report(transaction, run))
    deployment.write(
        tenant, lambda transaction: transaction.execute(schema.repositories.update().values(status=status))
    )

    selection = deployment.read(
        tenant, lambda reading: bundles.select_bundle(reading, run, BundleRequest(text="ledger", branch="main"))
    )

    assert (selection.reason, selection.filled.chosen) == ("the repository is suspended", ())


@ON_BOTH
def test_among_many_the_ones_that_share_the_most_words_are_found(deployment, tenant):
    """More entries share one word than are ranked; the one that shares two is among the ranked."""
    deployment.write(tenant, turn_on)
    run = make_run(tenant)
    deployment.write(tenant, lambda transaction: report(transaction, run))

    def write(transaction):
        for number in range(52):
            put_entry(transaction, f"facts/n{number}", "The ledger is here.")
        return put_entry(transaction, "facts/zz", "The ledger is rounded.")

    best = deployment.write(tenant, write)
    selection = deployment.read(
        tenant, lambda reading: bundles.select_bundle(reading, run, BundleRequest(text="rounded ledger", branch="main"))
    )

    assert selection.filled.chosen[0].id == best
    assert selection.filled.chosen[0].matched == 2
    assert len(selection.filled.chosen) + selection.filled.left_out == bound_candidates(1_500)


@ON_BOTH
def test_frequent_words_lead_to_nobody_and_count_all_the_same(deployment, tenant, monkeypatch):
    monkeypatch.setattr(memory_entries, "choose_terms", lambda counts: choose_terms(counts, 2))
    deployment.write(tenant, turn_on)
    run = make_run(tenant)
    deployment.write(tenant, lambda transaction: report(transaction, run))

    def write(transaction):
        for number in range(5):
            put_entry(transaction, f"facts/n{number}", "The ledger is here.")
        return put_entry(transaction, "facts/zz", "The ledger is rounded.")

    best = deployment.write(tenant, write)
    selection = deployment.read(
        tenant, lambda reading: bundles.select_bundle(reading, run, BundleRequest(text="rounded ledger", branch="main"))
    )

    # The one that was found holds both words; the others are the newest, behind it.
    assert (selection.filled.chosen[0].id, selection.filled.chosen[0].matched) == (best, 2)
    assert {each.matched for each in selection.filled.chosen[1:]} == {0}


def test_a_run_is_traced_to_what_it_had(deployment, tenant):
    deployment.write(tenant, turn_on)
    mine, other = make_run(tenant, run_id=1), make_run(tenant, run_id=2)
    ids = deployment.write(
        tenant, lambda transaction: [put_entry(transaction, f"facts/n{n}", f"ledger {n}") for n in (1, 2)]
    )
    for run in (mine, other):
        deployment.write(tenant, lambda transaction, run=run: report(transaction, run))
        deployment.write(
            tenant,
            lambda transaction, run=run: bundles.add_uses(
                transaction, run, "read", [(ids[run is other], "0" * 64, "")]
            ),
        )

    uses = deployment.read(tenant, lambda reading: memory_entries.trace_run(reading, mine.run))

    assert [(use.id, use.run_id, use.number, use.kind) for use in uses] == [(ids[0], 1, 1, "read")]


@ON_BOTH
def test_a_use_that_is_recorded_already_stays_as_it_is(deployment, tenant, other_tenant):
    """Whatever is said of it later, and whatever of another entry, run, kind or account."""
    for account in (tenant, other_tenant):
        deployment.write(account, turn_on)
    runs = {number: make_run(tenant, run_id=number) for number in (1, 2)} | {3: make_run(other_tenant, run_id=1)}
    first, second = (f"mem_{digit * 16}" for digit in "12")

    def add(run, kind, *uses):
        deployment.write(run.tenant_id, lambda transaction: bundles.add_uses(transaction, run, kind, uses))
        deployment.clock.advance(hours=1)

    add(runs[1], "read", (first, "a" * 64, "then"))
    add(runs[1], "read", (first, "a" * 64, "later"), (first, "b" * 64, ""), (second, "a" * 64, "new"))
    add(runs[1], "cited", (first, "a" * 64, "in the text"))
    add(runs[2], "read", (first, "a" * 64, "by another run"))
    add(runs[3], "read", (first, "a" * 64, "in another account"))

    columns = schema.uses.c
    told = {
        account: deployment.read(
            account,
            lambda reading: reading.fetch_all(select(schema.uses).where(columns.tenant_id == reading.tenant_id)),
        )
        for account in (tenant, other_tenant)
    }
    hours = {row.reference: (row.at - told[tenant][0].at) // 3_600_000 for row in told[tenant]}
    assert hours == {"then": 0, "": 1, "new": 1, "in the text": 2, "by another run": 3}
    assert len(told[tenant]) == 5
    assert [(row.memory_id, row.run_id, row.reference) for row in told[other_tenant]] == [
        (first, 1, "in another account")
    ]
