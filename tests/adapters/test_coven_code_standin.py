"""The coven-code adapter against its stand-in: real processes, a real git repository, every row of the exit-code table."""

import functools
import json
import os
import stat
import subprocess
from dataclasses import dataclass
from pathlib import Path

import pytest

from coven_action.adapters.runtime_install import check_installed_runtime
from coven_action.adapters.runtime_process import run_process
from coven_action.core.contract.contract import (
    MAX_RESULT_BYTES,
    Brief,
    FamiliarReference,
    FixIssue,
    RepositoryReference,
    RespondToMention,
    RuntimeResult,
    parse_result,
)
from coven_action.core.contract.coven_code import (
    ModelAccess,
    audit_instruction,
    decide_launch,
    parse_capabilities,
    runtime_environment,
)
from coven_action.core.contract.process_output import ProcessLimits
from coven_action.core.contract.process_report import ProcessReport
from coven_action.core.contract.usage import Usage, parse_usage
from coven_action.core.contract.verdict import RuntimeVerdict, judge_runtime
from coven_action.core.memory.policy_block import BranchScope, RepositoryScope, TenantScope, disabled_memory_policy
from coven_action.errors import RuntimeFault
from tests.coven_code_standin import install_standin

CONTRACTS = Path(__file__).parents[2] / ".." / "shared" / "contracts"
KEY = "sk-ant-canary-9876543210"
PATH = os.environ.get("PATH", os.defpath)
LIMITS = ProcessLimits(seconds=60, grace_seconds=0.2, kill_seconds=5, hard_bytes=4 * 1024 * 1024)
BRIEF = Brief(
    trigger="issue_assigned",
    repo=RepositoryReference(
        owner="acme", name="billing", clone_url="https://github.com/acme/billing.git", default_branch="main"
    ),
    task=FixIssue(issue_number=1, issue_title="A line is missing", issue_body="Add it."),
    familiar=FamiliarReference(id="cody", display_name="Cody", model="anthropic/claude-sonnet-4-6"),
    audit_instruction=audit_instruction(),
    memory_policy=disabled_memory_policy(
        tenant_scope=TenantScope(account_id=7, account_login="acme"),
        repo_scope=RepositoryScope(
            repository_id=9, owner="acme", name="billing", visibility="private", default_branch="main"
        ),
        branch_scope=BranchScope(base_ref="main", head_ref="main", same_repository=True),
        trust_scope="maintainer",
        reason="Memory is off.",
    ),
)
MENTION = BRIEF.model_copy(update={"task": RespondToMention(issue_number=1, comment_body="What is this?")})


@dataclass
class Ran:
    report: ProcessReport
    result: RuntimeResult | RuntimeFault
    verdict: RuntimeVerdict
    usage: Usage | None
    output: bytes
    record: dict
    folder: Path

    @property
    def workspace(self) -> Path:
        return self.folder / "workspace"


def git(folder, *words):
    identity = ["-c", "user.name=t", "-c", "user.email=t@t", "-c", "commit.gpgsign=false"]
    done = subprocess.run(["git", *identity, *words], cwd=folder, check=True, capture_output=True, text=True)
    return done.stdout.strip()


@pytest.fixture
def folder(tmp_path):
    workspace = tmp_path / "workspace"
    for made in (workspace, tmp_path / "home" / ".coven-code", tmp_path / "tmp"):
        made.mkdir(parents=True)
    git(workspace, "init", "--quiet", "--initial-branch=main")
    (workspace / "README.md").write_text("Billing.\n", encoding="utf-8")
    git(workspace, "add", "README.md")
    git(workspace, "commit", "--quiet", "--message", "Begin")
    git(workspace, "update-ref", "refs/remotes/origin/main", "HEAD")
    return tmp_path


def environment(folder, additions=None):
    return runtime_environment(path=PATH, home=str(folder / "home"), temporary=str(folder / "tmp"), additions=additions)


