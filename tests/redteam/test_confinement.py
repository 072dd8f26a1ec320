"""S1, S5, S6, S12, S24 and S25: what an agent finds in a real sandbox, on a runner that holds secrets everywhere."""

import os
import shutil
from pathlib import Path

import yaml

from coven_action.core.sandbox.bubblewrap import NO_CAPABILITIES
from coven_action.core.sandbox.request import Bind
from tests.adapters.sandbox.test_escapes import can_trace
from tests.processes import end_processes_that_name
from tests.redteam.cases import redteam
from tests.redteam.cell import BACKENDS, LOOT, Cell, find_backend
from tests.redteam.test_supply import SHIPPED, find_steps
from tests.sandboxes import drop, get_sandbox, missing, mount, open_base, tell, untell, weaken


def read(path):
    return [{"do": "read", "path": str(path), "to": LOOT}]


def ask_git(cell, *words):
    home = ["env", f"HOME={cell.home}", f"GIT_CONFIG_GLOBAL={cell.home}/.gitconfig"]
    return [{"do": "command", "argv": [*home, "git", "-c", "safe.directory=*", *map(str, words)], "to": LOOT}]


@redteam(
    "S1", "no credential lies in files, git configuration or behind sockets that the agent can reach", attacks=BACKENDS
)
def test_s1_no_credential_is_in_reach(siege, attack):
    with open_base() as base, Cell(base) as cell:
        thefts = {
            "git's credentials": read(cell.home / ".git-credentials"),
            "credentials by host": read(cell.home / ".netrc"),
            "an SSH key": read(cell.home / ".ssh/id_ed25519"),
            "GitHub's command line tool": read(cell.home / ".config/gh/hosts.yml"),
            "Docker": read(cell.home / ".docker/config.json"),
            "npm": read(cell.home / ".npmrc"),
            "a cloud": read(cell.home / ".aws/credentials"),
            "git's configuration": ask_git(cell, "config", "--global", "--list"),
            "a credential helper's socket": [{"do": "connect", "address": cell.helper, "to": LOOT}],
            "a socket without a path": [{"do": "connect", "address": f"@{cell.abstract}", "to": LOOT}],
            "through the root of its own process": read(f"/proc/self/root{cell.home}/.netrc"),
            "through a link": [{"do": "symlink", "path": "link", "to": str(cell.home)}, *read("link/.netrc")],
        }
        return cell.steal(thefts, find_backend(attack))


@redteam(
    "S5",
    "no process shows its variables, command line, descriptors or memory to the agent, and no file of the runner's is read",
    attacks=BACKENDS,
)
def test_s5_no_process_or_file_shows_a_secret(siege, attack):
    if not can_trace():
        missing("this kernel lets nobody read the memory of a process that is not its own", needs_root=True)
    with open_base() as base, Cell(base) as cell:
        pid = str(cell.holder.pid)
        thefts = {
            "environments": [{"do": "environments", "to": LOOT}],
            "command lines": [{"do": "command_lines", "to": LOOT}],
            "descriptors": [{"do": "descriptors", "pid": pid, "to": LOOT}],
            "memory": [{"do": "memory", "pid": pid, "pattern": "zk[A-Za-z0-9]{46}", "to": LOOT}],
            "the temporary folder": read(cell.temporary / "event.json"),
            "the checkout": read(cell.checkout / ".git/config"),
        }
        return cell.steal(thefts, find_backend(attack))


@redteam("S6", "the agent traces no process outside", attacks=BACKENDS)
def test_s6_no_process_outside_is_traced(siege, attack):
    if not can_trace():
        missing("this kernel lets nobody trace a process that is not its own", needs_root=True)
    with open_base() as base, Cell(base) as cell:
        steps = [{"do": "trace", "pid": str(cell.holder.pid), "to": LOOT}]
        return {"traced": cell.run(steps, find_backend(attack))[LOOT] == b"traced"}


