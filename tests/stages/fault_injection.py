"""Systematic faults: every call a stage makes to the outside world can be recorded, and any one of them can fail.

`Injector.wrap` puts a proxy before each port of a stage, whatever the port is: a new port, or a new call of an old one,
is recorded and broken without a word here. `Workbench` keeps one local GitHub and brings it, and the job's folder, back
to where a stage begins, so that each case costs little more than the stage it breaks.
"""

import copy
import dataclasses
import errno
import inspect
import json
import re
import shutil
import typing
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from coven_action.core.checks.conclusion import judge_run
from coven_action.core.checks.document import CHECKS_DOCUMENT, parse_checks
from coven_action.core.publication.endings import PUBLISHED_ENDINGS
from coven_action.core.publication.status_marker import parse_marker
from coven_action.emulator import git_store
from coven_action.emulator.state import Issue
from coven_action.errors import (
    DocumentError,
    EnvironmentFault,
    Error,
    GitError,
    GitHubError,
    RuntimeFault,
)
from coven_action.stages import ports as protocols
from coven_action.stages.plan import PlanPorts
from coven_action.stages.run import RunPorts
from coven_action.stages.telling import PublishPorts
from coven_action.stages.verify import VerifyPorts
from tests.scenario import CHECKS, Event, Run, Scene

PORTS = {"plan": PlanPorts, "run": RunPorts, "verify": VerifyPorts, "publish": PublishPorts}
KILLED = 137
SHA = 40
BUG = 3
# What the calls of one port hand out that is a port itself, or is used like one.
PRODUCTS = {
    ("Workspaces", "prepare"): "Workspace",
    ("PublicationRepositories", "clone"): "PublicationRepository",
    ("TreeSource", "fetch"): "Trees",
    ("CheckTrees", "prepare"): "CheckTree",
}

CONTEXTS = {("ModelGateways", "open"): "ModelGateway"}


class Killed(BaseException):
    """The process ends here: nothing of it runs any more, no handler and no second try."""


@dataclass(frozen=True, order=True)
class Call:
    """One call of a stage to the outside: the `number`th of its kind in this stage, counted from 1.

    `about` is what it names: the document, the output, the template.
    """

    stage: str
    port: str
    method: str
    about: str = ""
    number: int = 1

    def __str__(self) -> str:
        return f"{self.stage}: {self.port}.{self.method}({self.about}) #{self.number}"


# The calls whose first argument names something; any other text could be anybody's.
_NAMING = ("Documents", "Renderer", "Workspace")


def _known_error(port: str) -> Exception:
    """Return what the adapter behind a port raises when it cannot do its work."""
    build = _KNOWN.get(port)
    # The clock, the templates and the runtime's installer in memory have no error of their own: an `Error` all the same.
    return build() if build else Error("io-failed", "injected")


_KNOWN: Mapping[str, Callable[[], Error]] = {
    "GitHubReader": lambda: GitHubError("github-unavailable", "injected"),
    "GitHubWriter": lambda: GitHubError("missing-permission", "injected", remedy="injected remedy"),
    "Documents": lambda: DocumentError("io-failed", "injected"),
    "Log": lambda: DocumentError("io-failed", "injected"),
    "Workspaces": lambda: GitError("git-failed", "injected"),
    "TreeSource": lambda: GitError("git-failed", "injected"),
    "Trees": lambda: GitError("git-failed", "injected"),
    "Workspace": lambda: GitError("git-failed", "injected"),
    "PublicationRepositories": lambda: GitError("git-failed", "injected"),
    "PublicationRepository": lambda: GitError("git-failed", "injected"),
    "CheckTrees": lambda: GitError("git-failed", "injected"),
    "CheckTree": lambda: GitError("git-failed", "injected"),
    "Confinement": lambda: RuntimeFault("runtime-not-started", "injected"),
    "ModelGateways": lambda: RuntimeFault("gateway-not-started", "injected"),
    "ModelGateway": lambda: RuntimeFault("gateway-lost", "injected"),
    "RuntimeInstaller": lambda: RuntimeFault("runtime-download-failed", "injected"),
    "Job": lambda: EnvironmentFault("job-file-unwritable", "injected"),
}


@dataclass(frozen=True)
class Kind:
    """A way in which a call fails.

    Attributes:
        build: Makes the exception, given the port.
        after: The deed is done first, and only its answer is lost.
        lasting: All later calls of the same port fail too.
    """

    build: Callable[[str], BaseException]
    after: bool = False
    lasting: bool = False


