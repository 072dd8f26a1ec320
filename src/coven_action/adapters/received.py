"""What earlier jobs handed over: plain files of bounded size, taken out of the folders they were downloaded into.

An artifact is anybody's who ran in the job that left it, or got hold of its machine. So only the files that a stage reads
are taken, by their names, each from the folder of the stage that writes it; everything else stays where nobody looks. Whether
a file is the right one is the reader's to decide, by its digest.
"""

import os
import stat
from pathlib import Path
from typing import Final

from coven_action.errors import DocumentError

_PIECE: Final = 1024 * 1024
_FOLDER: Final = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW
# A link could name any file of this job; without O_NONBLOCK a named pipe would hold us here for ever.
_FILE: Final = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK


def take_file(source: Path, name: str, limit: int, folder: Path) -> str | None:
    """Copy a file into a folder; of one that is too large, as much as shows its reader that it is.

    Args:
        source: The folder that an artifact was downloaded into.
        name: The file's name, without any folder.
        limit: The bytes it may have.
        folder: Where it is to be.

    Returns:
        What is wrong with it, one sentence; None where nothing is, or there is no such file.

    Raises:
        DocumentError: `io-failed`: it cannot be written.
    """
    try:
        handle = _open(source, name)
    except FileNotFoundError:
        return None
    except OSError as error:
        return f"{name} was handed over as something else than an ordinary file ({error.strerror}), and is left."
    try:
        if not stat.S_ISREG(os.fstat(handle).st_mode):
            return f"{name} was handed over as something else than an ordinary file, and is left."
        size = _copy(handle, folder / name, limit + 1)
    except OSError as error:
        raise DocumentError("io-failed", f"{name} cannot be taken over: {error.strerror}.", place=name) from error
    finally:
        os.close(handle)
    return f"{name} was handed over with more than {limit} bytes, and is refused." if size > limit else None


def _open(source: Path, name: str) -> int:
    folder = os.open(source, _FOLDER)
    try:
        return os.open(name, _FILE, dir_fd=folder)
    finally:
        os.close(folder)


def _copy(handle: int, path: Path, most: int) -> int:
    """Copy at most so many bytes to a file of our own, whole or not at all, and return how many."""
    temporary = path.with_name(f".{path.name}.new")
    temporary.unlink(missing_ok=True)
    size = 0
    with temporary.open("xb") as copy:
        while size < most and (piece := os.read(handle, min(_PIECE, most - size))):
            copy.write(piece)
            size += len(piece)
    temporary.replace(path)
    return size
