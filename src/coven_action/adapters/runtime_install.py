"""Put the pinned coven-code into the runner's tool cache, or find it there, and never run anything but that.

The archive is downloaded within bounds, its SHA-256 is compared before a byte of it is unpacked, and it stays in the
cache beside the program: each later start compares both again, the archive with the pin and the program with the
archive, so what an earlier job changed in a shared cache is noticed. A cache that is filled needs no network.
"""

import hashlib
import os
import stat
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Final
from urllib.parse import urljoin, urlsplit

import requests
import urllib3

from coven_action.core.contract.archive_reading import read_program
from coven_action.core.contract.releases import RELEASE_BASE_URL, ReleaseArchive
from coven_action.errors import RuntimeFault

CHUNK: Final = 256 * 1024
REDIRECTS: Final = frozenset({301, 302, 303, 307, 308})
MAX_REDIRECTS: Final = 5
BINARY_MODE: Final = 0o755


@dataclass(frozen=True, slots=True)
class InstallLimits:
    """The bounds of one installation.

    Attributes:
        connect_seconds: Time to connect.
        stall_seconds: Longest silence of the server.
        total_seconds: Time for the whole download, redirects included.
        archive_bytes: Largest archive.
        unpacked_bytes: Most bytes that the archive may unpack to, all members together.
    """

    connect_seconds: float = 15.0
    stall_seconds: float = 30.0
    total_seconds: float = 600.0
    archive_bytes: int = 256 * 1024 * 1024
    unpacked_bytes: int = 768 * 1024 * 1024


def install_runtime(
    archive: ReleaseArchive, *, cache: Path, base_url: str = RELEASE_BASE_URL, limits: InstallLimits | None = None
) -> Path:
    """Return the path of the pinned program, downloaded if the cache does not hold it.

    Args:
        archive: The pin.
        cache: The runner's tool cache; the program's place is `coven-code/<version>/<platform>/` in it.
        base_url: Where releases lie; a mirror for tests and for runners without internet.
        limits: The bounds.

    Raises:
        RuntimeFault: `runtime-download-failed`, `runtime-digest-mismatch`, `runtime-archive-refused` or
            `runtime-cache-unusable`.
    """
    bounds = limits or InstallLimits()
    folder = cache / "coven-code" / archive.version / archive.platform
    try:
        if not folder.exists():
            _fill(folder, archive, base_url, bounds)
        _verify_cached(folder, archive, bounds)
    except OSError as error:
        reason = error.strerror or type(error).__name__
        raise RuntimeFault(
            "runtime-cache-unusable", f"The tool cache cannot be used: {reason}.", place=str(folder)
        ) from error
    return folder / archive.binary


def check_installed_runtime(path: Path) -> Path:
    """Return the path of a program that a person has installed, after a look at it.

    Raises:
        RuntimeFault: `runtime-not-installed` where there is no executable regular file.
    """
    if not path.is_absolute():
        raise RuntimeFault("runtime-not-installed", "The runtime's path is not absolute.", place=str(path))
    try:
        mode = path.stat().st_mode
    except (OSError, ValueError) as error:
        raise RuntimeFault("runtime-not-installed", "No runtime lies at this path.", place=str(path)) from error
    if not stat.S_ISREG(mode) or not os.access(path, os.X_OK):
        raise RuntimeFault("runtime-not-installed", "The runtime is no executable file.", place=str(path))
    return path


