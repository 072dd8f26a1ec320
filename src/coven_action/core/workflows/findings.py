"""What `check` says about a workflow: a fact with its place, how bad it is, and what to do.

Pure. Findings are ordered as a person reads the file, and rendered in the form that errors have everywhere.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

from coven_action.core.configuration.yaml_tree import Place
from coven_action.core.workflows.uses import Use
from coven_action.error_codes import CODES

Severity = Literal["error", "warning"]


@dataclass(frozen=True, slots=True)
class WorkflowFinding:
    """One fact about a workflow.

    Args:
        code: A key of `errors.CODES`.
        severity: An error keeps the action from working, or gives away what it must not; a warning is worth a look.
        path: The file.
        line: Line, from 1.
        column: Column, from 1.
        message: One sentence, safe to print.
        remedy: What to do; the code's own where there is nothing better.
    """

    code: str
    severity: Severity
    path: str
    line: int
    column: int
    message: str
    remedy: str


def build_finding(
    use: Use, code: str, severity: Severity, place: Place, message: str, remedy: str | None = None
) -> WorkflowFinding:
    """Return a finding at a place of the workflow that uses the action."""
    return WorkflowFinding(
        code, severity, use.workflow.path, place.line, place.column, message, remedy or CODES[code].remedy
    )


def sort_findings(findings: Iterable[WorkflowFinding]) -> tuple[WorkflowFinding, ...]:
    """Return the findings file by file from top to bottom, each once."""
    return tuple(sorted(set(findings), key=_find_order))


def _find_order(found: WorkflowFinding) -> tuple[object, ...]:
    return found.path, found.line, found.column, found.severity, found.code, found.message


def render_finding(finding: WorkflowFinding) -> str:
    """Return place, severity, code, fact and remedy as a person reads them."""
    place = f"{finding.path}:{finding.line}:{finding.column}"
    remedy = finding.remedy.replace("\n", "\n  ")
    return f"{place}: {finding.severity}[{finding.code}]: {finding.message}\n  {remedy}"


def render_count(errors: int, warnings: int) -> str:
    """Return the closing line, such as `2 errors, 1 warning.`; none is said too."""
    return f"{_count(errors, 'error')}, {_count(warnings, 'warning')}."


def _count(number: int, noun: str) -> str:
    return f"{number or 'no'} {noun}{'' if number == 1 else 's'}"
