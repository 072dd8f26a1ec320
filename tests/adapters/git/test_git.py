"""The git program as we call it, on real repositories; the workspace and the publication clone."""

import os
import stat
import time
from datetime import UTC, datetime
from pathlib import Path

import pytest

from coven_action.adapters.git.program import Git
from coven_action.adapters.git.publication import GitPublicationRepositories
from coven_action.adapters.git.workspace import GitWorkspaces
from coven_action.core.documents import Target
from coven_action.core.redaction.redactor import Redactor
from coven_action.errors import GitError
from tests.scenario import run_git

SEARCH_PATH = os.environ.get("PATH", os.defpath)
AT = datetime(2026, 1, 5, 9, 0, tzinfo=UTC)
redact = Redactor.build(()).redact


@pytest.fixture
def git(tmp_path):
    return Git(tmp_path / "git", SEARCH_PATH)


@pytest.fixture
def origin(tmp_path):
    """A repository with two commits on main, as a checkout leaves it."""
    root = tmp_path / "origin"
    root.mkdir()
    run_git(root, "init", "--quiet", "--initial-branch=main")
    for number in range(2):
        (root / "a.txt").write_text(f"{number}\n")
        run_git(root, "add", ".")
        run_git(root, "commit", "--quiet", "-m", f"commit {number}")
    return root


def _sha(root: Path, name: str = "HEAD") -> str:
    return run_git(root, "rev-parse", name).strip()


def _target(origin: Path, **changes) -> Target:
    base = _sha(origin)
    facts = {"base_ref": "main", "base_ref_sha": base, "base_sha": base, "branch": "coven/issue-1", "expected_sha": None,
             "pull_request": None, "why": "a new branch"}  # fmt: skip
    return Target(**{**facts, **changes})


@pytest.fixture
def workspace(git, origin, tmp_path):
    folder = tmp_path / "run"
    return GitWorkspaces(git).prepare(
        origin, folder, _target(origin), default_branch="main", clone_url="https://github.example/acme/billing.git"
    )


# --- the program


def test_nothing_of_our_own_environment_reaches_git(git, tmp_path, monkeypatch):
    monkeypatch.setenv("GIT_DIR", "/nonexistent")
    monkeypatch.setenv("GIT_CONFIG_PARAMETERS", "'alias.version=!false'")
    monkeypatch.setenv("SECRET_TOKEN", "x")
    program = tmp_path / "bin/git"
    program.parent.mkdir()
    program.write_text("#!/bin/sh\nenv\n")
    program.chmod(0o755)

    seen = Git(tmp_path / "home", f"{program.parent}:{SEARCH_PATH}").run("version").decode()
    names = {line.partition("=")[0] for line in seen.splitlines()}
    assert not names & {"GIT_DIR", "GIT_CONFIG_PARAMETERS", "SECRET_TOKEN"}
    assert {"GIT_CONFIG_NOSYSTEM", "GIT_CONFIG_GLOBAL", "GIT_TERMINAL_PROMPT", "GIT_CONFIG_COUNT"} <= names


def test_our_settings_outrank_those_of_the_repository(git, origin):
    run_git(origin, "config", "core.hooksPath", "/tmp/evil")
    run_git(origin, "config", "core.fsmonitor", "/tmp/evil")

    assert git.run("config", "core.hooksPath", cwd=origin).decode().strip() == "/dev/null"
    assert git.run("config", "core.fsmonitor", cwd=origin).decode().strip() == "false"


def test_a_failure_has_gits_own_words(git, origin):
    with pytest.raises(GitError) as caught:
        git.run("rev-parse", "--verify", "absent", cwd=origin)
    assert "git rev-parse ended with 128: fatal: Needed a single revision" in caught.value.message


def test_a_git_that_is_not_there_is_an_error_of_its_own(tmp_path):
    with pytest.raises(GitError) as caught:
        Git(tmp_path / "home", "/nonexistent").run("version")
    assert "could not be started" in caught.value.message


def test_a_git_that_hangs_is_ended(tmp_path):
    program = tmp_path / "bin/git"
    program.parent.mkdir()
    program.write_text("#!/bin/sh\nexec sleep 60\n")
    program.chmod(0o755)

    with pytest.raises(GitError) as caught:
        Git(tmp_path / "home", f"{program.parent}:{SEARCH_PATH}").run("version", timeout=0.2)
    assert "took longer" in caught.value.message


@pytest.mark.parametrize(("limit", "length"), [(4, 5), (7, 8), (1000, 48)])
def test_output_is_read_no_further_than_asked(git, origin, limit, length):
    assert (
        len(git.read("cat-file", "commit", "HEAD", cwd=origin, limit=limit))
        == min(length, len(run_git(origin, "cat-file", "commit", "HEAD")))
        or limit == 1000
    )


