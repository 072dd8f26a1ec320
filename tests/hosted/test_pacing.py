"""Rates of accounts and runs, and what no rate, no cap and no full disk refuses."""

import asyncio
import re

import pytest
from fastapi.routing import APIRoute

from coven_action.core.endpoint.caps import NEVER_REFUSED, TIERS, Caps
from coven_action.hosted.app import ROUTERS
from coven_action.hosted.disk import Disk
from coven_action.hosted.pacing import (
    AT_WORK,
    CAPS_SECONDS,
    MAX_BUCKETS,
    MAX_HELD,
    Door,
    Pacer,
    Pacing,
    is_kept,
    needs_space,
)
from coven_action.hosted.services.policies import record_tiers, set_caps
from coven_action.hosted.settings import Settings
from coven_action.hosted.store.commands import StoreUnavailable
from tests.hosted.databases import POSTGRESQL
from tests.hosted.deployment import make_person, make_run, make_token, open_session

PARAMETERS = {"memory_id": "mem_1", "number": "1", "export_id": "exp_1", "repository_id": "1001"}
ROUTES = sorted(
    (method, route.path)
    for router in ROUTERS
    for route in router.routes
    if isinstance(route, APIRoute) and route.path.startswith("/v1/")
    for method in route.methods
)
ROUTES.sort(key=lambda route: route == ("DELETE", "/v1/session"))  # the last one: it ends the session
# What `NEVER_REFUSED` means, route by route: named here once more, so that neither can lose one unnoticed.
KEPT = {
    "finish": {
        ("POST", "/v1/runs/self/finish"),
        ("POST", "/v1/relay"),
        ("POST", "/v1/session"),
        ("DELETE", "/v1/session"),
    },
    "uses": {("POST", "/v1/runs/self/uses"), ("GET", "/v1/memory/{memory_id}/uses")},
    "revoke": {("POST", "/v1/memory:revoke"), ("POST", "/v1/memory/{memory_id}:revoke")},
    "approve": {("POST", "/v1/memory/{memory_id}:approve")},
    "reject": {("POST", "/v1/memory/{memory_id}:reject")},
    "export": {("POST", "/v1/exports"), ("GET", "/v1/exports/{export_id}")},
    "erase": {("POST", "/v1/memory/{memory_id}:erase")},
    "audit": {("GET", "/v1/audit"), ("GET", "/v1/audit/head")},
}
KEPT_ROUTES = set().union(*KEPT.values())
WRITES_ON_A_FULL_DISK = KEPT["revoke"] | KEPT["erase"] | {("POST", "/v1/exports")}


class Ticks:
    """A clock that goes on when the test says so."""

    def __init__(self):
        self.now = 1000.0

    def __call__(self):
        return self.now


@pytest.fixture
def ticks(client):
    """The started application, held to its rates; the clock stands still until the test moves it."""
    ticks = Ticks()
    client.app.state.endpoint.pacer = Pacer(ticks=ticks, pause=0)
    return ticks


def fill_path(path):
    return re.sub(r"\{(\w+)\}", lambda match: PARAMETERS[match[1]], path)


def ask(client, clock, route, headers):
    """Ask for a route with everything a request needs but a document that says something."""
    method, path = route
    if route == ("POST", "/v1/session"):
        headers = {"Authorization": f"Bearer {make_token(clock())}"}
    needed = {**headers, "Idempotency-Key": "k", "If-Match": '"1"'}
    return client.request(method, fill_path(path), headers=needed, **({} if method == "GET" else {"json": {}}))


def spend(client, headers, path="/v1/runs"):
    """Ask until the rate is used up, and return how often that was answered."""
    for asked in range(1000):
        if client.get(path, headers=headers).status_code == 429:
            return asked
    raise AssertionError("nobody was refused")


@pytest.fixture
def principals(client, clock, admin, ticks):
    """The headers of a run and of a person of an account that has asked as much as it may."""
    session = open_session(client, clock())
    assert session.report().status_code == 200
    spend(client, admin)
    return [session.headers, admin]


