"""A fault at every step of every stage: nothing is called done that is not, the thread is told, and a re-run mends it.

The calls are not listed here: the ordinary task is run once and recorded (`fault_injection`), and every call it made is a
case. What is listed is what may differ, each with its reason.
"""

import itertools
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path

import pytest

from coven_action.core.stage_environment import FOLDER, OUTCOME_SHA256, PLAN_SHA256, RUNTIME_PATH, filter_environment
from tests import coven_code_standin
from tests.scenario import CONFIGURATION, MENDED, Run, Scene, ScriptedRuntime
from tests.seeded_github import SeededGitHub
from tests.stages import test_memory
from tests.stages.fault_injection import (
    BUG,
    KILLED,
    KINDS,
    Call,
    Case,
    JobEnd,
    Workbench,
    list_port_methods,
    read_outputs_of,
    run_job,
)

STAGES = ("plan", "run", "verify", "publish")


def _append(name: str, text: str) -> ScriptedRuntime:
    def work(workspace: Path) -> None:
        with (workspace / name).open("a") as stream:
            stream.write(text)

    return ScriptedRuntime(work)


# The tasks whose calls are broken: each reaches calls that the one before does not.


def _label(scene):
    issue = scene.open_issue()
    return issue, scene.label(issue), {}


def _label_again(scene):
    issue = scene.open_issue()
    scene.start(scene.label(issue), run_id=5).finish()
    return issue, scene.label(issue), {"runtime": _append("README.md", "More.\n")}


def _command_on_the_pull_request(scene):
    scene.start(scene.label(scene.open_issue()), run_id=5).finish()
    pull_request = scene.pull_requests[0].issue
    return (
        pull_request,
        scene.comment(pull_request, "/coven fix say more"),
        {"runtime": _append("README.md", "More.\n")},
    )


def _dispatch(scene):
    scene.commit({".github/coven.yml": CONFIGURATION + "publish: {labels: [familiar]}\n"})
    issue = scene.open_issue()
    return issue, scene.dispatch(issue.number), {}


def _refused(scene):
    issue = scene.open_issue()
    return issue, scene.label(issue), {"runtime": _append(".github/coven.yml", "# mine\n")}


def _refused_for_a_pull_request(scene):
    issue = scene.open_issue()
    scene.start(scene.label(issue), run_id=5).finish()
    return issue, scene.label(issue), {"runtime": _append(".github/coven.yml", "# mine\n")}


def _crashed(scene):
    issue = scene.open_issue()
    return (
        issue,
        scene.label(issue),
        {"runtime": ScriptedRuntime(result=None, report={"exit_code": 1}, output=b"oops\n")},
    )


def _declined(scene):
    issue = scene.open_issue()
    return issue, scene.label(issue, sender=scene.github.triager), {}


def _with_memory(scene):
    scene.commit({".github/coven.yml": test_memory.CONFIGURATION, test_memory.PATH: test_memory.ENTRY})
    issue = scene.open_issue()
    return issue, scene.label(issue), {"runtime": test_memory.Agent(test_memory.proposal())}


def _moving_base(scene):
    issue = scene.open_issue()

    def work(workspace):
        (workspace / "src/tax.py").write_text(MENDED)
        scene.commit({"notes.md": "by somebody else, meanwhile\n"})

    return issue, scene.label(issue), {"runtime": ScriptedRuntime(work)}


def _needing_no_review_any_more(scene):
    """The third task on a pull request: the first changed a manifest, and the second took that back."""
    issue = scene.open_issue()
    scene.start(scene.label(issue), run_id=5, runtime=_append("package.json", "{}\n")).finish()
    take_back = ScriptedRuntime(lambda workspace: (workspace / "package.json").unlink())
    scene.start(scene.label(issue), run_id=6, runtime=take_back).finish()
    return issue, scene.label(issue), {"runtime": _append("README.md", "More.\n")}


def _rerun(scene):
    issue, event, _ = _label(scene)
    return issue, event, {"attempt": 2}


