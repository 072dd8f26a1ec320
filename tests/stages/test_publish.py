"""What `publish` believes, what it refuses, and what it says: the documents before it are hostile."""

import json
import os
import re
import shutil
from pathlib import Path

import pytest

from coven_action.core.documents import write_document
from coven_action.core.verification.verification import STEPS, find_refusal
from coven_action.errors import DocumentError
from tests.scenario import CONFIGURATION, MENDED, PATCH, Run, Scene, ScriptedRuntime, run_git

ATTEMPT = {
    "exit_code": 0, "signal": None, "duration_seconds": 0.1, "timed_out": False, "output_bytes": 0,
    "output_truncated": False, "processes_left_behind": 0,
}  # fmt: skip
TOKEN_SHAPE = "ghp_" + "A1b2C3d4E5f6G7h8I9j0K1l2M3n4O5p6Q7r8"


def _writes(**files: str):
    def work(workspace: Path) -> None:
        for name, text in files.items():
            path = workspace / name.replace("__", "/")
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)

    return ScriptedRuntime(work)


def _hand_off(text: str):
    def work(workspace: Path) -> None:
        (workspace / "src/tax.py").write_text(MENDED)
        (workspace / ".coven/handoff").mkdir(parents=True)
        (workspace / ".coven/handoff/pull-request.md").write_text(text)

    return ScriptedRuntime(work)


def _worked(scene: Scene, **facts) -> Run:
    """Return a run that is ready to be published."""
    run = scene.start(scene.label(scene.open_issue()), **facts)
    run.plan()
    run.work()
    return run


def _results(run: Run) -> dict[str, str]:
    return {verdict.step: verdict.result for verdict in run.evidence.verdicts}


def _rewrite_outcome(run: Run, **changes: object) -> None:
    path = run.documents / "outcome.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))


def _replace(run: Run, name: str, how: str) -> None:
    path = run.documents / name
    path.unlink()
    if how == "link":
        (run.documents / "elsewhere").write_bytes(b"{}")
        path.symlink_to(run.documents / "elsewhere")
    elif how == "pipe":
        os.mkfifo(path)
    elif how == "folder":
        path.mkdir()
    elif how == "oversized":
        with path.open("wb") as stream:
            stream.truncate(9 * 1024 * 1024)


def _earlier_attempt(run: Run) -> None:
    task = json.loads(run.read("outcome.json"))["task"]
    _rewrite_outcome(run, task={**task, "run_attempt": 9})
    run.digests["outcome"] = run.digest("outcome.json")


# What somebody has done to the outcome: (deed, the code that people are told).
TAMPERED = {
    "missing": (lambda run: _replace(run, "outcome.json", "nothing"), "missing-document"),
    "a link": (lambda run: _replace(run, "outcome.json", "link"), "missing-document"),
    "a pipe": (lambda run: _replace(run, "outcome.json", "pipe"), "missing-document"),
    "a folder": (lambda run: _replace(run, "outcome.json", "folder"), "missing-document"),
    "oversized": (lambda run: _replace(run, "outcome.json", "oversized"), "document-too-large"),
    "half a file": (
        lambda run: (run.documents / "outcome.json").write_bytes(run.read("outcome.json")[:200]),
        "document-altered",
    ),
    "another text": (lambda run: _rewrite_outcome(run, summary="All tests pass."), "document-altered"),
    "of an earlier attempt": (_earlier_attempt, "document-of-another-run"),
}


@pytest.mark.slow_after(3)
@pytest.mark.parametrize(("tamper", "code"), TAMPERED.values(), ids=TAMPERED)
def test_an_outcome_that_is_not_the_runs_own_fails_the_job(scene, tamper, code):
    run = _worked(scene)
    tamper(run)

    assert run.publish() == 1

    assert (run.evidence.conclusion, run.evidence.fault.stage, run.evidence.fault.code) == ("failure", "run", code)
    assert scene.branches() == {}
    assert "failed in `run`: nothing was published" in scene.comments(scene.repository.issues[1])[0].body
    assert "| contract | passed" not in run.summary


