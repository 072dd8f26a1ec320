"""Who asks: nothing is answered before that is known, and what was wrong with a token is told to nobody."""

import asyncio
from urllib.parse import unquote

import pytest
from sqlalchemy import update

from coven_action.hosted.app import ROUTERS, create_app
from coven_action.hosted.authentication import OPEN_PATHS
from coven_action.hosted.endpoint import Keys
from coven_action.hosted.oidc import Issuer, TokenVerifier
from coven_action.hosted.settings import Settings
from coven_action.hosted.store import schema
from tests.hosted.databases import ON_BOTH, ON_BOTH_SLOWLY
from tests.hosted.deployment import (
    ADMIN_TOKEN,
    LOCAL_URL,
    LOOPBACK,
    Client,
    answer_keys,
    make_token,
    open_session,
)
from tests.hosted.routes.test_accounts import ask
from tests.identity_tokens import ISSUER

METHODS = ("GET", "HEAD", "POST", "PUT", "DELETE", "PATCH", "OPTIONS", "TRACE", "CONNECT", "BREW")
ROUTES = sorted(
    {
        route.path.replace("{number}", "1").replace("{memory_id}", "mem_0").replace("{export_id}", "exp_0")
        for router in ROUTERS
        for route in router.routes
        if route.path.startswith("/v1/")
    }
)
ODD_PATHS = (
    "/v1/", "/v1", "/v1//runs", "//v1/runs", "//v1/", "/v1/../healthz", "/v1/./runs", "/v1/runs/", "/V1/runs",
    "/v1/%2e%2e/metrics",
    "/%76%31/runs", "/v1%2fruns", "/v1/runs;x=1", "/v1/nothing", "/v2/runs", "/healthz/", "/healthz/../v1/runs",
    "/HEALTHZ",
    "/openapi.json/", "/docs", "/redoc", "/", "/favicon.ico", "/v1/runs%00", "/v1/runs/1%0d%0aX: y", "/v1/session/",
)  # fmt: skip


def send_raw(client, method, path):
    """Send a request whose path nobody tidies."""

    async def call():
        sent, messages = {"type": "http.request", "body": b""}, []
        scope = {
            "type": "http", "asgi": {"version": "3.0"}, "http_version": "1.1", "method": method, "scheme": "http",
            "path": unquote(path), "raw_path": path.encode(), "query_string": b"", "root_path": "", "client": LOOPBACK,
            "server": ("127.0.0.1", 8766), "headers": [],
        }  # fmt: skip

        async def receive():
            return sent

        async def keep(message):
            messages.append(message)

        await client.app(scope, receive, keep)
        start = messages[0]
        headers_ = {key.decode(): value.decode() for key, value in start["headers"]}
        return start["status"], headers_, b"".join(message.get("body", b"") for message in messages[1:])

    return client._runner.run(call())


@pytest.fixture
def refusal(client):
    """The one answer to whoever is not known."""
    return send_raw(client, "GET", "/v1/runs")


def test_the_refusal_is_a_problem_that_says_nothing(refusal):
    status, headers, body = refusal

    assert (status, headers["content-type"]) == (401, "application/problem+json")
    assert headers["www-authenticate"] == 'Bearer realm="coven"'
    assert b"not-authenticated" in body


@pytest.mark.parametrize("method", METHODS)
def test_every_path_and_method_answers_the_same_to_whoever_is_not_known(client, refusal, method):
    answers = {path: send_raw(client, method, path) for path in (*ROUTES, *ODD_PATHS)}

    assert {path: answer for path, answer in answers.items() if answer != refusal} == {}


def test_what_anybody_may_ask_for_is_a_list_and_holds_nothing_of_a_tenant(client, clock, deployment):
    open_session(client, clock()).report(thread="issue-77", familiar="walrus")

    answers = [client.get(path) for path in sorted(OPEN_PATHS)]

    assert [answer.status_code for answer in answers] == [200] * len(OPEN_PATHS)
    assert not any("walrus" in answer.text or "issue-77" in answer.text for answer in answers)


