"""`coven-action check` reads a repository's two kinds of file and ends with 1 when one of them cannot work."""

from pathlib import Path

import pytest
from click.testing import CliRunner

from coven_action.cli import check

ROOT = Path(__file__).resolve().parents[2]
SHA = "5fda3b95a4ea91299a34e894583c3862153e4b97"
WORKFLOW = (
    (ROOT / "workflows-templates/quickstart.yml").read_text().replace(f"{'0' * 40} # set at release", f"{SHA} # v1")
)
CONFIG = "version: 1\nfamiliars: {stitch: {runtime: patch}}\n"


@pytest.fixture
def call(tmp_path):
    def run(files):
        for path, content in files.items():
            place = tmp_path / path
            place.parent.mkdir(parents=True, exist_ok=True)
            place.write_bytes(content if isinstance(content, bytes) else content.encode())
        return CliRunner().invoke(check.command, [str(tmp_path)])

    return run


GOOD = {".github/coven.yml": CONFIG, ".github/workflows/coven.yml": WORKFLOW}


def test_a_repository_without_mistakes_passes(call):
    done = call(GOOD)

    assert done.exit_code == 0
    assert done.output == "Read: .github/coven.yml, .github/workflows/coven.yml.\nno errors, no warnings.\n"


def test_every_mistake_of_both_files_is_told_at_once(call):
    config = "version: 1\nfamiliars:\n  cody:\n    modle: repair\n    runtime: patch\nlimits: {time: 10 min}\n"
    done = call(
        GOOD | {".github/coven.yml": config, ".github/workflows/coven.yml": WORKFLOW.replace(f"{SHA} # v1", "v1")}
    )

    assert done.exit_code == 1
    assert ".github/coven.yml:4:5: error[unknown-key]: familiars.cody.modle is not a key here\n" in done.output
    assert "  |     ^^^^^ did you mean `mode`?" in done.output
    assert "error[invalid-duration]" in done.output
    assert ".github/workflows/coven.yml:26:15: error[action-not-pinned]" in done.output
    assert done.output.endswith("3 errors, no warnings.\n")
    assert "Nothing was run" not in done.output


def test_warnings_alone_pass(call):
    done = call(GOOD | {".github/workflows/coven.yml": WORKFLOW.replace(" # v1", "")})

    assert done.exit_code == 0
    assert "warning[pin-without-version]" in done.output


def test_a_missing_configuration_is_an_error_and_a_missing_workflow_a_warning(call):
    done = call({"README.md": ""})

    assert done.exit_code == 1
    assert "error[missing-config]" in done.output
    assert "warning[workflow-missing]" in done.output
    assert done.output.endswith("1 error, 1 warning.\n")


def test_other_workflows_are_left_alone(call):
    done = call(GOOD | {".github/workflows/ci.yaml": "on: push\njobs: {a: {steps: [{uses: acme/x@v1}]}}\n"})

    assert done.output.endswith("no errors, no warnings.\n")


@pytest.mark.parametrize("content", [b"\xff\xfe\x00", b"version: [", b"\x00" * 2_000_000])
def test_a_file_that_is_no_text_is_a_mistake(call, content):
    done = call(GOOD | {".github/coven.yml": content})

    assert done.exit_code == 1
    assert ".github/coven.yml:1:" in done.output


def test_a_workflow_that_is_no_text_is_a_mistake(call):
    done = call(GOOD | {".github/workflows/coven.yml": b"# OpenCoven/coven-action@\n\xff"})

    assert done.exit_code == 1
    assert "error[workflow-unreadable]" in done.output


def test_the_action_s_own_repository_uses_itself(call):
    local = WORKFLOW.replace(f"OpenCoven/coven-action@{SHA} # v1", "./").replace("fetch-depth: 0", "fetch-depth: 1")

    assert "checkout-shallow" not in call(GOOD | {".github/workflows/coven.yml": local}).output
    own = call({"action.yml": "name: Coven Action\n"})
    assert "checkout-shallow" in own.output
    assert "Read: .github/coven.yml, .github/workflows/coven.yml." in own.output
