"""Who asks: a run with a session, or a person. Made by authentication alone; services decide by these values."""

from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from coven_action.core.endpoint.wire import SessionScopes, Tier
from coven_action.core.oidc.authority import Role
from coven_action.core.records import Record
from coven_action.hosted.store.transaction import RunKey


class SessionDocument(Record):
    """What is known of a session's run, as it stands in the database.

    Args:
        repository_id: Which repository it works in.
        run_id: The workflow run.
        run_attempt: Its attempt.
        event_name: What started it.
        actor_id: Who started it.
        visibility: Of the repository, when the token was signed.
        tier: How far its claims are trusted.
        scopes: What they allow.
    """

    repository_id: int
    run_id: int
    run_attempt: int
    event_name: str
    actor_id: int
    visibility: Literal["public", "private", "internal"]
    tier: Tier
    scopes: SessionScopes


@dataclass(frozen=True, slots=True)
class RunPrincipal:
    """A run with an open session."""

    tenant_id: int
    session: SessionDocument
    token_sha256: str
    expires_at: datetime

    @property
    def run(self) -> RunKey:
        """The run's key."""
        return RunKey(self.session.repository_id, self.session.run_id)

    @property
    def actor(self) -> str:
        """How the audit log names it."""
        return f"run:{self.session.repository_id}/{self.session.run_id}"


@dataclass(frozen=True, slots=True)
class PersonPrincipal:
    """A person, with the role they have in a tenant."""

    tenant_id: int
    role: Role
    name: str

    @property
    def actor(self) -> str:
        """How the audit log names them."""
        return self.name


Principal = RunPrincipal | PersonPrincipal
