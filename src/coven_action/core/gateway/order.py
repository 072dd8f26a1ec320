"""What the gateway is told at its start, but for the key, which never stands in a document. Pure."""

from typing import Final, Self

from pydantic import Field, model_validator

from coven_action.core.gateway.hosts import TLS_PORT, is_host_name
from coven_action.core.gateway.refusals import Provider
from coven_action.core.records import Record

MIB: Final = 1024 * 1024
MIN_KEY: Final = 8
MAX_KEY: Final = 4096


class Rates(Record):
    """What tokens cost, in US dollars for a million of them.

    Attributes:
        input: Tokens that are held by no cache.
        output: Tokens that the model writes.
        cache_creation: Tokens put into the provider's cache; where it has several prices, the highest.
        cache_read: Tokens read from the provider's cache.
    """

    input: float = Field(ge=0, le=10**6)
    output: float = Field(ge=0, le=10**6)
    cache_creation: float = Field(ge=0, le=10**6)
    cache_read: float = Field(ge=0, le=10**6)


class LongContext(Rates):
    """What all tokens of an answer cost whose request was long.

    Attributes:
        above: A request is long that has more tokens than this, those in the provider's cache included.
    """

    above: int = Field(gt=0)


class Price(Rates):
    """What a model costs.

    Attributes:
        long_context: The rates of long requests; None where they cost the same.
    """

    long_context: LongContext | None = None


class Budget(Record):
    """What a run may spend at its model. What is under way when it is used up may come on top: `parallel` answers at most.

    Attributes:
        requests: Requests that are forwarded. There is always such a limit: tokens and money are known after the fact.
        tokens: Of all four kinds together; None for no limit.
        cost_usd: Money; None for no limit. Answers of a model without a price count nothing here.
    """

    requests: int = Field(gt=0)
    tokens: int | None = Field(default=None, gt=0)
    cost_usd: float | None = Field(default=None, gt=0)


class TestNetwork(Record):
    """A stand-in for the internet, for tests alone: who is asked, and who is believed, instead of the real ones.

    Attributes:
        certificates: The certificates, in PEM, that are trusted instead of the system's.
        routes: Host name -> port on 127.0.0.1 at which it is found.
    """

    __test__ = False  # the name is no test case

    certificates: str
    routes: dict[str, int]


class GatewayOrder(Record):
    """How one gateway works: one model's host, one key, one run.

    Attributes:
        provider: How the model's host speaks.
        host: The one host that the key goes to.
        prefix: What stands there in front of `/v1`.
        models: The models that may be asked for, exactly; none means any.
        hosts: Hosts to which tunnels may be opened, on port 443, without any key.
        budget: What the run may spend.
        prices: Model -> price; a dated snapshot of a model that is listed has its price.
        socket: The path of the socket. Its folder exists, is ours, and nobody else may enter it.
        is_socket_shared: Whether every user may connect. The folder keeps them out but for those into whose view the
            socket is bound.
        parallel: Requests that are forwarded at a time; more wait.
        connections: Connections that are open at a time; more are refused.
        request_bytes: Body of a request.
        response_bytes: Body of an answer.
        tunnel_bytes: What passes through one tunnel, both ways together.
        connect_seconds: Until a host must have answered the connection.
        silence_seconds: How long a host may be silent in the midst of an answer.
        internal_be_careful_test_network: Replaces the internet and whom to trust; a report says that it did.
    """

    provider: Provider
    host: str
    prefix: str = Field(default="", pattern=r"^(?:/[A-Za-z0-9_-]+(?:\.[A-Za-z0-9_-]+)*){0,8}$")
    models: tuple[str, ...] = ()
    hosts: tuple[str, ...] = ()
    budget: Budget
    prices: dict[str, Price] = Field(default_factory=dict)
    socket: str
    is_socket_shared: bool = False
    parallel: int = Field(default=8, gt=0, le=64)
    connections: int = Field(default=64, gt=0, le=1024)
    request_bytes: int = Field(default=32 * MIB, gt=0)
    response_bytes: int = Field(default=64 * MIB, gt=0)
    tunnel_bytes: int = Field(default=1024 * MIB, gt=0)
    connect_seconds: float = Field(default=30.0, gt=0)
    silence_seconds: float = Field(default=600.0, gt=0)
    internal_be_careful_test_network: TestNetwork | None = None

    @model_validator(mode="after")
    def _check_hosts(self) -> Self:
        wrong = [name for name in (self.host, *self.hosts) if not is_host_name(name)]
        if wrong:
            raise ValueError(f"{wrong[0]!r} is no host name: ASCII, lower case, without port, address or wildcard")
        if self.host in self.hosts:
            # A tunnel shows neither requests nor tokens, and would carry a key of the agent's own.
            raise ValueError(f"{self.host} is the model's host and cannot be reached by a tunnel as well")
        return self

    def get_port(self, host: str) -> int:
        """Return the port at which a host is reached: 443, but in the test network."""
        network = self.internal_be_careful_test_network
        return network.routes[host] if network is not None and host in network.routes else TLS_PORT


def is_key(text: str) -> bool:
    """Whether a text can be a key: visible ASCII in one piece, which is all that can stand in a header."""
    return MIN_KEY <= len(text) <= MAX_KEY and all("!" <= character <= "~" for character in text)
