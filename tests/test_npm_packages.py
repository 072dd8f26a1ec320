"""The files of other projects are fetched once, and only what was pinned is kept."""

import base64
import dataclasses
import hashlib
import io
import tarfile

import pytest

from tests import npm_packages
from tests.npm_packages import PackageFile, fetch_file


@pytest.fixture
def package(tmp_path, monkeypatch):
    """A pinned package whose archive is made here; `packed` counts how often it was asked for."""
    archive = tmp_path / "made.tgz"
    with tarfile.open(archive, "w:gz") as content:
        member = tarfile.TarInfo("package/data.json")
        member.size = 2
        content.addfile(member, io.BytesIO(b"{}"))
    packed = []

    def pack(wanted, directory):
        packed.append(wanted)
        return archive

    monkeypatch.setattr(npm_packages, "CACHE", tmp_path / "cache")
    monkeypatch.setattr(npm_packages, "_pack", pack)
    digest = base64.b64encode(hashlib.sha512(archive.read_bytes()).digest()).decode()
    return PackageFile("@scope/name", "1.0.0", f"sha512-{digest}", "package/data.json"), packed


def test_a_file_is_fetched_once(package):
    wanted, packed = package
    assert fetch_file(wanted).read_text() == "{}"
    assert fetch_file(wanted) == wanted.cached
    assert len(packed) == 1


def test_what_is_not_what_was_pinned_is_not_kept(package):
    wanted = dataclasses.replace(package[0], integrity="sha512-AAAA")
    with pytest.raises(AssertionError, match="not what was pinned"):
        fetch_file(wanted)
    assert not wanted.cached.exists()


def test_a_member_that_is_missing_leaves_nothing_behind(package):
    wanted = dataclasses.replace(package[0], member="package/other.json")
    with pytest.raises(KeyError):
        fetch_file(wanted)
    assert not wanted.cached.exists()
