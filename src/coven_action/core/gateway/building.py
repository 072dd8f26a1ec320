"""Make the order of a run's gateway from what the configuration says of the familiar and its limits. Pure."""

from collections.abc import Mapping, Sequence
from typing import Final, NamedTuple

from coven_action.core.configuration.document import DEFAULT_COST_CENTS
from coven_action.core.gateway.order import Budget, GatewayOrder
from coven_action.core.gateway.prices import find_price
from coven_action.core.gateway.refusals import Provider
from coven_action.errors import RuntimeFault

MAX_REQUESTS: Final = 2_000
"""Requests of a run: far more than a task takes, and an end for a familiar that goes round in circles."""
MAX_TOKENS: Final = 50_000_000
"""Tokens of a run whose money cannot be counted."""
_CENTS: Final = 100


class _Place(NamedTuple):
    provider: Provider
    host: str


PROVIDERS: Final[Mapping[str, _Place]] = {
    "anthropic": _Place("anthropic", "api.anthropic.com"),
    "openai": _Place("openai", "api.openai.com"),
}
"""What stands before the slash of a model's name -> how its host speaks, and which host that is."""


def build_order(*, model: str, hosts: Sequence[str], cost_cents: int | None, socket: str) -> GatewayOrder:
    """Return the order of a run's gateway.

    Args:
        model: The familiar's, `provider/name`: the only one that may be asked for.
        hosts: Hosts that it may reach by a tunnel.
        cost_cents: What the run may spend, in US cents; None for the usual amount where the model's price is known, and for
            a limit of tokens where it is not.
        socket: The path of the gateway's socket.

    Raises:
        RuntimeFault: `model-not-supported`, or `model-price-unknown` where an amount is demanded that nobody could keep to.
    """
    provider, _, name = model.partition("/")
    place = PROVIDERS.get(provider)
    if place is None or not name:
        raise RuntimeFault(
            "model-not-supported", f"The gateway leads to models of {' and '.join(PROVIDERS)}, written provider/model."
        )
    price = find_price(place.provider, name)
    if price is None and cost_cents is not None:
        raise RuntimeFault("model-price-unknown", f"limits.cost cannot be kept: the price of {name} is not known.")
    cents = DEFAULT_COST_CENTS if cost_cents is None else cost_cents
    return GatewayOrder(
        provider=place.provider,
        host=place.host,
        models=(name,),
        hosts=tuple(host for host in hosts if host != place.host),
        budget=Budget(requests=MAX_REQUESTS, tokens=MAX_TOKENS)
        if price is None
        else Budget(requests=MAX_REQUESTS, cost_usd=cents / _CENTS),
        prices={} if price is None else {name: price},
        socket=socket,
        is_socket_shared=True,
    )