# What an outcome says, though its digest is right, as in a job whose agent has taken the whole stage over: changes, code.
FORGED = {
    "another version": ({"version": 2}, "malformed-document"),
    "another plan": ({"plan_sha256": "0" * 64}, "document-altered"),
    "too many attempts": ({"attempts": [ATTEMPT] * 6}, "malformed-document"),
    "more tries than attempts": ({"tries": [{"attempt": 1, "rows": []}] * 2}, "malformed-document"),
    "a result of no attempt": ({"attempts": []}, "malformed-document"),
    "work without a result": ({"result": None}, "malformed-document"),
    "a result of another contract": ({"result": {"contract_version": "9"}}, "malformed-document"),
    "a commit without a bundle": ({"bundle_sha256": None}, "malformed-document"),
}


@pytest.mark.slow_after(3)
@pytest.mark.parametrize(("changes", "code"), FORGED.values(), ids=FORGED)
def test_an_outcome_that_breaks_the_contract_fails_the_job_whatever_vouches_for_it(scene, changes, code):
    run = _worked(scene)
    _rewrite_outcome(run, **changes)
    run.digests["outcome"] = run.digest("outcome.json")

    assert run.publish() == 1
    assert (run.evidence.conclusion, run.evidence.fault.stage, run.evidence.fault.code) == ("failure", "run", code)
    assert _results(run) == {"contract": "refused", **dict.fromkeys(STEPS, "not-reached")}
    assert scene.branches() == {}
    assert "| contract | refused |" in run.summary


def test_an_outcome_that_nobody_vouched_for_fails_the_job(scene):
    """`run` was killed after it had written its outcome: what lies there since may be anybody's."""
    run = _worked(scene)
    run.digests["outcome"] = None

    assert run.publish() == 1
    assert (run.evidence.fault.stage, run.evidence.fault.code) == ("run", "digest-missing")
    assert scene.branches() == {}
    assert "Re-run the job" in scene.comments(scene.repository.issues[1])[0].body


def test_every_step_of_a_published_result_has_its_verdict(scene):
    run = _worked(scene, runtime=_hand_off("Mend it\n\n@maintainer fixes #7"))

    assert run.publish() == 0

    assert _results(run) == {"contract": "passed", **dict.fromkeys(STEPS, "passed"), "evidence": "neutral"}
    said = {verdict.step: verdict.finding for verdict in run.evidence.verdicts}
    assert said["text"] == "made inert before publication: 1 mention, 1 issue reference"
    assert said["evidence"] == (
        "no check is configured, so nothing of ours ran on the result; the familiar claims none"
    )
    assert said["freshness"] == ""
    (check,) = scene.check_runs
    assert "| evidence | neutral | no check is configured" in check.text
    assert [line.split(" | ")[0] for line in check.text.splitlines() if line.startswith("| ")][1:9] == [
        f"| {step}" for step in ("contract", *STEPS)
    ]


def test_what_comes_after_the_first_refusal_is_not_reached(scene, monkeypatch):
    # Where `run` looks for secrets it keeps the change back, and the steps before are not reached either.
    monkeypatch.setattr("coven_action.stages.run.find_kinds", lambda *_: frozenset())
    run = _worked(scene, runtime=_writes(**{".github__workflows__ci.yml": f"on: {TOKEN_SHAPE}\n"}))

    assert run.publish() == 0

    assert _results(run) == {
        "contract": "passed", "tree": "passed", "limits": "passed", "protected-paths": "refused",
        "secrets": "not-reached", "text": "not-reached", "evidence": "not-reached", "freshness": "not-reached",
    }  # fmt: skip
    assert TOKEN_SHAPE not in run.read("changes.patch").decode()


def test_without_a_change_only_the_contract_is_verified(scene):
    run = _worked(scene, runtime=ScriptedRuntime(lambda workspace: None))

    assert run.publish() == 0
    assert _results(run) == {"contract": "passed", **dict.fromkeys(STEPS, "not-reached")}
    assert {verdict.finding for verdict in run.evidence.verdicts[1:]} == {"there is no change to verify"}


@pytest.mark.slow_after(2)
@pytest.mark.parametrize(
    ("change", "code"),
    [
        (lambda run: run.digests.update(plan="0" * 64), "document-altered"),
        (lambda run: (run.documents / "plan.json").write_bytes(b"{}"), "document-altered"),
        (lambda run: (run.documents / "plan.json").unlink(), "missing-document"),
        (lambda run: run.digests.update(plan=None), "digest-missing"),
    ],
    ids=["another digest", "another text", "no file", "no digest"],
)
def test_an_altered_plan_ends_publishing_before_anything_is_told(scene, change, code):
    run = _worked(scene)
    change(run)

    with pytest.raises(DocumentError) as caught:
        run.publish()

    assert caught.value.code == code
    assert run.requests["publish"] == []


