"""The Actions runtime: masks, outputs, annotations and the step summary, through actions-toolkit. No rules here.

Everything that is printed, set or shown is `Redacted` by its type. Outputs and the summary go through files with random
delimiters, so that no text, whatever it holds, can set another output.
"""

import os
import sys
from pathlib import Path
from typing import Final

from actions_toolkit import core as toolkit

from coven_action.core.redaction.redactor import Redacted
from coven_action.core.sanitising.sanitiser import quote_for_log
from coven_action.errors import EnvironmentFault

_SUMMARY_VARIABLE: Final = "GITHUB_STEP_SUMMARY"


class ActionsJob:
    """The step of a GitHub Actions job."""

    def mask(self, secret: str) -> None:
        """Have the runner cover a value in the log. The one place where a secret is printed, for the runner to read."""
        if secret:
            toolkit.set_secret(secret)

    def notice(self, message: Redacted) -> None:
        """Say something to whoever reads the log."""
        sys.stdout.write(f"{quote_for_log(message)}\n")
        sys.stdout.flush()

    def warning(self, message: Redacted) -> None:
        """Say something they should look at."""
        # The toolkit escapes line breaks and percent signs, so the text cannot begin a command of its own.
        toolkit.warning(str(message))

    def error(self, message: Redacted) -> None:
        """Say why the job fails."""
        toolkit.error(str(message))

    def set_output(self, name: str, value: Redacted) -> None:
        """Set an output of the step. Outside of a job there is nobody to read it."""
        if not os.environ.get("GITHUB_OUTPUT"):
            return
        try:
            toolkit.set_output(name, str(value))
        except Exception as error:
            raise EnvironmentFault("job-file-unwritable", f"The output {name} cannot be set: {error}.") from error

    def append_summary(self, markdown: Redacted) -> None:
        """Add to the step summary, where the job has one."""
        path = os.environ.get(_SUMMARY_VARIABLE)
        if not path:
            return
        try:
            with Path(path).open("a", encoding="utf-8") as stream:
                stream.write(f"{markdown}\n")
        except OSError as error:
            raise EnvironmentFault(
                "job-file-unwritable", f"The step summary cannot be written: {error.strerror}."
            ) from error