def _coven_code(scene):
    scene.commit({".github/coven.yml": "version: 1\nfamiliars: {cody: {model: anthropic/claude-sonnet-4-6}}\n"})
    issue = scene.open_issue()
    facts = {"runtime": _CovenCode(), "model_key": "sk-ant-" + "0" * 40, "isolation": "none"}
    return issue, scene.label(issue), {**facts, "environment": {RUNTIME_PATH: "/opt/coven-code"}}


CHECKED = "a task with checks"
CHECKED_CONFIGURATION = """version: 1
familiars: {cody: {runtime: {command: [agent]}, model: anthropic/claude-sonnet-4-6}}
verify: [{name: "rounding", run: "grep -q round src/tax.py"}]
"""


def _with_checks(scene):
    """The first attempt does not pass the checks, the second one does; and the model is reached through the gateway."""
    scene.commit({".github/coven.yml": CHECKED_CONFIGURATION})
    issue = scene.open_issue()
    key = {"model_key": "sk-ant-" + "0" * 40, "isolation": "none"}
    return issue, scene.label(issue), {"runtime": ScriptedRuntime(_mend_in_two_attempts), **key}


def _mend_in_two_attempts(workspace):
    """Append a comment, and where that was done already the mended function."""
    tax = workspace / "src/tax.py"
    tax.write_text(MENDED if "# later" in tax.read_text() else f"{tax.read_text()}# later\n")


class _CovenCode(ScriptedRuntime):
    """Answers as coven-code does when it is asked what it is."""

    def __call__(self, argv, **named):
        answers = {
            "--version": b"coven-code 0.6.1\n",
            "--help": coven_code_standin.build_help(coven_code_standin.RELEASES["head"]).encode(),
        }
        if argv[1] in answers:
            report = ScriptedRuntime(work=lambda _: None, result=None, report={"stdout_tail": answers[argv[1]]})
            return report((*argv, "--output", "unused"), **named)
        return super().__call__(argv, **named)


def _command(argv: str):
    """A familiar with a program of its own. Only the real process starts it: the bench's own runtime is scripted."""

    def ask(scene):
        familiars = f"{{cody: {{runtime: {{command: {argv}}}, model: a/b}}}}"
        scene.commit({".github/coven.yml": f"version: 1\nfamiliars: {familiars}\n"})
        issue = scene.open_issue()
        return issue, scene.label(issue), {"isolation": "none"}

    return ask


WAITING, IDLE = "a runtime that waits", "a runtime that does nothing"
PROCESSES = {WAITING: _command('["sh", "-c", "touch started && sleep 60"]'), IDLE: _command('["true"]')}
COURSES = {
    "a label": _label,
    "a label again": _label_again,
    "a command on the pull request": _command_on_the_pull_request,
    "a dispatch": _dispatch,
    "a refused result": _refused,
    "a refused result for a pull request": _refused_for_a_pull_request,
    "a crashed runtime": _crashed,
    "a decline": _declined,
    "coven-code": _coven_code,
    "a re-run": _rerun,
    "a task with memory": _with_memory,
    "a base that moves": _moving_base,
    "a label that goes": _needing_no_review_any_more,
    CHECKED: _with_checks,
}
ORDINARY = "a label"

