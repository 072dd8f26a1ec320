"""`coven-action probe`: the table, the document, and the exit code that a workflow reads."""

import json

import pytest
from click.testing import CliRunner

from coven_action.adapters.sandbox import proving
from coven_action.adapters.sandbox.machine import find_bubblewrap
from coven_action.cli.main import cli
from coven_action.core.isolation import LEVELS
from coven_action.core.sandbox.probes import PROBE_NAMES, Attempt
from tests.sandboxes import missing


def probe(*arguments):
    return CliRunner().invoke(cli, ["probe", *arguments], prog_name="coven-action")


@pytest.fixture
def reached(monkeypatch):
    """Let the machine reach a level."""

    def reach(level):
        attempts = (Attempt(backend="bubblewrap", level=level, reason="" if level != "none" else "refused"),)
        monkeypatch.setattr(proving, "find_sandbox", lambda *_: (None, attempts))

    return reach


@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize("demanded", [None, *LEVELS])
def test_the_exit_code_says_whether_the_level_is_reached(reached, level, demanded):
    reached(level)

    done = probe(*(["--level", demanded] if demanded else []))

    assert (done.exit_code == 0) == (LEVELS.index(level) >= LEVELS.index(demanded or "enforced"))
    assert done.output.startswith(f"isolation {level} by ")


def test_a_level_that_nobody_knows_is_wrong_usage():
    assert probe("--level", "perfect").exit_code == 2


def test_the_document_for_programs(reached):
    reached("none")
    done = probe("--json", "--level", "none")

    assert json.loads(done.output) == {
        "level": "none",
        "backend": "none",
        "attempts": [{"backend": "bubblewrap", "program": "", "level": "none", "results": [], "reason": "refused"}],
    }
    assert done.exit_code == 0


def test_this_machine_is_enforced_and_nothing_is_left(tmp_path, monkeypatch):
    if not any(find_bubblewrap()):
        missing("bubblewrap is not installed")
    monkeypatch.setenv("RUNNER_TEMP", str(tmp_path))

    done = probe("--json")

    report = json.loads(done.output)
    assert (done.exit_code, report["level"], report["backend"]) == (0, "enforced", "bubblewrap")
    assert [result["probe"] for result in report["attempts"][0]["results"]] == list(PROBE_NAMES)
    assert {result["outcome"] for result in report["attempts"][0]["results"]} == {"held"}
    assert list(tmp_path.iterdir()) == []
