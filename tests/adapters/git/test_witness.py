"""The newest head of the endpoint's audit log, kept in the repository itself."""

import os
import subprocess

import pytest

from coven_action.adapters.git.program import Git
from coven_action.adapters.git.witness import WITNESS_REF, GitWitness
from coven_action.core.redaction.redactor import Redactor
from coven_action.errors import GitError

REDACTOR = Redactor.build()


@pytest.fixture
def server(tmp_path):
    path = tmp_path / "server.git"
    subprocess.run(("git", "init", "--quiet", "--bare", str(path)), check=True)
    return path


@pytest.fixture
def witness(tmp_path, server):
    made = iter(range(100))

    def make():
        git = Git(tmp_path / "home", os.environ.get("PATH", os.defpath))
        return GitWitness(git, tmp_path / f"folder-{next(made)}", str(server), ())

    return make


def keep(witness, text):
    witness.write(REDACTOR.redact(text))


def test_where_nothing_was_kept_there_is_nothing(witness):
    assert witness().read() is None


def test_what_one_run_keeps_the_next_one_reads(witness):
    keep(witness(), '{"seq": 1}')
    keep(witness(), '{"seq": 2}')

    assert witness().read() == b'{"seq": 2}'


def test_every_head_that_was_kept_stays_in_the_history(witness, server):
    for number in range(3):
        keep(witness(), f'{{"seq": {number}}}')

    log = subprocess.run(
        ("git", "log", "--format=%H", WITNESS_REF), cwd=server, check=True, capture_output=True, text=True
    ).stdout.split()
    kept = [
        subprocess.run(
            ("git", "show", f"{sha}:head.json"), cwd=server, check=True, capture_output=True, text=True
        ).stdout
        for sha in log
    ]
    assert kept == ['{"seq": 2}', '{"seq": 1}', '{"seq": 0}']


def test_no_branch_is_made(witness, server):
    keep(witness(), "{}")

    refs = subprocess.run(("git", "for-each-ref", "--format=%(refname)"), cwd=server, check=True, capture_output=True)
    assert refs.stdout.decode().split() == [WITNESS_REF]


def test_what_another_run_kept_meanwhile_is_not_thrown_away(witness, server, mocker):
    slow = witness()
    original = slow._fetch

    def fetch_then_be_overtaken():
        tip = original()
        keep(witness(), '{"seq": 9}')
        return tip

    mocker.patch.object(slow, "_fetch", fetch_then_be_overtaken)

    with pytest.raises(GitError):
        keep(slow, '{"seq": 2}')
    assert witness().read() == b'{"seq": 9}'


def test_a_server_that_cannot_be_asked_is_told(witness, server):
    server.rename(server.with_name("gone"))

    with pytest.raises(GitError, match="witness"):
        witness().read()


def test_a_giant_in_its_place_is_cut(witness, server, tmp_path):
    keep(witness(), "x" * 10_000)

    assert len(witness().read()) <= 4097
