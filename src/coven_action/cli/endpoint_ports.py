"""Put the endpoint's adapters together for a stage. Nothing is imported until a configuration names an endpoint."""

import time
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Final

from coven_action.core.configuration.document import Hosted
from coven_action.core.documents import TaskIdentity
from coven_action.core.endpoint.planned import PlannedHistory
from coven_action.core.redaction.redactor import Redactor

if TYPE_CHECKING:
    from coven_action.core.endpoint.wire import EnvelopeKind
    from coven_action.core.records import Record
    from coven_action.core.trust.context import JobContext
    from coven_action.stages.history import History
    from coven_action.stages.ports import KeptOutboxes

OUTBOX_FOLDER: Final = "outbox"


def keep_nothing(kind: "EnvelopeKind", key: str, document: "Record") -> bool:
    """Keep no write: what `plan` asks cannot be answered later."""
    del kind, key, document
    return False


def connect_for_plan(environment: Mapping[str, str], redactor: Redactor) -> Callable[[Hosted], "History"]:
    """Return what gives `plan` the endpoint that a configuration names."""

    def connect(hosted: Hosted) -> "History":
        return _connect(hosted.url, environment, redactor, keep_nothing)

    return connect


def connect_for_publish(
    environment: Mapping[str, str], redactor: Redactor, *, folder: Path, task: TaskIdentity
) -> Callable[[PlannedHistory], "History"]:
    """Return what gives `publish` the endpoint that `plan` has asked, with an outbox for what cannot be delivered."""

    def connect(planned: PlannedHistory) -> "History":
        from coven_action.adapters.outbox import Outbox  # noqa: PLC0415 - as in the module's promise
        from coven_action.core.endpoint.wire import Envelope  # noqa: PLC0415

        outbox = Outbox(folder / OUTBOX_FOLDER, seal_key=planned.seal_key, public=planned.public)

        def keep(kind: "EnvelopeKind", key: str, document: "Record") -> bool:
            return outbox.add(
                Envelope(
                    kind=kind,
                    key=key,
                    repository_id=task.repository_id,
                    run_id=task.run_id,
                    run_attempt=task.run_attempt,
                    created_at=datetime.now(UTC),
                    body=document.model_dump_json(),
                )
            )

        return _connect(planned.url, environment, redactor, keep)

    return connect


def find_outboxes(context: "JobContext", token: str) -> Callable[[], "KeptOutboxes"]:
    """Return what gives `publish` the outboxes of earlier runs."""

    def find() -> "KeptOutboxes":
        from coven_action.adapters.github_artifacts import GitHubArtifacts  # noqa: PLC0415 - as in the module's promise

        return GitHubArtifacts(context.repository, token=token, api_url=context.server.api_url)

    return find


def _connect(
    url: str,
    environment: Mapping[str, str],
    redactor: Redactor,
    keep: Callable[["EnvelopeKind", str, "Record"], bool],
) -> "History":
    from coven_action.adapters.hosted_endpoint import HostedEndpoint, Patience  # noqa: PLC0415 - as above
    from coven_action.adapters.id_token import request_id_token  # noqa: PLC0415

    return HostedEndpoint(
        url,
        request_token=lambda audience: request_id_token(environment, audience),
        redactor=redactor,
        keep=keep,
        patience=Patience(monotonic=time.monotonic, sleep=time.sleep),
    )
