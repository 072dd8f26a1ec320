"""Take over the checks that `verify` observed, and judge them for the commit that would be published. Nothing is run here.

`checks.json` comes from where the repository's code ran. One that nobody has vouched for, that was altered, or that speaks
of another task or commit counts as none: then nothing is published, and people are told why.
"""

from dataclasses import dataclass

from coven_action.core.checks.conclusion import Judgement, judge_checks
from coven_action.core.checks.document import CHECKS_DOCUMENT, Checks, parse_checks
from coven_action.core.checks.observed import build_observed, shorten_observed
from coven_action.core.documents import MAXIMUM_DOCUMENT_BYTES, Fault, ObservedChecks, Outcome, TaskIdentity, Work
from coven_action.core.publication.publication import read_claims
from coven_action.core.records import sha256_hex
from coven_action.core.redaction.redactor import Redactor
from coven_action.core.redaction.values import redact_record
from coven_action.errors import DocumentError
from coven_action.stages.documents import check_digest
from coven_action.stages.faults import build_fault
from coven_action.stages.ports import Documents


@dataclass(frozen=True, slots=True)
class JudgedChecks:
    """The checks of one result.

    Attributes:
        judgement: What they mean.
        observed: What people see of them, covered; None where they could not be believed, or none is configured.
        seconds: How long `verify` took.
    """

    judgement: Judgement
    observed: ObservedChecks | None = None
    seconds: float = 0.0


def judge_observed(
    tip: str,
    *,
    work: Work,
    said: Outcome,
    task: TaskIdentity,
    digest: str | None,
    documents: Documents,
    redactor: Redactor,
) -> JudgedChecks | None:
    """Return what was observed of a commit; None where the run did not end well, so that nothing of it is published.

    Args:
        tip: The commit, in our own clone.
        work: Plan's own copy of what was to be done, which says what is checked.
        said: The outcome as it was read.
        task: Ours.
        digest: What the workflow says `checks.json` must be; None where `verify` has not vouched for one.
        documents: Where it lies.
        redactor: Covers secrets.
    """
    if said.verdict != "worked":
        return None
    data, checks, missing = _read_checks(digest, documents) if work.checks else (b"", None, "")
    judgement = judge_checks(
        checks,
        work.checks,
        task=task,
        base_sha=work.target.base_sha,
        tip_sha=tip,
        failing_checks=work.failing_checks,
        missing=missing,
    )
    if checks is None or not judgement.rows:
        return JudgedChecks(judgement)
    observed = build_observed(
        checks, judgement, sha256=sha256_hex(data), claims=read_claims(said), commands=work.checks
    )
    return JudgedChecks(judgement, shorten_observed(redact_record(observed, redactor)), checks.seconds)


def _read_checks(digest: str | None, documents: Documents) -> tuple[bytes, Checks | None, str]:
    """Return the document, what it says, and why it cannot be believed; "" where it can."""
    try:
        if digest is None:
            return b"", None, f"nobody has vouched for {CHECKS_DOCUMENT}: its digest is missing"
        data = documents.read(CHECKS_DOCUMENT, MAXIMUM_DOCUMENT_BYTES)
        check_digest(data, digest, CHECKS_DOCUMENT)
        return data, parse_checks(data), ""
    except DocumentError as error:
        return b"", None, error.message.removesuffix(".")


def build_check_fault(checks: JudgedChecks | None) -> Fault:
    """Return the fault of a result whose checks nobody has seen."""
    finding = checks.judgement.finding if checks is not None else "nobody has judged the checks"
    return build_fault("verify", DocumentError("checks-not-observed", f"{finding[:1].upper()}{finding[1:]}."))