@redteam(
    "S6",
    "a program that makes root of whoever starts it makes nothing of the agent",
    # Those in which what root starts becomes another user's.
    attacks=("root-bubblewrap", "landlock"),
)
def test_s6_a_setuid_program_gives_nothing(siege, attack):
    if os.geteuid() != 0:
        missing("only root can make a program that makes root of others", needs_root=True)
    with open_base() as base, Cell(base) as cell:
        sandbox = find_backend(attack)
        program = base / "become-root"
        shutil.copy(sandbox.machine.python, program)
        program.chmod(0o4755)
        if os.statvfs(base).f_flag & os.ST_NOSUID:
            missing("this file system knows no setuid programs", needs_root=True)
        code = "import os; print('user', os.geteuid())"
        steps = [{"do": "command", "argv": [str(program), "-I", "-S", "-c", code], "to": LOOT}]
        said = cell.run(steps, sandbox, binds=(Bind(str(program)),))[LOOT]
        assert said.startswith(b"user "), "it was not started"
        return {"became root": said == b"user 0\n"}


def bind_sudo(launch, cell):
    folder = cell.base / "bin"
    folder.mkdir(exist_ok=True)
    (folder / "sudo").write_text("#!/bin/sh\nexit 0\n")
    (folder / "sudo").chmod(0o755)
    return tell(mount(launch, "--ro-bind", str(folder), str(folder)), ("env", f"PATH={folder}:/usr/bin:/bin"))


def share_processes(launch, _):
    launch = untell(drop(drop(launch, "--as-pid-1"), "--unshare-pid"), "first")
    return mount(launch, "--ro-bind", "/proc", "/proc")


@redteam(
    "S6",
    "where privilege can be gained, or a process outside be looked into, the agent is not started",
    attacks={
        "sudo": ("bubblewrap", bind_sudo),
        "capabilities": (
            "bubblewrap",
            lambda launch, _: drop(mount(launch, "--cap-add", "ALL"), *NO_CAPABILITIES),
        ),
        "setuid programs": ("landlock", lambda launch, _: untell(launch, "restrict", "filter")),
        "processes": ("bubblewrap", share_processes),
        "tracing": ("landlock", lambda launch, _: untell(launch, "restrict", "user")),
    },
)
def test_s6_where_privilege_can_be_gained_nothing_starts(siege, attack):
    backend, how = attack
    with open_base() as base, Cell(base) as cell:
        weak = weaken(get_sandbox(backend), lambda launch, _: how(launch, cell))
        return {"started": cell.starts(weak)}


# --- what later steps read

SPOIL = "planted=by the agent\n"


def spoil(path):
    return [{"do": "write", "path": str(path), "text": SPOIL, "mode": 0o666, "if_possible": True}]


def spoil_through(step, path):
    """Write through a link in the agent's own folder."""
    name = f"{step}-{Path(path).name}"
    return [{"do": step, "path": name, "to": str(path), "if_possible": True}, *spoil(name)]


def find_spoiled(places):
    """Return for each attempt, (path, steps), whether the file now holds what the agent wrote."""
    return {name: Path(path).is_file() and SPOIL in Path(path).read_text() for name, (path, _) in places.items()}


@redteam(
    "S12", "nothing that a later step reads can be written to, and nothing new be laid beside it", attacks=BACKENDS
)
def test_s12_what_later_steps_read_is_out_of_reach(siege, attack):
    with open_base() as base, Cell(base) as cell:
        files = {
            "GITHUB_ENV": cell.environ["GITHUB_ENV"],
            "GITHUB_PATH": cell.environ["GITHUB_PATH"],
            "GITHUB_OUTPUT": cell.environ["GITHUB_OUTPUT"],
            "a new file of commands": cell.temporary / "set_env_new",
            "the code of an action": cell.actions / "index.js",
            "a program in the tool cache": cell.tools / "node",
            "a hook of the checkout": cell.checkout / ".git/hooks/pre-commit",
            "the checkout's configuration": cell.checkout / ".git/config",
            "a start file of the shell": cell.home / ".bashrc",
            "git's configuration": cell.home / ".gitconfig",
        }
        state, summary, event = (
            cell.environ["GITHUB_STATE"],
            cell.environ["GITHUB_STEP_SUMMARY"],
            cell.temporary / "event.json",
        )
        places = {name: (path, spoil(path)) for name, path in files.items()} | {
            "through a symbolic link": (state, spoil_through("symlink", state)),
            "through a hard link": (summary, spoil_through("hardlink", summary)),
            "through its own root": (event, spoil(f"/proc/self/root{event}")),
        }
        cell.run([step for _, steps in places.values() for step in steps], find_backend(attack))
        return find_spoiled(places)


