"""Measures how long a bundle takes at 10,000 entries a tenant, with 1 and with 100 tenants, against a LIKE scan (B5).

Usage: make bench NAME=bundle [ARGS="ENTRIES TENANTS REQUESTS"]
A real SQLite file, the endpoint's own store and services. "search" finds, ranks and fills; "bundle" also records the offer
durably, as a request does. The rival ranks the same tenant's texts by how many words of the request LIKE finds in them.
Every tenth answer is compared with one worked out from the texts themselves; no figure is printed when one differs.
"""

import argparse
import asyncio
import json
import os
import platform
import random
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pysqlite3
from sqlalchemy import case, func, insert, literal, select
from sqlalchemy.pool import StaticPool

from coven_action.core.endpoint.ranking import (
    Candidate,
    bound_candidates,
    choose_terms,
    estimate_tokens,
    extract_query,
    fill,
    rank,
)
from coven_action.core.endpoint.wire import BundleRequest, RunReport, SessionScopes
from coven_action.core.memory.entries import Citation
from coven_action.core.memory.keys import build_canonical_key, build_entry_id
from coven_action.core.oidc.authority import Role
from coven_action.core.records import sha256_hex
from coven_action.hosted.principals import PersonPrincipal, RunPrincipal, SessionDocument
from coven_action.hosted.server import tune_interpreter
from coven_action.hosted.services.bundles import record_offer, select_bundle
from coven_action.hosted.services.enrolment import (
    RepositoryEnrolment,
    TenantEnrolment,
    enrol_repository,
    enrol_tenant,
)
from coven_action.hosted.services.memory_entries import Wording
from coven_action.hosted.services.memory_policy import put_policy
from coven_action.hosted.services.policies import AccountPolicy
from coven_action.hosted.services.runs import report_run
from coven_action.hosted.store import schema
from coven_action.hosted.store.commands import Command, Reading
from coven_action.hosted.store.migrations import upgrade
from coven_action.hosted.store.sqlite import SQLiteStore, open_engine, open_writer
from coven_action.hosted.store.transaction import Group, Transaction

REPOSITORY = 1001
NOW = datetime(2026, 11, 21, 12, tzinfo=UTC)
MILLISECONDS = int(NOW.timestamp() * 1000)
VOCABULARY = 6_000
COPIED = ("memory", "memory_versions", "citations", "memory_terms")


@dataclass(frozen=True, slots=True)
class Entry:
    """An entry, and what its place in an order depends on."""

    id: str
    wording: Wording
    approved_at: int
    terms: frozenset[str]


class Words:
    """Words as texts use them: a few stand everywhere, most seldom (Zipf's law)."""

    def __init__(self, chance: random.Random) -> None:
        letters = "abcdefghijklmnopqrstuvwxyz"
        self.chance = chance
        self.words = ["".join(chance.choices(letters, k=chance.randint(4, 10))) for _ in range(VOCABULARY)]
        self.weights = [1 / (rank + 3) for rank in range(VOCABULARY)]

    def pick(self, count: int) -> list[str]:
        """Return words at random, the frequent ones more often."""
        return self.chance.choices(self.words, self.weights, k=count)

    def make_path(self) -> str:
        """Return the path of a file."""
        return f"src/{'/'.join(self.pick(2))}.py"


def make_entries(words: Words, count: int) -> list[Entry]:
    """Return entries of 15 to 60 words with one to three citations."""
    made = []
    for number in range(count):
        citations = tuple(
            Citation(path=words.make_path(), start=1, end=9, sha256="c" * 64) for _ in range(words.chance.randint(1, 3))
        )
        said = " ".join(words.pick(words.chance.randint(15, 60)))
        wording = Wording(f"facts/n{number}", "fact", "repo", said, (), False, citations)
        memory_id = build_entry_id(build_canonical_key(REPOSITORY, wording.key))
        moment = MILLISECONDS - words.chance.randrange(10_000_000)
        made.append(Entry(memory_id, wording, moment, frozenset(wording.list_terms())))
    return made


def list_rows(entries: list[Entry]) -> Iterator[tuple[str, list[dict[str, Any]]]]:
    """Yield the rows of the first tenant by table."""
    yield "memory", [
        {
            "tenant_id": 1, "memory_id": entry.id, "canonical_key": f"repo/{REPOSITORY}/{entry.wording.key}",
            "scope": "repo", "repository_id": REPOSITORY, "state": "approved", "revision": 2,
            "version": entry.wording.version, "approved_by": "admin", "trust_scope": "maintainer", "shareable": False,
            "approved_at": entry.approved_at, "expires_at": MILLISECONDS + 10**10, "created_at": entry.approved_at,
            "updated_at": entry.approved_at,
        }
        for entry in entries
    ]  # fmt: skip
    yield "memory_versions", [
        {
            "tenant_id": 1, "memory_id": entry.id, "version": entry.wording.version, "state": "approved",
            "kind": "fact", "text": entry.wording.text, "text_sha256": sha256_hex(entry.wording.text.encode()),
            "branches": [], "shareable": False, "proposed_by": {}, "trust_scope": "maintainer", "why": "", "flags": [],
            "created_at": entry.approved_at,
        }
        for entry in entries
    ]  # fmt: skip
    yield "citations", [
        {
            "tenant_id": 1, "memory_id": entry.id, "version": entry.wording.version, "ordinal": ordinal,
            "path": cited.path, "start_line": 1, "end_line": 9, "sha256": cited.sha256,
        }
        for entry in entries
        for ordinal, cited in enumerate(entry.wording.citations)
    ]  # fmt: skip
    pairs = sorted((term, entry.id) for entry in entries for term in (*entry.terms, ""))
    yield (
        "memory_terms",
        [
            {"tenant_id": 1, "scope_id": REPOSITORY, "term": term, "branch": "", "memory_id": id_, "shareable": False}
            for term, id_ in pairs
        ],
    )


