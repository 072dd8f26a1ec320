"""What `publish` makes of the checks that `verify` observed: success only through them, and never by anybody's word."""

import json
import re

import pytest
from markdown_it import MarkdownIt

from coven_action.core.checks.results import MAX_CHECKS, MAX_TAIL, CheckResult, CheckRun, Counts, Failure
from coven_action.core.documents import Isolation
from tests.scenario import CONFIGURATION, MENDED, Run, Scene, ScriptedRuntime

VERIFY = "verify: [{name: tests, run: make test}, {name: lint, run: make lint}]\n"
TOKEN_SHAPE = "ghp_" + "A1b2C3d4E5f6G7h8I9j0K1l2M3n4O5p6Q7r8"


def ended(exit_code=0, passed=0, failed=0, **facts) -> CheckRun:
    counts = Counts(passed=passed, failed=failed) if passed or failed else None
    return CheckRun(**{"exit_code": exit_code, "duration_seconds": 48.0, "output_bytes": 9, "counts": counts, **facts})


FAILURE = Failure(
    test="test_half_up",
    file="tests/test_tax.py",
    line=20,
    message="AssertionError: assert 2 == 3",
    lines=("assert total(1, 1.5) == 3", "  where 2 = total(1, 1.5)"),
)
TESTS = CheckResult(name="tests", base=ended(passed=212), result=ended(passed=214))
LINT = CheckResult(name="lint", base=ended(), result=ended())
BROKEN = CheckResult(name="lint", base=ended(), result=ended(1, passed=9, failed=3, failures=(FAILURE,)))
HANGING = CheckResult(name="lint", base=ended(), result=ended(None, timed_out=True, tail="waiting for the port"))


@pytest.fixture
def scene(github, tmp_path) -> Scene:
    return Scene(github, tmp_path, configuration=CONFIGURATION + VERIFY)


def worked(scene: Scene, **facts) -> Run:
    run = scene.start(scene.label(scene.open_issue()), **facts)
    run.plan()
    run.work()
    return run


def observed(scene: Scene, *results: CheckResult, runtime=None, **changes) -> Run:
    run = worked(scene, runtime=runtime)
    run.observe(*results, **changes)
    return run


def only_evidence(run: Run) -> tuple[str, str]:
    return next((verdict.result, verdict.finding) for verdict in run.evidence.verdicts if verdict.step == "evidence")


def comment_of(scene: Scene) -> str:
    return scene.comments(scene.repository.issues[1])[0].body


def texts_of(scene: Scene, run: Run) -> list[str]:
    """Everything that people read."""
    checks = [text for check in scene.check_runs for text in (check.title, check.summary, check.text)]
    bodies = [pull_request.issue.body for pull_request in scene.pull_requests]
    return [*checks, *bodies, comment_of(scene), run.summary]


def test_a_result_whose_checks_we_saw_pass_is_a_success(scene):
    run = observed(scene, TESTS, LINT)

    assert run.publish() == 0

    evidence = run.evidence
    assert (evidence.ending, evidence.conclusion, evidence.title) == ("verified", "success", "verified, checks pass")
    assert only_evidence(run) == ("passed", "passed on the result: tests, lint")
    assert run.outputs["conclusion"] == "success"
    assert [(time.stage, time.seconds) for time in evidence.times if time.stage == "verify"] == [("verify", 3.0)]
    assert [time.stage for time in evidence.times] == ["plan", "run", "verify", "publish"]
    assert evidence.checks.sha256 == run.digest("checks.json")
    [check] = scene.check_runs
    assert (check.conclusion, check.title) == ("success", "Cody: verified, checks pass")
    assert (
        "| what we observed | tests 212 → 214 passed (make test, 48 s) · lint clean (make lint, 48 s)" in check.summary
    )
    assert "| `tests` | 212 passed | 214 passed | 48.0 s |" in check.text
    assert evidence.checks.sha256 in check.text
    [pull_request] = scene.pull_requests
    assert pull_request.draft
    assert "| tests | 212 passed | 214 passed |" in pull_request.issue.body
    assert "· verified, checks pass" in comment_of(scene)
    assert "checks observed: tests 212 → 214 passed, lint clean" in comment_of(scene)
    for text in texts_of(scene, run):
        assert "\\" not in text
        assert not any(0xFF01 <= ord(character) <= 0xFF5E for character in text)


