"""The sanitiser's front door: untrusted text on its way in (to the familiar) and on its way out (to GitHub and logs).

Pure, linear in the size of the text, and at a fixed point: sanitising twice gives what sanitising once gave. Visible
text stays; what only a machine would read is removed on the way in, and what GitHub would act upon is inert on the way
out. The rules live in the modules imported here.
"""

from coven_action.core.publication.cutting import cut_text
from coven_action.core.sanitising.input import sanitise_input
from coven_action.core.sanitising.output import sanitise_output
from coven_action.core.sanitising.plain import (
    escape_markdown,
    quote_for_log,
    render_code_span,
    sanitise_commit_message,
    sanitise_title,
)
from coven_action.core.sanitising.sanitised import KINDS, Sanitised

__all__ = [
    "KINDS",
    "Sanitised",
    "cut_text",
    "escape_markdown",
    "quote_for_log",
    "render_code_span",
    "sanitise_commit_message",
    "sanitise_input",
    "sanitise_output",
    "sanitise_title",
]