@functools.cache
def probe(release):
    """Ask the program once, as the runner does."""
    import tempfile

    with tempfile.TemporaryDirectory() as made:
        folder = Path(made)
        program = str(check_installed_runtime(install_standin(folder, release, "edits")))
        answers = [
            run_process([program, word], environment={"PATH": PATH}, cwd=folder, limits=LIMITS, write=bytes)
            for word in ("--version", "--help")
        ]
    return parse_capabilities(*[answer.stdout_tail for answer in answers])


def run(folder, release, scenario, *, isolation="enforced", brief=BRIEF, limits=LIMITS, version=None, key=KEY):
    workspace, result = folder / "workspace", folder / "result.json"
    document = brief.at(str(workspace)).document()
    (folder / "brief.json").write_text(json.dumps({**document, "contract_version": version or "3"}), encoding="utf-8")
    launch = decide_launch(
        probe(release),
        mode="repair",
        isolation=isolation,
        model="anthropic/claude-sonnet-4-6",
        max_turns=40,
        access=ModelAccess(key),
        brief_path=str(folder / "brief.json"),
        result_path=str(result),
    )
    (folder / "home" / ".coven-code" / "settings.json").write_text(json.dumps(launch.settings), encoding="utf-8")
    start = git(workspace, "rev-parse", "HEAD")
    result.unlink(missing_ok=True)
    output = bytearray()
    report = run_process(
        [str(install_standin(folder, release, scenario)), *launch.argv_tail],
        environment=environment(folder, launch.environment),
        cwd=workspace,
        limits=limits,
        write=output.extend,
    )
    read = read_result(result)
    changed = git(workspace, "rev-parse", "HEAD") != start or bool(
        git(workspace, "status", "--porcelain", "--", ".", ":!.coven")
    )
    record = folder / "home" / "standin-record.json"
    return Ran(
        report,
        read,
        judge_runtime(report, read, tree_changed=changed),
        parse_usage(report.stdout_tail),
        bytes(output),
        json.loads(record.read_text(encoding="utf-8")) if record.exists() else {},
        folder,
    )


def read_result(path):
    if not path.is_file():
        return RuntimeFault("runtime-no-result", "The runtime wrote no result.")
    try:
        return parse_result(path.read_bytes()[: MAX_RESULT_BYTES + 1])
    except RuntimeFault as fault:
        return fault


@pytest.mark.parametrize(
    ("release", "version", "hosted_repair"),
    [("0.6.1", "0.6.1", False), ("0.7.0", "0.7.0", False), ("head", "0.7.0", True)],
)
def test_a_binary_is_known_by_what_its_help_lists(release, version, hosted_repair):
    capabilities = probe(release)

    assert (capabilities.version, capabilities.hosted_repair) == (version, hosted_repair)


# release, scenario, exit code, status and reason (None: no result), verdict
TABLE = [
    ("0.6.1", "commits", 0, ("success", None), "worked"),
    ("0.6.1", "partial", 0, ("partial", None), "worked"),
    ("0.6.1", "edits", 1, ("failure", "ambiguous_spec"), "worked"),
    ("0.6.1", "new-files", 1, ("failure", "ambiguous_spec"), "worked"),
    ("0.6.1", "nothing", 1, ("failure", "ambiguous_spec"), "nothing-changed"),
    ("0.6.1", "budget", 1, ("failure", "ambiguous_spec"), "nothing-changed"),
    ("0.6.1", "api-error", 2, ("failure", "infra_error"), "fault"),
    ("0.6.1", "turn-limit", 2, ("failure", "infra_error"), "fault"),
    ("0.6.1", "empty-prompt", 2, ("failure", "infra_error"), "fault"),
    ("0.6.1", "startup-error", 1, None, "fault"),
    ("0.7.0", "commits", 0, ("success", None), "worked"),
    ("0.7.0", "detached", 0, ("success", None), "worked"),
    ("0.7.0", "new-files", 1, ("failure", "ambiguous_spec"), "worked"),
    ("head", "edits", 0, ("success", None), "worked"),
    ("head", "commits", 0, ("success", None), "worked"),
    ("head", "partial", 0, ("partial", None), "worked"),
    ("head", "new-files", 1, ("failure", "ambiguous_spec"), "worked"),
    ("head", "nothing", 1, ("failure", "ambiguous_spec"), "nothing-changed"),
    ("head", "turn-limit", 2, ("failure", "infra_error"), "fault"),
    ("head", "startup-error", 1, None, "fault"),
    ("head", "version-2", 0, ("success", None), "worked"),
    ("head", "unknown-fields", 0, ("success", None), "worked"),
    ("head", "needs-input", 1, ("needs_input", "ambiguous_spec"), "needs-input"),
]


