"""How many requests in a time: a bucket that fills steadily, and that each request takes one token from. Pure.

A rate is a number of requests a minute. So that a run may ask several things at once, a full bucket holds what flows in
within `BURST_SECONDS`, and never less than `LEAST_BURST`.
"""

from typing import Final, NamedTuple

BURST_SECONDS: Final = 3
LEAST_BURST: Final = 20


class Flow(NamedTuple):
    """What a rate means for a bucket.

    Args:
        per_second: Tokens that flow in.
        burst: Tokens that it holds at most.
    """

    per_second: float
    burst: float


class Bucket(NamedTuple):
    """A bucket, as it was when it was last looked at.

    Args:
        level: Tokens in it.
        at: When, in seconds of a clock that only goes on.
    """

    level: float
    at: float


def build_flow(per_minute: int, share: int = 1) -> Flow:
    """Return the flow of a rate that so many processes share evenly."""
    per_second = per_minute / 60 / share
    return Flow(per_second, max(per_second * BURST_SECONDS, LEAST_BURST / share, 1.0))


def fill(bucket: Bucket | None, flow: Flow, now: float) -> Bucket:
    """Return the bucket as it is now; one that nobody has taken from yet is full."""
    if bucket is None:
        return Bucket(flow.burst, now)
    elapsed = max(0.0, now - bucket.at)
    return Bucket(min(flow.burst, bucket.level + elapsed * flow.per_second), now)


def count_wait(bucket: Bucket, flow: Flow) -> float:
    """Return after how many seconds a token is there; 0 where one is there now."""
    return max(0.0, (1.0 - bucket.level) / flow.per_second)


def take(bucket: Bucket) -> Bucket:
    """Return the bucket with one token less; an empty one stays empty, so that nobody pays for what was owed to them."""
    return bucket._replace(level=max(0.0, bucket.level - 1.0))
