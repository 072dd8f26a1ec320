"""The documents' folder: what stands in a document's place is looked at, never followed."""

import os

import pytest

from coven_action.adapters.folder import DocumentFolder
from coven_action.core.records import sha256_hex
from coven_action.core.redaction.redactor import Redactor
from coven_action.errors import DocumentError


@pytest.fixture
def folder(tmp_path):
    return DocumentFolder(tmp_path / "documents")


def test_the_folder_is_this_users_alone(folder):
    # Whom root becomes has to pass through, and sees no name.
    assert folder.folder.stat().st_mode & 0o777 == (0o711 if os.geteuid() == 0 else 0o700)


def test_a_document_is_read_as_it_was_written(folder):
    path = folder.write("plan.json", b"{}")

    assert path == folder.folder / "plan.json"
    assert folder.read("plan.json", 2) == b"{}"
    assert folder.measure("plan.json").model_dump() == {"size": 2, "sha256": sha256_hex(b"{}")}
    assert list(folder.folder.iterdir()) == [path]


def test_a_document_larger_than_its_limit_is_refused_without_reading_it_all(folder):
    with (folder.folder / "big").open("wb") as stream:
        stream.truncate(10**12)

    with pytest.raises(DocumentError) as caught:
        folder.read("big", 100)
    assert caught.value.code == "document-too-large"


def _place(folder, how):
    path = folder.folder / "plan.json"
    target = folder.folder.parent / "target"
    target.mkdir()
    (target / "kept").write_text("{}")
    deeds = {
        "nothing": lambda: None,
        "a link": lambda: path.symlink_to(target / "kept"),
        "a dangling link": lambda: path.symlink_to(target / "absent"),
        "a link to a folder": lambda: path.symlink_to(target),
        "a pipe": lambda: os.mkfifo(path),
        "a folder": lambda: (path / "inner").mkdir(parents=True),
    }
    deeds[how]()
    return target / "kept"


PLACES = ["nothing", "a link", "a dangling link", "a link to a folder", "a pipe", "a folder"]


@pytest.mark.parametrize("how", PLACES)
def test_what_is_no_plain_file_is_no_document(folder, how):
    _place(folder, how)

    for look in (lambda: folder.read("plan.json", 10), lambda: folder.measure("plan.json")):
        with pytest.raises(DocumentError) as caught:
            look()
        assert caught.value.code == "missing-document"


@pytest.mark.parametrize("name", ["evidence.json", "proposed-memory/notes/rounding.md"])
def test_a_text_for_people_is_left_whole_in_place_of_an_older_one(folder, name):
    redact = Redactor.build(["zk7Xw2mZ9qLp4Rt8Vb3Nc6"]).redact
    for text in ("older", "a zk7Xw2mZ9qLp4Rt8Vb3Nc6 \u2028"):
        folder.leave(redact(name), redact(text))

    assert (folder.folder / name).read_text() == "a [redacted: registered secret] \u2028"
    assert [path for path in folder.folder.rglob("*") if path.is_file()] == [folder.folder / name]


def test_a_text_is_not_left_where_a_file_stands_in_place_of_its_folder(folder):
    folder.write("proposed-memory", b"a file")
    redact = Redactor.build().redact

    with pytest.raises(DocumentError) as caught:
        folder.leave(redact("proposed-memory/a/b.md"), redact("x"))
    assert caught.value.code == "io-failed"


@pytest.mark.parametrize("how", PLACES)
def test_writing_replaces_whatever_is_there_and_follows_nothing(folder, how):
    kept = _place(folder, how)
    (folder.folder / ".plan.json.new").mkdir()
    folder.write("plan.json", b"mine")

    assert folder.read("plan.json", 10) == b"mine"
    assert kept.read_text() == "{}"


@pytest.mark.parametrize("how", PLACES)
def test_removing_and_making_a_folder_follow_nothing(folder, how):
    kept = _place(folder, how)
    assert list(folder.make_folder("plan.json").iterdir()) == []
    folder.remove("plan.json")

    assert not (folder.folder / "plan.json").exists()
    assert kept.read_text() == "{}"


def test_a_log_is_written_as_it_comes_and_never_over_another(folder):
    with folder.open_log("agent.log") as log:
        log("one\r\n")
        log("two ✓")

    assert folder.read("agent.log", 100) == "one\r\ntwo ✓".encode()
    with pytest.raises(DocumentError), folder.open_log("agent.log"):
        pass


def test_a_folder_that_cannot_be_made_is_an_error(tmp_path):
    (tmp_path / "file").write_text("x")

    with pytest.raises(DocumentError) as caught:
        DocumentFolder(tmp_path / "file" / "documents")
    assert caught.value.code == "io-failed"


def test_a_document_that_cannot_be_written_is_an_error_and_leaves_no_half(folder, monkeypatch):
    def fail(_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("coven_action.adapters.folder.os.fsync", fail)
    with pytest.raises(DocumentError) as caught:
        folder.write("plan.json", b"{}")
    assert "No space left" in caught.value.message
    assert not (folder.folder / "plan.json").exists()
