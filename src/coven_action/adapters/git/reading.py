"""What a repository holds, read through git: changes, patches, files. No rules here."""

from collections.abc import Iterator
from pathlib import Path
from typing import Final

from coven_action.adapters.git.program import LARGE_FILE, Git
from coven_action.core.contract.process_output import MIB
from coven_action.core.verification.changes import ChangedFile, find_links, find_objects, parse_changes
from coven_action.core.verification.findings import name_some
from coven_action.errors import GitError

# Longer targets than Linux follows, and more links than any change should make, are not looked up: they are refused.
MAXIMUM_LINK: Final = 4096
MAXIMUM_LINKS: Final = 200
# A record is about a hundred bytes: more files than any change should touch, and few enough to be held in memory.
MAXIMUM_RECORDS: Final = 16 * MIB
LARGE_CHANGE: Final = 256 * MIB
"""Bytes of all files of a change, before and after it: so much may be checked out for nothing."""
FILE_MODE: Final = "100644"
_READABLE_MODES: Final = frozenset({FILE_MODE, "100755"})
_COMPARE: Final = (
    "diff-tree",
    "-r",
    "-z",
    "--no-renames",
    "--no-ext-diff",
    "--no-textconv",
    "--ignore-submodules=none",
)
_TOO_LARGE: Final = "change-too-large"
_RAW: Final = ("--raw", "--abbrev=40")


def check_sizes(git: Git, cwd: Path, base: str, tip: str) -> None:
    """Refuse a change that could not be compared in bounded memory, or would fill a disk when it is checked out.

    A file of zeros, or of line breaks, takes next to nothing to make and to carry along, so that the bounds of the sandbox
    and the size of a bundle say nothing about it.

    Raises:
        GitError: `change-too-large`.
    """
    raw = git.read(*_COMPARE, *_RAW, base, tip, "--", cwd=cwd, limit=MAXIMUM_RECORDS)
    if len(raw) > MAXIMUM_RECORDS:
        raise GitError(_TOO_LARGE, "More files are changed than can be compared.")
    objects = find_objects(raw.decode("utf-8", "backslashreplace"))
    names = "".join(f"{sha}\n" for sha, _ in objects)
    told = git.run("cat-file", "--batch-check=%(objectsize)", cwd=cwd, stdin=names.encode()).split(b"\n")[:-1]
    # What is not there is told by other words than a number: nothing of it can be compared, and git says so then.
    sizes = [int(size) if size.isdigit() else 0 for size in told]
    large = [path for (_, path), size in zip(objects, sizes, strict=True) if size > LARGE_FILE]
    if large:
        raise GitError(_TOO_LARGE, f"Files of more than {LARGE_FILE // MIB} MiB are changed: {name_some(large)}.")
    if sum(sizes) > LARGE_CHANGE:
        raise GitError(_TOO_LARGE, f"The changed files have more than {LARGE_CHANGE // MIB} MiB together.")


def list_changes(git: Git, cwd: Path, base: str, tip: str) -> tuple[ChangedFile, ...]:
    """Return what differs between two commits: every path, mode and count, with where links lead."""
    raw, numstat = (
        # A path that is not UTF-8 keeps its bytes as escapes: it is shown and judged, never written anywhere by us.
        git.run(*_COMPARE, *form, base, tip, "--", cwd=cwd).decode("utf-8", "backslashreplace")
        for form in (_RAW, ("--numstat",))
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