@redteam("S12", "no daemon of the agent's outlives its sandbox", attacks=BACKENDS)
def test_s12_no_daemon_outlives_the_sandbox(siege, attack):
    with open_base() as base, Cell(base) as cell:
        cell.run([{"do": "linger", "path": "later", "text": "x", "after": 300}], find_backend(attack))
        # What is still there is ended here, where the sandbox has not done it.
        return {"outlived": end_processes_that_name(base) > 0}


@redteam("S24", "a program that was verified and bound cannot be exchanged by what runs from it", attacks=BACKENDS)
def test_s24_a_bound_program_is_not_exchanged(siege, attack):
    with open_base() as base, Cell(base) as cell:
        folder = base / "runtime"
        folder.mkdir()
        one, two, three, four = programs = [folder / name for name in ("one", "two", "three", "four")]
        for program in programs:
            program.write_text("#!/bin/sh\n")
            program.chmod(0o777)
        folder.chmod(0o777)
        replacing = {"do": "rename", "path": f"{two}.new", "to": str(two), "if_possible": True}
        opening = {"do": "chmod", "path": str(three), "mode": 0o777, "if_possible": True}
        places = {
            "overwritten": (one, spoil(one)),
            "replaced": (two, [*spoil(f"{two}.new"), replacing]),
            "opened first": (three, [opening, *spoil(three)]),
            "through the root of the process": (four, spoil(f"/proc/self/root{four}")),
        }
        binds = tuple(Bind(str(program)) for program in programs)
        cell.run([step for _, steps in places.values() for step in steps], find_backend(attack), binds=binds)
        return find_spoiled(places)


@redteam("S25", "what a checkout of any version leaves is out of the agent's reach", attacks=BACKENDS)
def test_s25_what_a_checkout_leaves_is_out_of_reach(siege, attack):
    with open_base() as base, Cell(base) as cell:
        included = cell.temporary / "git-credentials-1.config"
        thefts = {
            "the header in the checkout": read(cell.checkout / ".git/config"),
            "the file that newer versions include": read(included),
            "asked of git": ask_git(cell, "-C", cell.checkout, "config", "--get-regexp", "extraheader"),
            "read by git": ask_git(cell, "config", "--file", included, "--list"),
        }
        return cell.steal(thefts, find_backend(attack))


@redteam(
    "S25",
    "where a credential of a checkout or of a tool is in reach after all, the agent is not started",
    attacks={
        "the checkout": lambda cell: cell.checkout,
        "the temporary folder": lambda cell: cell.temporary,
        "credentials of git": lambda cell: cell.home / ".git-credentials",
    },
)
def test_s25_where_a_credential_is_in_reach_nothing_starts(siege, attack):
    with open_base() as base, Cell(base) as cell:
        path = str(attack(cell))
        weak = weaken(get_sandbox("bubblewrap"), lambda launch, _: mount(launch, "--bind", path, path))
        return {"started": cell.starts(weak)}


CHECKING_OUT = {
    f"{name}, step {number}": step
    for name, text in SHIPPED.items()
    for number, step in enumerate(find_steps(yaml.safe_load(text)), 1)
    if "actions/checkout@" in step.get("uses", "")
}


@redteam("S25", "every checkout that we ship keeps no credential", attacks=CHECKING_OUT)
def test_s25_every_checkout_keeps_no_credential(siege, attack):
    return {"kept": attack.get("with", {}).get("persist-credentials") is not False}
