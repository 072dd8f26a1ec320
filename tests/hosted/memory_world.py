"""An account whose memory is on, and what runs and people do with it, over the real application."""

import itertools
import json
from typing import Any, Final

import pytest
from sqlalchemy import insert

from coven_action.core.endpoint.wire import RunReport
from coven_action.core.memory.entries import Citation
from coven_action.core.memory.keys import build_entry_id
from coven_action.core.memory.policy_block import RetentionPolicy
from coven_action.hosted.services.memory_entries import (
    Wording,
    drop_terms,
    end_entries,
    get_entry,
    insert_entry,
    insert_version,
    let_hold,
    update_entry,
    update_version,
)
from coven_action.hosted.services.memory_policy import put_policy, read_versioned
from coven_action.hosted.services.policies import AccountPolicy
from coven_action.hosted.services.runs import report_run
from coven_action.hosted.store import schema
from tests.hosted.deployment import (
    Client,
    Deployment,
    OpenedSession,
    SettableClock,
    make_person,
    make_policy,
    make_report,
    open_session,
)

_counter: Final = itertools.count(1)

POLICY: Final = {"enabled": True, "read": ["repo", "tenant_shared"], "write": ["repo"], "approval_required": False}
SHA: Final = "c" * 64
DAY: Final = 86_400


def cite(path: str = "src/ledger.py", start: int = 1, end: int = 3, sha256: str = SHA) -> dict[str, Any]:
    return {"path": path, "start": start, "end": end, "sha256": sha256}


def make_proposal(key: str = "conventions/rounding", text: str = "Amounts are rounded half even.", **more: Any) -> Any:
    """Return a proposal as a run sends it."""
    return {"key": key, "kind": "convention", "text": text, "citations": [cite()], "why": "the tests say so", **more}


class World:
    """Acme's memory.

    Args:
        client: Of the started application.
        clock: The application's.
        admin: Headers of the local administrator.
    """

    def __init__(self, client: Client, clock: SettableClock, admin: dict[str, str]) -> None:
        self.client = client
        self.clock = clock
        self.admin = admin

    # --- people

    def ask(self, method: str, path: str, document: Any = None, *, key: str | None = None, **headers: str) -> Any:
        """Send a request of the administrator's; `if_match="3"` becomes If-Match."""
        sent = {name.replace("_", "-"): value for name, value in headers.items()}
        if method != "GET":
            sent["Idempotency-Key"] = key or f"person-{next(_counter)}"
        return self.client.request(method, path, json=document, headers={**self.admin, **sent})

    def set_policy(self, **changes: Any) -> Any:
        """Change the account's memory policy, from the one of these tests."""
        etag = self.ask("GET", "/v1/tenants/self/policy").headers["etag"]
        answer = self.ask("PUT", "/v1/tenants/self/policy", POLICY | changes, if_match=etag)
        assert answer.status_code == 200, answer.text
        return answer.json()

    def read(self, memory_id: str) -> Any:
        answer = self.ask("GET", f"/v1/memory/{memory_id}")
        assert answer.status_code == 200, answer.text
        return answer.json()

    def decide(self, memory_id: str, decision: str, *, key: str | None = None, **request: Any) -> Any:
        """Decide about an entry as it is now, and return the answer, whatever its status."""
        etag = self.ask("GET", f"/v1/memory/{memory_id}").headers["etag"]
        return self.ask("POST", f"/v1/memory/{memory_id}:{decision}", request, key=key, if_match=etag)

    def list_ids(self, **filters: Any) -> list[str]:
        answer = self.client.get("/v1/memory", headers=self.admin, params=filters)
        assert answer.status_code == 200, answer.text
        return [entry["id"] for entry in answer.json()["entries"]]

    def list_uses(self, memory_id: str) -> list[tuple[int, str]]:
        uses = self.ask("GET", f"/v1/memory/{memory_id}/uses").json()["uses"]
        return sorted((use["run_id"], use["kind"]) for use in uses)

    # --- runs

    def open(self, run_id: int | None = None, **claims: Any) -> OpenedSession:
        """Open a session of a run of its own that has reported nothing."""
        number = run_id if run_id is not None else 9_000 + next(_counter)
        return open_session(self.client, self.clock(), run_id=str(number), **claims)

    def start(
        self, run_id: int | None = None, *, trust: str = "maintainer", claims: Any = None, **policy: Any
    ) -> OpenedSession:
        """Open a session, and report the run with this trust and these parts of its memory policy."""
        session = self.open(run_id, **(claims or {}))
        self.report(session, trust=trust, **policy)
        return session

    def report(self, session: OpenedSession, *, trust: str = "maintainer", **policy: Any) -> None:
        block = make_policy(session.document["repository_id"], trust_scope=trust, approval_required=False)
        changes = {"trust_scope": trust, "memory_policy": block | policy}
        if "event_name" in policy:
            changes["event_name"] = block.pop("event_name")
        answer = session.send("PUT", "/v1/runs/self", make_report(session.document, **changes))
        assert answer.status_code == 200, answer.text

    def propose(self, session: OpenedSession, *proposals: Any, key: str | None = None) -> list[Any]:
        answer = session.send("POST", "/v1/memory/proposals", {"proposals": list(proposals)}, key=key)
        assert answer.status_code == 200, answer.text
        return answer.json()["verdicts"]

    def remember(
        self, key: str = "conventions/rounding", text: str = "Amounts are rounded half even.", **more: Any
    ) -> str:
        """Have an entry proposed by a run of a collaborator and approved by the administrator; return its id."""
        session = self.start(trust="collaborator", **more.pop("policy", {}))
        (verdict,) = self.propose(session, make_proposal(key, text, **more))
        assert verdict["state"] == "pending", verdict
        approved = self.decide(verdict["id"], "approve")
        assert approved.status_code == 200, approved.text
        return str(verdict["id"])

    def bundle(self, session: OpenedSession, text: str = "", **request: Any) -> Any:
        answer = session.send("POST", "/v1/memory/bundle", {"text": text, "branch": "main", **request})
        assert answer.status_code == 200, answer.text
        return answer.json()

    def offer(self, session: OpenedSession, text: str = "", **request: Any) -> list[str]:
        """Return the ids of a bundle."""
        return [entry["id"] for entry in self.bundle(session, text, **request)["entries"]]