# Methods of ports that no course reaches, and why that is right.
_ENDPOINT = (
    "asked only where an endpoint is configured; tests/hosted/test_stages.py breaks it, and its trouble decides nothing"
)
NEVER_CALLED: Mapping[tuple[str, str], str] = {
    ("Witness", "read"): _ENDPOINT,
    ("Witness", "write"): _ENDPOINT,
    ("KeptOutboxes", "find"): _ENDPOINT,
    ("KeptOutboxes", "get_run"): _ENDPOINT,
    ("KeptOutboxes", "download"): _ENDPOINT,
}
EVERY = tuple(KINDS)
# Faults that spoil nothing, so that the job may end well: what is lost is named, and it is nobody's result.
HARMLESS: Mapping[Call, tuple[tuple[str, ...], str]] = {
    Call("publish", "Documents", "read", "changes.patch"): (EVERY, "where `run` kept no patch there is none to take"),
    Call("run", "Workspaces", "destroy", number=2): (
        EVERY,
        "what cannot be removed is said in the log, and spoils no finished work",
    ),
    Call("verify", "Job", "notice"): (("error",), "a line of the log about the base, which decides nothing"),
    Call("publish", "PublicationRepository", "push"): (
        ("answer lost",),
        "the server is asked, and says that it is there",
    ),
}
# Where checks run: between the attempts they only decide whether there is another one, and on the base they decide nothing.
# That they could not run is said; whether the end is green is judged by what was observed of the result.
CHECKING = frozenset({"CheckTrees", "CheckTree", "Confinement"})
# What is told as the fault of another stage than the one whose call failed.
OTHER_STAGE: Mapping[Call, tuple[tuple[str, ...], str, str]] = {
    Call("publish", "Documents", "read", "outcome.json"): (
        ("error", "answer lost", "error from then on"),
        "run",
        "what `run` left cannot be read, whoever is to blame",
    ),
    Call("plan", "Job", "set_output", "decision"): (
        ("answer lost",),
        "run",
        "the decision has travelled, so `publish` speaks last, and misses the outcome",
    ),
}
# What strikes too late to spoil anything: the job ends red, and the result that is told is whole and vouched for.
TOO_LATE: Mapping[Call, tuple[tuple[str, ...], str]] = {
    Call("run", "Job", "set_output", "outcome-sha256"): (
        ("answer lost", "killed afterwards"),
        "the last deed of `run`: the outcome is written and its digest has travelled",
    ),
    Call("verify", "Job", "set_output", "checks-sha256"): (
        ("answer lost", "killed afterwards"),
        "the last deed of `verify`: the checks are written and their digest has travelled",
    ),
}
# Nobody can be told: it is not yet known who asked for what, or no longer.
UNTOLD: Mapping[Call, str] = {
    Call("plan", "Clock", "now"): "the event is not read yet",
    Call("publish", "Documents", "read", "plan.json"): "without the plan nobody knows which thread waits",
    Call("publish", "Clock", "now"): "before the stage has begun",
}


@pytest.fixture(scope="module")
def benches(tmp_path_factory):
    """The benches of this worker, made when first asked for; each has a local GitHub of its own."""
    made: dict[str, Workbench] = {}
    servers = []

    def get(course: str) -> Workbench:
        if course not in made:
            folder = tmp_path_factory.mktemp("bench")
            server = SeededGitHub(folder / "github")
            servers.append(server.start())
            scene = Scene(server, folder)
            issue, event, facts = {**COURSES, **PROCESSES}[course](scene)
            made[course] = Workbench(scene, folder / "saved", issue, event, **facts)
        return made[course]

    yield get
    for server in servers:
        server.stop()


@pytest.fixture(autouse=True)
def _no_pauses(monkeypatch):
    monkeypatch.setattr("coven_action.adapters.git.publication.RETRY_SECONDS", 0.0)


def _judge(case: Case, call: Call, kind: str) -> list[str]:
    """Return what is wrong with one case."""
    is_harmless = _applies(HARMLESS, call, kind) or (call.port in CHECKING and kind in {"error", "disk full"})
    code, wrong = case.end.code, case.judge()
    status = case.find_status()
    if not case.struck:
        wrong.append("the fault did not strike: the task is not the same each time")
    if code == 0 and not is_harmless and case.bench.ending != "fault":
        wrong.append("the job ended well")
    if kind == "bug" and not is_harmless and case.end.codes.get(call.stage) != BUG:
        wrong.append(f"a bug ended with {case.end.codes}")
    if kind.startswith("killed") and case.end.codes.get(call.stage) != KILLED:
        wrong.append(f"somebody caught the kill: {case.end.codes}")
    has_died = kind.startswith("killed") and call.stage != "run"
    may_be_mute = has_died or call in UNTOLD or _is_cut_off(call, kind)
    if _applies(TOO_LATE, call, kind) and case.bench.publishes and not _keeps_from_checks(case, call):
        return wrong + list(case.bench.judge_publication()) + case.bench.repeat()
    if code and not may_be_mute and case.bench.publishes:
        stage = OTHER_STAGE[call][1] if _applies(OTHER_STAGE, call, kind) else call.stage
        stage = "verify" if _keeps_from_checks(case, call) and _applies(TOO_LATE, call, kind) else stage
        wrong += case.judge_telling(stage)
        if call.stage != "plan" and not (KINDS[kind].lasting and call.port == "Documents"):
            fault = case.run.evidence.fault
            if fault is None or fault.stage != stage or not fault.message:
                wrong.append(f"the evidence says {fault}")
    if code and not may_be_mute and status is not None and status.state == "published":
        wrong.append("the job failed and the comment says published")
    return wrong + case.bench.repeat()


