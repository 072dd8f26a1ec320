"""What the sanitiser returns: the text, how much was removed or made inert, and one sentence that says so. Pure."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from coven_action.core.sanitising.invisible import fold_odd_breaks, remove_controls, remove_invisible

# Kind -> what people call one of them and several of them, in the order of the sentence.
KINDS: Final[Mapping[str, tuple[str, str]]] = {
    "comment": ("HTML comment", "HTML comments"),
    "hidden": ("hidden or folded section", "hidden or folded sections"),
    "tag": ("HTML tag", "HTML tags"),
    "definition": ("link definition", "link definitions"),
    "title": ("link title or image description", "link titles or image descriptions"),
    "empty": ("link without words", "links without words"),
    "cell": ("table cell without a column", "table cells without a column"),
    "formula": ("invisible part of a formula or diagram", "invisible parts of formulas or diagrams"),
    "mention": ("mention", "mentions"),
    "reference": ("issue reference", "issue references"),
    "link": ("link", "links"),
    "image": ("image", "images"),
    "command": ("command", "commands"),
    "markup": ("piece of active markup", "pieces of active markup"),
    "invisible": ("invisible character", "invisible characters"),
    "control": ("control character", "control characters"),
}


@dataclass(frozen=True, slots=True)
class Sanitised:
    """A text that passed the sanitiser.

    Attributes:
        text: The text that may be used.
        removed: How often something of each kind (a key of `KINDS`) was removed or made inert; absent means never.
    """

    text: str
    removed: Mapping[str, int] = field(default_factory=dict)

    def describe_removed(self, lead: str = "removed before the familiar read it") -> str:
        """Return one plain sentence for people, without its full stop, or "" when nothing was removed.

        Args:
            lead: What happened to the listed things; for the output direction "made inert before publication".
        """
        listed = [
            f"{self.removed[kind]} {one if self.removed[kind] == 1 else many}"
            for kind, (one, many) in KINDS.items()
            if self.removed.get(kind)
        ]
        return f"{lead}: {', '.join(listed)}" if listed else ""


def clean_characters(text: str, counts: Counter[str], *, is_markdown: bool = False) -> str:
    """Return `text` with line feeds as its only line breaks, without control and invisible characters.

    Invisible characters go first: they could otherwise sit inside a terminal escape sequence and hide it.

    Args:
        text: Any text.
        counts: Is increased by what was removed.
        is_markdown: Whether it is enough that Markdown's lines end where they do on GitHub: other line breaks become spaces.
            Else they become line feeds, as the runner may take them for that.
    """
    text, invisible = remove_invisible(text)
    text, control = remove_controls(fold_odd_breaks(text) if is_markdown else text)
    counts["invisible"] += invisible
    counts["control"] += control
    return text
