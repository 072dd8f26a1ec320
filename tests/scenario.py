"""A repository with an issue, what happens on it, and the stages run on that: where most tests of the action begin.

Seeding, which the end-to-end tests share:

    scene = Scene(github, tmp_path)                 # acme/billing, its .github/coven.yml on main
    issue = scene.open_issue(body=scene.patch)      # an issue whose patch mends src/tax.py
    event = scene.label(issue)                      # the label is applied; the payload GitHub would send
    scene.clone_checkout(folder)                    # what actions/checkout with fetch-depth 0 leaves
    scene.build_environment(event, folder, ...)     # the variables of the job, inputs included

Running:

    run = scene.start(event, run_id=7)              # nothing has happened yet
    code = run.finish()                             # plan, run and publish, in this process, through the real adapters
    run.plan(); run.work(); code = run.publish()    # the same, one by one, to disturb things in between
    code = run.finish_as_processes()                # as the action does it: three processes, filtered environments

and then `run.evidence`, `run.outputs`, `scene.comments(issue)`, `scene.pull_requests`, `scene.check_runs`, `run.requests`.
"""

import io
import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, redirect_stdout
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from unittest import mock

from coven_action.adapters.actions import ActionsJob
from coven_action.adapters.folder import DocumentFolder
from coven_action.adapters.git.checking import GitCheckTrees
from coven_action.adapters.git.program import Git
from coven_action.adapters.git.publication import GitPublicationRepositories
from coven_action.adapters.git.workspace import GitWorkspaces
from coven_action.adapters.github_api import GitHubAPI
from coven_action.adapters.runtime_process import run_process
from coven_action.adapters.templates import MarkdownTemplates
from coven_action.cli.boundary import build_redactor
from coven_action.cli.endpoint_ports import find_outboxes
from coven_action.cli.stage import list_own_folders, run_stages
from coven_action.core.checks.document import CHECKS_DOCUMENT, Checks
from coven_action.core.checks.results import CheckResult
from coven_action.core.checks.results import CheckRun as ObservedRun
from coven_action.core.contract.platforms import describe_platform
from coven_action.core.contract.process_output import ProcessLimits
from coven_action.core.contract.process_report import ConfinedReport, ProcessReport
from coven_action.core.documents import (
    Evidence,
    Isolation,
    Outcome,
    Plan,
    parse_evidence,
    parse_outcome,
    parse_plan,
    write_document,
)
from coven_action.core.gateway.order import GatewayOrder
from coven_action.core.gateway.report import GatewayReport
from coven_action.core.isolation import IsolationLevel
from coven_action.core.records import sha256_hex
from coven_action.core.sandbox.probes import Attempt as ProvedAttempt
from coven_action.core.sandbox.request import SandboxRequest
from coven_action.core.stage_environment import ISOLATION, MODEL_KEY, TOKEN
from coven_action.core.trust.context import JobContext, parse_job_context
from coven_action.emulator import git_store, payloads
from coven_action.emulator.state import CheckRun, Comment, Issue, PullRequest, User
from coven_action.errors import Error
from coven_action.stages.checking import SHELL
from coven_action.stages.plan import Demands, PlanPorts, plan
from coven_action.stages.ports import Tools
from coven_action.stages.publish import Digests, publish
from coven_action.stages.run import RunPorts, run
from coven_action.stages.runtimes import RuntimePorts
from coven_action.stages.telling import PublishPorts
from coven_action.stages.verify import VerifyPorts, verify
from tests.seeded_github import FILES, SeededGitHub

CONFIGURATION = """\
version: 1
familiars:
  cody:
    display_name: Cody
    runtime: patch
"""
LABEL = "coven:fix"
CHECKS = "Coven"


def build_patch(path: str = "src/tax.py", before: str | None = None, after: str = "") -> str:
    """Return an issue's text with a unified diff that replaces the whole of a file."""
    old = (FILES[path] if before is None else before).splitlines()
    new = after.splitlines()
    header = f"--- a/{path}\n+++ b/{path}\n@@ -1,{len(old)} +1,{len(new)} @@\n"
    body = "".join(f"-{line}\n" for line in old) + "".join(f"+{line}\n" for line in new)
    return f"It should round half up.\n\n```diff\n{header}{body}```\n"


