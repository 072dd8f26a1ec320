"""What went wrong, as people are told it: any exception becomes an `Error` with a code, a sentence and a remedy.

A bug is told like any other fault before it goes on to the error boundary: whoever asked must not wait for an answer that
never comes. Its own words stay in the job's log, where the report to paste is; they may hold anything.
"""

from coven_action.core.documents import Fault
from coven_action.errors import Error


def explain_exception(error: Exception) -> Error:
    """Return an exception as an error that people can be told; an `Error` is returned as it is."""
    if isinstance(error, Error):
        return error
    if isinstance(error, OSError):
        said = error.strerror or type(error).__name__
        return Error("io-failed", f"A file could not be read or written: {said}.")
    return Error("unexpected", f"Coven Action met something it did not expect ({type(error).__name__}).")


def is_bug(error: Exception) -> bool:
    """Whether nobody expected the exception: it ends the process with exit code 3 and a report, once it has been told."""
    return not isinstance(error, Error | OSError)


def build_fault(stage: str, error: Exception) -> Fault:
    """Return an exception as the fault that a document records."""
    told = explain_exception(error)
    return Fault(stage=stage, code=told.code, message=told.message, remedy=told.remedy)