WRONG = {
    "none": [],
    "empty": [""],
    "basic": ["Basic YTpi"],
    "no scheme": [ADMIN_TOKEN],
    "two words": [f"Bearer {ADMIN_TOKEN} x"],
    "not a token": ["Bearer x"],
    "unknown session": ["Bearer cvs_1_" + "b" * 43],
    "unknown account": ["Bearer cvs_999999_" + "b" * 43],
    "a number that no database holds": ["Bearer cvs_99999999999999999999_" + "b" * 43],
    "leading zero": ["Bearer cvs_01_" + "b" * 43],
    "unknown administrator": ["Bearer cva_" + "b" * 43],
    "longer": [f"Bearer {ADMIN_TOKEN}a"],
    "twice the same": [f"Bearer {ADMIN_TOKEN}"] * 2,
    "a good one second": ["Bearer x", f"Bearer {ADMIN_TOKEN}"],
    "a good one first": [f"Bearer {ADMIN_TOKEN}", "Bearer x"],
    "very long": ["Bearer " + "a" * 60_000],
    "not ascii": ["Bearer cvs_1_é"],
}


@pytest.mark.parametrize("headers", WRONG.values(), ids=WRONG)
@pytest.mark.parametrize(("method", "path"), [("GET", "/v1/runs"), ("DELETE", "/v1/session"), ("POST", "/v1/session")])
def test_a_header_that_proves_nothing_is_refused(client, refusal, headers, method, path):
    sent = [(b"authorization", header.encode("latin-1")) for header in headers]

    answer = client.request(method, path, headers=sent, content=b"{}")

    assert (answer.status_code, answer.content) == (401, refusal[2])


def test_the_administrator_is_known_on_this_machine(client, admin):
    assert client.get("/v1/runs", headers=admin).status_code == 200


# --- sessions


@ON_BOTH_SLOWLY
def test_a_session_ends_with_its_time(client, clock, refusal):
    session = open_session(client, clock())
    clock.advance(minutes=14, seconds=59)
    before = session.send("GET", "/v1/policy")
    clock.advance(seconds=1)
    after = session.send("GET", "/v1/policy")

    assert (before.status_code, after.status_code, after.content) == (200, 401, refusal[2])


@ON_BOTH_SLOWLY
def test_a_session_that_was_opened_later_than_now_is_worth_nothing(client, clock):
    session = open_session(client, clock())
    clock.advance(minutes=-1)

    assert session.send("GET", "/v1/policy").status_code == 401


@ON_BOTH_SLOWLY
def test_a_closed_session_is_worth_nothing(client, clock, refusal):
    session = open_session(client, clock())
    session.send("GET", "/v1/policy")

    assert session.send("DELETE", "/v1/session").status_code == 204
    assert session.send("GET", "/v1/policy").content == refusal[2]
    client.app.state.endpoint.sessions.clear()
    assert session.send("GET", "/v1/policy").content == refusal[2]


@ON_BOTH
def test_a_session_that_is_closed_while_it_is_read_is_worth_nothing(client, clock, store, mocker):
    """The request has read it as open; before it goes on, another one closes it."""
    session = open_session(client, clock())
    client.app.state.endpoint.sessions.clear()
    read, closing = store.read, []

    async def read_late(tenant_id, work):
        found = await read(tenant_id, work)
        if not closing:
            closing.append(True)
            await client._client.delete("/v1/session", headers=session.headers)
        return found

    mocker.patch.object(store, "read", read_late)

    assert session.send("GET", "/v1/policy").status_code == 401
    assert closing


@ON_BOTH_SLOWLY
def test_a_token_of_another_account_is_no_token_of_this_one(client, clock, other_tenant):
    own = open_session(client, clock()).document["token"]
    foreign = own.replace("cvs_1_", f"cvs_{other_tenant}_")

    for _ in range(2):
        assert client.get("/v1/policy", headers={"Authorization": f"Bearer {foreign}"}).status_code == 401
    assert client.get("/v1/policy", headers={"Authorization": f"Bearer {own}"}).status_code == 200