MENDED = "def total(net, rate):\n    return round(net * (1 + rate))\n"
PATCH = build_patch(after=MENDED)


@dataclass(frozen=True)
class Event:
    """What GitHub tells a workflow: the event's name and its payload."""

    name: str
    payload: dict[str, Any]


class Scene:
    """One repository on the local GitHub, and what can happen in it.

    Args:
        github: The started server of the fixture `github`.
        folder: A folder of the test's own.
        configuration: The text of `.github/coven.yml`; None for none.
    """

    def __init__(self, github: SeededGitHub, folder: Path, *, configuration: str | None = CONFIGURATION) -> None:
        self.github = github
        self.world = github.world
        self.repository = github.repository
        self.folder = folder
        self._runs = 0
        if configuration is not None:
            self.commit({".github/coven.yml": configuration})

    # What people do.

    def commit(
        self, files: Mapping[str, str | bytes | None], branch: str = "main", message: str = "Change by a person"
    ) -> str:
        """Push one commit of somebody else's to a branch (cut from main where it is new) and return its SHA."""
        with self.world.lock:
            if git_store.resolve_commit(self.repository.path, f"refs/heads/{branch}") is None:
                git_store.run_git(self.repository.path, "branch", branch, "main")
            return git_store.commit_files(self.repository.path, branch, files, message)

    def open_issue(self, title: str = "total() rounds wrong", body: str = PATCH, author: User | None = None) -> Issue:
        """Open an issue."""
        return self.world.open_issue(self.repository, author or self.github.maintainer, title, body)

    def label(self, issue: Issue, name: str = LABEL, sender: User | None = None) -> Event:
        """Apply a label."""
        self.world.add_labels(self.repository, issue, [name])
        label = self.world.get_label(self.repository, name)
        who = sender or self.github.maintainer
        return Event("issues", payloads.build_issues_labeled(self.world, self.repository, issue, label, who))

    def assign(self, issue: Issue, login: str, sender: User | None = None) -> Event:
        """Assign an issue."""
        user = self.world.add_user(login)
        self.world.assign(issue, user)
        who = sender or self.github.maintainer
        return Event("issues", payloads.build_issues_assigned(self.world, self.repository, issue, user, who))

    def comment(self, issue: Issue, text: str, sender: User | None = None) -> Event:
        """Comment on an issue or a pull request."""
        who = sender or self.github.maintainer
        comment = self.world.add_comment(self.repository, issue, who, text)
        return Event("issue_comment", payloads.build_issue_comment_created(self.world, self.repository, issue, comment))

    def dispatch(self, number: object, sender: User | None = None) -> Event:
        """Run the workflow by hand."""
        who = sender or self.github.maintainer
        inputs = {"issue": str(number)}
        return Event("workflow_dispatch", payloads.build_workflow_dispatch(self.world, self.repository, who, inputs))

    def merge(self, pull_request: PullRequest) -> None:
        """Close a pull request as merged; its branch stays, as it does without further settings."""
        pull_request.merged_at = self.world.clock()
        self.world.set_state(pull_request.issue, "closed")

    # What the job is given.

    def clone_checkout(self, folder: Path) -> Path:
        """Return a clone with all branches, as actions/checkout with `fetch-depth: 0` leaves it."""
        git_store.run_git(self.folder, "clone", "--quiet", "--no-hardlinks", str(self.repository.path), str(folder))
        return folder

    def build_environment(
        self, event: Event, folder: Path, *, run_id: int, attempt: int = 1, token: str | None = None
    ) -> dict[str, str]:
        """Return the variables of a job, and write the payload and the empty files that they name into `folder`."""
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "event.json").write_text(json.dumps(event.payload), encoding="utf-8")
        (folder / "output").touch()
        (folder / "summary").touch()
        return {
            "PATH": os.environ.get("PATH", os.defpath),
            "HOME": str(folder),
            "GITHUB_ACTIONS": "true",
            "GITHUB_API_URL": self.github.api_url,
            "GITHUB_EVENT_NAME": event.name,
            "GITHUB_EVENT_PATH": str(folder / "event.json"),
            "GITHUB_OUTPUT": str(folder / "output"),
            "GITHUB_REPOSITORY": self.repository.full_name,
            "GITHUB_REPOSITORY_ID": str(self.repository.id),
            "GITHUB_RUN_ATTEMPT": str(attempt),
            "GITHUB_RUN_ID": str(run_id),
            "GITHUB_SERVER_URL": self.github.url,
            "GITHUB_STEP_SUMMARY": str(folder / "summary"),
            "RUNNER_TEMP": str(folder),
            ISOLATION: "enforced",
            TOKEN: token or self.github.token,
        }

    def start(
        self, event: Event, *, run_id: int = 0, attempt: int = 1, rerun_by: User | None = None, **facts: Any
    ) -> "Run":
        """Return a run that has not begun; `run_id` 0 takes a new one. Further arguments as `Run` takes them."""
        if not run_id:
            self._runs += 1
            run_id = 100 + self._runs
        self.record_run(event, run_id, attempt, rerun_by)
        return Run(self, event, run_id=run_id, attempt=attempt, **facts)

    def record_run(self, event: Event, run_id: int, attempt: int, rerun_by: User | None = None) -> None:
        """Let the runs API know a run, and who started its newest attempt."""
        # Whoever it was may have another name by now, or be gone.
        sender = self.world.users.get(event.payload["sender"]["id"], self.github.maintainer)
        self.world.add_workflow_run(
            self.repository, sender, event.name, run_id=run_id, run_attempt=attempt, triggering_actor=rerun_by or sender
        )

    def remove_comment(self, issue: Issue, comment: Comment) -> None:
        """Let somebody delete a comment."""
        issue.comments.remove(comment)
        del self.repository.comments[comment.id]

    # What is to be seen afterwards.

    def comments(self, issue: Issue) -> list[Comment]:
        """Return the comments that github-actions[bot] wrote on a thread."""
        return [comment for comment in issue.comments if comment.user is self.world.actions_bot]

    @property
    def pull_requests(self) -> list[PullRequest]:
        """All pull requests, oldest first."""
        return [self.repository.pulls[number] for number in sorted(self.repository.pulls)]

    @property
    def check_runs(self) -> list[CheckRun]:
        """All Check Runs, oldest first."""
        return [self.repository.check_runs[number] for number in sorted(self.repository.check_runs)]

    def branches(self) -> dict[str, str]:
        """Return name and commit of every branch but main."""
        listed = git_store.list_refs(self.repository.path, "refs/heads/")
        return {name.removeprefix("refs/heads/"): sha for name, _, sha in listed if name != "refs/heads/main"}

    def git(self, *arguments: str) -> str:
        """Run git in the server's repository and return what it prints."""
        return git_store.run_git(self.repository.path, *arguments).decode()

    def history(self, branch: str) -> list[str]:
        """Return the commits of a branch that are not on main, newest first."""
        return self.git("rev-list", f"main..refs/heads/{branch}").split()

    def labels(self, issue: Issue) -> list[str]:
        """Return the names of a thread's labels."""
        return [label.name for label in issue.labels]

    def counts(self, issue: Issue) -> dict[str, int]:
        """Return how much there is of what must not be doubled."""
        return {
            "comments": len(self.comments(issue)),
            "pull requests": len(self.pull_requests),
            "checks": len(self.check_runs),
            "commits": sum(len(self.history(branch)) for branch in self.branches()),
        }


