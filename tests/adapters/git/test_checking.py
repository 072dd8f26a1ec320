"""Trees for the checks, from real repositories and bundles, and the reports that are found in them."""

import os
import subprocess
from pathlib import Path

import pytest

from coven_action.adapters.git import checking
from coven_action.adapters.git.bundles import read_base
from coven_action.adapters.git.checking import GitCheckTree
from coven_action.core.checks.summaries import MAX_REPORTS
from coven_action.errors import GitError
from tests.checked_repository import FILES, MENDED, open_repository
from tests.scenario import run_git


@pytest.fixture
def repository():
    with open_repository() as made:
        yield made


@pytest.fixture
def bundle(repository):
    """The bundle of the result that mends the fault."""
    return repository.mended


def refs(root):
    return run_git(root, "for-each-ref", "--format=%(refname)").split()


# --- trees


def test_the_base_is_an_ordinary_clone_with_the_history_and_the_tags_of_the_checkout(repository):
    run_git(repository.checkout, "tag", "v1", repository.first)
    run_git(repository.checkout, "branch", "other", repository.first)
    repository.commit({"later.txt": "later\n"})

    root = repository.prepare(repository.base).root

    assert root == repository.folder / "verify/checks/tree"
    assert {name: (root / name).read_text() for name in FILES} == FILES
    assert not (root / "later.txt").exists()
    assert run_git(root, "rev-list", "HEAD").split() == [repository.base, repository.first]
    assert run_git(root, "symbolic-ref", "HEAD").strip() == "refs/heads/main"
    assert run_git(root, "status", "--short") == ""
    assert refs(root) == ["refs/heads/main", "refs/remotes/origin/main", "refs/tags/v1"]
    assert run_git(root, "describe", "--tags").startswith("v1-1-g")


def test_nothing_in_it_leads_back_or_holds_a_credential(repository):
    run_git(repository.checkout, "config", "http.https://github.example/.extraheader", "AUTHORIZATION: basic c2VjcmV0")
    (repository.checkout / ".git/hooks").mkdir(exist_ok=True)
    (repository.checkout / ".git/hooks/post-checkout").write_text("#!/bin/sh\nexit 1\n")

    root = repository.prepare().root

    assert run_git(root, "remote") == ""
    assert "AUTHORIZATION" not in (root / ".git/config").read_text()
    assert not (root / ".git/objects/info/alternates").exists()
    assert not (root / ".git/hooks").exists()
    assert not (root / ".git/FETCH_HEAD").exists()


def test_the_result_stands_on_the_base_on_the_same_branch(repository, bundle):
    tip = repository.tip

    root = repository.prepare(tip, bundle=bundle).root

    assert (root / "src/tax.py").read_text() == MENDED
    assert run_git(root, "rev-list", "HEAD").split() == [tip, repository.base, repository.first]
    assert run_git(root, "rev-parse", "refs/remotes/origin/main").strip() == repository.base
    assert refs(root) == ["refs/heads/main", "refs/remotes/origin/main"]
    assert not list((root / ".git").glob("new-*"))


def test_a_shallow_checkout_gives_a_shallow_tree(repository, bundle):
    tip = repository.tip
    shallow = repository.folder / "shallow"
    run_git(repository.folder, "clone", "--quiet", "--depth=1", f"file://{repository.checkout}", str(shallow))
    repository.checkout = shallow

    assert run_git(repository.prepare(name="base").root, "rev-list", "HEAD").split() == [repository.base]
    assert run_git(repository.prepare(tip, bundle=bundle).root, "rev-list", "HEAD").split() == [tip, repository.base]


def test_nothing_that_the_result_brings_is_executed_by_us(repository, bundle):
    ran = repository.folder / "ran"

    def plant(workspace):
        (workspace / ".gitattributes").write_text("* filter=evil diff=evil merge=evil\n")
        (workspace / ".gitconfig").write_text(f'[filter "evil"]\n\tsmudge = touch {ran}\n')
        (workspace / ".lfsconfig").write_text("[lfs]\n\turl = https://evil.example\n")
        (workspace / ".gitmodules").write_text('[submodule "x"]\n\tpath = x\n\turl = ext::touch% ran\n')
        (workspace / "link").symlink_to("/etc/passwd")

    tip = repository.make_result(plant, bundle)
    root = repository.prepare(tip, bundle=bundle).root

    assert (root / "link").is_symlink()
    assert not ran.exists()


def test_a_commit_that_the_checkout_lacks_is_told(repository):
    with pytest.raises(GitError) as caught:
        repository.prepare("d" * 40)

    assert caught.value.code == "base-not-in-checkout"


def bundle_of(repository, bundle, *arguments):
    run_git(repository.checkout, "bundle", "create", "--quiet", str(bundle), *arguments)


def other_tip(_repository, _bundle):
    return "d" * 40


