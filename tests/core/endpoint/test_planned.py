"""The head of the audit log that the runs of a repository keep for one another."""

import json

import pytest

from coven_action.core.endpoint.planned import is_newer, parse_witness, render_witness
from coven_action.core.endpoint.wire import AuditHead

URL = "https://coven.example.com"
HEAD = AuditHead(seq=3, head="a" * 64, signature="sig", key_id="key")


def test_what_was_kept_is_read():
    kept = parse_witness(render_witness(URL, HEAD, (4, 7)).encode(), URL)

    assert kept is not None
    assert (kept.head, kept.relayed) == (HEAD, (4, 7))


@pytest.mark.parametrize(
    "data",
    [
        None,
        b"",
        b"{}",
        b"\xff",
        render_witness("https://other.example.com", HEAD).encode(),
        render_witness(URL, HEAD).encode() + b" " * 5000,
        json.dumps({"kind": "coven-action/witness", "url": URL, "head": {"seq": -1, "head": ""}}).encode(),
    ],
)
def test_what_is_no_head_of_this_endpoint_is_none(data):
    assert parse_witness(data, URL) is None


@pytest.mark.parametrize(
    ("head", "known", "newer"),
    [
        (HEAD, None, True),
        (None, None, False),
        (None, HEAD, False),
        (HEAD, HEAD, False),
        (HEAD, AuditHead(seq=2, head=""), True),
        # After a restore the numbers begin again where the copy stood.
        (AuditHead(seq=2, head="", resealed=9), HEAD, True),
        (HEAD, AuditHead(seq=2, head="", resealed=9), False),
        (AuditHead(seq=4, head="", resealed=9), AuditHead(seq=3, head="", resealed=9), True),
    ],
)
def test_a_head_is_kept_where_it_is_newer(head, known, newer):
    assert is_newer(head, known) is newer
