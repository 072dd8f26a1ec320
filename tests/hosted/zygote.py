"""A process that has loaded the program once, and forks a child for every command it is told to run.

A forked server is a process like any other (it is killed, its locks and sockets go); it only spares the loading, which
would be most of the time of a test that kills it again and again. Each line in is JSON, `[argv, output file]`; each
line out is the child's process id.
"""

import json
import os
import signal
import sys

import coven_action.cli.serve
import coven_action.hosted.server  # noqa: F401 - loaded here so that the children have it
from coven_action.cli.main import main


def become(argv: list[str], output: str) -> None:
    """Be the command from now on."""
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    written = os.open(output, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    nothing = os.open(os.devnull, os.O_RDONLY)
    for source, target in ((nothing, 0), (written, 1), (written, 2)):
        os.dup2(source, target)
    sys.argv = ["coven-action", *argv]
    main()


# The kernel reaps the children: nobody waits for them here.
signal.signal(signal.SIGCHLD, signal.SIG_IGN)
for line in sys.stdin:
    argv, output = json.loads(line)
    child = os.fork()
    if child == 0:
        become(argv, output)
    sys.stdout.write(f"{child}\n")
    sys.stdout.flush()
