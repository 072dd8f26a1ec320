"""What no text of memory may hold: invisible characters, hidden markup, secrets, personal data, instructions. Pure.

A screen refuses with one word and one sentence; none ever approves. Which screens apply is a table: a person's merge
approves an instruction, or the contact address of a team, so entries in files are screened for the first two alone, and
proposals of a run for all of them. Keys and cited paths have a form of their own and are screened for secrets.
"""

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final, Literal

from coven_action.core.memory.instructions import find_instruction
from coven_action.core.memory.personal_data import find_personal_data
from coven_action.core.redaction.redactor import Redactor
from coven_action.core.sanitising.sanitised import clean_characters
from coven_action.core.sanitising.sanitiser import sanitise_input

Screened = Literal["invisible_text", "secret", "pii", "instruction"]


@dataclass(frozen=True, slots=True)
class Objection:
    """Why a text is refused.

    Args:
        reason: The public word.
        sentence: What was found, never the thing itself; follows the text's name, without a full stop.
        position: Index of the first offending character, 0 where it is the whole text's.
    """

    reason: Screened
    sentence: str
    position: int = 0


def screen_entry(text: str, redactor: Redactor) -> Objection | None:
    """Return the first objection to the text of an entry that a person approves by a merge."""
    return _screen(text, redactor, ENTRY_SCREENS)


def screen_proposal(text: str, redactor: Redactor) -> Objection | None:
    """Return the first objection to a text that a run proposes."""
    return _screen(text, redactor, PROPOSAL_SCREENS)


def screen_name(text: str, redactor: Redactor) -> Objection | None:
    """Return the objection to a key or a path, which others read in file names and links: the secret that it holds."""
    return _screen(text, redactor, NAME_SCREENS)


def _screen(text: str, redactor: Redactor, names: tuple[Screened, ...]) -> Objection | None:
    objections = (SCREENS[name](text, redactor) for name in names)
    return next((objection for objection in objections if objection is not None), None)


def _screen_visibility(text: str, redactor: Redactor) -> Objection | None:
    """Refuse whatever a person who looks at the rendered text would not see."""
    del redactor
    if clean_characters(text, Counter()) != text:
        # One character is looked at a time: a sequence is hidden because the character it begins with is.
        hidden = (index for index, each in enumerate(text) if clean_characters(each, Counter()) != each)
        return Objection("invisible_text", "holds invisible, bidirectional or control characters", next(hidden))
    if sanitise_input(text).removed:
        return Objection("invisible_text", "holds markup that people are not shown; write code between backticks")
    return None


def _screen_secrets(text: str, redactor: Redactor) -> Objection | None:
    found = redactor.find(text)
    return Objection("secret", f"holds what looks like a secret: {found[0].kind}", found[0].start) if found else None


def _screen_personal_data(text: str, redactor: Redactor) -> Objection | None:
    del redactor
    found = find_personal_data(text)
    return Objection("pii", f"holds what looks like {found}") if found else None


def _screen_instructions(text: str, redactor: Redactor) -> Objection | None:
    del redactor
    found = find_instruction(text)
    return Objection("instruction", f"reads as an instruction: {found}") if found else None


SCREENS: Final[Mapping[Screened, Callable[[str, Redactor], Objection | None]]] = {
    "invisible_text": _screen_visibility,
    "secret": _screen_secrets,
    "pii": _screen_personal_data,
    "instruction": _screen_instructions,
}
"""Each screen by the word it refuses with. Visibility comes first: what is hidden could hide the rest from the others."""

ENTRY_SCREENS: Final[tuple[Screened, ...]] = ("invisible_text", "secret")
PROPOSAL_SCREENS: Final[tuple[Screened, ...]] = tuple(SCREENS)
NAME_SCREENS: Final[tuple[Screened, ...]] = ("secret",)