def two_commits(repository, bundle):
    for number in range(2):
        (repository.checkout / "more.txt").write_text(f"{number}\n")
        run_git(repository.checkout, "add", ".")
        run_git(repository.checkout, "commit", "--quiet", "-m", "more")
    run_git(repository.checkout, "update-ref", "refs/coven/result", "HEAD")
    bundle_of(repository, bundle, "refs/coven/result", f"^{repository.base}")
    return run_git(repository.checkout, "rev-parse", "HEAD").strip()


def a_merge(repository, bundle):
    tree = run_git(repository.checkout, "rev-parse", "HEAD^{tree}").strip()
    parents = ("-p", repository.base, "-p", repository.first)
    tip = run_git(repository.checkout, "commit-tree", tree, *parents, "-m", "merge").strip()
    run_git(repository.checkout, "update-ref", "refs/coven/result", tip)
    bundle_of(repository, bundle, "refs/coven/result", f"^{repository.base}")
    return tip


def all_history(repository, bundle):
    run_git(repository.checkout, "update-ref", "refs/coven/result", "HEAD")
    bundle_of(repository, bundle, "refs/coven/result")
    return repository.base


def another_name(repository, bundle):
    tip = repository.commit({"more.txt": "1\n"})
    bundle_of(repository, bundle, "main", f"^{repository.base}")
    return tip


def no_bundle(repository, bundle):
    bundle.write_bytes(b"PK\x03\x04" + b"-" * 5000)
    return repository.base


def cut_short(repository, bundle):
    tip = repository.tip
    bundle.write_bytes(bundle.read_bytes()[:-30])
    return tip


def missing_base(repository, bundle):
    tip = repository.tip
    bundle.write_bytes(bundle.read_bytes().replace(repository.base.encode(), b"d" * 40))
    return tip


def an_option(repository, bundle):
    bundle.write_bytes(bundle.read_bytes().replace(repository.base.encode(), b"-upload-pack=touch${IFS}ran"))
    return repository.tip


def a_name(repository, bundle):
    bundle.write_bytes(bundle.read_bytes().replace(repository.base.encode(), b"main"))
    return repository.tip


def git_folder(repository, bundle):
    """A tree that git would never make: writing it would change the configuration of the clone."""
    blob = run_git(repository.checkout, "hash-object", "-w", "README.md").strip()
    root = repository.checkout

    def make_tree(line):
        done = subprocess.run(("git", "mktree"), cwd=root, input=line.encode(), capture_output=True, check=True)
        return done.stdout.decode().strip()

    inner = make_tree(f"100644 blob {blob}\tconfig\n")
    tree = make_tree(f"040000 tree {inner}\t.git\n")
    tip = run_git(root, "commit-tree", tree, "-p", repository.base, "-m", "hostile").strip()
    run_git(root, "update-ref", "refs/coven/result", tip)
    bundle_of(repository, bundle, "refs/coven/result", f"^{repository.base}")
    return tip


# What a bundle is -> the code of the error.
HOSTILE = {
    other_tip: "bundle-mismatch",
    two_commits: "bundle-mismatch",
    a_merge: "bundle-mismatch",
    all_history: "bundle-mismatch",
    no_bundle: "bundle-mismatch",
    an_option: "bundle-mismatch",
    a_name: "bundle-mismatch",
    another_name: "git-failed",
    cut_short: "git-failed",
    git_folder: "git-failed",
    missing_base: "base-not-in-checkout",
}


@pytest.mark.parametrize(("make", "code"), HOSTILE.items(), ids=lambda value: getattr(value, "__name__", ""))
def test_a_bundle_that_is_not_one_commit_on_a_known_one_is_refused(repository, bundle, make, code):
    tip = make(repository, bundle)

    with pytest.raises(GitError) as caught:
        repository.prepare(tip, bundle=bundle)

    assert caught.value.code == code


def test_a_bundle_that_is_not_there_is_told(tmp_path):
    with pytest.raises(GitError) as caught:
        read_base(tmp_path / "missing")

    assert caught.value.code == "io-failed"


def test_a_tree_is_removed_with_what_cannot_be_written_in_it(repository):
    root = repository.prepare().root
    outside = repository.folder / "outside"
    outside.mkdir()
    (root / "src").chmod(0o500)
    (root / "link").symlink_to(outside)

    repository.trees.destroy(root.parent)

    assert not root.parent.exists()
    assert outside.exists()
    repository.trees.destroy(root.parent)


# --- reports


def write(root: Path, name: str, text: str = "<testsuite/>", at: float = 2000.0) -> Path:
    path = root / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    os.utime(path, (at, at))
    return path


FOUND = (
    "junit.xml",
    "JUNIT.XML",
    "my-junit-report.xml",
    "TEST-com.example.TaxTest.xml",
    "target/surefire-reports/TEST-a.xml",
    "target/failsafe-reports/a.xml",
    "build/test-results/test/a.xml",
    "test-results/deep/down/any.xml",
    "reports/unit.xml",
    "test-results.xml",
    "unit-tests.xml",
    "report.xml",
    "rspec.xml",
    "xunit.xml",
)
NOT_FOUND = (
    "pom.xml",
    "AndroidManifest.xml",
    "src/main/resources/config.xml",
    "junit.json",
    "junit.xml.bak",
    ".git/junit.xml",
    "node_modules/jest/junit.xml",
    ".venv/lib/python3/site-packages/pytest/junit.xml",
    "/".join(["deep"] * 13) + "/junit.xml",
)


