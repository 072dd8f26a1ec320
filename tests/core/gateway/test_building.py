"""What the gateway of a run is told, for each kind of familiar and limits."""

import pytest

from coven_action.core.gateway.building import MAX_REQUESTS, MAX_TOKENS, PROVIDERS, build_order
from coven_action.core.gateway.order import Budget
from coven_action.core.gateway.prices import find_price
from coven_action.errors import RuntimeFault


def build(**changed):
    return build_order(
        **({"model": "anthropic/claude-sonnet-4-6", "hosts": (), "cost_cents": None, "socket": "/run/s"} | changed)
    )


@pytest.mark.parametrize(
    ("model", "provider", "host", "name"),
    [
        ("anthropic/claude-sonnet-4-6", "anthropic", "api.anthropic.com", "claude-sonnet-4-6"),
        ("openai/gpt-5.5", "openai", "api.openai.com", "gpt-5.5"),
        ("openai/ft:gpt/own", "openai", "api.openai.com", "ft:gpt/own"),
    ],
)
def test_the_key_goes_to_the_one_host_of_the_models_maker(model, provider, host, name):
    order = build(model=model)

    assert (order.provider, order.host, order.models) == (provider, host, (name,))
    assert (order.hosts, order.socket, order.is_socket_shared) == ((), "/run/s", True)
    assert order.internal_be_careful_test_network is None


@pytest.mark.parametrize(("cents", "dollars"), [(None, 5.0), (1, 0.01), (250, 2.5), (1_000_000, 10_000.0)])
def test_a_run_may_spend_what_is_written_and_else_five_dollars(cents, dollars):
    assert build(cost_cents=cents).budget == Budget(requests=MAX_REQUESTS, cost_usd=dollars)


def test_the_price_travels_with_the_order():
    assert build().prices == {"claude-sonnet-4-6": find_price("anthropic", "claude-sonnet-4-6")}
    dated = build(model="anthropic/claude-sonnet-4-5-20250929")
    assert dated.prices == {"claude-sonnet-4-5-20250929": find_price("anthropic", "claude-sonnet-4-5")}


def test_without_a_price_requests_and_tokens_are_bounded_instead():
    order = build(model="anthropic/claude-sonnet-99")

    assert order.budget == Budget(requests=MAX_REQUESTS, tokens=MAX_TOKENS)
    assert order.prices == {}


def test_without_a_price_nobody_promises_an_amount():
    with pytest.raises(RuntimeFault) as caught:
        build(model="anthropic/claude-sonnet-99", cost_cents=500)

    assert caught.value.code == "model-price-unknown"
    assert "claude-sonnet-99" in str(caught.value)


@pytest.mark.parametrize(
    "model", ["", "claude-sonnet-4-6", "anthropic/", "google/gemini", "Anthropic/claude", "/claude"]
)
def test_a_model_of_nobody_known_is_refused(model):
    with pytest.raises(RuntimeFault) as caught:
        build(model=model)

    assert caught.value.code == "model-not-supported"
    assert all(provider in str(caught.value) for provider in PROVIDERS)


def test_tunnels_lead_to_the_hosts_of_the_familiar_and_never_to_the_models():
    order = build(hosts=("pypi.org", "api.anthropic.com", "files.pythonhosted.org"))

    assert order.hosts == ("pypi.org", "files.pythonhosted.org")
