"""What every wording must meet that reaches the endpoint, whoever brings it: form, size, screens, citations. No database."""

import re
from collections.abc import Callable
from typing import Final

from coven_action.core.memory.entries import MAX_TEXT_BYTES, Citation, is_citable, is_range
from coven_action.core.memory.entry_document import MAX_BRANCHES
from coven_action.core.memory.keys import is_key
from coven_action.core.memory.screens import Objection
from coven_action.core.redaction.redactor import Redactor
from coven_action.hosted.services.memory_entries import Wording

REDACTOR: Final = Redactor.build()
"""Knows the shapes of secrets; live values of a run are the runner's to know."""

# As an entry's file takes it: a branch's name, without patterns.
_BRANCH: Final = re.compile(r"[^\s~^:?*\[\\]{1,244}")

Refused = tuple[str, str]
"""The public word, and a sentence without a full stop that follows "its"."""


def find_mistake(wording: Wording, *, cited: bool = True) -> Refused | None:
    """Return what is wrong with a wording's form, the first thing; None where nothing is.

    Args:
        wording: As it would be kept.
        cited: Whether it must cite lines; what an account shares stands for entries that do.
    """
    size = len(wording.text.encode("utf-8", "surrogatepass"))
    mistakes: tuple[tuple[bool, str, str], ...] = (
        (not is_key(wording.key), "malformed", "key is not of the form namespace/name"),
        (not wording.text, "malformed", "text is empty"),
        (not _is_unicode(wording.text), "malformed", "text holds half of a surrogate pair"),
        (size > MAX_TEXT_BYTES, "too_large", f"text has {size} bytes; {MAX_TEXT_BYTES} are allowed"),
        (not _are_branches(wording.branches), "malformed", "branches are not names of branches"),
        (cited and not wording.citations, "uncited", "citations are missing"),
        (not all(map(_is_citation, wording.citations)), "malformed", "citations are not lines of a tree's files"),
    )
    return next(((reason, sentence) for holds, reason, sentence in mistakes if holds), None)


def screen_wording(wording: Wording, why: str, screen: Callable[[str, Redactor], Objection | None]) -> Refused | None:
    """Return the first objection to what people and agents would read of a wording.

    Args:
        wording: Of the right form.
        why: The reason, which is shown to whoever approves.
        screen: `screen_proposal` for a run's, `screen_entry` for a person's.
    """
    paths = "\n".join((*(citation.path for citation in wording.citations), *wording.branches))
    for name, text in (("text", wording.text), ("reason", why)):
        objection = screen(text, REDACTOR)
        if objection is not None:
            return objection.reason, f"{name} {objection.sentence}"
    if REDACTOR.find(paths):
        return "secret", "citations or branches hold what looks like a secret"
    return None


def _is_unicode(text: str) -> bool:
    return not any("\ud800" <= character <= "\udfff" for character in text)


def _are_branches(branches: tuple[str, ...]) -> bool:
    return len(branches) <= MAX_BRANCHES and all(
        _BRANCH.fullmatch(branch) and _is_unicode(branch) for branch in branches
    )


def _is_citation(citation: Citation) -> bool:
    return (
        is_citable(citation.path)
        and is_range(citation.start, citation.end)
        and re.fullmatch(r"[0-9a-f]{64}", citation.sha256) is not None
    )