# --- what is never refused


def test_every_promise_has_its_routes_and_every_route_is_known():
    assert KEPT.keys() == NEVER_REFUSED
    assert set(ROUTES) >= KEPT_ROUTES
    assert {(method, path) for method, path in ROUTES if is_kept(fill_path(path))} == KEPT_ROUTES


def test_no_rate_refuses_what_ends_takes_back_or_shows(client, clock, principals):
    told = {route: {ask(client, clock, route, headers).status_code for headers in principals} for route in ROUTES}

    assert {route for route, statuses in told.items() if statuses != {429}} == KEPT_ROUTES
    assert {route for route, statuses in told.items() if 429 not in statuses} == KEPT_ROUTES


def test_a_run_ends_reports_and_has_its_uses_taken_whatever_the_account_has_used(client, clock, deployment, tenant):
    """Every cap is used up and the rate as well: the run ends as if nothing were."""
    session = open_session(client, clock())
    assert session.report().json()["decision"] == "granted"
    nothing = {"tasks_per_day": 0, "concurrent_runs": 0, "familiars": 0, "memory_entries": 0}
    deployment.write(
        tenant, lambda transaction: set_caps(transaction, "operator", None, {**nothing, "requests_per_minute": 1})
    )
    client.app.state.endpoint.pacer = Pacer(ticks=Ticks(), pause=0)
    for _ in range(40):
        session.append("one")

    assert session.append("two").status_code == 429
    assert session.send("POST", "/v1/runs/self/uses", {"uses": []}).status_code in {200, 202}
    assert session.send("POST", "/v1/runs/self/finish", {"state": "done"}).status_code == 200


# --- rates


def test_who_asks_too_much_is_told_when_to_come_again(client, admin, ticks):
    assert spend(client, admin) == 30
    answer = client.get("/v1/runs", headers=admin)

    assert answer.status_code == 429
    assert (answer.json()["code"], answer.headers["Retry-After"]) == ("too-many-requests", "1")
    ticks.now += 1
    assert spend(client, admin) == 10


def test_one_account_s_flood_leaves_the_other_its_own(client, admin, ticks, tenant, other_tenant):
    of_acme, of_globex = ({**admin, "Coven-Tenant": str(number)} for number in (tenant, other_tenant))
    spend(client, of_acme)

    assert spend(client, of_globex) == 30


def test_one_run_s_flood_leaves_the_account_its_rest(client, clock, admin, ticks):
    session = open_session(client, clock(), run_id="5")
    other = open_session(client, clock(), run_id="6")

    assert spend(client, session.headers) == 20
    # The page of runs is none of a run's; what counts is that it was asked at all.
    assert client.get("/v1/runs", headers=other.headers).status_code == 403
    # The one that was refused has taken nothing of the account's.
    assert spend(client, admin) == 30 - 20 - 1


def test_the_refusals_are_counted_and_name_nobody(client, admin, ticks):
    spend(client, admin)

    metrics = client.get("/metrics").text

    assert 'coven_requests_refused_total{reason="too-many-requests"} 1.0' in metrics
    assert "acme" not in metrics


def test_a_body_is_not_even_read_of_who_asks_too_much(client, admin, ticks):
    spend(client, admin)

    answer = client.put("/v1/tenants/self/policy", headers=admin, content=b"{")

    assert answer.status_code == 429


def test_whoever_is_nobody_is_nobody_also_here(client, ticks):
    assert {client.get("/v1/runs").status_code for _ in range(200)} == {401}


def test_health_is_not_paced(client, admin, ticks):
    spend(client, admin)

    assert {client.get("/readyz").status_code for _ in range(150)} == {200}


def test_another_tier_holds_within_a_minute(client, deployment, tenant, admin, ticks):
    spend(client, admin)
    deployment.write(tenant, lambda transaction: set_caps(transaction, "operator", "dedicated", {}))
    assert client.get("/v1/runs", headers=admin).status_code == 429

    ticks.now += CAPS_SECONDS + 1
    assert {client.get("/v1/runs", headers=admin).status_code for _ in range(200)} == {200}


