"""What `run` makes of a runtime that misbehaves, and what of it can reach the job around it."""

import json
import os
import stat
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from coven_action.core.contract.platforms import describe_platform
from coven_action.errors import DocumentError
from tests.scenario import MENDED, PATCH, Run, Scene, ScriptedRuntime, build_patch, run_git, run_process


def _worked(scene: Scene, **facts) -> Run:
    run = scene.start(scene.label(scene.open_issue(body=facts.pop("body", PATCH))), **facts)
    run.plan()
    run.work()
    return run


# What a runtime leaves or how it ends -> the code of the fault.
MISBEHAVIOUR = {
    "writes no file": ({"result": None}, "runtime-no-result"),
    "writes nothing into it": ({"result": b""}, "malformed-result"),
    "writes half a file": ({"result": b'{"contract_version": "3", "status": "succ'}, "malformed-result"),
    "writes a list": ({"result": b"[]"}, "malformed-result"),
    "writes the wrong version": ({"result": {"contract_version": "9"}}, "contract-version"),
    "writes a megabyte": ({"result": b" " * (1024 * 1024 + 1)}, "malformed-result"),
    "floods": ({"report": {"output_flooded": True, "output_bytes": 10**9}}, "runtime-flooded"),
    "hangs": ({"report": {"timed_out": True, "duration_seconds": 1800.0}}, "runtime-timeout"),
    "leaves processes that cannot be ended": ({"report": {"survivors": True}}, "runtime-not-contained"),
    "escapes its supervisor": ({"report": {"supervised": False}}, "runtime-not-contained"),
    "crashes after its result": ({"report": {"exit_code": 139}}, "runtime-crashed"),
    "is killed": ({"report": {"exit_code": None, "signal": 9}, "result": None}, "runtime-crashed"),
}


@pytest.mark.slow_after(5)
@pytest.mark.parametrize(("behaviour", "code"), MISBEHAVIOUR.values(), ids=MISBEHAVIOUR)
def test_a_runtime_that_misbehaves_is_a_fault_and_never_green(scene, behaviour, code):
    run = _worked(scene, runtime=ScriptedRuntime(**behaviour))

    assert run.outcome.fault.code == code
    assert run.publish() == 1
    assert (run.evidence.conclusion, run.evidence.fault.stage) == ("failure", "run")
    assert scene.branches() == {}
    assert not (run.documents / "run").exists()


def _program(scene: Scene, text: str) -> Scene:
    """Configure a runtime that is a program of the test's own."""
    program = scene.folder / "runtime.py"
    program.write_text(text)
    command = json.dumps([sys.executable, "-I", str(program)])
    scene.commit({".github/coven.yml": f"version: 1\nfamiliars:\n  cody:\n    runtime: {{command: {command}}}\n"})
    return scene


def _bounded(seconds: float, hard_bytes: int = 2 * 1024 * 1024):
    def start(argv, *, limits, **named):
        bounded = replace(limits, seconds=seconds, kept_bytes=64 * 1024, hard_bytes=hard_bytes, grace_seconds=0.2)
        return run_process(argv, limits=bounded, **named)

    return start


# Real programs: (what they do, the code, what the log must hold).
PROGRAMS = {
    "floods": ("import sys\nwhile True: sys.stdout.write('x' * 65536)\n", "runtime-flooded"),
    "hangs": ("import signal, time\nsignal.signal(15, signal.SIG_IGN)\ntime.sleep(60)\n", "runtime-timeout"),
    "forks": (
        "import os, time\nif os.fork() == 0:\n    os.setsid()\n    time.sleep(60)\nprint('gone')\n",
        "runtime-no-result",
    ),
}


@pytest.mark.slow_after(1)
@pytest.mark.parametrize(("program", "code"), PROGRAMS.values(), ids=PROGRAMS)
def test_a_real_program_that_misbehaves_is_ended(scene, program, code):
    run = _worked(_program(scene, program), runtime=_bounded(1.5), isolation="none")

    assert run.outcome.fault.code == code
    assert run.outcome.attempts[0].duration_seconds < 20
    assert (run.documents / "agent.log").stat().st_size < 1024 * 1024


