"""Fixtures for the tests of the local GitHub."""

import pytest

from coven_action.emulator import git_store
from tests.emulator.client import Client


@pytest.fixture
def rest(github):
    """A client with a GITHUB_TOKEN that has all permissions."""
    return Client(github.api_url, github.token)


@pytest.fixture
def push_branch(github):
    """A function that commits files on a branch cut from main, directly in the bare repository; gives the SHA."""

    def push(branch, files, repository=github.repository, start="main"):
        with github.world.lock:
            if git_store.resolve_commit(repository.path, f"refs/heads/{branch}") is None:
                git_store.run_git(repository.path, "branch", branch, start)
            return git_store.commit_files(repository.path, branch, files, f"Change {branch}")

    return push