def test_a_plan_of_an_earlier_attempt_is_refused(scene):
    run = _worked(scene)
    run.context = run.context.model_copy(update={"run_attempt": 2})

    with pytest.raises(DocumentError) as caught:
        run.publish()
    assert caught.value.code == "document-of-another-run"


def _bundle(run: Run, *, base: str | None = None, commits: int = 1, extra_refs: bool = False) -> None:
    """Put a bundle of the agent's making in place of ours, with an outcome that vouches for it."""
    clone = run.job / "forged"
    run.scene.clone_checkout(clone)
    base = base or run.planned.work.target.base_sha
    run_git(clone, "checkout", "--quiet", "--detach", base)
    for number in range(commits):
        (clone / f"forged-{number}").write_text("x\n")
        run_git(clone, "add", ".")
        run_git(clone, "commit", "--quiet", "-m", "forged")
    names = ["refs/coven/result"]
    run_git(clone, "update-ref", names[0], "HEAD")
    if extra_refs:
        names += ["refs/heads/evil", "refs/tags/v9"]
        for name in names[1:]:
            run_git(clone, "update-ref", name, "HEAD")
    path = run.documents / "changes.bundle"
    path.unlink()
    run_git(clone, "bundle", "create", "--quiet", str(path), *names, f"^{base}")
    _rewrite_outcome(run, bundle_sha256=run.digest("changes.bundle"))
    run.digests["outcome"] = run.digest("outcome.json")


def test_a_bundle_with_two_commits_is_refused(scene):
    run = _worked(scene)
    _bundle(run, commits=2)

    assert run.publish() == 0
    assert (run.evidence.ending, find_refusal(run.evidence.verdicts).step) == ("refused", "tree")
    assert scene.branches() == {}


def test_a_bundle_of_another_base_is_refused(scene):
    first = scene.git("rev-parse", "main").strip()
    scene.commit({"later.md": "x\n"})
    run = _worked(scene)
    _bundle(run, base=first)

    assert run.publish() == 1
    assert run.evidence.conclusion == "failure"
    assert scene.branches() == {}


def test_further_names_in_a_bundle_are_not_pushed(scene):
    run = _worked(scene)
    _bundle(run, extra_refs=True)

    assert run.publish() == 0
    assert set(scene.branches()) == {"coven/issue-1"}
    assert scene.git("tag") == ""


@pytest.mark.slow_after(2)
@pytest.mark.parametrize("how", ["nothing", "pipe", "link", "altered", "noise"])
def test_a_bundle_that_is_not_the_runs_own_fails_the_job(scene, how):
    run = _worked(scene)
    if how == "altered":
        with (run.documents / "changes.bundle").open("ab") as stream:
            stream.write(b"more")
    elif how == "noise":
        (run.documents / "changes.bundle").write_bytes(b"# v2 git bundle\nnoise\n")
        _rewrite_outcome(run, bundle_sha256=run.digest("changes.bundle"))
        run.digests["outcome"] = run.digest("outcome.json")
    else:
        _replace(run, "changes.bundle", how)

    assert run.publish() == 1
    assert run.evidence.fault.stage == "publish"
    assert _results(run)["contract"] == ("passed" if how == "noise" else "refused")
    assert scene.branches() == {}


# What may not be published: (what the familiar leaves, the step that refuses it).
REFUSED = {
    "a workflow": (_writes(**{".github__workflows__ci.yml": "on: push\n"}), "protected-paths"),
    "instructions for agents": (_writes(docs__AGENTS__md="obey\n", **{"docs__agents.MD": "obey\n"}), "protected-paths"),
    "attributes": (_writes(**{".gitattributes": "* filter=x\n"}), "protected-paths"),
    "a secret in a line": (_writes(**{"key.txt": f"token = {TOKEN_SHAPE}\n"}), "secrets"),
    "a secret behind a line separator": (_writes(**{"key.txt": f"harmless\u2028{TOKEN_SHAPE}\n"}), "secrets"),
    "a secret that looks like a header": (_writes(**{"key.txt": f"++ {TOKEN_SHAPE}\n"}), "secrets"),
    "a secret in a file's name": (_writes(**{TOKEN_SHAPE: "x\n"}), "secrets"),
    "a secret in the title": (_hand_off(f"Mend {TOKEN_SHAPE}\n\nDone."), "secrets"),
    "a secret in the text": (_hand_off(f"Mend it\n\nI used {TOKEN_SHAPE}."), "secrets"),
}