def _keeps_from_checks(case: Case, call: Call) -> bool:
    """Whether a job that ends red at a call does not come to its checks, without which nothing is published."""
    return call.stage == "run" and case.bench.ending == "verified"


def _applies(table: Mapping[Call, tuple], call: Call, kind: str) -> bool:
    return call in table and kind in table[call][0]


def _is_cut_off(call: Call, kind: str) -> bool:
    """Whether GitHub cannot be reached any more, as far as this stage can tell."""
    return KINDS[kind].lasting and (
        call.port == "GitHubWriter"
        or (call.stage == "plan" and call.port in {"GitHubReader", "Clock", "Renderer"})
        or (call.stage == "publish" and call.port in {"Clock", "Renderer"})
    )


def _break(bench: Workbench, calls: list[Call], kind: str) -> dict[str, list[str]]:
    found = {}
    for call in calls:
        wrong = _judge(bench.break_call(call, KINDS[kind]), call, kind)
        if wrong:
            found[f"{kind} at {call}"] = wrong
    return found


def _calls_of(bench: Workbench, stage: str) -> list[Call]:
    return [call for call in bench.calls if call.stage == stage]


def _is_first(call: Call) -> bool:
    return call.number == 1


def _is_deed(call: Call) -> bool:
    """Whether the call changes something at GitHub."""
    return call.port == "GitHubWriter" or call.method == "push"


def _is_document(call: Call) -> bool:
    """Whether the call takes or leaves what one stage hands to another."""
    return call.port == "Documents" or call.method == "set_output"


# What the ordinary suite breaks: kind -> which calls. All calls in all ways are `slow`.
QUICK = {
    "error": lambda call: _is_first(call) and (_is_deed(call) or _is_document(call) or call.port in CHECKING),
    "killed": _is_deed,
    "answer lost": _is_deed,
}


@pytest.mark.parametrize(
    ("stage", "kind"),
    [
        # The others break more calls, or again what one of these breaks.
        pytest.param(
            stage,
            kind,
            marks=()
            if (stage, kind)
            in {("plan", "killed"), ("run", "error"), ("publish", "killed"), ("publish", "answer lost")}
            else pytest.mark.slow,
        )
        for stage in STAGES
        for kind in QUICK
    ],
)
def test_whatever_call_fails_nothing_is_called_done_and_a_rerun_mends_it(benches, stage, kind):
    bench = benches(CHECKED if stage == "verify" else ORDINARY)
    calls = [call for call in _calls_of(bench, stage) if QUICK[kind](call)]

    assert bench.publishes
    assert calls or kind != "error"
    assert _break(bench, calls, kind) == {}


@pytest.mark.slow
@pytest.mark.timeout(1200)
@pytest.mark.parametrize("kind", KINDS)
def test_every_call_of_the_ordinary_task_in_every_way(benches, kind):
    bench = benches(ORDINARY)

    assert _break(bench, bench.calls, kind) == {}


@pytest.mark.slow
@pytest.mark.timeout(1200)
@pytest.mark.parametrize("kind", ["error", "bug", "killed afterwards"])
@pytest.mark.parametrize("course", [course for course in COURSES if course != ORDINARY])
def test_what_other_tasks_call_and_do_to_github(benches, course, kind):
    """Calls that the ordinary task makes as well are not broken again, unless they find another state at GitHub."""
    known = {(call.stage, call.port, call.method) for call in benches(ORDINARY).calls}
    bench = benches(course)
    calls = [call for call in bench.calls if _is_deed(call) or (call.stage, call.port, call.method) not in known]

    assert _break(bench, calls, kind) == {}


