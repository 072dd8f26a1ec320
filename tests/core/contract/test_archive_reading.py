import gzip
import io
import stat
import tarfile
import zipfile

import pytest
from hypothesis import given
from hypothesis import strategies as st

from coven_action.core.contract.archive_reading import MAX_MEMBERS, read_program
from coven_action.core.contract.releases import ReleaseArchive
from coven_action.errors import RuntimeFault
from tests.fuzzing import examples

PROGRAM = b"\x7fELF" + bytes(range(256)) * 20
TAR = ReleaseArchive("0.6.1", "linux-x86_64", "a.tar.gz", "tar.gz", "coven-code", "0" * 64)
ZIP = ReleaseArchive("0.6.1", "windows-x86_64", "a.zip", "zip", "coven-code.exe", "0" * 64)


def tar_member(name, data=b"", **fields):
    member = tarfile.TarInfo(name)
    member.size = len(data)
    member.mode = 0o755
    for field, value in fields.items():
        setattr(member, field, value)
    return member, data


def build_tar(*members, format=tarfile.PAX_FORMAT):  # noqa: A002 - tarfile's own word
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz", format=format) as tar:
        for member, data in members:
            tar.addfile(member, io.BytesIO(data))
    return buffer.getvalue()


def zip_member(name, data=b"", mode=stat.S_IFREG | 0o755, system=3, method=zipfile.ZIP_DEFLATED):
    member = zipfile.ZipInfo(name)
    member.external_attr = mode << 16
    member.create_system = system
    member.compress_type = method
    return member, data


def build_zip(*members):
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as packed:
        for member, data in members:
            packed.writestr(member, data)
    return buffer.getvalue()


GOOD_TAR = build_tar(tar_member("coven-code", PROGRAM))
GOOD_ZIP = build_zip(zip_member("coven-code.exe", PROGRAM))


def read(data, archive=TAR, max_bytes=1_000_000):
    return b"".join(read_program(io.BytesIO(data), archive, max_bytes=max_bytes))


@pytest.mark.parametrize(
    ("data", "archive"),
    [
        (GOOD_TAR, TAR),
        (GOOD_ZIP, ZIP),
        (build_tar(tar_member("./", type=tarfile.DIRTYPE), tar_member("./coven-code", PROGRAM)), TAR),
        (build_tar(tar_member("README.md", b"x"), tar_member("coven-code", PROGRAM), tar_member("LICENSE", b"y")), TAR),
        (build_zip(zip_member("docs/", mode=stat.S_IFDIR | 0o755), zip_member("coven-code.exe", PROGRAM)), ZIP),
        (build_zip(zip_member("coven-code.exe", PROGRAM, mode=0, system=0)), ZIP),
        (build_zip(zip_member("coven-code.exe", PROGRAM, method=zipfile.ZIP_STORED)), ZIP),
    ],
)
def test_the_program_is_read_from_an_honest_archive(data, archive):
    assert read(data, archive) == PROGRAM


def good(*others):
    return build_tar(tar_member("coven-code", PROGRAM), *others)


HOSTILE_TARS = {
    "empty": b"",
    "no archive": b"not an archive at all",
    "no program": build_tar(tar_member("other", b"x")),
    "program elsewhere": build_tar(tar_member("bin/coven-code", PROGRAM)),
    "program is a directory": build_tar(tar_member("coven-code", type=tarfile.DIRTYPE)),
    "program is a symlink": build_tar(tar_member("coven-code", type=tarfile.SYMTYPE, linkname="/bin/sh")),
    "symlink beside it": good(tar_member("x", type=tarfile.SYMTYPE, linkname="coven-code")),
    "hard link": good(tar_member("x", type=tarfile.LNKTYPE, linkname="coven-code")),
    "device": good(tar_member("x", type=tarfile.CHRTYPE)),
    "fifo": good(tar_member("x", type=tarfile.FIFOTYPE)),
    "traversal": good(tar_member("../../etc/cron.d/x", b"x")),
    "traversal inside": good(tar_member("a/../../x", b"x")),
    "absolute": good(tar_member("/etc/passwd", b"x")),
    "backslash": good(tar_member("..\\x", b"x")),
    "drive": good(tar_member("C:x", b"x")),
    "set-user-id": build_tar(tar_member("coven-code", PROGRAM, mode=0o4755)),
    "set-group-id beside it": good(tar_member("x", b"x", mode=0o2755)),
    "sticky": good(tar_member("x", b"x", mode=0o1755)),
    "twice": good(tar_member("coven-code", b"other")),
    "twice by another spelling": good(tar_member("./coven-code", b"other")),
    "too many": good(*[tar_member(f"f{number}") for number in range(MAX_MEMBERS)]),
    "bomb": build_tar(tar_member("coven-code", bytes(2_000_000))),
    "bomb behind it": good(tar_member("zeros", bytes(2_000_000))),
    "bomb after the end": gzip.compress(gzip.decompress(good()) + bytes(2_000_000)),
    "truncated": GOOD_TAR[:-200],
    "cut at the checksum": GOOD_TAR[:-8],
    "wrong checksum": GOOD_TAR[:-8] + b"\0\0\0\0" + GOOD_TAR[-4:],
    "garbage after it": GOOD_TAR + b"garbage",
    "deep chain of long names": gzip.compress(tar_member("L", type=tarfile.GNUTYPE_LONGNAME)[0].tobuf() * 5000),
}