@ON_BOTH_SLOWLY
def test_few_sessions_are_kept_at_hand_and_the_oldest_is_forgotten(client, clock, mocker):
    mocker.patch("coven_action.hosted.authentication.MAX_CACHED_SESSIONS", 3)
    sessions = [open_session(client, clock(), run_id=str(number)) for number in range(1, 8)]
    for session in sessions:
        session.send("GET", "/v1/policy")

    kept = client.app.state.endpoint.sessions
    assert len(kept) == 3
    assert all(session.send("GET", "/v1/policy").status_code == 200 for session in sessions), "forgotten, and looked up"
    for number in range(50):
        client.get("/v1/policy", headers={"Authorization": f"Bearer cvs_1_{number:043d}"})
    assert len(kept) == 3, "what is no session takes no room"


# --- the local administrator


@pytest.mark.parametrize("address", ["10.0.0.7", "::ffff:127.0.0.1", "192.168.1.1", "testclient"])
def test_the_administrators_token_is_worth_nothing_from_another_machine(client, admin, address):
    elsewhere = Client(client.app, client._runner, (address, 50_000))

    assert elsewhere.get("/v1/runs", headers=admin).status_code == 401


@pytest.mark.parametrize("header", ["X-Forwarded-For", "Forwarded", "X-Real-IP", "Client-IP"])
def test_no_header_makes_anybody_local(client, admin, header):
    elsewhere = Client(client.app, client._runner, ("10.0.0.7", 50_000))

    assert elsewhere.get("/v1/runs", headers={**admin, header: "127.0.0.1"}).status_code == 401


@pytest.mark.parametrize(
    "settings",
    [{"public_url": "https://coven.example.com"}, {"host": "0.0.0.0"}, {"public_url": "https://127.0.0.1.example.com"}],
)
def test_a_deployment_that_others_reach_has_no_local_administrator(deployment, tenant, admin, settings):
    deployment.make_admin()
    deployment.settings = Settings(**{"data": deployment.settings.data, "public_url": LOCAL_URL, **settings})
    with Client(deployment.build_app(), deployment.runner) as client:
        assert client.get("/v1/runs", headers=admin).status_code == 401


@pytest.mark.parametrize(
    ("came_from", "came_to", "status"),
    [
        ("127.0.0.1", "http://127.0.0.1:8767", 200),
        ("127.0.0.1", "http://127.0.0.1:8766", 401),
        ("127.0.0.1", "http://10.0.0.7:8767", 401),
        ("10.0.0.8", "http://127.0.0.1:8767", 401),
    ],
    ids=["the administrator's port", "a proxy's way in", "another interface", "another machine"],
)
def test_where_others_reach_the_endpoint_the_administrator_has_a_port_of_this_machine(
    deployment, tenant, admin, came_from, came_to, status
):
    deployment.make_admin()
    deployment.settings = Settings(data=deployment.settings.data, public_url="https://coven.example.com")
    # The test's client hands over the address in the URL as that of the socket.
    with Client(deployment.build_app(), deployment.runner, (came_from, 50_000)) as client:
        answer = client.get(f"{came_to}/v1/runs", headers={**admin, "Host": "127.0.0.1:8767"})

    assert answer.status_code == status


@ON_BOTH_SLOWLY
def test_where_no_token_was_made_none_is_good(deployment, tenant, admin):
    with Client(deployment.build_app(), deployment.runner) as client:
        assert client.get("/v1/runs", headers=admin).status_code == 401


# --- opening a session


def post_token(client, token, document=None):
    return client.post("/v1/session", headers={"Authorization": f"Bearer {token}"}, json=document or {})


@ON_BOTH_SLOWLY
def test_a_token_opens_one_session(client, clock, refusal):
    token = make_token(clock())

    first, second = post_token(client, token), post_token(client, token)

    assert (first.status_code, second.status_code, second.content) == (201, 401, refusal[2])


@ON_BOTH
def test_of_many_requests_with_one_token_exactly_one_gets_a_session(client, clock, admin):
    headers = {"Authorization": f"Bearer {make_token(clock())}"}

    async def race():
        posts = (client._client.post("/v1/session", headers=headers, json={}) for _ in range(12))
        return await asyncio.gather(*posts)

    answers = client._runner.run(race())

    assert sorted(answer.status_code for answer in answers) == [201, *[401] * 11]
    entries = client.get("/v1/audit", headers=admin).json()["entries"]
    assert [entry["action"] for entry in entries].count("session.open") == 1