def test_a_patch_that_does_not_apply_is_explained_to_who_asked(scene):
    body = build_patch(before="def sum(net):\n    return net\n", after=MENDED)
    run = _worked(scene, runtime=run_process, body=body)

    assert run.outcome.verdict == "failed"
    assert run.publish() == 1
    comment = scene.comments(scene.repository.issues[1])[0].body
    assert "could not do it" in comment
    assert "::error::Cody could not do it: The patch does not apply" in run.log
    assert "src/tax.py" in comment
    assert scene.branches() == {}


@pytest.mark.parametrize("place", ["result.json", "session-brief.json"])
@pytest.mark.parametrize("how", ["link", "pipe", "folder"])
def test_something_else_in_place_of_the_result_is_no_result(scene, place, how):
    def work(workspace: Path) -> None:
        path = workspace.parent / place
        path.unlink(missing_ok=True)
        if how == "link":
            path.symlink_to("/etc/passwd")
        elif how == "pipe":
            os.mkfifo(path)
        else:
            path.mkdir()

    run = _worked(scene, runtime=ScriptedRuntime(work, None))

    assert run.outcome.fault.code == "runtime-no-result"
    assert "root:" not in run.read("outcome.json").decode()


# A hand-off that is no plain file of the workspace: the familiar's words are not used.
@pytest.mark.slow_after(2)
@pytest.mark.parametrize("how", ["link", "linked folder", "pipe", "folder", "binary", "oversized"])
def test_a_hand_off_that_is_no_plain_text_is_left_aside(scene, how):
    secret = scene.folder / "secret.md"
    secret.write_text("the job's secret title\n")

    def work(workspace: Path) -> None:
        (workspace / "src/tax.py").write_text(MENDED)
        folder = workspace / ".coven/handoff"
        path = folder / "pull-request.md"
        if how == "linked folder":
            folder.parent.mkdir()
            (scene.folder / "pull-request.md").write_text("the job's secret title\n")
            folder.symlink_to(scene.folder)
            return
        folder.mkdir(parents=True)
        deeds = {
            "link": lambda: path.symlink_to(secret),
            "pipe": lambda: os.mkfifo(path),
            "folder": path.mkdir,
            "binary": lambda: path.write_bytes(b"\xff\xfe\x00"),
            "oversized": lambda: path.write_text("x" * 70_000),
        }
        deeds[how]()

    run = _worked(scene, runtime=ScriptedRuntime(work))

    assert run.outcome.hand_off.title == ""
    assert "secret title" not in run.read("outcome.json").decode()
    assert run.outcome.verdict == "worked"
    assert run.outcome.files_changed == ("src/tax.py",)


def test_what_the_runtime_keeps_for_itself_is_no_part_of_the_change(scene):
    def work(workspace: Path) -> None:
        for name in (".coven/notes", ".coven-code/state", ".coven/handoff/memory.jsonl"):
            (workspace / name).parent.mkdir(parents=True, exist_ok=True)
            (workspace / name).write_text("x\n")

    run = _worked(scene, runtime=ScriptedRuntime(work))

    assert run.outcome.verdict == "nothing-changed"


def test_work_that_the_runtime_has_committed_itself_counts(scene):
    def work(workspace: Path) -> None:
        (workspace / "src/tax.py").write_text(MENDED)
        run_git(workspace, "commit", "--quiet", "--all", "-m", "done")
        (workspace / "later.md").write_text("uncommitted\n")

    run = _worked(scene, runtime=ScriptedRuntime(work))

    assert set(run.outcome.files_changed) == {"src/tax.py", "later.md"}
    assert run.publish() == 0
    assert len(scene.history("coven/issue-1")) == 1


def test_a_runtime_cannot_decide_what_we_see_through_its_own_git_directory(scene):
    def work(workspace: Path) -> None:
        import shutil

        (workspace / "src/tax.py").write_text(MENDED)
        shutil.rmtree(workspace / ".git")
        (workspace / ".git").write_text("gitdir: /nonexistent\n")

    run = _worked(scene, runtime=ScriptedRuntime(work))

    assert run.outcome.files_changed == ("src/tax.py",)


