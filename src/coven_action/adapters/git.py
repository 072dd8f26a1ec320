"""Git, as the program, through one function. No rules here.

Every call gets a configuration of ours: system and user configuration off, hooks, file system monitor, external filters
and credential helpers off, no prompt, no protocol but the ones needed. It is handed over in the environment, where it
outranks the configuration of any repository, that of a submodule included: nothing a repository brings is executed.
https://git-scm.com/docs/git#_security and https://git-scm.com/docs/git-config#ENVIRONMENT
"""

import base64
import os
import re
import shutil
import stat
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Final

from coven_action.core.changes import ChangedFile, find_links, parse_changes
from coven_action.core.documents import Target
from coven_action.core.hand_off import HAND_OFF_FOLDER, UNPUBLISHED_FOLDERS
from coven_action.core.redaction import Redacted
from coven_action.errors import GitError

LOCAL_TIMEOUT: Final = 300.0
NETWORK_TIMEOUT: Final = 600.0
MAXIMUM_ERROR_LENGTH: Final = 2000
RESULT_REF: Final = "refs/coven/result"
BASE_REF: Final = "refs/coven/base"
# github-actions[bot], whose address GitHub links to the account of GITHUB_TOKEN.
BOT_EMAIL: Final = "41898282+github-actions[bot]@users.noreply.github.com"
BOT_NAME: Final = "github-actions[bot]"
# Longer targets than Linux follows, and more links than any change should make, are not looked up: they are refused.
MAXIMUM_LINK: Final = 4096
MAXIMUM_LINKS: Final = 200
NETWORK_ATTEMPTS: Final = 3
RETRY_SECONDS: Final = 1.0
# git's and libcurl's words for what another try can mend, and for what only another token can.
_TRANSIENT: Final = (
    r"error: 5[0-9][0-9]|error: 429|RPC failed|Empty reply|early EOF|hung up|timed out|Could not resolve|"
    r"Failed to connect|Connection reset|Recv failure|unexpected disconnect"
)
_REFUSED: Final = r"error: 403|Authentication failed|could not read Username"
_PUSH_PERMISSION: Final = "Add to the job in your workflow:\n    permissions:\n      contents: write"

Settings = tuple[tuple[str, str], ...]
_SETTINGS: Final[Settings] = (
    ("core.hooksPath", "/dev/null"),
    ("core.fsmonitor", "false"),
    ("core.untrackedCache", "false"),
    ("core.autocrlf", "false"),
    ("core.symlinks", "true"),
    ("core.protectHFS", "true"),
    ("core.protectNTFS", "true"),
    ("core.askPass", ""),
    ("credential.helper", ""),
    ("core.attributesFile", os.devnull),
    ("core.excludesFile", os.devnull),
    ("core.alternateRefsCommand", ""),
    ("diff.ignoreSubmodules", "dirty"),
    ("gc.auto", "0"),
    ("maintenance.auto", "false"),
    ("init.defaultBranch", "main"),
    ("commit.gpgSign", "false"),
    ("push.gpgSign", "false"),
    ("advice.detachedHead", "false"),
    ("submodule.recurse", "false"),
    ("fetch.recurseSubmodules", "false"),
    ("protocol.allow", "never"),
    ("protocol.https.allow", "always"),
    ("protocol.http.allow", "always"),
    ("protocol.file.allow", "always"),
    ("http.followRedirects", "initial"),
    ("transfer.fsckObjects", "true"),
    # Real histories hold harmless oddities that are older than these checks; what reaches a checkout stays refused.
    ("fetch.fsck.zeroPaddedFilemode", "ignore"),
    ("fetch.fsck.missingSpaceBeforeDate", "ignore"),
    ("fetch.fsck.badTimezone", "ignore"),
    ("safe.directory", "*"),
)


