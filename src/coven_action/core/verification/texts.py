"""What the output sanitiser makes of the agent's words, before they are published. Pure.

Whatever is published passes the sanitiser where it is rendered; this says beforehand what that will change, and that one
pass is enough.
"""

from collections import Counter
from typing import Final

from coven_action.core.documents import HandOff
from coven_action.core.records import Record
from coven_action.core.sanitising.sanitiser import (
    Sanitised,
    sanitise_commit_message,
    sanitise_output,
    sanitise_title,
)

LEAD: Final = "made inert before publication"


class TextFacts(Record):
    """What was found: one sentence on what is made inert, and the texts that one pass does not bring to rest."""

    made_inert: str = ""
    restless: tuple[str, ...] = ()


def examine_texts(hand_off: HandOff) -> TextFacts:
    """Return what the sanitiser does to the title and the text that an agent handed off."""
    title, body = sanitise_commit_message(hand_off.title), sanitise_output(hand_off.body)
    once = {"the title": sanitise_title(hand_off.title), "the text": body.text}
    twice = {"the title": sanitise_title(once["the title"]), "the text": sanitise_output(body.text).text}
    removed = Counter(title.removed) + Counter(body.removed)
    return TextFacts(
        made_inert=Sanitised("", removed).describe_removed(LEAD),
        restless=tuple(name for name, text in once.items() if twice[name] != text),
    )
