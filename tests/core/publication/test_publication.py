"""What is published, as data: titles, commit messages, rows, annotations."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from coven_action.core.checks.results import CheckCommand, ClaimedRow, ObservedRow
from coven_action.core.contract.usage import Usage
from coven_action.core.documents import HandOff, Isolation, ObservedChecks, TriedChecks, Verdict
from coven_action.core.gateway.report import GatewayReport, HostCount
from coven_action.core.memory.evidence import MemoryEvidence
from coven_action.core.platform_limits import ANNOTATIONS_PER_REQUEST, CHECK_TITLE, PULL_REQUEST_TITLE
from coven_action.core.publication.publication import (
    TITLE_LENGTH,
    Annotation,
    batch_annotations,
    build_annotations,
    build_commit_message,
    build_rows,
    check_title,
    claimed_tests,
    decide_title,
    find_personal_prefix,
    may_lose_review_label,
    read_claims,
)
from coven_action.core.verification.changes import DiffStatistics
from tests.core.samples import DIGEST, LIMITS, READ_AT, TASK, build_outcome, build_work, changed
from tests.fuzzing import examples

WORK = build_work()
STATISTICS = DiffStatistics(files=2, added_lines=14, deleted_lines=3, patch_bytes=500)
PASSED = Verdict(step="tree", result="passed")


def title(proposed, work=WORK):
    return decide_title(HandOff(title=proposed), work)


def work_on(issue_title, **changes):
    return WORK.model_copy(update={"text": WORK.text.model_copy(update={"title": issue_title}), **changes})


@pytest.mark.parametrize(
    ("token", "prefix"),
    [
        ("ghp_abc", "ghp_"),
        ("github_pat_abc", "github_pat_"),
        ("gho_abc", "gho_"),
        ("ghu_abc", "ghu_"),
        ("ghs_abc", None),
        ("v1.abc", None),
        ("", None),
        ("xghp_abc", None),
    ],
)
def test_a_persons_credential_is_recognised_by_its_prefix(token, prefix):
    assert find_personal_prefix(token) == prefix


@pytest.mark.parametrize(
    ("proposed", "expected"),
    [
        ("Add a clock-skew buffer", "Add a clock-skew buffer (#42)"),
        ("Add a clock-skew buffer (#42)", "Add a clock-skew buffer (#42)"),
        ("  Add a buffer (#42)\n", "Add a buffer (#42)"),
        ("", "Fix: total() rounds wrong (#42)"),
        ("\u200b\u202e", "Fix: total() rounds wrong (#42)"),
        ("(#42)", "Fix: total() rounds wrong (#42)"),
        ("Fixes #41", "Fixes \uff0341 (#42)"),
        ("Ask @everyone", "Ask \uff20everyone (#42)"),
        ("two\nlines", "two lines (#42)"),
        ("Add a buffer (#420)", "Add a buffer (\uff03420) (#42)"),
        ("[skip ci] x", "\uff3bskip ci] x (#42)"),
    ],
)
def test_the_familiars_title_is_made_inert_and_ends_in_the_threads_number(proposed, expected):
    assert title(proposed) == expected


@pytest.mark.parametrize(
    ("work", "expected"),
    [
        (work_on("total() is wrong"), "Fix: total() is wrong (#42)"),
        (work_on("Fix the total"), "Fix the total (#42)"),
        (work_on("fixes #7"), "fixes \uff037 (#42)"),
        (work_on("#7"), "Fix: \uff037 (#42)"),
        (work_on(""), "Work of a familiar (#42)"),
        (work_on("anything", thread_is_pull_request=True), "Answer a comment on the pull request (#42)"),
    ],
)
def test_without_a_title_of_the_familiars_ours_says_what_it_was_about(work, expected):
    assert title("", work) == expected


TEXTS = st.text(max_size=300) | st.text(alphabet="(#42) fixesclo@/:\n[]<!", max_size=300)


@given(TEXTS, TEXTS, st.integers(1, 2**31 - 1))
@examples(300)
def test_a_title_is_one_line_within_its_limit_and_references_its_own_thread_only(proposed, issue_title, number):
    found = title(proposed, work_on(issue_title, thread_number=number))

    assert TITLE_LENGTH <= PULL_REQUEST_TITLE
    assert len(found) <= TITLE_LENGTH
    assert found.endswith(f" (#{number})")
    # What GitHub takes for a number is made of these ten.
    assert re.findall("#[0-9]+", found) == [f"#{number}"]
    assert found.splitlines() == [found]
    assert found != f" (#{number})"


def test_a_commit_says_who_asked_and_its_task_stands_last():
    message = build_commit_message("Round half up (#42)", WORK, TASK)

    assert message.splitlines()[0] == "Round half up (#42)"
    assert "Cody, a familiar of this repository, was asked with coven:fix." in message
    assert message.splitlines()[-1] == "Coven-Task: 301/issues/1001"


def rows(outcome=None, statistics=STATISTICS, verdicts=(PASSED,), work=WORK, memory=None, checks=None):
    return {row.name: row.text for row in build_rows(work, outcome, statistics, verdicts, memory, checks)}


def test_the_table_answers_the_questions_in_their_order():
    table = rows(build_outcome())

    assert list(table) == ["what was asked", "what was done", "what we observed", "boundary", "memory"]
    assert table["what was asked"] == (
        f"#42 total() rounds wrong (text as of {READ_AT}), asked by an account with write access, with coven:fix"
    )
    assert table["what was done"] == (
        "1 commit, 2 files, +14 \u22123; protected paths: none touched; limits: 2/100 files"
    )
    assert table["what we observed"] == (
        "no check of ours ran, since none is configured (verify: in .github/coven.yml); the familiar claims none"
    )
    assert table["boundary"].startswith("isolation none (demanded: none); the familiar could read")
    assert table["memory"] == WORK.brief.memory_policy.reason


def test_memory_is_told_as_it_was_judged():
    assert rows(memory=MemoryEvidence(enabled=True, reason="on"))["memory"] == "used: none · read: 0 · proposed: 0"


def test_what_was_removed_before_the_familiar_read_it_is_said():
    text = WORK.text.model_copy(update={"removed": "removed before the familiar read it: 1 HTML comment"})

    assert rows(work=WORK.model_copy(update={"text": text}))["what was asked"].endswith(
        "; removed before the familiar read it: 1 HTML comment"
    )


def test_a_refusal_takes_the_place_of_the_all_clear():
    refused = Verdict(step="secrets", result="refused", finding="what looks like a secret was found: github-token")
    done = rows(verdicts=(PASSED, refused))["what was done"]

    assert "secrets: what looks like a secret was found: github-token" in done
    assert "none touched" not in done


def test_a_change_that_was_kept_back_is_not_said_to_be_none():
    refused = Verdict(step="secrets", result="refused", finding="what looks like a secret was found: GitHub token")
    work = WORK.model_copy(update={"checks": (CheckCommand(name="tests", run="make test", timeout_seconds=600),)})
    table = rows(build_outcome(), statistics=DiffStatistics(), verdicts=(PASSED, refused), work=work)

    assert table["what was done"] == (
        "what was changed was not looked at; secrets: what looks like a secret was found: GitHub token"
    )
    assert table["what we observed"] == "none of our checks was seen on the result; the familiar claims none"


def test_without_a_change_nothing_is_said_to_be_done():
    assert rows(statistics=DiffStatistics())["what was done"] == "nothing was changed"


def test_without_a_record_of_the_run_its_isolation_is_not_guessed():
    assert rows(None)["boundary"] == "the run left no record of its isolation"


@pytest.mark.parametrize("reached", ["none", "partial", "enforced"])
def test_the_isolation_that_was_reached_is_said_beside_the_one_demanded(reached):
    isolation = Isolation(demanded="none", reached=reached, note="note")

    assert rows(build_outcome(isolation=isolation, workspace_destroyed=True))["boundary"] == (
        f"isolation {reached} (demanded: none); note · workspace destroyed"
    )


def test_what_held_the_boundary_is_named():
    isolation = Isolation(
        demanded="partial", reached="enforced", note="note", backend="bubblewrap", limited_by="cgroups"
    )

    assert rows(build_outcome(isolation=isolation))["boundary"] == (
        "isolation enforced by bubblewrap (demanded: partial); note; bounded by cgroups"
        " · nobody saw the workspace destroyed"
    )


@pytest.mark.parametrize("backend", ["", "none"])
def test_where_no_sandbox_was_used_none_is_named(backend):
    isolation = Isolation(demanded="none", reached="none", note="note", backend=backend)

    assert rows(build_outcome(isolation=isolation))["boundary"].startswith("isolation none (demanded: none); note · ")


def gateway(**changes):
    parts = dict.fromkeys(
        (
            "input_tokens",
            "output_tokens",
            "cache_creation_input_tokens",
            "cache_read_input_tokens",
            "estimated_answers",
        ),
        0,
    )
    return GatewayReport(**{**parts, "requests": 31, "cost_usd": 0.414, "priced_cost_usd": 0.414, **changes})


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({}, "31 model requests · hosts used: none · hosts refused: none"),
        ({"requests": 1}, "1 model request · hosts"),
        (
            {
                "hosts_used": (HostCount(host="api.example", count=31),),
                "hosts_refused": (HostCount(host="evil.example", count=2), HostCount(host="(unreadable)", count=1)),
            },
            "hosts used: api.example (31) · hosts refused: evil.example (2), (unreadable) (1)",
        ),
        ({"hosts_refused": (HostCount(host="x" * 9000, count=1),) * 50}, f"refused: {'x' * 79}… (1), "),
        ({"hosts_refused": (HostCount(host="x", count=1),) * 50}, "x (1) and 45 more"),
        ({"is_test_network": True}, "· the network was a stand-in"),
        ({"faults": {"relay.py:1": 2, "relay.py:7": 1}}, "· the gateway failed 3 times of itself"),
    ],
)
def test_what_passed_the_gateway_and_what_did_not_is_said(changes, said):
    boundary = rows(build_outcome(gateway=gateway(**changes)))["boundary"]

    assert said in boundary
    assert len(boundary) < 1000


def test_where_there_was_no_gateway_no_request_is_invented():
    assert "request" not in rows(build_outcome())["boundary"]


def seen(name="tests", standing="passed", **changes):
    parts = {"before": "212 passed", "after": "214 passed", "text": f"{name} 212 → 214 passed", "seconds": 48.2}
    return ObservedRow(**{"name": name, "standing": standing, **parts, **changes})


def checked(*shown, **changes):
    isolation = Isolation(demanded="enforced", reached="enforced", note="")
    parts = {"sha256": DIGEST, "observed_on": "separate_runner", "isolation": isolation, "rows": shown}
    return ObservedChecks(**{**parts, **changes})


CHECKED = build_work(
    checks=(
        CheckCommand(name="tests", run="make  test", timeout_seconds=600),
        CheckCommand(name="lint", run="make lint " + "x" * 200, timeout_seconds=600),
    )
)


def test_what_was_observed_is_said_with_its_command_and_its_time():
    clean = {"before": "clean", "after": "clean", "text": "lint clean", "seconds": 0.44, "notes": ("a", "b")}
    table = rows(build_outcome(), work=CHECKED, checks=checked(seen(), seen("lint", **clean)))

    assert table["what we observed"] == (
        f"tests 212 → 214 passed (make test, 48 s) · lint clean (make lint {'x' * 69}…, 0.4 s; a; b)"
        " · the familiar claimed nothing about them"
    )
    assert list(table)[2] == "what we observed"
    assert "· checks run on a runner of their own, isolation enforced ·" in table["boundary"]


def test_a_claim_that_we_saw_to_be_wrong_is_named():
    wrong = ClaimedRow(command="make test", claimed="passed", observed="3 failed", agrees=False)
    table = rows(build_outcome(), work=CHECKED, checks=checked(seen(), claimed=(wrong,), observed_on="same_runner"))

    assert table["what we observed"].endswith("the familiar claimed otherwise: make test passed")
    assert "· checks run on the familiar's runner, isolation enforced ·" in table["boundary"]


@pytest.mark.parametrize("standing", ["failed", "failed-before-too", "could-not-run"])
def test_a_check_that_does_not_pass_comes_before_everything_else(standing):
    table = rows(build_outcome(), work=CHECKED, checks=checked(seen(standing=standing), seen("lint")))

    assert next(iter(table)) == "what we observed"
    assert list(table).count("what we observed") == 1


UNSEEN = Verdict(step="evidence", result="refused", finding="its digest is missing")


@pytest.mark.parametrize(
    ("facts", "said"),
    [
        ({"verdicts": (PASSED, UNSEEN)}, "none of our checks was seen on the result: its digest is missing"),
        ({"verdicts": (PASSED,)}, "none of our checks was seen on the result; the familiar claims none"),
        ({"statistics": DiffStatistics()}, "there was no change to check"),
    ],
)
def test_checks_that_nobody_saw_are_not_said_to_have_run(facts, said):
    assert rows(build_outcome(), work=CHECKED, **facts)["what we observed"].startswith(said)


@pytest.mark.parametrize(
    ("tries", "said"),
    [
        (
            (TriedChecks(attempt=1, rows=(seen(text="tests 3 failed"), seen("lint", text="lint clean"))),),
            "claimed: the familiar tried the checks once; after attempt 1: tests 3 failed, lint clean",
        ),
        (
            (TriedChecks(attempt=1, rows=(seen(),)), TriedChecks(attempt=2, rows=())),
            "claimed: the familiar tried the checks 2 times; after attempt 2: none",
        ),
    ],
)
def test_the_familiars_own_tries_are_claims(tries, said):
    assert rows(build_outcome(tries=tries))["tries"] == said
    assert "tries" not in rows(build_outcome())


def test_tries_that_somebody_forged_push_nothing_out_of_sight():
    tries = (TriedChecks(attempt=1, rows=(seen(text="x" * 9000),) * 16),)

    assert len(rows(build_outcome(tries=tries))["tries"]) < 1200


@pytest.mark.parametrize(
    ("usage", "cost"),
    [
        (None, None),
        (Usage(input_tokens=118, output_tokens=9), "118 tokens in, 9 out, as the runtime reports it"),
        (
            Usage(input_tokens=118, output_tokens=9, cost_usd=0.414),
            "118 tokens in, 9 out · 0.41 USD, as the runtime reports it",
        ),
    ],
)
def test_a_cost_is_shown_where_the_runtime_reports_one(usage, cost):
    assert rows(build_outcome(usage=usage)).get("cost") == cost


LIMITED = build_work(limits=LIMITS.model_copy(update={"cost_cents": 500}))


@pytest.mark.parametrize(
    ("changes", "work", "cost"),
    [
        ({}, WORK, "118 tokens in, 9 out · 0.41 USD, as the gateway counted"),
        ({}, LIMITED, "118 tokens in, 9 out · 0.41 of 5.00 USD, as the gateway counted"),
        (
            {"cache_read_input_tokens": 40, "cache_creation_input_tokens": 2, "estimated_answers": 3},
            WORK,
            "118 tokens in, 42 in by the cache, 9 out · 0.41 USD, as the gateway counted (3 answers estimated from above)",
        ),
        (
            {"cost_usd": None, "priced_cost_usd": 0.1, "unpriced_models": ("a/b",)},
            LIMITED,
            "118 tokens in, 9 out · 0.10 of 5.00 USD and what a/b costs, whose price is unknown, as the gateway counted",
        ),
        (
            {"cost_usd": None, "priced_cost_usd": 0.0},
            WORK,
            "118 tokens in, 9 out · 0.00 USD and what a model costs, whose price is unknown, as the gateway counted",
        ),
    ],
)
def test_what_the_gateway_counted_stands_before_what_the_runtime_says(changes, work, cost):
    counted = gateway(input_tokens=118, output_tokens=9, **changes)
    usage = Usage(input_tokens=1, output_tokens=2)

    assert rows(build_outcome(gateway=counted), work=work)["cost"] == cost
    assert rows(build_outcome(gateway=counted, usage=usage), work=work)["cost"] == (
        f"{cost} · 1 tokens in, 2 out, as the runtime reports it"
    )


@pytest.mark.parametrize(
    ("result", "claims"),
    [
        (None, ()),
        ({}, ()),
        ({"review": None}, ()),
        ({"review": "x"}, ()),
        ({"review": {}}, ()),
        ({"review": {"tests_run": None}}, ()),
        ({"review": {"tests_run": "make test"}}, ()),
        ({"review": {"tests_run": [None, "x", 1]}}, ()),
        ({"review": {"tests_run": [{"command": "make test", "status": "passed"}]}}, ("make test: passed",)),
        ({"review": {"tests_run": [{}]}}, ("None: None",)),
        ({"review": {"tests_run": [{"command": "x", "status": "passed"}] * 50}}, ("x: passed",) * 10),
        (
            {"review": {"tests_run": [{"command": "x" * 900, "status": "y" * 900}]}},
            (f"{'x' * 119}…: {'y' * 79}…",),
        ),
    ],
    ids=range(12),
)
def test_what_the_familiar_says_of_its_own_tests_is_read_whatever_it_is(result, claims):
    assert claimed_tests(build_outcome(result=result)) == claims


def test_a_claim_is_never_shown_as_an_observation():
    result = {"review": {"tests_run": [{"command": "make test", "status": "passed"}]}}

    observed = rows(build_outcome(result=result))["what we observed"]
    assert observed.startswith("no check of ours ran, ")
    assert observed.endswith("; the familiar claims (not verified): make test: passed")
    assert claimed_tests(None) == ()


def test_the_claims_of_a_whole_result_are_read():
    claim = {"command": "make test", "status": "passed", "output_summary": None}
    review = {
        "mode": "none", "evidence_status": "not_applicable", "reviewed_files": [], "supporting_files": [], "findings": [],
        "tests_run": [claim], "no_findings_reason": None, "limitations": [],
    }  # fmt: skip
    result = {
        "contract_version": "3", "status": "success", "summary": "", "pr_body": "", "commits": [], "files_changed": [],
        "review": review,
    }  # fmt: skip

    assert [found.model_dump() for found in read_claims(build_outcome(result=result))] == [claim]
    assert read_claims(build_outcome()) == ()


@given(st.text(max_size=400), st.text(max_size=400))
@examples(100)
def test_the_title_of_a_check_run_is_one_line_within_githubs_limit(familiar, text):
    found = check_title(familiar, text)

    assert len(found) <= CHECK_TITLE
    assert "\n" not in found


@pytest.mark.parametrize(
    ("facts", "message"),
    [
        ({}, None),
        ({"status": "deleted", "after": "absent", "binary": True}, None),
        ({"binary": True}, "A binary file: its content does not show in the diff."),
        ({"before": "absent", "after": "symlink", "status": "added"}, "This is now a symlink."),
        ({"after": "executable"}, "This is now an executable."),
        ({"before": "executable", "after": "executable"}, None),
        ({"before": "executable", "after": "file"}, None),
    ],
)
def test_a_note_stands_beside_what_a_reader_of_the_diff_could_overlook(facts, message):
    annotations = build_annotations((changed("src/a", **facts),))

    assert [annotation.message for annotation in annotations] == ([] if message is None else [message])
    assert all((annotation.path, annotation.annotation_level) == ("src/a", "notice") for annotation in annotations)


def annotation(number):
    return Annotation(
        path=f"{number}", start_line=1, end_line=1, annotation_level="notice", title="Changed", message="x"
    )


@pytest.mark.parametrize(
    ("count", "sizes"), [(0, [0]), (1, [1]), (49, [49]), (50, [50]), (51, [50, 1]), (100, [50, 50]), (101, [50, 50, 1])]
)
def test_annotations_travel_in_batches_of_fifty(count, sizes):
    assert ANNOTATIONS_PER_REQUEST == 50
    annotations = tuple(annotation(number) for number in range(count))
    batches = batch_annotations(annotations)

    assert [len(batch) for batch in batches] == sizes
    assert tuple(found for batch in batches for found in batch) == annotations


@pytest.mark.parametrize(
    ("paths", "may"),
    [
        ((), True),
        (("src/tax.py", "README.md"), True),
        (("src/tax.py", "web/package.json"), False),
        (("uv.lock",), False),
        (tuple(f"src/{number}.py" for number in range(2999)), True),
        (tuple(f"src/{number}.py" for number in range(3000)), False),
    ],
    ids=["nothing", "no manifest", "a manifest", "a lockfile", "a whole list", "a list that may be cut"],
)
def test_the_review_label_goes_only_where_the_whole_list_needs_no_review(paths, may):
    assert may_lose_review_label(paths) is may
