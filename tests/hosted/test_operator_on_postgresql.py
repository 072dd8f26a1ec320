"""The operator's commands on a database of PostgreSQL, as the endpoint's own role."""

import json

import pytest
from click.testing import CliRunner
from sqlalchemy import insert, select

from coven_action.cli.main import cli
from coven_action.core.endpoint.audit_chain import GENESIS
from coven_action.errors import Error
from coven_action.hosted.operating import open_database
from coven_action.hosted.services.audit import read_audit
from coven_action.hosted.services.reseal import find_reseals
from coven_action.hosted.signing import load_signing_key
from coven_action.hosted.signing_record import check_signing_key
from coven_action.hosted.store import postgresql, schema
from coven_action.hosted.store.transaction import MeterKey
from tests.hosted.databases import POSTGRESQL
from tests.identity_tokens import ISSUER

pytestmark = pytest.mark.parametrize("database", [POSTGRESQL], indirect=True)


@pytest.fixture
def command(url, monkeypatch):
    """Run a command on the test's database and return what it says."""
    monkeypatch.setenv("DATABASE_URL", url.set(drivername="postgresql").render_as_string(hide_password=False))

    def run(*arguments):
        result = CliRunner().invoke(cli, [str(argument) for argument in arguments], catch_exceptions=False)
        assert result.exit_code == 0, result.output
        return result.output

    return run


def test_usage_is_told_of_every_account(deployment, tenant, other_tenant, command):
    def work(transaction):
        transaction.meter(MeterKey(0, 1001, "sage", "fix"), "events", transaction.tenant_id)
        transaction.append_audit(actor="a", action="b", subject="c", detail={})

    for number in (tenant, other_tenant):
        deployment.write(number, work)
    day = deployment.clock().strftime("%Y-%m-%d")

    rows = [json.loads(line) for line in command("admin", "usage", "--json", "--until", day).splitlines()]

    assert [(row["account"], row["amount"]) for row in rows] == [("acme", tenant), ("globex", other_tenant)]


def test_a_sweep_takes_what_is_past_its_time(deployment, tenant, command):
    row = {"tenant_id": tenant, "jti_sha256": "0" * 64, "expires_at": 1}
    deployment.write(tenant, lambda transaction: transaction.execute(insert(schema.jti_seen).values(row)))

    assert command("admin", "sweep") == "acme: 1 tokens\n"


@pytest.fixture
def look(url):
    """Read something of an account, as an operator does."""

    def read(tenant_id, work):
        with open_database(url.render_as_string(hide_password=False)) as database:
            return database.read(tenant_id, work)

    return read


def stop(deployment):
    """End the endpoint, which gives its connections back."""
    deployment.runner.run(deployment.store.close())


def test_a_restore_is_stated_in_every_account(deployment, tenant, other_tenant, command, look):
    stop(deployment)

    said = command("admin", "reseal", "--made-at", "2026-11-20T03:00:00Z")

    assert f"account {tenant}: row " in said
    for number in (tenant, other_tenant):
        (stated,) = look(number, find_reseals)
        assert stated.origin.made_at == 1_795_143_600_000
        assert stated.origin.sha256 is None


def test_a_database_that_is_served_is_not_resealed_and_may_be_verified(deployment, tenant, command, monkeypatch):
    monkeypatch.setattr(postgresql, "PLACE_SECONDS", 0.05)

    verified = command("admin", "reseal", "--verify")

    assert verified.startswith(f"account {tenant}: audit log up to row ")
    with pytest.raises(Error) as raised:
        command("admin", "reseal")
    assert raised.value.code == "database-in-use"
    assert deployment.read(tenant, find_reseals) == ()


@pytest.mark.parametrize("how", [[], ["--verify"]])
def test_a_log_that_does_not_fit_its_head_is_not_resealed(deployment, tenant, command, look, how):
    def forge(transaction):
        row = dict.fromkeys(("actor", "action", "subject"), "x") | {"at": 1, "detail": "{}", "previous": GENESIS}
        values = row | {"tenant_id": tenant, "sequence": 10_000, "hash": "0" * 64}
        transaction.execute(insert(schema.audit).values(values))

    deployment.write(tenant, forge)
    stop(deployment)

    with pytest.raises(Error) as raised:
        command("admin", "reseal", *how)
    assert raised.value.code == "backup-broken"
    assert look(tenant, find_reseals) == ()


def test_another_key_is_taken_by_every_process_and_the_former_one_by_none(deployment, tenant, command, tmp_path):
    path = tmp_path / "coven.key"
    former = load_signing_key(path)
    deployment.write(0, lambda transaction: check_signing_key(transaction, former))

    command("admin", "rotate-key", "--signing-key", path)

    deployment.write(0, lambda transaction: check_signing_key(transaction, load_signing_key(path)))
    with pytest.raises(Error) as raised:
        deployment.write(0, lambda transaction: check_signing_key(transaction, former))
    assert raised.value.code == "signing-key-differs"
    rows = deployment.read(tenant, lambda reading: read_audit(reading, after=0, limit=100)).entries
    assert rows[-1].action == "signing-key.rotate"


def test_an_enrolment_and_its_audit_rows_are_of_the_account(deployment, tenant, other_tenant, command):
    before = [deployment.read(each, lambda reading: read_audit(reading, after=0, limit=9)) for each in (1, 2)]
    enrol = ("enrol", "--account", "acme", "--issuer", ISSUER, "--account-id", "501")

    command(*enrol, "--tier", "team", "--repository", "acme/billing", "--repository-id", "1001", "--person", "11")
    command(*enrol, "--memory")
    command("enrol", "--account", "initech", "--issuer", ISSUER, "--account-id", "503")

    told = [deployment.read(each, lambda reading: read_audit(reading, after=0, limit=9)) for each in (1, 2, 3)]
    actions = [[row.action for row in page.entries] for page in told]
    assert actions[0][len(before[0].entries) :] == ["account.enrol", "repository.enrol", "policy.put"]
    assert told[1] == before[1]
    assert actions[2] == ["account.enrol"]
    assert [row["tier"] for row in list_tiers(deployment)] == ["team", "open", "open"]


def list_tiers(deployment):
    columns = schema.tenants.c
    rows = deployment.read(0, lambda reading: reading.fetch_all(select(columns.tier).order_by(columns.tenant_id)))
    return [dict(row._mapping) for row in rows]