def test_a_reading_command_that_fails_is_an_error(git, origin):
    with pytest.raises(GitError):
        git.read("cat-file", "commit", "absent", cwd=origin, limit=100)


# --- the workspace


def test_a_workspace_is_at_its_base_with_its_history(workspace, origin):
    assert _sha(workspace.root) == _sha(origin)
    assert run_git(workspace.root, "rev-list", "--count", "HEAD").strip() == "2"
    assert run_git(workspace.root, "symbolic-ref", "HEAD").strip() == "refs/heads/coven/issue-1"


def test_a_workspace_without_a_change_has_no_tip(workspace):
    assert workspace.commit_tree() is None


def test_every_kind_of_change_is_seen(workspace):
    (workspace.root / "a.txt").unlink()
    (workspace.root / "link").symlink_to("/etc/passwd")
    (workspace.root / "tool").write_text("#!/bin/sh\n")
    (workspace.root / "tool").chmod(0o755)
    (workspace.root / "data.bin").write_bytes(b"\0\1\2")
    (workspace.root / "späť \n\t.txt").write_text("x\n")
    tip = workspace.commit_tree()

    changes = {file.path: (file.status, file.after, file.binary) for file in workspace.list_changes(tip)}
    assert changes == {
        "a.txt": ("deleted", "absent", False),
        "link": ("added", "symlink", False),
        "tool": ("added", "executable", False),
        "data.bin": ("added", "file", True),
        "späť \n\t.txt": ("added", "file", False),
    }


def test_a_name_that_is_no_utf8_is_shown_with_its_bytes(workspace):
    (workspace.root / os.fsdecode(b"bad\xff.txt")).write_text("x\n")

    (file,) = workspace.list_changes(workspace.commit_tree())
    assert file.path == "bad\\xff.txt"


def test_files_that_are_ignored_are_no_change(workspace):
    (workspace.root / ".gitignore").write_text("*.log\n")
    (workspace.root / "x.log").write_text("x")

    assert [file.path for file in workspace.list_changes(workspace.commit_tree())] == [".gitignore"]


def test_a_repository_inside_the_workspace_is_seen_as_a_submodule(workspace):
    inner = workspace.root / "inner"
    inner.mkdir()
    run_git(inner, "init", "--quiet")
    (inner / "x").write_text("x")
    run_git(inner, "add", ".")
    run_git(inner, "commit", "--quiet", "-m", "x")

    (file,) = workspace.list_changes(workspace.commit_tree())
    assert (file.path, file.after) == ("inner", "submodule")


def test_a_base_that_the_checkout_lacks_is_named(git, origin, tmp_path):
    target = _target(origin, base_sha="0" * 40)

    with pytest.raises(GitError) as caught:
        GitWorkspaces(git).prepare(origin, tmp_path / "run", target, default_branch="main", clone_url="x")
    assert caught.value.code == "base-not-in-checkout"


def test_a_workspace_is_destroyed_with_what_cannot_be_written(git, workspace):
    locked = workspace.root / "locked/inner"
    locked.mkdir(parents=True)
    (locked / "x").write_text("x")
    locked.chmod(stat.S_IRUSR)
    locked.parent.chmod(0)
    GitWorkspaces(git).destroy(workspace.root.parent)

    assert not workspace.root.parent.exists()
    GitWorkspaces(git).destroy(workspace.root.parent)


def test_a_link_in_place_of_a_workspace_is_removed_and_what_it_names_stays(git, tmp_path):
    kept = tmp_path / "kept"
    kept.mkdir()
    (kept / "x").write_text("x")
    (tmp_path / "run").symlink_to(kept)
    GitWorkspaces(git).destroy(tmp_path / "run")

    assert (kept / "x").exists()
    assert not (tmp_path / "run").is_symlink()


# --- the publication clone


@pytest.fixture
def remote(github):
    return github


def _clone(github, git, folder: Path, token: str | None = None, waits: list | None = None):
    folder.mkdir(exist_ok=True)
    url = f"{github.url}/acme/billing.git"
    sleep = (waits if waits is not None else []).append
    repositories = GitPublicationRepositories(git, url, token or github.token, sleep=sleep)
    base = run_git(github.repository.path, "rev-parse", "main").strip()
    return repositories.clone(folder, base), base


def _commit(repository, base):
    return repository.commit(base, redact("Title\n\nCoven-Task: 1/issues/7\n"), author="Cody", at=AT)