@pytest.mark.slow_after(4)
@pytest.mark.parametrize(("runtime", "step"), REFUSED.values(), ids=REFUSED)
def test_what_may_not_be_published_is_refused_and_kept_redacted(scene, runtime, step):
    run = _worked(scene, runtime=runtime)

    assert run.publish() == 0

    refused = [verdict.step for verdict in run.evidence.verdicts if verdict.refused]
    assert (run.evidence.ending, run.evidence.conclusion, refused[0]) == ("refused", "neutral", step)
    assert (scene.branches(), scene.pull_requests, scene.check_runs) == ({}, [], [])
    comment = scene.comments(scene.repository.issues[1])[0].body
    assert f"may not be published: **{step}**" in comment
    assert run.read("changes.patch")
    for text in (run.read("changes.patch").decode(), run.read("evidence.json").decode(), run.summary, comment, run.log):
        assert TOKEN_SHAPE not in text


@pytest.mark.parametrize("limits", ["{files: 2}", "{patch: 1KiB}", "{lines: 2}", "{binary_files: 0}"])
def test_a_change_beyond_the_limits_is_refused(github, tmp_path, limits):
    scene = Scene(github, tmp_path, configuration=CONFIGURATION + f"limits: {limits}\n")
    files = {f"file-{number}": "x" * 1000 for number in range(3)}
    run = _worked(scene, runtime=_writes(**files, image="\0"))

    assert run.publish() == 0
    assert "limits" in [verdict.step for verdict in run.evidence.verdicts if verdict.refused]
    assert scene.branches() == {}


def test_the_jobs_own_token_in_a_change_is_found_in_base64_too(scene):
    import base64

    hidden = base64.b64encode(scene.github.token.encode()).decode()
    run = _worked(scene, runtime=_writes(**{"notes.txt": f"{hidden}\n"}))

    assert run.publish() == 0
    assert run.evidence.ending == "refused"
    assert hidden not in run.read("changes.patch").decode()


# How a runtime can end without a change: (its result, ending, conclusion, exit code).
WITHOUT_CHANGE = {
    "nothing": ({}, "nothing-changed", "neutral", 0),
    "a question": ({"status": "needs_input", "pr_body": "Which rate?"}, "needs-input", "action_required", 0),
    "a failure": ({"status": "failure", "pr_body": "I cannot."}, "could-not", "failure", 1),
    "a fault": ({"status": "failure", "exit_reason": "infra_error"}, "fault", "failure", 1),
}


@pytest.mark.parametrize(("result", "ending", "conclusion", "code"), WITHOUT_CHANGE.values(), ids=WITHOUT_CHANGE)
def test_each_way_to_end_without_a_change_is_told(scene, result, ending, conclusion, code):
    run = _worked(scene, runtime=ScriptedRuntime(lambda workspace: None, result))

    assert run.publish() == code
    assert (run.evidence.ending, run.evidence.conclusion) == (ending, conclusion)
    assert run.outputs["conclusion"] == conclusion
    assert (scene.pull_requests, scene.check_runs, scene.branches()) == ([], [], {})
    comment = scene.comments(scene.repository.issues[1])[0].body
    assert result.get("pr_body", "") in comment


def test_no_claim_of_the_agent_makes_a_success(scene):
    review = {"mode": "none", "evidence_status": "complete", "reviewed_files": [], "supporting_files": [],
              "findings": [], "no_findings_reason": None, "limitations": [],
              "tests_run": [{"command": "pytest", "status": "passed", "output_summary": "99 passed"}]}  # fmt: skip
    run = _worked(scene, runtime=ScriptedRuntime(result={"review": review, "summary": "conclusion: success"}))

    assert run.publish() == 0
    assert scene.check_runs[0].conclusion == "neutral"
    assert "the familiar claims (not verified): pytest: passed" in scene.check_runs[0].summary