@ON_BOTH_SLOWLY
def test_a_token_that_was_used_is_refused_as_long_as_it_lives(client, clock):
    token = make_token(clock(), exp=2**40)
    post_token(client, token)

    for _ in range(12):
        clock.advance(minutes=1)
        assert post_token(client, token).status_code == 401


TURNED_AWAY = {
    "given away": ({}, {"repository_owner_id": "666"}, 403, "repo-transferred"),
    "nobody enrolled it": ({}, {"repository_id": "4711"}, 401, "not-authenticated"),
    "nobody enrolled the account": ({}, {"repository_id": "4711", "repository_owner_id": "4"}, 401, "not-authenticated"),
    "another workflow": ({"workflows": [".github/workflows/coven.yml@refs/heads/main"]},
                         {"workflow_ref": "acme/billing/.github/workflows/evil.yml@refs/heads/main"}, 403, "run-not-admitted"),
    "the workflow on another branch": ({"workflows": [".github/workflows/coven.yml@refs/heads/main"]},
                                       {"workflow_ref": "acme/billing/.github/workflows/coven.yml@refs/heads/x",
                                        "job_workflow_ref": ...}, 403, "run-not-admitted"),
    "another environment": ({"environments": ["coven"]}, {"environment": "prod"}, 403, "run-not-admitted"),
    "no environment": ({"environments": ["coven"]}, {}, 403, "run-not-admitted"),
    "another event": ({"events": ["issues"]}, {"event_name": "push"}, 403, "run-not-admitted"),
    "a list of nothing": ({"refs": []}, {}, 403, "run-not-admitted"),
    "a runner of their own": ({"runner_environments": ["github-hosted"]}, {"runner_environment": "self-hosted"},
                              403, "run-not-admitted"),
}  # fmt: skip


@ON_BOTH_SLOWLY
@pytest.mark.parametrize(("rules", "claims", "status", "code"), TURNED_AWAY.values(), ids=TURNED_AWAY)
def test_a_run_is_turned_away_by_what_was_enrolled(client, clock, deployment, admin, rules, claims, status, code):
    deployment.enrol(501, "acme", 1001, "billing", rules=rules)

    answer = post_token(client, make_token(clock(), **claims))

    assert (answer.status_code, answer.json()["code"]) == (status, code)
    opened = [e for e in client.get("/v1/audit", headers=admin).json()["entries"] if e["action"] == "session.open"]
    assert opened == []


@ON_BOTH_SLOWLY
def test_who_follows_the_rules_is_admitted(client, clock, deployment):
    rules = {
        "workflows": [".github/workflows/coven.yml@refs/heads/main"],
        "environments": ["coven"],
        "events": ["issues"],
    }
    deployment.enrol(501, "acme", 1001, "billing", rules=rules)

    assert open_session(client, clock(), environment="coven").document["tier"] == "T1"


@ON_BOTH_SLOWLY
def test_a_suspended_repository_opens_nothing_until_it_is_released(client, clock, admin):
    ask(client, "POST", "/v1/repositories/1001:suspend", {}, admin)
    answer = post_token(client, make_token(clock()))
    ask(client, "POST", "/v1/repositories/1001:release", {}, admin)

    assert (answer.status_code, answer.json()["code"]) == (403, "repository-suspended")
    open_session(client, clock())


@ON_BOTH_SLOWLY
def test_an_issuer_that_speaks_for_one_account_opens_nothing_of_another(deployment, clock, tenant, other_tenant):
    verifier = TokenVerifier([Issuer(ISSUER, 502)], audience=LOCAL_URL, fetch=answer_keys, clock=clock)
    keys = Keys(deployment.signer, verifier)
    app = create_app(deployment.settings, store=deployment.store, keys=keys, clock=clock, ids=deployment.ids)
    with Client(app, deployment.runner) as client:
        assert post_token(client, make_token(clock())).status_code == 401
        foreign = {"repository_owner_id": "502", "repository_id": "2001"}
        assert open_session(client, clock(), **foreign).document["tenant_id"] == other_tenant