class Git:
    """The git program with a configuration of ours.

    Args:
        folder: Git's home: empty, and nothing an agent can write to.
        search_path: `PATH`, to find git and the helpers it starts.
    """

    def __init__(self, folder: Path, search_path: str) -> None:
        self._home = folder
        self._search_path = search_path
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise GitError("io-failed", f"The folder {folder} cannot be made: {error.strerror}.") from error

    def run(
        self,
        *arguments: str,
        cwd: Path | None = None,
        stdin: bytes | None = None,
        environment: Mapping[str, str] | None = None,
        settings: Settings = (),
        timeout: float = LOCAL_TIMEOUT,
    ) -> bytes:
        """Run one git command and return its standard output. `settings` are added to ours for this one command.

        Raises:
            GitError: It failed, took too long, or git is not installed. The message holds command and error output.
        """
        try:
            done = subprocess.run(
                ("git", *arguments),
                cwd=cwd,
                env={**self._environment(settings), **(environment or {})},
                input=stdin if stdin is not None else b"",
                capture_output=True,
                timeout=timeout,
                check=False,
            )
        except OSError as error:
            raise GitError("git-failed", f"git could not be started: {error.strerror}") from error
        except subprocess.TimeoutExpired as error:
            raise GitError("git-failed", f"git {arguments[0]} took longer than {timeout:.0f} s") from error
        if done.returncode:
            raise GitError("git-failed", _describe_failure(arguments, done.returncode, done.stderr))
        return done.stdout

    def read(self, *arguments: str, cwd: Path, limit: int) -> bytes:
        """Run one git command and return at most `limit` + 1 bytes of its output; the command is ended when there is more."""
        with self._open(arguments, cwd) as process:
            # Popen with PIPE always has the stream; the check is for the type checker.
            output = process.stdout.read(limit + 1) if process.stdout is not None else b""
            cut = len(output) > limit
            if cut:
                process.kill()
        if process.returncode and not cut:
            raise GitError("git-failed", _describe_failure(arguments, process.returncode, b""))
        return output

    def _open(self, arguments: Sequence[str], cwd: Path) -> "subprocess.Popen[bytes]":
        try:
            return subprocess.Popen(
                ("git", *arguments),
                cwd=cwd,
                env=self._environment(),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
            )
        except OSError as error:
            raise GitError("git-failed", f"git could not be started: {error.strerror}") from error

    def _environment(self, additions: Settings = ()) -> dict[str, str]:
        """Return the whole environment: nothing is inherited, least of all GIT_* variables."""
        settings = (*_SETTINGS, *additions)
        numbered = {"GIT_CONFIG_COUNT": str(len(settings))}
        for number, (name, value) in enumerate(settings):
            numbered |= {f"GIT_CONFIG_KEY_{number}": name, f"GIT_CONFIG_VALUE_{number}": value}
        return {
            "PATH": self._search_path,
            "LANG": "C.UTF-8",
            "HOME": str(self._home),
            "GIT_CONFIG_GLOBAL": os.devnull,
            "GIT_CONFIG_NOSYSTEM": "1",
            "GIT_ATTR_NOSYSTEM": "1",
            "GIT_TERMINAL_PROMPT": "0",
            "GIT_NO_REPLACE_OBJECTS": "1",
            "GIT_NO_LAZY_FETCH": "1",
            "GIT_OPTIONAL_LOCKS": "0",
            **numbered,
        }


def _describe_failure(arguments: Sequence[str], code: int, errors: bytes) -> str:
    said = errors.decode("utf-8", "replace").strip()[-MAXIMUM_ERROR_LENGTH:]
    return f"git {arguments[0]} ended with {code}: {said}"


def _list_changes(git: Git, cwd: Path, base: str, tip: str) -> tuple[ChangedFile, ...]:
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


def _read_patch(git: Git, cwd: Path, base: str, tip: str, limit: int) -> bytes:
    """Return the patch from `base` to `tip`, at most `limit` + 1 bytes.

    Everything is shown as text: one NUL byte would otherwise have git pack a file's content, and a secret in it would pass
    the search for secrets unseen.
    """
    options = ("--no-renames", "--no-ext-diff", "--no-textconv", "--text", "--full-index", "-p", "-r")
    return git.read("diff-tree", *options, base, tip, "--", cwd=cwd, limit=limit)


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
            _make_removable(folder)
            shutil.rmtree(folder)
        else:
            folder.unlink(missing_ok=True)
    except OSError as error:
        raise GitError("io-failed", f"The run's folder could not be removed: {error.strerror}.") from error


def _make_removable(folder: Path) -> None:
    folder.chmod(stat.S_IRWXU)
    for path, folders, _ in os.walk(folder):
        for name in folders:
            inner = Path(path, name)
            if not inner.is_symlink():
                inner.chmod(stat.S_IRWXU)


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
        """Record the tree as it is now; None where nothing differs from the base."""
        self._make_watch()
        self._run("read-tree", self._base_sha)
        excluded = [f":(exclude,top,literal){name}" for name in UNPUBLISHED_FOLDERS]
        self._run("add", "--all", "--", ":(top)", *excluded)
        tree = self._run("write-tree").decode().strip()
        base_tree = self._run("rev-parse", f"{self._base_sha}^{{tree}}").decode().strip()
        if tree == base_tree:
            return None
        identity = _identity("Coven", BOT_EMAIL, "1970-01-01T00:00:00Z")
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
        return _list_changes(self._git, self._watch, self._base_sha, tip)

    def read_patch(self, tip: str, limit: int) -> bytes:
        """Return the patch from the base to `tip`, at most `limit` + 1 bytes."""
        return _read_patch(self._git, self._watch, self._base_sha, tip, limit)

    def _run(self, *arguments: str, environment: Mapping[str, str] | None = None) -> bytes:
        place = {"GIT_DIR": str(self._watch), "GIT_WORK_TREE": str(self._root)}
        return self._git.run(*arguments, cwd=self._root, environment={**place, **(environment or {})})


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
        return tuple((path, mode == _FILE_MODE) for mode, _, path in _parse_tree(listed))

    def read_file(self, commit: str, path: str, limit: int) -> bytes | None:
        """Return an ordinary file's content, at most `limit` + 1 bytes; None where there is none."""
        return _read_file(self._git, self._root, commit, path, limit)


