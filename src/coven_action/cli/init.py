"""`coven-action init`: write the configuration and a workflow into a repository, and say what is left to do."""

import re
import sys
from pathlib import Path
from typing import Any, Final

import click
from pydantic_core import PydanticCustomError

from coven_action.adapters.repository_files import RepositoryFiles, find_repository
from coven_action.cli.workflow_templates import load_template
from coven_action.core.configuration.document import DEFAULT_PATH, DISPLAY_NAME, FAMILIAR_ID, MODEL
from coven_action.core.configuration.parsing import parse_config
from coven_action.core.configuration.value_types import WrittenValue
from coven_action.core.patches.file_difference import render_difference
from coven_action.core.workflows.check import PLACEHOLDER
from coven_action.core.workflows.quickstart import (
    TEMPLATES,
    Answers,
    choose_template,
    find_pin,
    render_config,
    render_next_steps,
    render_workflow,
)
from coven_action.errors import EnvironmentFault

WORKFLOW_PATH: Final = ".github/workflows/coven.yml"
DEFAULT_FAMILIAR: Final = "cody"
RUNTIMES: Final = ("patch", "coven-code")


@click.command(name="init")
@click.argument("directory", type=click.Path(exists=True, file_okay=False, path_type=Path), default=".")
@click.option("--familiar", metavar="ID", help=f"The familiar's id, as in `/ID fix`.  [{DEFAULT_FAMILIAR}]")
@click.option("--display-name", metavar="NAME", help="Its name for people.  [the id, capitalised]")
@click.option(
    "--runtime",
    type=click.Choice(RUNTIMES),
    help="patch applies the diff found in an issue, without model and secret; coven-code asks a model.  [patch]",
)
@click.option("--model", metavar="PROVIDER/NAME", help="The model of coven-code, such as anthropic/claude-sonnet-4-6.")
@click.option(
    "--template",
    type=click.Choice(TEMPLATES),
    help="quickstart runs every stage in one job; isolated gives each a job of its own, as an endpoint demands; self-hosted "
    "is isolated on runners of yours.  "
    "[quickstart; isolated where the configuration names an endpoint]",
)
@click.option("--action-ref", metavar="SHA", help="The commit of the action, 40 hexadecimal digits.  [the release's]")
@click.option("--yes", is_flag=True, help="Ask nothing; what is not given has its default.")
@click.option("--force", is_flag=True, help="Write over files that say something else.")
@click.option("--dry-run", is_flag=True, help="Show what would be written, and write nothing.")
def command(
    *,
    directory: Path,
    familiar: str | None,
    display_name: str | None,
    runtime: str | None,
    model: str | None,
    template: str | None,
    action_ref: str | None,
    yes: bool,
    force: bool,
    dry_run: bool,
) -> None:
    """Write .github/coven.yml and .github/workflows/coven.yml into a repository.

    On a terminal it asks what is not given. A file that exists is never written over silently: where it says something
    else, the difference is shown and nothing is written. A configuration that exists is kept, unless you give answers.

    \b
    Example, the familiar that needs no model and no secret:
      coven-action init --runtime patch --action-ref SHA
    Example, everything given:
      coven-action init ~/src/billing --template isolated --familiar cody --runtime coven-code \\
        --model anthropic/claude-sonnet-4-6 --action-ref SHA --yes
    """  # noqa: D301 - the backslash is click's mark for lines that stay as they are
    files = find_repository(directory)
    if files is None:
        raise EnvironmentFault("no-repository", f"{directory} is in no git repository.")
    asks = not yes and is_terminal()
    existing = _find_text(files, DEFAULT_PATH)
    given: dict[str, str | None] = {
        "familiar": familiar,
        "display_name": display_name,
        "runtime": runtime,
        "model": model,
    }
    if existing is not None and not any(given.values()):
        config_text = existing
        click.echo(f"{DEFAULT_PATH} exists and is kept.")
    else:
        config_text = render_config(_complete(given, asks=asks))
    config = parse_config(config_text)
    chosen = choose_template(template, config)
    if chosen is None:
        raise click.UsageError(
            f"--template {template} runs every stage in one job, and {DEFAULT_PATH} names an endpoint: take isolated."
        )
    text = load_template(f"{chosen}.yml")
    ref = _decide_ref(action_ref, text, asks=asks)
    wanted = {DEFAULT_PATH: config_text, WORKFLOW_PATH: render_workflow(text, config, action_ref=ref)}
    _write(files, wanted, force=force, dry_run=dry_run)
    if not dry_run:
        click.echo(f"\nNext:\n{render_next_steps(config)}\n\n`coven-action check` looks over both files at any time.")


