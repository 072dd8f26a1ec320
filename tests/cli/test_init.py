"""`coven-action init` writes two files, never over somebody's work, and says what is left to do."""

from pathlib import Path

import pytest
import yaml
from click.testing import CliRunner

from coven_action.cli import init
from coven_action.cli.workflow_templates import load_template
from coven_action.core.configuration.mistakes import InvalidConfigError
from coven_action.core.configuration.parsing import parse_config
from coven_action.errors import EnvironmentFault

SHA = "5fda3b95a4ea91299a34e894583c3862153e4b97"
CONFIG, WORKFLOW = ".github/coven.yml", ".github/workflows/coven.yml"


@pytest.fixture
def repository(tmp_path):
    (tmp_path / ".git").mkdir()
    (tmp_path / ".git/HEAD").write_text("ref: refs/heads/main\n")
    return tmp_path


@pytest.fixture
def call(repository):
    def run(*arguments, directory=repository, answers=None):
        return CliRunner().invoke(init.command, [str(directory), *arguments], input=answers)

    return run


def read(repository, path):
    return (repository / path).read_text()


def written(repository):
    found = (path.relative_to(repository) for path in (repository / ".github").rglob("*") if path.is_file())
    return sorted(str(path) for path in found)


def test_the_defaults_need_no_model_and_no_secret(call, repository):
    done = call("--action-ref", SHA)

    assert done.exit_code == 0, done.output
    assert written(repository) == [CONFIG, WORKFLOW]
    assert parse_config(read(repository, CONFIG)).familiar("cody").runtime == "patch"
    assert "secrets" not in read(repository, WORKFLOW)
    assert "1. Commit both files" in done.output


def test_flags_give_every_answer(call, repository):
    done = call(
        "--familiar=nova", "--display-name=Nova, the second", "--runtime=coven-code", "--model=anthropic/claude-opus-4-8",
        f"--action-ref={SHA}", "--yes",
    )  # fmt: skip

    assert done.exit_code == 0, done.output
    nova = parse_config(read(repository, CONFIG)).familiar("nova")
    assert (nova.display_name, nova.runtime, nova.model) == (
        "Nova, the second",
        "coven-code",
        "anthropic/claude-opus-4-8",
    )
    assert "secrets.MODEL_API_KEY" in read(repository, WORKFLOW)
    assert "MODEL_API_KEY" in done.output


def test_a_model_alone_means_coven_code(call, repository):
    assert call("--model", "anthropic/x", "--action-ref", SHA).exit_code == 0
    assert parse_config(read(repository, CONFIG)).familiar("cody").runtime == "coven-code"


def test_a_folder_below_the_top_is_enough(call, repository):
    (repository / "src").mkdir()

    assert call("--action-ref", SHA, directory=repository / "src").exit_code == 0
    assert written(repository) == [CONFIG, WORKFLOW]


def test_the_same_call_again_changes_nothing(call, repository):
    call("--action-ref", SHA, "--runtime=patch")
    before = [(repository / path).stat().st_mtime_ns for path in (CONFIG, WORKFLOW)]
    done = call("--action-ref", SHA, "--runtime=patch")

    assert done.exit_code == 0
    assert done.output.count("unchanged") == 2
    assert before == [(repository / path).stat().st_mtime_ns for path in (CONFIG, WORKFLOW)]


def test_a_file_that_differs_is_shown_and_nothing_is_written(call, repository):
    call("--action-ref", SHA)
    (repository / WORKFLOW).write_text("name: mine\n")
    done = call("--familiar=nova", "--action-ref", SHA)

    assert isinstance(done.exception, EnvironmentFault)
    assert done.exception.code == "file-differs"
    assert "-name: mine" in done.output
    assert "+  nova:" in done.output
    assert read(repository, WORKFLOW) == "name: mine\n"
    assert "cody" in read(repository, CONFIG)


def test_force_writes_over_what_differs(call, repository):
    call("--action-ref", SHA)
    done = call("--familiar=nova", "--action-ref", SHA, "--force")

    assert done.exit_code == 0
    assert f"replaced   {CONFIG}" in done.output
    assert f"unchanged  {WORKFLOW}" in done.output
    assert "nova" in read(repository, CONFIG)


@pytest.mark.parametrize("force", [(), ("--force",)])
def test_a_configuration_that_exists_decides_the_workflow_and_is_kept(call, repository, force):
    text = "version: 1  # ours\nfamiliars: {cody: {model: anthropic/x}}\n"
    (repository / ".github").mkdir()
    (repository / CONFIG).write_text(text)
    done = call("--action-ref", SHA, *force)

    assert done.exit_code == 0
    assert read(repository, CONFIG) == text
    assert "secrets.MODEL_API_KEY" in read(repository, WORKFLOW)


