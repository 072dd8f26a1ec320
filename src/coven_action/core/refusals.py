"""A refusal is an answer, not an error: a public code, one sentence why, one sentence what to do."""

from coven_action.core.records import Record


class Refusal(Record):
    """Why a run does not go on.

    `quiet` marks what was never addressed to us (somebody's ordinary label or comment, our own events): it is logged
    and summarised, and nobody is written to.
    """

    code: str
    reason: str
    remedy: str = ""
    quiet: bool = False
