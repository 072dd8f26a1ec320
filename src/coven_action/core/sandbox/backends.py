"""Which ways of confining there are, the most isolating first, and which of them a machine can try at all. Pure."""

from typing import Final

from coven_action.core.isolation import LEVELS
from coven_action.core.sandbox.bubblewrap import build_bubblewrap, build_root_bubblewrap
from coven_action.core.sandbox.landlock import build_landlock
from coven_action.core.sandbox.probes import Attempt
from coven_action.core.sandbox.request import Launch, Machine, Place, SandboxRequest
from coven_action.core.sandbox.seccomp import ARCHITECTURES
from coven_action.core.sandbox.unconfined import build_unconfined

NOBODY: Final = 65534
"""Who a program becomes where its folder is root's: the user that owns nothing."""

BACKENDS: Final = {
    "bubblewrap": "namespaces of its own, made by bubblewrap as the runner's user",
    "root-bubblewrap": "namespaces of its own, made by bubblewrap as root, which becomes another user inside",
    "landlock": "files, TCP ports and signals limited by Landlock, other sockets refused; no namespace",
    "none": "nothing confines the program",
}
"""Name -> what it is, the most isolating first."""

OWN_NETWORK: Final = frozenset({"bubblewrap", "root-bubblewrap"})
"""Those in which nobody else listens on loopback."""


def find_obstacle(backend: str, machine: Machine) -> str:
    """Return why a backend cannot even be tried here, one phrase; empty where it can."""
    if backend == "none":
        return ""
    if machine.architecture not in ARCHITECTURES:
        return f"no filter of system calls is known for {machine.architecture or 'this machine'}"
    if backend == "landlock":
        return "" if machine.landlock else "the kernel has no Landlock"
    if not machine.bubblewrap:
        return "bubblewrap is not installed"
    if backend == "root-bubblewrap" and machine.sudo is None:
        return "neither root nor `sudo -n`"
    return ""


def choose_user(owner: tuple[int, int]) -> tuple[int, int]:
    """Return who a program becomes when root starts it: the owner of its folder, or nobody where that is root."""
    return (NOBODY, NOBODY) if 0 in owner else owner


def build_launch(
    backend: str, request: SandboxRequest, machine: Machine, place: Place, *, program: str, user: tuple[int, int]
) -> Launch:
    """Return what to start for a request.

    Args:
        backend: A name of `BACKENDS`.
        request: What to confine.
        machine: What it is built from.
        place: The private folder of this sandbox.
        program: bubblewrap, where the backend uses it.
        user: Who to become where root starts it.

    Raises:
        ValueError: The backend cannot be built here, or is unknown.
    """
    if backend == "bubblewrap":
        return build_bubblewrap(program, request, machine, place)
    if backend == "root-bubblewrap":
        return build_root_bubblewrap(program, request, machine, place, user)
    if backend == "landlock":
        return build_landlock(request, machine, place, user if machine.uid == 0 else None)
    if backend == "none":
        return build_unconfined(request, machine, place)
    raise ValueError(f"no backend {backend!r}")


def choose_best(attempts: tuple[Attempt, ...]) -> Attempt:
    """Return the attempt with the highest level, the more isolating one of equals; `none` where nothing was reached."""
    best = max(attempts, key=lambda attempt: LEVELS.index(attempt.level), default=None)
    if best is None or best.level == "none":
        return Attempt(backend="none", level="none", reason="no sandbox could be proved on this machine")
    return best
