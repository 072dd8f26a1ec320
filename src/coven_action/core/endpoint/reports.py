"""What a run tells the endpoint, made from its plan and its evidence. Pure.

Metadata, states, counts and links: nothing here takes a text of the issue, of the change or of the log. Proposed entries
are the one exception, because a person is to decide about their words.
"""

import re
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Final

from coven_action.core.documents import Evidence, Plan, StageTime, Work
from coven_action.core.endpoint.wire import (
    BundleRequest,
    EndState,
    EventsRequest,
    FailureReason,
    FinishRequest,
    ProposalsRequest,
    ProposedEntry,
    RunEvent,
    RunReport,
    Usage,
    UseReport,
    UsesRequest,
)
from coven_action.core.memory.evidence import MemoryEvidence
from coven_action.core.publication.endings import Ending
from coven_action.core.redaction.redactor import Redactor

AFTERWARDS_SECONDS: Final = 15 * 60
"""What a lease allows beyond the familiar's own time: the stages around it, and the runners that have to start."""
MAX_LEASE_SECONDS: Final = 86_400
MAX_QUESTION: Final = 20_000
MAX_PATHS: Final = 64
# What looks like a file of a repository: folders with slashes, or a name with an ending.
_PATH: Final = re.compile(
    r"(?<![\w/.@:-])(?:[\w.-]{1,60}/){1,8}[\w.-]{1,60}|(?<![\w/.@:-])[\w-]{1,60}\.[A-Za-z]{1,8}\b"
)

STATES: Final[Mapping[Ending, EndState]] = {
    Ending.VERIFIED: "review",
    Ending.PUBLISHED: "review",
    Ending.PARTIAL: "review",
    Ending.FAILING: "review",
    Ending.CHECKS_FAILED: "failed",
    Ending.NOTHING_CHANGED: "done",
    Ending.NEEDS_INPUT: "needs_input",
    Ending.COULD_NOT: "failed",
    Ending.REFUSED: "failed",
    Ending.STALE: "failed",
    Ending.FAULT: "failed",
}
"""How an ending stands in the history: what was published waits for a person's review."""

_REASONS: Final[Mapping[Ending, FailureReason]] = {
    Ending.CHECKS_FAILED: "checks_failed",
    Ending.COULD_NOT: "runtime_failed",
    Ending.REFUSED: "verification_refused",
    Ending.STALE: "stale",
}

GIVEN_UP: Final = FinishRequest(state="cancelled", failure_reason="declined")
"""What a run says that has waited for its thread as long as it may, so that nobody waits behind it."""

FAULT_REASONS: Final[Mapping[str, FailureReason]] = {
    "runtime-not-installed": "runtime_not_installed",
    "runtime-download-failed": "runtime_not_installed",
    "runtime-digest-mismatch": "runtime_not_installed",
    "runtime-archive-refused": "runtime_not_installed",
    "runtime-cache-unusable": "runtime_not_installed",
    "runtime-no-archive": "runtime_not_installed",
    "runtime-needs-sandbox": "sandbox_failed",
    "isolation-not-reached": "sandbox_failed",
    "budget-requests": "budget_exhausted",
    "budget-tokens": "budget_exhausted",
    "budget-cost": "budget_exhausted",
    "limit-memory": "resource_limit",
    "limit-processes": "resource_limit",
    "limit-workspace": "resource_limit",
    "runtime-timeout": "time_limit",
    "checks-not-observed": "sandbox_failed",
    "missing-permission": "publication_refused",
    "rate-limited": "github_unavailable",
    "github-unavailable": "github_unavailable",
    "missing-document": "runner_lost",
}
"""Code of a fault -> why the run failed, as people filter it; any other is `internal`."""


