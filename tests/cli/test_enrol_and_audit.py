"""`coven-action enrol` and `coven-action audit` on a real database."""

import base64
import json
import re

import pytest
from sqlalchemy import select

from coven_action.core.endpoint.export_format import verify_export
from coven_action.hosted.operating import open_database
from coven_action.hosted.services.memory_policy import read_versioned
from coven_action.hosted.signing import load_signing_key
from coven_action.hosted.store import schema
from tests.commands import fail, run

PINNED = ".github/workflows/coven.yml@refs/heads/main"
ENROL = ["enrol", "--account", "acme", "--account-id", "501", "--repository", "acme/billing", "--repository-id", "1001"]


@pytest.fixture
def data(tmp_path):
    path = tmp_path / "coven.db"
    assert run(*ENROL, "--data", path).exit_code == 0
    return path


@pytest.fixture
def exported(data, tmp_path):
    path = tmp_path / "acme.jsonl"
    path.write_bytes(run("audit", "export", "--data", data, "--account", "acme").stdout_bytes)
    return path


def test_an_account_is_enrolled_with_a_repository_and_its_memory(tmp_path):
    data = tmp_path / "coven.db"

    said = run(*ENROL, "--data", data, "--memory").output

    assert "acme is account 1" in said
    assert "acme/billing may report" in said
    with open_database(data) as database:
        assert database.write(database.find_tenant("501"), read_versioned).policy.enabled


EVERYTHING = ["--tier", "team", "--installation-id", "7", "--visibility", "internal", "--default-branch", "trunk",
              "--person", "11", "--person", "12", "--workflow", PINNED, "--tenant-shared", "--memory"]  # fmt: skip


def read_recorded(data):
    """Return what the database says of the account and its repository, by the names of the columns."""
    with open_database(data) as database:
        rows = [
            database.read(1, lambda reading, table=table: reading.fetch_one(select(table)))
            for table in (schema.tenants, schema.repositories)
        ]
        recorded = {name: value for row in rows for name, value in row._mapping.items()}
        recorded["memory"] = database.write(1, read_versioned).policy.enabled
    return recorded


def list_audit(data):
    with open_database(data) as database:
        rows = database.read(
            1, lambda reading: reading.fetch_all(select(schema.audit).order_by(schema.audit.c.sequence))
        )
    return [(row.actor, row.action, json.loads(row.detail)) for row in rows]


AGAIN = {
    "nothing": ([], {}),
    "memory after a restore": (["--no-memory"], {"memory": False}),
    "another name": (["--account", "acme-inc"], {"account_login": "acme-inc"}),
    "another tier": (["--tier", "starter"], {"tier": "starter"}),
    "no installation any more": (["--installation-id", "0"], {"installation_id": None}),
    "another visibility": (["--visibility", "public"], {"visibility": "public"}),
    "another branch": (["--default-branch", "main"], {"default_branch": "main"}),
    "other people": (["--person", "13"], {"people": [13]}),
    "no people": (["--no-people"], {"people": []}),
    "another pin": (["--workflow", ".github/workflows/b.yml@x"], {"workflows": [".github/workflows/b.yml@x"]}),
    "no pin": (["--any-workflow"], {"workflows": None}),
    "nothing shared": (["--no-tenant-shared"], {"tenant_shared": False}),
}


@pytest.mark.parametrize(("options", "changed"), AGAIN.values(), ids=AGAIN)
def test_to_enrol_again_changes_what_is_given_and_nothing_else(tmp_path, options, changed):
    data = tmp_path / "coven.db"
    assert run(*ENROL, "--data", data, *EVERYTHING).exit_code == 0
    before = read_recorded(data)
    assert before["rules"]["workflows"] == [PINNED]

    said = run(*ENROL, "--data", data, *options).output

    assert "acme is account 1" in said or "acme-inc is account 1" in said
    expected = dict(changed)
    if "workflows" in expected:
        expected["rules"] = before["rules"] | {"workflows": expected.pop("workflows")}
    assert read_recorded(data) == before | expected


def test_a_new_account_and_repository_have_the_least(tmp_path):
    assert run(*ENROL, "--data", tmp_path / "coven.db").exit_code == 0

    recorded = read_recorded(tmp_path / "coven.db")

    least = {"tier": "open", "installation_id": None, "visibility": "private", "default_branch": "main", "people": [],
             "tenant_shared": False, "memory": False}  # fmt: skip
    assert {name: recorded[name] for name in least} == least
    assert set(recorded["rules"].values()) == {None}


def test_every_change_of_an_enrolment_stands_in_the_audit_log(data):
    first = list_audit(data)
    again = ["enrol", "--data", data, "--account", "acme", "--account-id", "501"]
    for options in ([], ["--tier", "team"], ["--installation-id", "7"], ["--installation-id", "0"], ["--tier", "team"]):
        assert run(*again, *options).exit_code == 0
    assert run(*ENROL, "--data", data, "--person", "11").exit_code == 0

    assert first == [
        ("operator", "account.enrol", {"account_login": "acme", "created": True, "tier": "open"}),
        ("operator", "repository.enrol",
         {"created": True, "repository_id": 1001, "owner": "acme", "name": "billing"}),
    ]  # fmt: skip
    assert list_audit(data)[2:] == [
        ("operator", "account.enrol", {"created": False, "tier": "team"}),
        ("operator", "account.enrol", {"created": False, "tier": "team", "installation_id": 7}),
        ("operator", "account.enrol", {"created": False, "tier": "team", "installation_id": None}),
        ("operator", "repository.enrol",
         {"created": False, "repository_id": 1001, "owner": "acme", "name": "billing", "people": [11]}),
    ]  # fmt: skip


