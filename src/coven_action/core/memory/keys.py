"""The names of entries: short keys, canonical keys, ids, and what a revocation covers. Pure.

A key is `<namespace>/<name>`. Its canonical form begins with the numeric id of the repository or account it belongs to,
so that a renamed repository keeps its entries and a new one of the same name gets none of them.
"""

import re
from collections.abc import Iterable
from typing import Final

from coven_action.core.records import sha256_hex

MEMORY_FOLDER: Final = ".github/coven/memory"
"""Where the entries of a repository stand, on its default branch."""

REVOKED_PATH: Final = f"{MEMORY_FOLDER}/revoked.txt"
"""Where revoked canonical keys and prefixes stand."""

SEGMENT_ADVICE: Final = "up to 64 lower-case letters, digits and hyphens, beginning with a letter or digit"

_SEGMENT: Final = r"[a-z0-9][a-z0-9-]{0,63}"
# GitHub's ids fit 64 bits.
_ID: Final = r"[1-9][0-9]{0,18}"
_KEY: Final = re.compile(rf"{_SEGMENT}/{_SEGMENT}")
_PREFIX: Final = re.compile(rf"(?:repo|tenant)/{_ID}(?:/{_SEGMENT}){{0,2}}")
_PATH: Final = re.compile(rf"{re.escape(MEMORY_FOLDER)}/({_SEGMENT}/{_SEGMENT})\.md")
_ENTRY_ID: Final = re.compile(r"mem_[0-9a-f]{16}")


def is_key(text: str) -> bool:
    """Return whether a text is `<namespace>/<name>`."""
    return _KEY.fullmatch(text) is not None


def is_entry_id(text: str) -> bool:
    """Return whether a text has the form of an entry's id."""
    return _ENTRY_ID.fullmatch(text) is not None


def is_revocable(text: str) -> bool:
    """Return whether a text is a canonical key or a whole-segment prefix of one."""
    return _PREFIX.fullmatch(text) is not None


def parse_entry_path(path: str) -> str | None:
    """Return the key that a path in the repository gives, None where it is no entry's path."""
    match = _PATH.fullmatch(path)
    return match[1] if match else None


def render_entry_path(key: str) -> str:
    """Return the path of a key's file."""
    return f"{MEMORY_FOLDER}/{key}.md"


def build_canonical_key(repository_id: int, key: str) -> str:
    """Return the canonical key of an entry of a repository."""
    return f"repo/{repository_id}/{key}"


def build_entry_id(canonical_key: str) -> str:
    """Return an entry's id: `mem_` and the first 16 hexadecimal digits of the SHA-256 of its canonical key."""
    return f"mem_{sha256_hex(canonical_key.encode())[:16]}"


def is_denied(canonical_key: str, denied: Iterable[str]) -> bool:
    """Return whether a key is among the denied, itself or by a prefix of whole segments."""
    return any(canonical_key == prefix or canonical_key.startswith(f"{prefix}/") for prefix in denied)


def list_entry_paths(paths: Iterable[str]) -> tuple[str, ...]:
    """Return which of a tree's paths stand for entries: every `.md` file below the memory folder, in order.

    A path that gives no key is among them, so that it can be told to people rather than be passed over.
    """
    return tuple(sorted(path for path in paths if path.startswith(f"{MEMORY_FOLDER}/") and path.endswith(".md")))