def test_a_rerun_of_a_verified_task_repeats_its_conclusion(scene):
    issue = scene.open_issue()
    event = scene.label(issue)
    first = scene.start(event, run_id=7)
    first.plan()
    first.work()
    first.observe()
    assert first.publish() == 0

    again = scene.start(event, run_id=7, attempt=2)

    assert again.finish() == 0
    assert again.planned.decision == "published"
    assert again.outputs["conclusion"] == "success"
    assert len(scene.check_runs) == 1


def test_failing_checks_are_published_with_their_failure_and_it_comes_first(scene):
    run = observed(scene, TESTS, BROKEN)

    assert run.publish() == 0

    assert (run.evidence.ending, run.evidence.conclusion) == ("failing", "failure")
    assert only_evidence(run) == ("failed", "failed on the result: lint")
    assert run.evidence.rows[0].name == "what we observed"
    assert [row.name for row in run.evidence.checks.rows] == ["lint", "tests"]
    [pull_request], [check] = scene.pull_requests, scene.check_runs
    assert pull_request.draft
    assert check.conclusion == "failure"
    assert check.title == "Cody: checks fail"
    lines = (
        "test_half_up · tests/test_tax.py:20\nAssertionError: assert 2 == 3\n"
        "assert total(1, 1.5) == 3\n  where 2 = total(1, 1.5)\n"
    )
    for text in (check.summary, pull_request.issue.body, comment_of(scene)):
        assert lines in text
        assert "**lint** · 3 failed, 9 passed · before the change: clean" in text
    assert check.summary.index(lines) < check.summary.index("| what was asked |")
    assert "**Checks fail on this result.**" in pull_request.issue.body
    assert pull_request.issue.body.index(lines) < pull_request.issue.body.index("**What changed**")
    assert "· checks fail" in comment_of(scene)
    assert "isolation: none" in comment_of(scene)
    assert [line for line in run.log.splitlines() if line.startswith(("::error", "::warning"))] == [
        "::warning::Cody checks fail: failed on the result: lint"
    ]


def test_failing_checks_publish_nothing_where_the_configuration_says_so(github, tmp_path):
    scene = Scene(github, tmp_path, configuration=CONFIGURATION + VERIFY + "publish: {failing_checks: nothing}\n")
    run = observed(scene, TESTS, BROKEN)

    assert run.publish() == 1

    assert (run.evidence.ending, run.evidence.conclusion) == ("checks-failed", "failure")
    assert run.evidence.title == "checks fail, nothing published"
    assert run.evidence.fault is None
    assert (scene.branches(), scene.pull_requests, scene.check_runs) == ({}, [], [])
    assert b"round" in run.read("changes.patch")
    comment = comment_of(scene)
    assert "Nothing was published" in comment
    assert "AssertionError: assert 2 == 3" in comment
    assert "The patch is kept, redacted" in comment
    assert "failed on the result: lint" in next(line for line in run.log.splitlines() if line.startswith("::error"))


@pytest.mark.slow
def test_what_failed_before_too_is_said_to_have(scene):
    run = observed(scene, TESTS, CheckResult(name="lint", base=ended(1), result=ended(1)))

    assert run.publish() == 0
    assert run.evidence.ending == "failing"
    assert "it failed before the change too" in scene.check_runs[0].text


@pytest.mark.slow
def test_work_that_is_not_whole_is_no_success_whatever_the_checks_say(scene):
    run = observed(scene, TESTS, LINT, runtime=ScriptedRuntime(result={"status": "partial"}))

    assert run.publish() == 0
    assert (run.evidence.ending, run.evidence.conclusion) == ("partial", "neutral")
    assert scene.check_runs[0].title == "Cody: published, partly done"
    assert "**Partly done.**" in scene.pull_requests[0].issue.body
    assert "tests 212 → 214 passed" in comment_of(scene)


def test_work_that_is_not_whole_and_fails_is_a_failure(scene):
    run = observed(scene, TESTS, BROKEN, runtime=ScriptedRuntime(result={"status": "partial"}))

    assert run.publish() == 0
    assert (run.evidence.ending, run.evidence.conclusion) == ("failing", "failure")


