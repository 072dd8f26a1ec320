"""`coven-action probe`: which isolation this machine reaches, proved by trying every escape."""

import json
import os
import sys
import tempfile
from pathlib import Path

import click

from coven_action.core.isolation import LEVELS, check_level
from coven_action.core.sandbox.backends import choose_best
from coven_action.core.sandbox.rendering import describe_report, render_report


@click.command(name="probe")
@click.option("--json", "as_json", is_flag=True, help="Print the report as JSON, for programs.")
@click.option(
    "--level", type=click.Choice(LEVELS), default="enforced", show_default=True, help="Exit with 1 below this level."
)
def command(*, as_json: bool, level: str) -> None:
    """Say which isolation this machine reaches.

    Builds each sandbox that can be built here, the most isolating first, starts a program in it that tries to get out,
    and prints what came of each attempt: `held`, `escaped` or `not tried`, which counts as an escape. It stops at the
    first sandbox that holds everything. Nothing is read where the program gets through, and nothing is left behind.

    \b
    Example, as a step of a workflow:
      - run: coven-action probe --level enforced
    """  # noqa: D301 - the backslash is click's mark for lines that stay as they are
    # Only who probes pays for looking at the machine.
    from coven_action.adapters.runtime_process import run_process  # noqa: PLC0415
    from coven_action.adapters.sandbox.proving import find_sandbox  # noqa: PLC0415

    with tempfile.TemporaryDirectory(prefix="coven-", dir=os.environ.get("RUNNER_TEMP") or None) as folder:
        Path(folder).chmod(0o755)
        _, attempts = find_sandbox(run_process, Path(folder), os.environ)
    chosen = choose_best(attempts)
    document = describe_report(chosen, attempts)
    click.echo(json.dumps(document, indent=2) if as_json else render_report(chosen, attempts))
    sys.exit(0 if check_level(chosen.level, level) else 1)
