"""How many requests in a time."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from coven_action.core.endpoint.token_bucket import BURST_SECONDS, LEAST_BURST, build_flow, count_wait, fill, take

MOMENTS = st.lists(st.floats(0, 120), min_size=1, max_size=200).map(sorted)


def ask(flow, moments):
    """Return at which of these moments a request was let through."""
    bucket, passed = None, []
    for now in moments:
        bucket = fill(bucket, flow, now)
        if count_wait(bucket, flow) == 0:
            bucket = take(bucket)
            passed.append(now)
    return passed


@pytest.mark.parametrize(
    ("per_minute", "share", "per_second", "burst"),
    [
        (600, 1, 10, 30),
        (600, 4, 2.5, 7.5),
        (60, 1, 1, LEAST_BURST),
        (60, 4, 0.25, LEAST_BURST / 4),
        (1, 100, 1 / 6000, 1),
    ],
)
def test_a_rate_is_a_flow_and_what_flows_in_some_seconds(per_minute, share, per_second, burst):
    assert build_flow(per_minute, share) == pytest.approx((per_second, burst))
    assert BURST_SECONDS == 3


@given(moments=MOMENTS, per_minute=st.integers(1, 5000))
def test_no_span_of_time_lets_more_through_than_its_flow_and_the_burst(moments, per_minute):
    flow = build_flow(per_minute)
    passed = ask(flow, moments)

    for first, start in enumerate(passed):
        for last in range(first, len(passed)):
            allowed = flow.burst + (passed[last] - start) * flow.per_second
            assert last - first + 1 <= allowed + 1e-6


@given(per_minute=st.integers(1, 5000), level=st.floats(0, 1))
def test_who_waits_as_long_as_told_is_let_through(per_minute, level):
    flow = build_flow(per_minute)
    bucket = fill(None, flow, 0.0)._replace(level=level)
    wait = count_wait(bucket, flow)

    assert count_wait(fill(bucket, flow, wait * 1.000001), flow) == pytest.approx(0, abs=1e-9)


def test_a_refusal_costs_nothing_and_a_clock_that_stands_still_fills_nothing():
    flow = build_flow(60)

    assert len(ask(flow, [5.0] * 100)) == LEAST_BURST
    assert len(ask(flow, [5.0] * 100 + [6.0])) == LEAST_BURST + 1
    assert fill(fill(None, flow, 9.0)._replace(level=0.0), flow, 3.0).level == 0
