"""Read and extend `revoked.txt`: which entries a maintainer has taken back, a canonical key or prefix a line. Pure.

A revocation that cannot be read might have been meant for any entry, so whoever selects entries then uses none. A copy
of a repository has another id and brings the file along: a line counts for the entries beside it whatever id it names.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from coven_action.core.configuration.mistakes import Mistake, quote
from coven_action.core.memory.keys import REVOKED_PATH, is_revocable

MAX_BYTES: Final = 64 * 1024
MAX_LINES: Final = 1000
_COMMENT: Final = re.compile(r"(?:^|[ \t])#.*")
_ADVICE: Final = "write repo/<repository id>/<namespace>/<name>, or a beginning of it that ends before a `/`"


@dataclass(frozen=True, slots=True)
class Revocations:
    """What the file says.

    Args:
        keys: Canonical keys and prefixes as written, each once.
        mistakes: What cannot be read.
    """

    keys: tuple[str, ...] = ()
    mistakes: tuple[Mistake, ...] = ()

    def list_denied(self, repository_id: int) -> tuple[str, ...]:
        """Return what is denied in a repository: every line as written, and as if it named this repository."""
        own = (re.sub(r"\Arepo/[0-9]+", f"repo/{repository_id}", key) for key in self.keys)
        return tuple(sorted({*self.keys, *own}))


def find_revocations(files: Mapping[str, bytes | None]) -> Revocations:
    """Return the revocations among the files of the memory folder. Never raises.

    Args:
        files: Every file below the folder by path, None where there is no ordinary file. A link in place of the list, or a
            list whose name differs in case, might mean any entry too.
    """
    if REVOKED_PATH in files and files[REVOKED_PATH] is None:
        return _refuse("it is a link, or no ordinary file")
    if any(path != REVOKED_PATH and path.casefold() == REVOKED_PATH for path in files):
        return _refuse("another file differs from it in nothing but case; keep this name")
    return parse_revocations(files.get(REVOKED_PATH))


def parse_revocations(data: bytes | None) -> Revocations:
    """Return the revocations of a file, None standing for no file. Never raises."""
    if data is None:
        return Revocations()
    if len(data) > MAX_BYTES:
        return _refuse(f"the file is larger than {MAX_BYTES // 1024} KiB")
    try:
        lines = data.decode("utf-8-sig").replace("\r\n", "\n").split("\n")
    except UnicodeDecodeError:
        return _refuse("the file is not UTF-8")
    if len(lines) > MAX_LINES:
        return _refuse(f"the file has more than {MAX_LINES} lines; a prefix stands for all keys below it")
    said = [(number, _COMMENT.sub("", line).strip(" \t")) for number, line in enumerate(lines, 1)]
    keys = [word for _, word in said if is_revocable(word)]
    mistakes = tuple(
        Mistake(
            "memory-revocation",
            number,
            lines[number - 1].find(word) + 1,
            f"{quote(word)} is no canonical key",
            note=_ADVICE,
            source_line=lines[number - 1],
            length=len(word),
        )
        for number, word in said
        if word and not is_revocable(word)
    )
    return Revocations(tuple(dict.fromkeys(keys)), mistakes)


def _refuse(message: str) -> Revocations:
    return Revocations(mistakes=(Mistake("memory-revocation", 1, 1, message),))


def append_revocation(data: bytes | None, key: str) -> bytes:
    """Return the file's content with one more line; what stands there stays as it is."""
    before = data if data is not None else b"# Revoked memory: one canonical key, or whole-segment prefix, a line.\n"
    ending = b"" if not before or before.endswith(b"\n") else b"\n"
    return before + ending + key.encode() + b"\n"
