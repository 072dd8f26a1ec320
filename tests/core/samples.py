"""One valid value of each kind that the core passes on; a test changes the part it is about."""

from typing import Any

from coven_action.core.brief import build_brief, build_memory_facts, freeze_text
from coven_action.core.configuration.config import Familiar
from coven_action.core.documents import (
    Evidence,
    FrozenText,
    Isolation,
    Outcome,
    Plan,
    PlannedFamiliar,
    PlannedLimits,
    Server,
    Target,
    TaskIdentity,
    Work,
)
from coven_action.core.memory.grants import MEMORY_GRANTS, MemorySettings
from coven_action.core.memory.policy import decide_memory_policy
from coven_action.core.memory.policy_block import MemoryPolicy
from coven_action.core.refusals import Refusal
from coven_action.core.trust.events import TriggerEvent, parse_event
from coven_action.core.trust.run_trust import RunTrust
from coven_action.core.trust.trust import TrustScope
from coven_action.core.verification.changes import ChangedFile, DiffStatistics
from tests import payloads

BASE_SHA = "b" * 40
TIP_SHA = "c" * 40
DIGEST = "d" * 64
READ_AT = "2026-01-05T09:00:00Z"
TASK = TaskIdentity(repository_id=payloads.REPOSITORY_ID, event_name="issues", run_id=1001, run_attempt=1)
SERVER = Server(server_url="https://github.example", api_url="https://api.github.example")
CODY = Familiar(id="cody", display_name="Cody", model="anthropic/claude-sonnet-4-6")
PATCH = Familiar(id="patch", display_name="Patch", runtime="patch")
LIMITS = PlannedLimits(
    time_seconds=1800, turns=40, files=100, lines=20_000, binary_files=20, patch_bytes=4 * 1024 * 1024
)
TARGET = Target(
    base_ref="main",
    base_ref_sha=BASE_SHA,
    base_sha=BASE_SHA,
    branch="coven/issue-42",
    expected_sha=None,
    pull_request=None,
    why="a new branch",
)
REFUSAL = Refusal(code="not-routed", reason="No rule answers.")


def read_event(event_name: str, payload: Any) -> TriggerEvent:
    event = parse_event(event_name, payload)
    assert isinstance(event, TriggerEvent)
    return event


def labeled(**facts: Any) -> TriggerEvent:
    return read_event("issues", payloads.build_issues_labeled(**facts))


def commented(comment: str = "/coven fix", **facts: Any) -> TriggerEvent:
    return read_event("issue_comment", payloads.build_issue_comment_created(comment, **facts))


def dispatched(**facts: Any) -> TriggerEvent:
    return read_event("workflow_dispatch", payloads.build_workflow_dispatch(**facts))


def build_policy(event: TriggerEvent) -> MemoryPolicy:
    facts = build_memory_facts(event.repository, TARGET, TrustScope.MAINTAINER)
    return decide_memory_policy(facts, settings=MemorySettings(), trust=MEMORY_GRANTS["maintainer"])


def build_work(*, familiar: Familiar = CODY, **changes: Any) -> Work:
    event = labeled()
    thread = event.thread
    assert thread is not None
    text = freeze_text(event, thread, familiar, read_at=READ_AT)
    assert isinstance(text, FrozenText)
    brief = build_brief(
        event,
        thread,
        text,
        familiar,
        clone_url="https://github.example/acme/billing.git",
        memory_policy=build_policy(event),
        audit_instruction=None,
    )
    work = Work(
        repository=event.repository,
        thread_number=thread.number,
        thread_is_pull_request=False,
        trigger=event.described,
        asked_with="coven:fix",
        asked_by=event.sender,
        text=text,
        familiar=PlannedFamiliar(
            id=familiar.id,
            display_name=familiar.display_name,
            model=familiar.model,
            runtime=familiar.runtime,
            mode=familiar.mode,
            why="the only familiar here",
        ),
        trust=RunTrust(
            scope=TrustScope.MAINTAINER,
            contributions=(),
            memory=MEMORY_GRANTS["maintainer"],
            reason="asked by an account with write access",
        ),
        limits=LIMITS,
        target=TARGET,
        labels=(),
        brief=brief,
        isolation_demanded="none",
        configuration_sha256=DIGEST,
        status_comment_id=7,
    )
    return work.model_copy(update=changes)


def build_plan(**changes: Any) -> Plan:
    parts = {"decision": "decline", "refusal": REFUSAL, **changes}
    return Plan(task=TASK, repository_name="acme/billing", server=SERVER, planned_at=READ_AT, seconds=0.4, **parts)


def build_outcome(**changes: Any) -> Outcome:
    parts = {
        "task": TASK,
        "plan_sha256": DIGEST,
        "runtime": "coven-code",
        "runtime_version": "0.6.1",
        "capabilities": {},
        "isolation": Isolation(demanded="none", reached="none", note="the familiar could read what this job can read"),
        "attempts": (),
        "verdict": "worked",
        "summary": "The runtime ended properly and changed the tree.",
        "started_at": READ_AT,
        "finished_at": READ_AT,
    }
    return Outcome(**{**parts, **changes})


def build_evidence(**changes: Any) -> Evidence:
    parts = dict.fromkeys(
        (
            "outcome_sha256", "bundle_sha256", "isolation", "memory", "fault", "base_sha", "head_sha", "branch", "pull_request",
            "pull_request_url",
        )
    )  # fmt: skip
    parts |= dict.fromkeys(("verdicts", "rows", "files", "notes", "times"), ())
    parts |= {
        "task": TASK,
        "repository_name": "acme/billing",
        "ending": "published",
        "conclusion": "neutral",
        "title": "published, not checked",
        "plan_sha256": DIGEST,
        "statistics": DiffStatistics(),
        "finished_at": READ_AT,
    }
    return Evidence(**{**parts, **changes})


def changed(path: str, **facts: Any) -> ChangedFile:
    return ChangedFile(**{"path": path, "status": "modified", "before": "file", "after": "file", **facts})
