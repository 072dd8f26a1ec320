"""What an endpoint tells anybody about its keys."""

import json

import pytest
from pydantic import ValidationError

from coven_action.core.endpoint.meta import Meta, build_succession_message

KEY = {"key_id": "0" * 16, "algorithm": "Ed25519", "public_key": "A" * 43 + "="}


def test_the_published_key_is_read_as_it_was_written():
    written = Meta.model_validate_json(json.dumps({"api": "v1", "signing_key": KEY})).model_dump_json()

    assert json.loads(written)["signing_key"] == KEY


@pytest.mark.parametrize(
    "wrong",
    [
        {"key_id": "0" * 15},
        {"key_id": "G" * 16},
        {"key_id": ""},
        {"algorithm": "RSA"},
        {"algorithm": "none"},
        {"public_key": "A" * 44},
        {"public_key": "A" * 42 + "=="},
        {"public_key": "-" * 43 + "="},
        {"public_key": ""},
        {"private_key": "x"},
    ],
)
def test_what_is_no_public_key_is_refused(wrong):
    with pytest.raises(ValidationError):
        Meta.model_validate_json(json.dumps({"api": "v1", "signing_key": {**KEY, **wrong}}))


def test_a_former_key_signs_the_name_of_one_successor_alone():
    messages = {build_succession_message(key) for key in ("A" * 43 + "=", "B" * 43 + "=")}

    assert len(messages) == 2
    assert all(b"coven-action/signing-key" in message for message in messages)
