"""`coven-action admin usage`, `sweep` and `reseal` on a real database."""

import csv
import io
import json
from datetime import UTC, datetime, timedelta

import pytest
from click.testing import CliRunner
from sqlalchemy import insert, update

from coven_action.cli.admin_operations import _disarm
from coven_action.cli.main import cli
from coven_action.errors import Error
from coven_action.hosted.moving import summarise_account
from coven_action.hosted.operating import open_database
from coven_action.hosted.server import hold_database
from coven_action.hosted.services.memory_policy import read_versioned
from coven_action.hosted.services.reseal import find_reseals
from coven_action.hosted.store import schema
from coven_action.hosted.store.transaction import MeterKey
from tests.commands import run

TODAY = datetime.now(UTC)


@pytest.fixture
def data(tmp_path):
    path = tmp_path / "coven.db"
    run("enrol", "--data", path, "--account", "acme", "--account-id", "501", "--memory")
    run("enrol", "--data", path, "--account", "globex", "--account-id", "502")
    return path


def count(data, tenant_id, days_ago, amount, familiar="sage"):
    def work(transaction):
        transaction.meter(MeterKey(0, 1001, familiar, "fix"), "events", amount)
        transaction.append_audit(actor="a", action="b", subject="c", detail={})

    with open_database(data, clock=lambda: TODAY - timedelta(days=days_ago)) as database:
        database.write(tenant_id, work)


# --- usage


@pytest.fixture
def used(data):
    """What two accounts have used today, yesterday, and forty days ago."""
    count(data, 1, 0, 3)
    count(data, 1, 1, 4, familiar="rowan")
    count(data, 1, 40, 5)
    count(data, 2, 0, 6)
    return data


def read_csv(output):
    return [tuple(row.values()) for row in csv.DictReader(io.StringIO(output))]


def day(days_ago):
    return (TODAY - timedelta(days=days_ago)).strftime("%Y-%m-%d")


def test_usage_of_every_account_is_a_table_of_the_last_month(used):
    output = run("admin", "usage", "--data", used).output

    assert output.splitlines()[0] == "account_id,account,day,measure,amount"
    assert read_csv(output) == [
        ("501", "acme", day(1), "events", "4"),
        ("501", "acme", day(0), "events", "3"),
        ("502", "globex", day(0), "events", "6"),
    ]


def test_usage_is_grouped_as_asked_for_and_of_one_account(used):
    output = run(
        "admin", "usage", "--data", used, "--account", "acme", "--group", "familiar,repo", "--since", day(40)
    ).output

    assert read_csv(output) == [
        ("501", "acme", "rowan", "1001", "events", "4"),
        ("501", "acme", "sage", "1001", "events", "8"),
    ]


def test_usage_is_one_object_a_line(used):
    lines = run("admin", "usage", "--data", used, "--json", "--group", "", "--until", day(1)).output.splitlines()

    assert [json.loads(line) for line in lines] == [
        {"account_id": 501, "account": "acme", "measure": "events", "amount": 4}
    ]


@pytest.mark.parametrize(
    "wrong",
    [["--group", "person"], ["--since", "yesterday"], ["--since", "2026-11-02", "--until", "2026-11-01"]],
    ids=" ".join,
)
def test_usage_that_cannot_be_told_is_wrong_usage(used, wrong):
    assert run("admin", "usage", "--data", used, *wrong).exit_code == 2


@pytest.mark.parametrize("value", ["=1+1", "+1", "-1", "@cmd", "\tx", "\rx"])
def test_no_value_becomes_a_formula(value):
    assert _disarm(value) == f"'{value}"
    assert _disarm(value.strip("=+-@\t\r")) == value.strip("=+-@\t\r")
    assert _disarm(-1) == -1


# --- sweep


def test_a_sweep_takes_what_is_past_its_time_and_says_so(data):
    def remember(transaction):
        for number in range(1200):
            row = {"tenant_id": 1, "jti_sha256": f"{number:064x}", "expires_at": 1}
            transaction.execute(insert(schema.jti_seen).values(row))

    with open_database(data) as database:
        database.write(1, remember)

    assert run("admin", "sweep", "--data", data).output == "acme: 1200 tokens\nglobex: nothing\n"
    assert run("admin", "sweep", "--data", data).output == "acme: nothing\nglobex: nothing\n"


