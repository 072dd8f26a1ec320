"""Removes what a hostile program has left: however deep, whatever its modes, and without following a link. No rules here."""

import os
import secrets
import stat
from itertools import count
from pathlib import Path
from typing import Final

_FOLDER_FLAGS: Final = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW


def remove_tree(folder: Path) -> None:
    """Remove a folder with everything in it.

    `shutil.rmtree` goes as deep as the folder does, on the stack and in the paths it names, so that a program which makes
    a folder in a folder a few thousand times would keep all of it from being removed.

    Raises:
        OSError: It is no folder, a link to one included, or something is left.
    """
    top = _open_folder(folder)
    try:
        _empty(top)
    finally:
        os.close(top)
    folder.rmdir()


def _empty(top: int) -> None:
    """Remove everything in a folder. What lies deeper is moved to its top first, where it has a name of its own."""
    names = (f"{secrets.token_hex(8)}-{number}" for number in count())
    waiting = _remove_files(top)
    while waiting:
        name = waiting.pop()
        folder = _open_folder(name, top)
        try:
            for inner in _remove_files(folder):
                # Only who may write to a folder may move it elsewhere (man 2 rename), so that it is opened up first.
                os.close(_open_folder(inner, folder))
                moved = next(names)
                os.rename(inner, moved, src_dir_fd=folder, dst_dir_fd=top)
                waiting.append(moved)
        finally:
            os.close(folder)
        os.rmdir(name, dir_fd=top)


def _remove_files(folder: int) -> list[str]:
    """Remove what is no folder, and return the names of what is one."""
    with os.scandir(folder) as listed:
        entries = list(listed)
    for entry in entries:
        if not entry.is_dir(follow_symlinks=False):
            os.unlink(entry.name, dir_fd=folder)
    return [entry.name for entry in entries if entry.is_dir(follow_symlinks=False)]


def _open_folder(name: str | Path, parent: int | None = None) -> int:
    """Open a folder that its owner may then list and change, whatever its mode was."""
    try:
        handle = os.open(name, _FOLDER_FLAGS, dir_fd=parent)
    except PermissionError:
        os.chmod(name, stat.S_IRWXU, dir_fd=parent)
        handle = os.open(name, _FOLDER_FLAGS, dir_fd=parent)
    os.fchmod(handle, stat.S_IRWXU)
    return handle
