"""`coven-action doctor` looks at this machine and, with a token, at GitHub; it changes nothing."""

import json

import pytest
from click.testing import CliRunner

from coven_action.cli import doctor, probe

CONFIG = "version: 1\nfamiliars: {stitch: {runtime: patch}}\n"


@pytest.fixture
def call(monkeypatch):
    for name in ("COVEN_INPUT_GITHUB_TOKEN", "GITHUB_TOKEN", "GITHUB_REPOSITORY", "GITHUB_API_URL", "GITHUB_ACTIONS"):
        monkeypatch.delenv(name, raising=False)

    def run(*arguments, color=False, **environment):
        return CliRunner().invoke(doctor.command, list(arguments), env=environment, color=color)

    return run


def levels(done):
    return {entry["subject"]: entry["level"] for entry in json.loads(done.output)["report"]}


def test_outside_a_job_the_machine_is_examined(call):
    done = call("--json")

    assert done.exit_code == 0, done.output
    assert json.loads(done.output)["well"] is True
    assert {"Python": "ok", "git": "ok", "token": "warning"}.items() <= levels(done).items()
    assert levels(done)["isolation"] == ("ok" if CliRunner().invoke(probe.command, []).exit_code == 0 else "warning")


def test_a_person_reads_facts_and_remedies_without_colours_in_a_file(call):
    done = call()

    assert "isolation      " in done.output
    assert "\x1b" not in done.output


def test_colours_are_for_a_terminal_that_wants_them(call):
    assert "\x1b[" in call(color=True).output
    assert "\x1b[" not in call(color=True, NO_COLOR="1").output


def test_a_machine_without_git_is_an_error(call, tmp_path):
    done = call("--json", PATH=str(tmp_path))

    assert done.exit_code == 1
    assert levels(done)["git"] == "error"


def test_a_git_that_fails_is_an_error(call, tmp_path):
    program = tmp_path / "git"
    program.write_text("#!/bin/sh\nexit 1\n")
    program.chmod(0o755)

    assert levels(call("--json", PATH=str(tmp_path)))["git"] == "error"


@pytest.mark.parametrize("name", ["GITHUB_TOKEN", "COVEN_INPUT_GITHUB_TOKEN"])
def test_a_person_s_credential_is_refused_and_never_sent(call, github, name):
    done = call(
        "--json",
        **{name: "ghp_0123456789abcdefghijklmnopqrstuvwxyz"},
        GITHUB_REPOSITORY="acme/billing",
        GITHUB_API_URL=github.api_url,
    )

    assert done.exit_code == 1
    assert levels(done)["token"] == "error"
    assert "0123456789" not in done.output
    assert len(github.exchanges) == 0


@pytest.mark.parametrize("repository", ["", "acme", "acme/billing/x", "acme/bil ling"])
def test_a_token_without_a_repository_asks_nothing(call, repository):
    done = call("--json", GITHUB_TOKEN="ghs_x", GITHUB_REPOSITORY=repository)

    assert done.exit_code == 1
    assert levels(done)["GitHub"] == "error"


def ask(call, github, token=None, repository="acme/billing"):
    return call(
        "--json",
        COVEN_INPUT_GITHUB_TOKEN=token or github.token,
        GITHUB_REPOSITORY=repository,
        GITHUB_API_URL=github.api_url,
        GITHUB_ACTIONS="true",
    )


def test_a_repository_without_configuration_is_told(call, github):
    done = ask(call, github)

    assert done.exit_code == 1
    assert levels(done)["GitHub"] == "ok"
    assert levels(done)["configuration"] == "error"
    assert "has no .github/coven.yml" in done.output


@pytest.mark.parametrize(("text", "code", "level"), [(CONFIG, 0, "ok"), ("version: 2\n", 1, "error")])
def test_the_configuration_of_the_default_branch_is_read(call, github, text, code, level):
    token = github.world.add_actions_token(github.seed_repository("acme", "shop", {".github/coven.yml": text}))
    done = ask(call, github, token, "acme/shop")

    assert done.exit_code == code, done.output
    assert levels(done)["configuration"] == level
    assert levels(done)["pull requests"] == "ok"
    assert token not in done.output


def test_a_token_that_github_does_not_know_is_an_error(call, github):
    done = ask(call, github, "ghs_unknown")

    assert done.exit_code == 1
    assert levels(done)["GitHub"] == "error"
    assert "configuration" not in levels(done)


def test_a_missing_permission_is_named_and_the_rest_is_still_asked(call, github):
    repository = github.seed_repository("acme", "vault", {".github/coven.yml": CONFIG}, private=True)
    token = github.world.add_actions_token(repository, {"contents": "read"})
    done = ask(call, github, token, "acme/vault")

    assert levels(done)["GitHub"] == "error"
    assert levels(done)["configuration"] == "ok"
    assert "pull-requests: read" in done.output


def test_words_of_whatever_answers_stay_on_their_line():
    assert doctor._flatten("a\n::error::b\x1b[31m") == "a ::error::b[31m"
