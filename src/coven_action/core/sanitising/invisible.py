"""Characters that a reader cannot see but a model or a parser can: one table, and the function that removes them.

Pure. The table is written out rather than computed so that importing costs nothing and does not depend on the Unicode
version of the running Python; a test compares it with `unicodedata`.
"""

import re
from collections.abc import Sequence
from typing import Final

# First and last code point of each range, with the reason it is invisible or deceptive. Sources: Unicode general
# category Cf, the property Default_Ignorable_Code_Point (DerivedCoreProperties.txt), and glyphs drawn as blank.
INVISIBLE_RANGES: Final[Sequence[tuple[int, int, str]]] = (
    (0x00AD, 0x00AD, "soft hyphen"),
    (0x034F, 0x034F, "combining grapheme joiner"),
    (0x0600, 0x0605, "Arabic number signs"),
    (0x061C, 0x061C, "Arabic letter mark, a bidirectional control"),
    (0x06DD, 0x06DD, "Arabic end of ayah"),
    (0x070F, 0x070F, "Syriac abbreviation mark"),
    (0x0890, 0x0891, "Arabic pound and piastre marks"),
    (0x08E2, 0x08E2, "Arabic disputed end of ayah"),
    (0x115F, 0x1160, "Hangul fillers"),
    (0x17B4, 0x17B5, "Khmer inherent vowels"),
    (0x180B, 0x180F, "Mongolian variation selectors and vowel separator"),
    (0x200B, 0x200F, "zero-width characters and direction marks"),
    (0x202A, 0x202E, "bidirectional embeddings and overrides"),
    (0x2060, 0x206F, "word joiner, invisible operators, bidirectional isolates, deprecated controls"),
    (0x2800, 0x2800, "braille blank"),
    (0x3164, 0x3164, "Hangul filler"),
    (0xD800, 0xDFFF, "lone surrogates, which no encoder accepts"),
    (0xFE00, 0xFE0F, "variation selectors"),
    (0xFEFF, 0xFEFF, "byte order mark"),
    (0xFFA0, 0xFFA0, "half-width Hangul filler"),
    (0xFFF0, 0xFFFB, "unassigned ignorables and interlinear annotation"),
    (0xFFFE, 0xFFFF, "noncharacters"),
    (0x110BD, 0x110BD, "Kaithi number sign"),
    (0x110CD, 0x110CD, "Kaithi number sign above"),
    (0x13430, 0x1345F, "Egyptian hieroglyph format controls"),
    (0x16FE4, 0x16FE4, "Khitan small script filler"),
    (0x1BCA0, 0x1BCA3, "shorthand format controls"),
    (0x1D159, 0x1D159, "musical null notehead"),
    (0x1D173, 0x1D17A, "musical format controls"),
    (0xE0000, 0xE0FFF, "tag characters and supplementary variation selectors"),
)

_INVISIBLE: Final = re.compile("[" + "".join(f"{chr(low)}-{chr(high)}" for low, high, _ in INVISIBLE_RANGES) + "]+")
# One byte for each byte of UTF-8 text: whether it belongs to a character outside ASCII.
_OUTSIDE_ASCII: Final = bytes(int(byte >= 0x80) for byte in range(0x100))  # noqa: PLR2004 - the definition of ASCII
# No such character has a single byte, and an expression that begins with two literals is many times faster.
_RUN_OUTSIDE_ASCII: Final = re.compile(b"\x01\x01+")

# Whatever a terminal, GitHub's log, .NET, Python or a browser may take for the end of a line. The Actions runner looks
# for workflow commands at line starts, so all of them become the one line feed that later rules anchor on.
_LINE_BREAKS: Final = ("\r\n", "\r", "\x0b", "\x0c", "\x1c", "\x1d", "\x1e", "\x85", "\u2028", "\u2029")
# Those of them that end no line of Markdown, https://spec.commonmark.org/0.31.2/#line-ending.
_SPACES: Final = _LINE_BREAKS[2:]
# Controls that mean nothing in text; tab and line feed do.
_CONTROLS: Final = tuple(chr(code) for code in (*range(0x20), *range(0x7F, 0xA0)) if code not in {0x09, 0x0A})

# ECMA-48 escape sequences: CSI, OSC and its kin up to their terminator (or the end of the line), and short ones.
_SEVEN_BIT_ESCAPES: Final = re.compile(
    "\x1b(?:\\[[0-?]*+[ -/]*+[@-~]?|[\\]PX^_][^\n\x07\x1b\x9c]*+(?:\x07|\x1b\\\\|\x9c)?|[ -/]*+[0-~]?)"
)
_EIGHT_BIT_ESCAPES: Final = re.compile(
    "\x9b[0-?]*+[ -/]*+[@-~]?|[\x90\x98\x9d-\x9f][^\n\x07\x1b\x9c]*+(?:\x07|\x1b\\\\|\x9c)?"
)


def remove_invisible(text: str) -> tuple[str, int]:
    """Return `text` without invisible characters, and how many there were."""
    if text.isascii():
        return text, 0
    encoded = text.encode("utf-8", "surrogatepass")
    outside = encoded.translate(_OUTSIDE_ASCII)
    # Searching for a class of characters is slow, so in mostly English text only the rest is searched.
    without = _INVISIBLE.sub("", text) if outside.count(1) * 8 > len(encoded) else _remove_by_run(encoded, outside)
    return without, len(text) - len(without)


def _remove_by_run(encoded: bytes, outside: bytes) -> str:
    """Return the text of `encoded` without invisible characters, looking at nothing but its parts outside ASCII."""
    kept: list[str] = []
    position = 0
    for run in _RUN_OUTSIDE_ASCII.finditer(outside):
        start, end = run.span()
        kept.append(encoded[position:start].decode("ascii"))
        kept.append(_INVISIBLE.sub("", encoded[start:end].decode("utf-8", "surrogatepass")))
        position = end
    kept.append(encoded[position:].decode("ascii"))
    return "".join(kept)


def fold_odd_breaks(text: str) -> str:
    """Return `text` with a space for each line break that is none in Markdown, so that what GitHub reads as one line is one.

    The runner, a terminal and a browser may take it for the end of a line: this is not for text on its way out.
    """
    for line_break in _SPACES:
        text = text.replace(line_break, " ")
    return text


def remove_controls(text: str) -> tuple[str, int]:
    """Return `text` without terminal escape sequences and control characters, and how many characters went.

    Tab and line feed stay; every other kind of line break becomes a line feed and is not counted.
    """
    for line_break in _LINE_BREAKS:
        text = text.replace(line_break, "\n")
    present = [control for control in _CONTROLS if control in text]
    if not present:
        return text, 0
    without = _SEVEN_BIT_ESCAPES.sub("", text)
    if max(present) > "\x7f":
        without = _EIGHT_BIT_ESCAPES.sub("", without)
    for control in present:
        without = without.replace(control, "")
    return without, len(text) - len(without)
