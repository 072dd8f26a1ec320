"""Git over HTTP: who may fetch and push, that a push moves a pull request, and that nothing else is reached."""

import os
import subprocess

import pytest
import requests

from coven_action.emulator import git_store


@pytest.fixture
def git(tmp_path):
    """The git program as a person would run it, away from every configuration of this machine."""
    environment = {
        "PATH": os.environ["PATH"],
        "HOME": str(tmp_path),
        "GIT_CONFIG_GLOBAL": os.devnull,
        "GIT_CONFIG_NOSYSTEM": "1",
        "GIT_TERMINAL_PROMPT": "0",
    }

    def run(*arguments, cwd=tmp_path):
        identity = ["-c", "user.name=Test", "-c", "user.email=test@example.invalid"]
        return subprocess.run(
            ["git", *identity, *arguments], cwd=cwd, env=environment, capture_output=True, text=True, check=False
        )

    return run


@pytest.fixture
def address(github):
    def build(token=None, repository="acme/billing"):
        host = github.url.removeprefix("http://")
        return f"http://{f'x-access-token:{token}@' if token else ''}{host}/{repository}.git"

    return build


@pytest.fixture
def clone(git, address, tmp_path):
    """A clone with one new commit on the branch `topic`."""
    assert git("clone", "--quiet", address(), "work").returncode == 0
    work = tmp_path / "work"
    (work / "src" / "tax.py").write_text("x = 1\n")
    git("checkout", "--quiet", "-b", "topic", cwd=work)
    git("commit", "--quiet", "--all", "--message=change", cwd=work)
    return work


def test_anybody_may_clone_what_is_public_and_nobody_may_push_to_it(git, address, clone):
    refused = git("push", address(), "topic", cwd=clone)
    assert refused.returncode != 0
    assert "could not read Username" in refused.stderr


def test_a_token_with_contents_write_pushes(github, git, address, clone):
    pushed = git("push", address(github.token), "topic", cwd=clone)
    assert pushed.returncode == 0, pushed.stderr
    head = git("rev-parse", "HEAD", cwd=clone).stdout.strip()
    assert git_store.resolve_commit(github.repository.path, "topic") == head


def test_a_token_goes_into_an_extra_header_as_well(github, git, address, clone):
    header = f"http.extraHeader=Authorization: Bearer {github.token}"
    assert git("-c", header, "push", address(), "topic", cwd=clone).returncode == 0


def test_a_token_without_contents_write_does_not_push(github, git, address, clone):
    token = github.world.add_actions_token(github.repository, {"contents": "read", "issues": "write"})
    refused = git("push", address(token), "topic", cwd=clone)
    assert refused.returncode != 0
    assert "403" in refused.stderr
    assert "Write access to repository not granted" in refused.stderr


def test_a_token_of_another_repository_does_not_push_here(github, git, address, clone):
    other = github.seed_repository("acme", "other", {"a": "b"})
    assert git("push", address(github.world.add_actions_token(other)), "topic", cwd=clone).returncode != 0


@pytest.mark.parametrize("role", ["read", "triage", "write"])
def test_a_person_pushes_with_the_role_write_only(github, git, address, clone, role):
    github.world.add_collaborator(github.repository, "person", role)
    pushed = git("push", address(github.world.add_personal_token("person")), "topic", cwd=clone)
    assert (pushed.returncode == 0) == (role == "write")


def test_a_private_repository_is_seen_with_its_token_only(github, git, address):
    hidden = github.seed_repository("acme", "hidden", {"a": "b"}, private=True)
    token = github.world.add_actions_token(hidden, {"contents": "read"})
    assert git("ls-remote", address(token, "acme/hidden")).returncode == 0
    assert git("ls-remote", address(None, "acme/hidden")).returncode != 0
    foreign = git("ls-remote", address(github.token, "acme/hidden"))
    assert "not found" in foreign.stderr


def test_a_github_token_changes_no_workflow_and_a_maintainer_does(github, git, address, clone):
    (clone / ".github" / "workflows").mkdir(parents=True)
    (clone / ".github" / "workflows" / "x.yml").write_text("on: push\n")
    git("add", ".", cwd=clone)
    git("commit", "--quiet", "--message=workflow", cwd=clone)
    refused = git("push", address(github.token), "topic", cwd=clone)
    assert refused.returncode != 0
    assert "without `workflows` permission" in refused.stderr
    person = github.world.add_personal_token("maintainer")
    assert git("push", address(person), "topic", cwd=clone).returncode == 0
    assert git("push", address(github.token), "--delete", "topic", cwd=clone).returncode == 0


def test_a_shallow_and_filtered_fetch_works(git, address):
    assert (
        git("clone", "--quiet", "--depth=1", "--filter=blob:none", "--no-checkout", address(), "thin").returncode == 0
    )


def test_a_large_push_is_streamed(github, git, address, clone):
    (clone / "large.bin").write_bytes(os.urandom(5 * 1024 * 1024))
    git("add", ".", cwd=clone)
    git("commit", "--quiet", "--message=large", cwd=clone)
    pushed = git("push", address(github.token), "topic", cwd=clone)
    assert pushed.returncode == 0, pushed.stderr


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/acme/billing.git/config", 404),
        ("GET", "/acme/billing.git/HEAD", 404),
        ("GET", "/acme/billing.git/objects/info/packs", 404),
        ("GET", "/acme/billing.git/..%2f..%2fother.git/info/refs", 404),
        ("POST", "/acme/billing.git/info/refs", 404),
        ("GET", "/acme/none.git/info/refs?service=git-upload-pack", 401),
        ("GET", "/acme/billing.git/info/refs?service=git-receive-pack", 401),
    ],
)
def test_only_the_three_services_of_a_known_repository_are_answered(github, method, path, status):
    assert requests.request(method, github.url + path, timeout=20).status_code == status
