import re

import pytest

from coven_action.core.contract.releases import ARCHIVES, archive_for
from coven_action.errors import RuntimeFault


@pytest.mark.parametrize(
    ("system", "machine", "name", "digest_start"),
    [
        ("Linux", "x86_64", "coven-code-linux-x86_64.tar.gz", "b2588f23"),
        ("Linux", "aarch64", "coven-code-linux-aarch64.tar.gz", "ffd54707"),
        ("Darwin", "x86_64", "coven-code-macos-x86_64.tar.gz", "22b79d6c"),
        ("Darwin", "arm64", "coven-code-macos-aarch64.tar.gz", "221447dc"),
        ("Windows", "AMD64", "coven-code-windows-x86_64.zip", "d90ef5f1"),
    ],
)
def test_each_platform_has_its_archive_and_digest(system, machine, name, digest_start):
    archive = archive_for(system, machine)

    assert archive.name == name
    assert archive.sha256.startswith(digest_start)
    assert archive.url() == f"https://github.com/OpenCoven/coven-code/releases/download/v0.6.1/{name}"


def test_a_mirror_has_the_same_shape():
    assert archive_for("Linux", "x86_64").url("http://mirror.test/x/") == (
        "http://mirror.test/x/v0.6.1/coven-code-linux-x86_64.tar.gz"
    )


def test_every_digest_is_a_sha256_of_its_own():
    digests = [archive.sha256 for archive in ARCHIVES.values()]

    assert len(set(digests)) == len(digests)
    assert all(re.fullmatch(r"[0-9a-f]{64}", digest) for digest in digests)


@pytest.mark.parametrize(
    ("system", "machine"), [("Linux", "riscv64"), ("Windows", "arm64"), ("Plan9", "x86_64"), ("", "")]
)
def test_a_platform_without_an_archive_is_refused_with_what_there_is(system, machine):
    with pytest.raises(RuntimeFault, match="linux-x86_64") as caught:
        archive_for(system, machine)

    assert caught.value.code == "runtime-no-archive"