def build_database(path: Path, entries: list[Entry], tenants: int) -> None:
    """Write every tenant's entries: the same ids and texts for each, so that a leak would change an answer's length."""
    made = open_writer(path)
    upgrade(made)
    made.dispose()
    # As the file is written for the first time, nothing of it has to survive anything.
    engine = open_engine(
        path, ("journal_mode=OFF", "synchronous=OFF", "cache_size=-1000000"), "BEGIN", poolclass=StaticPool
    )
    with engine.begin() as connection:
        store = _Enrolling(connection)
        for tenant in range(1, tenants + 1):
            store.enrol(tenant)
        for name, rows in list_rows(entries):
            connection.execute(insert(schema.metadata.tables[name]), rows)
        for name in COPIED:
            table = schema.metadata.tables[name]
            others = [column for column in table.columns if column.name != "tenant_id"]
            for tenant in range(2, tenants + 1):
                first = select(literal(tenant), *others).where(table.c.tenant_id == 1)
                connection.execute(insert(table).from_select(["tenant_id", *(column.name for column in others)], first))
    engine.dispose()


class _Enrolling:
    """Enrols accounts as the endpoint does."""

    def __init__(self, connection: Any) -> None:
        self._connection = connection

    def _do(self, tenant: int, work: Callable[[Any], Any]) -> None:
        group = Group(self._connection, NOW, tenants=[tenant])
        transaction = Transaction(group, tenant)
        work(transaction)
        transaction.finish()
        group.flush()

    def enrol(self, tenant: int) -> None:
        account = TenantEnrolment(issuer="https://issuer.test", account_id=500 + tenant, account_login=f"a{tenant}")
        repository = RepositoryEnrolment(
            repository_id=REPOSITORY, owner=f"a{tenant}", name="r", visibility="private", default_branch="main"
        )
        person = PersonPrincipal(tenant, Role.ADMIN, "admin")
        self._do(0, lambda transaction: enrol_tenant(transaction, account))
        self._do(tenant, lambda transaction: enrol_repository(transaction, "admin", repository))
        self._do(tenant, lambda transaction: put_policy(transaction, person, AccountPolicy(enabled=True), '"0"'))


def make_run(tenant: int, run_id: int) -> RunPrincipal:
    scopes = SessionScopes(read="repo", tenant_shared=False, propose=True, validate_entries=False, reason="")
    document = SessionDocument(
        repository_id=REPOSITORY, run_id=run_id, run_attempt=1, event_name="issues", actor_id=7, visibility="private",
        tier="T1", scopes=scopes,
    )  # fmt: skip
    return RunPrincipal(tenant, document, "0" * 64, datetime(9999, 1, 1, tzinfo=UTC))


def make_report(tenant: int, run_id: int) -> RunReport:
    policy = {
        "enabled": True,
        "tenant_scope": {"account_id": 500 + tenant, "account_login": f"a{tenant}"},
        "repo_scope": {"repository_id": REPOSITORY, "owner": "a", "name": "r", "visibility": "private",
                       "default_branch": "main"},
        "branch_scope": {"base_ref": "main", "head_ref": "x", "same_repository": True},
        "trust_scope": "maintainer", "read_scopes": ["repo"], "write_scopes": ["repo"], "shareable_only": False,
        "reason": "on",
    }  # fmt: skip
    report = {
        "attempt": 1, "event_name": "issues", "thread": f"issue-{run_id}", "familiar": "sage", "trust_scope": "maintainer",
        "memory_policy": policy, "lease_seconds": 600, "requested_at": "2026-11-21T12:00:00Z",
    }  # fmt: skip
    return RunReport.model_validate_json(json.dumps(report))


def expect(entries: list[Entry], request: BundleRequest) -> list[str]:
    """Work out the answer from the texts: no database, no index."""
    query = frozenset(extract_query(request.text, request.paths))
    counts = {term: sum(term in entry.terms for entry in entries) for term in query}
    chosen = frozenset(choose_terms({term: count for term, count in counts.items() if count}))
    found = sorted((-len(chosen & entry.terms), entry.id, entry) for entry in entries if chosen & entry.terms)
    nearest = found[: bound_candidates(request.token_budget)]
    candidates = [
        Candidate(
            id=entry.id, matched=len(query & entry.terms), cited_paths=tuple(cited.path for cited in entry.wording.citations),
            trust_scope="maintainer", by_person=True, approved_at=entry.approved_at,
            tokens=estimate_tokens(
                f"repo/{REPOSITORY}/{entry.wording.key}", entry.wording.text,
                *(cited.path for cited in entry.wording.citations),
            ),
        )
        for _, _, entry in nearest
    ]  # fmt: skip
    return [candidate.id for candidate in fill(rank(candidates, request.paths), request.token_budget).chosen]


