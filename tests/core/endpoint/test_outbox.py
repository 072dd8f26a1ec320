"""Which writes wait for a later run when the endpoint cannot be reached."""

from datetime import UTC, datetime, timedelta

import pytest

from coven_action.core.endpoint.outbox import (
    MAX_AGE,
    NEVER_DROPPED,
    ORDER,
    build_key,
    is_worth_keeping,
    keep_envelopes,
)
from coven_action.core.endpoint.wire import Envelope

NOW = datetime(2026, 11, 21, 12, tzinfo=UTC)


def envelope(kind="events", part="1", *, age=timedelta(0), size=10, run_id=7):
    return Envelope(
        kind=kind,
        key=build_key((9, run_id, 1), kind, part),
        repository_id=9,
        run_id=run_id,
        run_attempt=1,
        created_at=NOW - age,
        body="x" * size,
    )


@pytest.mark.parametrize("status", [None, 408, 429, 500, 502, 503, 599])
def test_what_another_try_can_mend_is_kept(status):
    assert is_worth_keeping(status)


@pytest.mark.parametrize("status", [200, 301, 400, 401, 403, 404, 409, 410, 412, 413, 422, 428, 499, 600])
def test_an_answer_is_an_answer(status):
    assert not is_worth_keeping(status)


def test_envelopes_are_delivered_in_the_order_in_which_a_run_speaks():
    kept = keep_envelopes([envelope(kind) for kind in reversed(ORDER)], now=NOW)

    assert [each.kind for each in kept.envelopes] == list(ORDER)
    assert kept.dropped == 0


def test_a_week_is_the_longest():
    kept = keep_envelopes([envelope(part="old", age=MAX_AGE + timedelta(seconds=1)), envelope(age=MAX_AGE)], now=NOW)

    assert [each.key for each in kept.envelopes] == ["9:7:1:events:1"]
    assert kept.dropped == 1


def test_the_same_write_is_kept_once():
    kept = keep_envelopes([envelope(size=1), envelope(size=2)], now=NOW)

    assert [each.body for each in kept.envelopes] == ["x"]
    assert kept.dropped == 0


def test_progress_is_given_up_first_and_the_end_never():
    many = [envelope(part=str(number), size=40, age=timedelta(minutes=number)) for number in range(10)]
    worthy = [envelope(kind, size=100) for kind in sorted(NEVER_DROPPED)]

    kept = keep_envelopes([*many, *worthy], now=NOW, limit=200)

    assert {each.kind for each in kept.envelopes} == NEVER_DROPPED
    assert kept.dropped == len(many)


def test_what_still_fits_is_kept():
    kept = keep_envelopes(
        [envelope("finish", size=50), envelope(part="1", size=100), envelope(part="2", size=100)], now=NOW, limit=150
    )

    assert [each.kind for each in kept.envelopes] == ["events", "finish"]
    assert kept.dropped == 1


def test_a_key_names_its_run_and_its_part():
    assert build_key((9, 7, 2), "finish", "publish") == "9:7:2:finish:publish"