# What somebody has done to the checks: what people are told. tests/stages/test_judging.py has every way.
UNBELIEVED = {
    "no digest": (lambda run: run.digests.pop("checks"), "Nobody has vouched for checks.json: its digest is missing."),
    "another digest": (lambda run: run.digests.update(checks="0" * 64), "is not the document"),
    "of another commit": (lambda run: run.observe(TESTS, LINT, tip_sha="e" * 40), "are of another commit"),
    "a check that took too long": (lambda run: run.observe(TESTS, HANGING), "lint (timed out after 48 s)"),
}


@pytest.mark.slow_after(2)
@pytest.mark.parametrize(("tamper", "said"), UNBELIEVED.values(), ids=UNBELIEVED)
def test_checks_that_nobody_saw_publish_nothing(scene, tamper, said):
    run = observed(scene, TESTS, LINT)
    tamper(run)

    assert run.publish() == 1

    evidence = run.evidence
    assert (evidence.ending, evidence.conclusion, evidence.title) == ("fault", "failure", "failed in verify")
    assert (evidence.fault.stage, evidence.fault.code) == ("verify", "checks-not-observed")
    assert said.casefold() in evidence.fault.message.casefold()
    assert only_evidence(run)[0] == "refused"
    assert (scene.branches(), scene.pull_requests, scene.check_runs) == ({}, [], [])
    assert "failed in `verify`: nothing was published" in comment_of(scene)
    assert ("waiting for the port" in comment_of(scene)) == ("timed out" in said)
    assert run.read("changes.patch")
    assert run.outputs["conclusion"] == "failure"


@pytest.mark.parametrize("results", [(TESTS, LINT), (TESTS, HANGING)], ids=["pass", "hang"])
def test_a_refusal_of_an_earlier_step_decides_whatever_the_checks_say(scene, results):
    def work(workspace):
        (workspace / "AGENTS.md").write_text("obey\n")

    run = observed(scene, *results, runtime=ScriptedRuntime(work))

    assert run.publish() == 0
    assert (run.evidence.ending, run.evidence.conclusion, run.evidence.fault) == ("refused", "neutral", None)
    assert only_evidence(run) == ("not-reached", "")
    assert "**protected-paths**" in comment_of(scene)


def test_a_result_that_was_overtaken_is_stale_whatever_the_checks_say(scene):
    run = observed(scene, TESTS, LINT)
    scene.commit({"src/tax.py": "def total(net, rate):\n    return 0\n"})

    assert run.publish() == 0
    assert (run.evidence.ending, run.evidence.conclusion) == ("stale", "neutral")
    assert scene.pull_requests == []


def test_without_a_configured_check_planted_ones_count_for_nothing(github, tmp_path):
    scene = Scene(github, tmp_path)
    run = observed(scene, TESTS, LINT)

    assert run.publish() == 0
    assert (run.evidence.ending, run.evidence.conclusion, run.evidence.checks) == ("published", "neutral", None)
    assert "no check is configured: name some with `verify:` in `.github/coven.yml`" in comment_of(scene)
    assert "| checks | no check is configured" in scene.pull_requests[0].issue.body
    assert "checks.json" not in scene.check_runs[0].text


@pytest.mark.slow
def test_a_run_that_gave_up_needs_no_checks_to_say_so(scene):
    run = worked(scene, runtime=ScriptedRuntime(result={"status": "failure", "pr_body": "I cannot."}))

    assert run.publish() == 1
    assert (run.evidence.ending, run.evidence.fault) == ("could-not", None)
    assert only_evidence(run)[0] == "neutral"


def test_without_a_change_no_checks_are_asked_for(scene):
    run = worked(scene, runtime=ScriptedRuntime(lambda workspace: None))

    assert run.publish() == 0
    assert run.evidence.ending == "nothing-changed"


def claiming(*tests: tuple[str, str]) -> ScriptedRuntime:
    review = {"mode": "none", "evidence_status": "complete", "reviewed_files": [], "supporting_files": [],
              "findings": [], "no_findings_reason": None, "limitations": [],
              "tests_run": [{"command": command, "status": status, "output_summary": None}
                            for command, status in tests]}  # fmt: skip
    return ScriptedRuntime(result={"review": review})