@dataclass
class ScriptedRuntime:
    """A runtime without a process: it does to the workspace what the test says, and writes a result of the contract.

    Attributes:
        work: Called with the workspace; changes it.
        result: The result document, merged over a plain success; bytes are written as they are, None writes none.
        report: What the supervisor saw, merged over a proper end.
        starts: Every start: argv, environment and folder.
    """

    work: Callable[[Path], object] = lambda workspace: (workspace / "src/tax.py").write_text(MENDED)
    result: Mapping[str, Any] | bytes | None = field(default_factory=dict)
    report: Mapping[str, Any] = field(default_factory=dict)
    output: bytes = b""
    starts: list[tuple[tuple[str, ...], dict[str, str], Path]] = field(default_factory=list)

    def __call__(
        self,
        argv: Sequence[str],
        *,
        environment: Mapping[str, str],
        cwd: Path,
        limits: ProcessLimits,
        write: Callable[[bytes], object],
    ) -> ProcessReport:
        del limits
        self.starts.append((tuple(argv), dict(environment), cwd))
        write(self.output)
        self.work(cwd)
        path = Path(argv[argv.index("--output") + 1])
        if self.result is not None:
            path.write_bytes(self.result if isinstance(self.result, bytes) else self._document())
        return ProcessReport(**{**_PROPER_END, "output_bytes": len(self.output), **self.report})

    def _document(self) -> bytes:
        return json.dumps({**_PLAIN_RESULT, **dict(self.result or {})}).encode()


