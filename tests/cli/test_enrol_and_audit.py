"""`coven-action enrol` and `coven-action audit` on a real database."""

import base64
import json
import re

import pytest

from coven_action.core.endpoint.export_format import verify_export
from coven_action.hosted.operating import open_database
from coven_action.hosted.services.memory_policy import read_versioned
from coven_action.hosted.signing import load_signing_key
from tests.commands import fail, run

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


def test_to_enrol_again_is_to_change_what_was_recorded(data):
    said = run(*ENROL, "--data", data, "--no-memory", "--tier", "team").output

    assert "acme is account 1" in said
    with open_database(data) as database:
        assert not database.write(1, read_versioned).policy.enabled


@pytest.mark.parametrize(
    "wrong",
    [
        ["--repository", "acme/billing"],
        ["--repository-id", "1"],
        ["--repository", "billing", "--repository-id", "1"],
        ["--tier", "gold"],
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
    position = next(i for i, line in enumerate(lines) if b'"table":"audit"' in line)
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
