"""Whether a text was edited after it was frozen. Pure: GitHub's own edit times in, an answer out.

`updated_at` of an issue moves with every label and comment, so it decides nothing about edits: `lastEditedAt` of the texts
and the newest rename do. On a first attempt the frozen text is used either way; a re-run after an edit asks for a new
trigger, because people would take its result for an answer to the text they see. A dispatch freezes no text: its first
attempt reads what stands there, and its re-run would read what nobody had seen when the workflow was dispatched.
"""

from datetime import datetime

from coven_action.core.records import Record
from coven_action.core.refusals import Refusal
from coven_action.core.trust.events import TriggerEvent


class Edits(Record):
    """When title, body and the comment that gave the command were last changed; None where they never were."""

    renamed_at: datetime | None = None
    body_edited_at: datetime | None = None
    comment_edited_at: datetime | None = None


def find_late_edits(edits: Edits, event: TriggerEvent, *, since: datetime) -> tuple[str, ...]:
    """Return what was changed after the trigger: "title", "body", "comment".

    The body of a pull request is what this action itself writes: counted, an attempt that failed after that would keep
    its own re-run from going on.

    Args:
        edits: GitHub's times.
        event: What happened.
        since: When it happened; for the re-run of a dispatch, whose payload does not say, when the run was created.
    """
    on_pull_request = event.thread is not None and event.thread.is_pull_request
    body_edited_at = None if on_pull_request else edits.body_edited_at
    times = (("title", edits.renamed_at), ("body", body_edited_at), ("comment", edits.comment_edited_at))
    return tuple(name for name, at in times if at is not None and at > since)


def decide_late_edits(late: tuple[str, ...], *, run_attempt: int) -> Refusal | None:
    """Return why a re-run after an edit does not start, or None."""
    if run_attempt == 1 or not late:
        return None
    return Refusal(
        code="edited-since-trigger",
        reason=f"The {' and '.join(late)} changed since this run was triggered: people see another text now than then.",
        remedy="Trigger again: apply the label, give the command or dispatch the workflow anew.",
    )


def describe_late_edits(late: tuple[str, ...]) -> str:
    """Return a note for people, "" when nothing was changed."""
    return f"the {' and '.join(late)} changed after the trigger; the text as of the trigger was used" if late else ""
