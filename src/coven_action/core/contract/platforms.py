"""On which platforms the action runs. Pure: the platform's name in, the decision out."""

from dataclasses import dataclass
from typing import Final

LINUX_NOTE: Final = ""
MACOS_NOTE: Final = (
    "On macOS no sandbox is available and a process that leaves its process group can outlive the run: "
    "the isolation is weaker than on Linux."
)


@dataclass(frozen=True, slots=True)
class Platform:
    """What a run may expect of its platform.

    Attributes:
        name: The platform in words a person uses.
        architecture: `x86_64`, `aarch64`, or the machine's own name where it is another one.
        supported: Whether a run is started at all.
        code: `platform-not-supported` for a platform that is declined, else None.
        note: One sentence for the evidence; why it is declined, or what is weaker; empty where there is nothing to say.
    """

    name: str
    architecture: str
    supported: bool
    code: str | None
    note: str


# https://docs.python.org/3/library/platform.html: the values of platform.machine() differ between systems.
_ARCHITECTURES: Final = {"x86_64": "x86_64", "amd64": "x86_64", "aarch64": "aarch64", "arm64": "aarch64"}

# platform.system() -> the name people use, and what the evidence says about it.
_SUPPORTED: Final = {"Linux": ("Linux", LINUX_NOTE), "Darwin": ("macOS", MACOS_NOTE)}


def find_architecture(machine: str) -> str:
    """Return the one name used here for a machine type; an unknown one is returned as it is, in lower case."""
    return _ARCHITECTURES.get(machine.lower(), machine.lower())


def describe_platform(system: str, machine: str) -> Platform:
    """Decide whether runs are started on a platform, and what to say about it.

    Args:
        system: What `platform.system()` returns: `Linux`, `Darwin`, `Windows`, or something else or nothing.
        machine: What `platform.machine()` returns, such as `x86_64`, `AMD64` or `arm64`.
    """
    architecture = find_architecture(machine)
    if system in _SUPPORTED:
        name, note = _SUPPORTED[system]
        return Platform(name=name, architecture=architecture, supported=True, code=None, note=note)
    name = system or "an unknown platform"
    return Platform(
        name=name,
        architecture=architecture,
        supported=False,
        code="platform-not-supported",
        note=f"Runs are started on Linux and, with weaker isolation, on macOS; this is {name}. Use a Linux runner.",
    )
