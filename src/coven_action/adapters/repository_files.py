"""The few files of a person's repository that are ours to read and write. No link is followed, nothing is half written."""

import os
import stat
from collections.abc import Mapping
from pathlib import Path, PurePosixPath
from typing import Final

from coven_action.errors import DocumentError, EnvironmentFault

MAXIMUM_BYTES: Final = 1024 * 1024


class RepositoryFiles:
    """The working tree of one repository.

    Args:
        root: Its top folder.
    """

    def __init__(self, root: Path) -> None:
        self.root = root

    def find(self, path: str) -> bytes | None:
        """Return a file's content, at most `MAXIMUM_BYTES` + 1 of it; None where there is none.

        Raises:
            EnvironmentFault: `link-in-the-way`: it, or a folder on the way, is a link or no ordinary file.
            DocumentError: `io-failed`.
        """
        self._check_way(path)
        try:
            # Without O_NONBLOCK a named pipe would hold us here for ever.
            handle = os.open(self.root / path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
        except FileNotFoundError:
            return None
        except OSError as error:
            raise DocumentError("io-failed", f"{path} cannot be read: {error.strerror}.", place=path) from error
        with open(handle, "rb") as stream:  # noqa: PTH123 - a descriptor, not a path
            return stream.read(MAXIMUM_BYTES + 1)

    def list_files(self, folder: str, suffixes: tuple[str, ...]) -> tuple[str, ...]:
        """Return the paths of the files in a folder whose names end so, in order; none where there is no such folder."""
        self._check_way(f"{folder}/any")
        try:
            names = sorted(entry.name for entry in (self.root / folder).iterdir())
        except FileNotFoundError:
            return ()
        except OSError as error:
            raise DocumentError("io-failed", f"{folder} cannot be read: {error.strerror}.", place=folder) from error
        return tuple(f"{folder}/{name}" for name in names if name.endswith(suffixes))

    def write(self, files: Mapping[str, bytes]) -> None:
        """Write files: each whole or not at all, and none before all of them lie ready beside their places.

        Raises:
            EnvironmentFault: `link-in-the-way`.
            DocumentError: `io-failed`; a full disk, or a folder that cannot be written.
        """
        ready: list[tuple[Path, Path]] = []
        try:
            for path, data in files.items():
                self._check_way(path)
                target = self.root / path
                target.parent.mkdir(parents=True, exist_ok=True)
                temporary = target.with_name(f".{target.name}.new")
                temporary.unlink(missing_ok=True)
                ready.append((temporary, target))
                _write_new(temporary, data)
            for temporary, target in ready:
                temporary.replace(target)
        except OSError as error:
            raise DocumentError("io-failed", f"The files cannot be written: {error.strerror}.") from error
        finally:
            for temporary, _ in ready:
                temporary.unlink(missing_ok=True)

    def _check_way(self, path: str) -> None:
        """Refuse a link in any place of the path: what would be read or written would not be in the repository."""
        parts = PurePosixPath(path).parts
        for length in range(1, len(parts) + 1):
            place = "/".join(parts[:length])
            try:
                mode = os.lstat(self.root / place).st_mode
            except FileNotFoundError:
                return
            except OSError as error:
                raise DocumentError("io-failed", f"{place} cannot be read: {error.strerror}.", place=place) from error
            expected = stat.S_ISDIR if length < len(parts) else _is_file
            if not expected(mode):
                raise EnvironmentFault("link-in-the-way", f"{place} is a link, or not what should stand there.")


def find_repository(directory: Path) -> RepositoryFiles | None:
    """Return the repository whose working tree holds a folder, None where there is none.

    `.git` is a folder, or a file in a worktree or submodule. https://git-scm.com/docs/gitrepository-layout
    """
    start = directory.resolve()
    for folder in (start, *start.parents):
        mark = folder / ".git"
        if (mark / "HEAD").is_file() or mark.is_file():
            return RepositoryFiles(folder)
    return None


def _is_file(mode: int) -> bool:
    return stat.S_ISREG(mode)


def _write_new(path: Path, data: bytes) -> None:
    with path.open("xb") as stream:
        stream.write(data)
        stream.flush()
        os.fsync(stream.fileno())
