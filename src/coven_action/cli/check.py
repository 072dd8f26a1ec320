"""`coven-action check`: everything that is wrong with a repository's configuration and workflows, before anything runs."""

import sys
from pathlib import Path
from typing import Final

import click

from coven_action.adapters.repository_files import RepositoryFiles, find_repository
from coven_action.core.configuration.config import Config
from coven_action.core.configuration.document import DEFAULT_PATH
from coven_action.core.configuration.mistakes import render_mistakes
from coven_action.core.configuration.parsing import find_mistakes, parse_config
from coven_action.core.workflows.check import check_workflows
from coven_action.core.workflows.findings import WorkflowFinding, render_count, render_finding
from coven_action.core.workflows.reading import WorkflowText, read_workflow
from coven_action.core.workflows.uses import find_uses
from coven_action.error_codes import CODES

WORKFLOWS: Final = ".github/workflows"


@click.command(name="check")
@click.argument("directory", type=click.Path(exists=True, file_okay=False, path_type=Path), default=".")
def command(directory: Path) -> None:
    """Validate .github/coven.yml and the workflows that use the action.

    Every mistake is told at once, with file, line and column, and what to write instead. Looked at in a workflow: pins,
    permissions, checkout, concurrency, triggers, whether each label of the routing can pass the job's condition, time
    limits, isolation, where the model key comes from. Nothing is run and nothing leaves the machine.

    Exit code 1 when there is an error; warnings alone end with 0.

    \b
    Example, in a workflow of the repository or before a commit:
      coven-action check
    """  # noqa: D301 - the backslash is click's mark for lines that stay as they are
    files = find_repository(directory) or RepositoryFiles(directory.resolve())
    config, errors = _check_config(files)
    own = _is_own_repository(files)
    workflows = [
        read_workflow(_decode(files.find(path) or b""), path=path)
        for path in files.list_files(WORKFLOWS, (".yml", ".yaml"))
    ]
    findings = check_workflows(workflows, config, own=own)
    for finding in findings:
        click.echo(render_finding(finding))
    errors += sum(finding.severity == "error" for finding in findings)
    warnings = sum(finding.severity == "warning" for finding in findings)
    warnings += _say_what_was_read(files, workflows, findings, own=own)
    click.echo(render_count(errors, warnings))
    sys.exit(1 if errors else 0)


def _check_config(files: RepositoryFiles) -> tuple[Config | None, int]:
    """Print the mistakes of the configuration; return it where it has none, and how many there are."""
    data = files.find(DEFAULT_PATH)
    if data is None:
        click.echo(f"{DEFAULT_PATH}: error[missing-config]: The file does not exist.\n  Run `coven-action init`.")
        return None, 1
    text = _decode(data)
    mistakes = find_mistakes(text)
    if not mistakes:
        return parse_config(text), 0
    # The closing line counts this file alone; ours counts everything.
    click.echo(render_mistakes(mistakes, path=DEFAULT_PATH).rpartition("\n")[0])
    return None, len(mistakes)


def _say_what_was_read(
    files: RepositoryFiles, workflows: list[WorkflowText], findings: tuple[WorkflowFinding, ...], *, own: bool
) -> int:
    """Say which workflows use the action; return 1 where none does and no broken one may, which is worth a warning."""
    configs = () if files.find(DEFAULT_PATH) is None else (DEFAULT_PATH,)
    using = [workflow.path for workflow in workflows if find_uses(workflow, own=own)]
    if using:
        click.echo(f"Read: {', '.join((*configs, *using))}.")
    elif not findings:
        code = CODES["workflow-missing"]
        click.echo(f"{WORKFLOWS}: warning[workflow-missing]: {code.meaning}\n  {code.remedy}")
        return 1
    return 0


def _is_own_repository(files: RepositoryFiles) -> bool:
    """Return whether `uses: ./` means this action: the repository's own action.yml says so."""
    return b"\nname: Coven Action\n" in b"\n" + (files.find("action.yml") or b"")


def _decode(data: bytes) -> str:
    # What is no UTF-8 becomes a character that the readers refuse, with its place.
    return data.decode("utf-8", "surrogateescape")
