"""The confinement of a stage: prove once which sandbox this machine has, then run programs in the one that was proved."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from coven_action.adapters.runtime_process import run_process
from coven_action.adapters.sandbox.machine import find_machine
from coven_action.adapters.sandbox.proving import find_sandbox
from coven_action.adapters.sandbox.running import run_confined
from coven_action.adapters.sandbox.sandbox import Sandbox, build_unconfined, choose_relay_port, sweep
from coven_action.adapters.sandbox.toolchains import find_tools
from coven_action.core.contract.process_output import ProcessLimits
from coven_action.core.contract.process_report import ConfinedReport, ProcessReport
from coven_action.core.sandbox.backends import choose_best
from coven_action.core.sandbox.probes import Attempt
from coven_action.core.sandbox.request import SandboxRequest
from coven_action.core.sandbox.toolchains import Tools
from coven_action.errors import EnvironmentFault

ENTERED: Final = 0o755


@dataclass(frozen=True, slots=True)
class _Proved:
    sandbox: Sandbox
    attempt: Attempt


class ProvedConfinement:
    """The strongest sandbox of this machine.

    Args:
        folder: Ours, for the sandbox's own files: not below anything that a confined program may write. Made where it is
            missing; what an interrupted run has left in it is removed.
        environ: The runner's environment: its files and folders must be out of reach.
    """

    def __init__(self, folder: Path, environ: Mapping[str, str]) -> None:
        self._folder = folder
        self._environ = environ
        self._proved: _Proved | None = None
        self._tools: Tools | None = None

    def prove(self) -> Attempt:
        """Try every escape, the first time it is asked, and return what is left.

        Raises:
            EnvironmentFault: `io-failed`: the folder cannot be written.
        """
        return self._prove().attempt

    def find_tools(self) -> Tools:
        """Return the machine's tools; the sandbox's own files are in none of their folders."""
        if self._tools is None:
            self._tools = find_tools(self._environ, self._prove().sandbox.machine, (self._folder,))
        return self._tools

    def choose_relay_port(self) -> int:
        """Return where on loopback inside the way to a gateway begins."""
        return choose_relay_port(self._prove().sandbox)

    def run(
        self,
        request: SandboxRequest,
        *,
        limits: ProcessLimits,
        write: Callable[[bytes], object],
        keep_going: Callable[[], bool] = lambda: True,
    ) -> ConfinedReport:
        """Run a program in the sandbox that was proved; unconfined where none was.

        Raises:
            RuntimeFault: It could not be started.
            EnvironmentFault: `io-failed`: the sandbox's files could not be written.
        """

        def run_watched(
            argv: tuple[str, ...],
            *,
            environment: Mapping[str, str],
            cwd: Path,
            limits: ProcessLimits,
            write: Callable[[bytes], object],
            within_bounds: Callable[[int], bool],
        ) -> ProcessReport:
            return run_process(
                argv,
                environment=environment,
                cwd=cwd,
                limits=limits,
                write=write,
                within_bounds=lambda process: keep_going() and within_bounds(process),
            )

        try:
            return run_confined(
                self._prove().sandbox, request, run=run_watched, base=self._folder, limits=limits, write=write
            )
        except OSError as error:
            raise _explain(error) from error

    def _prove(self) -> _Proved:
        if self._proved is None:
            try:
                self._folder.mkdir(parents=True, exist_ok=True)
                self._folder.chmod(ENTERED)
                sweep(self._folder)
                sandbox, attempts = find_sandbox(run_process, self._folder, self._environ)
            except OSError as error:
                raise _explain(error) from error
            best = choose_best(attempts)
            if sandbox is None or best.level == "none":
                # What was started and held too little is not what the evidence should call a sandbox.
                sandbox = build_unconfined(find_machine())
            self._proved = _Proved(sandbox, best)
        return self._proved


def _explain(error: OSError) -> EnvironmentFault:
    return EnvironmentFault("io-failed", f"The sandbox's files could not be written: {error.strerror}.")