def build_run_report(plan: Plan, work: Work, *, per_day: int | None, now: datetime) -> RunReport:
    """Return what `plan` says of its run.

    Args:
        plan: Names the task and the repository's address.
        work: What would be done, and the memory policy as decided before the endpoint answered this report.
        per_day: The repository's own limit of tasks a day.
        now: When it was asked for.
    """
    policy = work.brief.memory_policy
    # Every check is run on the base and on the result.
    checks = 2 * sum(check.timeout_seconds for check in work.checks)
    seconds = min(work.limits.time_seconds + checks + AFTERWARDS_SECONDS, MAX_LEASE_SECONDS)
    return RunReport(
        attempt=plan.task.run_attempt,
        event_name=plan.task.event_name,
        thread=f"issue-{work.thread_number}",
        familiar=work.familiar.id,
        task_kind="fix",
        trust_scope=policy.trust_scope,
        memory_policy=policy,
        lease_seconds=seconds,
        per_day=per_day,
        requested_at=now,
        links={"run": plan.run_url, "thread": f"{plan.repository_url}/issues/{work.thread_number}"},
    )


def build_bundle_request(work: Work, redactor: Redactor) -> BundleRequest:
    """Return the question for the entries that suit a task: the words of its text, and the paths it names.

    The text is looked at and not kept; what is longer than a question may be is cut, once its secrets are covered: a cover
    may be longer than what it stands for.
    """
    text = str(redactor.redact(f"{work.text.title}\n{work.text.body}").cut(MAX_QUESTION))
    paths = tuple(dict.fromkeys(_PATH.findall(text)))[:MAX_PATHS]
    return BundleRequest(text=text, paths=paths, branch=work.target.base_ref)


def build_events(times: tuple[StageTime, ...], *, now: datetime) -> EventsRequest | None:
    """Return the stages that have ended as events, in their order; None where there is none.

    Args:
        times: How long each took.
        now: When the last of them ended; the others are counted back from it.
    """
    if not times:
        return None
    events = []
    for position, time in enumerate(times):
        later = sum(each.seconds for each in times[position + 1 :])
        ended = now - timedelta(seconds=later)
        events.append(RunEvent(type="stage.finished", at=ended, data={"stage": time.stage, "seconds": time.seconds}))
    return EventsRequest(events=tuple(events))


def build_uses(memory: MemoryEvidence, *, reference: str) -> UsesRequest | None:
    """Return which entries the run has read and cited; None where there is none.

    Args:
        memory: The memory part of the evidence.
        reference: Where people see the citation: the pull request or the thread.
    """
    read = [UseReport(id=each.id, version=each.version, kind="read", reference=reference) for each in memory.read]
    cited = {each.id: each.version for each in memory.cited}
    named = [
        UseReport(id=entry_id, version=version, kind="cited", reference=reference)
        for entry_id, version in cited.items()
    ]
    return UsesRequest(uses=(*read, *named)) if read else None


def build_proposals(memory: MemoryEvidence, *, pull_request: int | None) -> ProposalsRequest | None:
    """Return the entries that wait for a person's decision; None where there is none."""
    if not memory.proposed:
        return None
    return ProposalsRequest(
        proposals=tuple(
            ProposedEntry.model_validate(each.model_dump(include={"key", "kind", "text", "citations"}))
            for each in memory.proposed
        ),
        pull_request=pull_request,
    )


def build_finish(evidence: Evidence, *, evidence_sha256: str, usage: Usage, comment_url: str | None) -> FinishRequest:
    """Return how the run ended."""
    ending = Ending(evidence.ending)
    links = {
        name: url
        for name, url in (("pull_request", evidence.pull_request_url), ("comment", comment_url))
        if url is not None
    }
    return FinishRequest(
        state=STATES[ending],
        failure_reason=find_failure_reason(evidence),
        conclusion=evidence.conclusion,
        usage=usage,
        links=links,
        evidence_sha256=evidence_sha256,
    )


def find_failure_reason(evidence: Evidence) -> FailureReason | None:
    """Return why a run failed as people filter it; None where it did not fail."""
    ending = Ending(evidence.ending)
    if ending is not Ending.FAULT:
        return _REASONS.get(ending)
    return FAULT_REASONS.get(evidence.fault.code, "internal") if evidence.fault is not None else "internal"
