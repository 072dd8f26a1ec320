"""`coven-action memory --endpoint` against the real application."""

import json
import re

import pytest
from click.testing import CliRunner

from coven_action import client as endpoint_client
from coven_action.cli import memory_endpoint
from coven_action.cli.main import cli
from coven_action.client import Client as EndpointClient
from coven_action.errors import Error
from tests.hosted.deployment import ADMIN_TOKEN, Bridge, Client
from tests.hosted.memory_world import add_uses, make_proposal, world

__all__ = ["world"]
URL = "http://127.0.0.1:8766"
TEXT = "Run `make generate` after editing protocol files."


@pytest.fixture
def run(client: Client, monkeypatch):
    monkeypatch.setenv("COVEN_TOKEN", ADMIN_TOKEN)
    monkeypatch.delenv("COVEN_ENDPOINT", raising=False)

    def connect(context):
        given = context.obj
        return EndpointClient(URL, token=given["token"], tenant=given["tenant"], transport=Bridge(client))

    monkeypatch.setattr(memory_endpoint, "connect", connect)

    def call(*arguments):
        result = CliRunner().invoke(cli, ["memory", "--endpoint", URL, *arguments])
        if result.exception is not None and not isinstance(result.exception, SystemExit):
            raise result.exception
        return result

    return call


@pytest.fixture
def proposed(world):
    """A run has proposed one entry; its id."""
    (verdict,) = world.propose(world.start(trust="collaborator"), make_proposal(key="commands/generate", text=TEXT))
    assert verdict["state"] == "pending"
    return verdict["id"]


def test_what_waits_is_listed_and_shown_and_approved(run, proposed):
    listed = run("list", "--state", "pending").output
    shown = run("show", proposed).output
    approved = run("approve", proposed, "--reason", "checked").output

    assert proposed in listed
    assert "1 waiting" in listed
    assert TEXT in shown
    assert approved == f"{proposed} commands/generate is approved\n"
    assert json.loads(run("show", proposed, "--json").output)["approved_by"] == "admin"


def test_a_revoked_entry_is_told_with_the_runs_it_reached(run, proposed):
    run("approve", proposed)

    assert "is revoked" in run("revoke", proposed).output
    assert "is approved" in run("restore", proposed).output
    assert re.search(r"1 entries under repo/1001 are revoked", run("revoke", "repo/1001").output)
    assert "No run was offered it." in run("uses", proposed).output


def test_a_wording_is_named_by_its_first_digits(run, proposed):
    version = json.loads(run("show", proposed, "--json").output)["waiting"][0]["version"]

    assert run("reject", proposed, "--version", "0000").exit_code == 2
    assert "is rejected" in run("reject", proposed, "--version", version[:8]).output


@pytest.mark.parametrize(
    "arguments",
    [
        ("show", "conventions/rounding"),
        ("approve", "mem_1"),
        ("revoke", "everything"),
        ("revoke", "account/acme"),
        ("revoke", "account/501/conventions"),
        ("add", "a/b"),
    ],
)
def test_wrong_usage_is_told(run, arguments):
    assert run(*arguments).exit_code == 2


def test_an_entry_that_is_not_there_is_told(run):
    with pytest.raises(Error, match="no-such-resource"):
        run("show", "mem_" + "0" * 16)


def test_an_empty_memory_says_so(run):
    assert run("list").output == "No entries.\n"


def test_without_a_token_it_says_where_one_comes_from(monkeypatch):
    monkeypatch.delenv("COVEN_TOKEN", raising=False)

    result = CliRunner().invoke(cli, ["memory", "--endpoint", URL, "list"])

    assert isinstance(result.exception, Error)
    assert "coven-action serve" in result.exception.remedy


def test_the_help_shows_the_commands_of_both_stores():
    shown = CliRunner().invoke(cli, ["memory", "--help"]).output

    assert "Commands with --endpoint" in shown
    assert "approve" in shown
    assert "check" in shown


def test_what_is_erased_is_gone_with_a_receipt(run, proposed):
    run("approve", proposed)

    assert run("erase", proposed).exit_code != 0, "nobody answered the question"
    receipt = json.loads(run("erase", proposed, "--yes", "--reason", "asked for").output)

    assert receipt["gaps"]
    assert TEXT not in run("show", proposed, "--json").output


def test_the_receipts_of_what_was_erased_are_listed_however_many(run, world, monkeypatch):
    monkeypatch.setattr(endpoint_client, "MAX_PAGE", 1)
    assert run("receipts").output == "Nothing was erased.\n"
    assert run("receipts", "--json").output == ""
    ids = [
        world.remember(f"facts/n{number}", text) for number, text in enumerate(["Logs are JSON.", "Locks are global."])
    ]
    receipts = [json.loads(run("erase", each, "--yes").output) for each in ids]

    told = run("receipts").output
    listed = [json.loads(line) for line in run("receipts", "--json").output.splitlines()]

    assert sorted(listed, key=lambda each: each["audit_sequence"]) == receipts
    assert all(receipt["receipt_id"] in told and receipt["gaps"][0] in told for receipt in receipts)


@pytest.mark.parametrize("target", ["account/501", "tenant/501"])
def test_everything_of_an_account_is_revoked_by_name(run, proposed, target):
    run("approve", proposed)
    entries = {"account/501": 1, "tenant/501": 0}[target]

    assert f"{entries} entries under {target} are revoked" in run("revoke", target).output


def test_a_revocation_shows_the_newest_runs_and_says_how_many_there_are_besides(run, world, deployment, tenant):
    memory_id = world.remember()
    add_uses(deployment, tenant, memory_id, 230, at=1_000)

    revoked = run("revoke", "repo/1001").output.splitlines()
    listed = run("uses", memory_id).output.splitlines()

    assert len(revoked) == 1 + 100 + 1
    assert "130 uses before" in revoked[-1]
    assert len(listed) == len(set(listed)) == 230
    assert revoked[1:-1] == listed[:100]
