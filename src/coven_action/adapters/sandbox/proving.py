"""Proves what a sandbox holds: a program tries every escape inside, before anything else is started there."""

import shutil
import tempfile
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Final

from pydantic import TypeAdapter, ValidationError

from coven_action.adapters.sandbox.machine import find_machine, find_sudo
from coven_action.adapters.sandbox.outside import Outside
from coven_action.adapters.sandbox.running import RunProcess, run_confined
from coven_action.adapters.sandbox.sandbox import (
    ENTERED,
    PROOF_PREFIX,
    READABLE,
    Sandbox,
    find_free_port,
    list_sandboxes,
)
from coven_action.core.contract.process_output import ProcessLimits
from coven_action.core.contract.process_report import ProcessReport
from coven_action.core.sandbox.backends import BACKENDS, choose_best, find_obstacle
from coven_action.core.sandbox.probes import Attempt, ProbeResult, build_attempt
from coven_action.core.sandbox.request import Bind, Machine, SandboxRequest
from coven_action.errors import RuntimeFault

LIMITS: Final = ProcessLimits(seconds=60, grace_seconds=0.0)
PATH: Final = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
REASON_CHARACTERS: Final = 300
RESULTS: Final = TypeAdapter(tuple[ProbeResult, ...])


def find_sandbox(run: RunProcess, base: Path, environ: Mapping[str, str]) -> tuple[Sandbox | None, tuple[Attempt, ...]]:
    """Try the ways of confining, the most isolating first, until one is proved to be `enforced`.

    Args:
        run: Runs programs.
        base: A folder of ours for what is laid and told; removed again.
        environ: The runner's environment: its files and folders must be out of reach.

    Returns:
        The sandbox with the highest level, None where nothing was proved; and everything that was tried, in order.
    """
    return try_sandboxes(find_machine(), run, base, environ)


def try_sandboxes(
    machine: Machine, run: RunProcess, base: Path, environ: Mapping[str, str]
) -> tuple[Sandbox | None, tuple[Attempt, ...]]:
    """Try what a machine has; `sudo` is asked only when nothing that needs no privilege is `enforced`."""
    tried: list[tuple[Sandbox | None, Attempt]] = []
    for backend in BACKENDS:
        if backend == "none" or any(attempt.level == "enforced" for _, attempt in tried):
            break
        if backend == "root-bubblewrap" and machine.sudo is None and machine.bubblewrap:
            machine = replace(machine, sudo=find_sudo())
        if obstacle := find_obstacle(backend, machine):
            tried.append((None, Attempt(backend=backend, level="none", reason=obstacle)))
        for sandbox in list_sandboxes(machine):
            if sandbox.backend == backend and not any(attempt.level == "enforced" for _, attempt in tried):
                tried.append((sandbox, prove(sandbox, run, base, environ)))
    attempts = tuple(attempt for _, attempt in tried)
    best = choose_best(attempts)
    return next((sandbox for sandbox, attempt in tried if attempt is best), None), attempts


def prove(sandbox: Sandbox, run: RunProcess, base: Path, environ: Mapping[str, str]) -> Attempt:
    """Try every escape from one sandbox.

    Args:
        sandbox: What to prove.
        run: Runs programs.
        base: A folder of ours.
        environ: The runner's environment.
    """
    with tempfile.TemporaryDirectory(prefix=PROOF_PREFIX, dir=base, ignore_cleanup_errors=True) as top:
        folder, workspace, told = (Path(top) / name for name in ("outside", "workspace", "told"))
        for path in (folder, workspace, told):
            path.mkdir()
        # Whatever the umask here: what a mode keeps from the program is not held by the sandbox.
        for path in (Path(top), folder, workspace, told):
            path.chmod(ENTERED)
        with Outside(folder=folder, workspace=workspace, environ=environ, port=find_free_port()) as outside:
            world = told / "world.json"
            given = {"PATH": PATH, "HOME": str(workspace)}
            world.write_text(outside.describe(given, world), encoding="utf-8")
            # Beside what it is told: its own place may be closed to whom root becomes.
            probe = shutil.copyfile(f"{sandbox.machine.programs}/probe.py", told / "probe.py")
            for path in (world, probe):
                path.chmod(READABLE)
            request = SandboxRequest(
                argv=(sandbox.machine.python, "-I", "-S", str(probe), str(world)),
                environment=given,
                folder=str(workspace),
                binds=(Bind(str(world)), Bind(str(probe))),
                gateway=outside.gateway,
                relay_port=outside.port,
            )
            output = bytearray()
            try:
                ended = run_confined(sandbox, request, run=run, base=told, limits=LIMITS, write=output.extend)
            except (OSError, RuntimeFault) as error:
                return _not_started(sandbox, str(error))
            report = ended.process
            results = parse_results(report.stdout_tail)
            if results is None:
                return _not_started(sandbox, _explain(report, bytes(output)))
            seen = [*results, *outside.look()]
            if report.survivors:
                seen.append(ProbeResult(probe="survival", outcome="escaped", detail="a process could not be ended"))
            return build_attempt(sandbox.backend, sandbox.program, seen)


def parse_results(text: bytes) -> tuple[ProbeResult, ...] | None:
    """Return what the probe said; None where it did not come to say anything that can be read."""
    try:
        return RESULTS.validate_json(text)
    except ValidationError:
        return None


def _not_started(sandbox: Sandbox, reason: str) -> Attempt:
    return Attempt(backend=sandbox.backend, program=sandbox.program, level="none", reason=reason[:REASON_CHARACTERS])


def _explain(report: ProcessReport, output: bytes) -> str:
    lines = output.decode("utf-8", "replace").split("\n")
    said = next((line.strip() for line in reversed(lines) if line.strip()), "no word")
    return f"it ended with {report.exit_code} and said: {said}"
