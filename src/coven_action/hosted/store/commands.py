"""What a store is asked to do, and what it answers when it cannot. Values only."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Generic, Protocol, TypeVar

from sqlalchemy import Row

from coven_action.hosted.store.prepared_query import Query
from coven_action.hosted.store.transaction import IdempotencyKey, Reply, RunKey, Transaction

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Command(Generic[T]):
    """A piece of work that changes something.

    Args:
        tenant_id: Whose it is; 0 where the tenant is about to be made.
        work: Does it. What it raises undoes it alone, and reaches whoever asked.
        idempotency: Under which key its answer is kept. The work then returns a `Reply`.
        run: The run it works on, where it does: looked up for all commands of a group at once.
        appending: Whether the work is short and has no statement of its own: it appends a little to that run, and to nothing
            else. Work of several tenants may then share a commit.
        scrub: Whether no byte of what it deletes may be left in the store's files when whoever asked is told.
    """

    tenant_id: int
    work: Callable[[Transaction], T]
    idempotency: IdempotencyKey | None = None
    run: RunKey | None = None
    appending: bool = False
    scrub: bool = False


class Reading(Protocol):
    """A view of the database that nothing changes."""

    tenant_id: int
    now: int

    def fetch_all(self, statement: Query, parameters: Any = None) -> Sequence[Row[Any]]:
        """Return every row of a query."""
        ...

    def fetch_one(self, statement: Query, parameters: Any = None) -> Row[Any] | None:
        """Return the first row of a query, None where there is none."""
        ...


class Store(Protocol):
    """A database of the endpoint.

    Attributes:
        gaps: Where what a command with `scrub` deletes may lie nevertheless, for people.
        shared: Whether other processes may change it meanwhile, so that what was read before may not hold any more.
    """

    gaps: tuple[str, ...]
    shared: bool

    async def write(self, command: Command[T]) -> T:
        """Do the work and return its result, once that is durable.

        Raises:
            StoreUnavailable: The database could not take it; nothing was changed.
            KeyReused: The idempotency key has already carried another request.
        """
        ...

    async def read(self, tenant_id: int, work: Callable[[Reading], T]) -> T:
        """Return what the work reads, all of it as of one moment."""
        ...

    def stream(self, tenant_id: int, work: Callable[[Reading], Iterator[T]]) -> Iterator[T]:
        """Yield what the work reads, all of it as of the moment at which it begins; for more than fits in memory."""
        ...

    def find_trouble(self, reading: Reading) -> tuple[str, ...]:
        """Say what an operator should look at before it does harm, from a reading of tenant 0."""
        ...

    async def close(self) -> None:
        """Finish what was accepted, then close."""
        ...


class StoreUnavailable(Exception):
    """Raised when the database could not take a command: it is full, gone, or has more to do than it can.

    Args:
        reason: A key of `error_codes.CODES`.
        retry_after: Seconds after which a repetition may succeed.
    """

    def __init__(self, reason: str, retry_after: int = 1) -> None:
        super().__init__(reason)
        self.reason = reason
        self.retry_after = retry_after


class KeyReused(Exception):
    """Raised when an idempotency key comes with another request than the first time."""


__all__ = [
    "Command",
    "IdempotencyKey",
    "KeyReused",
    "Reading",
    "Reply",
    "RunKey",
    "Store",
    "StoreUnavailable",
    "Transaction",
]