@pytest.mark.parametrize(("release", "scenario", "exit_code", "claim", "kind"), TABLE)
def test_every_row_of_the_exit_code_table(folder, release, scenario, exit_code, claim, kind):
    ran = run(folder, release, scenario, isolation="none" if release == "head" else "enforced")

    assert ran.report.exit_code == exit_code
    if claim is None:
        assert isinstance(ran.result, RuntimeFault)
    else:
        assert (ran.result.status, ran.result.exit_reason) == claim
    assert ran.verdict.kind == kind


@pytest.mark.parametrize(
    ("scenario", "code"),
    [
        ("no-file", "runtime-no-result"),
        ("half-file", "malformed-result"),
        ("wrong-version", "contract-version"),
        ("crash", "runtime-crashed"),
        ("panic", "runtime-crashed"),
        ("flood", "runtime-flooded"),
    ],
)
def test_what_goes_wrong_around_the_work_never_looks_green(folder, scenario, code):
    ran = run(folder, "head", scenario, isolation="none")

    assert (ran.verdict.kind, ran.verdict.code) == ("fault", code)
    assert "One more line." in (ran.workspace / "README.md").read_text(encoding="utf-8")


def test_a_runtime_that_hangs_and_ignores_the_request_to_end_is_ended(folder):
    ran = run(folder, "head", "hang", isolation="none", limits=ProcessLimits(seconds=1.5, grace_seconds=0.1))

    assert (ran.verdict.kind, ran.verdict.code) == ("fault", "runtime-timeout")
    assert ran.report.signal is not None


def test_a_daemon_left_behind_is_ended_and_does_not_hold_the_run_up(folder):
    ran = run(folder, "head", "daemon", isolation="none")

    assert ran.verdict.kind == "worked"
    assert ran.report.killed_orphans == 1
    assert not ran.report.survivors
    pid = int((folder / "home" / "daemon.pid").read_text(encoding="utf-8"))
    assert not Path(f"/proc/{pid}").exists()


@pytest.mark.parametrize("release", ["0.6.1", "0.7.0"])
def test_the_releases_refuse_version_2_of_the_brief_and_write_no_result(folder, release):
    ran = run(folder, release, "commits", version="2")

    assert ran.report.exit_code == 1
    assert isinstance(ran.result, RuntimeFault)
    assert (ran.verdict.kind, ran.verdict.code) == ("fault", "runtime-crashed")


@pytest.mark.parametrize("release", ["0.6.1", "0.7.0"])
@pytest.mark.parametrize("isolation", ["none", "partial"])
def test_a_release_without_hosted_repair_is_refused_outside_an_enforced_sandbox(folder, release, isolation):
    with pytest.raises(RuntimeFault) as caught:
        run(folder, release, "commits", isolation=isolation)

    assert caught.value.code == "runtime-needs-sandbox"


def test_a_result_of_an_earlier_attempt_is_not_taken_for_this_one(folder):
    assert run(folder, "head", "edits", isolation="none").verdict.kind == "worked"

    again = run(folder, "head", "no-file", isolation="none")

    assert (again.verdict.kind, again.verdict.code) == ("fault", "runtime-no-result")


def test_a_mention_may_be_answered_without_a_change(folder):
    ran = run(folder, "0.7.0", "nothing", brief=MENTION)

    assert (ran.report.exit_code, ran.result.status) == (0, "success")
    assert ran.verdict.kind == "nothing-changed"


