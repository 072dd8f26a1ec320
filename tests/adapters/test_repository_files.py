"""The files of a person's repository are read and written whole, and no link leads us out of it."""

import os

import pytest

from coven_action.adapters.repository_files import MAXIMUM_BYTES, RepositoryFiles, find_repository
from coven_action.errors import DocumentError, EnvironmentFault

PATH = ".github/workflows/coven.yml"


def names(folder):
    return sorted(entry.name for entry in folder.iterdir())


@pytest.fixture
def files(tmp_path):
    return RepositoryFiles(tmp_path)


def test_files_are_written_and_read(files):
    files.write({PATH: b"a", ".github/coven.yml": b"b"})
    files.write({PATH: b"c"})

    assert files.find(PATH) == b"c"
    assert files.find(".github/coven.yml") == b"b"
    assert files.find("absent/file") is None
    assert files.list_files(".github/workflows", (".yml", ".yaml")) == (PATH,)
    assert files.list_files("absent", (".yml",)) == ()


def test_no_temporary_file_is_left(files, tmp_path):
    files.write({PATH: b"a"})

    assert names(tmp_path / ".github/workflows") == ["coven.yml"]


@pytest.mark.parametrize("link", [".github", ".github/workflows", PATH])
def test_a_link_on_the_way_is_refused(files, tmp_path, link):
    outside = tmp_path / "outside"
    (outside / "workflows").mkdir(parents=True)
    place = tmp_path / link
    place.parent.mkdir(parents=True, exist_ok=True)
    place.symlink_to(outside)

    for act in (lambda: files.find(PATH), lambda: files.write({PATH: b"x"})):
        with pytest.raises(EnvironmentFault) as refused:
            act()
        assert refused.value.code == "link-in-the-way"
    assert names(outside / "workflows") == []


def test_a_link_to_the_folder_of_workflows_is_not_listed(files, tmp_path):
    (tmp_path / ".github").symlink_to("/etc")

    with pytest.raises(EnvironmentFault, match="link-in-the-way"):
        files.list_files(".github/workflows", ("",))


def test_a_pipe_in_a_file_s_place_is_refused(files, tmp_path):
    os.mkfifo(tmp_path / "coven.yml")

    with pytest.raises(EnvironmentFault, match="link-in-the-way"):
        files.find("coven.yml")


def test_nothing_is_written_where_one_file_cannot_be(files, tmp_path):
    (tmp_path / "folder").write_bytes(b"a file")

    with pytest.raises(EnvironmentFault):
        files.write({"first": b"1", "folder/second": b"2"})
    assert names(tmp_path) == ["folder"]


def test_an_error_of_the_disk_is_told(files, monkeypatch, tmp_path):
    def fail(handle):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises(DocumentError, match="No space left"):
        files.write({"first": b"1"})
    assert names(tmp_path) == []


def test_a_name_too_long_for_the_disk_is_told(files):
    for act in (lambda: files.find("x" * 300), lambda: files.list_files("x" * 300, ("",))):
        with pytest.raises(DocumentError, match="io-failed"):
            act()


def test_a_file_is_read_no_further_than_the_bound(files):
    files.write({"big": b"x" * (MAXIMUM_BYTES + 100)})

    assert len(files.find("big")) == MAXIMUM_BYTES + 1


def test_the_repository_of_a_folder_is_found(tmp_path):
    below = tmp_path / "repository/src/deep"
    below.mkdir(parents=True)
    git = tmp_path / "repository/.git"

    assert find_repository(below) is None
    git.mkdir()
    assert find_repository(below) is None
    (git / "HEAD").write_text("ref: refs/heads/main\n")
    assert find_repository(below).root == tmp_path / "repository"


def test_a_worktree_is_a_repository(tmp_path):
    (tmp_path / ".git").write_text("gitdir: /elsewhere\n")

    assert find_repository(tmp_path).root == tmp_path
