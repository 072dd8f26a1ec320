"""Whether an outcome says one thing: the last part of the contract, after its version, schema, size, task and digests. Pure.

An outcome comes from where the agent worked. One whose parts contradict each other was not written by `run`.
"""

from pydantic import ValidationError

from coven_action.core.contract.result import RuntimeResult
from coven_action.core.documents import MAX_ATTEMPTS, Outcome


def find_contradiction(outcome: Outcome) -> str:
    """Return what contradicts itself in an outcome, for people; "" where nothing does."""
    if (outcome.verdict == "fault") != (outcome.fault is not None):
        return "the verdict and the fault contradict each other"
    if (outcome.tip_sha is None) != (outcome.bundle_sha256 is None):
        return "a change is a commit and its bundle, and one of them is missing"
    if outcome.verdict == "worked" and outcome.result is None:
        return "work was done, and there is no result of it"
    return _find_wrong_number(outcome) or ("" if outcome.result is None else _find_broken_result(outcome.result))


def _find_wrong_number(outcome: Outcome) -> str:
    """Return what is wrong with how often the familiar started and tried the checks; "" where nothing is."""
    if outcome.result is not None and not outcome.attempts:
        return "a result needs an attempt"
    if len(outcome.attempts) > MAX_ATTEMPTS:
        return f"a run has at most {MAX_ATTEMPTS} attempts"
    if len(outcome.tries) > len(outcome.attempts):
        return "the checks are tried at most once after each attempt"
    return ""


def _find_broken_result(result: dict[str, object]) -> str:
    """Return why a result breaks the contract; `run` has accepted it, so nobody wrote it but somebody else."""
    try:
        RuntimeResult.model_validate(result)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        return f"the result breaks the runtime's contract at {'.'.join(map(str, first['loc'])) or 'its beginning'}"
    return ""
