"""What a job sees on a hosted runner: an ordinary user, no new user namespaces, with or without `sudo -n`.

A program of its own, started by test_hosted_runner under the filter; it prints what was tried, as JSON.
Usage: hosted_runner.py BASE LANDLOCK SUDO..., where SUDO is what makes a command root's, if anything does.
"""

import json
import os
import sys
from dataclasses import replace
from pathlib import Path

from coven_action.adapters.runtime_process import run_process
from coven_action.adapters.sandbox.machine import find_machine
from coven_action.adapters.sandbox.proving import try_sandboxes
from coven_action.adapters.sandbox.running import run_confined
from coven_action.core.contract.process_output import ProcessLimits
from coven_action.core.sandbox.request import SandboxRequest
from tests.processes import find_processes_that_name

DEAF = """
import os, signal, sys, time
for number in (1, 2, 15): signal.signal(number, signal.SIG_IGN)
if os.fork() == 0: os.setsid()
print(os.getuid(), os.getgroups(), flush=True)
while True: time.sleep(1)
"""


class Enough(Exception):
    """Raised when the tree has told that it is up."""


def end_early(sandbox, base):
    """Run a tree that hears nothing, end it once it is up, and return what it said and what is left of it."""
    folder = base / "workspace"
    folder.mkdir()
    said = bytearray()

    def write(data):
        said.extend(data)
        if said.count(b"\n") == 2:
            raise Enough

    request = SandboxRequest(
        argv=(sandbox.machine.python, "-I", "-S", "-c", DEAF, str(base)), environment={}, folder=str(folder)
    )
    try:
        limits = ProcessLimits(seconds=60, grace_seconds=0.1)
        run_confined(sandbox, request, run=run_process, base=base, limits=limits, write=write)
    except Enough:
        pass
    return {"said": said.decode(), "left": find_processes_that_name(base)}


def main():
    base, landlock, sudo = Path(sys.argv[1]), sys.argv[2], tuple(sys.argv[3:])
    machine = replace(find_machine(), sudo=sudo or None)
    if landlock == "no":
        machine = replace(machine, landlock=0)
    sandbox, attempts = try_sandboxes(machine, run_process, base, os.environ)
    answer = {"attempts": [attempt.model_dump(mode="json") for attempt in attempts], "backend": None}
    if sandbox is not None:
        answer |= {"backend": sandbox.backend, **end_early(sandbox, base)}
    sys.stdout.write(json.dumps(answer))


if __name__ == "__main__":
    main()
