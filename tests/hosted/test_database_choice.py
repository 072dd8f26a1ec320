"""Which database an endpoint has, and which key signs there: what is said by whom, and what is refused."""

from pathlib import Path

import pytest

from coven_action.errors import Error
from coven_action.hosted.settings import Settings
from coven_action.hosted.signing import SigningKey
from coven_action.hosted.signing_record import check_signing_key, record_signing_key
from tests.hosted.databases import POSTGRESQL

FILE, URL = {"COVEN_DATA": "/data/coven.db"}, {"DATABASE_URL": "postgresql://a:hunter2@b/c"}
OTHER = "postgresql://x@y/z"


@pytest.mark.parametrize(
    ("environment", "given", "data", "url"),
    [
        (FILE, {}, "/data/coven.db", None),
        (URL, {}, None, URL["DATABASE_URL"]),
        # An image names a file for whoever says nothing.
        (FILE | URL, {}, None, URL["DATABASE_URL"]),
        (URL, {"data": Path("/mine.db")}, "/mine.db", None),
        (FILE | URL, {"data": Path("/mine.db")}, "/mine.db", None),
        (FILE | URL, {"database_url": OTHER}, None, OTHER),
    ],
)
def test_the_command_line_comes_before_the_environment_and_a_server_before_a_file(environment, given, data, url):
    settings = Settings.from_environment(environment, **given)

    assert (settings.data, settings.database_url) == (data and Path(data), url)


@pytest.mark.parametrize("given", [{}, {"data": Path("/mine.db"), "database_url": OTHER}])
def test_none_and_two_are_refused(given):
    with pytest.raises(Error, match="once") as refused:
        Settings.from_environment({}, **given)
    assert refused.value.code == "invalid-setting"


def test_the_password_is_not_shown():
    assert "hunter2" not in repr(Settings.from_environment(URL))


@pytest.mark.parametrize("database", [POSTGRESQL], indirect=True)
def test_the_first_replicas_key_is_the_deployments(deployment):
    first, second = SigningKey(b"1" * 32), SigningKey(b"2" * 32)
    deployment.write(0, lambda transaction: check_signing_key(transaction, first))
    deployment.write(0, lambda transaction: check_signing_key(transaction, first))

    with pytest.raises(Error) as refused:
        deployment.write(0, lambda transaction: check_signing_key(transaction, second))
    assert refused.value.code == "signing-key-differs"

    deployment.write(0, lambda transaction: record_signing_key(transaction, second))
    deployment.write(0, lambda transaction: check_signing_key(transaction, second))


@pytest.mark.parametrize(
    ("settings", "found"),
    [
        (Settings(data=Path("/data/coven.db")), Path("/data/coven.db.key")),
        (Settings(data=Path("/data/coven.db"), signing_key=Path("/keys/a")), Path("/keys/a")),
        (Settings(database_url="postgresql://a@b/c", signing_key=Path("/keys/a")), Path("/keys/a")),
    ],
)
def test_the_key_lies_where_it_was_said_or_beside_the_file(settings, found):
    assert settings.find_signing_key() == found


def test_on_a_server_the_key_has_to_be_named():
    with pytest.raises(Error, match="key") as refused:
        Settings(database_url="postgresql://a@b/c").find_signing_key()
    assert refused.value.code == "invalid-setting"
    assert "COVEN_SIGNING_KEY" in refused.value.remedy
