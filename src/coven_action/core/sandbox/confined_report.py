"""How a confined program ended. Pure."""

from dataclasses import dataclass

from coven_action.core.contract.process_report import ProcessReport


@dataclass(frozen=True, slots=True)
class ConfinedReport:
    """How a confined program ended.

    Attributes:
        process: What was seen of its processes. An exit code of 125 means that the last step of the confinement was
            refused and the program never started.
        exceeded: Which bound of the tree was passed: `memory`, `processes` or `workspace`; empty for none.
        limited_by: What held these bounds, for the evidence.
    """

    process: ProcessReport
    exceeded: str
    limited_by: str
