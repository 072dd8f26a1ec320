"""The command line: every command is listed, each is imported only when called, and every way out has its exit code."""

import subprocess
import sys

import pytest

from coven_action import __version__
from coven_action.cli.main import COMMANDS, cli


def call(*arguments, code=None):
    argv = (sys.executable, "-P", *(("-c", code) if code else ("-m", "coven_action")), *arguments)
    return subprocess.run(argv, capture_output=True, text=True, check=False, timeout=60)


def test_the_help_lists_every_command():
    done = call("--help")

    assert done.returncode == 0
    for name, line in COMMANDS.items():
        assert name in done.stdout
        assert line[:30] in done.stdout


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_has_a_help_text(name):
    command = cli.get_command(None, name)

    assert command.name == name
    assert len(command.help) > 100


@pytest.mark.parametrize("name", ["init", "check", "doctor"])
def test_help_shows_an_example(name):
    assert f"coven-action {name}" in cli.get_command(None, name).help


def test_an_unknown_command_exits_2():
    done = call("frobnicate")

    assert done.returncode == 2
    assert "No such command" in done.stderr


def test_the_version_is_printed():
    done = call("--version")

    assert (done.returncode, done.stdout) == (0, f"coven-action, version {__version__}\n")


def test_an_expected_error_exits_1_with_code_and_remedy(tmp_path):
    done = call("init", str(tmp_path))

    assert done.returncode == 1
    assert done.stderr.startswith("error[no-repository]: ")
    assert len(done.stderr.splitlines()) == 2


@pytest.mark.parametrize(
    ("arguments", "absent"),
    [
        (["--help"], ["pydantic", "yaml", "github", "jinja2", "starlette"]),
        (["check", "--help"], ["github", "jinja2", "starlette"]),
        (["init", "--help"], ["github", "jinja2", "starlette"]),
        (["doctor", "--help"], ["github", "jinja2", "starlette"]),
    ],
)
def test_a_command_pays_only_for_what_it_uses(arguments, absent):
    code = (
        "import sys\n"
        "from coven_action.cli.main import main\n"
        "try:\n    main()\n"
        "except SystemExit:\n    print('loaded', *sorted({name.partition('.')[0] for name in sys.modules}))\n"
    )
    loaded = call(*arguments, code=code).stdout.splitlines()[-1].split()

    assert loaded[0] == "loaded"
    assert not set(loaded) & set(absent)
