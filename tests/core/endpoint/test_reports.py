"""What a run tells the endpoint, made from its plan and its evidence."""

import json
from datetime import UTC, datetime, timedelta

import pytest
from pydantic import ValidationError

from coven_action.core.checks.results import CheckCommand
from coven_action.core.documents import Fault, StageTime
from coven_action.core.endpoint.reports import (
    AFTERWARDS_SECONDS,
    FAULT_REASONS,
    MAX_LEASE_SECONDS,
    MAX_PATHS,
    MAX_QUESTION,
    STATES,
    build_bundle_request,
    build_events,
    build_finish,
    build_proposals,
    build_run_report,
    build_uses,
    find_failure_reason,
)
from coven_action.core.endpoint.wire import RunReport, Usage
from coven_action.core.memory.entries import Citation
from coven_action.core.memory.evidence import MemoryEvidence, ProposedEntry, ReadEntry
from coven_action.core.publication.endings import Ending
from coven_action.error_codes import CODES
from tests.core.memory.values import REDACTOR, TOKEN
from tests.core.samples import build_evidence, build_plan, build_work

NOW = datetime(2026, 11, 21, 12, tzinfo=UTC)
ENTRY = ReadEntry(id="mem_" + "a" * 16, key="facts/build", version="b" * 64)
CITATION = Citation(path="src/tax.py", start=4, end=5, sha256="c" * 64)
USAGE = Usage(input_tokens=5)


def build(work=None, **changes):
    return build_run_report(build_plan(), work or build_work(), **{"per_day": None, "now": NOW, **changes})


def test_a_run_is_reported_with_its_thread_its_policy_and_its_links():
    report, work = build(per_day=20), build_work()

    assert report.thread == f"issue-{work.thread_number}"
    assert report.familiar == work.familiar.id
    assert report.memory_policy == work.brief.memory_policy
    assert report.per_day == 20
    assert report.lease_seconds == work.limits.time_seconds + AFTERWARDS_SECONDS
    assert report.links["thread"].endswith(f"/issues/{work.thread_number}")


def test_a_lease_allows_for_every_check_on_both_trees():
    checks = tuple(CheckCommand(name=name, run="make", timeout_seconds=600) for name in ("tests", "lint"))
    without, with_checks = build(), build(build_work(checks=checks))

    assert with_checks.lease_seconds == without.lease_seconds + 2 * (600 + 600)


@pytest.mark.parametrize(("installation", "taken"), [(None, True), (1, True), (2**63 - 1, True), (2**63, False)])
def test_a_report_names_no_installation_that_could_be_none(installation, taken):
    document = json.loads(build(build_work()).model_dump_json())
    document["memory_policy"]["tenant_scope"]["installation_id"] = installation

    if taken:
        RunReport.model_validate_json(json.dumps(document))
    else:
        with pytest.raises(ValidationError, match="installation"):
            RunReport.model_validate_json(json.dumps(document))


def test_a_lease_is_never_longer_than_a_day():
    work = build_work()
    long = work.model_copy(update={"limits": work.limits.model_copy(update={"time_seconds": 10**6})})

    assert build(long).lease_seconds == MAX_LEASE_SECONDS


def test_stages_are_told_in_their_order_counted_back_from_the_end():
    events = build_events((StageTime(stage="plan", seconds=1.5), StageTime(stage="run", seconds=60.0)), now=NOW)

    assert [(event.data["stage"], event.at) for event in events.events] == [
        ("plan", NOW - timedelta(seconds=60)),
        ("run", NOW),
    ]


def test_without_a_stage_there_is_nothing_to_tell():
    assert build_events((), now=NOW) is None


def test_what_was_read_and_cited_is_reported_with_its_place():
    uses = build_uses(
        MemoryEvidence(enabled=True, reason="on", read=(ENTRY,), cited=(ENTRY,)), reference="https://x/pull/2"
    )

    assert [(use.kind, use.id, use.reference) for use in uses.uses] == [
        ("read", ENTRY.id, "https://x/pull/2"),
        ("cited", ENTRY.id, "https://x/pull/2"),
    ]


def test_where_nothing_was_read_no_use_is_reported():
    assert build_uses(MemoryEvidence(enabled=True, reason="on"), reference="") is None