@pytest.mark.parametrize("name", HOSTILE_TARS)
def test_an_odd_tar_is_refused_whole(name):
    with pytest.raises(RuntimeFault) as caught:
        read(HOSTILE_TARS[name], max_bytes=10_000_000 if "chain" in name else 1_000_000)

    assert caught.value.code == "runtime-archive-refused"


def test_a_sparse_file_is_refused():
    member, data = tar_member("coven-code", PROGRAM, type=tarfile.GNUTYPE_SPARSE)
    buffer = bytearray(member.tobuf(tarfile.GNU_FORMAT))
    with pytest.raises(RuntimeFault, match="sparse"):
        read(gzip.compress(bytes(buffer) + data + bytes(-len(data) % 512) + bytes(1024)))


def encrypted(data):
    # Bit 0 of the general purpose flag, in the central directory's copy.
    place = data.index(b"PK\x01\x02") + 8
    return data[:place] + b"\x01" + data[place + 1 :]


HOSTILE_ZIPS = {
    "empty": b"",
    "no archive": b"PK nothing",
    "no program": build_zip(zip_member("other.exe", b"x")),
    "program is a directory": build_zip(zip_member("coven-code.exe/", mode=stat.S_IFDIR | 0o755)),
    "symlink": build_zip(zip_member("coven-code.exe", b"/bin/sh", mode=stat.S_IFLNK | 0o777)),
    "device": build_zip(zip_member("coven-code.exe", PROGRAM), zip_member("x", mode=stat.S_IFBLK | 0o600)),
    "set-user-id": build_zip(zip_member("coven-code.exe", PROGRAM, mode=stat.S_IFREG | 0o4755)),
    "traversal": build_zip(zip_member("coven-code.exe", PROGRAM), zip_member("../x", b"x")),
    "absolute": build_zip(zip_member("coven-code.exe", PROGRAM), zip_member("/x", b"x")),
    "backslash": build_zip(zip_member("coven-code.exe", PROGRAM), zip_member("..\\x", b"x")),
    "bomb": build_zip(zip_member("coven-code.exe", bytes(2_000_000))),
    "encrypted": encrypted(GOOD_ZIP),
    "truncated": GOOD_ZIP[:-30],
    "damaged": build_zip(zip_member("coven-code.exe", PROGRAM, method=zipfile.ZIP_STORED)).replace(b"ELF", b"elf"),
}


@pytest.mark.parametrize("name", HOSTILE_ZIPS)
def test_an_odd_zip_is_refused_whole(name):
    with pytest.raises(RuntimeFault) as caught:
        read(HOSTILE_ZIPS[name], ZIP)

    assert caught.value.code == "runtime-archive-refused"


@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_a_zip_that_holds_the_program_twice_is_refused():
    with pytest.raises(RuntimeFault, match="twice"):
        read(build_zip(zip_member("coven-code.exe", PROGRAM), zip_member("coven-code.exe", b"other")), ZIP)


@examples(150)
@given(st.sampled_from([(GOOD_TAR, TAR), (GOOD_ZIP, ZIP)]), st.data())
def test_no_damage_whatever_raises_anything_else_or_yields_other_bytes(archive, data):
    packed = bytearray(archive[0])
    for _ in range(data.draw(st.integers(1, 4))):
        packed[data.draw(st.integers(0, len(packed) - 1))] = data.draw(st.integers(0, 255))
    try:
        answer = read(bytes(packed), archive[1])
    except RuntimeFault as fault:
        answer = fault.code
    assert answer in (PROGRAM, "runtime-archive-refused")
