"""A tool of a job, as a machine has it: found, and used by a program in a sandbox."""

import os
from dataclasses import replace

import pytest

from coven_action.adapters.runtime_process import run_process
from coven_action.adapters.sandbox.machine import find_machine
from coven_action.adapters.sandbox.running import run_confined
from coven_action.adapters.sandbox.toolchains import CONFIGURATION_CHARACTERS, find_tools
from coven_action.core.contract.process_output import ProcessLimits
from coven_action.core.sandbox.request import Bind, SandboxRequest
from tests.sandboxes import get_sandbox, missing, open_base

LIMITS = ProcessLimits(seconds=60, grace_seconds=0.0)
PLAIN = replace(find_machine(), folders=("/usr",), links=(("/bin", "usr/bin"),))


@pytest.fixture
def base():
    with open_base() as folder:
        yield folder


@pytest.fixture
def tool(base):
    """A tool whose program needs what lies beside it."""
    for name in ("bin", "lib"):
        (base / "tool" / name).mkdir(parents=True)
    (base / "tool/lib/words").write_text("from the tool\n")
    program = base / "tool/bin/say"
    program.write_text('#!/bin/sh\ncat "${0%/*}/../lib/words"\n')
    program.chmod(0o755)
    return base / "tool"


def environ(base, *entries, **others):
    return {"HOME": f"{base}/home", "PATH": ":".join([*map(str, entries), "/usr/bin", "/bin"]), **others}


@pytest.mark.parametrize("backend", ["bubblewrap", "root-bubblewrap", "landlock"])
def test_a_tool_of_the_job_works_inside_and_cannot_be_changed(base, tool, backend):
    if backend == "root-bubblewrap" and os.geteuid() != 0:
        missing("only root can do without a user namespace", needs_root=True)
    sandbox = get_sandbox(backend)
    tools = find_tools(environ(base, tool / "bin", JAVA_HOME=str(tool)), sandbox.machine)
    (base / "workspace").mkdir()
    (tool / "lib/words").chmod(0o666)
    script = 'say; echo "$JAVA_HOME"; say 2>/dev/null > /dev/null && ! echo changed > "$JAVA_HOME/lib/words"'
    request = SandboxRequest(
        argv=("sh", "-c", script), environment=tools.environment, folder=f"{base}/workspace", binds=tools.binds
    )
    output = bytearray()

    ended = run_confined(sandbox, request, run=run_process, base=base, limits=LIMITS, write=output.extend)

    assert output.decode().startswith(f"from the tool\n{tool}\n")
    assert ended.process.exit_code == 0
    assert (tool / "lib/words").read_text() == "from the tool\n"


def test_a_folder_with_a_credential_in_it_stays_outside(base, tool):
    (tool / ".netrc").touch()

    tools = find_tools(environ(base, tool / "bin", JAVA_HOME=str(tool)), PLAIN)

    assert tools.binds == (Bind(str(tool / "bin")),)
    assert "JAVA_HOME" not in tools.environment


@pytest.mark.parametrize(
    ("text", "bound"),
    [
        ('[remote "origin"]\n\turl = https://github.com/pyenv/pyenv\n', True),
        ('[remote "origin"]\n\turl = https://x:ghp_secret@github.com/pyenv/pyenv\n', False),
        ("#" * CONFIGURATION_CHARACTERS, False),
        (None, False),
    ],
    ids=["harmless", "with a credential", "too long", "none that can be read"],
)
def test_a_tool_that_is_a_clone_is_looked_into(base, tool, text, bound):
    (tool / ".git").mkdir()
    if text is not None:
        (tool / ".git/config").write_text(text)

    tools = find_tools(environ(base, tool / "bin"), PLAIN)

    assert tools.binds == (Bind(str(tool if bound else tool / "bin")),)


def test_a_link_into_the_home_stays_outside(base):
    (base / "home/.ssh").mkdir(parents=True)
    (base / "tool").symlink_to(base / "home/.ssh")

    tools = find_tools(environ(base, base / "tool"), PLAIN)

    assert tools.binds == ()
    assert str(base) not in tools.environment["PATH"]


def test_a_link_to_a_tool_exists_by_both_names(base, tool):
    (base / "current").symlink_to(tool)

    tools = find_tools(environ(base, base / "current/bin"), PLAIN)

    assert tools.binds == (Bind(f"{base}/current"), Bind(str(tool)))


def test_what_is_no_folder_or_is_not_there_is_no_tool(base, tool):
    tools = find_tools(environ(base, tool / "lib/words", base / "missing"), PLAIN)

    assert (tools.binds, tools.environment["PATH"]) == ((), "/usr/bin:/bin")


def test_a_folder_of_ours_stays_outside(base, tool):
    assert find_tools(environ(base, tool / "bin"), PLAIN, closed=(tool / "lib",)).binds == (Bind(str(tool / "bin")),)
    assert find_tools(environ(base, tool / "bin"), PLAIN, closed=(base,)).binds == ()
