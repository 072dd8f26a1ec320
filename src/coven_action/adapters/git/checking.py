"""The trees that the repository's checks run in, and the test reports they leave there. No rules here.

A tree is an ordinary clone: its own `.git`, the history that the checkout has, a branch, no remote and no credential. What the
result brings into it was written by the agent: it is checked out by a git that executes nothing, and executed in a sandbox only.
"""

import os
import re
import stat
from collections import deque
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from coven_action.adapters.git.bundles import import_bundle, read_base
from coven_action.adapters.git.program import BASE_REF, NETWORK_TIMEOUT, RESULT_REF, Git
from coven_action.adapters.git.workspace import remove_folder
from coven_action.core.checks.summaries import MAX_REPORTS
from coven_action.errors import GitError

TREE: Final = "tree"
MOST_ENTRIES: Final = 20_000
"""Files and folders of a tree that are looked at in search of reports."""
MOST_LEVELS: Final = 12
MOST_REPORT: Final = 4 * 1024 * 1024
"""Bytes of one report; a larger one is left aside."""
MOST_BYTES: Final = 16 * 1024 * 1024
"""Bytes of all reports of one check together."""

# How test runners name their JUnit XML where nobody tells them, and where their documentation tells people to put it:
# https://maven.apache.org/surefire/maven-surefire-plugin/ (TEST-*.xml below surefire-reports),
# https://docs.gradle.org/current/userguide/java_testing.html (build/test-results), https://github.com/jest-community/jest-junit
# (junit.xml), https://docs.gitlab.com/ci/testing/unit_test_report_examples/ (report.xml, junit.xml, rspec.xml and others).
_NAME: Final = re.compile(
    r"(?i:.*junit.*|test-.*|.*[-_.]tests?|.*test-?_?(?:report|result)s?|xunit.*|nosetests|rspec|reports?|results?)\.(?i:xml)"
)
_FOLDERS: Final = frozenset(
    {
        "surefire-reports", "failsafe-reports", "test-results", "test_results", "testresults", "test-reports",
        "test_reports", "junit", "junit-reports", "reports",
    }
)  # fmt: skip
"""Any XML file below one of these may be a report; what is none is refused by whoever reads it."""
# Large, and nobody writes reports there.
_PASSED_BY: Final = frozenset(
    {".git", "node_modules", ".venv", "venv", ".tox", ".nox", "site-packages", "__pycache__", ".cache", ".mypy_cache"}
)
_FOLDER_FLAGS: Final = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW
# A link could name any file of this job; without O_NONBLOCK a named pipe would hold us here for ever.
_FILE_FLAGS: Final = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK

_Parts = tuple[str, ...]


class GitCheckTrees:
    """Makes trees for the checks.

    Args:
        git: The git program.
    """

    def __init__(self, git: Git) -> None:
        self._git = git

    def prepare(
        self, checkout: Path, folder: Path, commit: str, *, bundle: Path | None, default_branch: str
    ) -> "GitCheckTree":
        """Make `folder`/tree at a commit of the checkout's, or at the tip of a bundle that stands on one.

        Raises:
            GitError: `base-not-in-checkout`: the checkout lacks the commit. `bundle-mismatch`: the bundle's tip is another
                commit than the wanted one, or its parent another than the one it stands on. Else git's own failure.
        """
        root = folder / TREE
        base = commit if bundle is None else read_base(bundle)
        self._git.run("init", "--quiet", "--template=", str(root))
        self._fetch_base(checkout, root, base)
        if bundle is not None:
            self._import(bundle, root, base=base, tip=commit)
        # Scripts look there for what a change is compared with; our own names go.
        names = f"update refs/remotes/origin/{default_branch} {base}\ndelete {BASE_REF}\n"
        names += f"delete {RESULT_REF}\n" if bundle is not None else ""
        self._git.run("update-ref", "--stdin", cwd=root, stdin=names.encode())
        self._git.run("checkout", "--quiet", "--no-track", "-B", default_branch, commit, "--", cwd=root)
        return GitCheckTree(root)

    def _fetch_base(self, checkout: Path, root: Path, base: str) -> None:
        """Fetch a commit with the history and the tags that the checkout has of it."""
        try:
            self._git.run("cat-file", "-e", f"{base}^{{commit}}", cwd=checkout)
        except GitError as error:
            raise GitError(
                "base-not-in-checkout", f"The checkout in {checkout} does not contain the commit {base}."
            ) from error
        fetch = ("fetch", "--quiet", "--no-write-fetch-head", "--update-shallow", str(checkout.resolve()))
        self._git.run(*fetch, f"+{base}:{BASE_REF}", cwd=root, timeout=NETWORK_TIMEOUT)

    def _import(self, bundle: Path, root: Path, *, base: str, tip: str) -> None:
        found = import_bundle(self._git, root / ".git", bundle, base)
        if found != tip:
            raise GitError("bundle-mismatch", f"The bundle holds the commit {found}, and {tip} is wanted.")
        parents = self._git.run("show", "--no-patch", "--format=%P", tip, "--", cwd=root).decode().split()
        if parents != [base]:
            raise GitError("bundle-mismatch", f"The commit {tip} does not stand on {base} alone.")

    def destroy(self, folder: Path) -> None:
        """Remove everything that checks have left in a folder, read-only folders included. A link in its place is only removed.

        Raises:
            GitError: `io-failed`: something is left.
        """
        remove_folder(folder)


