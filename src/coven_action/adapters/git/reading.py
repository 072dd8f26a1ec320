"""What a repository holds, read through git: changes, patches, files. No rules here."""

from collections.abc import Iterator
from pathlib import Path
from typing import Final

from coven_action.adapters.git.program import Git
from coven_action.core.verification.changes import ChangedFile, find_links, parse_changes

# Longer targets than Linux follows, and more links than any change should make, are not looked up: they are refused.
MAXIMUM_LINK: Final = 4096
MAXIMUM_LINKS: Final = 200
FILE_MODE: Final = "100644"
_READABLE_MODES: Final = frozenset({FILE_MODE, "100755"})


def list_changes(git: Git, cwd: Path, base: str, tip: str) -> tuple[ChangedFile, ...]:
    """Return what differs between two commits: every path, mode and count, with where links lead."""
    common = ("diff-tree", "-r", "-z", "--no-renames", "--no-ext-diff", "--no-textconv", "--ignore-submodules=none")
    raw, numstat = (
        # A path that is not UTF-8 keeps its bytes as escapes: it is shown and judged, never written anywhere by us.
        git.run(*common, *form, base, tip, "--", cwd=cwd).decode("utf-8", "backslashreplace")
        for form in (("--raw", "--abbrev=40"), ("--numstat",))
    )
    targets = {
        sha: git.read("cat-file", "blob", sha, cwd=cwd, limit=MAXIMUM_LINK).decode("utf-8", "backslashreplace")
        for sha in find_links(raw)[:MAXIMUM_LINKS]
    }
    return parse_changes(raw, numstat, targets)


def read_patch(git: Git, cwd: Path, base: str, tip: str, limit: int) -> bytes:
    """Return the patch from `base` to `tip`, at most `limit` + 1 bytes.

    Everything is shown as text: one NUL byte would otherwise have git pack a file's content, and a secret in it would pass
    the search for secrets unseen.
    """
    options = ("--no-renames", "--no-ext-diff", "--no-textconv", "--text", "--full-index", "-p", "-r")
    return git.read("diff-tree", *options, base, tip, "--", cwd=cwd, limit=limit)


def parse_tree(listed: bytes) -> Iterator[tuple[str, str, str]]:
    """Yield mode, object and path of each line of `git ls-tree -z`."""
    for entry in listed.decode("utf-8", "backslashreplace").split("\0")[:-1]:
        header, _, path = entry.partition("\t")
        mode, _, sha = header.split(" ")
        yield mode, sha, path


def read_file(git: Git, root: Path, commit: str, path: str, limit: int) -> bytes | None:
    """Return a plain file at a commit, at most `limit` + 1 bytes; None where there is none."""
    # ls-tree takes the path as it is; `commit:path` would let a path with a colon or a caret say something else.
    listed = git.run("ls-tree", "-z", "--full-tree", commit, "--", path, cwd=root)
    for mode, sha, found in parse_tree(listed):
        if found == path and mode in _READABLE_MODES:
            return git.read("cat-file", "blob", sha, cwd=root, limit=limit)
    return None