@pytest.mark.parametrize("name", FOUND)
def test_a_report_is_found_by_the_name_that_test_runners_give_it(tmp_path, name):
    write(tmp_path, name)

    assert GitCheckTree(tmp_path).read_reports(1000.0) == (b"<testsuite/>",)


@pytest.mark.parametrize("name", NOT_FOUND)
def test_what_has_no_such_name_is_no_report(tmp_path, name):
    write(tmp_path, name)

    assert GitCheckTree(tmp_path).read_reports(1000.0) == ()


def test_reports_come_in_the_order_of_their_paths_and_only_newer_ones(tmp_path):
    write(tmp_path, "junit-b.xml", "b")
    write(tmp_path, "a/junit.xml", "a")
    write(tmp_path, "junit-older.xml", "older", at=999.0)
    write(tmp_path, "junit-same.xml", "same", at=1000.0)

    assert GitCheckTree(tmp_path).read_reports(1000.0) == (b"a", b"b")


def a_link(root, outside):
    (root / "junit.xml").symlink_to(outside / "junit.xml")


def a_linked_folder(root, outside):
    (root / "reports").symlink_to(outside)


def a_pipe(root, outside):
    del outside
    os.mkfifo(root / "junit.xml")
    os.utime(root / "junit.xml", (2000.0, 2000.0))


def a_folder(root, outside):
    del outside
    (root / "junit.xml").mkdir()


def a_large_one(root, outside):
    del outside
    write(root, "junit.xml", "x" * (checking.MOST_REPORT + 1))


@pytest.mark.parametrize("plant", [a_link, a_linked_folder, a_pipe, a_folder, a_large_one])
def test_what_is_no_ordinary_file_of_a_bearable_size_is_no_report(tmp_path, plant):
    root, outside = tmp_path / "tree", tmp_path / "outside"
    root.mkdir()
    write(outside, "junit.xml", "secret")
    write(root, "TEST-own.xml", "own")

    plant(root, outside)

    assert GitCheckTree(root).read_reports(1000.0) == (b"own",)


@pytest.mark.parametrize("place", ["missing", "a link", "a file"])
def test_a_tree_that_is_gone_has_no_reports(tmp_path, place):
    root, outside = tmp_path / "tree", tmp_path / "outside"
    write(outside, "junit.xml")
    if place == "a link":
        root.symlink_to(outside)
    elif place == "a file":
        root.write_text("")

    assert GitCheckTree(root).read_reports(1000.0) == ()


def test_a_tree_is_searched_within_bounds_shallow_folders_first(tmp_path, monkeypatch):
    monkeypatch.setattr(checking, "MOST_ENTRIES", 10)
    write(tmp_path, "a/b/c/junit.xml", "deep")
    for number in range(5):
        write(tmp_path, f"a/{number}.txt")
    write(tmp_path, "z/junit.xml", "shallow")

    assert GitCheckTree(tmp_path).read_reports(1000.0) == (b"shallow",)


def test_so_many_reports_are_read_and_no_more(tmp_path):
    for number in range(MAX_REPORTS + 5):
        write(tmp_path, f"junit-{number}.xml")

    assert len(GitCheckTree(tmp_path).read_reports(1000.0)) == MAX_REPORTS


def test_all_reports_together_have_a_bound(tmp_path, monkeypatch):
    monkeypatch.setattr(checking, "MOST_BYTES", 10)
    for name, size in (("a", 6), ("b", 6), ("c", 4)):
        write(tmp_path, f"junit-{name}.xml", name * size)

    assert GitCheckTree(tmp_path).read_reports(1000.0) == (b"aaaaaa", b"cccc")


@pytest.mark.skipif(os.geteuid() == 0, reason="root may look into everything")
def test_what_may_not_be_looked_into_is_passed_by(tmp_path):
    write(tmp_path, "closed/junit.xml").parent.chmod(0)
    write(tmp_path, "junit-closed.xml").chmod(0)
    write(tmp_path, "junit.xml", "open")

    try:
        assert GitCheckTree(tmp_path).read_reports(1000.0) == (b"open",)
    finally:
        (tmp_path / "closed").chmod(0o700)


def test_a_file_that_changes_between_the_look_and_the_reading_is_not_followed(tmp_path, monkeypatch):
    outside = write(tmp_path / "outside", "junit.xml", "secret")
    root = tmp_path / "tree"
    write(root, "junit.xml", "own")
    find = checking._find_reports

    def swap(*arguments):
        found = list(find(*arguments))
        (root / "junit.xml").unlink()
        (root / "junit.xml").symlink_to(outside)
        return found

    monkeypatch.setattr(checking, "_find_reports", swap)

    assert GitCheckTree(root).read_reports(1000.0) == ()