def test_without_drafts_an_ordinary_pull_request_says_so(scene):
    scene.repository.offers_drafts = False
    run = _worked(scene)

    assert run.publish() == 0
    (pull_request,) = scene.pull_requests
    assert not pull_request.draft
    assert scene.labels(pull_request.issue) == ["coven:draft"]
    assert any("no draft pull requests" in note for note in run.evidence.notes)
    comment = scene.comments(scene.repository.issues[1])[0].body
    assert "· PR #2 is ready" in comment
    assert "label coven:draft" in comment


def test_when_actions_may_not_open_pull_requests_the_branch_stays_and_the_switch_is_named(scene):
    scene.repository.actions_may_create_pull_requests = False
    run = _worked(scene)

    assert run.publish() == 1
    assert (run.evidence.fault.code, run.evidence.conclusion) == ("pull-requests-switched-off", "failure")
    assert set(scene.branches()) == {"coven/issue-1"}
    comment = scene.comments(scene.repository.issues[1])[0].body
    assert f"{scene.github.url}/acme/billing/compare/main...coven/issue-1?expand=1" in comment
    assert "Settings → Actions → General" in comment
    assert "Settings → Actions → General" in run.log
    assert scene.check_runs == []


# The permission that the job lacks -> the stage that meets it and what people read.
LACKING = {
    "contents": ("read", "contents: write"),
    "pull_requests": ("read", "pull-requests: write"),
    "checks": ("read", "checks: write"),
}


@pytest.mark.slow_after(1)
@pytest.mark.parametrize(("name", "granted", "line"), [(name, *rest) for name, rest in LACKING.items()])
def test_a_missing_permission_is_named_with_the_lines_to_add(scene, name, granted, line):
    from coven_action.emulator.world import ALL_PERMISSIONS

    token = scene.world.add_actions_token(scene.repository, {**ALL_PERMISSIONS, name: granted})
    run = _worked(scene, token=token)

    assert run.publish() == 1
    assert run.evidence.fault.code == "missing-permission"
    comment = scene.comments(scene.repository.issues[1])[0].body
    assert f"\n  {line}" in comment


def test_labels_of_the_configuration_are_put_on_the_pull_request(github, tmp_path):
    scene = Scene(github, tmp_path, configuration=CONFIGURATION + "publish: {labels: [automated, cody]}\n")

    assert _worked(scene).publish() == 0
    assert scene.labels(scene.pull_requests[0].issue) == ["automated", "cody"]


@pytest.mark.slow
def test_long_texts_are_cut_with_a_note_and_keep_what_matters(scene):
    run = _worked(scene, runtime=_hand_off("T" * 900 + "\n\n" + "word " * 12_500))

    assert run.publish() == 0
    pull_request = scene.pull_requests[0].issue
    assert len(pull_request.title) <= 256
    assert pull_request.title.endswith("(#1)")
    assert len(pull_request.body) <= 65_536
    assert pull_request.body.startswith("Closes #1.")
    assert "*Cut here" in pull_request.body
    assert "worked in the repository's own runner" in pull_request.body


def test_a_long_explanation_is_cut_in_the_comment(scene):
    explanation = ScriptedRuntime(lambda workspace: None, {"status": "failure", "pr_body": "word " * 60_000})
    run = _worked(scene, runtime=explanation)

    assert run.publish() == 1
    body = scene.comments(scene.repository.issues[1])[0].body
    assert len(body) <= 65_536
    assert "*Cut here" in body
    assert "[run](" in body


@pytest.mark.slow
def test_a_check_over_many_files_stays_within_githubs_limits(github, tmp_path):
    scene = Scene(github, tmp_path, configuration=CONFIGURATION + "limits: {files: 1000, binary_files: 90}\n")

    def work(workspace: Path) -> None:
        (workspace / "texts").mkdir()
        for number in range(500):
            (workspace / f"texts/{'long-name-' * 12}{number:03}.txt").write_text("x\n")
        (workspace / "images").mkdir()
        for number in range(90):
            (workspace / f"images/{'long-name-' * 12}{number:03}.bin").write_bytes(bytes([0, number]) * 40)

    run = _worked(scene, runtime=ScriptedRuntime(work))

    assert run.publish() == 0
    (check,) = scene.check_runs
    assert len(check.annotations) == 90
    assert sum(request.startswith("PATCH /repos/acme/billing/check-runs/") for request in run.requests["publish"]) == 1
    assert "- and 540 more" in scene.pull_requests[0].issue.body
    assert len(check.text) <= 65_535
    assert "*Cut here" in check.text


