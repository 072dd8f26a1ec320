"""The one error boundary: whatever happens below ends here as a message, redacted, and an exit code.

0 done or politely declined · 1 an expected error · 2 wrong usage · 3 a bug, with a report to paste · 130 interrupted.
"""

import errno
import os
import platform
import sys
import traceback
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Final

import click

from coven_action import __version__
from coven_action.core.redaction.redactor import Redactor
from coven_action.core.sanitising.sanitiser import quote_for_log
from coven_action.core.stage_environment import SECRETS
from coven_action.errors import Error

EXPECTED: Final = 1
BUG: Final = 3
INTERRUPTED: Final = 130
# What a disk can do to any program: nothing of it is a bug of ours.
DISK: Final = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO, errno.EROFS})
NEW_ISSUE: Final = "https://github.com/OpenCoven/coven-action/issues/new"


def build_redactor(environment: Mapping[str, str]) -> Redactor:
    """Return a redactor that knows the secrets this process was given."""
    return Redactor.build(environment[name] for name in SECRETS if environment.get(name))


@contextmanager
def error_boundary() -> Iterator[None]:
    """Turn exceptions into messages and exit codes."""
    redactor = build_redactor(os.environ)
    try:
        yield
    except Error as error:
        _say(redactor.redact(error.diagnostics()), error)
        sys.exit(error.exit_code)
    except KeyboardInterrupt:
        click.echo("interrupted", err=True)
        sys.exit(INTERRUPTED)
    except BrokenPipeError:
        # Whoever read our output has gone; there is nobody left to tell.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(EXPECTED)
    except (click.ClickException, click.exceptions.Exit, click.Abort):
        raise
    except Exception as error:  # noqa: BLE001 - this is the boundary: what nobody expected becomes a report
        if isinstance(error, OSError) and error.errno in DISK:
            told = Error("io-failed", f"A file could not be read or written: {error.strerror}.")
            _say(redactor.redact(told.diagnostics()), told)
            sys.exit(EXPECTED)
        click.echo(redactor.redact(_build_report(traceback.format_exc())), err=True)
        sys.exit(BUG)


def _say(text: str, error: Error) -> None:
    if os.environ.get("GITHUB_ACTIONS") == "true":
        # In a job the text may hold words of an issue: behind a bar nothing in it can become a workflow command.
        click.echo(quote_for_log(text), err=True)
        click.echo(f"::error title=coven-action {error.code}::{_escape(text)}")
    else:
        click.echo(text, err=True)


def _escape(text: str) -> str:
    """Escape a workflow command's message.

    https://github.com/actions/toolkit/blob/main/packages/core/src/command.ts
    """
    return text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def _build_report(trace: str) -> str:
    return (
        "coven-action has met something it did not expect. This is a bug.\n"
        f"Please paste what follows into {NEW_ISSUE}; secrets it was given are covered.\n\n"
        f"coven-action {__version__} · Python {platform.python_version()} · {platform.platform()}\n\n{trace}"
    )
