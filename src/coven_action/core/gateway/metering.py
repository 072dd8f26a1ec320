"""Keep the account of one run: requests, tokens, money, hosts, and the end when the budget is used up. Pure.

Money is counted in whole picodollars, so that sums are exact. An answer whose end nobody saw is not free: an agent that
hangs up before the count arrives would otherwise never run out of budget. It is charged what it may have cost at most,
and the report says for how many this was so.
"""

import re
from collections import Counter
from collections.abc import Mapping
from typing import Final

from coven_action.core.gateway.bodies import ModelRequest
from coven_action.core.gateway.hosts import show_host
from coven_action.core.gateway.order import Budget, Price, Rates
from coven_action.core.gateway.refusals import Refused
from coven_action.core.gateway.report import GatewayReport, HostCount
from coven_action.core.gateway.usage import Reading, Tokens

PICODOLLARS: Final = 10**12
"""A dollar. A price of a dollar for a million tokens is 10**6 of them for one token."""
UNSTATED_OUTPUT: Final = 8192
"""Tokens charged for an unseen answer to a request that states no limit."""
BYTES_PER_TOKEN: Final = 3
"""Fewer than English or code has, so that the estimate is too high rather than too low."""
MAX_HOSTS: Final = 100
"""Different hosts that a report names; the rest are counted together."""
OTHER_HOSTS: Final = "(others)"
_SNAPSHOT: Final = re.compile(r"-(?:[0-9]{8}|[0-9]{4}-[0-9]{2}-[0-9]{2})")


class Ledger:
    """The account of one run.

    Args:
        budget: What may be spent.
        prices: Model -> price.
    """

    def __init__(self, budget: Budget, prices: Mapping[str, Price]) -> None:
        self._budget = budget
        self._prices = prices
        self._requests = 0
        self._tokens = Tokens()
        self._picodollars = 0
        self._estimated = 0
        self._unpriced: Counter[str] = Counter()
        self._used: Counter[str] = Counter()
        self._bytes: Counter[str] = Counter()
        self._refused: Counter[str] = Counter()
        self._reasons: Counter[str] = Counter()
        self._faults: Counter[str] = Counter()
        self.ended_because: str | None = None

    def check(self) -> None:
        """Refuse whoever comes after the end.

        Raises:
            Refused: With the reason for which the run ended.
        """
        if self.ended_because is not None:
            raise Refused(self.ended_because)

    def admit(self, host: str) -> int:
        """Count a request that is about to be forwarded, and return its number.

        Raises:
            Refused: `budget-requests`, or the reason for which the run ended before.
        """
        self.check()
        if self._requests >= self._budget.requests:
            self.ended_because = "budget-requests"
            self.check()
        self._requests += 1
        self.use(host)
        return self._requests

    def charge(self, request: ModelRequest, reading: Reading, *, hung_up: bool, answer_bytes: int) -> Tokens:
        """Charge an answer that spent tokens, and return what was charged.

        Args:
            request: What was asked.
            reading: What the answer said of its cost.
            hung_up: Whether the agent, and not the model's host, cut the answer short.
            answer_bytes: How much of the answer came.
        """
        tokens = reading.tokens
        if not reading.is_complete:
            self._estimated += 1
            limit = request.output_limit or UNSTATED_OUTPUT
            # A host that breaks off bills what it sent; one that is left alone may go on to the end.
            output = limit if hung_up else min(limit, -(-answer_bytes // BYTES_PER_TOKEN))
            read = tokens.input + tokens.cache_creation + tokens.cache_read
            tokens = tokens.max(Tokens(input=0 if read else -(-len(request.body) // BYTES_PER_TOKEN), output=output))
        self._tokens += tokens
        self._charge_money(tokens, reading.model, request.model)
        self._end_when_spent()
        return tokens

    def use(self, host: str, *, transferred: int = 0) -> None:
        """Note that a host of the order was reached; with `transferred`, that so many bytes passed through a tunnel."""
        self._used[host] += not transferred
        self._bytes[host] += transferred

    def refuse(self, refused: Refused) -> str | None:
        """Note a refusal; return the host as it may be shown where it is refused for the first time."""
        self._reasons[refused.reason] += 1
        if refused.host is None:
            return None
        host = show_host(refused.host)
        if host not in self._refused and len(self._refused) >= MAX_HOSTS:
            host = OTHER_HOSTS
        self._refused[host] += 1
        return host if self._refused[host] == 1 else None

    def note_fault(self, place: str) -> None:
        """Note that the gateway itself failed at a place of its source; the request failed with it."""
        self._faults[place] += 1

    def report(self, *, is_test_network: bool = False) -> GatewayReport:
        """Return the account as it stands."""
        return GatewayReport(
            requests=self._requests,
            input_tokens=self._tokens.input,
            output_tokens=self._tokens.output,
            cache_creation_input_tokens=self._tokens.cache_creation,
            cache_read_input_tokens=self._tokens.cache_read,
            estimated_answers=self._estimated,
            cost_usd=None if self._unpriced else round(self._picodollars / PICODOLLARS, 6),
            priced_cost_usd=round(self._picodollars / PICODOLLARS, 6),
            unpriced_models=tuple(sorted(self._unpriced)),
            hosts_used=tuple(
                HostCount(host=host, count=count, tunnel_bytes=self._bytes[host])
                for host, count in sorted(self._used.items())
            ),
            hosts_refused=tuple(HostCount(host=host, count=count) for host, count in sorted(self._refused.items())),
            refusals=dict(sorted(self._reasons.items())),
            faults=dict(sorted(self._faults.items())),
            ended_because=self.ended_because,
            is_test_network=is_test_network,
        )

    def _charge_money(self, tokens: Tokens, answered: str, asked: str) -> None:
        price = find_price(self._prices, answered) or find_price(self._prices, asked)
        if price is None:
            # The name that was asked for was checked; the other one is the host's.
            if len(self._unpriced) < MAX_HOSTS:
                self._unpriced[asked] += 1
            return
        self._picodollars += measure_cost(price, tokens)

    def _end_when_spent(self) -> None:
        if self.ended_because is None:
            tokens, cost = self._budget.tokens, self._budget.cost_usd
            if tokens is not None and self._tokens.total >= tokens:
                self.ended_because = "budget-tokens"
            elif cost is not None and self._picodollars >= round(cost * PICODOLLARS):
                self.ended_because = "budget-cost"


def find_price(prices: Mapping[str, Price], model: str) -> Price | None:
    """Return the price of a model, or of the listed model whose dated snapshot it is; None where it is unknown."""
    if model in prices:
        return prices[model]
    found = _SNAPSHOT.search(model)
    return prices.get(model[: found.start()]) if found and found.end() == len(model) else None


def measure_cost(price: Price, tokens: Tokens) -> int:
    """Return what the tokens of one answer cost, in picodollars."""
    long, read = price.long_context, tokens.total - tokens.output
    rates: Rates = long if long is not None and read > long.above else price
    return sum(
        getattr(tokens, kind) * round(getattr(rates, kind) * 10**6)
        for kind in ("input", "output", "cache_creation", "cache_read")
    )