_FILE_MODE: Final = "100644"
_READABLE_MODES: Final = frozenset({_FILE_MODE, "100755"})


def _parse_tree(listed: bytes) -> Iterator[tuple[str, str, str]]:
    """Yield mode, object and path of each line of `git ls-tree -z`."""
    for entry in listed.decode("utf-8", "backslashreplace").split("\0")[:-1]:
        header, _, path = entry.partition("\t")
        mode, _, sha = header.split(" ")
        yield mode, sha, path


def _read_file(git: Git, root: Path, commit: str, path: str, limit: int) -> bytes | None:
    # ls-tree takes the path as it is; `commit:path` would let a path with a colon or a caret say something else.
    listed = git.run("ls-tree", "-z", "--full-tree", commit, "--", path, cwd=root)
    for mode, sha, found in _parse_tree(listed):
        if found == path and mode in _READABLE_MODES:
            return git.read("cat-file", "blob", sha, cwd=root, limit=limit)
    return None


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
        self._run("fetch", "--quiet", "--no-tags", str(bundle), f"+{RESULT_REF}:{RESULT_REF}")
        tip = self._run("rev-parse", "--verify", "--end-of-options", RESULT_REF).decode().strip()
        self._check_objects(tip)
        return tip

    def _check_objects(self, tip: str) -> None:
        """Refuse objects that git would not make, such as a tree with `..` in it.

        `fetch.fsckObjects` does not reach bundles in every git that is still in use, so the new objects are packed and
        indexed once more, strictly. https://git-scm.com/docs/git-index-pack#Documentation/git-index-pack.txt---strict
        """
        wanted = f"{tip}\n^{self._base_sha}\n".encode()
        name = self._run("pack-objects", "--quiet", "--revs", str(self._root / "new"), stdin=wanted).decode().strip()
        self._run("index-pack", "--strict", str(self._root / f"new-{name}.pack"))

    def list_changes(self, tip: str) -> tuple[ChangedFile, ...]:
        """Return what differs between the base and `tip`."""
        return _list_changes(self._git, self._root, self._base_sha, tip)

    def read_patch(self, tip: str, limit: int) -> bytes:
        """Return the patch from the base to `tip`, at most `limit` + 1 bytes."""
        return _read_patch(self._git, self._root, self._base_sha, tip, limit)

    def read_file(self, commit: str, path: str, limit: int) -> bytes | None:
        """Return an ordinary file's content, at most `limit` + 1 bytes; None where there is none."""
        return _read_file(self._git, self._root, commit, path, limit)

    def list_parents(self, commit: str) -> tuple[str, ...]:
        """Return a commit's parents."""
        return tuple(self._run("show", "--no-patch", "--format=%P", commit, "--").decode().split())

    def commit(self, tip: str, message: Redacted, *, author: str, at: datetime) -> str:
        """Return a new commit with the tree of `tip` on top of the base."""
        identity = _identity(author, BOT_EMAIL, at.strftime("%Y-%m-%dT%H:%M:%S%z"))
        tree = self._run("rev-parse", f"{tip}^{{tree}}").decode().strip()
        return (
            self._run("commit-tree", tree, "-p", self._base_sha, stdin=message.encode(), environment=identity)
            .decode()
            .strip()
        )

    def find_remote_sha(self, branch: str) -> str | None:
        """Return the commit a branch of the server points to now, None where it does not exist."""
        listed = self._remote("ls-remote", "--refs", self._remote_url, f"refs/heads/{branch}").decode()
        return next(
            (line.split("\t")[0] for line in listed.splitlines() if line.endswith(f"\trefs/heads/{branch}")), None
        )

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


def _identity(name: str, email: str, date: str) -> dict[str, str]:
    return {
        "GIT_AUTHOR_NAME": name,
        "GIT_AUTHOR_EMAIL": email,
        "GIT_AUTHOR_DATE": date,
        "GIT_COMMITTER_NAME": BOT_NAME,
        "GIT_COMMITTER_EMAIL": BOT_EMAIL,
        "GIT_COMMITTER_DATE": date,
    }