def is_terminal() -> bool:
    """Return whether there is a person to ask."""
    return sys.stdin.isatty() and sys.stdout.isatty()


def _complete(given: dict[str, str | None], *, asks: bool) -> Answers:
    """Return the answers: as given, else as asked, else the defaults."""
    familiar = given["familiar"] or _ask("Familiar's id", FAMILIAR_ID, DEFAULT_FAMILIAR, asks=asks)
    # A model alone says which runtime is meant.
    runtime = given["runtime"] or ("coven-code" if given["model"] else None)
    if runtime is None and asks:
        click.echo("patch applies the diff in an issue, with no model and no secret; coven-code asks a model.")
        runtime = click.prompt("Runtime", type=click.Choice(RUNTIMES), default=RUNTIMES[0])
    runtime = runtime or RUNTIMES[0]
    model = given["model"]
    if runtime == "patch" and model:
        raise click.UsageError("--model has no meaning with --runtime patch, which asks no model.")
    if runtime == "coven-code" and not model:
        if not asks:
            raise click.UsageError("--runtime coven-code needs --model, such as anthropic/claude-sonnet-4-6.")
        model = _ask("Model, as provider/name (such as anthropic/claude-sonnet-4-6)", MODEL, None, asks=True)
    name = given["display_name"]
    if name is None and asks:
        name = _ask("Its name for people", DISPLAY_NAME, familiar.capitalize(), asks=True)
    return Answers.model_validate(
        {
            "familiar": familiar,
            "display_name": None if name == familiar.capitalize() else name,
            "runtime": runtime,
            "model": model,
        }
    )


def _ask(question: str, kind: WrittenValue, default: str | None, *, asks: bool) -> str:
    """Return an answer that the configuration accepts; without a person to ask, the default."""

    def read(text: str) -> str:
        try:
            return str(kind.parse(text))
        except PydanticCustomError as error:
            context: dict[str, Any] = error.context or {}
            raise click.UsageError(f"it {context.get('sentence', 'is not possible here')}") from error

    if not asks:
        return default or ""
    answer: str = click.prompt(question, default=default, value_proc=read)
    return answer


def _decide_ref(action_ref: str | None, template: str, *, asks: bool) -> str | None:
    """Return the commit to pin, None for the template's own."""
    if action_ref is None and find_pin(template) is None:
        if not asks:
            raise EnvironmentFault("action-ref-needed", "This version is not released: the workflow needs a commit.")
        click.echo("This version is not released yet, so the workflow needs a commit of the action. The newest one:")
        click.echo("  git ls-remote https://github.com/OpenCoven/coven-action HEAD")
        action_ref = click.prompt("Commit, 40 hexadecimal digits", value_proc=_check_ref)
    return None if action_ref is None else _check_ref(action_ref)


def _check_ref(text: str) -> str:
    if not re.fullmatch(r"[0-9a-f]{40}", text) or text == PLACEHOLDER:
        raise click.UsageError(
            "--action-ref is a commit's full name, 40 lower-case hexadecimal digits; a tag or branch can be moved."
        )
    return text


def _find_text(files: RepositoryFiles, path: str) -> str | None:
    data = files.find(path)
    return None if data is None else data.decode("utf-8", "surrogateescape")


def _write(files: RepositoryFiles, wanted: dict[str, str], *, force: bool, dry_run: bool) -> None:
    """Write what is new; show what differs, and write it only when that was demanded."""
    existing = {path: _find_text(files, path) for path in wanted}
    changed = {path: text for path, text in wanted.items() if existing[path] != text}
    differing = [path for path in changed if existing[path] is not None]
    for path in differing:
        click.echo(render_difference(existing[path] or "", wanted[path], path=path))
    if differing and not force:
        names = " and ".join(differing)
        raise EnvironmentFault("file-differs", f"{names} would be changed as shown; nothing was written.")
    for path, text in wanted.items():
        if path not in changed:
            click.echo(f"unchanged  {path}")
        elif dry_run:
            click.echo(f"would write {path}:\n{text}")
    if not dry_run:
        files.write({path: text.encode() for path, text in changed.items()})
        for path in changed:
            click.echo(f"{'replaced' if path in differing else 'written':<10} {path}")
