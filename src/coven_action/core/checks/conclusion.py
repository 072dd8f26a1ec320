"""What the observed checks mean: step 7 of the verification, one table. Pure.

The exit code of a run on the result decides, and nothing else: not what the command printed, not how it went on the base,
not what the familiar claims. Success needs a check of ours that ran; whatever is missing, odd or from another tree is a
fault of ours, and never success. What that comes to, with its title and exit code, says the one table of endings.
"""

from collections.abc import Mapping, Sequence
from enum import StrEnum
from typing import Final, Literal

from coven_action.core.checks.document import Checks
from coven_action.core.checks.results import CheckCommand, CheckResult, CheckRun, ClaimedRow, Counts, ObservedRow
from coven_action.core.contract.result import ClaimedTest
from coven_action.core.documents import Sha, TaskIdentity
from coven_action.core.records import Record

Standing = Literal["passed", "failed", "failed-before-too", "could-not-run"]
FailingChecks = Literal["draft", "nothing"]
_FAILING_LINES: Final = 5


class Judged(StrEnum):
    """What all checks together are."""

    PASSED = "passed"
    NONE_CONFIGURED = "none-configured"
    FAILED = "failed"
    FAULT = "fault"


class Judgement(Record):
    """The verdict on the checks.

    Attributes:
        judged: What they are together.
        publishes: Whether the result may be published.
        finding: Why, in one sentence without a full stop.
        rows: One for each check; what failed comes first.
    """

    judged: Judged
    publishes: bool
    finding: str
    rows: tuple[ObservedRow, ...] = ()


def judge_checks(
    checks: Checks | None,
    commands: Sequence[CheckCommand],
    *,
    task: TaskIdentity,
    base_sha: Sha,
    tip_sha: Sha,
    failing_checks: FailingChecks = "draft",
    missing: str = "no observed checks were handed over",
) -> Judgement:
    """Return what the checks mean for the result.

    Args:
        checks: What `verify` observed; None where it left nothing that can be believed.
        commands: The checks of the configuration on the default branch, which the agent cannot change.
        task: Ours.
        base_sha: The commit the work started from.
        tip_sha: The commit that would be published.
        failing_checks: Whether a result whose checks fail is published as a draft, or not at all.
        missing: Why there are none, where there are none.
    """
    if not commands:
        finding = "no check is configured, so nothing of ours ran on the result"
        return Judgement(judged=Judged.NONE_CONFIGURED, publishes=True, finding=finding)
    mismatch = _find_mismatch(checks, commands, task=task, base_sha=base_sha, tip_sha=tip_sha) if checks else missing
    if checks is None or mismatch:
        return Judgement(judged=Judged.FAULT, publishes=False, finding=mismatch)
    rows = sorted(map(describe_result, checks.results), key=lambda row: _ORDER[row.standing])
    judged = _STANDINGS[rows[0].standing]
    deciding = [row for row in rows if _STANDINGS[row.standing] is judged]
    named = ", ".join(f"{row.name} ({row.after})" if judged is Judged.FAULT else row.name for row in deciding)
    publishes = judged is Judged.PASSED or (judged is Judged.FAILED and failing_checks == "draft")
    return Judgement(judged=judged, publishes=publishes, finding=f"{_FINDINGS[judged]}: {named}", rows=tuple(rows))


# The worst standing among the checks -> what all of them are. What could not be run outweighs what failed: a result is
# published with failing checks, but never unseen.
_STANDINGS: Final[Mapping[Standing, Judged]] = {
    "could-not-run": Judged.FAULT,
    "failed": Judged.FAILED,
    "failed-before-too": Judged.FAILED,
    "passed": Judged.PASSED,
}
_ORDER: Final = {standing: place for place, standing in enumerate(_STANDINGS)}
_FINDINGS: Final = {
    Judged.FAULT: "could not be run on the result",
    Judged.FAILED: "failed on the result",
    Judged.PASSED: "passed on the result",
}


def _find_mismatch(
    checks: Checks, commands: Sequence[CheckCommand], *, task: TaskIdentity, base_sha: Sha, tip_sha: Sha
) -> str:
    """Return why these checks say nothing about this result; "" where they do."""
    compared = {
        "task": checks.task == task,
        "base commit": checks.base_sha == base_sha,
        "commit": checks.tip_sha == tip_sha,
        "list of checks": [result.name for result in checks.results] == [command.name for command in commands],
    }
    wrong = [name for name, same in compared.items() if not same]
    return f"the observed checks are of another {' and another '.join(wrong)}" if wrong else ""


def judge_run(run: CheckRun) -> Literal["passed", "failed", "could-not-run"]:
    """Return how a single run ended. Only an exit code of zero passes, and only of a run that ended by itself."""
    if run.fault or run.timed_out or (run.exit_code is None and run.signal is None):
        return "could-not-run"
    return "passed" if run.exit_code == 0 and run.signal is None else "failed"


