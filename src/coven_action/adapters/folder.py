"""The folder in which the stages leave their documents for one another: plain files, written whole, read without links."""

import hashlib
import os
import shutil
import stat
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from coven_action.core.documents import Measure
from coven_action.core.redaction.redactor import Redacted
from coven_action.errors import DocumentError

_PIECE: Final = 1024 * 1024


class DocumentFolder:
    """The documents of one run.

    Args:
        folder: Where they are. It is made when it does not exist, readable by this user alone.
    """

    # Where root starts a program as another user, that one has to get to its own folder in here, and sees no other name.
    _MODE: Final = 0o711 if os.geteuid() == 0 else 0o700

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        try:
            folder.mkdir(mode=self._MODE, parents=True, exist_ok=True)
        except OSError as error:
            raise DocumentError("io-failed", f"The folder {folder} cannot be made: {error.strerror}.") from error

    @property
    def folder(self) -> Path:
        """Its absolute path."""
        return self._folder

    def read(self, name: str, limit: int) -> bytes:
        """Return a document's bytes. A link, a pipe or a folder in its place is refused, and so is a larger one."""
        with self._open(name) as handle:
            data = _read_all(handle, limit + 1)
        if len(data) > limit:
            raise DocumentError("document-too-large", f"{name} has more than {limit} bytes.", place=name)
        return data

    def write(self, name: str, data: bytes) -> Path:
        """Write a document, whole or not at all, and return its path."""
        path = self._folder / name
        temporary = path.with_name(f".{path.name}.new")
        self.remove(str(temporary.relative_to(self._folder)))
        try:
            with temporary.open("xb") as stream:
                stream.write(data)
                stream.flush()
                os.fsync(stream.fileno())
            if path.is_dir() and not path.is_symlink():
                self.remove(name)
            temporary.replace(path)
        except OSError as error:
            raise DocumentError("io-failed", f"{name} cannot be written: {error.strerror}.", place=name) from error
        return path

    def leave(self, name: Redacted, text: Redacted) -> None:
        """Write a text for people, whole or not at all. Folders that its name leads through are made."""
        with _explained(name):
            (self._folder / name).parent.mkdir(parents=True, exist_ok=True)
        self.write(name, text.encode())

    def remove(self, name: str) -> None:
        """Remove what an earlier attempt left under this name, whatever it is. What a link names stays."""
        path = self._folder / name
        try:
            if path.is_dir() and not path.is_symlink():
                shutil.rmtree(path)
            else:
                path.unlink(missing_ok=True)
        except OSError as error:
            raise DocumentError("io-failed", f"{name} cannot be removed: {error.strerror}.", place=name) from error

    @contextmanager
    def open_log(self, name: str) -> Iterator[Callable[[Redacted], None]]:
        """Open a text file for writing; what is written has been through the redactor."""
        with _explained(name):
            stream = (self._folder / name).open("x", encoding="utf-8", newline="")

        def write(text: Redacted) -> None:
            with _explained(name):
                stream.write(text)

        try:
            yield write
        finally:
            with _explained(name):
                stream.close()

    def make_folder(self, name: str) -> Path:
        """Return a new, empty folder of that name."""
        self.remove(name)
        path = self._folder / name
        with _explained(name):
            path.mkdir()
        return path

    def measure(self, name: str) -> Measure:
        """Return size and digest of a file, read in pieces."""
        digest, size = hashlib.sha256(), 0
        with self._open(name) as handle:
            while piece := os.read(handle, _PIECE):
                digest.update(piece)
                size += len(piece)
        return Measure(size=size, sha256=digest.hexdigest())

    @contextmanager
    def _open(self, name: str) -> Iterator[int]:
        try:
            # A link could name any file of this job; without O_NONBLOCK a named pipe would hold us here for ever.
            handle = os.open(self._folder / name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
        except OSError as error:
            raise DocumentError("missing-document", f"{name} cannot be read: {error.strerror}.", place=name) from error
        try:
            if not stat.S_ISREG(os.fstat(handle).st_mode):
                raise DocumentError("missing-document", f"{name} is not an ordinary file.", place=name)
            yield handle
        finally:
            os.close(handle)


@contextmanager
def _explained(name: str) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise DocumentError("io-failed", f"{name} cannot be written: {error.strerror}.", place=name) from error


def _read_all(handle: int, limit: int) -> bytes:
    pieces, size = [], 0
    while size < limit and (piece := os.read(handle, min(_PIECE, limit - size))):
        pieces.append(piece)
        size += len(piece)
    return b"".join(pieces)