@pytest.mark.parametrize("database", [POSTGRESQL], indirect=True)
def test_where_every_request_reads_its_session_the_caps_come_along(
    client, clock, deployment, tenant, ticks, monkeypatch
):
    session = open_session(client, clock())
    store, reads = deployment.store, []
    read = store.read
    monkeypatch.setattr(store, "read", lambda *asked: reads.append(asked[0]) or read(*asked))

    statuses = []
    for _ in range(5):
        ticks.now += CAPS_SECONDS / 2 + 1
        statuses.append(session.send("POST", "/v1/runs/self/uses", {"uses": []}).status_code)
        deployment.write(
            tenant, lambda transaction: set_caps(transaction, "operator", None, {"run_requests_per_minute": 777})
        )

    assert (len(set(statuses)), reads) == (1, [tenant] * 5)
    assert client.app.state.endpoint.pacer._caps[tenant][0].run_requests_per_minute == 777
    # A token that is none has the caps read for nobody.
    client.app.state.endpoint.pacer = Pacer(ticks=ticks, pause=0)
    assert (
        client.get("/v1/policy", headers={"Authorization": session.headers["Authorization"][:-1] + "-"}).status_code
        == 401
    )
    assert client.app.state.endpoint.pacer._caps == {}


def test_replicas_share_a_rate():
    ticks = Ticks()
    pacer = Pacer(4, ticks)
    caps = Caps(requests_per_minute=600)

    assert [pacer.take(make_person(1), caps) for _ in range(20)].count(0) == 7


def test_the_buckets_do_not_grow_without_end():
    pacer = Pacer(1, Ticks())
    caps = Caps(run_requests_per_minute=60)
    for number in range(MAX_BUCKETS + 10):
        pacer.take(make_run(1, run_id=number), caps)
        pacer.note_caps(number, caps)

    assert len(pacer._buckets) == len(pacer._caps) == MAX_BUCKETS
    assert not pacer.want_caps(MAX_BUCKETS + 9)
    assert pacer.want_caps(0)


def test_a_database_that_cannot_say_the_caps_paces_nobody(client, admin, ticks, monkeypatch):
    """The request meets the same database, and is told by it."""
    endpoint = client.app.state.endpoint

    class Gone:
        async def read(self, tenant_id, work):
            raise StoreUnavailable("database-failed")

    caps = client._runner.run(endpoint.pacer.find_caps(Gone(), 7))

    assert caps == Caps()
    # What was known of an account before is better than nothing.
    assert client.get("/v1/runs", headers=admin).status_code == 200
    ticks.now += CAPS_SECONDS + 1
    assert client._runner.run(endpoint.pacer.find_caps(Gone(), 1)) == TIERS["open"]


# --- at the door


class Worker:
    """An application that answers when the test lets it, and notes how many requests it works on."""

    def __init__(self):
        self.working, self.most, self.begun = 0, 0, []
        self.go_on = asyncio.Event()

    async def __call__(self, scope, receive, send):
        self.working += 1
        self.most = max(self.most, self.working)
        self.begun.append(scope["number"])
        try:
            await self.go_on.wait()
            if scope["number"] == "fails":
                raise RuntimeError
            await send({"type": "http.response.start", "status": 200, "headers": []})
            await send({"type": "http.response.body", "body": b""})
        finally:
            self.working -= 1


@pytest.fixture
def worker():
    return Worker()


@pytest.fixture
def pacing(client, worker, deployment, tenant, other_tenant):
    """Before the worker, for two accounts without a rate whose caps are known."""
    endpoint = client.app.state.endpoint
    endpoint.pacer = Pacer(ticks=Ticks(), pause=0)
    for number in (tenant, other_tenant):
        deployment.write(number, lambda transaction: set_caps(transaction, "operator", "dedicated", {}))
        deployment.runner.run(endpoint.pacer.find_caps(endpoint.store, number))
    return Pacing(worker, endpoint)