KINDS: Mapping[str, Kind] = {
    "error": Kind(_known_error),
    "bug": Kind(lambda _port: RuntimeError("injected ghp_" + "0" * 36)),
    "disk full": Kind(lambda _port: OSError(errno.ENOSPC, "No space left on device")),
    "killed": Kind(lambda _port: Killed()),
    "input/output error": Kind(lambda _port: OSError(errno.EIO, "Input/output error")),
    "answer lost": Kind(_known_error, after=True),
    "killed afterwards": Kind(lambda _port: Killed(), after=True),
    "error from then on": Kind(_known_error, lasting=True),
    "disk full from then on": Kind(lambda _port: OSError(errno.ENOSPC, "No space left on device"), lasting=True),
}


class Injector:
    """Records the calls of the stages, and lets one of them fail.

    Args:
        broken: The call that fails; None for none.
        kind: How.
    """

    def __init__(self, broken: Call | None = None, kind: Kind | None = None) -> None:
        self.broken = broken
        self.kind = kind
        self.calls: list[Call] = []
        self.touched: set[tuple[str, str]] = set()
        self.has_struck = False
        self._numbers: Counter[Call] = Counter()

    def wrap(self, stage: str, ports: Any) -> Any:
        """Return a stage's ports with a proxy before each; what is no protocol (the redactor, plain values) stays."""
        names, kinds = {}, typing.get_type_hints(type(ports))
        for part in dataclasses.fields(ports):
            kind, value = kinds[part.name], getattr(ports, part.name)
            if dataclasses.is_dataclass(kind) and part.name == "runtimes":
                names[part.name] = self.wrap(stage, value)
            elif getattr(kind, "_is_protocol", False):
                names[part.name] = Proxy(self, stage, kind.__name__, value)
        return dataclasses.replace(ports, **names)

    def call(self, stage: str, port: str, method: str, do: Callable[[], Any], *arguments: Any) -> Any:
        """Do what was asked, or fail."""
        names = port in _NAMING or method == "set_output"
        about = (
            arguments[0] if names and arguments and isinstance(arguments[0], str) and len(arguments[0]) < SHA else ""
        )
        kind = Call(stage, port, method, about)
        self._numbers[kind] += 1
        call = dataclasses.replace(kind, number=self._numbers[kind])
        self.calls.append(call)
        self.touched.add((port, method))
        if self.kind is not None and self._strikes(call):
            self.has_struck = True
            if self.kind.after:
                with suppress(Exception):
                    do()
            raise self.kind.build(port)
        return do()

    def _strikes(self, call: Call) -> bool:
        same_port = self.broken is not None and (call.stage, call.port) == (self.broken.stage, self.broken.port)
        return call == self.broken or (self.has_struck and self.kind is not None and self.kind.lasting and same_port)


class Proxy:
    """Stands before a port. Plain attributes pass; calls are recorded; ports that are handed out get a proxy too."""

    def __init__(self, injector: Injector, stage: str, port: str, target: Any) -> None:
        self._injector, self._stage, self._port, self._target = injector, stage, port, target

    def __call__(self, *arguments: Any, **named: Any) -> Any:
        return self._injector.call(self._stage, self._port, "__call__", lambda: self._target(*arguments, **named))

    def __getattr__(self, name: str) -> Any:
        value = getattr(self._target, name)
        if not callable(value):
            self._injector.touched.add((self._port, name))
            return value

        def call(*arguments: Any, **named: Any) -> Any:
            made = self._injector.call(self._stage, self._port, name, lambda: value(*arguments, **named), *arguments)
            if (self._port, name) in PRODUCTS:
                return Proxy(self._injector, self._stage, PRODUCTS[self._port, name], made)
            if (self._port, name) in CONTEXTS:
                return ProxiedContext(self._injector, self._stage, CONTEXTS[self._port, name], made)
            return ProxiedLog(self._injector, self._stage, made) if name == "open_log" else made

        return call


class ProxiedContext:
    """Stands before a context that gives a port for as long as it is open."""

    def __init__(self, injector: Injector, stage: str, port: str, target: Any) -> None:
        self._injector, self._stage, self._port, self._target = injector, stage, port, target

    def __enter__(self) -> Any:
        return Proxy(self._injector, self._stage, self._port, self._target.__enter__())

    def __exit__(self, *exception: object) -> Any:
        return self._target.__exit__(*exception)


