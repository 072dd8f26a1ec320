"""What the demo says while it plays: one line for each thing that happened, with where to look at it."""

from typing import Final

import click

from coven_action.core.checks.conclusion import describe_result
from coven_action.core.checks.document import Checks
from coven_action.core.documents import Evidence, Outcome, Plan
from coven_action.core.sandbox.probes import Attempt

NAME_WIDTH: Final = 10


def say(name: str, text: str, seconds: float | None = None) -> None:
    """Say one thing: who, what, and how long it took."""
    time = f"{seconds:.1f} s" if seconds is not None else ""
    click.echo(f"{click.style(name.ljust(NAME_WIDTH), bold=True)}{text:<78} {time}".rstrip())


def tell_isolation(proved: Attempt) -> None:
    """Say which isolation was proved, and what follows where it is not the highest."""
    say("isolation", f"{proved.level} on this machine ({proved.backend}), proved by trying every escape")
    if proved.level != "enforced":
        say("", "A familiar with a model would not start here: `coven-action probe` says what is missing.")


def tell_plan(plan: Plan) -> None:
    """Say what was decided."""
    work = plan.work
    if work is None:
        return
    asked = f'{work.trigger} #{work.thread_number} "{work.text.title}" by {work.asked_by.login} → {work.familiar.id}'
    say("plan", asked, plan.seconds)
    say("", f"{work.trust.reason} · branch {work.target.branch}")
    say("", work.brief.memory_policy.reason)
    if work.memory.manifest:
        say("", "memory: reads " + ", ".join(entry.key for entry in work.memory.manifest))


def tell_outcome(outcome: Outcome) -> None:
    """Say what the familiar did."""
    seconds = sum(attempt.duration_seconds for attempt in outcome.attempts)
    changed = ", ".join(outcome.files_changed) or "nothing changed"
    say("run", f"{outcome.runtime} runtime · isolation {outcome.isolation.reached} · {changed}", seconds)
    if outcome.verdict != "worked":
        for line in outcome.summary.splitlines():
            say("", line)


def tell_checks(checks: Checks) -> None:
    """Say how the repository's checks went, before and after."""
    for result in checks.results:
        say("verify", describe_result(result).text, result.result.duration_seconds)


def tell_evidence(evidence: Evidence, comment_url: str) -> None:
    """Say what was published, and what was not."""
    for verdict in evidence.verdicts:
        if verdict.refused:
            say("verify", f"{verdict.step}: {verdict.finding}")
    seconds = next((time.seconds for time in evidence.times if time.stage == "publish"), None)
    if evidence.pull_request_url:
        say("publish", f"draft PR  {evidence.pull_request_url}", seconds)
        say("", f"Check Run {evidence.pull_request_url}/checks   {evidence.conclusion}: {evidence.title}")
    else:
        say("publish", f"no pull request: {evidence.title}", seconds)
    say("", f"comment   {comment_url}")
    if evidence.history is not None:
        history = evidence.history
        say("report", f"run {history.number} at {history.url}" if history.number else f"{history.url} gave no answer")
        for proposal in history.proposals:
            say("", f"memory: proposed {proposal.key}, {proposal.state}")
    if evidence.memory is not None and evidence.memory.cited:
        say("", "memory: cited " + ", ".join(entry.key for entry in evidence.memory.cited))