def _fill(folder: Path, archive: ReleaseArchive, base_url: str, limits: InstallLimits) -> None:
    """Download and unpack beside the final place, then move the whole folder there in one step."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=f".{folder.name}-", dir=folder.parent, ignore_cleanup_errors=True) as made:
        staging = Path(made) / folder.name
        staging.mkdir(mode=0o755)
        packed = staging / archive.name
        _download(archive.url(base_url), packed, limits)
        _verify_digest(packed, archive)
        _unpack(packed, archive, staging / archive.binary, limits)
        try:
            staging.rename(folder)
        except OSError:
            # Another job may have been faster; what it left is verified like everything in the cache.
            if not folder.exists():
                raise


def _verify_cached(folder: Path, archive: ReleaseArchive, limits: InstallLimits) -> None:
    packed, program = folder / archive.name, folder / archive.binary
    for path in (packed, program):
        if not path.is_file() or path.is_symlink():
            raise _mismatch(f"The tool cache holds no plain file {path.name}.", folder)
    _verify_digest(packed, archive)
    if _hash_program(packed, archive, limits) != _hash_file(program):
        raise _mismatch("The program in the tool cache is not the one in its archive.", folder)
    if stat.S_IMODE(program.stat().st_mode) != BINARY_MODE:
        raise _mismatch("The program in the tool cache has other permissions than it was given.", folder)


def _verify_digest(packed: Path, archive: ReleaseArchive) -> None:
    found = _hash_file(packed)
    if found != archive.sha256:
        raise _mismatch(f"{archive.name} has the SHA-256 {found}; pinned is {archive.sha256}.", packed.parent)


def _mismatch(message: str, place: Path) -> RuntimeFault:
    return RuntimeFault("runtime-digest-mismatch", message, place=str(place))


def _unpack(packed: Path, archive: ReleaseArchive, target: Path, limits: InstallLimits) -> None:
    with packed.open("rb") as stream, target.open("xb") as file:
        for chunk in read_program(stream, archive, max_bytes=limits.unpacked_bytes):
            file.write(chunk)
        file.flush()
        os.fsync(file.fileno())
    target.chmod(BINARY_MODE)


def _hash_program(packed: Path, archive: ReleaseArchive, limits: InstallLimits) -> str:
    digest = hashlib.sha256()
    with packed.open("rb") as stream:
        for chunk in read_program(stream, archive, max_bytes=limits.unpacked_bytes):
            digest.update(chunk)
    return digest.hexdigest()


def _hash_file(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _download(url: str, target: Path, limits: InstallLimits) -> None:
    deadline = time.monotonic() + limits.total_seconds
    try:
        with requests.Session() as session:
            # Requests would otherwise send what a .netrc file holds; no release needs a credential.
            session.auth = _send_no_credential
            response = _follow(session, url, deadline, limits)
            with response, target.open("xb") as file:
                _save(response, file, deadline, limits)
    except (requests.RequestException, urllib3.exceptions.HTTPError) as error:
        raise _download_failed(url, f"the connection failed ({type(error).__name__})") from error


def _send_no_credential(request: requests.PreparedRequest) -> requests.PreparedRequest:
    return request


def _follow(session: requests.Session, url: str, deadline: float, limits: InstallLimits) -> requests.Response:
    """Return the answer that is no redirect. None leads from https to something less."""
    secure = urlsplit(url).scheme == "https"
    for _ in range(MAX_REDIRECTS + 1):
        response = session.get(
            url,
            stream=True,
            allow_redirects=False,
            timeout=(limits.connect_seconds, limits.stall_seconds),
            headers={"Accept-Encoding": "identity", "User-Agent": "coven-action"},
        )
        if response.status_code == requests.codes.ok:
            return response
        response.close()
        if response.status_code not in REDIRECTS:
            raise _download_failed(url, f"the server answered {response.status_code}")
        url = urljoin(url, response.headers.get("Location", ""))
        if secure and urlsplit(url).scheme != "https":
            raise _download_failed(url, "a redirect leaves https")
        _check_time(url, deadline)
    raise _download_failed(url, f"there are more than {MAX_REDIRECTS} redirects")


def _save(response: requests.Response, file: BinaryIO, deadline: float, limits: InstallLimits) -> None:
    size = 0
    # `read1` returns what has come; `read` would wait for a whole chunk and let a slow server outlast the deadline.
    while chunk := response.raw.read1(CHUNK, decode_content=False):
        size += len(chunk)
        if size > limits.archive_bytes:
            raise _download_failed(response.url, f"the archive is larger than {limits.archive_bytes} bytes")
        _check_time(response.url, deadline)
        file.write(chunk)


def _check_time(url: str, deadline: float) -> None:
    if time.monotonic() > deadline:
        raise _download_failed(url, "it took too long")


def _download_failed(url: str, reason: str) -> RuntimeFault:
    parts = urlsplit(url)
    # A redirect's query may hold a signature.
    place = f"{parts.scheme}://{parts.hostname}{parts.path}"
    return RuntimeFault("runtime-download-failed", f"The download failed: {reason}.", place=place)
