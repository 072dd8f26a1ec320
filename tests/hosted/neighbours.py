"""Three accounts in one deployment whose ids, keys and numbers are the same, and what may be asked of it in their name.

Two share an issuer and a repository, two share an account's number at different issuers. Each has a word of its own, its
canary, that stands in every text it brings. What an account may notice of the others is nothing, and so the law is:

- an answer to one holds no other's canary;
- what one does changes no row of another;
- every answer is, byte for byte, the one that is given in a deployment where the others never did anything.

The last one covers what no canary shows: orders, counts, numbers, cursors, hashes, and what does not exist.
"""

import asyncio
import atexit
import itertools
import json
import shutil
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import cache, partial
from pathlib import Path
from typing import Any, Final, NamedTuple
from unittest.mock import patch

import pysqlite3
from sqlalchemy import URL, insert

from coven_action.core.endpoint.ranking import choose_terms
from coven_action.core.memory.entries import Citation
from coven_action.core.memory.keys import build_canonical_key, build_entry_id
from coven_action.hosted.app import ROUTERS, create_app
from coven_action.hosted.endpoint import Keys
from coven_action.hosted.oidc import Issuer, TokenVerifier
from coven_action.hosted.pacing import Pacer
from coven_action.hosted.services import memory_entries, metering
from coven_action.hosted.services.enrolment import TenantEnrolment, enrol_tenant
from coven_action.hosted.services.memory_entries import Wording
from coven_action.hosted.services.policies import set_caps
from coven_action.hosted.services.retention import sweep
from coven_action.hosted.services.suspension import AccountStatus, change_account_status
from coven_action.hosted.settings import Settings
from coven_action.hosted.signing import SigningKey
from coven_action.hosted.store import schema
from coven_action.hosted.store.sqlite import ERASURE_GAPS, open_writer
from tests.hosted import postgresql
from tests.hosted.databases import SQLITE, name_place, open_store
from tests.hosted.deployment import (
    ADMIN_TOKEN,
    LOCAL_URL,
    Client,
    CountedIds,
    Deployment,
    SettableClock,
    make_policy,
    make_report,
    make_token,
)
from tests.hosted.memory_world import POLICY, cite, put_entry
from tests.identity_tokens import ISSUER, NOW, get_key

OTHER_ISSUER: Final = "https://ghes.example/_services/token"


class Neighbour(NamedTuple):
    """An account: its number at the endpoint, and what it is at its issuer."""

    number: int
    issuer: str
    account_id: int
    canary: str


NEIGHBOURS: Final = (
    Neighbour(1, ISSUER, 501, "walrus"),
    Neighbour(2, ISSUER, 502, "ostrich"),
    Neighbour(3, OTHER_ISSUER, 501, "pangolin"),
)
NUMBERS: Final = tuple(each.number for each in NEIGHBOURS)
REPOSITORY: Final = 1001
"""Everybody's, under the same number."""
SECOND_REPOSITORY: Final = 1002
"""The second account's alone."""
CAPS: Final = {"tasks_per_day": 9, "familiars": 2, "memory_entries": 9}
"""So low that what one account uses of them shows in its warnings and refusals; the others are those of its tier."""
TIERS: Final = {1: "open", 2: "team", 3: "starter"}
UNUSED_DAYS: Final = {1: 30, 2: 60, 3: 89}
COMMON_TEXT: Final = "Amounts are rounded half even."
PUSH: Final = {"event_name": "push", "ref": "refs/heads/main", "ref_protected": "true"}
PUSHED_RUNS: Final = frozenset({3, 4})
PREFIXES: Final = (
    f"repo/{REPOSITORY}/facts", f"repo/{REPOSITORY}/rules/own", f"repo/{SECOND_REPOSITORY}", "tenant/501", "tenant/502",
)  # fmt: skip
RUNS: Final = (1, 2, 3)
ENTRIES: Final = tuple(range(8))
EVERY_CURSOR: Final = ("e0", "e3", "e8", "e20", "e40", "e999999")


def list_wordings(canary: str) -> tuple[tuple[str, str], ...]:
    """Return what an account remembers, key and text.

    The first is word for word like the neighbours', the third stands under a key of its own, and the last two have changed
    places at the second account.
    """
    turns = ["Tests are run in turns.", "Releases are made on Monday."]
    first, second = turns if canary != NEIGHBOURS[1].canary else reversed(turns)
    return (
        ("facts/common", COMMON_TEXT),
        ("rules/own", f"The ledger of {canary} is closed every month."),
        (f"facts/{canary}", f"{COMMON_TEXT} Twice."),
        ("rules/second", f"Builds of {canary} need the cache."),
        ("turns/first", first),
        ("turns/second", second),
        ("late/entry", f"Backups of {canary} are kept a year."),
        ("late/entry", f"Mails of {canary} are kept nowhere."),
    )