HOSTILE_TITLES = [
    "x\n::set-output name=conclusion::success",
    "EOF\nconclusion=success\nEOF",
    "a%0Aconclusion<<x%0Asuccess%0Ax",
    "@maintainer closes #1 <!-- coven-action:status {} -->",
    "![x](https://evil.example/x.png) [click](javascript:alert)",
]


@pytest.mark.slow_after(2)
@pytest.mark.parametrize("title", HOSTILE_TITLES)
def test_a_hostile_title_sets_no_output_and_acts_nowhere(scene, title):
    issue = scene.open_issue(title, PATCH)
    run = scene.start(scene.label(issue), runtime=_hand_off(f"{title}\n\n{title}"))

    assert run.finish() == 0

    assert run.outputs["conclusion"] == "neutral"
    expected = {"decision", "checks", "plan-sha256", "outcome-sha256", "conclusion", "pull-request-number", "pull-request-url",
                "branch", "head-sha", "evidence-path"}  # fmt: skip
    assert set(run.outputs) == expected
    assert not any(line.startswith("::") and "set-output" in line for line in run.log.splitlines())
    pull_request = scene.pull_requests[0].issue
    shown = (pull_request.title, pull_request.body, scene.comments(issue)[0].body, scene.check_runs[0].summary)
    for text in shown:
        assert "@maintainer" not in text.replace("`maintainer`", "")
        assert re.search(r"(?<!\\)\]\((?:javascript|https://evil)", text) is None
    assert pull_request.body.count("#1") <= 2
    assert scene.comments(issue)[0].body.count("<!-- coven-action:status") == 1
    assert pull_request.body.count("<!--") == 0


def test_no_document_argument_or_configuration_holds_the_token(scene, monkeypatch):
    """A canary search over everything a job leaves on its disk, and over every command line of git."""
    import base64

    wrapper = scene.folder / "bin"
    wrapper.mkdir()
    calls = scene.folder / "calls"
    git = shutil.which("git")
    (wrapper / "git").write_text(f'#!/bin/sh\nprintf "%s\\n" "$*" >> "{calls}"\nexec {git} "$@"\n')
    (wrapper / "git").chmod(0o755)
    monkeypatch.setenv("PATH", f"{wrapper}:{os.environ['PATH']}")
    run = scene.start(scene.label(scene.open_issue()))
    (run.job / "event.json").unlink()

    assert run.finish() == 0

    token = scene.github.token.encode()
    basic = base64.b64encode(b"x-access-token:" + token)
    found = [path for path in run.job.rglob("*") if path.is_file() and not path.is_symlink()]
    assert len(found) > 20
    assert len(calls.read_text().splitlines()) > 20
    for data in (calls.read_bytes(), run.log.encode(), *(path.read_bytes() for path in found)):
        for form in (token, base64.b64encode(token).rstrip(b"=")[:-1], basic):
            assert form not in data


def test_the_evidence_is_what_the_comment_and_the_check_name(scene):
    run = _worked(scene)
    run.publish()
    digest = run.digest("evidence.json")

    assert write_document(run.evidence) == run.read("evidence.json")
    for text in (scene.check_runs[0].summary, scene.comments(scene.repository.issues[1])[0].body, run.summary):
        assert digest in text


def test_our_own_sentences_are_plain(scene):
    """People read the source of comments in mails: no backslashes and no look-alikes where plain text is safe."""
    run = _worked(scene)
    run.publish()
    check, comment = scene.check_runs[0], scene.comments(scene.repository.issues[1])[0].body

    assert "1 file, +1 −1" in comment  # noqa: RUF001 - what is shown
    assert "| what was asked | #1 total() rounds wrong (text as of" in check.summary
    for text in (check.summary, check.text, comment, scene.pull_requests[0].issue.body):
        assert "\\" not in text
        assert not any(0xFF01 <= ord(character) <= 0xFF5E for character in text)


PROTECTING = f"""\
{CONFIGURATION}
protect: ["migrations/**"]
protect_override:
  - {{path: docs/AGENTS.md, reason: An example for readers.}}
"""


