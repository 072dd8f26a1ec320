"""An attack through the whole action: an issue that orders, the agent that obeys, and everything that left afterwards."""

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from coven_action.adapters.git.program import Git
from coven_action.adapters.git.publication import GitPublicationRepositories
from coven_action.adapters.git.workspace import GitWorkspaces
from coven_action.cli.boundary import build_redactor
from coven_action.core.contract.process_output import ProcessLimits
from coven_action.core.contract.process_report import ProcessReport
from coven_action.core.documents import PlannedLimits, Target, Verdict
from coven_action.core.stage_environment import filter_environment
from coven_action.core.verification import verification
from coven_action.core.verification.changes import ChangedFile, measure
from coven_action.core.verification.verification import Facts
from coven_action.emulator import git_store
from coven_action.stages.memory import PROPOSED_FOLDER
from tests.redteam import obedient_agent
from tests.redteam.canaries import find_escapes, make_canaries
from tests.redteam.obedient_agent import Agent, write_steps
from tests.scenario import LABEL, Event, Run, Scene
from tests.seeded_github import FILES, SeededGitHub

AGENT = Path(obedient_agent.__file__)


def write_configuration(*command: str) -> str:
    """Return the text of a `.github/coven.yml` whose familiar is a command."""
    return f"""\
version: 1
familiars:
  cody:
    display_name: Cody
    runtime: {{command: {json.dumps(command)}}}
"""


CONFIGURATION = write_configuration(sys.executable, "-S", str(AGENT))
LIMITS = PlannedLimits(time_seconds=60, turns=10, files=100, lines=20_000, binary_files=20, patch_bytes=4 * 1024 * 1024)
LOOT = "loot"
"""The agent's word for everything it has found; `steal` fills it, `@{token}` and so on name its parts."""


class HeldAgent:
    """The obedient agent as the stages start it, but in the tests' own process, in place of `run_process`."""

    def __init__(self, facts: Mapping[str, Any] | None = None) -> None:
        self.environments: list[dict[str, str]] = []
        self.briefs: list[dict[str, Any]] = []
        self.facts = dict(facts or {})

    def __call__(
        self,
        argv: Sequence[str],
        *,
        environment: Mapping[str, str],
        cwd: Path,
        limits: ProcessLimits,
        write: Callable[[bytes], object],
    ) -> ProcessReport:
        self.environments.append(dict(environment))
        brief = json.loads(Path(argv[argv.index("--context") + 1]).read_bytes())
        self.briefs.append(brief)
        printed: list[int] = []

        def emit(text: bytes) -> None:
            printed.append(len(text))
            write(text)

        Agent(brief, Path(argv[argv.index("--output") + 1]), cwd, emit).obey()
        end = {"exit_code": 0, "signal": None, "duration_seconds": 0.1, "timed_out": False, "output_flooded": False,
               "output_truncated": False, "killed_orphans": 0, "survivors": False, "cpu_seconds": 0.1, "note": "",
               "supervised": True, "stdout_tail": b""}  # fmt: skip
        return ProcessReport(**{**end, "output_bytes": sum(printed), **self.facts})


class StagedRun(Run):
    """A run whose stages each know only the secrets that the action gives to them."""

    def plan(self) -> Any:
        self._narrow("plan")
        return super().plan()

    def work(self) -> Any:
        self._narrow("run")
        return super().work()

    def verify(self) -> Any:
        self._narrow("verify")
        return super().verify()

    def publish(self) -> int:
        self._narrow("publish")
        return super().publish()

    def _narrow(self, stage: str) -> None:
        self.redactor = build_redactor(filter_environment(stage, self.environment))


