"""Cover secrets in a patch that is kept for a maintainer. Pure.

A patch puts a sign before every line, so a value that is split over lines stands whole nowhere in it. The added lines are
searched without their signs first; each one that holds a part of a secret is covered.
"""

from coven_action.core.redaction.redactor import Redacted, Redactor
from coven_action.core.verification.verification import find_added_text


def redact_patch(patch: bytes, redactor: Redactor) -> Redacted:
    """Return a patch as it may leave."""
    text = patch.decode("utf-8", "replace")
    kinds = _find_lines(find_added_text(text), redactor)
    lines, added = [], 0
    for line in text.split("\n"):
        is_added = line.startswith("+")
        lines.append(f"+[redacted: {kinds[added]}]" if is_added and added in kinds else line)
        added += is_added
    return redactor.redact("\n".join(lines))


def _find_lines(text: str, redactor: Redactor) -> dict[int, str]:
    """Return the lines of a text, from 0, that hold a part of a secret, and of which kind it is."""
    kinds: dict[int, str] = {}
    number, place = 0, 0
    for finding in redactor.find(text):
        number += text.count("\n", place, finding.start)
        place = finding.start
        spread = text.count("\n", finding.start, finding.end)
        kinds |= dict.fromkeys(range(number, number + spread + 1), finding.kind)
    return kinds
