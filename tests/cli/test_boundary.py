"""The one error boundary: each way to end has its exit code, and nothing of it shows a secret."""

import click
import pytest

from coven_action.cli.boundary import build_redactor, error_boundary
from coven_action.core.stage_environment import MODEL_KEY, TOKEN
from coven_action.errors import DocumentError, GitHubError

SECRET = "s3cret-value-of-this-job"


@pytest.fixture(autouse=True)
def job(monkeypatch):
    monkeypatch.delenv("GITHUB_ACTIONS", raising=False)
    monkeypatch.setenv(TOKEN, SECRET)


def _end(error) -> int:
    with pytest.raises(SystemExit) as caught, error_boundary():
        raise error
    return caught.value.code


def test_what_goes_well_goes_on():
    with error_boundary():
        done = True
    assert done


def test_an_expected_error_is_said_with_its_remedy(capsys):
    assert _end(DocumentError("missing-document", "plan.json is not there.", place="plan.json")) == 1

    assert capsys.readouterr().err.splitlines() == [
        "plan.json: error[missing-document]: plan.json is not there.",
        "  See why the earlier stage ended without it; then re-run the job.",
    ]


def test_a_bug_is_a_report_to_paste_without_secrets(capsys):
    assert _end(ValueError(f"cannot use {SECRET}")) == 3

    shown = capsys.readouterr().err
    assert "This is a bug" in shown
    assert "issues/new" in shown
    assert "Traceback" in shown
    assert SECRET not in shown
    assert "[redacted" in shown


def test_an_interruption_is_said_quietly(capsys):
    assert _end(KeyboardInterrupt()) == 130
    assert capsys.readouterr().err == "interrupted\n"


def test_an_error_never_shows_a_secret(capsys):
    assert _end(GitHubError("github-refused", f"GitHub said {SECRET}")) == 1
    assert SECRET not in capsys.readouterr().err


def test_in_a_job_the_error_is_an_annotation_and_the_text_no_command(monkeypatch, capsys):
    monkeypatch.setenv("GITHUB_ACTIONS", "true")
    assert _end(GitHubError("github-refused", "said\n::set-output name=x::y\n50%")) == 1

    captured = capsys.readouterr()
    assert all(line.startswith("| ") for line in captured.err.splitlines())
    (annotation,) = captured.out.splitlines()
    assert annotation.startswith("::error title=coven-action github-refused::")
    assert "%0A::set-output" in annotation
    assert "50%25" in annotation


def test_wrong_usage_is_clicks_own_affair():
    with pytest.raises(click.UsageError), error_boundary():
        raise click.UsageError("no such option")


def test_leaving_with_a_code_keeps_the_code():
    with pytest.raises(SystemExit) as caught, error_boundary():
        raise SystemExit(7)
    assert caught.value.code == 7


def test_the_redactor_knows_every_secret_of_the_process():
    redactor = build_redactor({TOKEN: SECRET, MODEL_KEY: "model-key-0123456789", "OTHER": "visible-value-0123"})

    shown = redactor.redact(f"{SECRET} model-key-0123456789 visible-value-0123")
    assert SECRET not in shown
    assert "model-key" not in shown
    assert "visible-value-0123" in shown


def test_an_empty_secret_covers_nothing():
    assert build_redactor({TOKEN: "", MODEL_KEY: ""}).redact("text") == "text"