class Unconfined:
    """Stands where a sandbox is: the level is said, and programs are started as the test says.

    Args:
        start: A `ScriptedRuntime`, or `run_process`, which starts the real program.
        level: What was proved.
        exceeded: Which bound of the tree each program passes.
    """

    def __init__(self, start: Any, level: IsolationLevel = "none", exceeded: str = "") -> None:
        self.start = start
        self.proved = ProvedAttempt(backend="none" if level == "none" else "bubblewrap", level=level)
        self.exceeded = exceeded
        self.requests: list[SandboxRequest] = []

    def prove(self) -> ProvedAttempt:
        return self.proved

    def find_tools(self) -> Tools:
        return Tools({"PATH": os.environ.get("PATH", os.defpath)}, ())

    def choose_relay_port(self) -> int:
        return 8377

    def run(
        self,
        request: SandboxRequest,
        *,
        limits: ProcessLimits,
        write: Callable[[bytes], object],
        keep_going: Callable[[], bool] = lambda: True,
    ) -> ConfinedReport:
        self.requests.append(request)
        keep_going()
        # A check is a program of the repository, whatever stands for the runtime.
        start = run_process if request.argv[0] == SHELL else self.start
        process = start(
            request.argv, environment=request.environment, cwd=Path(request.folder), limits=limits, write=write
        )
        return ConfinedReport(process=process, exceeded=self.exceeded, limited_by="the test")


@dataclass
class ScriptedGateway:
    """Stands where a model gateway is: nobody is asked, and the account is what the test says."""

    socket: Path = Path("/nowhere/socket")
    ended_because: str | None = None
    account: GatewayReport = field(
        default_factory=lambda: GatewayReport(
            requests=0,
            input_tokens=0,
            output_tokens=0,
            cache_creation_input_tokens=0,
            cache_read_input_tokens=0,
            estimated_answers=0,
            cost_usd=None,
            priced_cost_usd=0.0,
        )
    )

    def report(self) -> GatewayReport:
        return self.account


@dataclass
class ScriptedGateways:
    """Opens one, again and again, and remembers the orders and keys it was given."""

    gateway: ScriptedGateway = field(default_factory=ScriptedGateway)
    orders: list[tuple[GatewayOrder, str]] = field(default_factory=list)

    @contextmanager
    def open(self, order: GatewayOrder, key: str) -> Iterator[ScriptedGateway]:
        self.orders.append((order, key))
        yield self.gateway


# Compiling the templates costs more than rendering them, and they do not change.
_TEMPLATES = MarkdownTemplates()
_PLAIN_RESULT: Mapping[str, Any] = {
    "contract_version": "3",
    "status": "success",
    "branch": "",
    "commits": [],
    "files_changed": [],
    "summary": "Done.",
    "pr_body": "",
    "review": {
        "mode": "none",
        "evidence_status": "not_applicable",
        "reviewed_files": [],
        "supporting_files": [],
        "findings": [],
        "tests_run": [],
        "no_findings_reason": None,
        "limitations": [],
    },
    "exit_reason": None,
}
_PROPER_END: Mapping[str, Any] = {
    "exit_code": 0,
    "signal": None,
    "duration_seconds": 0.1,
    "timed_out": False,
    "output_flooded": False,
    "output_truncated": False,
    "killed_orphans": 0,
    "survivors": False,
    "cpu_seconds": 0.1,
    "note": "",
    "supervised": True,
    "stdout_tail": b"",
}


