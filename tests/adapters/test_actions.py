"""The job's files and log: no text, whatever it holds, becomes a command or another output."""

import pytest

from coven_action.adapters.actions import ActionsJob
from coven_action.core.redaction.redactor import Redactor
from coven_action.errors import EnvironmentFault
from tests.scenario import read_outputs

redact = Redactor.build(()).redact
HOSTILE = [
    "plain",
    "",
    "two\nlines",
    "EOF\nconclusion=success\nEOF",
    "ghadelimiter_x\nconclusion<<y\nsuccess\ny",
    "%0Aconclusion=success",
    "\n::set-output name=conclusion::success",
    "::stop-commands::x\r\n##[group]x",
    "x" * 100_000,
]


@pytest.fixture
def output(tmp_path, monkeypatch):
    path = tmp_path / "output"
    path.touch()
    monkeypatch.setenv("GITHUB_OUTPUT", str(path))
    return path


@pytest.mark.parametrize("value", HOSTILE, ids=range(len(HOSTILE)))
def test_an_output_is_one_output_whatever_it_holds(output, value):
    job = ActionsJob()
    job.set_output("before", redact("1"))
    job.set_output("title", redact(value))
    job.set_output("after", redact("2"))

    assert read_outputs(output.read_text()) == {"before": "1", "title": "\n".join(value.splitlines()), "after": "2"}


def test_delimiters_are_never_the_same(output):
    for _ in range(20):
        ActionsJob().set_output("x", redact("y"))

    delimiters = {line.partition("<<")[2] for line in output.read_text().splitlines() if "<<" in line}
    assert len(delimiters) == 20


def test_outside_of_a_job_there_is_nobody_to_read_outputs(monkeypatch, capsys):
    monkeypatch.delenv("GITHUB_OUTPUT", raising=False)
    monkeypatch.delenv("GITHUB_STEP_SUMMARY", raising=False)
    ActionsJob().set_output("x", redact("y"))
    ActionsJob().append_summary(redact("y"))

    assert capsys.readouterr().out == ""


def test_a_file_of_the_job_that_cannot_be_written_is_an_error(monkeypatch, tmp_path):
    monkeypatch.setenv("GITHUB_OUTPUT", str(tmp_path / "absent/output"))
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", str(tmp_path / "absent/summary"))

    for deed in (lambda: ActionsJob().set_output("x", redact("y")), lambda: ActionsJob().append_summary(redact("y"))):
        with pytest.raises(EnvironmentFault) as caught:
            deed()
        assert caught.value.code == "job-file-unwritable"


def test_the_summary_grows(monkeypatch, tmp_path):
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", str(tmp_path / "summary"))
    for text in ("one", "two"):
        ActionsJob().append_summary(redact(text))

    assert (tmp_path / "summary").read_text() == "one\ntwo\n"


@pytest.mark.parametrize("text", HOSTILE[:-1], ids=range(len(HOSTILE) - 1))
def test_the_log_holds_no_command_but_our_own(capsys, text):
    job = ActionsJob()
    job.notice(redact(text))
    job.warning(redact(text))
    job.error(redact(text))

    commands = [line for line in capsys.readouterr().out.splitlines() if line.lstrip().startswith(("::", "##["))]
    assert [line.split("::")[1].split(" ")[0] for line in commands] == ["warning", "error"]


def test_a_secret_is_masked_once_and_an_empty_one_is_not(capsys):
    ActionsJob().mask("s3cret")
    ActionsJob().mask("")

    assert capsys.readouterr().out.splitlines() == ["::add-mask::s3cret"]
