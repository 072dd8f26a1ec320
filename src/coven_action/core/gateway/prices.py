"""List prices of models, as their makers publish them, and of no others. Pure.

What a run may spend is counted with these. They are standard prices for text, without discounts for batches, and without
what a contract says; a model that is not listed has no price, and no amount can be demanded for it. What a maker bills for
putting tokens into its cache depends on how long they stay there, which no answer tells: the longest counts.
"""

from collections.abc import Mapping
from typing import Final

from coven_action.core.gateway.metering import find_price as find_listed
from coven_action.core.gateway.order import LongContext, Price
from coven_action.core.gateway.refusals import Provider


def _price(
    input: float,  # noqa: A002 - as the field is called
    output: float,
    cache_creation: float,
    cache_read: float,
    long_context: LongContext | None = None,
) -> Price:
    return Price(
        input=input, output=output, cache_creation=cache_creation, cache_read=cache_read, long_context=long_context
    )


def _doubled(input: float, output: float, cache_creation: float, cache_read: float) -> Price:  # noqa: A002 - as above
    """Return the price of a model whose long requests cost twice the input and one and a half times the output."""
    long = LongContext(
        above=OPENAI_SHORT,
        input=2 * input,
        output=1.5 * output,
        cache_creation=2 * cache_creation,
        cache_read=2 * cache_read,
    )
    return _price(input, output, cache_creation, cache_read, long)


OPENAI_SHORT: Final = 272_000
"""Tokens of input up to which OpenAI's short-context prices hold."""

ANTHROPIC: Final[Mapping[str, Price]] = {
    "claude-fable-5-1": _price(10, 50, 20, 0.25),
    "claude-fable-5": _price(10, 50, 20, 1),
    "claude-opus-5-5": _price(4, 20, 8, 0.2),
    "claude-opus-5": _price(5, 25, 10, 0.5),
    "claude-opus-4-8": _price(5, 25, 10, 0.5),
    "claude-opus-4-7": _price(5, 25, 10, 0.5),
    "claude-opus-4-6": _price(5, 25, 10, 0.5),
    "claude-opus-4-5": _price(5, 25, 10, 0.5),
    "claude-sonnet-5-5": _price(2, 10, 4, 0.1),
    "claude-sonnet-5": _price(2, 10, 4, 0.2),
    "claude-sonnet-4-6": _price(3, 15, 6, 0.3),
    "claude-sonnet-4-5": _price(
        3, 15, 6, 0.3, LongContext(above=200_000, input=6, output=22.5, cache_creation=12, cache_read=0.6)
    ),
    "claude-haiku-5-5": _price(
        0.1, 0.5, 0.2, 0.01, LongContext(above=100_000, input=0.5, output=2.5, cache_creation=1, cache_read=0.05)
    ),
    "claude-haiku-4-5": _price(1, 5, 2, 0.1),
}
"""Columns: input, output, written to the cache for an hour, read from it; then what a long request costs.

https://platform.claude.com/docs/en/about-claude/pricing and the pages of the models below
https://platform.claude.com/docs/en/models, as indexed and compared with what others read there in October 2026.
"""

OPENAI: Final[Mapping[str, Price]] = {
    "gpt-6.2-sol": _doubled(2, 10, 5, 0.1),
    "gpt-6.1-sol": _doubled(2, 10, 5, 0.1),
    "gpt-6.1-terra": _doubled(1, 5, 2.5, 0.05),
    "gpt-6-sol": _doubled(2, 10, 2.5, 0.2),
    "gpt-6-luna": _doubled(0.1, 0.5, 0.125, 0.01),
    "gpt-5.6-terra": _doubled(2, 12, 2.5, 0.2),
    "gpt-5.6-luna": _doubled(0.2, 1.2, 0.25, 0.02),
    "gpt-5.5": _doubled(5, 30, 5, 0.5),
    "gpt-5.4": _doubled(2.5, 15, 2.5, 0.25),
    "gpt-5.4-mini": _price(0.75, 4.5, 0.75, 0.075),
    "gpt-5.4-nano": _price(0.2, 1.25, 0.2, 0.02),
    "gpt-5.3-codex": _price(1.75, 14, 1.75, 0.175),
    "gpt-5.2": _price(1.75, 14, 1.75, 0.175),
    "gpt-5-mini": _price(0.25, 2, 0.25, 0.025),
}
"""Columns: input, output, written to the cache, read from it. Models before gpt-5.6 bill no writing: it costs the input.

https://developers.openai.com/api/docs/pricing and the pages of the models below
https://developers.openai.com/api/docs/models, as indexed and compared with
https://github.com/github/docs/blob/main/data/tables/copilot/models-and-pricing.yml in October and November 2026. Models
whose price differed between these are left out.
"""

PRICES: Final[Mapping[Provider, Mapping[str, Price]]] = {"anthropic": ANTHROPIC, "openai": OPENAI}


def find_price(provider: Provider, model: str) -> Price | None:
    """Return the price of a model, or of the listed model whose dated snapshot it is; None where it is not listed."""
    return find_listed(PRICES[provider], model)