def test_a_configuration_with_a_mistake_is_told_first(call, repository):
    (repository / ".github").mkdir()
    (repository / CONFIG).write_text("version: 2\n")

    assert isinstance(call("--action-ref", SHA).exception, InvalidConfigError)
    assert written(repository) == [CONFIG]


def test_a_dry_run_shows_and_writes_nothing(call, repository):
    done = call("--action-ref", SHA, "--dry-run")

    assert done.exit_code == 0
    assert "  cody:\n    runtime: patch\n" in done.output
    assert f"coven-action@{SHA}" in done.output
    assert not (repository / ".github").exists()


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        ((), "action-ref-needed"),
        (("--familiar=Cody", f"--action-ref={SHA}"), "invalid-config"),
        (("--familiar=coven", f"--action-ref={SHA}"), "invalid-config"),
        (("--model=sonnet", f"--action-ref={SHA}"), "invalid-config"),
    ],
)
def test_what_cannot_be_written_is_an_error_with_a_code(call, repository, arguments, code):
    done = call(*arguments)

    assert done.exception.code == code
    assert not (repository / ".github").exists()


@pytest.mark.parametrize(
    "arguments",
    [
        ("--runtime=patch", "--model=anthropic/x", f"--action-ref={SHA}"),
        ("--runtime=coven-code", f"--action-ref={SHA}"),
        ("--runtime=shell",),
        ("--action-ref=main",),
        ("--action-ref=v1.0.0",),
        (f"--action-ref={SHA[:12]}",),
        (f"--action-ref={SHA.upper()}",),
        (f"--action-ref={'0' * 40}",),
    ],
)
def test_wrong_usage_exits_2_and_writes_nothing(call, repository, arguments):
    done = call(*arguments)

    assert done.exit_code == 2, done.output
    assert not (repository / ".github").exists()


def test_outside_a_repository_nothing_is_written(call, tmp_path):
    outside = tmp_path / "elsewhere"
    outside.mkdir()
    (tmp_path / ".git/HEAD").unlink()

    assert call("--action-ref", SHA, directory=outside).exception.code == "no-repository"
    assert not any(outside.iterdir())


def test_a_linked_github_folder_is_refused(call, repository, tmp_path_factory):
    outside = tmp_path_factory.mktemp("outside")
    (repository / ".github").symlink_to(outside)

    assert call("--action-ref", SHA).exception.code == "link-in-the-way"
    assert not any(outside.iterdir())


def test_on_a_terminal_the_answers_are_asked_for_until_they_can_be_used(call, repository, monkeypatch):
    monkeypatch.setattr(init, "is_terminal", lambda: True)
    answers = ["Nova", "nova", "coven-code", "sonnet", "anthropic/claude-sonnet-4-6", "", "main", SHA]
    done = call(answers="\n".join(answers) + "\n")

    assert done.exit_code == 0, done.output
    nova = parse_config(read(repository, CONFIG)).familiar("nova")
    assert (nova.model, nova.display_name) == ("anthropic/claude-sonnet-4-6", "Nova")
    assert "display_name" not in read(repository, CONFIG)
    assert "git ls-remote" in done.output
    assert done.output.count("Error:") == 3


def test_yes_asks_nothing_on_a_terminal(call, monkeypatch):
    monkeypatch.setattr(init, "is_terminal", lambda: True)

    assert call("--yes", "--action-ref", SHA).exit_code == 0


def test_the_template_is_found_in_a_wheel_and_in_a_checkout(tmp_path):
    (tmp_path / "wheel").mkdir()
    (tmp_path / "wheel/x.yml").write_text("x")

    assert load_template("x.yml", (tmp_path / "absent", tmp_path / "wheel")) == "x"
    assert "OpenCoven/coven-action@" in load_template("quickstart.yml")
    with pytest.raises(EnvironmentFault, match="templates-missing"):
        load_template("x.yml", (Path("/absent"),))


@pytest.mark.parametrize("template", ["isolated", "self-hosted"])
def test_each_stage_can_have_a_job_of_its_own(call, repository, template):
    done = call("--action-ref", SHA, f"--template={template}")

    assert done.exit_code == 0, done.output
    workflow = yaml.safe_load(read(repository, WORKFLOW))
    assert list(workflow["jobs"]) == ["plan", "run", "verify", "publish"]


def test_an_endpoint_in_the_configuration_decides_the_workflow(call, repository):
    (repository / ".github").mkdir()
    (repository / CONFIG).write_text(
        "version: 1\nfamiliars: {cody: {runtime: patch}}\nhosted: {url: https://coven.example.com}\n"
    )

    assert "endpoint: take isolated" in call("--action-ref", SHA, "--template=quickstart").output
    done = call("--action-ref", SHA)
    assert done.exit_code == 0, done.output
    assert "received:" in read(repository, WORKFLOW)
    assert "coven-action enrol" in done.output
