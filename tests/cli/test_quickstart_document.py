"""What docs/quickstart.md shows is what the commands write and say."""

import re
from pathlib import Path

import pytest
from click.testing import CliRunner

from coven_action.cli import check, init
from coven_action.core.configuration.parsing import parse_config

TEXT = (Path(__file__).resolve().parents[2] / "docs/quickstart.md").read_text()
SHA = "5fda3b95a4ea91299a34e894583c3862153e4b97"


def find_block(language, beginning):
    return next(found for found in re.findall(rf"```{language}\n(.*?)```", TEXT, re.DOTALL) if beginning in found)


@pytest.fixture
def repository(tmp_path):
    (tmp_path / ".git").mkdir()
    (tmp_path / ".git/HEAD").write_text("ref: refs/heads/main\n")
    return tmp_path


def test_the_commands_of_the_document_write_and_say_what_it_shows(repository):
    written = CliRunner().invoke(init.command, [str(repository), "--runtime", "patch", "--action-ref", SHA])
    checked = CliRunner().invoke(check.command, [str(repository)])

    assert (repository / ".github/coven.yml").read_text() == find_block("yaml", "version: 1")
    assert "".join(written.output.splitlines(keepends=True)[:2]) in find_block(
        "console", "coven-action init --runtime patch"
    )
    assert checked.output in find_block("console", "coven-action check")


def test_what_it_shows_of_checks_is_a_configuration():
    shown = find_block("yaml", "verify: # in")

    checks = parse_config(f"version: 1\nfamiliars: {{stitch: {{runtime: patch}}}}\n{shown}").verify
    assert [(check.name, check.network) for check in checks] == [("tests", False), ("lint", False)]


def test_the_workflow_for_a_model_has_nothing_to_be_said_about(repository):
    arguments = ["--runtime", "coven-code", "--model", "anthropic/claude-sonnet-4-6", "--action-ref", SHA]
    CliRunner().invoke(init.command, [str(repository), *arguments])

    done = CliRunner().invoke(check.command, [str(repository)])
    assert done.output.endswith("no errors, no warnings.\n"), done.output
