"""The table of prices: what of it can be checked without asking anybody."""

import pytest

from coven_action.core.gateway.metering import Ledger, measure_cost
from coven_action.core.gateway.order import Budget
from coven_action.core.gateway.prices import ANTHROPIC, OPENAI, PRICES, find_price
from coven_action.core.gateway.usage import Tokens

LISTED = [(provider, model) for provider, prices in PRICES.items() for model in prices]
MILLION = 10**6


@pytest.mark.parametrize(
    ("provider", "model", "tokens", "dollars"),
    [
        ("anthropic", "claude-sonnet-4-6", Tokens(MILLION), 3.0),
        ("anthropic", "claude-sonnet-4-6", Tokens(0, MILLION), 15.0),
        ("anthropic", "claude-sonnet-4-6", Tokens(0, 0, MILLION), 6.0),
        ("anthropic", "claude-sonnet-4-6", Tokens(0, 0, 0, MILLION), 0.3),
        ("anthropic", "claude-haiku-5-5", Tokens(100_000), 0.01),
        ("anthropic", "claude-haiku-5-5", Tokens(100_001), 0.0500005),
        ("openai", "gpt-6.2-sol", Tokens(272_000, 100_000), 1.544),
        ("openai", "gpt-6.2-sol", Tokens(300_000, 100_000), 2.7),
    ],
)
def test_an_answer_costs_what_the_list_says(provider, model, tokens, dollars):
    assert measure_cost(find_price(provider, model), tokens) == round(dollars * 10**12)


@pytest.mark.parametrize(("provider", "model"), LISTED)
def test_no_price_is_a_slip_of_the_pen(provider, model):
    """Writing costs more than reading, a cache saves what is read from it, and nothing long is cheaper."""
    price = find_price(provider, model)

    assert 0 < price.cache_read < price.input < price.output
    assert price.input <= price.cache_creation <= 2.5 * price.input
    assert 4 <= price.output / price.input <= 8
    if price.long_context is not None:
        for kind in ("input", "output", "cache_creation", "cache_read"):
            assert getattr(price, kind) < getattr(price.long_context, kind) <= 5 * getattr(price, kind)


@pytest.mark.parametrize(("provider", "model"), LISTED)
def test_a_snapshot_costs_what_its_model_does(provider, model):
    dated = f"{model}-20251001" if provider == "anthropic" else f"{model}-2026-09-29"

    assert find_price(provider, dated) == find_price(provider, model)


@pytest.mark.parametrize(
    ("provider", "model"),
    [
        ("anthropic", "claude-sonnet-99"),
        ("anthropic", "gpt-5.5"),
        ("anthropic", ""),
        ("openai", "claude-sonnet-4-6"),
        ("openai", "gpt-5.5-pro"),
        ("openai", "gpt-5.4-mini-fast"),
        ("openai", "openai/gpt-5.5"),
    ],
)
def test_what_is_not_listed_has_no_price(provider, model):
    assert find_price(provider, model) is None


def test_no_two_makers_list_one_name():
    assert not set(ANTHROPIC) & set(OPENAI)


@pytest.mark.parametrize(("provider", "model"), LISTED)
def test_every_price_can_be_counted_exactly(provider, model):
    """Money is counted in whole picodollars: no rate is finer than that for one token."""
    price = find_price(provider, model)
    rates = [price, *([price.long_context] if price.long_context else [])]

    for rate in rates:
        for kind in ("input", "output", "cache_creation", "cache_read"):
            assert getattr(rate, kind) * MILLION == pytest.approx(round(getattr(rate, kind) * MILLION), abs=1e-6)
    assert Ledger(Budget(requests=1), {model: price}).report().cost_usd == 0