class Clock:
    """The machine's clock; a re-run begins a minute later, as no real one begins in the same second."""

    def __init__(self, attempt: int = 1) -> None:
        self._offset = timedelta(minutes=attempt - 1)

    def now(self) -> datetime:
        return datetime.now(UTC) + self._offset


def _refuse_to_connect(asked: Any) -> Any:
    """Stand where a scene has no endpoint: whoever is not configured is not asked."""
    raise AssertionError(f"nobody configured an endpoint: {asked}")


class Run:
    """One attempt of one run: its job's files, its documents, and what the stages did.

    Args:
        scene: Where.
        event: What started it.
        run_id: The number of the run; a re-run keeps it.
        attempt: 1, and one more for each re-run.
        runtime: How the familiar's program is started; the default starts no process. `run_process` starts the real one.
        token: The job's token.
        isolation: The input `isolation`.
        model_key: The input `model-api-key`.
        maximum_wait: How long a rate limit is waited for.
    """

    def __init__(
        self,
        scene: Scene,
        event: Event,
        *,
        run_id: int,
        attempt: int = 1,
        runtime: Any = None,
        token: str | None = None,
        isolation: str = "enforced",
        model_key: str | None = None,
        maximum_wait: int = 5,
        timeout: int = 5,
    ) -> None:
        self.scene = scene
        self.job = scene.folder / f"job-{run_id}-{attempt}"
        self.environment = scene.build_environment(event, self.job, run_id=run_id, attempt=attempt, token=token)
        self.environment |= {ISOLATION: isolation, **({MODEL_KEY: model_key} if model_key else {})}
        self.payload = event.payload
        self.documents = self.job / "documents"
        self.checkout = self.job / "checkout"
        self.context: JobContext = parse_job_context(self.environment)
        self.confinement: Any = Unconfined(ScriptedRuntime() if runtime is None else runtime)
        self.gateways: Any = ScriptedGateways()
        self.demands = Demands(isolation=isolation)  # type: ignore[arg-type]
        self.connect_for_plan: Callable[[Any], Any] = _refuse_to_connect
        self.connect_for_publish: Callable[[Any], Any] = _refuse_to_connect
        self.clock = Clock(attempt)
        self.wrap: Callable[[str, Any], Any] = lambda _stage, ports: ports
        self.waits: list[float] = []
        self.requests: dict[str, list[str]] = {}
        self.log = ""
        self.error: Error | None = None
        self.redactor = build_redactor(self.environment)
        self._timeout, self._maximum_wait = timeout, maximum_wait
        self.digests: dict[str, str | None] = {"plan": None, "outcome": None, "checks": None}

    @property
    def runtime(self) -> Any:
        """How programs are started."""
        return self.confinement.start

    def finish(self) -> int:
        """Run all stages in this process, as `run_stages` does with processes, and return the exit code."""
        try:
            decided = self.plan()
            if decided.work is not None:
                self.work()
                self.verify()
            return self.publish()
        except Error as error:
            self.error = error
            return error.exit_code

    def finish_as_processes(self) -> int:
        """Run all stages as the action does, and return the exit code."""
        self._clone()
        with self._recorded("all"):
            return run_stages(self.environment, self.documents, checkout=self.checkout)

    def plan(self) -> Plan:
        """Run `plan`; an expected error goes through to the caller."""
        api = self.build_api()
        ports = PlanPorts(
            clock=self.clock,
            documents=self._folder(),
            reader=api,
            writer=api,
            renderer=_TEMPLATES,
            job=ActionsJob(),
            redactor=self.redactor,
            trees=self.build_repositories(),
            connect=self.connect_for_plan,
            witness=self.build_repositories().open_witness(self.documents),
        )
        with self._recorded("plan"):
            decided = plan(self.context, self.payload, demands=self.demands, ports=self.wrap("plan", ports))
        self.digests["plan"] = self.digest("plan.json")
        return decided

    def work(self) -> Outcome | None:
        """Run `run`."""
        self._clone()
        folder = self._folder()
        git = Git(self.documents / "git", self.environment["PATH"])
        runtimes = RuntimePorts(
            confinement=self.confinement,
            gateways=self.gateways,
            install=lambda: Path(self.environment["COVEN_INPUT_RUNTIME_PATH"]),
            patch_program=(sys.executable, "-I", "-m", "coven_action.runtimes.patch"),
            patch_binds=list_own_folders(),
            model_key=self.environment.get(MODEL_KEY),
        )
        ports = RunPorts(
            clock=self.clock,
            documents=folder,
            workspaces=GitWorkspaces(git),
            trees=GitCheckTrees(git),
            runtimes=runtimes,
            job=ActionsJob(),
            redactor=self.redactor,
        )
        with self._recorded("run"):
            outcome = run(
                self.context.task,
                checkout=self.checkout,
                platform=describe_platform("Linux", "x86_64"),
                plan_sha256=self.digests["plan"],
                ports=self.wrap("run", ports),
            )
        self.digests["outcome"] = self.digest("outcome.json")
        return outcome

    def observe(self, *results: CheckResult, **changes: Any) -> None:
        """Leave `checks.json` as `verify` would, and hand its digest over; without results every configured check passes."""
        work, outcome = self.planned.work, self.outcome
        assert work is not None
        passed = ObservedRun(exit_code=0, duration_seconds=1.5, output_bytes=0)
        parts = {
            "task": self.planned.task,
            "base_sha": work.target.base_sha,
            "tip_sha": outcome.tip_sha,
            "observed_on": "separate_runner",
            "isolation": Isolation(demanded="enforced", reached="enforced", note="in a sandbox"),
            "results": results
            or tuple(CheckResult(name=check.name, base=passed, result=passed) for check in work.checks),
            "seconds": 3.0,
        }
        (self.documents / CHECKS_DOCUMENT).write_bytes(write_document(Checks(**{**parts, **changes})))
        self.digests["checks"] = self.digest(CHECKS_DOCUMENT)

    def verify(self) -> Checks | None:
        """Run `verify`, where checks are configured."""
        ports = VerifyPorts(
            clock=self.clock,
            documents=self._folder(),
            trees=GitCheckTrees(Git(self.documents / "git", self.environment["PATH"])),
            confinement=self.confinement,
            job=ActionsJob(),
            redactor=self.redactor,
        )
        with self._recorded("verify"):
            checks = verify(
                self.context.task,
                checkout=self.checkout,
                plan_sha256=self.digests["plan"],
                outcome_sha256=self.digests["outcome"],
                separate_runner=False,
                ports=self.wrap("verify", ports),
            )
        self.digests["checks"] = self.digest(CHECKS_DOCUMENT)
        return checks

    def publish(self) -> int:
        """Run `publish` and return its exit code; an expected error goes through to the caller."""
        folder = self._folder()
        repositories = self.build_repositories()
        ports = PublishPorts(
            clock=self.clock,
            documents=folder,
            repositories=repositories,
            writer=self.build_api(),
            renderer=_TEMPLATES,
            job=ActionsJob(),
            redactor=self.redactor,
            connect=self.connect_for_publish,
            witness=repositories.open_witness(self.documents),
            open_outboxes=find_outboxes(self.context, self.environment[TOKEN]),
            app_bot_id=self.demands.app_bot_id,
        )
        with self._recorded("publish"):
            return publish(self.context.task, digests=Digests(**self.digests), ports=self.wrap("publish", ports))

    def build_repositories(self) -> GitPublicationRepositories:
        """Return the real adapter to the server's repositories."""
        git = Git(self.documents / "git", self.environment["PATH"])
        remote = f"{self.context.server.server_url}/{self.context.repository}.git"
        return GitPublicationRepositories(git, remote, self.environment[TOKEN])

    def build_api(self) -> GitHubAPI:
        """Return the real client, with waits short enough for a test."""
        return GitHubAPI(
            self.context.repository,
            token=self.environment[TOKEN],
            api_url=self.context.server.api_url,
            app_bot_id=self.demands.app_bot_id,
            timeout=self._timeout,
            backoff=0.001,
            maximum_wait=self._maximum_wait,
            sleep=self.waits.append,
        )

    # What it left.

    def read(self, name: str) -> bytes:
        """Return a document's bytes."""
        return (self.documents / name).read_bytes()

    def digest(self, name: str) -> str | None:
        """Return a document's SHA-256, as the workflow hands it on; None where there is none."""
        path = self.documents / name
        return sha256_hex(path.read_bytes()) if path.is_file() and not path.is_symlink() else None

    @property
    def planned(self) -> Plan:
        """`plan.json`."""
        return parse_plan(self.read("plan.json"))

    @property
    def outcome(self) -> Outcome:
        """`outcome.json`."""
        return parse_outcome(self.read("outcome.json"))

    @property
    def evidence(self) -> Evidence:
        """`evidence.json`."""
        return parse_evidence(self.read("evidence.json"))

    @property
    def outputs(self) -> dict[str, str]:
        """The step's outputs, read as the runner reads the file."""
        return read_outputs((self.job / "output").read_text(encoding="utf-8"))

    @property
    def summary(self) -> str:
        """The step summary."""
        return (self.job / "summary").read_text(encoding="utf-8")

    def _folder(self) -> DocumentFolder:
        return DocumentFolder(self.documents)

    def _clone(self) -> None:
        shutil.rmtree(self.checkout, ignore_errors=True)
        self.scene.clone_checkout(self.checkout)

    @contextmanager
    def _recorded(self, stage: str) -> Any:
        """Run a stage with the job's variables; keep what it printed and which requests it made."""
        before, printed = len(self.scene.github.requests), io.StringIO()
        names = ("GITHUB_OUTPUT", "GITHUB_STEP_SUMMARY", "GITHUB_ACTIONS")
        job = mock.patch.dict(os.environ, {name: self.environment[name] for name in names})
        try:
            with job, redirect_stdout(printed):
                yield
        finally:
            self.log += printed.getvalue()
            self.requests[stage] = self.scene.github.requests[before:]


