"""Measures what a sandbox adds to the start of a program, and what it costs to prove one.

Usage: make bench NAME=sandbox [ARGS=RUNS]
Medians and minima of RUNS (default 30) after one warm-up; the kinds take turns, so that what else the machine does falls
on all alike; CPU time tells what a quiet machine would show. `+` is what is added to the same program started plainly by
the same runner. No figure is printed for a sandbox
whose program did not end well, or that is not proved to be at least `partial`.
"""

import argparse
import os
import platform
import resource
import statistics
import subprocess
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from coven_action.adapters.runtime_process import run_process
from coven_action.adapters.sandbox.machine import find_machine
from coven_action.adapters.sandbox.proving import prove
from coven_action.adapters.sandbox.running import run_confined
from coven_action.adapters.sandbox.sandbox import Sandbox, build_unconfined, choose_relay_port, list_sandboxes
from coven_action.core.contract.process_output import ProcessLimits
from coven_action.core.sandbox.request import SandboxRequest

PROGRAM = "/bin/true"
LIMITS = ProcessLimits(seconds=60)
PLAIN = "plain"
PROOFS = 5


def start_plainly(base: Path) -> None:
    report = run_process([PROGRAM], environment={}, cwd=base, limits=LIMITS, write=len)
    assert report.exit_code == 0


def start_confined(sandbox: Sandbox, base: Path, gateway: str) -> None:
    """Start the program with what every run has, the socket that leads out included."""
    folder = base / "workspace"
    folder.mkdir(exist_ok=True)
    request = SandboxRequest(
        argv=(PROGRAM,), environment={}, folder=str(folder), gateway=gateway, relay_port=choose_relay_port(sandbox)
    )
    ended = run_confined(sandbox, request, run=run_process, base=base, limits=LIMITS, write=len)
    assert ended.process.exit_code == 0, ended


def measure(action: Callable[[], object]) -> tuple[float, float]:
    """Return milliseconds of wall clock, and of CPU time of this process and everything it started."""
    started, used = time.perf_counter(), _cpu()
    action()
    return 1000 * (time.perf_counter() - started), 1000 * (_cpu() - used)


def _cpu() -> float:
    usages = (resource.getrusage(resource.RUSAGE_SELF), resource.getrusage(resource.RUSAGE_CHILDREN))
    return sum(usage.ru_utime + usage.ru_stime for usage in usages)


def main() -> None:
    """Print both tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("runs", type=int, nargs="?", default=30, help="starts of each kind (%(default)s)")
    runs = parser.parse_args().runs
    with tempfile.TemporaryDirectory() as name:
        base = Path(name)
        base.chmod(0o755)
        sandboxes = {sandbox.backend: sandbox for sandbox in reversed(list_sandboxes(find_machine()))}
        levels = {backend: prove(sandbox, run_process, base, {}).level for backend, sandbox in sandboxes.items()}
        proved = {backend: sandbox for backend, sandbox in sandboxes.items() if levels[backend] != "none"}
        unconfined = build_unconfined(find_machine())
        actions: dict[str, Callable[[], object]] = {PLAIN: lambda: start_plainly(base)}
        actions["none"] = lambda: start_confined(unconfined, base, "")
        for backend, sandbox in proved.items():
            actions[backend] = lambda sandbox=sandbox: start_confined(sandbox, base, "")
            actions[f"{backend}, with relay"] = lambda sandbox=sandbox: start_confined(
                sandbox, base, str(base / "gateway")
            )
        (base / "gateway").touch()
        samples: dict[str, list[tuple[float, float]]] = {name: [] for name in actions}
        for turn in range(runs + 1):
            for kind, action in actions.items():
                taken = measure(action)
                if turn:
                    samples[kind].append(taken)
        proofs = {
            backend: [measure(lambda sandbox=sandbox: prove(sandbox, run_process, base, {})) for _ in range(PROOFS)]
            for backend, sandbox in proved.items()
        }
    print(f"{platform.platform()}, Python {platform.python_version()}, {os.cpu_count()} cores, {runs} runs")
    print(f"load average {os.getloadavg()[0]:.1f}; {describe_bubblewrap(proved)}; user {os.geteuid()}")
    print(
        f"{'start of a program':32}{'median ms':>10}{'min ms':>8}{'CPU ms':>8}{'+median':>9}{'+min':>7}{'+CPU':>7}  level"
    )
    plain = summarise(samples[PLAIN])
    for kind, taken in samples.items():
        figures = summarise(taken)
        added = [own - base for own, base in zip(figures, plain, strict=True)]
        level = levels.get(kind.partition(",")[0], "")
        print(
            f"{kind:32}{figures[0]:10.1f}{figures[1]:8.1f}{figures[2]:8.1f}"
            f"{added[0]:9.1f}{added[1]:7.1f}{added[2]:7.1f}  {level}"
        )
    print(f"{'trying every escape':32}{'median ms':>10}{'min ms':>8}{'CPU ms':>8}")
    for backend, taken in proofs.items():
        figures = summarise(taken)
        print(f"{backend:32}{figures[0]:10.1f}{figures[1]:8.1f}{figures[2]:8.1f}")


def summarise(taken: list[tuple[float, float]]) -> tuple[float, float, float]:
    """Return median and minimum of the wall clock, and the median of CPU time."""
    wall = [pair[0] for pair in taken]
    return statistics.median(wall), min(wall), statistics.median(pair[1] for pair in taken)


def describe_bubblewrap(sandboxes: dict[str, Sandbox]) -> str:
    program = next((sandbox.program for sandbox in sandboxes.values() if sandbox.program), "")
    if not program:
        return "no bubblewrap"
    return subprocess.run([program, "--version"], capture_output=True, text=True, check=True).stdout.strip()


if __name__ == "__main__":
    main()