def begin(pacing, number, *, tenant_id=1, path="/v1/runs", told=None):
    """Begin a request of an account as a task; `told` gets the statuses of the answers."""

    async def send(message):
        if message["type"] == "http.response.start" and told is not None:
            told.append(message["status"])

    state = {"principal": make_person(tenant_id)}
    scope = {"type": "http", "method": "GET", "path": path, "state": state, "number": number}
    return asyncio.ensure_future(pacing(scope, None, send))


async def settle(rounds=50):
    for _ in range(rounds):
        await asyncio.sleep(0)


def test_only_some_of_an_account_s_requests_are_worked_on_and_the_next_ones_come_in_turn(client, pacing, worker):
    async def work():
        tasks = [begin(pacing, number) for number in range(AT_WORK * 3)]
        await settle()
        assert worker.working == AT_WORK
        worker.go_on.set()
        await asyncio.gather(*tasks)

    client._runner.run(work())

    assert worker.most == AT_WORK
    assert sorted(worker.begun) == list(range(AT_WORK * 3))
    assert worker.begun[AT_WORK:] == sorted(worker.begun[AT_WORK:])


def test_nobody_waits_behind_another_account(client, pacing, worker, tenant, other_tenant):
    async def work():
        tasks = [begin(pacing, number) for number in range(AT_WORK * 2)]
        await settle()
        tasks.append(begin(pacing, "other", tenant_id=other_tenant))
        await settle()
        worker.go_on.set()
        await asyncio.gather(*tasks)

    client._runner.run(work())

    assert worker.most == AT_WORK + 1


def test_who_fails_or_goes_gives_the_place_to_the_next(client, pacing, worker):
    async def work():
        first = [begin(pacing, "fails") for _ in range(AT_WORK)]
        await settle()
        waiting = [begin(pacing, number) for number in range(6)]
        await settle()
        for number in (0, 1, 4):
            waiting[number].cancel()
        worker.go_on.set()
        # One more is cancelled in the very moment in which it is given a place.
        first[0].add_done_callback(lambda _: waiting[2].cancel())
        return await asyncio.gather(*first, *waiting, return_exceptions=True)

    ended = client._runner.run(work())

    assert [type(each) for each in ended[:AT_WORK]] == [RuntimeError] * AT_WORK
    assert {3, 5} <= set(worker.begun)
    assert {0, 1, 4}.isdisjoint(worker.begun)
    door = pacing._endpoint.pacer.door
    assert (door._working, door._waiting, door._held) == ({}, {}, {})


def test_who_is_given_a_place_and_goes_passes_it_on():
    """The place is given, and taken by nobody: the next one has it, or nobody would ever again."""

    async def work():
        door = Door()
        for _ in range(AT_WORK):
            await door.enter(1)
        gone, next_one = (asyncio.ensure_future(door.enter(1)) for _ in range(2))
        await settle()
        door.leave(1)
        gone.cancel()
        await settle()
        assert gone.cancelled()
        assert next_one.done()
        for _ in range(AT_WORK):
            door.leave(1)
        return door._working, door._waiting, door._held

    with asyncio.Runner() as runner:
        assert runner.run(work()) == ({}, {}, {})


def test_more_than_may_wait_are_told_to_come_again_but_for_what_is_never_refused(client, pacing, worker):
    told, kept = [], []

    async def work():
        tasks = [begin(pacing, number) for number in range(AT_WORK + MAX_HELD)]
        await settle()
        assert len(pacing._endpoint.pacer.door._waiting[1]) == MAX_HELD
        await begin(pacing, "too many", told=told)
        tasks.append(begin(pacing, "kept", path="/v1/audit", told=kept))
        await settle()
        worker.go_on.set()
        await asyncio.gather(*tasks)

    client._runner.run(work())

    assert told == [503]
    assert kept == [200]
    assert "too many" not in worker.begun