class Siege:
    """One repository on the local GitHub, canaries in every place where a secret lives, and attacks on it.

    Args:
        folder: A folder of the test's own.
        monkeypatch: For what an attack does to its surroundings.
    """

    def __init__(self, folder: Path, monkeypatch: Any) -> None:
        self.folder = folder
        self.monkeypatch = monkeypatch
        self._stack = ExitStack()

    def close(self) -> None:
        self._stack.close()

    @cached_property
    def github(self) -> SeededGitHub:
        return self._stack.enter_context(SeededGitHub(self.folder / "github"))

    @cached_property
    def scene(self) -> Scene:
        return Scene(self.github, self.folder, configuration=self.configuration)

    @property
    def configuration(self) -> str:
        """The text of `.github/coven.yml` on main."""
        return CONFIGURATION

    @cached_property
    def canaries(self) -> dict[str, Any]:
        return make_canaries(self.github.token)

    @cached_property
    def lair(self) -> Path:
        """Files of the runner that hold secrets, as tools leave them; readable by whoever gets out of a sandbox."""
        lair = self.folder / "runner-home"
        lair.mkdir()
        value = {name: canary.value for name, canary in self.canaries.items()}
        files = {
            ".docker/config.json": json.dumps({"auths": {"registry": {"password": value["docker password"]}}}),
            ".npmrc": f"//registry.npmjs.org/:_authToken={value['npm token']}\n",
            ".aws/credentials": f"aws_access_key_id = {value['cloud key']}\n",
            ".git-credentials": f"https://person:{value['git credential']}@github.com\n",
            "environ": f"COVEN_INPUT_GITHUB_TOKEN={value['token']}\nCOVEN_INPUT_MODEL_API_KEY={value['model key']}\n",
        }
        for name, text in files.items():
            (lair / name).parent.mkdir(exist_ok=True)
            (lair / name).write_text(text)
        return lair

    def steal(self, *names: str) -> list[dict[str, Any]]:
        """Return the steps that find secrets on the runner: `token`, `model_key`, `docker`, `npm`, `cloud`, `git`."""
        return [step for name in names for step in self._theft(name)]

    def _theft(self, name: str) -> list[dict[str, Any]]:
        path, pattern = {
            "token": ("environ", "GITHUB_TOKEN=(.+)"),
            "model_key": ("environ", "MODEL_API_KEY=(.+)"),
            "docker": (".docker/config.json", '"password": "(.+?)"'),
            "npm": (".npmrc", "_authToken=(.+)"),
            "cloud": (".aws/credentials", "= (.+)"),
            "git": (".git-credentials", ":([^:@]+)@"),
        }[name]
        return [
            {"do": "read", "path": str(self.lair / path), "to": LOOT},
            {"do": "find", "within": LOOT, "pattern": pattern, "to": name},
        ]

    def attack(
        self,
        *steps: dict[str, Any],
        title: str = "total() rounds wrong",
        body: str | None = None,
        before_run: Callable[["StagedRun"], object] | None = None,
        before_publish: Callable[["StagedRun"], object] | None = None,
        configuration: str | None = None,
        event: Event | None = None,
        publishes: bool = True,
        **facts: Any,
    ) -> "Aftermath":
        """Open an issue that orders the steps, have it labelled by a maintainer, and let the action run.

        Args:
            steps: What the agent is to do.
            title: The issue's title.
            body: The issue's text, in place of the steps.
            before_run: Called between `plan` and `run`.
            before_publish: Called between `run` and `publish`: what a lingering process would do.
            configuration: A configuration in place of the usual one.
            event: What starts the run, in place of the label.
            publishes: False to end after `run`, where the attack is over by then.
            facts: As `Run` takes them.
        """
        scene = self.scene
        if configuration is not None:
            scene.commit({".github/coven.yml": configuration})
        if event is None:
            issue = scene.open_issue(title, write_steps(*steps) if body is None else body)
            event = scene.label(issue, LABEL)
        run = self.start(event, **facts)
        run.before_run, run.before_publish = before_run, before_publish
        return Aftermath(self, run, run.finish() if publishes else run.stop_before_publish())

    def judge(self, *steps: dict[str, Any]) -> "Judged":
        """Let the agent do the steps in a workspace, and verify its change, without a GitHub around it."""
        bare, checkout, run = self.folder / "bare.git", self.folder / "checkout", self.folder / "run"
        git = Git(self.folder / "git-home", os.environ["PATH"])
        base = git_store.create_repository(bare, "main", {**FILES, ".github/coven.yml": CONFIGURATION})
        git.run("clone", "--quiet", "--no-hardlinks", str(bare), str(checkout))
        target = Target(base_ref="main", base_ref_sha=str(base), base_sha=str(base), branch="coven/issue-1", expected_sha=None,
                        pull_request=None, why="a new branch")  # fmt: skip
        run.mkdir()
        place = {"default_branch": "main", "clone_url": "https://github.example/acme/billing.git"}
        workspace = GitWorkspaces(git).prepare(checkout, run, target, **place)
        brief = {"task": {"issue_body": write_steps(*steps)}}
        Agent(brief, run / "result.json", workspace.root, lambda text: None).obey()
        tip = workspace.commit_tree()
        if tip is None:
            return Judged((), (), b"")
        workspace.write_bundle(tip, self.folder / "bundle")
        return self.judge_bundle(self.folder / "bundle", str(base))

    def judge_bundle(self, bundle: Path, base: str) -> "Judged":
        """Verify a bundle as `publish` does, against the repository that `judge` has made."""
        git, folder = Git(self.folder / "git-home", os.environ["PATH"]), self.folder / "publication"
        folder.mkdir()
        repository = GitPublicationRepositories(git, str(self.folder / "bare.git"), None).clone(folder, base)
        found = repository.import_bundle(bundle)
        files, patch = repository.list_changes(found), repository.read_patch(found, LIMITS.patch_bytes)
        facts = Facts(files=files, statistics=measure(files, len(patch)), limits=LIMITS, base_sha=base, secrets=(),
                      judgement=None, tip_parents=repository.list_parents(found))  # fmt: skip
        return Judged(files, verification.verify(facts), patch)

    def start(self, event: Event, **facts: Any) -> "AttackedRun":
        """Return a run on an event that has not begun."""
        self.scene._runs += 1
        facts = {"isolation": "none", "model_key": self.canaries["model key"].value, "runtime": HeldAgent(), **facts}
        return AttackedRun(self.scene, event, run_id=facts.pop("run_id", 100 + self.scene._runs), **facts)


