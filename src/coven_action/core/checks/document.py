"""`checks.json`: what `verify`, which runs the repository's code and holds no secret, tells `publish`. Pure."""

from typing import Final, Literal

from pydantic import Field

from coven_action.core.checks.results import MAX_CHECKS, CheckResult
from coven_action.core.documents import Isolation, Sha, TaskIdentity, parse_document
from coven_action.core.records import Record

CHECKS_DOCUMENT: Final = "checks.json"


class Checks(Record):
    """`checks.json`: the repository's checks on the base and on the result.

    Attributes:
        task: Whose.
        base_sha: The commit before the change.
        tip_sha: The commit that would be published.
        observed_on: Whether the runner was another than that of the agent, which an escape there could not have touched.
        isolation: What was in force while the checks ran.
        results: One for each check, in the configuration's order.
        seconds: How long the stage took.
    """

    kind: Literal["coven-action/checks"] = "coven-action/checks"
    version: Literal[1] = 1
    task: TaskIdentity
    base_sha: Sha
    tip_sha: Sha
    observed_on: Literal["separate_runner", "same_runner"]
    isolation: Isolation
    results: tuple[CheckResult, ...] = Field(max_length=MAX_CHECKS)
    seconds: float = Field(default=0.0, ge=0)


def parse_checks(data: bytes) -> Checks:
    """Read `checks.json`. Raises `DocumentError` for anything but checks of this version."""
    return parse_document(Checks, data, CHECKS_DOCUMENT)