@pytest.mark.parametrize(
    "wrong",
    [
        ["--repository", "acme/billing"],
        ["--repository-id", "1"],
        ["--repository", "billing", "--repository-id", "1"],
        ["--tier", "gold"],
        ["--person", "11"],
        ["--no-people"],
        ["--any-workflow"],
        ["--default-branch", "trunk"],
        ["--no-tenant-shared"],
        [*ENROL[5:], "--person", "11", "--no-people"],
        [*ENROL[5:], "--workflow", PINNED, "--any-workflow"],
        ["--account-id", "0"],
    ],
)
def test_wrong_usage_enrols_nothing(tmp_path, wrong):
    given = ["enrol", "--data", tmp_path / "x.db", "--account", "acme", "--account-id", "501", *wrong]

    assert run(*given).exit_code == 2
    assert not (tmp_path / "x.db").exists()


def test_an_export_is_checked_without_the_database(data, exported):
    data.unlink()

    said = run("audit", "verify", exported).output

    assert "acme (account 501)" in said
    assert re.search(r"repositories +1 ", said)
    assert "signature not checked" in said


def test_the_signature_of_an_export_is_checked_for_the_account(data, exported):
    key = base64.b64encode(load_signing_key(data.with_name("coven.db.key")).public_key).decode()

    assert "signature holds" in run("audit", "verify", exported, "--tenant", 1, "--key", key).output
    assert fail("audit", "verify", exported, "--tenant", 2).code == "export-broken"
    assert (
        fail("audit", "verify", exported, "--tenant", 1, "--key", base64.b64encode(bytes(32)).decode()).code
        == "export-broken"
    )


def test_a_key_without_an_account_would_check_nothing_and_is_refused(exported):
    refused = run("audit", "verify", exported, "--key", base64.b64encode(bytes(32)).decode())

    assert refused.exit_code == 2
    assert "--tenant" in refused.output


def change_audit(lines):
    position = next(i for i, line in enumerate(lines) if b'"table":"audit"' in line and b"repository.enrol" in line)
    lines[position] = lines[position].replace(b"repository.enrol", b"repository.other")


def drop_row(lines):
    del lines[next(i for i, line in enumerate(lines) if b'"table":"repositories"' in line)]


def cut(lines):
    lines.pop()


def drop_audit(lines):
    """As somebody would who rewrites the manifest to fit."""
    import hashlib

    audit = [line for line in lines if b'"table":"audit"' in line]
    lines.remove(audit[-1])
    manifest = json.loads(lines[-1])
    kept = b"".join(audit[:-1])
    manifest["tables"]["audit"] = {"rows": len(audit) - 1, "sha256": hashlib.sha256(kept).hexdigest()}
    lines[-1] = json.dumps(manifest).encode() + b"\n"


def append(lines):
    lines.append(lines[1])


def reorder(lines):
    lines[1], lines[2] = lines[2], lines[1]


def break_first(lines):
    lines[0] = b"{}\n"


def break_json(lines):
    lines[1] = b"{\n"


def no_object(lines):
    lines[1] = b"[]\n"


def respell(lines):
    lines[1] = lines[1].replace(b",", b", ", 1)


def foreign_table(lines):
    lines[1] = lines[1].replace(b'"repositories"', b'"sessions"')


@pytest.mark.parametrize(
    "damage",
    [
        change_audit,
        drop_row,
        cut,
        drop_audit,
        append,
        reorder,
        break_first,
        break_json,
        no_object,
        respell,
        foreign_table,
    ],
)
def test_an_export_that_was_changed_is_told_and_not_imported(exported, tmp_path, damage):
    lines = exported.read_bytes().splitlines(keepends=True)
    damage(lines)
    exported.write_bytes(b"".join(lines))

    assert fail("audit", "verify", exported).code == "export-broken"
    assert fail("audit", "import", exported, "--data", tmp_path / "other.db").code == "export-broken"
    assert not (tmp_path / "other.db").exists()


def test_an_export_gives_equal_digests_wherever_it_is_imported(exported, tmp_path):
    other = tmp_path / "other.db"
    run("enrol", "--data", other, "--account", "globex", "--account-id", "502")

    said = run("audit", "import", exported, "--data", other).output
    again = run("audit", "export", "--data", other, "--account", "acme").stdout_bytes.splitlines(keepends=True)

    assert "imported as account 2" in said
    _, before = verify_export(exported.read_bytes().splitlines(keepends=True))
    _, after = verify_export(again)
    assert after.tables == before.tables
    assert (after.head.seq, after.head.head) == (before.head.seq, before.head.head)


def test_an_account_that_is_there_is_not_imported_over(data, exported):
    assert fail("audit", "import", exported, "--data", data).code == "account-enrolled"


def test_a_database_or_account_that_is_not_there_is_told(data, tmp_path):
    assert fail("audit", "export", "--data", tmp_path / "none.db", "--account", "acme").code == "database-unusable"
    assert fail("audit", "export", "--data", data, "--account", "globex").code == "account-unknown"
    assert fail("audit", "export", "--data", data, "--account", "502").code == "account-unknown"


@pytest.mark.parametrize(
    "command", [["enrol"], ["audit"], ["audit", "verify"], ["audit", "export"], ["audit", "import"]]
)
def test_the_help_teaches(command):
    shown = run(*command, "--help")

    assert shown.exit_code == 0
    assert "Usage" in shown.output
