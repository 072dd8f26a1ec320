"""What a runtime's run amounts to. Pure: what was observed, what the runtime claims, and the tree, in order of trust.

First what our supervisor saw: a run that was cut off proves nothing. Then the result file: it exists, is fresh and
keeps the contract. Then the tree, as we compared it ourselves. The exit code comes last; it can only make things worse.
An infrastructure failure never looks green: only `worked` leads to a pull request.
"""

import signal
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, Literal

from coven_action.core.contract.contract import RuntimeResult
from coven_action.core.contract.process_report import ProcessReport
from coven_action.errors import RuntimeFault

VerdictKind = Literal["worked", "nothing-changed", "needs-input", "failed", "fault"]


@dataclass(frozen=True, slots=True)
class RuntimeVerdict:
    """The judgement of one run.

    Attributes:
        kind: `worked`: the tree holds a change to verify and publish. `nothing-changed` and `needs-input`: the runtime
            ended properly and there is nothing to publish. `failed`: the runtime says that it did not succeed.
            `fault`: something around the work broke; the tree proves nothing.
        code: A key of `errors.CODES`; None for `worked`.
        sentence: One sentence in our own words, without text of the runtime.
    """

    kind: VerdictKind
    code: str | None
    sentence: str


_WORKED: Final = RuntimeVerdict("worked", None, "The runtime ended properly and changed the tree.")
_NOTHING: Final = RuntimeVerdict(
    "nothing-changed", "nothing-changed", "The runtime ended properly and changed nothing."
)
_NEEDS_INPUT: Final = RuntimeVerdict("needs-input", "needs-input", "The runtime asks for more information.")
_FAILED: Final = RuntimeVerdict("failed", "runtime-failed", "The runtime says that it did not succeed.")
_CONFLICT: Final = RuntimeVerdict("failed", "runtime-failed", "The runtime says that it met a conflict in git.")
_BROKE: Final = RuntimeVerdict(
    "fault", "runtime-broke-off", "The runtime was cut off by an error of its model or tools, or by its turn limit."
)

# (status, exit_reason) -> the verdict when the tree changed, and when it did not. Pairs not listed are failures.
# A change of new files only makes coven-code say `ambiguous_spec`, since it sees tracked files alone: the tree decides.
# A change whose tests fail in the runtime's eyes is a change; whether checks pass is observed by us later.
_CLAIMS: Final = {
    ("success", None): (_WORKED, _NOTHING),
    ("partial", None): (_WORKED, _NOTHING),
    ("failure", "ambiguous_spec"): (_WORKED, _NOTHING),
    ("failure", "test_failure"): (_WORKED, _FAILED),
    ("partial", "test_failure"): (_WORKED, _FAILED),
    ("partial", "ambiguous_spec"): (_WORKED, _NOTHING),
    ("failure", "git_conflict"): (_CONFLICT, _CONFLICT),
}

BOUNDS: Final[Mapping[str, str]] = {
    "budget-requests": "The budget of requests to the model is used up, and the runtime was ended.",
    "budget-tokens": "The budget of tokens is used up, and the runtime was ended.",
    "budget-cost": "The budget of money is used up, and the runtime was ended.",
    "limit-memory": "The runtime's processes took more memory than they may and were ended.",
    "limit-processes": "The runtime started more processes than it may and was ended.",
    "limit-workspace": "The runtime filled its folder beyond what it may and was ended.",
}
"""Code of a bound that ends a run -> what people are told. The tree is kept as far as it had come."""

# status -> the exit codes that go with it. Another one contradicts the result, as a crash after writing it does.
_EXIT_CODES: Final = {
    "success": frozenset({0}),
    "partial": frozenset({0}),
    "failure": frozenset({0, 1, 2}),
    "needs_input": frozenset({0, 1, 3}),
}


def judge_runtime(
    report: ProcessReport, result: RuntimeResult | RuntimeFault, *, tree_changed: bool, passed_bound: str | None = None
) -> RuntimeVerdict:
    """Judge one run of a runtime.

    Args:
        report: How the program ended.
        result: What it wrote, or why that could not be read; `runtime-no-result` where it wrote nothing. No result of
            an earlier attempt: the file is removed before the start.
        tree_changed: Whether commits, tracked or untracked files differ from the recorded start, hand-off files aside.
        passed_bound: The key of `BOUNDS` for which it was ended; None for none. What it did when it was refused more says
            nothing, so that this comes before everything but processes that could not be ended.
    """
    if passed_bound is not None and not report.survivors:
        return _fault(passed_bound, BOUNDS[passed_bound])
    cut_off = _judge_end(report)
    if cut_off is not None:
        return cut_off
    if isinstance(result, RuntimeFault):
        return _judge_missing_result(report, result)
    if report.signal is not None or report.exit_code not in _EXIT_CODES[result.status]:
        return _fault("runtime-crashed", f"The runtime wrote a result of {result.status}, but {_describe_end(report)}.")
    return _judge_claim(result, tree_changed=tree_changed)


def _judge_end(report: ProcessReport) -> RuntimeVerdict | None:
    """Return the fault of a run that was cut off by us or got out of our hands, or None."""
    if report.survivors:
        return _fault("runtime-not-contained", "Processes of the runtime could not be ended.")
    if report.timed_out:
        return _fault(
            "runtime-timeout", f"The runtime was still working after {report.duration_seconds:.0f} s and was ended."
        )
    if report.output_flooded:
        return _fault("runtime-flooded", f"The runtime printed {report.output_bytes} bytes and was ended.")
    if not report.supervised:
        return _fault("runtime-not-contained", "The process that supervises the runtime was lost.")
    return None


def _judge_missing_result(report: ProcessReport, fault: RuntimeFault) -> RuntimeVerdict:
    if fault.code == "runtime-no-result" and (report.signal is not None or report.exit_code != 0):
        return _fault("runtime-crashed", f"The runtime wrote no result and {_describe_end(report)}.")
    return _fault(fault.code, fault.message)


def _judge_claim(result: RuntimeResult, *, tree_changed: bool) -> RuntimeVerdict:
    if result.exit_reason == "infra_error":
        return _BROKE
    if result.status == "needs_input":
        return _NEEDS_INPUT
    changed, unchanged = _CLAIMS.get((result.status, result.exit_reason), (_FAILED, _FAILED))
    return changed if tree_changed else unchanged


def _fault(code: str, sentence: str) -> RuntimeVerdict:
    return RuntimeVerdict("fault", code, sentence)


def _describe_end(report: ProcessReport) -> str:
    if report.signal is not None:
        return f"was ended by {_name_signal(report.signal)}"
    if report.exit_code is None:
        return "nobody saw its end"
    return f"ended with exit code {report.exit_code}"


def _name_signal(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"