@pytest.mark.slow
def test_no_method_of_a_port_is_left_out(benches):
    touched = {place for course in COURSES for place in benches(course).ordinary.touched}

    assert list_port_methods() - touched == set(NEVER_CALLED)


def test_the_tables_of_exceptions_name_calls_that_exist(benches):
    made = {*benches(ORDINARY).calls, *benches(CHECKED).calls}

    assert {*HARMLESS, *OTHER_STAGE, *TOO_LATE, *UNTOLD} <= made


# The same through the real client and real git: what GitHub, or the way to it, can do.

HTTP_FAULTS = {
    "500": {"status": 500},
    "no connection": {"drop": True},
    "answer lost": {"drop_after": True, "times": 1},
    "missing permission": {"status": 403, "body": {"message": "Resource not accessible by integration"}},
    "JSON cut off": {"status": 200, "body": b'{"id": 1, "na'},
    "another shape": {"status": 200, "body": b"{}"},
    "not an object": {"status": 200, "body": b"[1]"},
    "a page of a proxy": {"status": 502, "body": b"<html>Bad Gateway</html>", "headers": {"content-type": "text/html"}},
}
QUICK_HTTP = ("500",)


def _judge_http(case: Case, stage: str, path: str) -> list[str]:
    wrong, status = case.judge(), case.find_status()
    if not case.struck:
        wrong.append("the fault did not strike")
    if BUG in case.end.codes.values():
        wrong.append(f"an answer of GitHub's counts as a bug: {case.end.exceptions}")
    if case.end.code == 0:
        missing = list(case.bench.judge_publication()) if read_outputs_of(case.run).get("decision") == "proceed" else []
        declined = status is None or status.state in {"declined", "published"}
        wrong += missing if declined else [f"the job ended well, and the comment says {status.state}"]
    elif stage == "publish" and "/issues/comments/" not in path:
        wrong += case.judge_telling("publish")
    return wrong + case.bench.repeat()


def _break_requests(bench: Workbench, fault: str) -> dict[str, list[str]]:
    found = {}
    for request in [request for stage in ("plan", "publish") for request in bench.list_requests(stage)]:
        # What a proxy or a cut line does to git's own protocol is git's to notice; it answers with its own words.
        if request.kind == "git" and isinstance(HTTP_FAULTS[fault].get("body"), bytes):
            continue
        wrong = _judge_http(bench.break_request(request, HTTP_FAULTS[fault]), request.stage, request.path)
        if wrong:
            found[f"{fault} at {request}"] = wrong
    return found


@pytest.mark.slow
@pytest.mark.parametrize("fault", QUICK_HTTP)
def test_whatever_github_answers_nothing_is_called_done_and_a_rerun_mends_it(benches, fault):
    assert _break_requests(benches(ORDINARY), fault) == {}


@pytest.mark.slow
@pytest.mark.timeout(1200)
@pytest.mark.parametrize(
    ("course", "fault"),
    [
        *[(ORDINARY, fault) for fault in HTTP_FAULTS],
        *itertools.product(("a label again", "a command on the pull request", "a dispatch"), ("500", "answer lost")),
    ],
)
def test_every_request_can_fail(benches, course, fault):
    assert _break_requests(benches(course), fault) == {}


@pytest.mark.slow
def test_an_answer_that_never_comes_ends_as_unavailable(benches, monkeypatch):
    bench = benches(ORDINARY)
    monkeypatch.setitem(bench.facts, "timeout", 1)
    for request in [request for stage in ("plan", "publish") for request in bench.list_requests(stage)]:
        if request.kind == "rest":
            case = bench.break_request(request, {"delay": 1.5, "drop": True})
            assert case.end.code == 1
            assert _judge_http(case, request.stage, request.path) == []


# The real processes: killed from outside at the moments that matter, and on a disk that is really full.


