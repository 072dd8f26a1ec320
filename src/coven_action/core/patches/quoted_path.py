r"""Paths as git writes them in a diff: quoted like a C string where they hold unusual bytes.

Pure. `"a/\303\244.txt"` is `a/ä.txt`; see `core.quotePath` in https://git-scm.com/docs/git-config.
"""

import re
from typing import Final

_ESCAPES: Final = {"a": 7, "b": 8, "t": 9, "n": 10, "v": 11, "f": 12, "r": 13, '"': 34, "\\": 92}
_LETTERS: Final = {value: letter for letter, value in _ESCAPES.items()}
_DELETE: Final = 127
_TOKEN: Final = re.compile(r'\\([0-3][0-7]{2})|\\([abtnvfr"\\])|([^"\\]+)')


def parse_quoted_path(quoted: str) -> str:
    """Return the path that a quoted name stands for.

    Args:
        quoted: The name with its quotation marks.

    Raises:
        ValueError: The quotation is not closed, an escape is unknown, or the bytes are not UTF-8.
    """
    raw = bytearray()
    position = 1
    while match := _TOKEN.match(quoted, position):
        octal, letter, plain = match.groups()
        raw += bytes([int(octal, 8)]) if octal else bytes([_ESCAPES[letter]]) if letter else plain.encode()
        position = match.end()
    if quoted[position:].rstrip() != '"':
        raise ValueError("its quotation is broken")
    return raw.decode("utf-8")


def render_quoted_path(path: str) -> str:
    """Return the path as git reads it in a diff, quoted only where it must be."""
    if not any(character in '"\\' or ord(character) < ord(" ") or ord(character) == _DELETE for character in path):
        return path
    return '"' + "".join(_render_character(character) for character in path) + '"'


def _render_character(character: str) -> str:
    code = ord(character)
    if code in _LETTERS:
        return "\\" + _LETTERS[code]
    return f"\\{code:03o}" if code < ord(" ") or code == _DELETE else character
