"""What makes two requests the same request: what they ask for, and not how it is spelled."""

import hashlib
import json

from coven_action.core.records import Record


def build_fingerprint(path: str, precondition: str, document: Record) -> str:
    """Return the SHA-256 of a write.

    Args:
        path: Of the request.
        precondition: Its If-Match, "" where it has none.
        document: What it asks for; its keys are put in order.
    """
    asked = [path, precondition, document.model_dump(mode="json")]
    return hashlib.sha256(json.dumps(asked, sort_keys=True).encode()).hexdigest()


def name_keys(route: str, actor: str) -> str:
    """Return the name under which a route's idempotency keys are kept: they are one run's, or one person's.

    The keys of a run can be guessed. Another run of the account that sent one first would else be told that run's answer,
    or keep it from being heard.

    Args:
        route: Its name.
        actor: Who asks, as the audit log names them.
    """
    return f"{route} {actor}"
