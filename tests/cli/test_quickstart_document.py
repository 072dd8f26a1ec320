"""What docs/quickstart.md shows is what the commands write and say."""

import re
from pathlib import Path

import pytest
import yaml
from click.testing import CliRunner

from coven_action.cli import check, init
from coven_action.core.workflows.check import INPUTS

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


def test_the_step_for_a_model_passes_inputs_that_exist():
    step = yaml.safe_load(find_block("yaml", "runtime-path:"))["with"]

    assert set(step) <= set(INPUTS)
    assert step["isolation"] == "none"


def test_the_step_for_a_model_is_what_check_asks_for(repository):
    arguments = ["--runtime", "coven-code", "--model", "anthropic/claude-sonnet-4-6", "--action-ref", SHA]
    CliRunner().invoke(init.command, [str(repository), *arguments])
    warned = CliRunner().invoke(check.command, [str(repository)])
    workflow = repository / ".github/workflows/coven.yml"
    old = '        with: {model-api-key: "${{ secrets.MODEL_API_KEY }}", isolation: enforced}\n'
    text = workflow.read_text()
    workflow.write_text(text.replace(old, find_block("yaml", "runtime-path:")))
    accepted = CliRunner().invoke(check.command, [str(repository)])

    assert old in text
    assert warned.output.endswith("no errors, 2 warnings.\n")
    assert accepted.output.endswith("no errors, no warnings.\n")