def describe_result(result: CheckResult) -> ObservedRow:
    """Return a check as people see it."""
    standing: Standing = judge_run(result.result)
    base = judge_run(result.base) if result.base else None
    if standing == "failed" and base == "failed":
        standing = "failed-before-too"
    before = describe_run(result.base) if result.base else "not run"
    after = describe_run(result.result)
    return ObservedRow(
        name=result.name,
        standing=standing,
        before=before,
        after=after,
        text=_describe_both(result, before, after),
        seconds=result.result.duration_seconds,
        notes=tuple(_list_notes(result, standing)),
        failing=_describe_first_failure(result.result) if standing != "passed" else (),
    )


def _list_notes(result: CheckResult, standing: Standing) -> list[str]:
    notes = []
    if standing == "failed-before-too":
        notes.append("it failed before the change too")
    if result.base is None:
        notes.append("it was not run on the base")
    elif judge_run(result.base) == "could-not-run":
        notes.append("it could not be run on the base")
    if result.result.is_contradictory:
        notes.append("it exits with 0 although it reports failures; the exit code holds")
    return notes


def _describe_both(result: CheckResult, before: str, after: str) -> str:
    """Return one line: `tests 212 → 214 passed`, `lint clean`, `tests base 3 failed, 9 passed → now 12 passed`."""
    base = result.base
    if base is None:
        return f"{result.name} {after}, base not run"
    if before == after:
        return f"{result.name} {after}"
    if _passed_only(base) and _passed_only(result.result) and base.counts and result.result.counts:
        return f"{result.name} {base.counts.passed} → {result.result.counts.passed} passed"
    return f"{result.name} base {before} → now {after}"


def _passed_only(run: CheckRun) -> bool:
    counts = run.counts
    return judge_run(run) == "passed" and counts is not None and counts.total == counts.passed > 0


def describe_run(run: CheckRun) -> str:
    """Return how a run ended, in a few words: `214 passed`, `clean`, `3 failed, 9 passed`, `failed (exit 2)`."""
    ended = judge_run(run)
    if run.fault:
        return f"could not run: {run.fault}"
    if run.timed_out:
        return f"timed out after {run.duration_seconds:.0f} s"
    if ended == "could-not-run":
        return "could not run"
    if run.signal is not None:
        return f"killed by signal {run.signal}"
    counted = _describe_counts(run.counts) if run.counts else ""
    if ended == "passed":
        return counted or "clean"
    # Without a failed test in its counts the exit code is what failed, as where coverage is too low.
    return (
        counted
        if run.counts and run.counts.unsuccessful
        else f"failed (exit {run.exit_code})" + (counted and f", {counted}")
    )


def _describe_counts(counts: Counts) -> str:
    parts = (
        (counts.failed, "failed"),
        (counts.errors, "error" if counts.errors == 1 else "errors"),
        (counts.passed, "passed"),
        (counts.skipped, "skipped"),
    )
    return ", ".join(f"{count} {word}" for count, word in parts if count)


def _describe_first_failure(run: CheckRun) -> tuple[str, ...]:
    """Return the first failure in five lines: what and where, the assertion, what follows; else the output's last lines."""
    if not run.failures:
        return tuple(line for line in run.tail.split("\n") if line.strip())[-_FAILING_LINES:]
    first = run.failures[0]
    place = f"{first.file}:{first.line}" if first.file and first.line else first.file
    heading = " · ".join(filter(None, (first.test, place)))
    return tuple(filter(None, (heading, first.message, *first.lines)))[:_FAILING_LINES]


def compare_claims(
    claims: Sequence[ClaimedTest], checks: Checks, commands: Sequence[CheckCommand]
) -> tuple[ClaimedRow, ...]:
    """Return what the familiar says it ran beside what we saw of the same commands. A claim decides nothing.

    Those that we can judge come first, the wrong ones before the others: no long list hides one.

    Args:
        claims: The runtime's own list.
        checks: What was observed.
        commands: The configured checks; a claim is about one of them where its command is the same but for spaces.
    """
    observed = {
        " ".join(command.run.split()): result.result
        for command, result in zip(commands, checks.results, strict=False)
        if command.name == result.name
    }
    rows = (_compare(claim, observed.get(" ".join(claim.command.split()))) for claim in claims)
    return tuple(sorted(rows, key=lambda row: _CLAIM_ORDER.index(row.agrees)))


_CLAIM_ORDER: Final = (False, True, None)


def _compare(claim: ClaimedTest, run: CheckRun | None) -> ClaimedRow:
    claimed = claim.status.replace("_", " ")
    if run is None:
        return ClaimedRow(command=claim.command, claimed=claimed, observed="not run by us", agrees=None)
    agrees = claim.status == judge_run(run) if claim.status in {"passed", "failed"} else None
    return ClaimedRow(command=claim.command, claimed=claimed, observed=describe_run(run), agrees=agrees)


def describe_claims(rows: Sequence[ClaimedRow]) -> str:
    """Return one sentence fragment for the line of the observed checks."""
    judged = [row for row in rows if row.agrees is not None]
    wrong = [row for row in judged if not row.agrees]
    if wrong:
        return "the familiar claimed otherwise: " + ", ".join(f"{row.command} {row.claimed}" for row in wrong)
    return "the familiar claimed the same" if judged else "the familiar claimed nothing about them"