@pytest.fixture
def world(client: Client, clock: SettableClock, admin: dict[str, str]) -> World:
    """Acme with its memory on: nobody has proposed anything."""
    made = World(client, clock, admin)
    made.set_policy()
    return made


def put_entry(
    transaction: Any,
    key: str,
    text: str,
    *,
    repository_id: int | None = 1001,
    scope: str = "repo",
    account_id: int = 501,
    state: str = "approved",
    branches: tuple[str, ...] = (),
    shareable: bool = False,
    approved_by: str = "admin",
    trust_scope: str = "maintainer",
    paths: tuple[str, ...] = ("src/ledger.py",),
) -> str:
    """Write an entry without anybody's asking, in a state of its own, and return its id."""
    canonical_key = f"repo/{repository_id}/{key}" if scope == "repo" else f"tenant/{account_id}/{key}"
    memory_id = build_entry_id(canonical_key)
    citations = tuple(Citation(**cite(path)) for path in paths)
    wording = Wording(key, "fact", scope, text, branches, shareable, citations)
    insert_entry(transaction, memory_id, canonical_key, scope, repository_id if scope == "repo" else None)
    brought = {"state": "pending", "proposed_by": {"run_id": 1}, "trust_scope": trust_scope, "why": text, "flags": []}
    insert_version(transaction, memory_id, wording, brought)
    if state == "pending":
        return memory_id
    entry = get_entry(transaction, memory_id)
    let_hold(transaction, entry, wording, approved_by=approved_by, retention=RetentionPolicy(), trust_scope=trust_scope)
    entry = get_entry(transaction, memory_id)
    if state in {"revoked", "expired"}:
        end_entries(transaction, [entry], "revoke" if state == "revoked" else "expire", actor="admin")
    elif state != "approved":
        update_version(transaction, memory_id, wording.version, state=state)
        drop_terms(transaction, [memory_id])
        update_entry(transaction, entry, state=state)
    return memory_id


def turn_on(transaction: Any, **changes: Any) -> None:
    """Turn an account's memory on."""
    version = read_versioned(transaction).version
    person = make_person(transaction.tenant_id)
    put_policy(transaction, person, AccountPolicy.model_validate(POLICY | changes), f'"{version}"')


def report(transaction: Any, principal: Any, *, trust: str = "maintainer", **policy: Any) -> None:
    """Report a run that has no session in the database."""
    session = principal.session
    known = {"repository_id": session.repository_id, "run_id": session.run_id, "run_attempt": session.run_attempt}
    block = make_policy(session.repository_id, trust_scope=trust, approval_required=False) | policy
    document = make_report(known, trust_scope=trust, memory_policy=block)
    report_run(transaction, principal, RunReport.model_validate_json(json.dumps(document)))


def add_uses(deployment: Deployment, tenant: int, memory_id: str, count: int, *, at: int) -> None:
    """Note that so many runs were offered an entry, two at every moment."""
    version = deployment.read(tenant, lambda reading: get_entry(reading, memory_id)).version
    rows = [
        {"tenant_id": tenant, "memory_id": memory_id, "repository_id": 1001, "run_id": 10_000 + number,
         "kind": "offered", "version": version, "reference": "", "at": at + number // 2}
        for number in range(count)
    ]  # fmt: skip
    deployment.write(tenant, lambda transaction: transaction.execute(insert(schema.uses), rows))
