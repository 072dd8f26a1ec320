"""The observed checks as the evidence holds them: beside what the familiar says, and short enough for people. Pure."""

from collections.abc import Sequence
from typing import Final

from coven_action.core.checks.conclusion import Judgement, compare_claims
from coven_action.core.checks.document import Checks
from coven_action.core.checks.results import MAX_LINE, CheckCommand, ClaimedRow, ObservedRow
from coven_action.core.contract.result import ClaimedTest
from coven_action.core.documents import ObservedChecks, Sha256

MAX_CLAIMS: Final = 10
"""Claims that are shown beside what was observed: those about our own checks come first."""
MAX_COMMAND: Final = 120
"""Characters shown of a command that the familiar names."""


def build_observed(
    checks: Checks,
    judgement: Judgement,
    *,
    sha256: Sha256,
    claims: Sequence[ClaimedTest],
    commands: Sequence[CheckCommand],
) -> ObservedChecks:
    """Return checks that have been judged as evidence.

    Args:
        checks: What was observed.
        judgement: What it means.
        sha256: Of the document.
        claims: What the familiar says it ran.
        commands: The configured checks.
    """
    return ObservedChecks(
        sha256=sha256,
        observed_on=checks.observed_on,
        isolation=checks.isolation,
        rows=judgement.rows,
        claimed=compare_claims(claims, checks, commands)[:MAX_CLAIMS],
    )


def shorten_observed(observed: ObservedChecks) -> ObservedChecks:
    """Return observed checks whose lines people can read. Secrets are covered before: a cut one would not be recognised."""
    return observed.model_copy(
        update={
            "rows": tuple(map(_shorten_row, observed.rows)),
            "claimed": tuple(map(_shorten_claim, observed.claimed)),
        }
    )


def _shorten_row(row: ObservedRow) -> ObservedRow:
    return row.model_copy(update={"failing": tuple(shorten_line(line, MAX_LINE) for line in row.failing)})


def _shorten_claim(row: ClaimedRow) -> ClaimedRow:
    return row.model_copy(update={"command": shorten_line(row.command, MAX_COMMAND)})


def shorten_line(text: str, limit: int) -> str:
    """Return the beginning of a text, with an ellipsis where something is missing."""
    return text if len(text) <= limit else f"{text[: limit - 1]}…"
