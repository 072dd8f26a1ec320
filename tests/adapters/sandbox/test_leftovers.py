"""What a start that was killed has left of its sandboxes is gone after the next start, and nothing of it runs on."""

import os
import signal
import subprocess
import sys
import time

import pytest

from coven_action.adapters.sandbox.confinement import ProvedConfinement
from coven_action.adapters.sandbox.machine import find_bubblewrap
from coven_action.errors import EnvironmentFault
from tests.processes import find_processes_that_name
from tests.sandboxes import missing, open_base

# A stage that starts a program in its sandbox and never comes to tidy up.
KILLED = """
import os, sys
from pathlib import Path
from coven_action.adapters.sandbox.confinement import ProvedConfinement
from coven_action.core.contract.process_output import ProcessLimits
from coven_action.core.sandbox.request import SandboxRequest

folder, workspace = map(Path, sys.argv[1:])
request = SandboxRequest(
    argv=("sh", "-c", f"echo up > up; while :; do sleep 0.2; done; : {workspace}"),
    environment={"PATH": "/usr/bin:/bin"}, folder=str(workspace),
)
ProvedConfinement(folder, os.environ).run(request, limits=ProcessLimits(seconds=60, grace_seconds=0.1), write=len)
"""


@pytest.fixture
def base():
    if not any(find_bubblewrap()):
        missing("bubblewrap is not installed")
    with open_base() as folder:
        yield folder


def wait_for(ready, seconds=30):
    end = time.monotonic() + seconds
    while not ready():
        assert time.monotonic() < end, "it did not come about"
        time.sleep(0.05)


def start_and_kill(base):
    """Kill a stage while a program runs in its sandbox; return the sandbox's folder."""
    folder, workspace = base / "sandbox", base / "workspace"
    workspace.mkdir()
    with subprocess.Popen(
        [sys.executable, "-P", "-c", KILLED, folder, workspace],
        env={"PATH": os.environ["PATH"], "PYTHONPATH": os.pathsep.join(sys.path), "HOME": str(base)},
        start_new_session=True,
    ) as stage:
        wait_for(lambda: (workspace / "up").exists() or stage.poll() is not None)
        assert stage.poll() is None
        assert len(find_processes_that_name(workspace)) >= 2  # the stage, and what it started
        stage.send_signal(signal.SIGKILL)
    return folder


def test_a_killed_stage_leaves_files_and_the_next_start_removes_them(base):
    folder = start_and_kill(base)
    assert [path.name for path in folder.glob("coven-sandbox-*")] != []
    (folder / "kept").write_text("not a sandbox's")

    attempt = ProvedConfinement(folder, os.environ).prove()

    assert attempt.results
    assert [path.name for path in folder.iterdir()] == ["kept"]


def test_what_ran_in_the_sandbox_of_a_killed_stage_ends_with_it(base):
    start_and_kill(base)

    wait_for(lambda: not find_processes_that_name(base / "workspace"))


def test_nothing_is_removed_through_a_link_and_the_start_stops(base):
    """A folder that a program could have put a link into is not ours any more."""
    (base / "sandbox").mkdir()
    (base / "outside").mkdir()
    (base / "outside/file").write_text("precious")
    (base / "sandbox/coven-sandbox-x").symlink_to(base / "outside")

    with pytest.raises(EnvironmentFault) as caught:
        ProvedConfinement(base / "sandbox", os.environ).prove()

    assert caught.value.code == "io-failed"
    assert (base / "outside/file").read_text() == "precious"
