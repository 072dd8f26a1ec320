"""Another key signs, and what the former one has signed and what was sealed to it stays good."""

import base64
import os
import stat

import pytest
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from nacl.public import PublicKey, SealedBox

from coven_action.core.endpoint.meta import build_succession_message
from coven_action.core.endpoint.wire import AuditHead
from coven_action.errors import EnvironmentFault, Error
from coven_action.hosted.endpoint import Keys
from coven_action.hosted.operating import open_database
from coven_action.hosted.services.audit import read_audit
from coven_action.hosted.signing import check_head, load_former_keys, load_signing_key, rotate_signing_key
from tests.commands import run
from tests.hosted.deployment import open_session


@pytest.fixture
def path(tmp_path):
    path = tmp_path / "coven.db.key"
    load_signing_key(path)
    return path


def test_the_former_key_lies_beside_the_new_one(path):
    first = load_signing_key(path)
    former, second = rotate_signing_key(path)
    _, third = rotate_signing_key(path)

    assert former.key_id == first.key_id
    assert load_signing_key(path).key_id == third.key_id
    assert len({first.key_id, second.key_id, third.key_id}) == 3
    assert {key.key_id for key in load_former_keys(path)} == {first.key_id, second.key_id}
    for each in path.parent.iterdir():
        assert stat.S_IMODE(each.stat().st_mode) == 0o600


def test_the_latest_of_the_former_keys_comes_first(path):
    former = [rotate_signing_key(path)[0].key_id for _ in range(3)]
    for age, key_id in enumerate(reversed(former)):
        os.utime(path.with_name(f"{path.name}.{key_id}"), (1_000_000 - age, 1_000_000 - age))

    assert [key.key_id for key in load_former_keys(path)] == former[::-1]


def test_a_change_that_was_cut_off_changes_nothing_and_is_repeated(path, monkeypatch):
    first = load_signing_key(path)
    with monkeypatch.context() as patched:
        patched.setattr("coven_action.hosted.signing._make_seed", fail)
        with pytest.raises(EnvironmentFault):
            rotate_signing_key(path)

    assert load_signing_key(path).key_id == first.key_id
    assert load_former_keys(path) == ()
    assert rotate_signing_key(path)[0].key_id == first.key_id


def fail(path):
    raise OSError(28, "No space left on device")


def test_a_key_that_is_not_there_is_not_replaced(tmp_path):
    with pytest.raises(EnvironmentFault) as raised:
        rotate_signing_key(tmp_path / "coven.db.key")

    assert raised.value.code == "signing-key-unusable"
    assert list(tmp_path.iterdir()) == []


def test_other_files_beside_the_key_are_no_keys(path):
    for ending in ("backup", "0123456789abcde", "0123456789ABCDEF", "0123456789abcdef0"):
        path.with_name(f"{path.name}.{ending}").write_bytes(bytes(32))

    assert load_former_keys(path) == ()


@pytest.fixture
def rotated(client, path):
    """The started application, once another key signs."""
    former, signer = rotate_signing_key(path)
    endpoint = client.app.state.endpoint
    endpoint.keys = Keys(signer, endpoint.keys.tokens, load_former_keys(path))
    return former, signer


def test_former_keys_stay_published_with_their_word_for_the_new_one(client, rotated):
    former, signer = rotated
    meta = client.get("/meta").json()

    assert meta["signing_key"]["key_id"] == signer.key_id
    (published,) = meta["former_signing_keys"]
    assert published["key_id"] == former.key_id
    key = Ed25519PublicKey.from_public_bytes(base64.b64decode(published["public_key"]))
    endorsement = base64.b64decode(published["endorsement"])
    key.verify(endorsement, build_succession_message(meta["signing_key"]["public_key"]))
    with pytest.raises(InvalidSignature):
        key.verify(endorsement, build_succession_message(published["public_key"]))


def test_heads_of_before_are_checked_with_the_published_key(client, clock, path):
    endpoint = client.app.state.endpoint
    endpoint.keys = Keys(load_signing_key(path), endpoint.keys.tokens)
    witnessed = open_session(client, clock())
    head = witnessed.document["witness"]
    _, signer = rotate_signing_key(path)
    endpoint.keys = Keys(signer, endpoint.keys.tokens, load_former_keys(path))
    published = {key["key_id"]: key["public_key"] for key in client.get("/meta").json()["former_signing_keys"]}

    newer = open_session(client, clock(), run_id="6").document["witness"]

    assert check(head, published[head["key_id"]])
    assert newer["key_id"] == signer.key_id
    assert not check(newer, published[head["key_id"]])


def check(head, public_key):
    return check_head(AuditHead(**head), 1, public_key)


def test_what_was_sealed_to_the_former_key_is_still_opened(rotated, client):
    keys = client.app.state.endpoint.keys
    for key in rotated:
        sealed = SealedBox(PublicKey(base64.b64decode(key.seal_key))).encrypt(b"kept by an earlier run")
        assert keys.unseal(base64.b64encode(sealed).decode()) == b"kept by an earlier run"
    assert keys.unseal(base64.b64encode(b"x" * 80).decode()) is None


# --- the command


@pytest.fixture
def enrolled(tmp_path):
    data = tmp_path / "own.db"
    run("enrol", "--data", data, "--account", "acme", "--account-id", "501")
    return data


def test_every_account_s_log_says_which_key_took_the_place_of_which(enrolled):
    former = load_signing_key(enrolled.with_name("own.db.key")).key_id

    said = run("admin", "rotate-key", "--data", enrolled).output

    signer = load_signing_key(enrolled.with_name("own.db.key"))
    assert signer.describe_public_key().public_key in said
    assert f"own.db.key.{former}" in said
    with open_database(enrolled) as database:
        rows = database.read(1, lambda reading: read_audit(reading, after=0, limit=100)).entries
    assert rows[-1].detail == {"from": former, "to": signer.key_id}


def test_without_a_key_nothing_is_recorded(enrolled):
    with pytest.raises(Error) as raised:
        run("admin", "rotate-key", "--data", enrolled)

    assert raised.value.code == "signing-key-unusable"
    with open_database(enrolled) as database:
        assert "signing-key.rotate" not in str(database.read(1, lambda reading: read_audit(reading, after=0, limit=9)))


def test_on_postgresql_the_key_has_to_be_named(monkeypatch):
    monkeypatch.setenv("DATABASE_URL", "postgresql://nobody@127.0.0.1:1/none")

    result = run("admin", "rotate-key")

    assert result.exit_code == 2
    assert "--signing-key" in result.output
