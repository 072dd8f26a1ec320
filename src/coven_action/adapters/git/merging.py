"""How two commits merge, computed in a bare repository of ours: no work tree, no hook, no filter, no driver. No rules here."""

from pathlib import Path
from typing import Final

from coven_action.adapters.git.program import Git

# `git merge-tree --write-tree`. https://git-scm.com/docs/git-merge-tree and git's release notes of 2.38
MERGE_TREE_VERSION: Final = (2, 38)
WHOLE_TREE: Final = "the tree as a whole"


def is_ancestor(git: Git, root: Path, older: str, newer: str) -> bool:
    """Return whether a commit is in another one's history, as far as that history is in the repository."""
    is_here, _ = git.ask("cat-file", "-e", older, cwd=root)
    return is_here and git.run("rev-list", "--count", older, f"^{newer}", "--", cwd=root).strip() == b"0"


def find_conflicts(git: Git, root: Path, one: str, other: str) -> tuple[str, ...] | None:
    """Return the paths on which two commits conflict; None where no commit that both stand on is in the repository."""
    has_base, base = git.ask("merge-base", one, other, cwd=root)
    if not has_base:
        return None
    if git.find_version() >= MERGE_TREE_VERSION:
        return _merge(git, root, one, other)
    return _find_overlap(git, root, base.decode().strip(), one, other)


def _merge(git: Git, root: Path, one: str, other: str) -> tuple[str, ...]:
    merge = ("merge-tree", "--write-tree", "-z", "--name-only", "--no-messages", one, other)
    is_clean, written = git.ask(*merge, cwd=root)
    if is_clean:
        return ()
    # The first field is the tree with the conflicts in it. A conflict need not name a path: the exit code decides.
    names = [name.decode("utf-8", "backslashreplace") for name in written.split(b"\0")[1:] if name]
    return tuple(dict.fromkeys(names)) or (WHOLE_TREE,)


def _find_overlap(git: Git, root: Path, base: str, one: str, other: str) -> tuple[str, ...]:
    """Return what a git too old to merge without a work tree can say: what both changed counts as a conflict.

    A file in the way of a folder counts too: neither path then equals the other, but one contains it.
    """
    changed = [
        {
            name.decode("utf-8", "backslashreplace")
            for name in git.run(
                "diff-tree", "-r", "-z", "--name-only", "--no-renames", base, tip, "--", cwd=root
            ).split(b"\0")
            if name
        }
        for tip in (one, other)
    ]
    mine, theirs = changed
    return tuple(sorted(name for name in theirs if any(_meet(name, path) for path in mine)))


def _meet(one: str, other: str) -> bool:
    return one == other or one.startswith(f"{other}/") or other.startswith(f"{one}/")
