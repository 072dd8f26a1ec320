"""One way of confining, as this machine has it: a request comes in, what has to be started goes out.

The sandbox starts nothing itself: its command line is started, limited and ended by whoever runs programs here.
"""

import os
import shutil
import socket
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from coven_action.adapters.removal import remove_tree
from coven_action.adapters.sandbox.machine import is_closed
from coven_action.core.sandbox.backends import OWN_NETWORK, build_launch, choose_user, find_obstacle
from coven_action.core.sandbox.network import NETWORK_FILES, NETWORK_FOLDERS
from coven_action.core.sandbox.request import (
    RELAY_PORT,
    Launch,
    Machine,
    Place,
    SandboxRequest,
    build_etc,
    render_order,
)

PREFIX: Final = "coven-sandbox-"
PROOF_PREFIX: Final = "coven-probe-"
READABLE: Final = 0o644
ENTERED: Final = 0o755
PRIVATE: Final = 0o700
LOOPBACK: Final = "127.0.0.1"

Build = Callable[..., Launch]


@dataclass(frozen=True, slots=True)
class Confined:
    """A program, ready to be started in its sandbox.

    Attributes:
        argv: What to start.
        environment: Its environment; the program's own travels by the order.
        cwd: Where to start it.
    """

    argv: tuple[str, ...]
    environment: dict[str, str]
    cwd: Path


@dataclass(frozen=True, slots=True)
class Sandbox:
    """A backend on this machine.

    Attributes:
        backend: A name of `BACKENDS`.
        machine: What it is built from.
        program: bubblewrap, where the backend uses it.
        build: Makes the launch; another one only to see that a probe notices what is missing.
    """

    backend: str
    machine: Machine
    program: str = ""
    build: Build = build_launch

    @contextmanager
    def confine(self, request: SandboxRequest, base: Path) -> Iterator[Confined]:
        """Yield what to start for a request; what the sandbox was told is removed on leaving.

        Where root starts the program, its folder and what it may write become the property of the user it becomes.

        Args:
            request: What to confine.
            base: A folder of ours, for the sandbox's own files; not below anything the program can write.

        Raises:
            OSError: The files could not be written.
        """
        owner = os.stat(request.folder)  # noqa: PTH116 - the number is all that is wanted
        user = choose_user((owner.st_uid, owner.st_gid))
        with _make_folder(base) as folder:
            place = Place(folder=f"{folder}/told", scratch=f"{folder}/scratch")
            machine = _open_programs(self.machine, f"{folder}/programs")
            launch = self.build(self.backend, request, machine, place, program=self.program, user=user)
            becomes = user if any(word == "user" for word, _ in launch.order) else None
            _write_place(place, launch, becomes or (self.machine.uid, self.machine.gid), network=request.network)
            if becomes is not None and owner.st_uid == 0:
                _give([request.folder, *(bind.path for bind in request.binds if bind.writable)], becomes)
            if becomes is not None:
                _give([place.scratch], becomes)
                Path(folder).chmod(ENTERED)
            yield Confined(argv=launch.argv, environment={}, cwd=Path("/"))


def list_sandboxes(machine: Machine) -> tuple[Sandbox, ...]:
    """Return what can be tried on a machine, the most isolating first."""
    programs = {"bubblewrap": machine.bubblewrap, "root-bubblewrap": machine.bubblewrap, "landlock": ("",)}
    return tuple(
        Sandbox(backend, machine, program)
        for backend, found in programs.items()
        if not find_obstacle(backend, machine)
        for program in found
    )


def build_unconfined(machine: Machine) -> Sandbox:
    """Return what stands for a sandbox where none is wanted: it starts programs and confines nothing.

    Nothing returns it by itself; whoever uses it has decided that the level `none` is allowed.
    """
    return Sandbox("none", machine)


def choose_relay_port(sandbox: Sandbox) -> int:
    """Return where on loopback the way to the gateway begins: at a free port where others may listen there as well."""
    return RELAY_PORT if sandbox.backend in OWN_NETWORK else find_free_port()


def find_free_port() -> int:
    """Return a port of loopback where nobody listens now; should somebody come first, the program does not start."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as listener:
        listener.bind((LOOPBACK, 0))
        port: int = listener.getsockname()[1]
        return port


def sweep(base: Path) -> None:
    """Remove what sandboxes of an interrupted run, and their proofs, left in `base`, a folder of ours.

    Raises:
        OSError: Something could not be removed.
    """
    for prefix in (PREFIX, PROOF_PREFIX):
        for path in base.glob(f"{prefix}*"):
            remove_tree(path)


@contextmanager
def _make_folder(base: Path) -> Iterator[str]:
    """Yield a new folder. The program may have written to its scratch, and what cannot be removed is left for `sweep`."""
    folder = tempfile.mkdtemp(prefix=PREFIX, dir=base)
    try:
        yield folder
    finally:
        with suppress(OSError):
            remove_tree(Path(folder))


def _open_programs(machine: Machine, folder: str) -> Machine:
    """Return the machine with what we start inside in `folder`, where root's own place is closed to whom root becomes."""
    if machine.uid != 0 or not is_closed(Path(machine.programs)):
        return machine
    copies = Path(folder)
    copies.mkdir()
    copies.chmod(ENTERED)
    for path in Path(machine.programs).glob("*.py"):
        shutil.copyfile(path, copies / path.name).chmod(READABLE)
    return replace(machine, programs=folder)


def _write_place(place: Place, launch: Launch, user: tuple[int, int], *, network: bool) -> None:
    etc = Path(place.etc)
    etc.mkdir(parents=True)
    Path(place.scratch).mkdir(mode=PRIVATE)
    files = {Path(place.order): render_order(launch.order), Path(place.filter): launch.filter}
    files |= {etc / name: text.encode() for name, text in build_etc(*user, network=network).items()}
    for path, data in files.items():
        path.write_bytes(data)
        # The order is read by the user that the program runs as, whatever the umask here.
        path.chmod(READABLE)
    _lay_places(
        etc.parent,
        files=("/etc/ld.so.cache", *(NETWORK_FILES if network else ())),
        folders=("/etc", "/etc/alternatives", *(NETWORK_FOLDERS if network else ())),
    )


def _lay_places(top: Path, *, files: tuple[str, ...], folders: tuple[str, ...]) -> None:
    """Make what the system's own files and folders will cover, where it has them; empty, and open to every user."""
    for path in (top / folder.lstrip("/") for folder in folders):
        path.mkdir(parents=True, exist_ok=True)
    for path in (top / file.lstrip("/") for file in files):
        path.parent.mkdir(exist_ok=True)
        path.touch()
        path.chmod(READABLE)
    for folder, *_ in os.walk(top):
        os.chmod(folder, ENTERED)  # noqa: PTH101 - os.walk gives names


def _give(paths: list[str], user: tuple[int, int]) -> None:
    """Make a user the owner of trees that nobody but us has written to yet."""
    for top in paths:
        os.chown(top, *user, follow_symlinks=False)
        for folder, folders, files in os.walk(top):
            for name in (*folders, *files):
                os.chown(os.path.join(folder, name), *user, follow_symlinks=False)  # noqa: PTH118 - folders may be large