class GitCheckTree:
    """A tree that checks run in.

    Args:
        root: Its folder.
    """

    def __init__(self, root: Path) -> None:
        self._root = root

    @property
    def root(self) -> Path:
        """The tree's absolute path."""
        return self._root

    def read_reports(self, since: float) -> tuple[bytes, ...]:
        """Return the test reports written in the tree since a moment, in the order of their paths, within all bounds.

        Every folder on the way and the file itself are opened without following links: a link would have any file of this
        job read as a report. What cannot be opened is no report.
        """
        try:
            root = os.open(self._root, _FOLDER_FLAGS)
        except OSError:
            return ()  # the check has removed its own tree, or put something else in its place
        try:
            return tuple(_read_all(root, sorted(_find_reports(root, since))))
        finally:
            os.close(root)


def _find_reports(root: int, since: float) -> Iterator[_Parts]:
    """Yield the paths of what may be reports, shallow ones first: where a tree is larger than we look, they are found."""
    waiting: deque[_Parts] = deque([()])
    entries = found = 0
    while waiting:
        folder = waiting.popleft()
        handle = _open(root, folder, _FOLDER_FLAGS)
        if handle is None:
            continue
        try:
            with os.scandir(handle) as listed:
                for entry in listed:
                    entries += 1
                    if entries > MOST_ENTRIES or found == MAX_REPORTS:
                        return
                    path = (*folder, entry.name)
                    if entry.is_dir(follow_symlinks=False):
                        if entry.name not in _PASSED_BY and len(path) <= MOST_LEVELS:
                            waiting.append(path)
                    elif _may_be_report(path) and _is_new(entry, since):
                        found += 1
                        yield path
        except OSError:
            continue  # a folder that cannot be listed to its end holds no report for us
        finally:
            os.close(handle)


def _may_be_report(path: _Parts) -> bool:
    name = path[-1]
    return _NAME.fullmatch(name) is not None or (name.lower().endswith(".xml") and not _FOLDERS.isdisjoint(path[:-1]))


def _is_new(entry: "os.DirEntry[str]", since: float) -> bool:
    found = entry.stat(follow_symlinks=False)
    return stat.S_ISREG(found.st_mode) and found.st_size <= MOST_REPORT and found.st_mtime > since


def _read_all(root: int, paths: list[_Parts]) -> Iterator[bytes]:
    left = MOST_BYTES
    for path in paths:
        data = _read(root, path)
        if data is None or len(data) > left:
            continue
        left -= len(data)
        yield data


def _read(root: int, path: _Parts) -> bytes | None:
    handle = _open(root, path, _FILE_FLAGS)
    if handle is None:
        return None
    with os.fdopen(handle, "rb") as stream:
        try:
            if not stat.S_ISREG(os.fstat(handle).st_mode):
                return None
            data = stream.read(MOST_REPORT + 1)
        except OSError:
            return None
    return data if len(data) <= MOST_REPORT else None


def _open(root: int, path: _Parts, flags: int) -> int | None:
    """Open a path below a folder, no link anywhere on the way; None where that cannot be done."""
    handle = os.dup(root)
    for place, name in enumerate(path, start=1):
        try:
            inner = os.open(name, flags if place == len(path) else _FOLDER_FLAGS, dir_fd=handle)
        except OSError:
            return None
        finally:
            os.close(handle)
        handle = inner
    return handle