def _plant(folder: Path, canary: Path) -> None:
    """Plant every way in which a repository's own configuration can start a program."""
    program = folder / "evil.sh"
    program.write_text(f"#!/bin/sh\ntouch {canary}\ncat\n")
    program.chmod(0o755)
    for hook in ("pre-commit", "post-checkout", "pre-push", "reference-transaction", "post-index-change", "fsmonitor"):
        path = folder / "hooks" / hook
        path.parent.mkdir(exist_ok=True)
        path.write_text(program.read_text())
        path.chmod(0o755)
    with (folder / "config").open("a") as config:
        config.write(
            f"[core]\n\tfsmonitor = {program}\n\thooksPath = {folder / 'hooks'}\n\tsshCommand = {program}\n"
            f"\tpager = {program}\n\tattributesFile = {folder / 'planted'}\n"
            f'[filter "evil"]\n\tclean = {program}\n\tsmudge = {program}\n\tprocess = {program}\n\trequired = true\n'
            f'[diff "evil"]\n\ttextconv = {program}\n\tcommand = {program}\n[diff]\n\texternal = {program}\n'
            f"[include]\n\tpath = {folder / 'included'}\n[uploadpack]\n\tpackObjectsHook = {program}\n"
            f"[credential]\n\thelper = {program}\n[gpg]\n\tprogram = {program}\n[commit]\n\tgpgSign = true\n"
        )
    (folder / "included").write_text(f"[core]\n\tfsmonitor = {program}\n")
    (folder / "planted").write_text("* filter=evil diff=evil\n")
    (folder / "info").mkdir(exist_ok=True)
    (folder / "info/attributes").write_text("* filter=evil diff=evil\n")


def test_nothing_planted_in_a_repository_is_ever_executed(scene):
    """In the workspace, in a submodule of it, in its attributes, and in the checkout that it was cloned from."""
    canary = scene.folder / "canary"
    clone = scene.clone_checkout(scene.folder / "author")
    commit = run_git(clone, "rev-parse", "HEAD").strip()
    run_git(clone, "update-index", "--add", "--cacheinfo", f"160000,{commit},module")
    (clone / ".gitattributes").write_text("* filter=evil diff=evil\n")
    run_git(clone, "add", ".gitattributes")
    run_git(clone, "commit", "--quiet", "-m", "Add a module")
    run_git(clone, "push", "--quiet", "origin", "HEAD:main")

    def work(workspace: Path) -> None:
        (workspace / "src/tax.py").write_text(MENDED)
        _plant(workspace / ".git", canary)
        for name in ("module", "other"):
            (workspace / name).mkdir(exist_ok=True)
            run_git(workspace / name, "init", "--quiet")
            (workspace / name / "file").write_text("x\n")
            run_git(workspace / name, "add", ".")
            run_git(workspace / name, "commit", "--quiet", "-m", "x")
            _plant(workspace / name / ".git", canary)

    run = scene.start(scene.label(scene.open_issue()), runtime=ScriptedRuntime(work))
    run.plan()
    plant_checkout = scene.clone_checkout

    def clone_planted(folder: Path) -> Path:
        checkout = plant_checkout(folder)
        _plant(checkout / ".git", canary)
        return checkout

    scene.clone_checkout = clone_planted
    run.work()
    run.publish()

    assert run.outcome.fault is None
    assert "src/tax.py" in run.outcome.files_changed
    assert not canary.exists()
    # The control: git as people use it does start what was planted.
    subprocess.run(("git", "status"), cwd=run.checkout, capture_output=True, check=False)
    assert canary.exists()


def test_the_runtime_gets_exactly_the_allowed_environment(scene):
    runtime = ScriptedRuntime()
    run = _worked(scene, runtime=runtime, model_key="key-of-the-model-0123456789")
    ((argv, environment, _),) = runtime.starts

    assert set(environment) == {
        "PATH", "LANG", "HOME", "TMPDIR", "COVEN_CODE_HOME", "NO_COLOR", "TERM", "GIT_CONFIG_NOSYSTEM",
        "GIT_TERMINAL_PROMPT", "COVEN_CODE_DISABLE_MODELS_FETCH", "COVEN_CODE_DISABLE_NONESSENTIAL_TRAFFIC",
    }  # fmt: skip
    for secret in (scene.github.token, "key-of-the-model"):
        assert secret not in " ".join((*argv, *environment.values()))
    assert environment["HOME"].startswith(str(run.documents / "run"))


