"""Which release of coven-code is installed, and the digest each of its archives must have. Pure.

The digests are those of the archives on the release page of the pinned version. A new version means a new table here,
reviewed by a person; nothing is ever resolved to "latest".
"""

from dataclasses import dataclass
from typing import Final, Literal

from coven_action.core.contract.platforms import find_architecture
from coven_action.errors import RuntimeFault

PINNED_VERSION: Final = "0.6.1"
RELEASE_BASE_URL: Final = "https://github.com/OpenCoven/coven-code/releases/download"


@dataclass(frozen=True, slots=True)
class ReleaseArchive:
    """One archive of a release.

    Attributes:
        version: The release, without the leading `v`.
        platform: The directory its binary gets in the tool cache, such as `linux-x86_64`.
        name: The archive's file name.
        kind: How the archive is packed.
        binary: The one file in the archive that is wanted.
        sha256: The SHA-256 of the whole archive, 64 lower-case hexadecimal digits.
    """

    version: str
    platform: str
    name: str
    kind: Literal["tar.gz", "zip"]
    binary: str
    sha256: str

    def url(self, base_url: str = RELEASE_BASE_URL) -> str:
        """Return where the archive lies; `base_url` is GitHub's release downloads or a mirror of the same shape."""
        return f"{base_url.rstrip('/')}/v{self.version}/{self.name}"


def _tar(platform: str, sha256: str) -> ReleaseArchive:
    return ReleaseArchive(PINNED_VERSION, platform, f"coven-code-{platform}.tar.gz", "tar.gz", "coven-code", sha256)


# platform.system() and architecture -> archive.
ARCHIVES: Final = {
    ("Linux", "x86_64"): _tar("linux-x86_64", "b2588f235a937cc479991369f473e2b8bce5ed56747c8a66bf91aeb56fe735e8"),
    ("Linux", "aarch64"): _tar("linux-aarch64", "ffd54707f8ff8b7033b4f2b01ad4d868b6962651d00c571d0778ad7c52678fe5"),
    ("Darwin", "x86_64"): _tar("macos-x86_64", "22b79d6cd64b47c33abb1cc9272c8c751f5be06313f78c6f5bff451fbe7fd8b5"),
    ("Darwin", "aarch64"): _tar("macos-aarch64", "221447dc29ec80d6d15a1113831f85fba9c3ba20d051229999ae846e85aa2f39"),
    ("Windows", "x86_64"): ReleaseArchive(
        version=PINNED_VERSION,
        platform="windows-x86_64",
        name="coven-code-windows-x86_64.zip",
        kind="zip",
        binary="coven-code.exe",
        sha256="d90ef5f181b7d40770ef1a0b39ca6d796a377cbe6d6d829006596d8089c4621f",
    ),
}


def archive_for(system: str, machine: str) -> ReleaseArchive:
    """Return the archive for a platform.

    Args:
        system: What `platform.system()` returns.
        machine: What `platform.machine()` returns.

    Raises:
        RuntimeFault: `runtime-no-archive` where the release has none for the platform.
    """
    archive = ARCHIVES.get((system, find_architecture(machine)))
    if archive is None:
        offered = ", ".join(entry.platform for entry in ARCHIVES.values())
        raise RuntimeFault(
            "runtime-no-archive",
            f"coven-code {PINNED_VERSION} has no archive for {system or 'this system'} on "
            f"{machine or 'this machine'}; there are {offered}.",
        )
    return archive