def test_a_wrong_claim_stands_beside_what_we_saw_and_decides_nothing(scene):
    run = observed(scene, TESTS, BROKEN, runtime=claiming(("make test", "passed"), ("make lint", "passed")))

    assert run.publish() == 0
    assert run.evidence.conclusion == "failure"
    assert [(row.command, row.agrees) for row in run.evidence.checks.claimed] == [
        ("make lint", False),
        ("make test", True),
    ]
    assert "| `make lint` | passed | 3 failed, 9 passed: not so |" in scene.check_runs[0].text
    assert "| `make test` | passed | 214 passed |" in scene.check_runs[0].text
    assert "214 passed · the familiar claimed otherwise: make lint passed" in comment_of(scene)
    for text in (scene.pull_requests[0].issue.body, scene.check_runs[0].summary):
        assert "he familiar claimed otherwise: make lint passed" in text


@pytest.mark.slow
def test_what_the_gateway_counted_is_said_and_reported(scene):
    run = observed(scene, TESTS, LINT)
    path = run.documents / "outcome.json"
    counts = dict.fromkeys(("cache_creation_input_tokens", "cache_read_input_tokens", "estimated_answers"), 0)
    counted = {"requests": 31, "input_tokens": 118, "output_tokens": 9, "cost_usd": 0.414, "priced_cost_usd": 0.414}
    refused = {"hosts_refused": [{"host": "evil.example", "count": 2}]}
    path.write_text(json.dumps({**json.loads(path.read_text()), "gateway": {**counts, **counted, **refused}}))
    run.digests["outcome"] = run.digest("outcome.json")

    assert run.publish() == 0
    assert run.evidence.gateway.requests == 31
    assert " · 0.41 USD · isolation: none" in comment_of(scene)
    assert "31 model requests · hosts used: none · hosts refused: evil" in scene.check_runs[0].summary
    assert "| cost | 118 tokens in, 9 out · 0.41 USD, as the gateway counted |" in scene.check_runs[0].summary


@pytest.mark.slow
def test_the_familiars_own_tries_are_shown_as_claims(scene):
    run = observed(scene, TESTS, LINT)
    row = {"name": "tests", "standing": "failed", "before": "not run", "after": "3 failed",
           "text": "tests 3 failed @maintainer", "seconds": 1.0}  # fmt: skip
    path = run.documents / "outcome.json"
    document = json.loads(path.read_text())
    document["tries"] = [{"attempt": 1, "rows": [row]}]
    path.write_text(json.dumps(document))
    run.digests["outcome"] = run.digest("outcome.json")

    assert run.publish() == 0
    assert run.evidence.tries[0].rows[0].after == "3 failed"
    for text in (scene.check_runs[0].text, scene.pull_requests[0].issue.body):
        assert "<details><summary>The familiar tried the checks 1× where it worked: claimed" in text  # noqa: RUF001 - shown
        assert "- after attempt 1: tests 3 failed" in text
        assert "@maintainer" not in text
    assert "| tries | claimed: the familiar tried the checks once" in scene.check_runs[0].summary


HOSTILE = "@maintainer closes #1 | x | <img src=//evil.example> [x](https://evil.example) ::error::y"
BREAKING_OUT = ("```", "~~~~~~~~~~", "</details>", "<!-- coven-action:status {} -->", HOSTILE)


def test_markup_in_what_a_check_printed_acts_nowhere(scene):
    shown = Failure(test=HOSTILE[:60], message=HOSTILE, lines=BREAKING_OUT)
    named = CheckResult(name="lint", base=ended(), result=ended(1, failures=(shown,)))
    tail = CheckResult(name="tests", base=ended(), result=ended(1, tail="\n".join(BREAKING_OUT)))
    run = observed(scene, tail, named)

    assert run.publish() == 0

    parser = MarkdownIt("gfm-like", {"linkify": False})
    for text in texts_of(scene, run):
        visible = [token for token in parser.parse(text) if token.type not in {"fence", "code_block"}]
        inline = [child for token in visible if token.type == "inline" for child in token.children or ()]
        said = "".join(child.content for child in inline if child.type != "code_inline")
        html = "".join(token.content for token in [*visible, *inline] if token.type.startswith("html"))
        assert "@maintainer" not in said
        assert "<img" not in html
        assert "evil.example" not in html
        assert not any("evil" in str(child.attrs) for child in inline)
    assert comment_of(scene).count("<!-- coven-action:status") == 1
    assert not any(line.startswith("::") and "y" in line[-1:] for line in run.log.splitlines())
    for text in (scene.check_runs[0].summary, scene.pull_requests[0].issue.body):
        fences = [token for token in parser.parse(text) if token.type == "fence"]
        assert {"```", "~~~~~~~~~~"} <= set(fences[0].content.splitlines())
        assert "what was asked" in "".join(token.content for token in parser.parse(text)) or "What changed" in text


