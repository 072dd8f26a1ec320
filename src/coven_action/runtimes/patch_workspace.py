"""The workspace of the `patch` runtime: read its files, and let git apply a diff to them.

The workspace is hostile: its `.git/config`, hooks, attributes and links were made by others. So git works with an empty
repository of our own in a temporary folder (its `info/attributes` beat every `.gitattributes`), reads no configuration
but what stands here, starts no filter, hook or monitor, and the workspace's own `.git` is a folder like any other,
which diffs may not touch. Files are read without following a link.
"""

import os
import stat
import subprocess
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from coven_action.core.patches.explanation import quote

MAX_READ_BYTES: Final = 32 * 1024 * 1024
"""Larger files are left to git alone: no line ends are adapted, no conflict is explained."""
GIT_SECONDS: Final = 120
MAX_STDERR: Final = 2000

# No conversion of line ends, no keyword expansion, no filter, whatever the workspace's .gitattributes say.
_ATTRIBUTES: Final = "** -text -eol -ident -filter -working-tree-encoding -whitespace\n"
_SETTINGS: Final = (
    "core.autocrlf=false",
    "core.safecrlf=false",
    "core.hooksPath=/dev/null",
    "core.fsmonitor=false",
    "core.attributesFile=/dev/null",
    "core.protectHFS=true",
    "core.protectNTFS=true",
    "core.symlinks=true",
    "core.fileMode=true",
    "apply.whitespace=nowarn",
)


class WorkspaceError(Exception):
    """Raised when git cannot be used or the workspace cannot be read: our own trouble, not the diff's."""


class UnsafePathError(Exception):
    """Raised for a path that leads through a link or to something that is no regular file."""


@dataclass(frozen=True, slots=True)
class Workspace:
    """A folder with the files, and git at arm's length."""

    root: Path
    environment: Mapping[str, str]

    def read(self, path: str) -> bytes | None:
        """Return a file's content, or None where there is no such file or it is too large to look at.

        Raises:
            UnsafePathError: The path leads through a symbolic link, or to no regular file.
        """
        place = self.root
        parts = path.split("/")
        for index, part in enumerate(parts):
            place /= part
            try:
                mode = place.lstat().st_mode
            except (FileNotFoundError, NotADirectoryError):
                return None
            is_last = index == len(parts) - 1
            if not (stat.S_ISREG(mode) if is_last else stat.S_ISDIR(mode)):
                kind = "a symbolic link" if stat.S_ISLNK(mode) else "no file" if is_last else "no folder"
                raise UnsafePathError("/".join(parts[: index + 1]) + f" is {kind}")
        return place.read_bytes() if place.stat().st_size <= MAX_READ_BYTES else None

    def check(self, diff: str) -> str | None:
        """Return git's reasons why the diff does not apply as a whole, or None where it does."""
        return self._apply(diff, "--check")

    def apply(self, diff: str) -> None:
        """Apply a diff that `check` found to apply.

        Raises:
            WorkspaceError: It was not written, or in part only: a full disk, a file mode, a folder in the way.
        """
        refusal = self._apply(diff)
        if refusal is not None:
            raise WorkspaceError(f"git could not write the changes: {quote(refusal)}")

    def find_blob(self, commit: str, path: str) -> bytes | None:
        """Return what a file held in a commit, or None where the clone does not have it.

        Only the workspace's object files are looked at, none of its configuration.
        """
        environment = {"GIT_ALTERNATE_OBJECT_DIRECTORIES": str(self.root / ".git" / "objects")}
        done = self._run(["cat-file", "blob", f"{commit}:{path}"], environment=environment)
        return done.stdout if done.returncode == 0 else None

    def _apply(self, diff: str, *options: str) -> str | None:
        done = self._run(["apply", *options, "-p1", "--whitespace=nowarn", "-"], standard_input=diff.encode())
        if done.returncode == 0:
            return None
        return done.stderr.decode("utf-8", "replace")[:MAX_STDERR].strip() or f"git apply ended with {done.returncode}"

    def _run(
        self, arguments: list[str], *, standard_input: bytes = b"", environment: Mapping[str, str] | None = None
    ) -> subprocess.CompletedProcess[bytes]:
        settings = [part for setting in _SETTINGS for part in ("-c", setting)]
        try:
            return subprocess.run(
                ["git", *settings, *arguments],
                cwd=self.root,
                env={**self.environment, **(environment or {})},
                input=standard_input,
                capture_output=True,
                timeout=GIT_SECONDS,
                check=False,
            )
        except (OSError, subprocess.TimeoutExpired) as error:
            raise WorkspaceError(f"git could not be run: {type(error).__name__}") from error


@contextmanager
def open_workspace(root: str, *, search_path: str) -> Iterator[Workspace]:
    """Yield the workspace, with git's own files in a temporary folder that is removed afterwards.

    Args:
        root: Absolute path of the folder to work in.
        search_path: `PATH`, by which git is found.

    Raises:
        WorkspaceError: The folder is missing, or git cannot be run.
    """
    if not Path(root).is_absolute() or not Path(root).is_dir():
        raise WorkspaceError("workspace.root is not the absolute path of a folder")
    with tempfile.TemporaryDirectory(prefix="coven-patch-") as own:
        workspace = Workspace(Path(root), _build_environment(own, root, search_path))
        _make_repository(workspace, Path(own))
        yield workspace


def _build_environment(own: str, root: str, search_path: str) -> dict[str, str]:
    """Return all that git may know: nothing of the caller's environment but where programs are."""
    return {
        "PATH": search_path,
        "HOME": own,
        "LC_ALL": "C",
        "GIT_DIR": str(Path(own, "repository")),
        "GIT_WORK_TREE": root,
        "GIT_CONFIG_NOSYSTEM": "1",
        "GIT_CONFIG_SYSTEM": os.devnull,
        "GIT_CONFIG_GLOBAL": os.devnull,
        "GIT_ATTR_NOSYSTEM": "1",
        "GIT_TERMINAL_PROMPT": "0",
        "GIT_NO_LAZY_FETCH": "1",
    }


def _make_repository(workspace: Workspace, own: Path) -> None:
    done = workspace._run(["init", "--quiet", "--template="])  # noqa: SLF001
    if done.returncode != 0:
        raise WorkspaceError("git could not make its temporary repository")
    attributes = own / "repository" / "info" / "attributes"
    attributes.parent.mkdir(exist_ok=True)
    attributes.write_text(_ATTRIBUTES, encoding="utf-8")