def read_outputs(text: str) -> dict[str, str]:
    """Read a GITHUB_OUTPUT file as the runner does: `name<<delimiter`, lines, delimiter.

    https://github.com/actions/runner/blob/main/src/Runner.Worker/FileCommandManager.cs
    """
    outputs, lines = {}, iter(text.splitlines())
    for line in lines:
        header = re.fullmatch(r"([^=<]+)<<(.+)", line)
        if header is None:
            name, separator, value = line.partition("=")
            assert separator, f"not an output: {line!r}"
            outputs[name] = value
            continue
        value_lines = []
        for inner in lines:
            if inner == header[2]:
                break
            value_lines.append(inner)
        else:
            raise AssertionError(f"the delimiter of {header[1]} never comes")
        outputs[header[1]] = "\n".join(value_lines)
    return outputs


def run_git(folder: Path, *arguments: str) -> str:
    """Run git in a folder of the test's own, with a person's name, and return what it prints."""
    environment = {**git_store.build_git_environment(), "GIT_CONFIG_COUNT": "2",
                   "GIT_CONFIG_KEY_0": "user.name", "GIT_CONFIG_VALUE_0": "Test",
                   "GIT_CONFIG_KEY_1": "user.email", "GIT_CONFIG_VALUE_1": "test@example.invalid"}  # fmt: skip
    done = subprocess.run(("git", *arguments), cwd=folder, env=environment, capture_output=True, check=True)
    return done.stdout.decode()


__all__ = ["CONFIGURATION", "LABEL", "MENDED", "PATCH", "Event", "Run", "Scene", "ScriptedRuntime", "build_patch",
           "read_outputs", "run_git", "run_process"]  # fmt: skip
