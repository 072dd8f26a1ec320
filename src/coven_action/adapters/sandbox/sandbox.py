"""One way of confining, as this machine has it: a request comes in, what has to be started goes out.

The sandbox starts nothing itself: its command line is started, limited and ended by whoever runs programs here.
"""

import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from coven_action.core.sandbox.backends import build_launch, choose_user, find_obstacle
from coven_action.core.sandbox.request import Launch, Machine, Place, SandboxRequest, build_etc, render_order

PREFIX: Final = "coven-sandbox-"
PROOF_PREFIX: Final = "coven-probe-"
READABLE: Final = 0o644
ENTERED: Final = 0o755
PRIVATE: Final = 0o700

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
        backend: A name of `BACKENDS` but `none`.
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
        with tempfile.TemporaryDirectory(prefix=PREFIX, dir=base, ignore_cleanup_errors=True) as folder:
            place = Place(folder=f"{folder}/told", scratch=f"{folder}/scratch")
            launch = self.build(self.backend, request, self.machine, place, program=self.program, user=user)
            becomes = user if any(word == "user" for word, _ in launch.order) else None
            _write_place(place, launch, becomes or (self.machine.uid, self.machine.gid))
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


def sweep(base: Path) -> None:
    """Remove what sandboxes of an interrupted run, and their proofs, left in `base`, a folder of ours.

    Raises:
        OSError: Something could not be removed.
    """
    for prefix in (PREFIX, PROOF_PREFIX):
        for path in base.glob(f"{prefix}*"):
            shutil.rmtree(path)


def _write_place(place: Place, launch: Launch, user: tuple[int, int]) -> None:
    etc = Path(place.etc)
    etc.mkdir(parents=True)
    Path(place.scratch).mkdir(mode=PRIVATE)
    files = {Path(place.order): render_order(launch.order), Path(place.filter): launch.filter}
    files |= {etc / name: text.encode() for name, text in build_etc(*user).items()}
    for path, data in files.items():
        path.write_bytes(data)
        # The order is read by the user that the program runs as, whatever the umask here.
        path.chmod(READABLE)
    # Empty, to be covered by the system's own where it has them.
    (etc / "ld.so.cache").touch()
    (etc / "alternatives").mkdir()
    etc.chmod(ENTERED)
    etc.parent.chmod(ENTERED)


def _give(paths: list[str], user: tuple[int, int]) -> None:
    """Make a user the owner of trees that nobody but us has written to yet."""
    for top in paths:
        os.chown(top, *user, follow_symlinks=False)
        for folder, folders, files in os.walk(top):
            for name in (*folders, *files):
                os.chown(os.path.join(folder, name), *user, follow_symlinks=False)  # noqa: PTH118 - folders may be large
