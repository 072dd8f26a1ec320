"""What each tier allows, and what a use of it means."""

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from coven_action.core.endpoint.caps import NEVER_REFUSED, TIERS, measure_cap


@pytest.mark.parametrize(
    ("used", "cap", "standing"),
    [
        (0, 10, "free"),
        (7, 10, "free"),
        (8, 10, "soft"),
        (9, 10, "soft"),
        (10, 10, "hard"),
        (11, 10, "hard"),
        (0, 0, "hard"),
        (0, 1, "soft"),
        (10**9, None, "free"),
    ],
)
def test_a_cap_warns_from_four_fifths_and_refuses_when_it_is_used_up(used, cap, standing):
    assert measure_cap(used, cap) == standing


@given(used=st.integers(0, 1000), cap=st.integers(0, 1000))
def test_more_use_never_stands_better(used, cap):
    order = ["free", "soft", "hard"]

    assert order.index(measure_cap(used, cap)) <= order.index(measure_cap(used + 1, cap))


def test_a_higher_tier_allows_no_less():
    tiers = list(TIERS.values())
    for lower, higher in itertools.pairwise(tiers):
        for name in ("tasks_per_day", "concurrent_runs", "familiars", "memory_entries"):
            least, most = getattr(lower, name), getattr(higher, name)
            assert most is None or (least is not None and least <= most)
        assert lower.history_days <= higher.history_days


def test_what_ends_shows_or_takes_back_is_never_refused():
    assert {"finish", "uses", "revoke", "approve", "reject", "export", "erase", "audit"} == NEVER_REFUSED
