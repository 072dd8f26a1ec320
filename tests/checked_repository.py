"""A repository with a result that stands on it, and the parties that run its checks: for the tests of what checks are run by."""

import atexit
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

from coven_action.adapters.git.checking import GitCheckTree, GitCheckTrees
from coven_action.adapters.git.program import Git
from coven_action.adapters.git.workspace import GitWorkspaces
from coven_action.adapters.sandbox.confinement import ProvedConfinement
from coven_action.core.checks.results import CheckCommand
from coven_action.core.contract.process_report import ConfinedReport, ProcessReport
from coven_action.core.documents import Target
from coven_action.core.redaction.redactor import Redactor
from coven_action.core.sandbox.probes import Attempt
from coven_action.core.sandbox.request import SandboxRequest
from coven_action.core.sandbox.toolchains import Tools
from coven_action.stages.checking import CheckPorts
from tests.core.samples import TARGET
from tests.sandboxes import missing, open_base
from tests.scenario import run_git

SYSTEM_PATH = "/usr/bin:/bin"
SECRET = "kept-by-the-job-0123456789abcdef"
MENDED = "def total(net, rate):\n    return net * (1 + rate)\n"
FILES = {"src/tax.py": "def total(net, rate):\n    return net\n", "README.md": "Billing.\n"}


def check(run: str, name: str = "tests", *, seconds: int = 30, network: bool = False) -> CheckCommand:
    """A check."""
    return CheckCommand(name=name, run=run, timeout_seconds=seconds, network=network)


def mend(workspace: Path) -> None:
    """What the familiar should do."""
    (workspace / "src/tax.py").write_text(MENDED)


class Repository:
    """A checkout with two commits, and results on top of it.

    Args:
        folder: Any user may enter it.
        first: The first commit, where the folder holds a repository already.
        base: The commit that the result stands on.
        tip: The result that mends the fault; its bundle is `mended`.
    """

    def __init__(self, folder: Path, *, first: str = "", base: str = "", tip: str = "") -> None:
        self.folder = folder
        self.git = Git(folder / "git", os.environ.get("PATH", os.defpath))
        self.trees = GitCheckTrees(self.git)
        self.checkout = folder / "checkout"
        self.mended = folder / "mended.bundle"
        self.first, self.base, self.tip = first, base, tip
        if not base:
            self.checkout.mkdir()
            run_git(self.checkout, "init", "--quiet", "--initial-branch=main")
            self.first = self.commit({"first.txt": "1\n"})
            self.base = self.commit(FILES)
            self.tip = self.make_result(mend, self.mended)

    def commit(self, files: dict[str, str]) -> str:
        """Commit files to the checkout and return the commit."""
        for name, text in files.items():
            path = self.checkout / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
        run_git(self.checkout, "add", ".")
        run_git(self.checkout, "commit", "--quiet", "-m", f"commit of {len(files)}")
        return run_git(self.checkout, "rev-parse", "HEAD").strip()

    @property
    def target(self) -> Target:
        """Where the result goes."""
        return TARGET.model_copy(update={"base_sha": self.base, "base_ref_sha": self.base})

    def make_result(self, change: Callable[[Path], object], bundle: Path) -> str:
        """Change a workspace as the familiar would, write its bundle, and return its tip."""
        workspaces, folder = GitWorkspaces(self.git), self.folder / "run"
        workspaces.destroy(folder)
        workspace = workspaces.prepare(
            self.checkout,
            folder,
            self.target,
            default_branch="main",
            clone_url="https://github.example/acme/billing.git",
        )
        change(workspace.root)
        tip = workspace.commit_tree()
        assert tip is not None
        workspace.write_bundle(tip, bundle)
        return tip

    def prepare(self, commit: str = "", *, bundle: Path | None = None, name: str = "checks") -> GitCheckTree:
        """Make a tree for checks."""
        folder = self.folder / "verify" / name
        return self.trees.prepare(self.checkout, folder, commit or self.base, bundle=bundle, default_branch="main")


@contextmanager
def open_repository() -> Iterator[Repository]:
    """A repository in a folder of its own: a copy of one that is made once, as git takes its time."""
    made = _make_once()
    with open_base() as folder:
        for part in made.folder.iterdir():
            copy = shutil.copytree if part.is_dir() else shutil.copyfile
            copy(part, folder / part.name)
        yield Repository(folder, first=made.first, base=made.base, tip=made.tip)


@cache
def _make_once() -> Repository:
    folder = tempfile.TemporaryDirectory(prefix="coven-test-", ignore_cleanup_errors=True)
    atexit.register(folder.cleanup)
    return Repository(Path(folder.name))


@contextmanager
def open_confinement() -> Iterator[ProvedConfinement]:
    """The sandbox of this machine, for a job whose environment holds a secret; skips where it has none."""
    with open_base() as folder:
        environ = {"PATH": SYSTEM_PATH, "HOME": "/nonexistent", "JOB_SECRET": SECRET}
        confinement = ProvedConfinement(folder / "sandbox", environ)
        if confinement.prove().level == "none":
            missing("no sandbox starts here")
        yield confinement


@dataclass
class Heard:
    """A job that keeps what it is told, in its order."""

    log: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    summary: list[str] = field(default_factory=list)
    outputs: dict[str, str] = field(default_factory=dict)

    def notice(self, message: str) -> None:
        self.log.append(message)

    def warning(self, message: str) -> None:
        self.warnings.append(message)

    def error(self, message: str) -> None:
        raise AssertionError(message)

    def set_output(self, name: str, value: str) -> None:
        self.outputs[name] = value

    def append_summary(self, markdown: str) -> None:
        self.summary.append(markdown)


PROPER_END = ProcessReport(
    exit_code=0,
    signal=None,
    duration_seconds=0.5,
    cpu_seconds=0.1,
    timed_out=False,
    output_flooded=False,
    output_bytes=0,
    output_truncated=False,
    stdout_tail=b"",
    killed_orphans=0,
    survivors=False,
    supervised=True,
    note="",
)


@dataclass
class Scripted:
    """A sandbox that starts nothing: what is asked of it is kept, and what comes of it is what the test says.

    Attributes:
        level: What is said to be proved.
        end: The report of each program, or what is raised instead.
        output: What each program prints.
    """

    level: Any = "enforced"
    end: ProcessReport | Exception = PROPER_END
    exceeded: str = ""
    output: bytes = b""
    refuses: Exception | None = None
    requests: list[SandboxRequest] = field(default_factory=list)

    def prove(self) -> Attempt:
        if self.refuses is not None:
            raise self.refuses
        return Attempt(backend="none" if self.level == "none" else "bubblewrap", level=self.level)

    def find_tools(self) -> Tools:
        return Tools({"PATH": SYSTEM_PATH}, ())

    def choose_relay_port(self) -> int:
        raise AssertionError("checks have no gateway")

    def run(
        self, request: SandboxRequest, *, limits: Any, write: Any, keep_going: Any = lambda: True
    ) -> ConfinedReport:
        self.requests.append(request)
        keep_going()
        write(self.output)
        if isinstance(self.end, Exception):
            raise self.end
        return ConfinedReport(process=self.end, exceeded=self.exceeded, limited_by="the test")


def build_ports(confinement: Any, *secrets: str, job: Heard | None = None) -> CheckPorts:
    """Return the outside world of checks, with a redactor that knows the secrets."""
    return CheckPorts(confinement, job or Heard(), Redactor.build(secrets))
