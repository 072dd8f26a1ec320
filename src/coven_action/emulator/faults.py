"""Faults that a test puts between a program and the local GitHub: errors, delays, lost answers."""

import re
import threading
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

_SECONDARY: Final = "You have exceeded a secondary rate limit. Please wait a few minutes before you try again."


@dataclass(slots=True)
class Fault:
    """What happens to matching requests.

    Attributes:
        method: `GET` and so on; `None` matches all.
        path_regex: Searched in the path as it was sent, from the root (`/api/repos/...`), query left out.
        nth: The first matching request that is hit, counted from 1.
        times: How many matching requests are hit.
        status: Answer with this status instead of doing anything; `body` and `headers` go with it.
        delay: Wait so many seconds first.
        drop: Close the connection; nothing was done.
        drop_after: Do what was asked, then close the connection without an answer.
        hits: How many requests were hit.
    """

    method: str | None = None
    path_regex: str = ""
    nth: int = 1
    times: int = 1
    status: int | None = None
    delay: float = 0.0
    drop: bool = False
    drop_after: bool = False
    body: Any = None
    headers: Mapping[str, str] = field(default_factory=dict)
    seen: int = 0
    hits: int = 0

    def matches(self, method: str, path: str) -> bool:
        """Say whether the request is of the kind, and count it; it is hit when its turn has come."""
        if self.method not in {None, method} or not re.search(self.path_regex, path):
            return False
        self.seen += 1
        is_hit = self.nth <= self.seen < self.nth + self.times
        self.hits += is_hit
        return is_hit


class Faults:
    """The faults in force; the first that hits a request decides."""

    def __init__(self) -> None:
        self._faults: list[Fault] = []
        self._lock = threading.Lock()

    def add(self, **facts: Any) -> Fault:
        """Add a fault; the arguments are the attributes of `Fault`.

        Raises:
            ValueError: When `path_regex` is no regular expression.
            TypeError: For an argument that `Fault` does not have.
        """
        fault = Fault(**facts)
        try:
            re.compile(fault.path_regex)
        except re.error as error:
            raise ValueError(f"path_regex: {error}") from error
        with self._lock:
            self._faults.append(fault)
        return fault

    def add_primary_rate_limit(self, *, reset: int, status: int = 403, **facts: Any) -> Fault:
        """Add the answer of a used-up hour; `reset` is the Unix time at which it ends."""
        headers = {"X-RateLimit-Remaining": "0", "X-RateLimit-Reset": str(reset), "X-RateLimit-Limit": "1000"}
        body = {"message": "API rate limit exceeded for installation.", "documentation_url": "https://docs.github.com/"}
        return self.add(status=status, headers=headers, body=body, **facts)

    def add_secondary_rate_limit(self, *, retry_after: int, status: int = 403, **facts: Any) -> Fault:
        """Add the answer to too many requests at once; `retry_after` in seconds."""
        body = {"message": _SECONDARY, "documentation_url": "https://docs.github.com/"}
        return self.add(status=status, headers={"Retry-After": str(retry_after)}, body=body, **facts)

    def clear(self) -> None:
        """Remove all faults."""
        with self._lock:
            self._faults.clear()

    def find_fault(self, method: str, path: str) -> Fault | None:
        """Return the fault that hits this request, counting the request for each that matches."""
        with self._lock:
            hits = [fault for fault in self._faults if fault.matches(method, path)]
        return hits[0] if hits else None
