"""Measures wall and CPU time of each stage, as processes, and the GitHub requests of the ordinary issue task.

Usage: make bench NAME=stages [ARGS=RUNS]
Medians of RUNS (default 5) after one warm-up, against the local GitHub, with the patch runtime. CPU is user and system time
of the stage's process and of everything it starts. No figure is printed when a task did not end with a pull request.
"""

import argparse
import os
import platform
import resource
import statistics
import sys
import tempfile
import time
from pathlib import Path

from coven_action.cli.stage import start_stage
from coven_action.core.records import sha256_hex
from coven_action.core.stage_environment import FOLDER, OUTCOME_SHA256, PLAN_SHA256
from coven_action.stages.documents import OUTCOME_DOCUMENT, PLAN_DOCUMENT
from tests.scenario import PATCH, Scene
from tests.seeded_github import SeededGitHub

STAGES = ("plan", "run", "publish")


def measure(run_id: int) -> dict[str, tuple[float, float, int]]:
    """Run one task on a new local GitHub and return wall seconds, CPU seconds and requests of each stage."""
    figures = {}
    with tempfile.TemporaryDirectory() as folder, SeededGitHub(Path(folder) / "github") as github:
        scene = Scene(github, Path(folder))
        issue = scene.open_issue(body=PATCH)
        job = Path(folder) / "job"
        environment = scene.build_environment(scene.label(issue), job, run_id=run_id)
        checkout = scene.clone_checkout(job / "checkout")
        documents = job / "documents"
        digests = {FOLDER: str(documents)}
        for stage in STAGES:
            arguments = ("--checkout", str(checkout)) if stage == "run" else ()
            asked, before, started = len(github.requests), _cpu(), time.perf_counter()
            code = start_stage(stage, environment, digests, *arguments, quiet=True)
            figures[stage] = (time.perf_counter() - started, _cpu() - before, len(github.requests) - asked)
            if code:
                sys.exit(f"{stage} ended with {code}; no figures")
            for name, document in ((PLAN_SHA256, PLAN_DOCUMENT), (OUTCOME_SHA256, OUTCOME_DOCUMENT)):
                if (documents / document).exists():
                    digests[name] = sha256_hex((documents / document).read_bytes())
        if len(scene.pull_requests) != 1 or len(scene.check_runs) != 1:
            sys.exit("the task did not end with one pull request and one Check Run; no figures")
    return figures


def _cpu() -> float:
    # Children only: the local GitHub runs in this process and starts git in children that it waits for. Its git counts
    # into a stage's figure, so the figure is an upper bound.
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("runs", type=int, nargs="?", default=5, help="tasks, after one to warm up (%(default)s)")
    runs = parser.parse_args().runs
    samples = [measure(100 + number) for number in range(runs + 1)][1:]
    print(f"{platform.platform()}, Python {platform.python_version()}, {os.cpu_count()} cores, medians of {runs} runs")
    print(f"{'stage':10}{'wall s':>8}{'CPU s':>8}{'requests':>10}")
    for stage in STAGES:
        wall, cpu, requests = (statistics.median(sample[stage][part] for sample in samples) for part in range(3))
        print(f"{stage:10}{wall:8.2f}{cpu:8.2f}{requests:10.0f}")


if __name__ == "__main__":
    main()
