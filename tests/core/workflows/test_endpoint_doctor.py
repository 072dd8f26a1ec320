"""What `doctor --endpoint` says of each thing it is told."""

import base64
import json
from datetime import timedelta
from email.utils import format_datetime

import pytest

from coven_action.core.workflows.endpoint_doctor import (
    Reply,
    check_access,
    check_alive,
    check_certificate,
    check_clock,
    check_ready,
    check_url,
    check_version,
    describe_unreachable,
)
from tests.identity_tokens import NOW


def reply(document, status=200, date=""):
    body = document if isinstance(document, bytes) else json.dumps(document).encode()
    return Reply(status=status, date=date, body=body)


def judge(*diagnoses):
    for diagnosis in diagnoses:
        assert bool(diagnosis.remedy) == (diagnosis.level != "ok"), diagnosis
    return [diagnosis.level for diagnosis in diagnoses]


@pytest.mark.parametrize("url", ["https://coven.example.com", "http://127.0.0.1:8766", "http://localhost"])
def test_an_address_that_can_be_asked(url):
    assert check_url(url) is None


@pytest.mark.parametrize(
    "url",
    [
        "",
        "coven.example.com",
        "http://coven.example.com",
        "ftp://localhost",
        "https://",
        "https://x.example/",
        "file:///etc",
    ],
)
def test_an_address_that_is_not_asked(url):
    assert judge(check_url(url)) == ["error"]


def test_no_answer_is_an_error():
    assert judge(describe_unreachable("connection refused")) == ["error"]


ANSWERS = {
    "an endpoint": (reply({"status": "alive"}), "ok"),
    "another page": (reply(b"<html>"), "error"),
    "another document": (reply(["alive"]), "error"),
    "another status": (reply({"status": "alive"}, 502), "error"),
    "deep nonsense": (reply(b"[" * 100_000), "error"),
    "not text": (reply(b"\xff\xfe"), "error"),
}


@pytest.mark.parametrize(("answer", "level"), ANSWERS.values(), ids=ANSWERS)
def test_who_answers(answer, level):
    assert judge(check_alive(answer)) == [level]


@pytest.mark.parametrize(
    ("answer", "level", "said"),
    [
        (reply({"status": "ready"}), "ok", "its database can be read"),
        (reply(b"", 404), "ok", "not told outside: a proxy keeps /readyz to itself, which asks it"),
        (reply({"status": "read-only"}), "error", "it takes nothing new: its disk is nearly full"),
        (reply({"code": "disk-full", "remedy": "Make room."}, 503), "error", "disk-full"),
        (reply(b"", 502), "error", "no code"),
    ],
)
def test_whether_it_takes_work(answer, level, said):
    diagnosis = check_ready(answer)

    assert judge(diagnosis) == [level]
    assert said in diagnosis.fact


@pytest.mark.parametrize(
    ("days", "level"), [(None, "ok"), (365, "ok"), (21, "ok"), (20, "warning"), (0, "warning"), (-1, "error")]
)
def test_how_long_its_certificate_holds(days, level):
    ends = None if days is None else NOW + timedelta(days=days)

    assert judge(check_certificate(ends, NOW)) == [level]


@pytest.mark.parametrize(
    ("seconds", "level", "said"),
    [
        (0, "ok", "agree"),
        (30, "ok", "agree"),
        (-30, "ok", "agree"),
        (31, "error", "31 s ahead of"),
        (-90, "error", "90 s behind"),
    ],
)
def test_whether_its_clock_agrees(seconds, level, said):
    diagnosis = check_clock(format_datetime(NOW + timedelta(seconds=seconds), usegmt=True), NOW)

    assert judge(diagnosis) == [level]
    assert said in diagnosis.fact


@pytest.mark.parametrize("date", ["", "yesterday", "2026-11-21T12:00:00Z", "Sat, 99 Nov 2026 12:00:00 GMT"])
def test_a_date_that_is_none(date):
    assert judge(check_clock(date, NOW)) == ["warning"]


@pytest.mark.parametrize(
    ("answer", "level"),
    [
        (reply({"info": {"version": "1.2.3"}}), "ok"),
        (reply({"info": {"version": "1.2.4"}}), "warning"),
        (reply({"info": {"version": 1}}), "error"),
        (reply({"info": []}), "error"),
        (reply({"info": {"version": "1.2.3"}}, 401), "error"),
        (reply(b""), "error"),
    ],
)
def test_whether_its_version_is_ours(answer, level):
    assert judge(check_version(answer, "1.2.3")) == [level]


HEAD = {"seq": 5, "head": "a" * 64, "signature": base64.b64encode(bytes(64)).decode(), "key_id": "k1"}


@pytest.mark.parametrize(
    ("answer", "levels"),
    [
        (None, ["ok"]),
        (reply(HEAD), ["ok", "ok"]),
        (reply({**HEAD, "signature": ""}), ["ok", "error"]),
        (reply({**HEAD, "signature": "no base64"}), ["ok", "error"]),
        (reply({**HEAD, "signature": 7}), ["ok", "error"]),
        (reply({**HEAD, "key_id": ""}), ["ok", "error"]),
        (reply({"code": "not-permitted"}, 403), ["ok"]),
        (reply({"code": "not-authenticated"}, 401), ["error"]),
        (reply({"code": "tenant-missing", "remedy": "Name one."}, 400), ["error"]),
    ],
)
def test_what_a_token_is_worth(answer, levels):
    assert judge(*check_access(answer)) == levels
