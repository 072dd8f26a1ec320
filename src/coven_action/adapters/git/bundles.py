"""A bundle's objects, taken into a repository of ours and looked at before anything is made of them. No rules here."""

import re
from pathlib import Path
from typing import Final

from coven_action.adapters.git.program import RESULT_REF, Git
from coven_action.adapters.git.reading import check_sizes
from coven_action.errors import GitError

MOST_HEADER: Final = 64 * 1024
_COMMIT: Final = re.compile(rb"[0-9a-f]{40}(?:[0-9a-f]{24})?")
_FIRST_LINES: Final = (b"# v2 git bundle\n", b"# v3 git bundle\n")


def import_bundle(git: Git, root: Path, bundle: Path, base: str) -> str:
    """Take a bundle's objects in and return its tip.

    Args:
        git: The git program.
        root: A git directory that holds `base`; nobody else writes to it.
        bundle: The file.
        base: The commit that the bundle stands on.

    Raises:
        GitError: It is no bundle, stands on something else, or holds objects that git would not make. `change-too-large`:
            it holds what could not be compared, or would unpack to far more than it is.
    """
    tip = fetch_bundle(git, root, bundle)
    check_objects(git, root, tip, base)
    return tip


def fetch_bundle(git: Git, root: Path, bundle: Path) -> str:
    """Take a bundle's objects in, unlooked at, and return its tip."""
    fetch = ("fetch", "--quiet", "--no-tags", "--no-write-fetch-head", str(bundle))
    git.run(*fetch, f"+{RESULT_REF}:{RESULT_REF}", cwd=root)
    return git.run("rev-parse", "--verify", "--end-of-options", RESULT_REF, cwd=root).decode().strip()


def check_objects(git: Git, root: Path, tip: str, base: str) -> None:
    """Refuse objects that git would not make, such as a tree with `..` in it, and those that are too large to look at.

    `fetch.fsckObjects` does not reach bundles in every git that is still in use, so the new objects are packed and
    indexed once more, strictly. https://git-scm.com/docs/git-index-pack#Documentation/git-index-pack.txt---strict
    """
    wanted = f"{tip}\n^{base}\n".encode()
    name = git.run("pack-objects", "--quiet", "--revs", str(root / "new"), cwd=root, stdin=wanted).decode().strip()
    try:
        git.run("index-pack", "--strict", str(root / f"new-{name}.pack"), cwd=root)
    finally:
        for left in root.glob(f"new-{name}.*"):
            left.unlink()
    check_sizes(git, root, base, tip)


def read_base(bundle: Path) -> str:
    """Return the one commit that a bundle says it stands on.

    The header: https://git-scm.com/docs/gitformat-bundle.

    Raises:
        GitError: It is no bundle, or stands on none or on several.
    """
    try:
        with bundle.open("rb") as stream:
            header = stream.read(MOST_HEADER)
    except OSError as error:
        raise GitError("io-failed", f"The bundle cannot be read: {error.strerror}.") from error
    lines = header.partition(b"\n\n")[0].splitlines()
    wanted = [line[1:].split(b" ")[0] for line in lines if line.startswith(b"-")]
    # A name in the place of a commit could be an option of the command that it is handed to.
    if not header.startswith(_FIRST_LINES) or len(wanted) != 1 or not _COMMIT.fullmatch(wanted[0]):
        raise GitError("bundle-mismatch", "The bundle does not stand on exactly one commit.")
    return wanted[0].decode("ascii")
