"""The table of `coven-action probe`: each backend that was tried, and each escape: held, escaped or not tried. Pure."""

import textwrap
from typing import Any, Final

from coven_action.core.isolation import IsolationLevel
from coven_action.core.sandbox.backends import BACKENDS
from coven_action.core.sandbox.probes import PROBES, Attempt

NAME_WIDTH: Final = 21
OUTCOME_WIDTH: Final = 11
LINE_WIDTH: Final = 118
MEANINGS: Final[dict[IsolationLevel, str]] = {
    "enforced": "nothing readable but what was bound, no way out but the gateway, nothing gained, nothing survives",
    "partial": "as enforced but for the network: TCP to the gateway's port, at any address",
    "none": "the program could read, reach or become what it should not",
}
"""Level -> what it means, one phrase."""


def render_report(chosen: Attempt, attempts: tuple[Attempt, ...]) -> str:
    """Return the report a person reads, without a final line break.

    Args:
        chosen: The attempt that decides the level.
        attempts: Everything that was tried, in order.
    """
    lines = [f"isolation {chosen.level} by {chosen.backend}: {MEANINGS[chosen.level]}"]
    for attempt in attempts:
        lines += ["", f"{attempt.backend}: {attempt.level} ({BACKENDS[attempt.backend]})"]
        lines += [f"  not started: {_flatten(attempt.reason)}"] if attempt.reason else []
        for result, probe in zip(attempt.results, PROBES, strict=False):
            said = f"{probe.tries}" + (f": {_flatten(result.detail)}" if result.detail else "")
            head = f"  {result.outcome:<{OUTCOME_WIDTH}}{result.probe:<{NAME_WIDTH}}"
            lines += textwrap.wrap(said, LINE_WIDTH, initial_indent=head, subsequent_indent=" " * len(head))
    return "\n".join(lines)


def describe_report(chosen: Attempt, attempts: tuple[Attempt, ...]) -> dict[str, Any]:
    """Return the same as a document for programs."""
    return {
        "level": chosen.level,
        "backend": chosen.backend,
        "attempts": [attempt.model_dump(mode="json") for attempt in attempts],
    }


def _flatten(text: str) -> str:
    """Return one printable line: a detail repeats names of files and words of programs."""
    return "".join(character for character in " ".join(text.split()) if character.isprintable())