@pytest.mark.slow
def test_markup_in_the_name_of_a_check_acts_nowhere(github, tmp_path):
    name = "a|b <b> @x #1 `c` [x](//e)"
    verify = f"verify: [{{name: '{name}', run: make}}]\n"
    scene = Scene(github, tmp_path, configuration=CONFIGURATION + verify)
    run = observed(scene, CheckResult(name=name, base=ended(), result=ended(2)))

    assert run.publish() == 0
    assert run.evidence.checks.rows[0].name == name
    for shown in texts_of(scene, run):
        text = re.sub(r"`[^`\n]*`", "", shown)
        assert "<b>" not in text
        assert "@x" not in text
        assert re.search(r"(?<!\\)\]\(//e", text) is None
    row = next(line for line in scene.pull_requests[0].issue.body.splitlines() if "failed (exit 2) |" in line)
    assert len(re.findall(r"(?<!\\)\|", row)) == 4


def test_no_secret_that_a_check_printed_is_shown(scene):
    token = scene.github.token
    shown = Failure(message=f"denied for {TOKEN_SHAPE}", lines=(token, TOKEN_SHAPE))
    named = CheckResult(name="lint", base=ended(), result=ended(1, failures=(shown,)))
    # The second one is cut where people read it: it is covered before.
    tail = CheckResult(name="tests", base=ended(), result=ended(1, tail=f"{'x ' * 140}{TOKEN_SHAPE}\n{token}"))
    run = observed(scene, tail, named, runtime=claiming((f"make {TOKEN_SHAPE}", "passed")))

    assert run.publish() == 0
    assert run.evidence.ending == "failing"
    for text in (*texts_of(scene, run), run.read("evidence.json").decode(), run.log):
        assert TOKEN_SHAPE not in text
        assert TOKEN_SHAPE[:16] not in text
        assert token not in text


@pytest.mark.slow
def test_the_largest_checks_stay_within_githubs_limits(github, tmp_path):
    names = [f"{'check ' * 6}{number:02}" for number in range(MAX_CHECKS)]
    listed = ", ".join(f"{{name: '{name}', run: make {number}}}" for number, name in enumerate(names))
    scene = Scene(github, tmp_path, configuration=f"{CONFIGURATION}verify: [{listed}]\n")
    run_largest = ended(1, tail=("wide " * 800 + "\n") * 4, fault="")
    assert len(run_largest.tail) <= MAX_TAIL
    run = observed(scene, *(CheckResult(name=name, base=run_largest, result=run_largest) for name in names))

    assert run.publish() == 0
    [check], [pull_request] = scene.check_runs, scene.pull_requests
    for text in (check.summary, check.text, pull_request.issue.body, comment_of(scene)):
        assert len(text) <= 65_535
    assert "*Cut here" not in pull_request.issue.body
    assert "worked in the repository's own runner" in pull_request.issue.body


@pytest.mark.slow
def test_where_and_under_what_the_checks_ran_is_said(scene):
    weak = Isolation(demanded="partial", reached="partial", note="TCP only", backend="landlock", limited_by="rlimits")
    run = observed(scene, TESTS, LINT, observed_on="same_runner", isolation=weak)

    assert run.publish() == 0
    assert "checks run on the familiar's runner, isolation partial" in scene.check_runs[0].summary
    said = "Run by us on the familiar's runner, isolation partial; TCP only; bounded by rlimits · checks.json sha256"
    assert said in scene.check_runs[0].text


@pytest.mark.slow
def test_a_later_task_supersedes_a_success_with_its_own_verdict(scene):
    assert observed(scene, TESTS, LINT).publish() == 0
    run = scene.start(
        scene.label(scene.repository.issues[1]),
        runtime=ScriptedRuntime(lambda workspace: (workspace / "src/tax.py").write_text(MENDED + "# again\n")),
    )
    run.plan()
    run.work()
    run.observe(TESTS, BROKEN)

    assert run.publish() == 0
    assert [check.conclusion for check in scene.check_runs if not check.title.startswith("superseded")] == ["failure"]