def test_the_brief_that_arrives_carries_the_memory_policy(folder):
    ran = run(folder, "head", "edits", isolation="none")

    assert ran.record["brief"]["memory_policy"]["enabled"] is False
    assert ran.record["brief"]["contract_version"] == "3"
    assert ran.record["brief"]["workspace"]["root"] == str(ran.workspace)


def test_the_runtime_gets_the_allow_list_and_nothing_of_ours(folder, monkeypatch):
    monkeypatch.setenv("GITHUB_TOKEN", "ghs_canary")
    monkeypatch.setenv("ANTHROPIC_API_KEY", KEY)
    monkeypatch.setenv("ACTIONS_ID_TOKEN_REQUEST_TOKEN", "canary")

    ran = run(folder, "head", "edits", isolation="none")

    # A shell and Python's start add names of their own to what was handed over.
    added = {"PWD", "OLDPWD", "SHLVL", "_", "LC_CTYPE"}
    assert set(ran.record["environment"]) - added == set(environment(folder))
    assert "canary" not in json.dumps(ran.record["environment"])
    assert KEY not in json.dumps(ran.record["arguments"])
    assert ran.record["settings"]["providers"]["anthropic"]["api_key"] == KEY


def test_usage_is_read_from_what_was_printed_last(folder):
    ran = run(folder, "head", "edits", isolation="none")

    assert ran.usage == Usage(input_tokens=1200, output_tokens=34, cache_read_input_tokens=5, cost_usd=0.0123)
    assert b"tool: Read README.md\n" in ran.output


def test_the_hand_off_file_is_written_where_it_was_asked_for(folder):
    ran = run(folder, "head", "edits", isolation="none")

    text = (ran.workspace / ".coven" / "handoff" / "pull-request.md").read_text(encoding="utf-8")
    assert text.splitlines()[0] == "Add one more line"
    assert ran.result.summary != text.splitlines()[0]


def test_a_detached_head_and_the_default_branch_stand_in_for_a_branch(folder):
    detached = run(folder, "0.7.0", "detached")
    assert detached.result.branch == "HEAD"

    git(detached.workspace, "checkout", "--quiet", "main")
    assert run(folder, "0.7.0", "nothing").result.branch == "main"


def test_without_a_key_the_runtime_stops_before_it_writes_a_result(folder):
    ran = run(folder, "head", "edits", isolation="none", key="")

    assert (ran.report.exit_code, ran.verdict.kind) == (1, "fault")


@pytest.mark.parametrize("arguments", [["--hosted-repair"], ["--headless", "--nonsense"], ["--max-turns"]])
def test_a_usage_error_ends_with_2_and_no_result(folder, arguments):
    program = install_standin(folder, "head", "edits")
    report = run_process(
        [str(program), *arguments], environment=environment(folder), cwd=folder, limits=LIMITS, write=bytes
    )

    assert report.exit_code == 2


@pytest.mark.parametrize(("release", "scenario"), [("head", "edits"), ("0.7.0", "commits"), ("head", "version-2")])
def test_results_are_valid_by_the_published_schemas(folder, release, scenario):
    if not CONTRACTS.is_dir():
        pytest.skip("the contract's schemas are not part of this project and lie nowhere near this checkout")
    import jsonschema

    ran = run(folder, release, scenario, isolation="none" if release == "head" else "enforced")
    document = json.loads((folder / "result.json").read_text(encoding="utf-8"))
    schema = json.loads((CONTRACTS / f"v{ran.result.contract_version}" / "result.schema.json").read_bytes())

    jsonschema.Draft202012Validator(schema).validate(document)


def test_an_installed_program_is_looked_at_before_it_is_used(tmp_path):
    program = install_standin(tmp_path, "head", "edits")
    assert check_installed_runtime(program) == program

    program.chmod(stat.S_IRUSR)
    folder = tmp_path / "folder"
    folder.mkdir()
    link = tmp_path / "dangling"
    link.symlink_to(tmp_path / "nowhere")
    for odd in (program, folder, link, tmp_path / "missing", Path("relative"), tmp_path / "nul\0"):
        with pytest.raises(RuntimeFault) as caught:
            check_installed_runtime(odd)
        assert caught.value.code == "runtime-not-installed"
