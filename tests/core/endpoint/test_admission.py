"""Whether a run may work now: one lease a thread, the account's caps, and who goes first."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from coven_action.core.endpoint.admission import WAIT_SECONDS, AdmissionFacts, Holder, decide_admission
from coven_action.core.endpoint.caps import TIERS, Caps

CAPS = Caps(tasks_per_day=10, concurrent_runs=2, familiars=3)


def facts(**changes):
    return AdmissionFacts(
        **{
            "number": 5,
            "familiar": "cody",
            "asked_at": 1_000,
            "tier": "T1",
            "holder": None,
            "waiting": (),
            "counted": False,
            "tasks_today": 0,
            "running": 0,
            "familiars_today": 0,
            "seconds_to_midnight": 3_600,
            "caps": CAPS,
            **changes,
        }
    )


def other(number=4, lease_seconds=0, asked_at=0, tier="T1"):
    return Holder(number=number, familiar="nova", lease_seconds=lease_seconds, asked_at=asked_at, tier=tier)


def test_a_free_thread_is_granted():
    decided = decide_admission(facts())

    assert (decided.decision, decided.code, decided.warnings) == ("granted", "", ())


@pytest.mark.parametrize(("lease", "wait"), [(1, 1), (10, 10), (10_000, WAIT_SECONDS)])
def test_a_second_familiar_waits_no_longer_than_the_lease(lease, wait):
    decided = decide_admission(facts(holder=other(lease_seconds=lease)))

    assert (decided.decision, decided.code, decided.retry_after) == ("wait", "thread-busy", wait)
    assert "nova works on this thread in run 4" in decided.reason


@pytest.mark.parametrize(
    ("waiting", "decision"),
    [
        (other(asked_at=999), "wait"),
        (other(number=4, asked_at=1_000), "wait"),
        (other(number=6, asked_at=1_000), "granted"),
        (other(asked_at=1_001), "granted"),
        (other(asked_at=1, tier="T0"), "granted"),
        (other(asked_at=9_999, tier="T2"), "wait"),
    ],
)
def test_the_more_trusted_goes_first_and_then_who_asked_first(waiting, decision):
    assert decide_admission(facts(waiting=(waiting,))).decision == decision


@pytest.mark.parametrize(
    ("change", "decision", "code"),
    [
        ({"tasks_today": 10}, "refused", "quota-exceeded"),
        ({"tasks_today": 9}, "granted", ""),
        ({"running": 2}, "wait", "too-many-runs"),
        ({"running": 1}, "granted", ""),
        ({"familiars_today": 3}, "refused", "too-many-familiars"),
        ({"familiars_today": 2}, "granted", ""),
        ({"per_day": 5, "repository_tasks_today": 5}, "refused", "quota-exceeded"),
        ({"per_day": 5, "repository_tasks_today": 4}, "granted", ""),
    ],
)
def test_a_cap_that_is_used_up_stops_one_more(change, decision, code):
    decided = decide_admission(facts(**change))

    assert (decided.decision, decided.code) == (decision, code)


def test_a_refusal_names_the_time_at_which_it_ends():
    assert decide_admission(facts(tasks_today=10)).retry_after == 3_600


@pytest.mark.parametrize(
    "used_up", [{"tasks_today": 10}, {"familiars_today": 3}, {"per_day": 5, "repository_tasks_today": 5}]
)
def test_a_task_that_was_counted_is_not_counted_again(used_up):
    assert decide_admission(facts(counted=True, **used_up)).decision == "granted"


def test_people_are_warned_before_a_cap_is_used_up():
    decided = decide_admission(facts(tasks_today=8, running=1))

    assert decided.warnings == ("9 of 10 tasks of today are used", "2 of 2 runs at the same time are used")


counts = st.integers(0, 30)


@given(
    tasks=counts,
    running=counts,
    familiars=counts,
    counted=st.booleans(),
    held=st.booleans(),
    tier=st.sampled_from(sorted(TIERS)),
)
def test_nothing_is_granted_beyond_a_cap_or_beside_a_holder(tasks, running, familiars, counted, held, tier):
    caps = CAPS if tier == "open" else TIERS[tier]
    decided = decide_admission(
        facts(
            tasks_today=tasks, running=running, familiars_today=familiars, counted=counted, caps=caps,
            holder=other(lease_seconds=5) if held else None,
        )
    )  # fmt: skip

    if decided.decision == "granted":
        assert not held
        assert caps.concurrent_runs is None or running < caps.concurrent_runs
        assert counted or caps.tasks_per_day is None or tasks < caps.tasks_per_day
        assert counted or caps.familiars is None or familiars < caps.familiars
    else:
        assert decided.code
        assert decided.reason
