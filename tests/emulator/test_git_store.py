"""The bare repositories: seeding, names that are no names, comparisons."""

import pytest

from coven_action.emulator import git_compare, git_store


@pytest.fixture
def bare(tmp_path):
    path = tmp_path / "a.git"
    git_store.create_repository(path, "main", {"a.txt": "one\ntwo\n", "deep/b.sh": "#!/bin/sh\n", 'q"\\uo\nte': "x"})
    return path


def test_equal_files_give_the_same_commit(bare, tmp_path):
    other = tmp_path / "b.git"
    git_store.create_repository(other, "main", {"a.txt": "one\ntwo\n", "deep/b.sh": "#!/bin/sh\n", 'q"\\uo\nte': "x"})
    assert git_store.resolve_commit(bare, "main") == git_store.resolve_commit(other, "main")


def test_names_of_files_survive(bare):
    head = git_store.resolve_commit(bare, "main")
    assert {entry.path for entry in git_store.list_entries(bare, head, "")} == {"a.txt", "deep", 'q"\\uo\nte'}
    assert git_store.list_entries(bare, head, "deep/b.sh")[0].mode == "100755"


@pytest.mark.parametrize(
    "name",
    [
        "",
        "none",
        "main~0",
        "main^{tree}",
        "@",
        "HEAD@{0}",
        ":/Initial",
        "--all",
        "-x",
        "main:a.txt",
        "a\0b",
        "../x",
        "ma*",
    ],
)
def test_what_is_no_name_of_a_commit_means_none(bare, name):
    assert git_store.resolve_commit(bare, name) is None


@pytest.mark.parametrize("path", ["none", "../..", "/etc/passwd", "a\0b", "-x", ":(glob)*", "a.txt/b"])
def test_what_is_not_in_the_tree_is_none(bare, path):
    assert git_store.list_entries(bare, git_store.resolve_commit(bare, "main"), path) is None


def test_a_comparison_names_every_kind_of_change(bare):
    base = git_store.resolve_commit(bare, "main")
    git_store.run_git(bare, "branch", "topic", "main")
    changes = {
        "a.txt": None,
        "renamed.txt": "one\ntwo\n",
        "new\tname": "n\n",
        "image.bin": b"\0\1\2",
        "deep/b.sh": "exit\n",
    }
    head = git_store.commit_files(bare, "topic", changes, "Many")
    files = {file.filename: file for file in git_compare.list_changed_files(bare, base, head)}
    assert {name: file.status for name, file in files.items()} == {
        "renamed.txt": "renamed",
        "new\tname": "added",
        "image.bin": "added",
        "deep/b.sh": "modified",
    }
    assert files["renamed.txt"].previous_filename == "a.txt"
    assert files["renamed.txt"].patch is None
    assert files["image.bin"].patch is None
    assert files["deep/b.sh"].patch == "@@ -1 +1 @@\n-#!/bin/sh\n+exit"
    assert (files["deep/b.sh"].additions, files["deep/b.sh"].deletions) == (1, 1)


def test_a_file_that_becomes_a_link_is_one_change(bare, tmp_path):
    base = git_store.resolve_commit(bare, "main")
    blob = git_store.run_git(bare, "hash-object", "-w", "--stdin", content=b"target").decode().strip()
    git_store.run_git(bare, "branch", "topic", "main")
    stream = (
        "commit refs/heads/topic\ncommitter a <a@b> 1 +0000\ndata 1\nx\n"
        f"from {base}\nM 120000 {blob} a.txt\nM 100644 {blob} z.txt\n"
    )
    git_store.run_git(bare, "fast-import", "--quiet", content=stream.encode())
    files = git_compare.list_changed_files(bare, base, git_store.resolve_commit(bare, "topic"))
    assert [(file.filename, file.status) for file in files] == [("a.txt", "changed"), ("z.txt", "added")]
    assert "+target" in files[1].patch


def test_a_line_that_looks_like_a_header_divides_nothing(bare):
    base = git_store.resolve_commit(bare, "main")
    git_store.run_git(bare, "branch", "topic", "main")
    head = git_store.commit_files(bare, "topic", {"x": "diff --git a/y b/y\n@@ -1 +1 @@\n", "z": "z\n"}, "m")
    assert [file.filename for file in git_compare.list_changed_files(bare, base, head)] == ["x", "z"]


def test_histories_without_a_common_commit_have_no_difference(bare):
    git_store.commit_files(bare, "other", {"x": "y"}, "unrelated")
    base, head = git_store.resolve_commit(bare, "main"), git_store.resolve_commit(bare, "other")
    assert git_compare.list_changed_files(bare, base, head) == []
