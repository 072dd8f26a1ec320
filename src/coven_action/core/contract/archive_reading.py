"""Read the one program out of a release archive, and refuse an archive that holds anything odd.

Pure: a stream in, bytes out. Nothing is ever unpacked by name: where the program's bytes go is the caller's decision.
Links, devices, sparse files, paths that lead elsewhere, set-user-id bits and repeated names do not occur in an honest
release, so one of them refuses the whole archive, whether or not it concerns the program. Memory is bounded.
"""

import gzip
import stat
import struct
import tarfile
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import PurePosixPath
from typing import IO, BinaryIO, Final, cast

from coven_action.core.contract.releases import ReleaseArchive
from coven_action.errors import RuntimeFault

CHUNK_BYTES: Final = 256 * 1024
MAX_MEMBERS: Final = 64
SPECIAL_BITS: Final = stat.S_ISUID | stat.S_ISGID | stat.S_ISVTX
UNIX: Final = 3
"""`create_system` of a zip member whose permissions are Unix's. APPNOTE.TXT of the zip format, section 4.4.2."""

# What the standard library raises for archives that are damaged or made to mislead it.
_DAMAGE: Final = (
    tarfile.TarError,
    zipfile.BadZipFile,
    gzip.BadGzipFile,
    zlib.error,
    struct.error,
    EOFError,
    ValueError,
    ArithmeticError,
    LookupError,
    RuntimeError,
)


def read_program(stream: BinaryIO, archive: ReleaseArchive, *, max_bytes: int) -> Iterator[bytes]:
    """Yield the program's bytes in chunks. Only when the iterator has ended is the whole archive found in order.

    Args:
        stream: The packed archive, seekable, at its beginning.
        archive: Its kind and the program's name in it.
        max_bytes: What all of it together may unpack to.

    Raises:
        RuntimeFault: `runtime-archive-refused`.
    """
    read = _read_tar if archive.kind == "tar.gz" else _read_zip
    try:
        yield from read(stream, archive.binary, max_bytes)
    except _DAMAGE as error:
        raise _refused(f"it is damaged ({type(error).__name__})") from error


def _read_tar(stream: BinaryIO, program: str, max_bytes: int) -> Iterator[bytes]:
    names: set[str] = set()
    found = False
    with gzip.GzipFile(fileobj=stream) as unpacked:
        bounded = _Bounded(unpacked, max_bytes)
        # Mode `r|` reads forward only: no header can send the reader back, and nothing is kept.
        with tarfile.open(fileobj=cast("IO[bytes]", bounded), mode="r|") as tar:
            for member in tar:
                _check_member(member.name, member.mode, names)
                if not (member.isdir() or member.isreg()) or member.issparse():
                    raise _refused("it holds a link, a device or a sparse file")
                if member.isreg() and str(PurePosixPath(member.name)) == program:
                    found = True
                    yield from _copy(cast("IO[bytes]", tar.extractfile(member)))
        # The checksum stands at the end of the compressed stream.
        for _ in _copy(bounded):
            pass
    _check_found(program, found=found)


def _read_zip(stream: BinaryIO, program: str, max_bytes: int) -> Iterator[bytes]:
    names: set[str] = set()
    with zipfile.ZipFile(stream) as packed:
        members = packed.infolist()
        if sum(member.file_size for member in members) > max_bytes:
            raise _refused(f"it unpacks to more than {max_bytes} bytes")
        for member in members:
            mode = member.external_attr >> 16 if member.create_system == UNIX else 0
            _check_member(member.orig_filename, mode, names)
            if stat.S_IFMT(mode) not in {0, stat.S_IFREG, stat.S_IFDIR}:
                raise _refused("it holds a link or a device")
        programs = [item for item in members if not item.is_dir() and str(PurePosixPath(item.filename)) == program]
        for member in programs:
            with packed.open(member) as file:
                yield from _copy(file)
    _check_found(program, found=bool(programs))


class _Bounded:
    """A reader that refuses to read more than it may: a small archive can unpack to any size."""

    def __init__(self, stream: gzip.GzipFile, max_bytes: int) -> None:
        self._stream = stream
        self._left = max_bytes

    def read(self, size: int) -> bytes:
        data = self._stream.read(size)
        self._left -= len(data)
        if self._left < 0:
            raise _refused("it unpacks to more than is allowed")
        return data


def _copy(file: "IO[bytes] | _Bounded") -> Iterator[bytes]:
    while chunk := file.read(CHUNK_BYTES):
        yield chunk


def _check_member(name: str, mode: int, names: set[str]) -> None:
    """Refuse a name that leads elsewhere or was there before, and special permission bits; note the name."""
    path = PurePosixPath(name)
    if path.is_absolute() or ".." in path.parts or any(character in name for character in "\\:\0"):
        raise _refused("it holds a path that leads out of it")
    if str(path) in names or len(names) >= MAX_MEMBERS:
        raise _refused(f"it holds a name twice, or more than {MAX_MEMBERS} members")
    if mode & SPECIAL_BITS:
        raise _refused("it holds a file with a set-user-id, set-group-id or sticky bit")
    names.add(str(path))


def _check_found(program: str, *, found: bool) -> None:
    if not found:
        raise _refused(f"it does not hold {program}")


def _refused(reason: str) -> RuntimeFault:
    return RuntimeFault("runtime-archive-refused", f"The archive is refused: {reason}.")
