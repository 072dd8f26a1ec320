"""Suspending an account or a repository ends the sessions of its runs at once, whoever does it and whoever keeps them."""

import itertools
import shutil

import pytest
from click.testing import CliRunner

from coven_action.cli.main import cli
from coven_action.errors import DocumentError
from coven_action.hosted.ended_sessions import EndedSessions, find_mark, mark_ended
from coven_action.hosted.services.suspension import change_account_status
from coven_action.hosted.store.commands import Command
from coven_action.hosted.store.migrations import upgrade
from coven_action.hosted.store.sqlite import open_writer
from tests.hosted.databases import ON_BOTH
from tests.hosted.deployment import make_token, open_session

_numbers = itertools.count(1)


@pytest.fixture(scope="module")
def migrated(tmp_path_factory):
    """A database that knows its version, as the commands ask for."""
    path = tmp_path_factory.mktemp("migrated") / "coven.db"
    engine = open_writer(path)
    upgrade(engine)
    engine.dispose()
    return path


@pytest.fixture
def data(tmp_path, migrated):
    return shutil.copy(migrated, tmp_path / "coven.db")


def operate(data, *command):
    """Run a command of the operator's beside the server; it opens the database by itself."""
    result = CliRunner().invoke(cli, ["admin", *command, "--data", str(data)])
    assert result.exit_code == 0, result.output
    return result.output


def ask_policy(session):
    return session.send("GET", "/v1/policy").status_code


def ask(client, admin, path):
    headers = {**admin, "Idempotency-Key": f"admin-{next(_numbers)}", "Coven-Tenant": "acme"}
    answer = client.post(path, json={}, headers=headers)
    assert answer.status_code == 200, answer.text


def test_an_operators_command_ends_the_sessions_that_a_running_server_keeps_at_hand(
    client, clock, data, admin, other_tenant
):
    own = open_session(client, clock())
    foreign = open_session(client, clock(), repository_owner_id="502", repository_id="2001")
    assert (ask_policy(own), ask_policy(foreign)) == (200, 200)

    operate(data, "suspend", "--account", "acme", "--reason", "asked by its owner")

    assert ask_policy(own) == 401
    assert own.send("POST", "/v1/runs/self/finish", {"state": "done"}).status_code == 401
    assert ask_policy(foreign) == 200
    refused = client.post("/v1/session", headers={"Authorization": f"Bearer {make_token(clock())}"}, json={})
    assert (refused.status_code, refused.json()["code"]) == (403, "repository-suspended")
    people = client.get("/v1/audit", headers={**admin, "Coven-Tenant": "acme"})
    assert people.json()["entries"][-1]["action"] == "account.suspended"


def test_a_release_lets_runs_open_new_sessions_and_gives_no_old_one_back(client, clock, data):
    before = open_session(client, clock())
    operate(data, "suspend", "--account", "acme")

    operate(data, "release", "--account", "acme")

    assert ask_policy(before) == 401
    assert ask_policy(open_session(client, clock(), run_id="2")) == 200


def test_a_session_that_nobody_has_asked_for_yet_is_ended_too(client, clock, data):
    session = open_session(client, clock())

    operate(data, "suspend", "--account", "acme")

    assert ask_policy(session) == 401


def test_a_clock_that_is_set_back_opens_none_of_them_again(client, clock, deployment, tenant):
    session = open_session(client, clock())
    clock.advance(minutes=16)
    assert deployment.write(tenant, lambda transaction: change_account_status(transaction, "o", "suspended", "")) == 0
    deployment.write(tenant, lambda transaction: change_account_status(transaction, "o", "active", ""))

    clock.advance(minutes=-10)

    assert ask_policy(session) == 401


@ON_BOTH
def test_both_databases_end_the_sessions_of_the_account_alone(client, clock, deployment, tenant, other_tenant):
    sessions = [open_session(client, clock(), run_id=str(number)) for number in (1, 2)]
    foreign = open_session(client, clock(), repository_owner_id="502", repository_id="2001")

    ended = deployment.write(tenant, lambda transaction: change_account_status(transaction, "o", "suspended", ""))
    client.app.state.endpoint.ended.note()

    assert ended == 2
    assert [ask_policy(session) for session in (*sessions, foreign)] == [401, 401, 200]


def test_a_repository_that_is_suspended_ends_its_own_sessions_and_no_others(client, clock, deployment, tenant, admin):
    deployment.enrol(501, "acme", 1002, "shop")
    own, sibling = open_session(client, clock()), open_session(client, clock(), repository_id="1002")
    assert (ask_policy(own), ask_policy(sibling)) == (200, 200)

    ask(client, admin, "/v1/repositories/1001:suspend")

    assert (ask_policy(own), ask_policy(sibling)) == (401, 200)
    ask(client, admin, "/v1/repositories/1001:release")
    assert ask_policy(own) == 401
    entries = client.get("/v1/audit", headers=admin).json()["entries"]
    assert [e["detail"]["sessions"] for e in entries if e["action"] == "repository.suspended"] == [1]


def interrupt(store, mocker, work):
    """Do something between what a request reads first and what it does with that."""
    read, done = store.read, []

    async def read_late(tenant_id, service):
        found = await read(tenant_id, service)
        if not done:
            done.append(True)
            await work()
        return found

    mocker.patch.object(store, "read", read_late)
    return done


def test_a_session_that_is_read_while_its_account_is_suspended_is_not_kept(client, clock, store, tenant, mocker):
    session = open_session(client, clock())
    client.app.state.endpoint.sessions.clear()

    async def suspend():
        await store.write(Command(tenant, lambda transaction: change_account_status(transaction, "o", "suspended", "")))
        client.app.state.endpoint.ended.note()

    done = interrupt(store, mocker, suspend)

    assert (ask_policy(session), done) == (401, [True])
    assert ask_policy(session) == 401


def test_a_run_that_is_admitted_while_its_account_is_suspended_gets_no_session(client, clock, store, tenant, mocker):
    async def suspend():
        await store.write(Command(tenant, lambda transaction: change_account_status(transaction, "o", "suspended", "")))

    done = interrupt(store, mocker, suspend)
    answer = client.post("/v1/session", headers={"Authorization": f"Bearer {make_token(clock())}"}, json={})

    assert (answer.status_code, answer.json()["code"], done) == (403, "repository-suspended", [True])


# --- the mark beside the database


def test_each_end_changes_the_mark_for_whoever_looks(tmp_path):
    ended = EndedSessions(tmp_path / "coven.db")
    marks = [ended.read()]
    for tell in (lambda: mark_ended(tmp_path / "coven.db"), ended.note) * 2:
        tell()
        marks.append(ended.read())

    assert len(set(marks)) == 5
    assert ended.read() == marks[-1]


def test_where_the_database_is_elsewhere_only_this_process_counts():
    ended = EndedSessions(None)
    before = ended.read()
    ended.note()

    assert ended.read() != before


def test_only_the_owner_may_tell(tmp_path):
    mark_ended(tmp_path / "coven.db")

    assert find_mark(tmp_path / "coven.db").stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize("obstacle", ["no folder", "a link", "a folder in its place"])
def test_a_mark_that_cannot_be_made_is_said(tmp_path, obstacle):
    data = tmp_path / "sub" / "coven.db"
    if obstacle != "no folder":
        data.parent.mkdir()
    if obstacle == "a link":
        find_mark(data).symlink_to(tmp_path / "other")
    if obstacle == "a folder in its place":
        find_mark(data).mkdir()

    with pytest.raises(DocumentError) as refused:
        mark_ended(data)

    assert refused.value.code == "sessions-not-told"
    assert not (tmp_path / "other").exists()