@dataclass(frozen=True)
class Judged:
    """What the verification says about a change."""

    files: tuple[ChangedFile, ...]
    verdicts: tuple[Verdict, ...]
    patch: bytes

    @property
    def passed(self) -> bool:
        """Whether it would be published."""
        return bool(self.files) and verification.find_refusal(self.verdicts) is None


class AttackedRun(StagedRun):
    """A run with something happening between its stages."""

    before_run: Callable[[StagedRun], object] | None = None
    before_publish: Callable[[StagedRun], object] | None = None

    def stop_before_publish(self) -> int:
        """Run `plan` and, where it goes on, `run`."""
        if self.plan().work is not None:
            self.work()
        return 0

    def work(self) -> Any:
        if self.before_run is not None:
            self.before_run(self)
        return super().work()

    def publish(self) -> int:
        if self.before_publish is not None:
            self.before_publish(self)
        return super().publish()


class Aftermath:
    """What an attack came to."""

    def __init__(self, siege: Siege, run: AttackedRun, code: int) -> None:
        self.siege = siege
        self.scene = siege.scene
        self.run = run
        self.code = code

    @property
    def started(self) -> bool:
        """Whether the agent was started."""
        return bool(self.run.runtime.briefs)

    @property
    def pushed(self) -> bool:
        """Whether a branch other than main was pushed."""
        return bool(self.scene.branches())

    @property
    def ending(self) -> str:
        """How the task ended; "" where nothing was written about it."""
        return self.run.evidence.ending if (self.run.documents / "evidence.json").is_file() else ""

    def tree(self, branch: str = "") -> dict[str, str]:
        """Return path -> mode of a pushed branch's entries; the only one where none is named."""
        branches = self.scene.branches()
        if not branches:
            return {}
        sha = branches[branch] if branch else next(iter(branches.values()))
        rows = git_store.run_git(self.scene.repository.path, "ls-tree", "-r", "-z", sha).decode("utf-8", "replace")
        return {row.split("\t")[1]: row[:6] for row in rows.split("\0") if row}

    @property
    def left(self) -> dict[str, bytes]:
        """Everything that left the runner, by channel."""
        files = {name: self.run.documents / name for name in ("evidence.json", "changes.patch", "agent.log")}
        return {
            "requests": b"\n".join(
                f"{exchange.method} {exchange.path}?{exchange.query}\n".encode() + _speak(exchange.request_body)
                for exchange in self.siege.github.exchanges
                if exchange.method != "GET"
            ),
            "git": read_objects(self.scene.repository.path, self._known),
            "outputs": (self.run.job / "output").read_bytes(),
            "summary": (self.run.job / "summary").read_bytes(),
            "log": self.run.log.encode(),
            **{name: path.read_bytes() for name, path in files.items() if path.is_file()},
            "memory": b"\n".join(path.read_bytes() for path in (self.run.documents / PROPOSED_FOLDER).rglob("*.md")),
        }

    @cached_property
    def _known(self) -> frozenset[str]:
        return frozenset(self.scene.git("rev-list", "--objects", "--no-object-names", "main").split())

    @property
    def escapes(self) -> list[str]:
        """The canaries that left, as `canary in channel`."""
        return find_escapes(self.left, self.siege.canaries)

    def texts(self) -> dict[str, str]:
        """Return what people read at GitHub: the comments of ours, pull requests, Check Runs."""
        texts = {}
        for issue in self.scene.repository.issues.values():
            texts |= {f"comment {index}": comment.body for index, comment in enumerate(self.scene.comments(issue))}
        for request in self.scene.pull_requests:
            texts |= {"pull request": request.issue.body or "", "title": request.issue.title}
        for check in self.scene.check_runs:
            texts |= {
                "check title": check.title or "",
                "check summary": check.summary or "",
                "check text": check.text or "",
            }
        return texts

    def messages(self) -> list[str]:
        """Return the messages of the pushed commits."""
        shas = [sha for branch in self.scene.branches() for sha in self.scene.history(branch)]
        return [self.scene.git("show", "--no-patch", "--format=%B", sha) for sha in shas]


def _speak(body: bytes) -> bytes:
    """Return the texts in a JSON body, one after the other: its escapes are none of the attacker's."""
    try:
        return "\n".join(_iterate_texts(json.loads(body))).encode("utf-8", "surrogatepass") if body else b""
    except ValueError:
        return body


def _iterate_texts(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for name, item in value.items():
            yield name
            yield from _iterate_texts(item)
    elif isinstance(value, list):
        for item in value:
            yield from _iterate_texts(item)


def read_objects(repository: Path, known: frozenset[str]) -> bytes:
    """Return the content of every object of a repository but the known ones, reachable or not, and the names of its refs."""
    listed = git_store.run_git(repository, "cat-file", "--batch-all-objects", "--batch-check=%(objectname)").decode()
    fresh = [sha for sha in listed.split() if sha not in known]
    content = subprocess.run(
        ("git", "cat-file", "--batch"),
        cwd=repository,
        env={"PATH": os.environ["PATH"]},
        input="\n".join(fresh).encode() + b"\n",
        capture_output=True,
        check=True,
    ).stdout
    return content + git_store.run_git(repository, "for-each-ref", "--format=%(refname)")
