"""The newest head of the endpoint's audit log, kept in the customer's own repository: a ref with one small file. No rules.

Each run that learns of a newer head adds a commit, so the ref's history is a list of every head the runs have seen, in a
place that the endpoint cannot write to. It is no branch: nothing is checked out of it, and nothing runs for it.
"""

from pathlib import Path
from typing import Final

from coven_action.adapters.git.program import BOT_NAME, NETWORK_TIMEOUT, Git, Settings, build_identity
from coven_action.adapters.git.reading import read_file
from coven_action.core.publication.targets import BOT_EMAIL
from coven_action.core.redaction.redactor import Redacted
from coven_action.errors import GitError

WITNESS_REF: Final = "refs/coven/witness"
WITNESS_FILE: Final = "head.json"
MAX_WITNESS_BYTES: Final = 4096
_DATE: Final = "1970-01-01T00:00:00Z"


class GitWitness:
    """The ref in the repository on the server.

    Args:
        git: The git program.
        folder: Where a repository of ours is made.
        remote_url: Where the repository is, without credentials.
        authorization: Settings that carry the credential.
    """

    def __init__(self, git: Git, folder: Path, remote_url: str, authorization: Settings) -> None:
        self._git = git
        self._root = folder / "witness.git"
        self._remote_url = remote_url
        self._authorization = authorization

    def read(self) -> bytes | None:
        """Return what was kept last; None where nothing was.

        Raises:
            GitError: The server cannot be asked.
        """
        tip = self._fetch()
        return read_file(self._git, self._root, tip, WITNESS_FILE, MAX_WITNESS_BYTES) if tip else None

    def write(self, document: Redacted) -> None:
        """Keep a document in place of the last one, whose commit becomes its parent.

        Raises:
            GitError: It cannot be pushed; another run may have been faster, and then its head is as good.
        """
        tip = self._fetch()
        blob = self._run("hash-object", "-w", "--stdin", stdin=document.encode())
        tree = self._run("mktree", stdin=f"100644 blob {blob}\t{WITNESS_FILE}\n".encode())
        parents = ("-p", tip) if tip else ()
        environment = build_identity(BOT_NAME, BOT_EMAIL, _DATE)
        commit = self._run("commit-tree", tree, *parents, "-m", "Keep the newest audit head", environment=environment)
        lease = f"--force-with-lease={WITNESS_REF}:{tip or ''}"
        self._remote("push", "--quiet", "--no-verify", lease, self._remote_url, f"{commit}:{WITNESS_REF}")

    def _fetch(self) -> str | None:
        """Fetch the ref's newest commit; None where there is no such ref."""
        self._git.run("init", "--quiet", "--bare", str(self._root))
        listed = self._remote("ls-remote", "--refs", self._remote_url, WITNESS_REF).decode().split()
        if not listed:
            return None
        self._remote("fetch", "--quiet", "--no-tags", "--depth=1", self._remote_url, f"+{WITNESS_REF}:{WITNESS_REF}")
        return self._run("rev-parse", "--verify", "--end-of-options", WITNESS_REF)

    def _run(self, *arguments: str, stdin: bytes | None = None, environment: dict[str, str] | None = None) -> str:
        return self._git.run(*arguments, cwd=self._root, stdin=stdin, environment=environment).decode().strip()

    def _remote(self, *arguments: str) -> bytes:
        try:
            return self._git.run(*arguments, cwd=self._root, settings=self._authorization, timeout=NETWORK_TIMEOUT)
        except GitError as error:
            raise GitError("git-failed", f"The witness could not be asked or kept: {error.message}") from error