def test_the_brief_names_the_workspace_and_the_result_is_outside_of_it(scene):
    seen = {}

    def work(workspace: Path) -> None:
        brief = workspace.parent / "session-brief.json"
        seen.update(json.loads(brief.read_text()), mode=stat.S_IMODE(brief.parent.parent.stat().st_mode))
        seen["origin"] = run_git(workspace, "remote", "get-url", "origin").strip()
        seen["refs"] = run_git(workspace, "for-each-ref", "--format=%(refname)").split()

    run = _worked(scene, runtime=ScriptedRuntime(work))

    assert seen["workspace"]["root"] == str(run.documents / "run/workspace")
    assert seen["memory_policy"]["enabled"] is False
    assert seen["origin"] == f"{scene.github.url}/acme/billing.git"
    assert seen["refs"] == ["refs/heads/coven/issue-1", "refs/remotes/origin/main"]
    assert seen["mode"] == (0o711 if os.geteuid() == 0 else 0o700)


def test_a_secret_that_the_runtime_prints_is_not_in_the_log(scene):
    key = "key-of-the-model-0123456789"
    run = _worked(scene, runtime=ScriptedRuntime(output=b"using " + key.encode() + b"\n"), model_key=key)

    assert key not in (run.documents / "agent.log").read_text()
    assert "using" in (run.documents / "agent.log").read_text()


def test_an_altered_plan_starts_nothing(scene):
    run = scene.start(scene.label(scene.open_issue()))
    run.plan()
    run.digests["plan"] = "0" * 64

    with pytest.raises(DocumentError):
        run.work()
    assert run.runtime.starts == []


def test_a_declined_plan_starts_nothing(scene):
    run = scene.start(scene.label(scene.open_issue(), "bug"))
    run.plan()

    assert run.work() is None
    assert run.runtime.starts == []


def test_an_outcome_of_an_earlier_attempt_does_not_survive(scene):
    run = scene.start(scene.label(scene.open_issue()), runtime=ScriptedRuntime(lambda workspace: None))
    run.plan()
    (run.documents / "changes.bundle").mkdir()
    (run.documents / "agent.log").mkdir()
    (run.documents / "outcome.json").write_text("{}")
    run.work()

    assert run.outcome.verdict == "nothing-changed"
    assert not (run.documents / "changes.bundle").exists()


def test_a_demand_that_is_not_reached_stops_every_runtime_but_patch(scene):
    runtime = ScriptedRuntime()
    run = _worked(_program(scene, ""), runtime=runtime, isolation="enforced")

    assert run.outcome.fault.code == "isolation-not-reached"
    assert runtime.starts == []
    assert run.publish() == 1
    assert "isolation: none" in scene.comments(scene.repository.issues[1])[0].body


def test_an_unsupported_platform_starts_nothing(scene, monkeypatch):
    monkeypatch.setattr("tests.scenario.describe_platform", lambda *_: describe_platform("Windows", "AMD64"))
    run = _worked(scene)

    assert run.outcome.fault.code == "platform-not-supported"
    assert run.runtime.starts == []


def test_a_checkout_without_the_base_says_what_to_change(scene):
    run = scene.start(scene.label(scene.open_issue()))
    run.plan()
    clone = scene.clone_checkout

    def clone_elsewhere(folder: Path) -> Path:
        clone(folder)
        import shutil

        shutil.rmtree(folder / ".git")
        run_git(folder, "init", "--quiet")
        return folder

    scene.clone_checkout = clone_elsewhere
    run.work()

    assert run.outcome.fault.code == "base-not-in-checkout"
    assert "fetch-depth: 0" in run.outcome.fault.remedy


def test_a_shallow_checkout_is_enough(scene):
    scene.commit({"later.md": "x\n"})
    run = scene.start(scene.label(scene.open_issue()))
    run.plan()

    def clone_shallow(folder: Path) -> Path:
        run_git(scene.folder, "clone", "--quiet", "--depth=1", f"file://{scene.repository.path}", str(folder))
        return folder

    scene.clone_checkout = clone_shallow
    run.work()

    assert run.outcome.verdict == "worked"
    assert run.publish() == 0


def test_a_workspace_that_was_swapped_for_a_link_spoils_nothing_outside(scene):
    outside = scene.folder / "outside"
    outside.mkdir()
    (outside / "kept").write_text("x")

    def work(workspace: Path) -> None:
        run_folder = workspace.parent
        run_folder.rename(run_folder.parent / "moved")
        run_folder.symlink_to(outside)

    run = _worked(scene, runtime=ScriptedRuntime(work, None))

    assert run.outcome.verdict == "fault"
    assert (outside / "kept").exists()
    assert run.publish() == 1