# --- the runs witness the log


@ON_BOTH_SLOWLY
def test_a_run_is_told_whether_the_log_still_says_what_another_run_saw(client, clock):
    first = open_session(client, clock(), run_id="1").document
    second = post_token(client, make_token(clock(), run_id="2"), {"witness": first["witness"]}).json()
    third = post_token(client, make_token(clock(), run_id="3"), {"witness": first["witness"]}).json()

    assert [each["witnessed"] for each in (first, second, third)] == ["first", "consistent", "consistent"]
    assert third["witness"]["seq"] > second["witness"]["seq"] > first["witness"]["seq"]


GENESIS = {"seq": 0, "head": "0" * 64}


@ON_BOTH_SLOWLY
@pytest.mark.parametrize(
    ("change", "verdict"),
    [
        ({"head": "f" * 64}, "diverged"),
        ({"seq": 10_000}, "diverged"),
        ({"seq": 2**53 - 1}, "diverged"),
        ({"head": ""}, "diverged"),
        ({"seq": 1}, "diverged"),
    ],
)
def test_a_head_that_the_log_never_had_is_told(client, clock, change, verdict):
    witness = open_session(client, clock()).document["witness"]

    answer = post_token(client, make_token(clock(), run_id="2"), {"witness": {**witness, **change}})

    assert (answer.status_code, answer.json()["witnessed"]) == (201, verdict)


@ON_BOTH_SLOWLY
def test_a_rewritten_history_is_seen_by_the_next_run(client, clock, deployment, tenant, admin):
    """Whoever holds the database changes a row and hashes everything after it anew: the head at the number is another."""
    seen = open_session(client, clock(), run_id="1").document["witness"]
    columns = schema.audit.c
    rewritten = update(schema.audit).where(columns.tenant_id == tenant, columns.sequence == seen["seq"])
    deployment.write(tenant, lambda transaction: transaction.execute(rewritten.values(actor="nobody", hash="e" * 64)))

    answer = post_token(client, make_token(clock(), run_id="2"), {"witness": seen})

    assert (answer.status_code, answer.json()["witnessed"]) == (201, "diverged"), "said loudly, and the run goes on"
    entries = client.get("/v1/audit", headers=admin).json()["entries"]
    assert [entry["detail"]["witnessed"] for entry in entries if entry["action"] == "session.open"][-1] == "diverged"


@ON_BOTH_SLOWLY
def test_a_log_that_was_cut_short_is_seen_by_the_next_run(client, clock, deployment, tenant):
    from sqlalchemy import delete

    seen = open_session(client, clock(), run_id="1").document["witness"]
    cut = delete(schema.audit).where(schema.audit.c.tenant_id == tenant, schema.audit.c.sequence >= seen["seq"])

    def shorten(transaction):
        transaction.execute(cut)
        transaction.heads.audit_sequence = seen["seq"] - 1

    deployment.write(tenant, shorten)

    assert post_token(client, make_token(clock(), run_id="2"), {"witness": seen}).json()["witnessed"] == "diverged"


# --- keys of writes are one's own


@ON_BOTH
def test_a_run_that_takes_another_runs_key_is_not_told_its_answer_nor_in_its_way(client, clock):
    """A pull request's run can guess the key by which another run will say that it has finished."""
    victim, thief = (open_session(client, clock(), run_id=run_id) for run_id in ("1", "2"))
    finish = {"state": "done", "links": {"pull_request": "https://github.example/pull/1"}}
    for session in (victim, thief):
        session.report()

    early = thief.send("POST", "/v1/runs/self/finish", {"state": "failed"}, key="1001:1:1:finish:publish")
    told = victim.send("POST", "/v1/runs/self/finish", finish, key="1001:1:1:finish:publish")

    assert (early.status_code, told.status_code) == (200, 200)
    assert (told.json()["run_id"], told.json()["state"]) == (1, "done")
    assert "idempotency-replayed" not in told.headers
