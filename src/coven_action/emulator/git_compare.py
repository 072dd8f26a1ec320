"""Compare two commits of a bare repository the way a pull request does: from their merge base."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from coven_action.emulator.git_store import find_git, run_git

_STATUSES: Final = {"A": "added", "D": "removed", "M": "modified", "R": "renamed", "C": "copied", "T": "changed"}
_DIFF: Final = ("--no-color", "--no-ext-diff", "--no-textconv", "--find-renames", "--full-index", "--src-prefix=a/",
         "--dst-prefix=b/")  # fmt: skip


@dataclass(frozen=True, slots=True)
class ChangedFile:
    """One file of a comparison; `patch` holds the hunks, `None` for binary files."""

    filename: str
    previous_filename: str | None
    status: str
    sha: str
    additions: int
    deletions: int
    patch: str | None


def find_merge_base(path: Path, base: str, head: str) -> str | None:
    """Return the best common ancestor of two commits, or `None` where they have no common history."""
    found = find_git(path, "merge-base", base, head)
    return found.decode().strip() if found else None


def is_ancestor(path: Path, ancestor: str, descendant: str) -> bool:
    """Say whether `ancestor` can be reached from `descendant`."""
    return find_git(path, "merge-base", "--is-ancestor", ancestor, descendant) is not None


def count_commits(path: Path, base: str, head: str) -> int:
    """Return how many commits `head` has that `base` has not."""
    return int(run_git(path, "rev-list", "--count", f"{base}..{head}"))


def list_commits(path: Path, base: str, head: str) -> list[str]:
    """Return the SHAs that `head` has and `base` has not, oldest first."""
    return run_git(path, "rev-list", "--reverse", f"{base}..{head}").decode().split()


def list_changed_files(path: Path, base: str, head: str) -> list[ChangedFile]:
    """Return the files in which `head` differs from its merge base with `base`, in git's order."""
    start = find_merge_base(path, base, head)
    if start is None:
        return []
    raw = run_git(path, "diff", "--raw", "-z", "--numstat", *_DIFF, start, head).decode("utf-8", "replace")
    patches = iter(_split_patches(run_git(path, "diff", *_DIFF, start, head).decode("utf-8", "replace")))
    return [ChangedFile(*facts, _take_patch(facts[2], patches)) for facts in _parse_raw(raw)]


def _take_patch(status: str, patches: Iterator[str | None]) -> str | None:
    if status == "changed":  # git writes a change of type (file to link) as a removal and an addition
        next(patches)
    return next(patches)


def _parse_raw(raw: str) -> list[tuple[str, str | None, str, str, int, int]]:
    """Read `--raw --numstat -z`: first all rows that begin with a colon, then one count row a file, in that order."""
    fields = iter(raw.split("\0"))
    rows: list[tuple[str, str | None, str, str]] = []
    counts: list[tuple[int, int]] = []
    for field in fields:
        if field.startswith(":"):
            _, _, old, new, status = field[1:].split(" ")
            source = next(fields)
            name, previous = (next(fields), source) if status[0] in "RC" else (source, None)
            rows.append((name, previous, _STATUSES[status[0]], old if status[0] == "D" else new))
        elif field:
            added, deleted, name = field.split("\t", 2)
            counts.append((0 if added == "-" else int(added), 0 if deleted == "-" else int(deleted)))
            if not name:  # a rename: the two names follow as fields of their own
                next(fields)
                next(fields)
    return [(*row, *count) for row, count in zip(rows, counts, strict=True)]


def _split_patches(diff: str) -> list[str | None]:
    """Return the hunks of each file of a diff, without its header; `None` where there are none."""
    files = re.split(r"^diff --git .*\n", diff, flags=re.MULTILINE)[1:]
    return [_cut_header(file) for file in files]


def _cut_header(file: str) -> str | None:
    start = file.find("\n@@ ")
    return file[start + 1 :].removesuffix("\n") if start >= 0 else None