# `python -m coven_action` under a limit for each file. A write beyond it fails with EFBIG; for the programs that the stage
# starts it is a signal.
_LIMITED = """
import resource, runpy, sys
limit = int(sys.argv.pop(1))
resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit)) if limit >= 0 else None
runpy.run_module("coven_action", run_name="__main__", alter_sys=True)
"""


class Process:
    """One stage as the process that action.yml starts, on a bench brought back to where the stage begins."""

    def __init__(
        self, bench: Workbench, stage: str, *, limit: int | None = None, disk: Path | None = None, room: int = 0
    ) -> None:
        self.bench, self.stage = bench, stage
        self.run = bench.restore(stage)
        if disk is not None:
            _move(self.run, disk, room)
        if stage == "run":
            self.run._clone()
        self.process = subprocess.Popen(
            # Without -B a limit on files would leave cut-off bytecode in the checkout.
            (sys.executable, "-I", "-B", "-c", _LIMITED, str(-1 if limit is None else limit), "stage", stage),
            env=filter_environment(stage, self._build_environment()),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        )

    def _build_environment(self) -> dict[str, str]:
        outputs = self.run.outputs
        digests = {PLAN_SHA256: outputs.get("plan-sha256", ""), OUTCOME_SHA256: outputs.get("outcome-sha256", "")}
        places = {FOLDER: str(self.run.documents), "GITHUB_WORKSPACE": str(self.run.checkout)}
        return {**self.run.environment, **digests, **places}

    def wait(self) -> int:
        self.said = self.process.communicate(timeout=60)[0].decode()
        return self.process.returncode

    def kill_when(self, is_time) -> int:
        """Kill the process without warning as soon as something is so."""
        _wait_until(lambda: is_time() or self.process.poll() is not None)
        self.process.kill()
        return self.wait()

    def go_on(self, code: int) -> Case:
        """Let the rest of the job run as action.yml has it."""
        end = JobEnd({self.stage: code})
        if self.stage == "run":
            end.codes |= run_job(self.run, begin="publish").codes
        return Case(self.bench, self.run, end, struck=True)


# Where a stage is killed: (stage, the request whose answer it waits for, how to see that GitHub did what was asked; None
# where it does not).
MOMENTS = {
    "plan, before the comment": ("plan", "POST", "/issues/[0-9]+/comments$", None),
    "plan, after the comment": ("plan", "POST", "/issues/[0-9]+/comments$", lambda bench: bench.count("comments")),
    "plan, before the label is removed": ("plan", "DELETE", "/labels/", None),
    "publish, before the push": ("publish", "POST", "/git-receive-pack$", None),
    "publish, between push and pull request": ("publish", "POST", "/pulls$", None),
    "publish, after the pull request": ("publish", "POST", "/pulls$", lambda bench: bench.count("pull requests")),
    "publish, between pull request and check": ("publish", "POST", "/check-runs$", None),
    "publish, after the check": ("publish", "POST", "/check-runs$", lambda bench: bench.count("checks")),
    "publish, between check and comment": ("publish", "PATCH", "/issues/comments/", None),
    "publish, after the comment": ("publish", "PATCH", "/issues/comments/", lambda bench: bench.count("published")),
}


QUICK_MOMENTS = (
    "plan, after the comment",
    "publish, between push and pull request",
    "publish, between check and comment",
)


@pytest.mark.parametrize(
    "moment", [pytest.param(one, marks=() if one in QUICK_MOMENTS else pytest.mark.slow) for one in MOMENTS]
)
def test_a_stage_that_is_killed_leaves_nothing_that_a_rerun_does_not_mend(benches, moment):
    stage, method, path, is_done = MOMENTS[moment]
    bench = benches(ORDINARY)
    process = Process(bench, stage)
    # The process waits for an answer that does not come, be the deed done or not, and is killed meanwhile.
    way = {"delay": 30.0, "drop": True} if is_done is None else {"drop_after": True}
    fault = bench.scene.github.faults.add(method=method, path_regex=path, times=1000, **way)
    code = process.kill_when(lambda: fault.hits if is_done is None else is_done(bench))
    bench.scene.github.faults.clear()
    case = process.go_on(code)

    assert code == -signal.SIGKILL
    assert case.judge() == []
    assert bench.repeat() == []


