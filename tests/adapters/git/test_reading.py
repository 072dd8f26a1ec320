"""What may not be compared is refused before it is: by its size, by all sizes together, by how many files there are."""

import os

import pytest

from coven_action.adapters.git import reading
from coven_action.adapters.git.program import LARGE_FILE, Git
from coven_action.adapters.git.reading import check_sizes
from coven_action.core.contract.process_output import MIB
from coven_action.errors import GitError
from tests.scenario import run_git


@pytest.fixture
def root(tmp_path):
    folder = tmp_path / "repository"
    folder.mkdir()
    run_git(folder, "init", "--quiet", "--initial-branch=main")
    return folder


@pytest.fixture
def check(root, tmp_path):
    """Check the last commit against the one before it."""
    git = Git(tmp_path / "git", os.environ["PATH"])
    return lambda: check_sizes(git, root, *(run_git(root, "rev-parse", name).strip() for name in ("HEAD~1", "HEAD")))


def commit(root, **sizes):
    """Make files of zeros, which take no room here; None removes one."""
    for name, size in sizes.items():
        path = root / name
        if size is None:
            path.unlink()
            continue
        with path.open("wb") as file:
            file.truncate(size)
    run_git(root, "add", "--all")
    run_git(root, "commit", "--quiet", "--allow-empty", "-m", "x")


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ({}, {"a": LARGE_FILE + 1}),
        ({"a": LARGE_FILE + 1}, {"a": 1}),
        ({"a": LARGE_FILE + 1}, {"a": None}),
    ],
    ids=["added", "made small", "removed"],
)
def test_a_large_file_is_in_no_change_whichever_side_it_is_on(root, check, before, after):
    commit(root, **before)
    commit(root, **after)

    with pytest.raises(GitError, match=r"more than 16 MiB are changed: a\b") as refused:
        check()
    assert refused.value.code == "change-too-large"


def test_the_same_content_in_many_files_counts_for_each_of_them(root, check, monkeypatch):
    monkeypatch.setattr(reading, "LARGE_CHANGE", 2 * MIB)
    commit(root)
    commit(root, a=MIB, b=MIB, c=1)

    with pytest.raises(GitError, match="MiB together"):
        check()


def test_more_files_than_can_be_held_in_memory_are_refused(root, check, monkeypatch):
    monkeypatch.setattr(reading, "MAXIMUM_RECORDS", 150)
    commit(root)
    commit(root, a=1, b=1)

    with pytest.raises(GitError, match="More files are changed"):
        check()


def test_what_is_large_and_not_changed_is_nobodys_concern(root, check, monkeypatch):
    monkeypatch.setattr(reading, "LARGE_CHANGE", 2 * MIB)
    commit(root, kept=LARGE_FILE + 1)
    commit(root, a=MIB, b=MIB)

    check()
