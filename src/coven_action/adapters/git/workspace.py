"""The folder the runtime works in, and what is taken from it afterwards. No rules here."""

import os
import stat
from collections.abc import Mapping
from pathlib import Path

from coven_action.adapters.git.program import BASE_REF, NETWORK_TIMEOUT, RESULT_REF, Git, build_identity
from coven_action.adapters.git.reading import check_sizes, list_changes, read_patch
from coven_action.adapters.removal import remove_tree
from coven_action.core.contract.hand_off import HAND_OFF_FOLDER, UNPUBLISHED_FOLDERS
from coven_action.core.documents import Target
from coven_action.core.publication.targets import BOT_EMAIL
from coven_action.core.verification.changes import ChangedFile
from coven_action.errors import GitError


class GitWorkspaces:
    """Makes the folder the runtime works in."""

    def __init__(self, git: Git) -> None:
        self._git = git

    def prepare(
        self, checkout: Path, folder: Path, target: Target, *, default_branch: str, clone_url: str
    ) -> "GitWorkspace":
        """Clone `checkout` into `folder` at the target's base.

        The runtime gets an ordinary repository with history and the names it expects. We read its files through a
        second git directory, made once the runtime has ended, so that nothing it does to any `.git` decides what we see.

        Raises:
            GitError: The checkout lacks the base commit, or git failed.
        """
        root, watch = folder / "workspace", folder / "watch.git"
        self._check_base(checkout, target.base_sha)
        self._git.run("init", "--quiet", str(root))
        # The checkout may be shallow; the base commit is there either way.
        fetch = ("fetch", "--quiet", "--no-tags", "--no-write-fetch-head", "--update-shallow", str(checkout.resolve()))
        self._git.run(*fetch, "+refs/*:refs/coven-checkout/*", cwd=root, timeout=NETWORK_TIMEOUT)
        self._git.run("checkout", "--quiet", "-B", target.branch, target.base_sha, "--", cwd=root)
        self._git.run("update-ref", f"refs/remotes/origin/{default_branch}", target.base_sha, cwd=root)
        self._git.run("remote", "add", "origin", clone_url, cwd=root)
        # Only what the runtime works on stays named: no other branch or tag of the checkout is handed over by name.
        names = self._git.run("for-each-ref", "--format=delete %(refname)", "refs/coven-checkout", cwd=root)
        self._git.run("update-ref", "--stdin", cwd=root, stdin=names)
        return GitWorkspace(self._git, root, watch, target.base_sha, checkout.resolve())

    def _check_base(self, checkout: Path, base_sha: str) -> None:
        try:
            self._git.run("cat-file", "-e", f"{base_sha}^{{commit}}", cwd=checkout)
        except GitError as error:
            raise GitError(
                "base-not-in-checkout", f"The checkout in {checkout} does not contain the commit {base_sha}."
            ) from error

    def destroy(self, folder: Path) -> None:
        """Remove a workspace with everything in it, read-only folders included. A link in its place is only removed.

        Raises:
            GitError: `io-failed`: something is left.
        """
        remove_folder(folder)


def remove_folder(folder: Path) -> None:
    """Remove a folder as `GitWorkspaces.destroy` does."""
    try:
        if folder.is_dir() and not folder.is_symlink():
            remove_tree(folder)
        else:
            folder.unlink(missing_ok=True)
    except OSError as error:
        raise GitError("io-failed", f"The run's folder could not be removed: {error.strerror}.") from error


class GitWorkspace:
    """A workspace and the git directory through which we watch it.

    Args:
        git: The git program.
        root: The folder the runtime works in.
        watch: Where our git directory is to be made.
        base_sha: The commit the work starts from.
        checkout: A repository that holds that commit.
    """

    def __init__(self, git: Git, root: Path, watch: Path, base_sha: str, checkout: Path) -> None:
        self._git = git
        self._root = root
        self._watch = watch
        self._base_sha = base_sha
        self._checkout = checkout

    @property
    def root(self) -> Path:
        """The workspace's absolute path."""
        return self._root

    def read_hand_off(self, name: str, limit: int) -> bytes | None:
        """Return a hand-off file, at most `limit` + 1 bytes; None where there is no plain file of that name.

        Every folder on the way and the file itself are opened without following links: a link would let the agent
        have any file of this job read to it, or published.
        """
        handle = os.open(self._root, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
        try:
            for part in HAND_OFF_FOLDER.split("/"):
                inner = os.open(part, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW, dir_fd=handle)
                os.close(handle)
                handle = inner
            # Without O_NONBLOCK a named pipe would hold us here for ever.
            file = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK, dir_fd=handle)
        except OSError:
            return None  # absent, a link, or not readable: in each case there is no hand-off
        finally:
            os.close(handle)
        if not stat.S_ISREG(os.fstat(file).st_mode):
            os.close(file)
            return None
        with os.fdopen(file, "rb") as stream:
            return stream.read(limit + 1)

    def commit_tree(self) -> str | None:
        """Record the tree as it is now; None where nothing differs from the base.

        Raises:
            GitError: `change-too-large`: it could not be compared in bounded memory. Else git's own failure.
        """
        self._make_watch()
        self._run("read-tree", self._base_sha)
        excluded = [f":(exclude,top,literal){name}" for name in UNPUBLISHED_FOLDERS]
        self._run("add", "--all", "--", ":(top)", *excluded)
        tree = self._run("write-tree").decode().strip()
        base_tree = self._run("rev-parse", f"{self._base_sha}^{{tree}}").decode().strip()
        if tree == base_tree:
            return None
        check_sizes(self._git, self._watch, base_tree, tree)
        identity = build_identity("Coven", BOT_EMAIL, "1970-01-01T00:00:00Z")
        tip = self._run(
            "commit-tree", tree, "-p", self._base_sha, "-m", "Result of a run", environment=identity
        ).decode()
        self._run("update-ref", RESULT_REF, tip.strip())
        return tip.strip()

    def _make_watch(self) -> None:
        """Make the git directory anew: a filter that somebody has put into its configuration would be executed by us."""
        remove_folder(self._watch)
        self._git.run("init", "--quiet", "--bare", "--template=", str(self._watch))
        fetch = ("fetch", "--quiet", "--no-tags", "--update-shallow", str(self._checkout))
        self._git.run(*fetch, f"+{self._base_sha}:{BASE_REF}", cwd=self._watch, timeout=NETWORK_TIMEOUT)

    def write_bundle(self, tip: str, path: Path) -> None:
        """Write the commits from the base to `tip` as a bundle."""
        del tip  # RESULT_REF names it; a bundle carries names
        self._run("bundle", "create", "--quiet", str(path), RESULT_REF, f"^{self._base_sha}")

    def list_changes(self, tip: str) -> tuple[ChangedFile, ...]:
        """Return what differs between the base and `tip`."""
        return list_changes(self._git, self._watch, self._base_sha, tip)

    def read_patch(self, tip: str, limit: int) -> bytes:
        """Return the patch from the base to `tip`, at most `limit` + 1 bytes."""
        return read_patch(self._git, self._watch, self._base_sha, tip, limit)

    def _run(self, *arguments: str, environment: Mapping[str, str] | None = None) -> bytes:
        place = {"GIT_DIR": str(self._watch), "GIT_WORK_TREE": str(self._root)}
        return self._git.run(*arguments, cwd=self._root, environment={**place, **(environment or {})})
