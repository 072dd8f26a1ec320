"""Removing what a hostile program has left."""

import os
from pathlib import Path

import pytest

from coven_action.adapters.removal import remove_tree


def make_deep(folder, depth):
    """Make folders within folders, deeper than a path can say."""
    folder.mkdir()
    handle = os.open(folder, os.O_RDONLY)
    for _ in range(depth):
        os.mkdir("d", dir_fd=handle)
        inner = os.open("d", os.O_RDONLY, dir_fd=handle)
        os.close(handle)
        handle = inner
    os.close(os.open("file", os.O_CREAT | os.O_WRONLY, dir_fd=handle))
    os.close(handle)


def test_folders_within_folders_are_removed_deeper_than_a_path_can_say(tmp_path):
    make_deep(tmp_path / "deep", 5000)
    remove_tree(tmp_path / "deep")
    assert list(tmp_path.iterdir()) == []


def test_what_is_closed_is_opened_and_removed(tmp_path):
    for name in ("a/b/c", "a/d", "e"):
        (tmp_path / "closed" / name).mkdir(parents=True)
        (tmp_path / "closed" / name / "file").write_text("x")
    for path, _, _ in os.walk(tmp_path / "closed", topdown=False):
        Path(path).chmod(0)
    remove_tree(tmp_path / "closed")
    assert list(tmp_path.iterdir()) == []


def test_what_a_link_names_stays(tmp_path):
    kept = tmp_path / "kept"
    kept.mkdir(mode=0o500)
    for place in ("folder/link", "folder/deep/link", "link"):
        (tmp_path / place).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / place).symlink_to(kept)
    remove_tree(tmp_path / "folder")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["kept", "link"]
    assert kept.stat().st_mode & 0o777 == 0o500


@pytest.mark.parametrize(
    "make",
    [lambda path: path.write_text("x"), os.mkfifo, lambda path: path.symlink_to("/tmp"), lambda path: None],
    ids=["a file", "a pipe", "a link to a folder", "nothing"],
)
def test_what_is_no_folder_is_said(tmp_path, make):
    make(tmp_path / "thing")
    with pytest.raises(OSError, match="thing"):
        remove_tree(tmp_path / "thing")


def test_names_that_lie_deeper_twice_are_told_apart(tmp_path):
    for name in ("same/same/same", "same/other/same", "other/same"):
        (tmp_path / "top" / name).mkdir(parents=True)
        (tmp_path / "top" / name / "same").write_text("x")
    remove_tree(tmp_path / "top")
    assert list(tmp_path.iterdir()) == []