class ProxiedLog:
    """Stands before the log: each write to it and its closing can fail."""

    def __init__(self, injector: Injector, stage: str, target: Any) -> None:
        self._injector, self._stage, self._target = injector, stage, target

    def __enter__(self) -> Any:
        return Proxy(self._injector, self._stage, "Log", self._target.__enter__())

    def __exit__(self, *exception: object) -> Any:
        left = self._target.__exit__(*exception)
        self._injector.call(self._stage, "Log", "close", lambda: None)
        return left


def list_port_methods() -> set[tuple[str, str]]:
    """Return every method and property of every protocol in `stages/ports.py`."""
    return {
        (name, member)
        for name, port in vars(protocols).items()
        if inspect.isclass(port) and port.__module__ == protocols.__name__ and getattr(port, "_is_protocol", False)
        for member in vars(port)
        if member == "__call__" or not member.startswith("_")
    }


# The job, as action.yml runs it.


@dataclass
class JobEnd:
    """How the steps of a job ended: the exit code of each stage that was started."""

    codes: dict[str, int] = field(default_factory=dict)
    exceptions: dict[str, BaseException] = field(default_factory=dict)

    @property
    def code(self) -> int:
        """0 where every step ended well, else the exit code of the first that did not."""
        return next((code for code in self.codes.values() if code), 0)


def read_outputs_of(run: Run) -> dict[str, str]:
    """Return a step's outputs; none where the file was cut off in the middle of one, which the runner refuses whole."""
    try:
        return run.outputs
    except AssertionError:
        return {}


def run_job(run: Run, begin: str = "plan") -> JobEnd:
    """Run the stages from `begin` on under the conditions of action.yml, which `tests/test_action_yml.py` reads.

    `run` starts only where `plan` has decided to proceed and no step has failed, `verify` only where there are checks, `run`
    has handed over a digest and no step has failed; `publish` starts whenever `plan` got as far as a decision, whatever
    became of them. Digests travel as outputs: a stage that did not set one hands over none.
    """
    end = JobEnd()
    if begin == "plan":
        _step(run, "plan", run.plan, end)
    outputs = read_outputs_of(run)
    if begin in {"plan", "run"} and outputs.get("decision") == "proceed" and not end.code:
        run.digests["plan"] = outputs.get("plan-sha256")
        _step(run, "run", run.work, end)
    outputs = read_outputs_of(run)
    if begin != "publish" and outputs.get("checks") != "0" and outputs.get("outcome-sha256") and not end.code:
        run.digests = {"plan": outputs.get("plan-sha256"), "outcome": outputs.get("outcome-sha256")}
        _step(run, "verify", run.verify, end)
    outputs = read_outputs_of(run)
    if outputs.get("decision") in {"proceed", "published"}:
        names = {"plan": "plan-sha256", "outcome": "outcome-sha256", "checks": "checks-sha256"}
        run.digests = {name: outputs.get(output) for name, output in names.items()}
        _step(run, "publish", run.publish, end)
    return end


def _step(run: Run, stage: str, start: Callable[[], Any], end: JobEnd) -> None:
    """Do what `cli.boundary` makes of an exception, without ending the test."""
    try:
        answer = start()
        end.codes[stage] = answer if stage == "publish" else 0
    except Killed as killed:
        end.codes[stage], end.exceptions[stage] = KILLED, killed
    except Error as error:
        end.codes[stage], end.exceptions[stage] = error.exit_code, error
    except OSError as error:
        end.codes[stage], end.exceptions[stage] = 1, error
    except Exception as error:  # noqa: BLE001 - this is what the boundary does
        end.codes[stage], end.exceptions[stage] = BUG, error


@dataclass(frozen=True)
class Request:
    """One request of a stage to GitHub: the `number`th of this method and path in this stage."""

    stage: str
    kind: str
    method: str
    path: str
    number: int

    def __str__(self) -> str:
        return f"{self.stage}: {self.method} {self.path} #{self.number}"


# The state before each stage, kept and brought back.


@dataclass(frozen=True)
class Saved:
    """GitHub and the job's folder at one moment."""

    documents: dict[str, Any]
    refs: list[tuple[str, str]]
    folder: Path


_KEPT = ("issues", "pulls", "comments", "check_runs", "labels", "workflow_runs")