def make_proposal(canary: str, index: int) -> dict[str, Any]:
    """Return a proposal; the first one without the canary."""
    key, text = list_wordings(canary)[index]
    commonly = index == 0
    path = "src/ledger.py" if commonly else f"src/{canary}.py"
    why = "the tests say so" if commonly else f"{canary} says so"
    return {"key": key, "kind": "fact", "text": text, "citations": [cite(path)], "why": why}


def get_version(canary: str, index: int) -> str:
    """Return the version of a proposal."""
    proposed = make_proposal(canary, index)
    cited = tuple(Citation(**each) for each in proposed["citations"])
    return Wording(proposed["key"], "fact", "repo", proposed["text"], (), shareable=False, citations=cited).version


EVERY_ENTRY: Final = tuple(
    dict.fromkeys(
        [
            (build_entry_id(build_canonical_key(REPOSITORY, key)), get_version(each.canary, index))
            for each in NEIGHBOURS
            for index, (key, _) in enumerate(list_wordings(each.canary))
        ]
    )
)
"""Id and version of every entry of everybody."""
SHARED_ENTRIES: Final = tuple(
    dict.fromkeys(
        build_entry_id(f"tenant/{each.account_id}/{key}")
        for each in NEIGHBOURS
        for key, _ in list_wordings(each.canary)
    )
)
EVERY_ID: Final = tuple(dict.fromkeys([*(id_ for id_, _ in EVERY_ENTRY), *SHARED_ENTRIES]))


class Answer(NamedTuple):
    """An answer, and the request it was to."""

    request: str
    status: int
    body: bytes
    headers: tuple[tuple[str, str], ...]


class _Ids:
    """Ids by account, so that one gets the same ones whatever the others do. Only what is secret differs between them."""

    def __init__(self) -> None:
        self.by_tenant = {number: CountedIds() for number in NUMBERS}
        self.made: Counter[tuple[int, str]] = Counter()
        self.current = NUMBERS[0]

    def token(self) -> str:
        token = self.by_tenant[self.current].token()
        return f"{token[:-1]}{self.current}"

    def new(self, prefix: str) -> str:
        self.made[self.current, prefix] += 1
        return f"{prefix}_{self.made[self.current, prefix]:024x}"


class Street:
    """A deployment with the three accounts.

    Args:
        place: The database, in which they are enrolled.
        runner: Runs it.

    Attributes:
        hits: Every route that has answered with a success, as (method, path).
    """

    def __init__(self, place: Path | URL, runner: asyncio.Runner) -> None:
        self.place = place
        self._looking: postgresql.Looking | None = None
        self.clock = SettableClock(NOW)
        self.ids = _Ids()
        store = open_store(place, self.clock)
        # What a receipt says of an erasure is the one thing that the databases differ in.
        store.gaps = ERASURE_GAPS
        settings = Settings(**name_place(place), public_url=LOCAL_URL)
        signer = SigningKey(bytes(range(32)))
        self.deployment = Deployment(runner, store, self.clock, self.ids, settings, signer)  # type: ignore[arg-type] # counts by account
        tokens = TokenVerifier(
            [Issuer(ISSUER), Issuer(OTHER_ISSUER, 501)], audience=LOCAL_URL, fetch=_answer_keys, clock=self.clock
        )
        app = create_app(settings, store=store, keys=Keys(signer, tokens), clock=self.clock, ids=self.ids)
        # A second passes with every look: what somebody is paced by is real time, which none of this is about.
        app.state.endpoint.pacer = Pacer(ticks=itertools.count().__next__)
        self.client = Client(app, runner)
        self.households = {each.number: Household(each, self) for each in NEIGHBOURS}
        self.hits: set[tuple[str, str]] = set()

    def act(self, number: int, act: "Act", at: datetime) -> list[Answer]:
        """Do something in the name of an account at a moment, and return what was answered."""
        self.clock.moment = at
        self.ids.current = number
        household = self.households[number]
        household.answers = []
        OPERATIONS[act.name](household, *act.arguments)
        return household.answers

    def read_rows(self, *, besides: int) -> list[Any]:
        """Return every row of the other accounts."""
        if isinstance(self.place, URL):
            if self._looking is None:
                self._looking = postgresql.Looking(str(self.place.database), _TABLES)
            return self._looking.read(besides=besides)
        connection = pysqlite3.connect(self.place)
        try:
            return [
                (table, connection.execute(f"SELECT * FROM {table} WHERE tenant_id != ?", (besides,)).fetchall())
                for table in _TABLES
            ]
        finally:
            connection.close()

    def close(self) -> None:
        if self._looking is not None:
            self._looking.close()


