"""`coven-action admin` on a real database."""

import re

import pytest

from coven_action.core.records import sha256_hex
from coven_action.errors import Error
from coven_action.hosted.admin_token import find_admin_token_sha256
from coven_action.hosted.operating import open_database
from tests.commands import run


@pytest.fixture
def data(tmp_path):
    path = tmp_path / "coven.db"
    run(
        "enrol",
        "--data",
        path,
        "--account",
        "acme",
        "--account-id",
        "501",
        "--repository",
        "acme/a",
        "--repository-id",
        "1",
    )
    run("enrol", "--data", path, "--account", "globex", "--account-id", "502", "--tier", "team")
    return path


def test_a_new_token_takes_the_place_of_the_old_one(data):
    first, second = (run("admin", "token", "--data", data).output.strip() for _ in range(2))

    assert re.fullmatch(r"cva_[A-Za-z0-9_-]{43}", second)
    assert first != second
    with open_database(data) as database:
        assert database.write(0, find_admin_token_sha256) == sha256_hex(second.encode())


def test_the_accounts_are_listed_with_their_tier_and_repositories(data):
    lines = run("admin", "accounts", "--data", data).output.splitlines()

    assert [line.split()[1:6] for line in lines] == [
        ["acme", "501", "open", "active", "1"],
        ["globex", "502", "team", "active", "0"],
    ]


def read_statuses(data):
    lines = run("admin", "accounts", "--data", data).output.splitlines()
    return {line.split()[1]: line.split()[4] for line in lines}


def test_an_account_is_suspended_and_released_by_its_login_or_id(data):
    said = run("admin", "suspend", "--data", data, "--account", "acme", "--reason", "asked").output

    assert said == "acme is suspended; 0 open sessions ended\n"
    assert read_statuses(data) == {"acme": "suspended", "globex": "active"}
    assert run("admin", "release", "--data", data, "--account", "501").output == "501 may report again\n"
    assert read_statuses(data) == {"acme": "active", "globex": "active"}


@pytest.mark.parametrize("command", ["suspend", "release"])
def test_an_account_that_nobody_enrolled_is_not_suspended(data, command):
    with pytest.raises(Error, match="account-unknown"):
        run("admin", command, "--data", data, "--account", "nobody")
    assert set(read_statuses(data).values()) == {"active"}


def test_an_empty_database_says_how_to_enrol(data, tmp_path):
    run("migrate", "--data", tmp_path / "empty.db")

    assert "coven-action enrol" in run("admin", "accounts", "--data", tmp_path / "empty.db").output


def read_caps(output):
    return dict(line.split() for line in output.splitlines())


def test_caps_are_those_of_the_tier_and_what_was_replaced(data):
    before = read_caps(run("admin", "caps", "--data", data, "--account", "acme").output)
    run("admin", "caps", "--data", data, "--account", "501", "--set", "tasks-per-day=7", "--set", "familiars=unlimited")
    after = read_caps(run("admin", "caps", "--data", data, "--account", "acme", "--tier", "starter").output)

    assert (before["tasks-per-day"], before["familiars"]) == ("100", "5")
    assert (after["tasks-per-day"], after["familiars"], after["concurrent-runs"]) == ("7", "unlimited", "20")
    assert read_caps(run("admin", "caps", "--data", data, "--account", "globex").output)["tasks-per-day"] == "5000"


@pytest.mark.parametrize(
    "change",
    [
        "tasks-per-day",
        "tasks=1",
        "familiars=-1",
        "familiars=many",
        "history-days=0",
        "history-days=unlimited",
        "soft-percent=101",
        "soft-percent=unlimited",
        "requests-per-minute=0",
    ],
)
def test_a_cap_that_is_none_changes_nothing(data, change):
    assert run("admin", "caps", "--data", data, "--account", "acme", "--set", change).exit_code == 2