def test_an_answer_that_is_still_being_sent_holds_no_place(client, pacing):
    sending = asyncio.Event()

    async def stream(scope, receive, send):
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await sending.wait()

    slow = Pacing(stream, pacing._endpoint)

    async def work():
        told = []
        tasks = [begin(slow, number, told=told) for number in range(AT_WORK * 3)]
        await settle()
        assert told == [200] * AT_WORK * 3
        sending.set()
        await asyncio.gather(*tasks)

    client._runner.run(work())


def test_refusals_are_held_back_each_for_another_while():
    pacer = Pacer(pause=0.5)
    pauses = [pacer.choose_pause() for _ in range(128)]

    assert min(pauses) >= 0.25
    assert max(pauses) <= 0.75
    # However they are cut into intervals, none holds much more than its share.
    shares = [sum(1 for pause in pauses if 0.25 + n / 32 <= pause < 0.25 + (n + 1) / 32) for n in range(16)]
    assert max(shares) <= 10


def test_a_deployment_s_own_rate_holds(client, deployment, admin):
    settings = Settings.model_validate({"tiers": {"open": {"requests_per_minute": 120}}})
    deployment.write(0, lambda transaction: record_tiers(transaction, settings.tiers.build()))
    client.app.state.endpoint.pacer = Pacer(ticks=Ticks(), pause=0)

    assert spend(client, admin) == 20


# --- a disk that is nearly full


@pytest.fixture
def free(client):
    """The free share of the disk, as a list whose one element the test replaces."""
    free = [0.5]
    client.app.state.endpoint.disk = Disk(0.05, lambda: free[0])
    return free


def test_on_a_full_disk_everything_is_shown_exported_revoked_and_erased(client, clock, admin, free):
    session = open_session(client, clock())
    free[0] = 0.04
    told = {
        route: {
            (answer.status_code, answer.headers.get("Retry-After"))
            for answer in (ask(client, clock, route, headers) for headers in (session.headers, admin))
        }
        for route in ROUTES
    }

    answered = {route for route, answers in told.items() if 507 not in dict(answers)}
    assert answered == {route for route in ROUTES if route[0] == "GET"} | WRITES_ON_A_FULL_DISK
    assert {frozenset(told[route]) for route in ROUTES if route not in answered} == {frozenset({(507, "60")})}


def test_it_goes_on_by_itself_once_there_is_space(client, clock, free):
    session = open_session(client, clock())
    answers = []
    for share in (0.06, 0.049, 0.055, 0.0601):
        free[0] = share
        answers.append((session.report().status_code, client.get("/readyz").json()["status"]))

    # A little more than the limit has to be free, so that it does not change with every write.
    assert answers == [(200, "ready"), (507, "read-only"), (507, "read-only"), (200, "ready")]


def test_health_and_figures_show_it(client, free):
    free[0] = 0.01

    assert client.get("/readyz").status_code == 200, "it still answers, and is not to be taken from behind its proxy"
    metrics = client.get("/metrics").text
    assert "coven_disk_free_ratio 0.01" in metrics
    assert "coven_read_only 1.0" in metrics


def test_an_export_is_made_on_a_full_disk(client, admin, free):
    free[0] = 0.0
    asked = client.post("/v1/exports", headers={**admin, "Idempotency-Key": "k"}, json={"reason": "moving"})

    assert asked.status_code == 201
    assert client.get(f"/v1/exports/{asked.json()['export_id']}", headers=admin).text.count("\n") > 2


@pytest.mark.parametrize(
    ("method", "path", "needs"),
    [
        ("GET", "/v1/runs", False),
        ("HEAD", "/v1/runs", False),
        ("POST", "/v1/memory/x/y:erase", True),
        ("POST", "/v1/memory/mem_1:erase/", True),
        ("POST", "/v1/memory:erase", True),
        ("POST", "/v1/exports/x", True),
    ],
)
def test_a_path_that_is_only_like_one_that_is_kept_is_not_kept(method, path, needs):
    assert needs_space(method, path) is needs
