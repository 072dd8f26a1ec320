"""Run a command as the command line does, in this process."""

from typing import Any

import pytest
from click.testing import CliRunner, Result

from coven_action.cli.main import cli
from coven_action.errors import Error


def run(*arguments: object, **options: Any) -> Result:
    """Run `coven-action` with these arguments and return what it printed; an error of ours is raised as it is.

    Args:
        arguments: Each becomes text.
        options: As `CliRunner.invoke` takes them, `input` for example.
    """
    result = CliRunner().invoke(cli, [str(argument) for argument in arguments], **options)
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result


def fail(*arguments: object) -> Error:
    """Run a command that ends with an error of ours, and return it."""
    with pytest.raises(Error) as caught:
        run(*arguments)
    return caught.value
