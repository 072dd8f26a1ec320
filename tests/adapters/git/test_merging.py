"""How two commits merge: what git says, and what is said where git is too old to say it."""

import os
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given
from hypothesis import strategies as st

from coven_action.adapters.git import merging
from coven_action.adapters.git.merging import find_conflicts, is_ancestor
from coven_action.adapters.git.program import Git
from coven_action.emulator import git_store
from tests.fuzzing import examples
from tests.scenario import run_git

TEXT = "".join(f"line {number}\n" for number in range(20))
FILES = {"a.txt": TEXT, "b.txt": "b\n", "folder/c.txt": "c\n"}
EDITED = TEXT.replace("line 3\n", "LINE 3\n")
ELSEWHERE = TEXT.replace("line 17\n", "LINE 17\n")
OTHERWISE = TEXT.replace("line 3\n", "line three\n")


class Repository:
    """A bare repository with a commit, and others that stand on it."""

    def __init__(self, folder: Path) -> None:
        self.root = folder / "bare.git"
        self.git = Git(folder / "home", os.environ["PATH"])
        git_store.create_repository(self.root, "main", FILES)
        self.count = 0

    def commit(self, changes, on="main"):
        self.count += 1
        branch = f"side-{self.count}"
        run_git(self.root, "branch", branch, on)
        return git_store.commit_files(self.root, branch, changes, "Change")

    def find(self, one, other):
        return find_conflicts(self.git, self.root, self.commit(one), self.commit(other))


@pytest.fixture(scope="module")
def repository(tmp_path_factory):
    return Repository(tmp_path_factory.mktemp("merging"))


@pytest.fixture(params=["merging", "overlap"])
def _way(request, monkeypatch):
    if request.param == "overlap":
        monkeypatch.setattr(merging, "MERGE_TREE_VERSION", (99,))


CLEAN = {
    "nothing in common": ({"a.txt": EDITED}, {"b.txt": "B\n"}),
    "a new file each": ({"one.txt": "1\n"}, {"two.txt": "2\n"}),
    "a file beside a folder of almost its name": ({"folder.txt": "1\n"}, {"folder/d.txt": "2\n"}),
    "one removed, another changed": ({"b.txt": None}, {"a.txt": EDITED}),
}
CONFLICTS = {
    "the same line": ({"a.txt": EDITED}, {"a.txt": OTHERWISE}, "a.txt"),
    "changed and removed": ({"a.txt": EDITED}, {"a.txt": None}, "a.txt"),
    "removed and changed": ({"a.txt": None}, {"a.txt": EDITED}, "a.txt"),
    "two new files of one name": ({"new.txt": "1\n"}, {"new.txt": "2\n"}, "new.txt"),
    "two binary files": ({"b.txt": b"\0one"}, {"b.txt": b"\0two"}, "b.txt"),
    "a file and a folder": ({"new": "1\n"}, {"new/file.txt": "2\n"}, "new"),
    "a name with a line feed": ({"new\nline": "1\n"}, {"new\nline": "2\n"}, "new\nline"),
}


@pytest.mark.usefixtures("_way")
@pytest.mark.parametrize(("one", "other"), CLEAN.values(), ids=CLEAN)
def test_changes_that_do_not_meet_merge(repository, one, other):
    assert repository.find(one, other) == ()
    assert repository.find(other, one) == ()


@pytest.mark.usefixtures("_way")
@pytest.mark.parametrize(("one", "other", "path"), CONFLICTS.values(), ids=CONFLICTS)
def test_changes_that_meet_conflict_and_are_named(repository, one, other, path):
    for found in (repository.find(one, other), repository.find(other, one)):
        assert found
        assert any(name.startswith(path) for name in found)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ({"a.txt": EDITED}, {"a.txt": ELSEWHERE}),
        ({"a.txt": EDITED}, {"a.txt": EDITED, "b.txt": "B\n"}),
        ({"b.txt": None}, {"b.txt": None, "a.txt": EDITED}),
    ],
    ids=["other lines of a file", "the same change", "the same removal"],
)
def test_only_an_old_git_takes_the_same_file_for_a_conflict(repository, monkeypatch, one, other):
    assert repository.find(one, other) == ()
    monkeypatch.setattr(merging, "MERGE_TREE_VERSION", (99,))
    assert repository.find(one, other)


