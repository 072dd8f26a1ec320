"""What the gateway says at its end: the only figures of a run that the agent did not write. Pure."""

from pydantic import Field

from coven_action.core.records import Record


class HostCount(Record):
    """A host and how often.

    Attributes:
        host: Its name. One that was refused was written by the agent; it is short and plain, or `(unreadable)`.
        count: Requests, tunnels or refusals.
        tunnel_bytes: What passed through tunnels, both ways together.
    """

    host: str
    count: int = Field(ge=0)
    tunnel_bytes: int = Field(default=0, ge=0)


class GatewayReport(Record):
    """The account of one run.

    Attributes:
        requests: Requests forwarded to the model's host.
        input_tokens: Read by the model and held by no cache.
        output_tokens: Written by the model.
        cache_creation_input_tokens: Read and put into the provider's cache.
        cache_read_input_tokens: Read from the provider's cache.
        estimated_answers: Answers whose end was not seen; their tokens are an estimate from above.
        cost_usd: In US dollars; None where some model has no known price.
        priced_cost_usd: In US dollars, the part whose price is known.
        unpriced_models: The models without one.
        hosts_used: Where connections were made.
        hosts_refused: Where they were asked for and not made.
        refusals: Reason -> how often; the reasons are those of `refusals.REASONS`.
        faults: Place in the gateway's source -> how often it failed there. Empty but for a defect of ours.
        ended_because: `budget-requests`, `budget-tokens` or `budget-cost` where the budget ended the run.
        is_test_network: Whether the internet was a stand-in.
    """

    requests: int = Field(ge=0)
    input_tokens: int = Field(ge=0)
    output_tokens: int = Field(ge=0)
    cache_creation_input_tokens: int = Field(ge=0)
    cache_read_input_tokens: int = Field(ge=0)
    estimated_answers: int = Field(ge=0)
    cost_usd: float | None
    priced_cost_usd: float = Field(ge=0)
    unpriced_models: tuple[str, ...] = ()
    hosts_used: tuple[HostCount, ...] = ()
    hosts_refused: tuple[HostCount, ...] = ()
    refusals: dict[str, int] = Field(default_factory=dict)
    faults: dict[str, int] = Field(default_factory=dict)
    ended_because: str | None = None
    is_test_network: bool = False
