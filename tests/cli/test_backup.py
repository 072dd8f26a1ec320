"""`coven-action backup` and `restore`, as an operator calls them."""

import pytest

from coven_action.errors import Error
from coven_action.hosted.server import hold_database
from tests.commands import run


@pytest.fixture
def data(tmp_path):
    path = tmp_path / "coven.db"
    run("enrol", "--data", path, "--account", "acme", "--account-id", "501", "--memory")
    return path


def test_a_drill_from_the_copy_to_the_restored_database(data, tmp_path):
    (tmp_path / "copies").mkdir()

    copied = run("backup", "--data", data, tmp_path / "copies").output
    (copy,) = (tmp_path / "copies").glob("coven-*Z.db")
    run("admin", "caps", "--data", data, "--account", "acme", "--set", "familiars=2")
    checked = run("restore", "--verify", copy).output
    restored = run("restore", copy, "--data", data).output

    assert f"keep {data}.key as well" in copied
    assert "1 accounts, " in copied
    assert f"{copy} is whole: made " in checked
    assert "account 1: audit log up to row " in checked
    assert f"{data}.before-" in restored
    assert "memory is off until an administrator turns it on" in restored
    assert "familiars                5" in run("admin", "caps", "--data", data, "--account", "acme").output
    assert (
        "familiars                2"
        in run("admin", "caps", "--data", next(iter_aside(data)), "--account", "acme").output
    )


def iter_aside(data):
    return (path for path in data.parent.glob("coven.db.before-*") if path.name.endswith("Z"))


def test_to_check_is_to_replace_nothing(data, tmp_path):
    run("backup", "--data", data, tmp_path / "copy.db")
    before = data.read_bytes()

    run("restore", "--verify", tmp_path / "copy.db")

    assert data.read_bytes() == before
    assert list(iter_aside(data)) == []


def test_memory_is_left_on_where_that_is_asked_for(data, tmp_path):
    run("backup", "--data", data, tmp_path / "copy.db")

    assert "memory is as it was" in run("restore", tmp_path / "copy.db", "--data", data, "--keep-memory").output


def test_a_copy_without_its_description_says_so(data, tmp_path):
    run("backup", "--data", data, tmp_path / "copy.db")
    (tmp_path / "copy.db.json").unlink()

    said = run("restore", "--verify", tmp_path / "copy.db").output

    assert "of unknown age" in said
    assert "cannot be told" in said


def test_a_copy_is_restored_where_nothing_was(data, tmp_path):
    run("backup", "--data", data, tmp_path / "copy.db")

    said = run("restore", "--verify", tmp_path / "copy.db", "--data", tmp_path / "new.db").output

    assert f"{tmp_path / 'new.db'} is now that copy." in said
    assert "The database that was there" not in said
    assert "acme" in run("admin", "accounts", "--data", tmp_path / "new.db").output


def test_what_is_to_be_done_has_to_be_said(data, tmp_path):
    run("backup", "--data", data, tmp_path / "copy.db")

    result = run("restore", tmp_path / "copy.db")

    assert result.exit_code == 2
    assert "--verify" in result.output


def test_a_served_database_is_not_replaced(data, tmp_path):
    run("backup", "--data", data, tmp_path / "copy.db")

    with hold_database(data), pytest.raises(Error) as raised:
        run("restore", tmp_path / "copy.db", "--data", data)

    assert raised.value.code == "database-in-use"


@pytest.mark.parametrize("command", ["backup", "restore"])
def test_the_help_teaches(command):
    said = run(command, "--help").output

    assert "Examples:" in said
    assert "Exit codes: 0 " in said
