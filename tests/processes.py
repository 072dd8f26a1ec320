"""The processes of this machine, for tests that look for what was left. Of the standard library alone."""

import os
import signal
from pathlib import Path


def find_processes_that_name(path: str | Path) -> list[int]:
    """Return the processes whose command line holds a path, but for this one and the one that started it."""
    own = {os.getpid(), os.getppid()}
    return [
        int(folder.name)
        for folder in Path("/proc").iterdir()
        if folder.name.isdigit() and int(folder.name) not in own and os.fsencode(path) in _read_command_line(folder)
    ]


def end_processes_that_name(path: str | Path) -> int:
    """Kill every such process; return how many there were."""
    found = find_processes_that_name(path)
    for process in found:
        os.kill(process, signal.SIGKILL)
    return len(found)


def _read_command_line(folder: Path) -> bytes:
    try:
        return (folder / "cmdline").read_bytes()
    except OSError:  # it has ended by now
        return b""
