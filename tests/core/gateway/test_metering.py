"""The account of a run: exact sums, an end in time, and no free answers for whoever hangs up."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from coven_action.core.gateway import metering
from coven_action.core.gateway.bodies import ModelRequest
from coven_action.core.gateway.metering import UNSTATED_OUTPUT, Ledger, find_price, measure_cost
from coven_action.core.gateway.order import Budget, LongContext, Price
from coven_action.core.gateway.refusals import Refused
from coven_action.core.gateway.usage import Reading, Tokens

SONNET = Price(input=3.0, output=15.0, cache_creation=3.75, cache_read=0.3)
ASKED = ModelRequest("claude", is_streamed=True, output_limit=100, body=b"x" * 30)


def complete(*counts, model="claude"):
    return Reading(Tokens(*counts), model, is_complete=True)


def build(**budget):
    return Ledger(Budget(**{"requests": 5, **budget}), {"claude": SONNET})


def spend(ledger, reading, asked=ASKED, **more):
    return ledger.charge(asked, reading, **{"hung_up": False, "answer_bytes": 0, **more})


def refuse(call, *given) -> str:
    with pytest.raises(Refused) as caught:
        call(*given)
    return caught.value.reason


def test_exactly_the_allowed_requests_are_admitted_and_the_next_ends_the_run():
    ledger = build(requests=2)

    assert [ledger.admit("a"), ledger.admit("a")] == [1, 2]
    ledger.check()
    assert ledger.ended_because is None
    assert refuse(ledger.admit, "a") == "budget-requests"
    assert refuse(ledger.check) == ledger.ended_because == "budget-requests"
    assert ledger.report().requests == 2


@pytest.mark.parametrize(
    ("budget", "reason"),
    [
        ({"tokens": 100}, "budget-tokens"),
        ({"cost_usd": 0.0008}, "budget-cost"),
        ({"tokens": 100, "cost_usd": 0.0008}, "budget-tokens"),
    ],
)
def test_what_is_spent_ends_the_run(budget, reason):
    ledger = build(**budget)
    spend(ledger, complete(30, 20))
    assert ledger.ended_because is None

    spend(ledger, complete(30, 20, 0, 200))
    assert ledger.ended_because == reason
    assert refuse(ledger.admit, "a") == reason
    spend(ledger, complete(10**6))
    assert ledger.ended_because == reason


def test_sums_are_exact():
    ledger = build()
    for _ in range(1000):
        spend(ledger, complete(1, 1, 1, 1))

    assert ledger.report().cost_usd == 0.02205
    assert measure_cost(SONNET, Tokens(1, 1, 1, 1)) == 22_050_000


@pytest.mark.parametrize(
    ("tokens", "cost"),
    [
        (Tokens(10, 50, 0, 0), 10 * 1 + 50 * 2),
        (Tokens(4, 0, 3, 3), 4 * 1 + 3 * 3 + 3 * 4),
        # One token more, and every token of the answer costs the rate of long requests.
        (Tokens(11, 50, 0, 0), 11 * 10 + 50 * 20),
        (Tokens(4, 1, 3, 4), 4 * 10 + 1 * 20 + 3 * 30 + 4 * 40),
    ],
)
def test_a_long_request_costs_its_own_rates(tokens, cost):
    long = LongContext(above=10, input=10, output=20, cache_creation=30, cache_read=40)
    price = Price(input=1, output=2, cache_creation=3, cache_read=4, long_context=long)

    assert measure_cost(price, tokens) == cost * 10**6


@given(st.lists(st.tuples(*[st.integers(min_value=0, max_value=10**6)] * 4), max_size=20))
def test_the_parts_cost_what_the_whole_costs(parts):
    total = sum((Tokens(*part) for part in parts), Tokens())

    assert sum(measure_cost(SONNET, Tokens(*part)) for part in parts) == measure_cost(SONNET, total)


@pytest.mark.parametrize(
    ("model", "priced"),
    [("claude", True), ("claude-20260101", True), ("claude-2026-01-01", True), ("claude-2026", False), ("claude-next", False),
     ("claude-20260101-x", False), ("CLAUDE", False), ("", False), ("-20260101", False)],
)  # fmt: skip
def test_a_price_is_of_a_model_or_of_its_dated_snapshots(model, priced):
    assert (find_price({"claude": SONNET}, model) is SONNET) is priced


def test_a_model_without_a_price_makes_the_cost_unknown_and_its_tokens_count():
    ledger = build(tokens=100, cost_usd=0.000001)
    other = ModelRequest("other", is_streamed=False, output_limit=None, body=b"")
    spend(ledger, complete(60, 0, model="other"), other)
    report = ledger.report()

    assert (report.cost_usd, report.priced_cost_usd, report.unpriced_models) == (None, 0.0, ("other",))
    assert ledger.ended_because is None
    spend(ledger, complete(60, 0, model="other"), other)
    assert ledger.ended_because == "budget-tokens"


def test_the_model_that_answered_decides_the_price_and_else_the_one_that_was_asked():
    ledger = Ledger(
        Budget(requests=1), {"claude": SONNET, "opus": Price(input=10.0, output=0, cache_creation=0, cache_read=0)}
    )
    spend(ledger, complete(10**6, model="opus"))
    assert ledger.report().cost_usd == 10.0
    spend(ledger, complete(10**6, model="unknown"))
    assert ledger.report().cost_usd == 13.0


@pytest.mark.parametrize(
    ("reading", "more", "tokens"),
    [
        (Reading(Tokens(), "", is_complete=False), {"hung_up": True}, Tokens(10, 100)),
        (Reading(Tokens(7, 1, 0, 5), "", is_complete=False), {"hung_up": True}, Tokens(7, 100, 0, 5)),
        (Reading(Tokens(7, 300), "", is_complete=False), {"hung_up": True}, Tokens(7, 300)),
        (Reading(Tokens(), "", is_complete=False), {"answer_bytes": 0}, Tokens(10, 0)),
        (Reading(Tokens(), "", is_complete=False), {"answer_bytes": 31}, Tokens(10, 11)),
        (Reading(Tokens(7), "", is_complete=False), {"answer_bytes": 10**6}, Tokens(7, 100)),
        (complete(1, 2), {"hung_up": True, "answer_bytes": 10**6}, Tokens(1, 2)),
    ],
)
def test_an_answer_without_its_end_is_charged_from_above(reading, more, tokens):
    ledger = build()

    assert spend(ledger, reading, **more) == tokens
    assert ledger.report().estimated_answers == (not reading.is_complete)


def test_an_answer_without_an_end_or_a_limit_is_charged_what_is_usual():
    unlimited = ModelRequest("claude", is_streamed=True, output_limit=None, body=b"")

    assert spend(build(), Reading(Tokens(), "", is_complete=False), unlimited, hung_up=True) == Tokens(
        0, UNSTATED_OUTPUT
    )


def test_whoever_always_hangs_up_comes_to_an_end_as_well():
    ledger = build(requests=1000, tokens=1000)
    for _ in range(10):
        ledger.admit("a")
        spend(ledger, Reading(Tokens(), "", is_complete=False), hung_up=True)

    assert ledger.ended_because == "budget-tokens"


def test_hosts_are_counted_as_used_and_refused(monkeypatch):
    monkeypatch.setattr(metering, "MAX_HOSTS", 2)
    ledger = build()
    ledger.admit("model.test")
    ledger.use("tunnel.test")
    ledger.use("tunnel.test", transferred=40)
    ledger.use("tunnel.test", transferred=2)
    first = [
        ledger.refuse(Refused("host-not-allowed", host=name)) for name in ("B.test", "a.test", "b.test", "c", "d", "c")
    ]
    assert ledger.refuse(Refused("upgrade")) is None
    report = ledger.report()

    assert first == ["b.test", "a.test", None, "(others)", None, None]
    assert [(used.host, used.count, used.tunnel_bytes) for used in report.hosts_used] == [
        ("model.test", 1, 0),
        ("tunnel.test", 1, 42),
    ]
    assert [(host.host, host.count) for host in report.hosts_refused] == [("(others)", 3), ("a.test", 1), ("b.test", 2)]
    assert report.refusals == {"host-not-allowed": 6, "upgrade": 1}


def test_the_names_of_unpriced_models_are_bounded(monkeypatch):
    monkeypatch.setattr(metering, "MAX_HOSTS", 2)
    ledger = build()
    for name in ("x", "y", "z"):
        spend(ledger, complete(1, model=""), ModelRequest(name, is_streamed=False, output_limit=None, body=b""))

    assert ledger.report().unpriced_models == ("x", "y")


def test_a_report_says_what_failed_and_whether_the_internet_was_real():
    ledger = build()
    ledger.note_fault("TypeError at server.py:1")
    report = ledger.report(is_test_network=True)

    assert (report.faults, report.is_test_network) == ({"TypeError at server.py:1": 1}, True)
    assert type(report).model_validate_json(report.model_dump_json()) == report
    assert build().report().cost_usd == 0
