"""The clone that `publish` makes for itself, and the trees that `plan` reads. No rules here."""

import base64
import re
import time
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Final

from coven_action.adapters.git.bundles import check_objects, fetch_bundle
from coven_action.adapters.git.merging import find_conflicts, is_ancestor
from coven_action.adapters.git.program import (
    BASE_REF,
    NETWORK_TIMEOUT,
    Git,
    Settings,
    build_identity,
)
from coven_action.adapters.git.reading import FILE_MODE, list_changes, parse_tree, read_file, read_patch
from coven_action.adapters.git.witness import GitWitness
from coven_action.core.publication.targets import BOT_EMAIL
from coven_action.core.redaction.redactor import Redacted
from coven_action.core.verification.changes import ChangedFile
from coven_action.errors import GitError

NETWORK_ATTEMPTS: Final = 3
# Commits of a branch that are fetched to see whether a result still merges. A base moves by a few of them during a run.
HISTORY_DEPTH: Final = 100
RETRY_SECONDS: Final = 1.0
# git's and libcurl's words for what another try can mend, and for what only another token can.
_TRANSIENT: Final = (
    r"error: 5[0-9][0-9]|error: 429|RPC failed|Empty reply|early EOF|hung up|timed out|Could not resolve|"
    r"Failed to connect|Connection reset|Recv failure|unexpected disconnect"
)
_REFUSED: Final = r"error: 403|Authentication failed|could not read Username"
_PUSH_PERMISSION: Final = "Add to the job in your workflow:\n    permissions:\n      contents: write"


class GitPublicationRepositories:
    """Makes the clones that `publish` works in.

    Args:
        git: The git program.
        remote_url: Where the repository is, without credentials.
        token: The credential, handed to git through its environment: not on a command line, not in a file.
        sleep: How to wait before a command is tried again.
    """

    def __init__(
        self, git: Git, remote_url: str, token: str | None, *, sleep: Callable[[float], None] = time.sleep
    ) -> None:
        self._git = git
        self._remote_url = remote_url
        self._token = token
        self._sleep = sleep

    def clone(self, folder: Path, base_sha: str) -> "GitPublicationRepository":
        """Fetch the base commit from the server into a new repository."""
        root = folder / "publication.git"
        self._git.run("init", "--quiet", "--bare", str(root))
        repository = GitPublicationRepository(
            self._git, root, base_sha, self._remote_url, self._authorization(), self._sleep
        )
        repository.fetch_base()
        return repository

    def open_witness(self, folder: Path) -> GitWitness:
        """Return where the runs of the repository keep the newest head of the endpoint's audit log."""
        return GitWitness(self._git, folder, self._remote_url, self._authorization())

    def fetch(self, folder: Path, commits: Sequence[str]) -> "GitTrees":
        """Fetch commits from the server into a new repository."""
        root = folder / "trees.git"
        self._git.run("init", "--quiet", "--bare", str(root))
        for commit in commits:
            GitPublicationRepository(
                self._git, root, commit, self._remote_url, self._authorization(), self._sleep
            ).fetch_base()
        return GitTrees(self._git, root)

    def _authorization(self) -> Settings:
        if self._token is None:
            return ()
        credential = base64.b64encode(f"x-access-token:{self._token}".encode()).decode()
        return ((f"http.{self._remote_url}.extraHeader", f"Authorization: Basic {credential}"),)


class GitTrees:
    """Commits in a bare repository of ours."""

    def __init__(self, git: Git, root: Path) -> None:
        self._git = git
        self._root = root

    def list_files(self, commit: str, folder: str) -> tuple[tuple[str, bool], ...]:
        """Return each path below a folder, and whether it is an ordinary file (no link, executable or submodule)."""
        listed = self._git.run("ls-tree", "-r", "-z", "--full-tree", commit, "--", f"{folder}/", cwd=self._root)
        return tuple((path, mode == FILE_MODE) for mode, _, path in parse_tree(listed))

    def read_file(self, commit: str, path: str, limit: int) -> bytes | None:
        """Return an ordinary file's content, at most `limit` + 1 bytes; None where there is none."""
        return read_file(self._git, self._root, commit, path, limit)


