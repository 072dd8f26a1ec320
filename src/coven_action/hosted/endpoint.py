"""Everything a request is answered with, put together once by `create_app`."""

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime

from coven_action.core.endpoint.meta import Meta
from coven_action.core.oidc.tokens import TokenRefused
from coven_action.hosted.disk import Disk, watch_disk
from coven_action.hosted.ended_sessions import EndedSessions
from coven_action.hosted.identifiers import Ids
from coven_action.hosted.metrics import Metrics
from coven_action.hosted.oidc import TokenVerifier
from coven_action.hosted.pacing import Pacer
from coven_action.hosted.principals import RunPrincipal
from coven_action.hosted.readiness import Readiness
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
        former: Have signed before, the latest first: still published, and still able to open what was sealed to them.
    """

    signer: SigningKey
    tokens: TokenVerifier
    former: tuple[SigningKey, ...] = ()

    def unseal(self, sealed: str) -> bytes | None:
        """Return what was sealed to this deployment, with the key of now or a former one; None where it was not."""
        opened = (key.unseal(sealed) for key in (self.signer, *self.former))
        return next((each for each in opened if each is not None), None)

    def describe(self) -> Meta:
        """Return the public halves, as they are published."""
        return Meta(
            api="v1",
            signing_key=self.signer.describe_public_key(),
            former_signing_keys=tuple(key.describe_former_key(self.signer) for key in self.former),
        )


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
        pacer: Holds accounts and runs to their rates.
        disk: The one that the database lies on.
        ended: Tells of sessions that were ended by somebody else.
        ended_before: What it told when `sessions` were last emptied for it.
        readiness: Whether the database could be read, a moment ago.
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
    pacer: Pacer = field(default_factory=Pacer)
    disk: Disk = field(default_factory=lambda: watch_disk(None, 0))
    ended: EndedSessions = field(default_factory=lambda: EndedSessions(None))
    ended_before: tuple[int, int] = (0, 0)
    readiness: Readiness = field(default_factory=Readiness)

    def note_refusal(self, refused: TokenRefused) -> None:
        """Count a refused token by its reason, which is told to nobody else."""
        self.metrics.refusals.labels(refused.reason.value).inc()