class Workbench:
    """One task on one thread of one local GitHub, and every moment of it at which a stage begins.

    Args:
        scene: Where; it belongs to the bench from now on.
        folder: For the copies of the job's folder.
        event: What is asked.
        facts: Further arguments of `Run`, the `attempt` that is broken, and `environment`, further variables of the job.
    """

    RUN_ID = 7

    def __init__(self, scene: Scene, folder: Path, issue: Issue, event: Event, **facts: Any) -> None:
        self.scene, self.folder, self.event, self.facts = scene, folder, event, facts
        self.environment: dict[str, str] = facts.pop("environment", {})
        self.attempt: int = facts.pop("attempt", 1)
        self.thread = issue.number
        self.ordinary = Injector()
        self.saved = {"plan": self._save("plan", None)}
        run = self.start()
        run.wrap = self.ordinary.wrap
        stages = {"plan": run.plan, "run": run.work, "verify": run.verify, "publish": run.publish}
        for stage, do in stages.items():
            if stage != "plan":
                self.saved[stage] = self._save(stage, run)
            if stage != "verify" or read_outputs_of(run).get("checks") != "0":
                do()
            if read_outputs_of(run).get("decision") != "proceed":
                break
        self.ending = (
            run.evidence.ending
            if read_outputs_of(run).get("decision") == "proceed"
            else read_outputs_of(run)["decision"]
        )
        self._repeated: dict[str, list[str]] = {}

    def describe_conclusion(self) -> str:
        """Return how the published result has to conclude: as its checks went, which the pull request shows."""
        if self.ending != "verified":
            return "neutral"
        body = next(pull.issue.body for pull in self.scene.pull_requests if pull.issue.state == "open")
        return "failure" if "Checks fail" in body else "success"

    @property
    def publishes(self) -> bool:
        """Whether the ordinary task ends with a pull request."""
        return self.ending in PUBLISHED_ENDINGS

    @property
    def calls(self) -> list[Call]:
        """Every call of the ordinary task, in order."""
        return self.ordinary.calls

    @property
    def issue(self) -> Issue:
        """The thread, as it is now."""
        return self.scene.repository.issues[self.thread]

    def start(self, *, again: bool = False) -> Run:
        """Return the attempt of the task that is broken, or the one after it; it has not begun."""
        attempt = self.attempt + again
        run = self.scene.start(self.event, run_id=self.RUN_ID, attempt=attempt, **self.facts)
        run.environment |= self.environment
        scene = self.scene
        sender = scene.world.users[self.event.payload["sender"]["id"]]
        scene.world.add_workflow_run(scene.repository, sender, self.event.name, run_id=self.RUN_ID, run_attempt=attempt)
        return run

    def break_call(self, call: Call, kind: Kind) -> "Case":
        """Bring back the moment before the call's stage, and run the job from there with that call failing."""
        injector = Injector(call, kind)
        run = self.restore(call.stage)
        run.wrap = injector.wrap
        return Case(self, run, run_job(run, begin=call.stage), struck=injector.has_struck)

    def restore(self, stage: str) -> Run:
        """Bring GitHub and the job's folder back to where a stage begins, and return the attempt."""
        saved = self.saved[stage]
        # An hour's allowance of requests is for one job, not for all cases.
        self.scene.world.tokens[self.scene.github.token].used = 0
        repository = self.scene.repository
        for name, value in self._copy(saved.documents).items():
            setattr(repository, name, value)
        self._restore_refs(saved.refs)
        run = self.start()
        shutil.rmtree(run.job)
        shutil.copytree(saved.folder, run.job, symlinks=True)
        return run

    def repeat(self) -> list[str]:
        """Re-run the task without a fault and return what is wrong afterwards.

        A re-run begins on a fresh runner: what it finds is GitHub alone. States that differ in nothing a re-run could see
        are repeated once.
        """
        seen = self.describe()
        if seen not in self._repeated:
            shutil.rmtree(self.scene.folder / f"job-{self.RUN_ID}-{self.attempt + 1}", ignore_errors=True)
            run = self.start(again=True)
            end = run_job(run)
            self._repeated[seen] = [f"re-run: {wrong}" for wrong in self._judge_repetition(run, end)]
        return self._repeated[seen]

    def _judge_repetition(self, run: Run, end: JobEnd) -> Iterator[str]:
        if end.code != (1 if self.ending == "fault" else 0):
            yield f"ended with {end.codes}: {list(end.exceptions.values())}"
            return
        ending = read_outputs_of(run).get("decision")
        ending = run.evidence.ending if ending == "proceed" else ending
        if ending not in {self.ending, "published", "verified"}:
            yield f"ended {ending}, not {self.ending}"
        yield from self._judge_comments(failed=self.ending == "fault")
        if self.publishes:
            yield from self.judge_publication()

    def list_requests(self, stage: str) -> list["Request"]:
        """Return the requests that a stage of the ordinary task makes, git's included."""
        run = self.restore(stage)
        outputs = read_outputs_of(run)
        run.digests = {"plan": outputs.get("plan-sha256"), "outcome": outputs.get("outcome-sha256")}
        before = len(self.scene.github.exchanges)
        {"plan": run.plan, "run": run.work, "publish": run.publish}[stage]()
        numbers: Counter[tuple[str, str]] = Counter()
        requests = []
        for exchange in self.scene.github.exchanges[before:]:
            numbers[exchange.method, exchange.path] += 1
            number = numbers[exchange.method, exchange.path]
            requests.append(Request(stage, exchange.kind, exchange.method, exchange.path, number))
        return requests

    def break_request(self, request: "Request", fault: Mapping[str, Any]) -> "Case":
        """Bring back the moment before the request's stage, and run the job from there with that request failing."""
        run = self.restore(request.stage)
        faults = self.scene.github.faults
        facts = {"method": request.method, "path_regex": f"^{re.escape(request.path)}$", "nth": request.number}
        added = faults.add(**{"times": 10_000, **facts, **fault})
        try:
            end = run_job(run, begin=request.stage)
        finally:
            faults.clear()
        return Case(self, run, end, struck=added.hits > 0)

    def judge_publication(self) -> Iterator[str]:
        """Say what a complete publication lacks, or has too much of."""
        scene = self.scene
        pulls = [pull for pull in scene.pull_requests if pull.issue.state == "open"]
        branches = scene.branches()
        if len(pulls) != 1 or pulls[0].head_sha != branches.get(pulls[0].head_ref):
            yield f"pull requests: {pulls}"
            return
        head = pulls[0].head_sha
        before = [sha for name, sha in self.saved["plan"].refs if "coven/" in name]
        commits = len(scene.history(pulls[0].head_ref)) - sum(
            len(scene.git("rev-list", f"main..{sha}").split()) for sha in before
        )
        if commits != 1 or len(branches) != 1:
            yield f"{commits} commits on {list(branches)}"
        checks = [check for check in scene.check_runs if check.head_sha == head]
        told = self.describe_conclusion()
        if [(check.name, check.conclusion) for check in checks] != [(CHECKS, told)]:
            yield f"checks on the head: {checks}"
        for check in scene.check_runs:
            if check.head_sha != head and not (check.title or "").startswith("superseded"):
                yield f"a check of an older head stands: {check.title}"

    def _judge_comments(self, *, failed: bool) -> Iterator[str]:
        found = [parse_marker(comment.body) for comment in self.scene.comments(self.issue)]
        if len(found) > 1 or (not found and self.ending != "decline"):
            yield f"{len(found)} comments"
        if not failed and any(status is None or status.state in {"working", "failed"} for status in found):
            yield f"the comment says {found}"

    def count(self, what: str) -> int:
        """Return how many there are: `comments`, `pull requests`, `checks`, or comments that say `published`."""
        if what == "published":
            found = [parse_marker(comment.body) for comment in self.scene.comments(self.issue)]
            return sum(status is not None and status.state == "published" for status in found)
        return self.scene.counts(self.issue)[what]

    def describe(self) -> str:
        """Return what a re-run could see of GitHub, without times and without the digits of commits that vary."""
        scene, branches = self.scene, self.scene.branches()
        heads = {sha: f"head of {name}" for name, sha in branches.items()}

        def name(sha: str | None) -> str | None:
            return heads.get(sha, "other") if sha else None

        comments = []
        for comment in scene.comments(self.issue):
            status = parse_marker(comment.body)
            comments.append(
                status
                and {**status.model_dump(mode="json", exclude={"check_run_id"}), "head_sha": name(status.head_sha)}
            )
        return json.dumps(
            {
                "comments": comments,
                "labels": scene.labels(self.issue),
                "branches": [(one, len(scene.history(one))) for one in sorted(branches)],
                "pulls": [(p.issue.state, p.draft, p.head_ref, name(p.head_sha)) for p in scene.pull_requests],
                "checks": [(c.status, c.conclusion, name(c.head_sha)) for c in scene.check_runs],
            },
            sort_keys=True,
        )

    def _save(self, stage: str, run: Run | None) -> Saved:
        kept = self.folder / stage
        if run is None:
            run = self.start()
        shutil.copytree(run.job, kept, symlinks=True)
        documents = self._copy({name: getattr(self.scene.repository, name) for name in _KEPT})
        return Saved(documents, self._list_refs(), kept)

    def _copy(self, documents: dict[str, Any]) -> dict[str, Any]:
        """Copy the records of a repository; people and repositories stay themselves."""
        world = self.scene.world
        stays = [*world.users.values(), *world.repositories.values(), world.actions_bot]
        return copy.deepcopy(documents, {id(one): one for one in stays})

    def _list_refs(self) -> list[tuple[str, str]]:
        return [(name, sha) for name, _, sha in git_store.list_refs(self.scene.repository.path, "refs/heads/")]

    def _restore_refs(self, wanted: list[tuple[str, str]]) -> None:
        now, then = dict(self._list_refs()), dict(wanted)
        for name in now.keys() | then.keys():
            if now.get(name) != then.get(name):
                change = ("update-ref", name, then[name]) if name in then else ("update-ref", "-d", name)
                git_store.run_git(self.scene.repository.path, *change)


