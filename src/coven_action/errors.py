"""The exceptions that end a stage or command, each with a code of the table in `error_codes`."""

from coven_action.error_codes import CODES


class Error(Exception):
    """Raised when a stage or command cannot do its job for a reason a person can mend.

    Args:
        code: A key of `CODES`.
        message: What happened, one sentence, without secrets.
        place: Where: `file:line:column`, a stage, a request. Optional.
        remedy: What to do next; the table's remedy where the situation has no better one.
    """

    exit_code = 1

    def __init__(self, code: str, message: str, *, place: str | None = None, remedy: str | None = None) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.place = place
        self.remedy = remedy if remedy is not None else CODES[code].remedy

    def diagnostics(self) -> str:
        """Return what a person should read: place, code, message and remedy."""
        place = f"{self.place}: " if self.place else ""
        return f"{place}error[{self.code}]: {self.message}\n  {self.remedy}"

    def __str__(self) -> str:
        return f"[{self.code}] {self.message}"


class ConfigError(Error):
    """Raised for a configuration that cannot be acted on."""


class EventError(Error):
    """Raised for a payload that cannot be read."""


class EnvironmentFault(Error):
    """Raised when the surroundings lack something: a variable, a program, a platform."""


class DocumentError(Error):
    """Raised for a document between the stages that is missing, altered, oversized or of another version."""


class RuntimeFault(Error):
    """Raised when a runtime could not be installed, started or understood."""


class GitError(Error):
    """Raised when a git command fails."""


class GitHubError(Error):
    """Raised when GitHub refuses a request or cannot be reached."""
