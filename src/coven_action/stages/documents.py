"""The names of the documents, and the checks that every reader of one makes: digest and task."""

from typing import Final

from coven_action.core.documents import TaskIdentity
from coven_action.core.records import sha256_hex
from coven_action.errors import DocumentError
from coven_action.stages.ports import Documents

PLAN_DOCUMENT: Final = "plan.json"
OUTCOME_DOCUMENT: Final = "outcome.json"
EVIDENCE_DOCUMENT: Final = "evidence.json"
BUNDLE_FILE: Final = "changes.bundle"
PATCH_FILE: Final = "changes.patch"
LOG_FILE: Final = "agent.log"


def check_digest(data: bytes, expected: str | None, name: str) -> None:
    """Refuse a document that is not the one whose digest the workflow handed over.

    The digest travels as a step or job output, never beside the document it vouches for. Where none was handed over, the
    earlier stage died before it could vouch for what lies there, and what lies there is anybody's.
    """
    if expected is None:
        raise DocumentError("digest-missing", f"Nobody has vouched for {name}: its digest is missing.", place=name)
    if sha256_hex(data) != expected:
        raise DocumentError("document-altered", f"{name} is not the document that the earlier stage wrote.", place=name)


def check_task(found: TaskIdentity, wanted: TaskIdentity, name: str) -> None:
    """Refuse a document of another run, or of an earlier attempt of this one."""
    if found != wanted:
        raise DocumentError(
            "document-of-another-run",
            f"{name} belongs to run {found.external_id}, this is run {wanted.external_id}.",
            place=name,
        )


def check_bundle(documents: Documents, expected: str | None) -> None:
    """Refuse a bundle that is not the one whose digest the outcome holds; where that holds none there is none to read."""
    if expected is not None and documents.measure(BUNDLE_FILE).sha256 != expected:
        raise DocumentError("document-altered", "The bundle is not the one the run wrote.", place=BUNDLE_FILE)
