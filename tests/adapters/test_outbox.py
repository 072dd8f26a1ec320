"""What could not be delivered, in files that outlive the process."""

import base64
import os
from datetime import UTC, datetime, timedelta

import pytest

from coven_action.adapters.outbox import Outbox
from coven_action.core.endpoint.outbox import MAX_AGE
from coven_action.core.endpoint.wire import Envelope
from coven_action.errors import DocumentError
from coven_action.hosted.signing import SigningKey

NOW = datetime(2026, 11, 21, 12, tzinfo=UTC)
KEY = SigningKey(b"k" * 32)


def envelope(key="9:7:1:finish:publish", *, age=timedelta(0), body='{"state": "done"}'):
    return Envelope(kind="finish", key=key, repository_id=9, run_id=7, run_attempt=1, created_at=NOW - age, body=body)


def test_an_envelope_outlives_the_process(tmp_path):
    Outbox(tmp_path / "outbox", seal_key="", public=False).add(envelope())

    found = Outbox(tmp_path / "outbox", seal_key="", public=False).collect(NOW)

    assert found.envelopes == (envelope(),)
    assert [oct(path.stat().st_mode & 0o777) for path in (tmp_path / "outbox").iterdir()] == ["0o600"]


def test_the_same_write_is_kept_once_as_it_was_first(tmp_path):
    outbox = Outbox(tmp_path, seal_key="", public=False)
    outbox.add(envelope())
    outbox.add(envelope(body="{}"))

    assert outbox.collect(NOW).envelopes == (envelope(),)


def test_on_a_public_repository_only_the_endpoint_can_read_it(tmp_path):
    outbox = Outbox(tmp_path, seal_key=KEY.seal_key, public=True)

    assert outbox.add(envelope())
    found = outbox.collect(NOW)
    assert found.envelopes == ()
    assert Envelope.model_validate_json(KEY.unseal(found.sealed[0])) == envelope()
    assert all(b"finish" not in path.read_bytes() for path in tmp_path.iterdir())
    assert SigningKey(b"x" * 32).unseal(found.sealed[0]) is None


@pytest.mark.parametrize("seal_key", ["", "no base64!", base64.b64encode(b"short").decode()])
def test_on_a_public_repository_nothing_is_written_without_a_key(tmp_path, seal_key):
    assert not Outbox(tmp_path / "outbox", seal_key=seal_key, public=True).add(envelope())
    assert not (tmp_path / "outbox").exists()


def test_what_is_a_week_old_is_left(tmp_path):
    outbox = Outbox(tmp_path, seal_key="", public=False)
    outbox.add(envelope("old", age=MAX_AGE + timedelta(seconds=1)))
    outbox.add(envelope())

    assert [each.key for each in outbox.collect(NOW).envelopes] == ["9:7:1:finish:publish"]


def plant_link(folder):
    (folder / "secret").write_bytes(envelope().model_dump_json().encode())
    (folder / "a.json").symlink_to(folder / "secret")


PLANTED = {
    "text": lambda folder: (folder / "a.json").write_bytes(b"no envelope"),
    "bytes": lambda folder: (folder / "a.sealed").write_bytes(b"\xff\xfe"),
    "link": plant_link,
    "folder": lambda folder: (folder / "a.json").mkdir(),
    "pipe": lambda folder: os.mkfifo(folder / "a.json"),
    "giant": lambda folder: (folder / "a.json").write_bytes(b" " * (3 * 1024 * 1024)),
    "other": lambda folder: (folder / "a.txt").write_bytes(envelope().model_dump_json().encode()),
}


@pytest.mark.parametrize("planted", PLANTED)
def test_what_is_no_envelope_of_ours_is_passed_over(tmp_path, planted):
    PLANTED[planted](tmp_path)

    found = Outbox(tmp_path, seal_key="", public=False).collect(NOW)

    assert found.envelopes == ()


def test_an_outbox_that_does_not_exist_is_empty(tmp_path):
    assert Outbox(tmp_path / "none", seal_key="", public=False).collect(NOW).envelopes == ()


def test_an_outbox_that_cannot_be_written_is_told(tmp_path):
    (tmp_path / "outbox").write_text("a file where the folder should be")

    with pytest.raises(DocumentError, match="outbox"):
        Outbox(tmp_path / "outbox", seal_key="", public=False).add(envelope())