def test_what_waits_for_a_person_is_proposed():
    proposed = ProposedEntry(
        key="facts/build", kind="fact", path="x.md", text="Run make.", citations=(CITATION,), replaces=None
    )
    request = build_proposals(MemoryEvidence(enabled=True, reason="on", proposed=(proposed,)), pull_request=2)

    assert [(each.key, each.text, each.citations) for each in request.proposals] == [
        ("facts/build", "Run make.", (CITATION,))
    ]
    assert request.pull_request == 2


def test_where_nothing_waits_nothing_is_proposed():
    assert build_proposals(MemoryEvidence(enabled=True, reason="on"), pull_request=None) is None


def test_every_ending_has_a_state_and_every_failed_one_a_reason():
    assert set(STATES) == set(Ending)
    for ending, state in STATES.items():
        reason = find_failure_reason(build_evidence(ending=ending.value))
        assert (state == "failed") == (reason is not None)


@pytest.mark.parametrize(
    ("ending", "state", "reason"),
    [
        (Ending.VERIFIED, "review", None),
        (Ending.FAILING, "review", None),
        (Ending.PARTIAL, "review", None),
        (Ending.CHECKS_FAILED, "failed", "checks_failed"),
    ],
)
def test_what_was_published_waits_for_a_review_whatever_its_checks_say(ending, state, reason):
    assert (STATES[ending], find_failure_reason(build_evidence(ending=ending.value))) == (state, reason)


def test_every_explained_fault_is_a_known_code():
    assert set(FAULT_REASONS) <= set(CODES)


@pytest.mark.parametrize(
    ("code", "reason"),
    [
        ("isolation-not-reached", "sandbox_failed"),
        ("missing-permission", "publication_refused"),
        ("budget-cost", "budget_exhausted"),
        ("runtime-timeout", "time_limit"),
        ("limit-memory", "resource_limit"),
        ("checks-not-observed", "sandbox_failed"),
        ("io-failed", "internal"),
    ],
)
def test_a_fault_is_told_by_what_people_filter(code, reason):
    evidence = build_evidence(
        ending="fault", conclusion="failure", fault=Fault(stage="run", code=code, message="It failed.")
    )

    assert find_failure_reason(evidence) == reason


def test_the_end_names_the_evidence_and_the_places_to_look():
    evidence = build_evidence(pull_request_url="https://x/pull/2", pull_request=2)

    finish = build_finish(evidence, evidence_sha256="d" * 64, usage=USAGE, comment_url="https://x/issues/1#c")

    assert finish.state == "review"
    assert finish.failure_reason is None
    assert finish.conclusion == "neutral"
    assert finish.usage == USAGE
    assert finish.links == {"pull_request": "https://x/pull/2", "comment": "https://x/issues/1#c"}
    assert finish.evidence_sha256 == "d" * 64


def test_what_does_not_exist_is_not_linked():
    assert build_finish(build_evidence(), evidence_sha256="d" * 64, usage=USAGE, comment_url=None).links == {}


def test_the_question_for_entries_holds_the_words_of_the_task_and_the_paths_it_names():
    work = build_work()
    text = work.text.model_copy(
        update={"title": "total() rounds wrong", "body": "In src/tax.py, and src/tax.py again."}
    )

    asked = build_bundle_request(work.model_copy(update={"text": text}), REDACTOR)

    assert asked.text == "total() rounds wrong\nIn src/tax.py, and src/tax.py again."
    assert asked.paths == ("src/tax.py",)
    assert asked.branch == work.target.base_ref


def test_a_question_is_cut_at_what_may_be_asked():
    work = build_work()
    text = work.text.model_copy(update={"body": " ".join(f"src/{number}.py" for number in range(5000))})

    asked = build_bundle_request(work.model_copy(update={"text": text}), REDACTOR)

    assert len(asked.text) == MAX_QUESTION
    assert len(asked.paths) == MAX_PATHS


def test_a_question_holds_no_secret_and_is_no_longer_for_its_cover():
    work = build_work()
    text = work.text.model_copy(update={"body": f"{TOKEN} " * (MAX_QUESTION // len(TOKEN))})

    asked = build_bundle_request(work.model_copy(update={"text": text}), REDACTOR)

    assert len(asked.text) <= MAX_QUESTION
    assert REDACTOR.redact(asked.text) == asked.text
    assert type(asked.text) is str
