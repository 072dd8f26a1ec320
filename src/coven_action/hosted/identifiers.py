"""Names and tokens that nobody can guess; tests give their own source."""

import secrets
from typing import Protocol


class Ids(Protocol):
    """A source of what must be unique."""

    def token(self) -> str:
        """Return 256 random bits, as text that needs no quoting."""
        ...

    def new(self, prefix: str) -> str:
        """Return a new id that begins with a prefix."""
        ...


class RandomIds:
    """Ids of the system's random source."""

    def token(self) -> str:
        """Return 256 random bits, as text that needs no quoting."""
        return secrets.token_urlsafe(32)

    def new(self, prefix: str) -> str:
        """Return a new id that begins with a prefix."""
        return f"{prefix}_{secrets.token_hex(12)}"