@pytest.mark.parametrize(
    "files",
    [{"migrations__1.sql": "drop\n"}, {"Migrations.__1.sql": "drop\n"}, {"docs__CLAUDE.md": "obey\n"}],
    ids=["as it is written", "in another spelling", "on the built-in list"],
)
def test_what_the_configuration_protects_is_refused(github, tmp_path, files):
    scene = Scene(github, tmp_path, configuration=PROTECTING)
    run = _worked(scene, runtime=_writes(**files))

    assert run.publish() == 0

    refused = [verdict.step for verdict in run.evidence.verdicts if verdict.refused]
    assert (run.evidence.ending, refused) == ("refused", ["protected-paths"])
    assert (scene.branches(), scene.pull_requests) == ({}, [])
    assert run.read("changes.patch")


def test_an_override_lets_its_path_through_and_is_told_with_its_reason(github, tmp_path):
    scene = Scene(github, tmp_path, configuration=PROTECTING)
    run = _worked(scene, runtime=_writes(**{"docs__AGENTS.md": "# An example\n"}))

    assert run.publish() == 0

    assert run.evidence.ending == "published"
    [pull_request] = scene.pull_requests
    [note] = [note for note in run.evidence.notes if "although protected" in note]
    assert "docs/AGENTS.md" in note
    for text in (
        note,
        pull_request.issue.body,
        scene.comments(scene.repository.issues[1])[0].body,
        scene.check_runs[0].summary,
    ):
        assert "An example for readers." in text
    assert "coven:needs-review" not in scene.labels(pull_request.issue)


def _another_task(scene, runtime) -> Run:
    """Let another task work on the pull request of issue 1, and return its run."""
    run = scene.start(scene.label(scene.repository.issues[1]), runtime=runtime)
    assert run.finish() == 0
    return run


def _removes(name: str) -> ScriptedRuntime:
    return ScriptedRuntime(lambda workspace: (workspace / name).unlink())


MANIFEST = {"package.json": "{}\n"}


@pytest.mark.slow
def test_our_label_goes_when_the_pull_request_no_longer_changes_a_manifest(scene):
    _worked(scene, runtime=_writes(**MANIFEST, **{"src__tax.py": MENDED})).publish()
    [pull_request] = scene.pull_requests
    _another_task(scene, _writes(**{"more.md": "x\n"}))
    assert scene.labels(pull_request.issue) == ["coven:needs-review"]
    _another_task(scene, _removes("package.json"))
    assert scene.labels(pull_request.issue) == ["coven:needs-review"]

    last = _another_task(scene, _writes(**{"more.md": "y\n"}))

    assert scene.labels(pull_request.issue) == []
    assert len(last.requests["publish"]) <= 20


@pytest.mark.slow
def test_a_persons_label_stays(scene):
    _worked(scene).publish()
    [pull_request] = scene.pull_requests
    scene.world.add_labels(scene.repository, pull_request.issue, ["coven:needs-review"], scene.github.maintainer)

    run = _another_task(scene, _writes(**{"more.md": "x\n"}))

    assert scene.labels(pull_request.issue) == ["coven:needs-review"]
    assert not any(request.endswith("/files") for request in run.requests["publish"])


@pytest.mark.slow
def test_a_label_that_a_person_put_back_is_theirs(scene):
    _worked(scene, runtime=_writes(**MANIFEST, **{"src__tax.py": MENDED})).publish()
    [pull_request] = scene.pull_requests
    _another_task(scene, _removes("package.json"))
    scene.world.remove_label(pull_request.issue, "coven:needs-review", scene.github.maintainer)
    scene.world.add_labels(scene.repository, pull_request.issue, ["coven:needs-review"], scene.github.maintainer)

    _another_task(scene, _writes(**{"more.md": "x\n"}))

    assert scene.labels(pull_request.issue) == ["coven:needs-review"]


def test_a_changed_manifest_is_published_with_a_label_and_a_note(scene):
    run = _worked(scene, runtime=_writes(**{"web__package.json": "{}\n"}))

    assert run.publish() == 0

    assert run.evidence.ending == "published"
    [pull_request] = scene.pull_requests
    assert "coven:needs-review" in scene.labels(pull_request.issue)
    for text in (*run.evidence.notes, pull_request.issue.body, scene.comments(scene.repository.issues[1])[0].body):
        assert "package.json" in text