@pytest.mark.usefixtures("_way")
def test_a_file_that_both_renamed_otherwise_is_a_conflict(repository):
    assert repository.find({"a.txt": None, "moved.txt": TEXT}, {"a.txt": None, "elsewhere.txt": TEXT})


@pytest.mark.usefixtures("_way")
def test_without_a_commit_that_both_stand_on_nothing_is_said(repository):
    git_store.commit_files(repository.root, "alone", {"a.txt": "x\n"}, "Alone")
    alone = run_git(repository.root, "rev-parse", "alone").strip()

    assert find_conflicts(repository.git, repository.root, repository.commit({"b.txt": "B\n"}), alone) is None


def test_no_driver_or_filter_is_run_whatever_attributes_say(repository, tmp_path, monkeypatch):
    trap = tmp_path / "ran"
    attributes = "* merge=evil filter=evil diff=evil\n"
    home = tmp_path / "home"
    home.mkdir()
    evil = f'touch "{trap}"; false'
    (home / ".gitconfig").write_text(
        f'[merge "evil"]\n\tdriver = {evil!r}\n[filter "evil"]\n\tclean = {evil!r}\n\tsmudge = {evil!r}\n'
    )
    monkeypatch.setenv("HOME", str(home))
    git = Git(home, os.environ["PATH"])
    ours = repository.commit({".gitattributes": attributes, "a.txt": EDITED})
    theirs = repository.commit({".gitattributes": attributes, "a.txt": OTHERWISE})

    assert "a.txt" in (find_conflicts(git, repository.root, ours, theirs) or ())
    assert not trap.exists()


def test_a_conflict_without_a_name_is_one_all_the_same(repository, monkeypatch):
    monkeypatch.setattr(Git, "ask", lambda self, *arguments, cwd: (arguments[0] == "merge-base", b"0" * 40 + b"\0"))

    assert find_conflicts(repository.git, repository.root, "x", "y") == (merging.WHOLE_TREE,)


def test_history_is_judged_as_far_as_it_is_there(repository):
    base = run_git(repository.root, "rev-parse", "main").strip()
    first = repository.commit({"b.txt": "1\n"})
    second = repository.commit({"b.txt": "2\n"}, on=first)
    git, root = repository.git, repository.root

    assert is_ancestor(git, root, base, second)
    assert is_ancestor(git, root, first, first)
    assert not is_ancestor(git, root, second, first)
    assert not is_ancestor(git, root, "1" * 40, second)


@pytest.mark.parametrize(
    ("said", "version"),
    [
        ("git version 2.39.5", (2, 39, 5)),
        ("git version 2.50.1 (Apple Git-155)", (2, 50, 1)),
        ("git version 2.47.1.windows.2", (2, 47, 1)),
        ("git version 3", (3,)),
        ("something else", ()),
        ("", ()),
    ],
)
def test_gits_version_is_read_as_far_as_it_is_numbers(tmp_path, said, version):
    program = tmp_path / "bin/git"
    program.parent.mkdir()
    program.write_text(f"#!/bin/sh\necho '{said}'\n")
    program.chmod(0o755)

    assert Git(tmp_path / "home", f"{program.parent}:/usr/bin:/bin").find_version() == version


def test_an_answer_that_is_neither_yes_nor_no_is_an_error(repository):
    from coven_action.errors import GitError

    with pytest.raises(GitError) as caught:
        repository.git.ask("merge-base", "--no-such-option", cwd=repository.root)
    assert caught.value.code == "git-failed"


NAMES = st.sampled_from(["a.txt", "b.txt", "folder/c.txt", "new", "new.txt"])
CHANGES = st.dictionaries(NAMES, st.sampled_from([None, EDITED, OTHERWISE, "short\n"]), min_size=1, max_size=3)


@given(CHANGES, CHANGES)
@examples(8, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_an_old_git_misses_no_conflict_that_a_newer_one_sees(repository, one, other):
    one, other = ({name: text for name, text in side.items() if text or name in FILES} for side in (one, other))
    ours, theirs = repository.commit(one), repository.commit(other)
    real = find_conflicts(repository.git, repository.root, ours, theirs)
    base = run_git(repository.root, "rev-parse", "main").strip()
    rough = merging._find_overlap(repository.git, repository.root, base, ours, theirs)

    assert not real or rough
