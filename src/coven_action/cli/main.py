"""The command line. Each command is one file, imported only when it is called: `stage plan` must not pay for the demo."""

import importlib
import sys
from typing import Final

import click

from coven_action import __version__
from coven_action.cli.boundary import INTERRUPTED, error_boundary

# Command, its module below this package, and its line in the help.
COMMANDS: Final = {
    "init": "write .github/coven.yml and the workflow into a repository",
    "check": "validate a repository's configuration and workflows",
    "memory": "keep what familiars remember of a repository",
    "demo": "watch a labelled issue become a draft pull request, on this machine",
    "serve": "run the endpoint that keeps memory and history",
    "enrol": "let an account and its repositories report to the endpoint",
    "admin": "work on the endpoint's database as its operator",
    "audit": "check an export of the endpoint without the endpoint",
    "migrate": "make the endpoint's database, or bring it to this version",
    "migrate-store": "move the endpoint's accounts from a file to PostgreSQL, or back",
    "backup": "copy the endpoint's database while it is served, and check the copy",
    "restore": "check such a copy, and put it in the place of the database",
    "stage": "run a stage of the action (what a workflow calls)",
    "doctor": "say what is missing here, and how to mend it",
    "probe": "say which isolation this machine reaches, by trying to get out of it",
}


class _LazyGroup(click.Group):
    def list_commands(self, ctx: click.Context) -> list[str]:
        del ctx
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        del ctx
        if cmd_name not in COMMANDS:
            return None
        module = f"coven_action.cli.{cmd_name.replace('-', '_')}"
        command = importlib.import_module(module).command
        if not isinstance(command, click.Command):
            raise TypeError(f"{module} has no command")
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        del ctx
        with formatter.section("Commands"):
            formatter.write_dl(list(COMMANDS.items()))


@click.group(cls=_LazyGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="coven-action")
def cli() -> None:
    """A coding familiar for GitHub Actions: label an issue, get a draft pull request whose evidence was produced by code.

    Begin with `coven-action demo` to see it, `coven-action init` to use it.
    """


def main() -> None:
    """Run the command line and end the process with its exit code."""
    with error_boundary():
        try:
            code = cli.main(prog_name="coven-action", standalone_mode=False)
        except click.exceptions.Exit as leaving:
            code = leaving.exit_code
        except click.ClickException as error:
            error.show()
            code = error.exit_code
        except click.Abort:
            click.echo("interrupted", err=True)
            code = INTERRUPTED
        sys.exit(code if isinstance(code, int) else 0)