def scan(reading: Reading, request: BundleRequest) -> int:
    """The rival: the tenant's texts, by how many of the request's words LIKE finds in them."""
    memory, versions = schema.memory.c, schema.memory_versions.c
    lowered = func.lower(versions.text)
    found = sum(
        (
            case((lowered.contains(word, autoescape=True), 1), else_=0)
            for word in extract_query(request.text, request.paths)
        ),
        start=literal(0),
    )
    statement = (
        select(memory.memory_id, versions.text, found.label("found"))
        .join(schema.memory_versions, (versions.tenant_id == memory.tenant_id) & (versions.memory_id == memory.memory_id)
              & (versions.version == memory.version))
        .where(memory.tenant_id == reading.tenant_id, memory.repository_id == REPOSITORY, memory.state == "approved")
        .order_by(found.desc(), memory.memory_id)
        .limit(bound_candidates(request.token_budget))
    )  # fmt: skip
    return len(reading.fetch_all(statement))


async def measure(
    path: Path, entries: list[Entry], words: Words, tenants: int, requests: int
) -> dict[str, list[float]]:
    """Return milliseconds by what was measured; ends the program where an answer is wrong.

    Wall time is from the request to the answer; CPU time is the whole process's in between.
    """
    store = SQLiteStore(path, lambda: NOW)
    figures: dict[str, list[float]] = {"search": [], "bundle": [], "bundle CPU": [], "LIKE scan": []}
    warm_up = max(20, requests // 10)
    for number in range(requests + warm_up):
        tenant, run_id = words.chance.randint(1, tenants), 10_000 + number
        run = make_run(tenant, run_id)
        report = make_report(tenant, run_id)
        await store.write(
            Command(tenant, lambda transaction, run=run, report=report: report_run(transaction, run, report))
        )
        asked = BundleRequest(
            text=" ".join(words.pick(60)), paths=tuple(words.make_path() for _ in range(2)), branch="main"
        )
        started, cpu = time.perf_counter(), time.process_time()
        selection = await store.read(tenant, lambda reading, run=run, asked=asked: select_bundle(reading, run, asked))
        found = time.perf_counter()
        choice = await store.write(
            Command(tenant, lambda transaction, run=run, selection=selection: record_offer(transaction, run, selection))
        )
        ended, cpu = time.perf_counter(), time.process_time() - cpu
        # To work one out takes a hundred times as long as to ask, so not each of them is.
        if number % 10 == 0 and [id_ for id_, _ in choice.entries] != expect(entries, asked):
            sys.exit("a bundle is not what its texts say it has to be; no figures")
        if number >= warm_up:
            figures["search"].append((found - started) * 1000)
            figures["bundle"].append((ended - started) * 1000)
            figures["bundle CPU"].append(cpu * 1000)
            if number % 10 == 0:
                figures["LIKE scan"].append(await _time_scan(store, tenant, asked))
    await store.close()
    return figures


async def _time_scan(store: SQLiteStore, tenant: int, asked: BundleRequest) -> float:
    started = time.perf_counter()
    rows = await store.read(tenant, lambda reading: scan(reading, asked))
    if not rows:
        sys.exit("the rival found nothing; no figures")
    return (time.perf_counter() - started) * 1000


def find_share(values: list[float], share: float) -> float:
    return sorted(values)[min(len(values) - 1, int(len(values) * share))]


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("entries", type=int, nargs="?", default=10_000, help="of each account")
    parser.add_argument("tenants", type=int, nargs="?", default=100, help="measured after one account alone")
    parser.add_argument("requests", type=int, nargs="?", default=1_000)
    given = parser.parse_args()
    count, most, requests = given.entries, given.tenants, given.requests
    words = Words(random.Random(5))  # noqa: S311 the same texts in every run
    entries = make_entries(words, count)
    # As the endpoint's process does; and the entries that the answers are compared with are not its own.
    tune_interpreter()
    print(
        f"{platform.platform()}, Python {platform.python_version()}, SQLite {pysqlite3.sqlite_version}, "
        f"{os.cpu_count()} cores, {requests} requests, load {os.getloadavg()[0]:.1f}"
    )
    print(f"{'tenants':>8}{'entries':>9}{'file MB':>9}  {'':12}{'median ms':>10}{'p99 ms':>9}")
    for tenants in sorted({1, most}):
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "coven.db"
            build_database(path, entries, tenants)
            size = path.stat().st_size / 1e6
            figures = asyncio.run(measure(path, entries, words, tenants, requests))
        for name, values in figures.items():
            print(
                f"{tenants:>8}{count:>9}{size:>9.0f}  {name:12}{statistics.median(values):>10.2f}"
                f"{find_share(values, 0.99):>9.2f}"
            )


if __name__ == "__main__":
    main()
