"""Everything a request is answered with, put together once by `create_app`."""

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime

from coven_action.core.oidc.tokens import TokenRefused
from coven_action.hosted.identifiers import Ids
from coven_action.hosted.metrics import Metrics
from coven_action.hosted.oidc import TokenVerifier
from coven_action.hosted.principals import RunPrincipal
from coven_action.hosted.settings import Settings
from coven_action.hosted.signing import SigningKey
from coven_action.hosted.store.commands import Store

Clock = Callable[[], datetime]


@dataclass(frozen=True, slots=True)
class Keys:
    """What signs and what verifies.

    Args:
        signer: Signs the heads of the audit logs.
        tokens: Verifies the ID tokens of runs.
    """

    signer: SigningKey
    tokens: TokenVerifier


@dataclass(slots=True)
class Endpoint:
    """A deployment at work.

    Args:
        settings: What its operator decided.
        store: Its database.
        keys: What signs and verifies.
        clock: Tells the time.
        ids: Makes tokens and ids.
        admin_token_sha256: Of the local administrator's token; empty where there is none.
        sessions: Sessions by the hash of their token, as far as they were asked for lately; None where one was closed.
        draining: Whether it is being stopped.
        metrics: What it counts about itself.
        recounted: By account, the last day whose use was counted again.
    """

    settings: Settings
    store: Store
    keys: Keys
    clock: Clock
    ids: Ids
    admin_token_sha256: str = ""
    sessions: dict[str, RunPrincipal | None] = field(default_factory=dict)
    draining: bool = False
    metrics: Metrics = field(default_factory=Metrics)
    recounted: dict[int, str] = field(default_factory=dict)

    def note_refusal(self, refused: TokenRefused) -> None:
        """Count a refused token by its reason, which is told to nobody else."""
        self.metrics.refusals.labels(refused.reason.value).inc()