_TABLES: Final = tuple(table.name for table in schema.metadata.sorted_tables if "tenant_id" in table.columns)


@contextmanager
def open_street(runner: asyncio.Runner, database: str = SQLITE) -> Iterator[Street]:
    """Run a deployment until the block ends."""
    # With so few entries every word would be looked for at once; so the frequent ones are left for later, as with many.
    rarest = patch.object(memory_entries, "choose_terms", lambda counts: choose_terms(counts, most=3))
    with _copy_template(database) as place, rarest:
        street = Street(place, runner)
        with street.client:
            yield street
        street.close()


@contextmanager
def _copy_template(database: str) -> Iterator[Path | URL]:
    if database == SQLITE:
        with tempfile.TemporaryDirectory() as folder:
            yield Path(shutil.copy(_build_file(), Path(folder) / "coven.db"))
        return
    server = postgresql.get_server()
    name = server.create(template=_build_database())
    try:
        yield server.render_url(name)
    finally:
        server.drop(name)


@cache
def _build_file() -> Path:
    folder = Path(tempfile.mkdtemp(prefix="neighbours-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    path = folder / "coven.db"
    engine = open_writer(path)
    schema.metadata.create_all(engine)
    engine.dispose()
    _fill_template(path)
    return path


@cache
def _build_database() -> str:
    server = postgresql.get_server()
    name = server.create(template=postgresql.TEMPLATE)
    _fill_template(server.render_url(name))
    return name


def _fill_template(place: Path | URL) -> None:
    """Enrol the three in an empty database; memory is on and nothing has happened."""
    with asyncio.Runner() as runner:
        clock = SettableClock(NOW - timedelta(days=1))
        settings = Settings(**name_place(place), public_url=LOCAL_URL)
        store = open_store(place, clock)
        deployment = Deployment(runner, store, clock, CountedIds(), settings, SigningKey(bytes(32)))
        deployment.make_admin()
        for each in NEIGHBOURS:
            _enrol(deployment, each)
        runner.run(store.close())


def _enrol(deployment: Deployment, each: Neighbour) -> None:
    tenant = TenantEnrolment(
        issuer=each.issuer, account_id=each.account_id, account_login=f"acme-{each.canary}",
        installation_id=9_000 + each.number, tier=TIERS[each.number],
    )  # fmt: skip
    enrolled = deployment.write(0, lambda transaction: enrol_tenant(transaction, tenant))
    assert enrolled.tenant_id == each.number
    documents = (("memory", POLICY | {"approval_required": True}), ("caps", CAPS | {"tasks_per_day": 8 + each.number}))
    for kind, document in documents:
        row = {"kind": kind, "version": 1, "document": document, "actor": "operator", "at": 0}
        statement = insert(schema.policies).values(tenant_id=each.number, **row)
        deployment.write(each.number, lambda transaction, statement=statement: transaction.execute(statement))
    for repository in (REPOSITORY, SECOND_REPOSITORY) if each.number == NUMBERS[1] else (REPOSITORY,):
        row = {
            "owner": f"acme-{each.canary}", "name": f"billing-{each.canary}", "visibility": "private",
            "default_branch": "main", "status": "enrolled", "people": [], "rules": {}, "tenant_shared": True,
            "enrolled_at": 0,
        }  # fmt: skip
        statement = insert(schema.repositories).values(tenant_id=each.number, repository_id=repository, **row)
        deployment.write(each.number, lambda transaction, statement=statement: transaction.execute(statement))

    # From before links alone were taken: what does not look like one goes with the entry's text.
    for id_ in EVERY_ID[:1]:
        row = {
            "memory_id": id_, "repository_id": REPOSITORY, "run_id": 99, "kind": "cited", "version": "b" * 64,
            "reference": f"see the chat of {each.canary}", "at": 0,
        }  # fmt: skip
        statement = insert(schema.uses).values(tenant_id=each.number, **row)
        deployment.write(each.number, lambda transaction, statement=statement: transaction.execute(statement))


async def _answer_keys(url: str) -> bytes:
    if url.endswith("/openid-configuration"):
        issuer = url.removesuffix("/.well-known/openid-configuration")
        return json.dumps({"issuer": issuer, "jwks_uri": f"{issuer}/.well-known/jwks"}).encode()
    return json.dumps({"keys": [get_key().public]}).encode()


@dataclass
class Household:
    """An account's people and runs, and what they remember of what they were answered."""

    who: Neighbour
    street: Street
    answers: list[Answer] = field(default_factory=list)
    sessions: dict[int, tuple[datetime, dict[str, Any]]] = field(default_factory=dict)
    witness: dict[str, Any] | None = None
    count: int = 0

    # --- asking

    def ask(self, method: str, path: str, document: Any = None, **headers: str) -> Any:
        """Send a request and keep the answer."""
        client = self.street.client
        answer = client.request(method, path, json=document, headers=headers)
        shown = tuple(
            (name, answer.headers[name]) for name in ("etag", "idempotency-replayed") if name in answer.headers
        )
        self.answers.append(Answer(f"{method} {path}", answer.status_code, answer.content, shown))
        if answer.is_success:
            self.street.hits.add((method.lower(), find_route(method, answer.request.url.path)))
        return answer

    def next_key(self) -> str:
        self.count += 1
        return f"key-{self.count}"

    def ask_as_person(self, method: str, path: str, document: Any = None, **headers: str) -> Any:
        sent = {"Authorization": f"Bearer {ADMIN_TOKEN}", "Coven-Tenant": str(self.who.number), **headers}
        if method != "GET":
            sent["Idempotency-Key"] = self.next_key()
        return self.ask(method, path, document, **sent)

    def get(self, *paths: str) -> None:
        for path in paths:
            self.ask_as_person("GET", path)

    def ask_as_run(self, run: int, method: str, path: str, document: Any = None, *, key: str | None = None) -> Any:
        sent = {"Authorization": f"Bearer {self.get_session(run)['token']}", "Idempotency-Key": key or self.next_key()}
        return self.ask(method, path, document, **sent)

    def get_session(self, run: int) -> dict[str, Any]:
        """Return a run's session, opened now where it has none that is still good."""
        opened, document = self.sessions.get(run, (None, {}))
        if opened is None or self.street.clock() - opened > timedelta(minutes=14):
            document = self.open(run)
        return document

    def open(self, run: int) -> dict[str, Any]:
        now = self.street.clock()
        self.count += 1
        claims = {
            "iss": self.who.issuer, "repository_owner_id": str(self.who.account_id), "jti": f"jti-{self.count}",
            "repository": f"acme-{self.who.canary}/billing-{self.who.canary}", "run_id": str(run),
            "actor_id": str(7_700 + self.who.number), **(PUSH if run in PUSHED_RUNS else {}),
        }  # fmt: skip
        token = make_token(now, **claims)
        answer = self.ask("POST", "/v1/session", {"witness": self.witness}, Authorization=f"Bearer {token}")
        # Where the repository is suspended there is none, and what follows is refused.
        document = answer.json() if answer.status_code == 201 else {"token": "none", "run_id": run}
        self.witness = document.get("witness", self.witness)
        self.sessions[run] = (now, document)
        self.ask("POST", "/v1/session", {}, Authorization=f"Bearer {token}")
        return document

    # --- what runs do

    def make_report(self, run: int) -> dict[str, Any]:
        block = make_policy(
            REPOSITORY,
            tenant_scope={"account_id": self.who.account_id, "account_login": "acme"},
            read_scopes=["repo", "tenant_shared"],
            trust_scope="maintainer",
            approval_required=False,
        )
        known = {"run_attempt": 1, "run_id": run, "repository_id": REPOSITORY}
        return make_report(
            known,
            event_name="push" if run in PUSHED_RUNS else "issues",
            thread=f"issue-{run % 2}",
            familiar=f"sage-{self.who.canary}",
            trust_scope="maintainer",
            memory_policy=block,
            links={"run": f"https://github.example/{self.who.canary}"},
        )

    def make_events(self) -> dict[str, Any]:
        event = {"type": "note", "at": "2026-11-21T12:00:00Z", "data": {"text": self.who.canary}}
        return {"events": [event] * self.who.number}

    def make_finish(self) -> dict[str, Any]:
        link = f"https://github.example/{self.who.canary}/pull/1"
        usage = {"input_tokens": 10**self.who.number}
        return {"state": "review", "conclusion": "neutral", "usage": usage, "links": {"pull_request": link}}

    def report(self, run: int) -> None:
        self.ask_as_run(run, "PUT", "/v1/runs/self", self.make_report(run))

    def append(self, run: int) -> None:
        self.ask_as_run(run, "POST", "/v1/runs/self/events", self.make_events())

    def repeat(self, run: int) -> None:
        """Send a write twice under a key that everybody takes for it."""
        for _ in range(2):
            self.ask_as_run(run, "POST", "/v1/runs/self/events", self.make_events(), key=f"again-{run}")

    def propose(self, run: int, index: int) -> None:
        proposal = make_proposal(self.who.canary, index)
        self.ask_as_run(run, "POST", "/v1/memory/proposals", {"proposals": [proposal], "pull_request": 1})

    def bundle(self, run: int) -> None:
        texts = (
            "How does the ledger round amounts?",
            "amounts rounded twice",
            " ".join(each.canary for each in NEIGHBOURS),
        )
        for text, paths in zip(texts, (["src/ledger.py"], [], []), strict=True):
            request = {"text": text, "paths": paths, "branch": "main"}
            key = self.next_key()
            for _ in range(2):
                self.ask_as_run(run, "POST", "/v1/memory/bundle", request, key=key)

    def use(self, run: int) -> None:
        """Report uses of everybody's entries."""
        link = f"https://github.example/{self.who.canary}/pull/1"
        uses = [{"id": id_, "version": version, "kind": "cited", "reference": link} for id_, version in EVERY_ENTRY]
        self.ask_as_run(run, "POST", "/v1/runs/self/uses", {"uses": uses})

    def validate(self, run: int, holds: bool) -> None:
        seen = [{"id": id_, "version": version, "holds": holds, "commit": "a" * 40} for id_, version in EVERY_ENTRY]
        self.ask_as_run(run, "POST", "/v1/memory/validations", {"validations": seen})

    def ask_grant(self, run: int) -> None:
        self.ask_as_run(run, "GET", "/v1/policy")

    def finish(self, run: int) -> None:
        self.ask_as_run(run, "POST", "/v1/runs/self/finish", self.make_finish())

    def relay(self, run: int) -> None:
        """Relay what an earlier run could not say, that the relaying run has said already, and that is another's."""

        def envelope(kind: str, body: Any, run_id: int, repository: int = REPOSITORY) -> dict[str, Any]:
            return {
                "kind": kind, "key": f"{run_id}:{kind}", "repository_id": repository, "run_id": run_id, "run_attempt": 1,
                "created_at": "2026-11-21T11:00:00Z", "body": json.dumps(body),
            }  # fmt: skip

        envelopes = [
            envelope("report", self.make_report(8), 8), envelope("events", self.make_events(), 8),
            envelope("finish", self.make_finish(), 8), envelope("events", self.make_events(), 1),
            envelope("proposals", {"proposals": [make_proposal(self.who.canary, 1)]}, 2),
            envelope("proposals", {"proposals": [make_proposal(self.who.canary, 1)]}, 3),
            envelope("events", self.make_events(), 9, SECOND_REPOSITORY),
        ]  # fmt: skip
        self.ask_as_run(run, "POST", "/v1/relay", {"envelopes": envelopes})

    def close(self, run: int) -> None:
        self.ask_as_run(run, "DELETE", "/v1/session")
        self.ask_as_run(run, "GET", "/v1/policy")
        self.sessions.pop(run)

    def forge(self, run: int) -> None:
        """Name another account in a session's token, and ask as a run what people ask."""
        token = self.get_session(run)["token"]
        for number in NUMBERS:
            altered = f"cvs_{number}_{token.split('_', 2)[-1]}" if number != self.who.number else f"{token}_"
            self.ask("GET", "/v1/policy", Authorization=f"Bearer {altered}")
        for path in ("/v1/memory", "/v1/runs/1", "/v1/events", "/v1/audit"):
            self.ask_as_run(run, "GET", path)

    # --- what people do

    def list_memory(self) -> None:
        words = [each.canary for each in NEIGHBOURS]
        self.get(
            "/v1/memory", "/v1/memory?state=pending", "/v1/memory?state=approved", f"/v1/memory?repository_id={REPOSITORY}",
            *(f"/v1/memory?query={word}" for word in (*words, "rounded")),
        )  # fmt: skip
        path = "/v1/memory?limit=1"
        for _ in range(6):
            following = self.ask_as_person("GET", path).json().get("next")
            if following is None:
                break
            path = f"/v1/memory?limit=1&cursor={following}"

    def show_memory(self) -> None:
        for id_ in EVERY_ID:
            self.get(f"/v1/memory/{id_}", f"/v1/memory/{id_}/versions", f"/v1/memory/{id_}/uses")

    def decide(self, index: int, decision: str) -> None:
        """Decide about an entry of one's own, as it is now."""
        key, _ = list_wordings(self.who.canary)[index]
        id_ = build_entry_id(build_canonical_key(REPOSITORY, key))
        etag = self.ask_as_person("GET", f"/v1/memory/{id_}").headers.get("etag", '"1"')
        more: dict[str, Any] = {"reason": f"{self.who.canary} wants it"}
        if decision == "edit":
            more["text"] = f"{list_wordings(self.who.canary)[index][1]} Always {len(etag)}."
        if decision == "supersede":
            other = list_wordings(self.who.canary)[(index + 1) % len(ENTRIES)][0]
            more["replaced_by"] = build_entry_id(build_canonical_key(REPOSITORY, other))
        self.ask_as_person("POST", f"/v1/memory/{id_}:{decision}", more, **{"If-Match": etag})

    def decide_about_others(self, decision: str) -> None:
        for id_ in EVERY_ID:
            self.ask_as_person("POST", f"/v1/memory/{id_}:{decision}", {}, **{"If-Match": '"99"'})

    def revoke_prefix(self, index: int) -> None:
        document = {"prefix": PREFIXES[index], "reason": f"{self.who.canary} says so"}
        self.ask_as_person("POST", "/v1/memory:revoke", document)

    def restore_prefix(self, index: int) -> None:
        self.ask_as_person("POST", "/v1/memory:restore", {"prefix": PREFIXES[index]})

    def put_policy(self, required: bool) -> None:
        etag = self.ask_as_person("GET", "/v1/tenants/self/policy").headers["etag"]
        policy = POLICY | {"approval_required": required, "retention": {"unused_days": UNUSED_DAYS[self.who.number]}}
        self.ask_as_person("PUT", "/v1/tenants/self/policy", policy, **{"If-Match": etag})

    def read_runs(self) -> None:
        self.get(
            "/v1/runs",
            "/v1/runs?limit=1",
            "/v1/runs?before=2",
            "/v1/runs?state=review",
            f"/v1/runs?repository_id={REPOSITORY}",
        )
        for number in range(1, 7):
            self.get(
                f"/v1/runs/{number}",
                f"/v1/runs/{number}/events",
                f"/v1/runs/{number}/events?cursor=e2",
                f"/runs/{number}",
            )

    def read_events(self) -> None:
        cursor = self.ask_as_person("GET", "/v1/events").json()["cursor"]
        self.get(*(f"/v1/events?limit=5&cursor={each}" for each in (cursor, *EVERY_CURSOR)))

    def read_audit(self) -> None:
        self.get("/v1/audit", "/v1/audit?after=3&limit=2", "/v1/audit/head", "/v1/erasures")

    def ask_export(self) -> None:
        self.ask_as_person("POST", "/v1/exports", {"reason": f"{self.who.canary} asks"})

    def fetch_exports(self) -> None:
        self.get(*(f"/v1/exports/exp_{number:024x}" for number in range(1, 5)))

    def read_usage(self) -> None:
        days = "since=2026-01-01&until=2028-01-01"
        for group in ("", "day", "installation,repo", "familiar", "task"):
            self.get(f"/v1/usage?{days}&group={group}")

    def enrol(self, repository: int, name: str) -> None:
        document = {
            "repository_id": repository, "owner": f"acme-{self.who.canary}", "name": f"{name}-{self.who.canary}",
            "visibility": "private", "default_branch": "main", "tenant_shared": True,
        }  # fmt: skip
        self.ask_as_person("PUT", "/v1/tenants/self/repositories", document)

    def suspend(self, repository: int) -> None:
        self.ask_as_person("POST", f"/v1/repositories/{repository}:suspend", {"reason": f"{self.who.canary} says so"})

    def release(self, repository: int) -> None:
        self.ask_as_person("POST", f"/v1/repositories/{repository}:release", {})

    # --- what the operator and time do

    def sweep(self) -> None:
        swept = self.street.deployment.write(self.who.number, sweep)
        self.answers.append(Answer("sweep", 0, repr(sorted(swept.counts.items())).encode(), ()))

    def enrol_account(self) -> None:
        tenant = TenantEnrolment(
            issuer=self.who.issuer, account_id=self.who.account_id, account_login=f"renamed-{self.who.canary}",
            installation_id=8_000 + self.who.number, tier=TIERS[self.who.number],
        )  # fmt: skip
        enrolled = self.street.deployment.write(0, lambda transaction: enrol_tenant(transaction, tenant))
        self.answers.append(Answer("enrol", 0, str(enrolled.tenant_id).encode(), ()))

    def set_caps(self) -> None:
        caps = {"tasks_per_day": 8 + self.who.number}
        work = partial(set_caps, actor="operator", tier=TIERS[self.who.number], replaced=caps)
        self.street.deployment.write(self.who.number, work)

    def suspend_account(self) -> None:
        self._change_status("suspended")
        self.sessions.clear()

    def release_account(self) -> None:
        self._change_status("active")

    def _change_status(self, status: AccountStatus) -> None:
        reason = f"{self.who.canary} says so"
        work = partial(change_account_status, actor="operator", status=status, reason=reason)
        ended = self.street.deployment.write(self.who.number, work)
        self.street.client.app.state.endpoint.ended.note()
        self.answers.append(Answer(status, 0, str(ended).encode(), ()))

    def recount(self) -> None:
        day = self.street.clock().strftime("%Y-%m-%d")
        found = self.street.deployment.read(self.who.number, lambda reading: metering.find_differences(reading, day))
        self.answers.append(Answer("recount", 0, repr(found).encode(), ()))


Operation = Callable[..., None]
OPERATIONS: Final[dict[str, Operation]] = {
    name: value for name, value in vars(Household).items() if not name.startswith(("_", "make_", "get", "ask", "next_"))
    and callable(value)
} | {"ask_grant": Household.ask_grant, "ask_export": Household.ask_export}  # fmt: skip
"""What can be done in the name of an account, by name."""


class Act(NamedTuple):
    """Something to do, and after how long."""

    name: str
    arguments: tuple[Any, ...] = ()
    after: timedelta = timedelta(seconds=1)


ROUTES: Final = tuple(route for router in ROUTERS for route in router.routes)


def find_route(method: str, path: str) -> str:
    """Return the path of the route, as the application names it, that a request goes to."""
    for route in ROUTES:
        if method in route.methods and route.path_regex.fullmatch(path):
            return str(route.path)
    raise AssertionError(f"{method} {path} goes nowhere")


# --- the law


class Leak(AssertionError):
    """One account has noticed another."""


Played = list[tuple[int, Act, datetime, list[Answer]]]


class Recording:
    """Acts of all three in one deployment, each held against the law as far as it can be at once."""

    def __init__(self, street: Street) -> None:
        self.street = street
        self.played: Played = []
        self.now = NOW

    def act(self, number: int, act: Act) -> None:
        """Do it, and look whether a canary or another's row was touched."""
        self.now += act.after
        before = self.street.read_rows(besides=number)
        answers = self.street.act(number, act, self.now)
        if self.street.read_rows(besides=number) != before:
            raise Leak(f"{act} of account {number} has changed rows of others")
        for answer in answers:
            check_canaries(number, act, answer)
        self.played.append((number, act, self.now, answers))


def check_canaries(number: int, act: Act, answer: Answer) -> None:
    """Refuse an answer that holds another's canary."""
    for other in NEIGHBOURS:
        if other.number != number and other.canary.encode() in answer.body:
            raise Leak(f"{act} told account {number} of {other.canary}: {answer}")


def play_alone(number: int, acts: Sequence[tuple[int, Act, datetime]], runner: asyncio.Runner) -> list[list[Answer]]:
    """Return what an account is answered to its own acts where nobody else does anything."""
    with open_street(runner) as street:
        return [street.act(number, act, at) for whose, act, at in acts if whose == number]


def compare(number: int, act: Act, mixed: list[Answer], alone: list[Answer]) -> None:
    """Refuse answers that are other than they would be without neighbours."""
    for one, other in zip(mixed, alone, strict=True):
        if one != other:
            raise Leak(f"{act} of account {number} is answered otherwise with neighbours:\n{one}\n{other}")


def hold_against_solitude(
    played: Played, runner: asyncio.Runner, solitude: dict[int, list[list[Answer]]] | None = None
) -> None:
    """Repeat each account's acts where it is alone, in a file, and compare every answer.

    Args:
        played: What was done, and answered.
        runner: Runs it.
        solitude: What each is answered alone to the same acts, where that is known; filled where it is not.
    """
    schedule = [(number, act, at) for number, act, at, _ in played]
    known = {} if solitude is None else solitude
    for number in NUMBERS:
        mine = [(act, answers) for whose, act, _, answers in played if whose == number]
        if number not in known:
            known[number] = play_alone(number, schedule, runner)
        for (act, mixed), alone in zip(mine, known[number], strict=True):
            compare(number, act, mixed, alone)


# --- a neighbour who remembers a great deal

CROWD: Final = 130
"""Entries: more than a bundle's candidates, and more than a page of a list."""


def watch_crowd(runner: asyncio.Runner, database: str = SQLITE) -> tuple[list[Any], list[Any]]:
    """Return what the first account is offered and shown before and after the second has filled up with newer entries."""
    with open_street(runner, database) as street:
        first = street.households[NUMBERS[0]]
        acts = [("report", 1), *(("propose", 1, index) for index in (0, 1, 2))]
        acts += [("decide", index, "approve") for index in (0, 1, 2)]
        for name, *arguments in acts:
            street.act(first.who.number, Act(name, tuple(arguments)), NOW)
        before = _look(first)
        street.clock.advance(seconds=60)

        def fill(transaction: Any) -> None:
            for number in range(CROWD):
                put_entry(transaction, f"crowd/entry-{number}", f"Amounts of ledger {number} are rounded.")

        street.deployment.write(NUMBERS[1], fill)
        return before, _look(first)


def _look(household: Household) -> list[Any]:
    """Ask for bundles and lists; return the entries of each answer, in their order."""
    seen = []
    for text in ("", "amounts of the ledger are rounded", "nothing of the kind"):
        answer = household.ask_as_run(1, "POST", "/v1/memory/bundle", {"text": text, "branch": "main"})
        seen.append([entry["id"] for entry in answer.json()["entries"]])
    pages = (
        household.ask_as_person("GET", path)
        for path in ("/v1/memory", "/v1/memory?query=rounded", "/v1/memory?limit=1")
    )
    return [*seen, *([entry["id"] for entry in page.json()["entries"]] for page in pages)]


# --- a day on which everything happens


def _a(name: str, *arguments: Any, **after: float) -> Act:
    return Act(name, arguments, timedelta(**after) if after else timedelta(seconds=1))


READING: Final = tuple(
    _a(name)
    for name in (
        "list_memory", "show_memory", "read_runs", "read_events", "read_audit", "read_usage", "ask_export",
        "fetch_exports",
    )
)  # fmt: skip
DAY: Final = (
    _a("report", 1), _a("append", 1), _a("repeat", 1), _a("ask_grant", 1), *(_a("propose", 1, index) for index in (0, 1, 4)),
    _a("report", 2), *(_a("propose", 2, index) for index in (2, 3, 5)), _a("list_memory"),
    *(_a("decide", index, "approve") for index in (0, 1, 2, 4)), _a("decide", 4, "revoke"), _a("finish", 1),
    _a("report", 2), _a("bundle", 2), _a("use", 2), _a("forge", 2), _a("relay", 2), _a("put_policy", False),
    _a("report", 3), _a("bundle", 3), _a("use", 3), _a("validate", 3, False), _a("validate", 3, True),
    _a("decide", 4, "restore"), _a("decide", 3, "reject"), _a("propose", 3, 3), _a("decide", 0, "promote"), _a("bundle", 3),
    _a("decide", 1, "edit"), _a("decide", 1, "supersede"), _a("decide", 1, "restore"), _a("decide", 2, "revoke"),
    _a("decide", 2, "restore"), _a("decide", 5, "approve"), _a("decide", 5, "revoke"), _a("decide_about_others", "approve"),
    *(_a("revoke_prefix", index) for index in (1, 2, 3, 4)),
    _a("report", 3), _a("restore_prefix", 3), _a("restore_prefix", 4), _a("enrol", 1001, "shop"), _a("enrol", 1003, "shop"),
    _a("suspend", 1002), _a("suspend", 1003), _a("release", 1003), *READING[:1], _a("restore_prefix", 1), *READING[2:],
    _a("revoke_prefix", 0), _a("ask_grant", 2), *(_a("decide", index, "erase") for index in (0, 4, 5)), _a("close", 2),
    _a("suspend_account"), _a("open", 1), _a("release_account"),
    _a("open", 3), _a("recount"), _a("enrol_account"), _a("set_caps"), _a("finish", 3), *READING,
)  # fmt: skip
"""What every account does, in this order. `_LAGS` says how far each is behind the first."""
_LAGS: Final = {1: 0, 2: 9, 3: 23}
LATE: Final = (
    _a("put_policy", True), _a("report", 4), _a("propose", 4, 1), _a("propose", 4, 6),
    _a("decide", 6, "approve"), _a("bundle", 4),
)  # fmt: skip
AGING: Final = (_a("sweep"), _a("read_events"), _a("list_memory"), _a("show_memory"))
"""After 35 days the entries of the first account have lain unused for too long, after 95 everybody's."""


def schedule_day() -> list[tuple[int, Act]]:
    """Return everybody's day as it happens, and a long time later the sweep."""
    timed = [(index + _LAGS[number], number, act) for number in NUMBERS for index, act in enumerate(DAY)]
    # Everybody renames a repository twice in the same moment, and looks at it.
    late = [(number, _a("enrol", 1001, name, seconds=0)) for number in NUMBERS for name in ("late", "later")]
    late += [(number, _a(name)) for number in NUMBERS for name in ("ask_export", "fetch_exports")]
    late += [(number, act) for number in reversed(NUMBERS) for act in LATE]
    aging = [(NUMBERS[0], _a("read_audit", days=33))]
    aging += [(number, act) for number in NUMBERS for act in (_a("report", 5), _a("propose", 5, 7))]
    aging += [(number, _a("sweep")) for number in reversed(NUMBERS)]
    aging += [(NUMBERS[0], _a("read_audit", days=62))]
    aging += [(number, act) for number in NUMBERS for act in AGING]
    return [(number, act) for _, number, act in sorted(timed, key=lambda each: each[:2])] + late + aging