def test_a_sweep_goes_on_after_an_account_that_it_cannot_take_and_names_it(data):
    """The first account's caps cannot be read; nothing of what stands in its row is repeated."""
    with open_database(data) as database:
        row = {"tenant_id": 2, "jti_sha256": "0" * 64, "expires_at": 1}
        database.write(2, lambda transaction: transaction.execute(insert(schema.jti_seen).values(row)))
        unread = {
            "tenant_id": 1,
            "kind": "caps",
            "version": 9,
            "document": {"history_days": "a secret"},
            "actor": "",
            "at": 1,
        }
        database.write(1, lambda transaction: transaction.execute(insert(schema.policies).values(unread)))

    failed = CliRunner().invoke(cli, ["admin", "sweep", "--data", str(data)])

    assert failed.exception.code == "sweep-incomplete"
    assert failed.exception.message == "Not swept: acme."
    assert "globex: 1 tokens\n" in failed.output
    assert "acme: failed: ValidationError\n" in failed.output
    assert "secret" not in failed.output


# --- reseal


def test_a_database_that_was_restored_otherwise_says_so(data):
    said = run("admin", "reseal", "--data", data).output

    assert "account 1: row " in said
    assert "memory is off" in said
    with open_database(data) as database:
        (stated,) = database.read(1, find_reseals)
        assert stated.origin.made_at is None
        assert not database.read(1, read_versioned).policy.enabled


def test_memory_is_left_on_where_that_is_asked_for(data):
    run("admin", "reseal", "--data", data, "--keep-memory")

    with open_database(data) as database:
        assert database.read(1, read_versioned).policy.enabled


def forge_actor(data):
    count(data, 2, 0, 1)
    forging = update(schema.audit).where(schema.audit.c.tenant_id == 2).values(actor="x")
    with open_database(data) as database:
        database.write(2, lambda transaction: transaction.execute(forging))


def test_a_database_that_is_damaged_is_not_resealed(data):
    forge_actor(data)

    with pytest.raises(Error) as raised:
        run("admin", "reseal", "--data", data)

    assert raised.value.code == "backup-broken"
    with open_database(data) as database:
        assert database.read(1, find_reseals) == ()


def test_a_restore_names_the_copy_that_it_was_made_of(data):
    run("admin", "reseal", "--data", data, "--made-at", "2026-11-20T03:00:00+01:00", "--sha256", "ab" * 32)

    with open_database(data) as database:
        (stated,) = database.read(2, find_reseals)
    assert stated.origin.made_at == datetime(2026, 11, 20, 2, tzinfo=UTC).timestamp() * 1000
    assert stated.origin.sha256 == "ab" * 32


@pytest.mark.parametrize(
    "wrong",
    [
        ["--made-at", "yesterday"], ["--made-at", "2026-11-20T03:00:00"], ["--made-at", "2999-01-01T00:00:00Z"],
        ["--made-at", "1969-01-01T00:00:00Z"], ["--sha256", "AB" * 32], ["--sha256", "ab"], ["--verify", "--keep-memory"],
        ["--verify", "--made-at", "2026-11-20T03:00:00Z"], ["--verify", "--sha256", "ab" * 32],
    ],
    ids=" ".join,
)  # fmt: skip
def test_a_restore_that_cannot_be_stated_is_wrong_usage(data, wrong):
    assert run("admin", "reseal", "--data", data, *wrong).exit_code == 2


def test_what_is_verified_is_told_and_not_changed(data):
    count(data, 2, 0, 1)
    before = summarise(data)

    said = run("admin", "reseal", "--data", data, "--verify").output.splitlines()

    assert [line.partition(":")[0] for line in said] == ["account 1", "account 2"]
    assert [line.rpartition(" ")[2] for line in said] == [each.sha256 for each in before]
    assert summarise(data) == before


def summarise(data):
    with open_database(data) as database:
        return [database.read(number, summarise_account) for number in (1, 2)]


def test_what_is_damaged_is_found_by_verifying(data):
    forge_actor(data)

    with pytest.raises(Error, match="account 2") as raised:
        run("admin", "reseal", "--data", data, "--verify")

    assert raised.value.code == "backup-broken"


def test_a_file_that_is_served_is_not_resealed_and_may_be_verified(data):
    with hold_database(data):
        assert run("admin", "reseal", "--data", data, "--verify").exit_code == 0
        with pytest.raises(Error) as raised:
            run("admin", "reseal", "--data", data)

    assert raised.value.code == "database-in-use"
