"""Every command that docs/hosted.md names exists, with the options it is shown with."""

import re
import shlex
from pathlib import Path

import pytest
from click.testing import CliRunner

from coven_action.cli.main import cli

TEXT = (Path(__file__).resolve().parents[2] / "docs/hosted.md").read_text()
BLOCKS = re.findall(r"(?ms)^```console\n(.*?)^```$", TEXT)
INLINE = re.findall(r"`([^`]+)`", re.sub(r"(?ms)^```.*?^```$", "", TEXT))


def find_commands():
    """Yield the words of each command of ours, up to where the shell's go on."""
    lines = [
        line for block in BLOCKS for line in re.sub(r"\\\n\s*", "", block).splitlines() if line[:2] in {"$ ", "# "}
    ]
    for line in (*lines, *(" ".join(found.split()) for found in INLINE)):
        for words in re.findall(r"(?:^|[ /])coven-action ((?:\"[^\"]*\"|[^|>;&\"])*)", line):
            yield tuple(shlex.split(words))


COMMANDS = sorted(set(find_commands()))


def ask_for_help(words):
    return CliRunner(env={"COVEN_ENDPOINT": "http://127.0.0.1:8766"}).invoke(cli, [*words, "--help"])


@pytest.mark.parametrize("words", COMMANDS, ids=" ".join)
def test_a_command_that_is_named_exists(words):
    """A command that is asked for help parses its options, and does nothing."""
    done = ask_for_help(words)

    assert done.exit_code == 0, done.output
    # A group answers for whatever it does not know before it looks: so it has to have told of the command itself.
    assert f"Usage: cli {words[0]}" in done.output


def test_many_are_named_and_one_that_does_not_exist_would_be_found():
    assert len(COMMANDS) > 40
    assert {words[0] for words in COMMANDS} >= {
        "serve",
        "enrol",
        "admin",
        "memory",
        "backup",
        "restore",
        "migrate-store",
    }
    for words in (("admin", "resael"), ("admin", "reseal", "--verfy"), ("memory", "list", "--stat", "x"), ("sarve",)):
        assert ask_for_help(words).exit_code == 2
