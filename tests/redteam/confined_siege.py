"""An attack through the whole action with the agent where it really works: a process in this machine's strongest sandbox."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import Any

from coven_action.adapters.sandbox.confinement import ProvedConfinement
from coven_action.adapters.sandbox.machine import find_machine
from coven_action.core.contract.process_output import ProcessLimits
from coven_action.core.contract.process_report import ConfinedReport
from coven_action.core.sandbox.request import SandboxRequest
from tests.redteam.siege import AGENT, AttackedRun, Siege, write_configuration
from tests.sandboxes import missing
from tests.scenario import Event, run_process


class BoundedConfinement(ProvedConfinement):
    """A sandbox with bounds that a test can reach.

    Args:
        folder: As `ProvedConfinement` takes it.
        environ: Likewise.
        tree: Changes of `SandboxLimits`.
        process: Changes of `ProcessLimits`.
    """

    def __init__(
        self, folder: Path, environ: Mapping[str, str], *, tree: Mapping[str, Any], process: Mapping[str, Any]
    ) -> None:
        super().__init__(folder, environ)
        self._tree_bounds = dict(tree)
        self._process_bounds = dict(process)

    def run(
        self,
        request: SandboxRequest,
        *,
        limits: ProcessLimits,
        write: Callable[[bytes], object],
        keep_going: Callable[[], bool] = lambda: True,
    ) -> ConfinedReport:
        return super().run(
            replace(request, limits=replace(request.limits, **self._tree_bounds)),
            limits=replace(limits, **self._process_bounds),
            write=write,
            keep_going=keep_going,
        )


class ConfinedSiege(Siege):
    """A repository to attack from inside the sandbox; skips where this machine has none that encloses the network.

    The sandbox is proved for every run, as in the action, and what `verify` starts works in it as well.

    Args:
        folder: A folder that every user may enter, as `open_base` gives it.
        monkeypatch: For what an attack does to its surroundings.
    """

    def __init__(self, folder: Path, monkeypatch: Any) -> None:
        super().__init__(folder, monkeypatch)
        self.tree: dict[str, Any] = {}
        self.process: dict[str, Any] = {}

    def bind(self, **bounds: Any) -> None:
        """Set bounds of the processes that runs start from now on, by the names of `ProcessLimits` and `SandboxLimits`."""
        for name, value in bounds.items():
            (self.process if name in ProcessLimits.__dataclass_fields__ else self.tree)[name] = value

    @cached_property
    def configuration(self) -> str:
        """The agent is a file of its own, which the sandbox is given because the command names it."""
        agent = self.folder / "agent.py"
        agent.write_bytes(AGENT.read_bytes())
        agent.chmod(0o644)
        return write_configuration(find_machine().python, "-I", "-S", str(agent))

    def start(self, event: Event, **facts: Any) -> AttackedRun:
        run = super().start(event, **{"isolation": "enforced", "runtime": run_process, **facts})
        self.confine(run, run.documents)
        return run

    def confine(self, run: AttackedRun, documents: Path) -> None:
        """Let a run keep its documents in a folder, and start what it starts in the sandbox."""
        documents.mkdir(mode=0o711)
        run.documents = documents
        environ = {"PATH": "/usr/bin:/bin", "HOME": str(self.folder), "RUNNER_TEMP": str(run.job)}
        run.confinement = BoundedConfinement(documents / "sandbox", environ, tree=self.tree, process=self.process)
        if run.confinement.prove().level != "enforced":
            missing("no sandbox here encloses the network")
