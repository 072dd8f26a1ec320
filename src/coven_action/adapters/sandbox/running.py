"""Runs one program in a sandbox, within all its bounds, and says how it ended."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Protocol

from coven_action.adapters.sandbox.limits import limit_tree
from coven_action.adapters.sandbox.sandbox import Sandbox
from coven_action.core.contract.process_output import ProcessLimits
from coven_action.core.contract.process_report import ConfinedReport, ProcessReport
from coven_action.core.sandbox.request import SandboxRequest


class RunProcess(Protocol):
    """Runs a program to its end and leaves nothing of it; `runtime_process.run_process`."""

    def __call__(
        self,
        argv: tuple[str, ...],
        *,
        environment: Mapping[str, str],
        cwd: Path,
        limits: ProcessLimits,
        write: Callable[[bytes], object],
        within_bounds: Callable[[int], bool],
    ) -> ProcessReport:
        """Run it."""
        ...


def run_confined(
    sandbox: Sandbox,
    request: SandboxRequest,
    *,
    run: RunProcess,
    base: Path,
    limits: ProcessLimits,
    write: Callable[[bytes], object],
) -> ConfinedReport:
    """Run a program in a sandbox to its end; nothing of it is left afterwards.

    Args:
        sandbox: How to confine.
        request: What to run.
        run: Starts it, keeps time and output within `limits`, and ends the whole tree.
        base: A folder of ours, for the sandbox's own files; not below anything the program can write.
        limits: Wall clock and output.
        write: Where its output goes, in whole lines.

    Raises:
        OSError: The sandbox's files could not be written.
        RuntimeFault: The sandbox's program could not be started.
    """
    with (
        sandbox.confine(request, base) as confined,
        limit_tree(confined.argv, request.limits, Path(request.folder)) as tree,
    ):
        report = run(
            tree.argv,
            environment=confined.environment,
            cwd=confined.cwd,
            limits=limits,
            write=write,
            within_bounds=tree.is_within_bounds,
        )
    return ConfinedReport(process=report, exceeded=tree.exceeded, limited_by=tree.limited_by)