def _move(run: Run, disk: Path, room: int) -> None:
    """Put a run's documents onto a disk of its own, and leave so many bytes of room there."""
    documents = disk / "documents"
    shutil.rmtree(documents, ignore_errors=True)
    (disk / "filler").unlink(missing_ok=True)
    shutil.copytree(run.documents, documents, symlinks=True) if run.documents.exists() else documents.mkdir()
    run.documents = documents
    left = shutil.disk_usage(disk).free - room
    (disk / "filler").write_bytes(b"\0" * max(left, 0))


def _wait_until(is_so) -> None:
    deadline = time.monotonic() + 60
    while not is_so():
        assert time.monotonic() < deadline
        time.sleep(0.005)


def test_a_run_that_is_killed_is_told_by_publish(benches):
    bench = benches(WAITING)
    process = Process(bench, "run")
    code = process.kill_when((process.run.documents / "run/workspace/started").exists)
    case = process.go_on(code)

    assert code == -signal.SIGKILL
    assert case.end.code
    assert [*case.judge(), *case.judge_telling("run")] == []
    assert case.run.evidence.fault.stage == "run"
    assert bench.repeat() == []


def _judge_disk(process: Process) -> list[str]:
    """Return what is wrong with a stage that had no room: it may have had enough of it, else it says so."""
    case = process.go_on(process.wait())
    wrong = case.judge()
    if "Traceback" in process.said:
        wrong.append(process.said)
    if case.end.code == 0 and process.stage == "publish":
        wrong += [*process.bench.judge_publication()]
    elif case.end.code and process.stage == "publish":
        wrong += case.judge_telling("publish")
    return [f"{case.end.codes}: {one}" for one in wrong] + process.bench.repeat()


# Bytes a file may have: none at all, and so many that the stage gets as far as its own documents, or its log, or git's.
LIMITS = (0, 700, 2500, 6000, 20_000)
QUICK_LIMITS = {"plan": (0,), "run": (700,), "publish": (2500,)}


def _bench_for_limits(benches, stage):
    # The limit goes on to what the stage starts, and a Python below it would write bytecode.
    return benches(IDLE if stage == "run" else ORDINARY)


@pytest.mark.slow_after(1)
@pytest.mark.parametrize(
    ("stage", "limit"), [(stage, limit) for stage, limits in QUICK_LIMITS.items() for limit in limits]
)
def test_files_that_may_not_grow_are_told_and_mended(benches, stage, limit):
    assert _judge_disk(Process(_bench_for_limits(benches, stage), stage, limit=limit)) == []


@pytest.mark.slow
@pytest.mark.parametrize("limit", LIMITS)
@pytest.mark.parametrize("stage", STAGES)
def test_files_that_may_not_grow_at_all_limits(benches, stage, limit):
    assert _judge_disk(Process(_bench_for_limits(benches, stage), stage, limit=limit)) == []


@pytest.fixture(scope="module")
def small_disk(tmp_path_factory):
    """A file system of one MiB; only root can make one."""
    folder = tmp_path_factory.mktemp("small")
    mount = ("mount", "-t", "tmpfs", "-o", "size=1m,mode=0700", "tmpfs", str(folder))
    tried = shutil.which("mount") and os.geteuid() == 0 and subprocess.run(mount, capture_output=True, check=False)
    if not tried or tried.returncode:
        reason = "a small disk can be mounted by root alone: " + (
            tried.stderr.decode().strip() if tried else "not root"
        )
        pytest.fail(reason) if os.environ.get("REQUIRE_ALL") and os.geteuid() == 0 else pytest.skip(reason)
    yield folder
    subprocess.run(("umount", "--lazy", str(folder)), check=True)


@pytest.mark.parametrize("room", [0, pytest.param(16 * 1024, marks=pytest.mark.slow)])
@pytest.mark.parametrize("stage", STAGES)
def test_a_disk_that_is_full_is_told_and_mended(benches, small_disk, stage, room):
    assert _judge_disk(Process(benches(ORDINARY), stage, disk=small_disk, room=room)) == []
