"""The names of the documents, and the two checks every reader of one makes: digest and task."""

from typing import Final

from coven_action.core.documents import TaskIdentity
from coven_action.core.records import sha256_hex
from coven_action.errors import DocumentError

PLAN_DOCUMENT: Final = "plan.json"
OUTCOME_DOCUMENT: Final = "outcome.json"
EVIDENCE_DOCUMENT: Final = "evidence.json"
BUNDLE_FILE: Final = "changes.bundle"
PATCH_FILE: Final = "changes.patch"
LOG_FILE: Final = "agent.log"


def check_digest(data: bytes, expected: str | None, name: str) -> None:
    """Refuse a document that is not the one whose digest the workflow handed over.

    The digest travels as a step or job output, never beside the document it vouches for.
    """
    if expected is not None and sha256_hex(data) != expected:
        raise DocumentError("document-altered", f"{name} is not the document that the earlier stage wrote.", place=name)


def check_task(found: TaskIdentity, wanted: TaskIdentity, name: str) -> None:
    """Refuse a document of another run, or of an earlier attempt of this one."""
    if found != wanted:
        raise DocumentError(
            "document-of-another-run",
            f"{name} belongs to run {found.external_id}, this is run {wanted.external_id}.",
            place=name,
        )