class GitPublicationRepository:
    """A bare repository of ours: there is no work tree in which anything of the agent's could take effect."""

    def __init__(
        self,
        git: Git,
        root: Path,
        base_sha: str,
        remote_url: str,
        authorization: Settings,
        sleep: Callable[[float], None],
    ) -> None:
        self._git = git
        self._root = root
        self._base_sha = base_sha
        self._remote_url = remote_url
        self._authorization = authorization
        self._sleep = sleep

    def fetch_base(self) -> None:
        """Fetch the one commit the result stands on; its tree is all a comparison needs."""
        self._remote("fetch", "--quiet", "--no-tags", "--depth=1", self._remote_url, f"+{self._base_sha}:{BASE_REF}")

    def import_bundle(self, bundle: Path) -> str:
        """Take a bundle's objects in and return its tip."""
        tip = fetch_bundle(self._git, self._root, bundle)
        self._check_objects(tip)
        return tip

    def _check_objects(self, tip: str) -> None:
        check_objects(self._git, self._root, tip, self._base_sha)

    def list_changes(self, tip: str) -> tuple[ChangedFile, ...]:
        """Return what differs between the base and `tip`."""
        return list_changes(self._git, self._root, self._base_sha, tip)

    def read_patch(self, tip: str, limit: int) -> bytes:
        """Return the patch from the base to `tip`, at most `limit` + 1 bytes."""
        return read_patch(self._git, self._root, self._base_sha, tip, limit)

    def read_file(self, commit: str, path: str, limit: int) -> bytes | None:
        """Return an ordinary file's content, at most `limit` + 1 bytes; None where there is none."""
        return read_file(self._git, self._root, commit, path, limit)

    def list_parents(self, commit: str) -> tuple[str, ...]:
        """Return a commit's parents."""
        return tuple(self._run("show", "--no-patch", "--format=%P", commit, "--").decode().split())

    def commit(self, tip: str, message: Redacted, *, author: str, at: datetime) -> str:
        """Return a new commit with the tree of `tip` on top of the base."""
        identity = build_identity(author, BOT_EMAIL, at.strftime("%Y-%m-%dT%H:%M:%S%z"))
        tree = self._run("rev-parse", f"{tip}^{{tree}}").decode().strip()
        return (
            self._run("commit-tree", tree, "-p", self._base_sha, stdin=message.encode(), environment=identity)
            .decode()
            .strip()
        )

    def find_remote_sha(self, branch: str) -> str | None:
        """Return the commit a branch of the server points to now, None where it does not exist."""
        return self.find_remote_shas((branch,))[0]

    def find_remote_shas(self, branches: Sequence[str]) -> tuple[str | None, ...]:
        """Return the commit each of these branches of the server points to now, None where one does not exist."""
        refs = [f"refs/heads/{branch}" for branch in branches]
        listed = self._remote("ls-remote", "--refs", self._remote_url, *refs).decode("utf-8", "backslashreplace")
        shas = {ref: sha for sha, _, ref in (line.partition("\t") for line in listed.splitlines())}
        return tuple(shas.get(ref) for ref in refs)

    def fetch_history(self, commits: Sequence[str]) -> None:
        """Fetch the newest part of some commits' history from the server."""
        depth = f"--depth={HISTORY_DEPTH}"
        self._remote("fetch", "--quiet", "--no-tags", "--no-write-fetch-head", depth, self._remote_url, *commits)

    def is_ancestor(self, older: str, newer: str) -> bool:
        """Return whether a commit is in another one's history, as far as that was fetched."""
        return is_ancestor(self._git, self._root, older, newer)

    def find_conflicts(self, one: str, other: str) -> tuple[str, ...] | None:
        """Return the paths on which two commits conflict; None where no commit that both stand on was fetched."""
        return find_conflicts(self._git, self._root, one, other)

    def push(self, commit: str, branch: str, *, expected_sha: str | None) -> None:
        """Push one commit to one branch, which must still point to `expected_sha` (or not exist).

        Raises:
            GitError: `missing-permission` where the token may not push, else `git-failed`.
        """
        ref = f"refs/heads/{branch}"
        lease = f"--force-with-lease={ref}:{expected_sha or ''}"
        try:
            self._remote("push", "--quiet", "--porcelain", "--no-verify", lease, self._remote_url, f"{commit}:{ref}")
        except GitError as error:
            # An answer can be lost after the deed: what the server says now decides.
            if self._has_arrived(commit, branch):
                return
            if re.search(_REFUSED, error.message) is None:
                raise
            raise GitError(
                "missing-permission", f"The job's token may not push to {branch}.", remedy=_PUSH_PERMISSION
            ) from error

    def _has_arrived(self, commit: str, branch: str) -> bool:
        try:
            return self.find_remote_sha(branch) == commit
        except GitError:
            return False

    def _run(self, *arguments: str, stdin: bytes | None = None, environment: Mapping[str, str] | None = None) -> bytes:
        return self._git.run(*arguments, cwd=self._root, stdin=stdin, environment=environment)

    def _remote(self, *arguments: str) -> bytes:
        """Run a command that talks to the server; what the network or the server broke is tried again, a few times."""
        for attempt in range(NETWORK_ATTEMPTS - 1):
            try:
                return self._try_remote(*arguments)
            except GitError as error:
                if re.search(_TRANSIENT, error.message) is None:
                    raise
                self._sleep(RETRY_SECONDS * 2**attempt)
        return self._try_remote(*arguments)

    def _try_remote(self, *arguments: str) -> bytes:
        return self._git.run(*arguments, cwd=self._root, settings=self._authorization, timeout=NETWORK_TIMEOUT)