@dataclass
class Case:
    """One broken task, and what is wrong with what it left."""

    bench: Workbench
    run: Run
    end: JobEnd
    struck: bool

    def find_status(self) -> Any:
        """Return what the thread's comment remembers, None where there is none."""
        comments = self.bench.scene.comments(self.bench.issue)
        return parse_marker(comments[0].body) if comments else None

    def judge(self) -> list[str]:
        """Return every half-truth: whatever says or implies more than is so."""
        return [*self._judge_conclusions(), *self._judge_comment()]

    def _judge_conclusions(self) -> Iterator[str]:
        run, scene = self.run, self.bench.scene
        evidence = run.evidence if (run.documents / "evidence.json").is_file() else None
        # Also where the evidence is missing in the end: it was there when the Check Run was written.
        is_green = self.bench.ending == "verified" and self._were_checks_seen_to_pass()
        if any(check.conclusion == "success" for check in scene.check_runs) and not is_green:
            yield "a check concludes as success"
        if "success" in read_outputs_of(run).get("conclusion", "") and not is_green:
            yield "the output says success"
        if evidence is None:
            return
        if evidence.ending in PUBLISHED_ENDINGS:
            missing = list(self.bench.judge_publication())
            if missing:
                yield f"the evidence says published, and: {missing}"
            status = self.find_status()
            if status is None or status.state != "published":
                yield "the evidence says published, and the comment does not"
        told_well = evidence.conclusion == "neutral" or read_outputs_of(run).get("conclusion") == "neutral"
        if self.end.codes.get("publish") == 1 and told_well:
            yield "publish failed, and evidence or outputs say neutral"
        if self.end.codes.get("publish") == 1 and evidence.fault is None and evidence.ending != "could-not":
            yield "publish failed, and the evidence names no fault"

    def _were_checks_seen_to_pass(self) -> bool:
        """Whether the document that was vouched for says that every check has passed on the result."""
        path, digest = self.run.documents / CHECKS_DOCUMENT, read_outputs_of(self.run).get("checks-sha256")
        if not digest or self.run.digest(CHECKS_DOCUMENT) != digest:
            return False
        return all(judge_run(result.result) == "passed" for result in parse_checks(path.read_bytes()).results)

    def _judge_comment(self) -> Iterator[str]:
        comments = self.bench.scene.comments(self.bench.issue)
        if len(comments) > 1:
            yield f"{len(comments)} comments"
        for comment in comments:
            status = parse_marker(comment.body)
            if status is None:
                yield "a comment without a marker"
            elif status.state == "published" and status.task.run_id == self.bench.RUN_ID:
                yield from self.bench.judge_publication()
            elif "nothing was published" in comment.body and self.bench.scene.branches() != self._branches_before():
                yield "the comment says that nothing was published, and the branch has moved"

    def _branches_before(self) -> dict[str, str]:
        refs = self.bench.saved["plan"].refs
        return {name.removeprefix("refs/heads/"): sha for name, sha in refs if name != "refs/heads/main"}

    def judge_telling(self, stage: str) -> list[str]:
        """Return what the thread is not told: that it failed, in which stage, and what to do."""
        status, comments = self.find_status(), self.bench.scene.comments(self.bench.issue)
        if status is None or status.state != "failed":
            return [f"the thread is not told: {status and status.state}"]
        body = comments[0].body
        said = "could not start" if stage == "plan" else f"failed in `{stage}`"
        wrong = [f"the comment does not say {said!r}"] if said not in body else []
        if "re-run" not in body:
            wrong.append("the comment does not say what to do")
        if "ghp_" in body:
            wrong.append("the comment has the words of the exception")
        return wrong
