"""What earlier jobs handed over is taken as plain files of bounded size, or left."""

import os

import pytest

from coven_action.adapters.received import take_file
from coven_action.errors import DocumentError

NAME = "outcome.json"


@pytest.fixture
def folders(tmp_path):
    source, folder = tmp_path / "received/run", tmp_path / "documents"
    source.mkdir(parents=True)
    folder.mkdir()
    return source, folder


def test_a_file_is_taken_whole(folders):
    source, folder = folders
    (source / NAME).write_bytes(b"x" * 3_000_000)

    assert take_file(source, NAME, 3_000_000, folder) is None
    assert (folder / NAME).read_bytes() == b"x" * 3_000_000
    assert sorted(path.name for path in folder.iterdir()) == [NAME]


def test_what_lay_there_is_replaced(folders):
    source, folder = folders
    (folder / NAME).write_text("old")
    (source / NAME).write_text("new")

    take_file(source, NAME, 10, folder)

    assert (folder / NAME).read_text() == "new"


def test_of_a_file_that_is_too_large_only_what_shows_it_is_taken(folders):
    source, folder = folders
    (source / NAME).write_bytes(b"x" * 100)

    assert "more than 10 bytes" in take_file(source, NAME, 10, folder)
    assert len((folder / NAME).read_bytes()) == 11


def test_what_was_not_handed_over_is_not_there(folders):
    source, folder = folders

    assert take_file(source, NAME, 10, folder) is None
    assert take_file(source / "absent", NAME, 10, folder) is None
    assert list(folder.iterdir()) == []


def plant_link(source, secret):
    (source / NAME).symlink_to(secret)


def plant_folder(source, secret):
    (source / NAME).mkdir()


def plant_pipe(source, secret):
    os.mkfifo(source / NAME)


def plant_linked_folder(source, secret):
    source.rmdir()
    source.symlink_to(secret.parent)


@pytest.mark.parametrize("plant", [plant_link, plant_folder, plant_pipe, plant_linked_folder])
def test_what_is_no_ordinary_file_is_left_and_said(folders, tmp_path, plant):
    source, folder = folders
    secret = tmp_path / "secret" / NAME
    secret.parent.mkdir()
    secret.write_text("canary")
    plant(source, secret)

    assert "something else than an ordinary file" in take_file(source, NAME, 100, folder)
    assert list(folder.iterdir()) == []


def test_a_folder_that_cannot_be_written_is_told(folders):
    source, folder = folders
    (source / NAME).write_text("x")
    (folder / NAME).mkdir()

    with pytest.raises(DocumentError) as refused:
        take_file(source, NAME, 100, folder)
    assert refused.value.code == "io-failed"