def test_a_commit_has_the_tree_of_the_tip_our_name_and_one_parent(github, git, tmp_path):
    repository, base = _clone(github, git, tmp_path / "p")
    commit = _commit(repository, base)
    repository.push(commit, "coven/issue-1", expected_sha=None)

    shown = run_git(github.repository.path, "show", "-s", "--format=%an|%cn|%ce|%P|%aI|%B", commit).strip()
    author, committer, email, parents, date, message = shown.split("|")
    assert (author, committer, parents) == ("Cody", "github-actions[bot]", base)
    assert email == "41898282+github-actions[bot]@users.noreply.github.com"
    assert date == "2026-01-05T09:00:00+00:00"
    assert message.endswith("Coven-Task: 1/issues/7")


def test_the_token_is_on_no_command_line_and_in_no_file(github, git, tmp_path):
    repository, base = _clone(github, git, tmp_path / "p")
    repository.push(_commit(repository, base), "coven/issue-1", expected_sha=None)

    for path in tmp_path.rglob("*"):
        if path.is_file() and not path.is_relative_to(tmp_path / "github"):
            assert github.token.encode() not in path.read_bytes()


def test_a_branch_that_somebody_else_moved_is_not_overwritten(github, git, tmp_path):
    from coven_action.emulator import git_store

    repository, base = _clone(github, git, tmp_path / "p")
    git_store.run_git(github.repository.path, "branch", "coven/issue-1", "main")
    theirs = git_store.commit_files(github.repository.path, "coven/issue-1", {"x": "x"}, "mine")

    for expected in (None, base, "0" * 40):
        with pytest.raises(GitError):
            repository.push(_commit(repository, base), "coven/issue-1", expected_sha=expected)
    assert repository.find_remote_sha("coven/issue-1") == theirs


def test_the_head_that_was_expected_is_replaced(github, git, tmp_path):
    repository, base = _clone(github, git, tmp_path / "p")
    first = _commit(repository, base)
    repository.push(first, "coven/issue-1", expected_sha=None)
    second = repository.commit(base, redact("Again\n"), author="Cody", at=AT)
    repository.push(second, "coven/issue-1", expected_sha=first)

    assert repository.find_remote_sha("coven/issue-1") == second


def test_a_branch_is_found_by_its_whole_name(github, git, tmp_path):
    repository, base = _clone(github, git, tmp_path / "p")
    repository.push(_commit(repository, base), "x/coven/issue-1", expected_sha=None)

    assert repository.find_remote_sha("coven/issue-1") is None
    assert repository.find_remote_sha("main") == base


NETWORK = {
    "an error of the server": {"status": 502},
    "a dropped connection": {"drop": True},
    "an answer lost after the deed": {"drop_after": True},
}


@pytest.mark.parametrize("fault", NETWORK.values(), ids=NETWORK)
@pytest.mark.parametrize("service", ["upload-pack", "receive-pack"])
def test_what_the_network_breaks_is_tried_again(github, git, tmp_path, service, fault):
    github.faults.add(method="POST", path_regex=f"git-{service}$", times=1, **fault)
    waits: list[float] = []
    repository, base = _clone(github, git, tmp_path / "p", waits=waits)
    commit = _commit(repository, base)
    repository.push(commit, "coven/issue-1", expected_sha=None)

    assert repository.find_remote_sha("coven/issue-1") == commit
    assert len(waits) <= 2


def test_a_token_that_may_not_push_is_told_what_it_lacks(github, git, tmp_path):
    token = github.world.add_actions_token(github.repository, {"contents": "read"})
    repository, base = _clone(github, git, tmp_path / "p", token)

    with pytest.raises(GitError) as caught:
        repository.push(_commit(repository, base), "coven/issue-1", expected_sha=None)
    assert caught.value.code == "missing-permission"
    assert "contents: write" in caught.value.remedy


def test_a_server_that_is_not_there_is_an_error_without_the_token(git, tmp_path):
    (tmp_path / "p").mkdir()
    waits: list[float] = []
    repositories = GitPublicationRepositories(git, "http://127.0.0.1:9/a/b.git", "ghs_secret", sleep=waits.append)

    with pytest.raises(GitError) as caught:
        repositories.clone(tmp_path / "p", "0" * 40)
    assert "ghs_secret" not in caught.value.message
    assert waits == [1.0, 2.0]


def test_a_patch_is_read_no_further_than_its_limit(github, git, tmp_path):
    repository, base = _clone(github, git, tmp_path / "p")
    empty = "4b825dc642cb6eb9a060e54bf8d69288fbee4904"

    assert repository.list_parents(base) == ()
    assert len(repository.read_patch(base, 10)) <= 11
    started = time.monotonic()
    assert repository.read_patch(empty, 20).__len__() == 21
    assert time.monotonic() - started < 30
