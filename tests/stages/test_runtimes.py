"""Which program is started for a familiar, with which arguments and surroundings, and where the model's key goes."""

import json
import stat

import pytest

from coven_action.core.contract.coven_code import PLACEHOLDER_KEY
from coven_action.core.documents import PlannedFamiliar
from coven_action.core.sandbox.request import Bind
from coven_action.errors import RuntimeFault
from coven_action.stages.runtimes import (
    PROBE_LIMITS,
    Access,
    RunFolder,
    RuntimePorts,
    needs_gateway,
    prepare_runtime,
    runtime_kind,
)
from tests.coven_code_standin import install_standin
from tests.scenario import CONFIGURATION, Scene, ScriptedGateways, ScriptedRuntime, Unconfined, run_process

KEY = "key-of-the-model-0123456789"
CONFIGURED = CONFIGURATION.replace("runtime: patch", "model: anthropic/claude-sonnet-4-6")


def _familiar(runtime="coven-code", model="anthropic/claude-sonnet-4-6"):
    return PlannedFamiliar(id="cody", display_name="Cody", model=model, runtime=runtime, mode="repair", why="")


class Program:
    """A program that answers `--version` and `--help` as told, and remembers how it was asked."""

    def __init__(self, version=b"coven-code 0.7.0\n", helped=b"", code=0):
        switches = ("--headless", "--context", "--output", "--model", "--max-turns", "--output-format", "--hosted-repair",
                    "--api-base")  # fmt: skip
        self.answers = {
            "--version": version,
            "--help": helped or b"".join(b"      %b\n" % s.encode() for s in switches),
        }
        self.code = code
        self.asked = []

    def __call__(self, argv, *, environment, cwd, limits, write):
        self.asked.append((tuple(argv), dict(environment), limits))
        answer = self.answers[argv[1]]
        write(answer)
        done = ScriptedRuntime(lambda _: None, None, {"exit_code": self.code, "stdout_tail": answer})
        return done((*argv, "--output", "/nonexistent"), environment=environment, cwd=cwd, limits=limits, write=len)


@pytest.fixture
def folder(tmp_path):
    run_folder = RunFolder(tmp_path / "run")
    run_folder.create()
    return run_folder


def _ports(program, *, key=KEY, path="/opt/coven-code"):
    from pathlib import Path

    return RuntimePorts(
        confinement=Unconfined(program), gateways=ScriptedGateways(), install=lambda: Path(path),
        patch_program=("python", "-m", "patch"), patch_binds=(Bind("/opt/ours"),), model_key=key,
    )  # fmt: skip


def _prepare(familiar, folder, program=None, **facts):
    access = Access(facts.pop("isolation", "none"), facts.pop("port", None))
    ports = _ports(program or Program(), **facts)
    needs_gateway(familiar, ports)
    return prepare_runtime(familiar, turns=40, access=access, folder=folder, ports=ports)


@pytest.mark.parametrize(
    ("runtime", "kind"), [("patch", "patch"), ("coven-code", "coven-code"), (("node", "x.js"), "command")]
)
def test_the_kind_of_a_runtime(runtime, kind):
    assert runtime_kind(_familiar(runtime)) == kind


@pytest.mark.parametrize("runtime", ["patch", ("node", "agent.js")])
def test_patch_and_commands_get_the_contracts_arguments_and_no_key(folder, runtime):
    ready = _prepare(_familiar(runtime), folder)

    start = ("python", "-m", "patch") if runtime == "patch" else runtime
    assert ready.argv == (*start, "--headless", "--context", str(folder.brief), "--output", str(folder.result))
    assert KEY not in json.dumps([ready.argv, dict(ready.environment)])
    assert not (folder.home / ".coven-code/settings.json").exists()


def test_the_runtime_is_given_the_gateways_address_and_a_placeholder_and_never_the_key(folder):
    program = Program()
    ready = _prepare(_familiar(), folder, program, port=4100)

    settings = folder.home / ".coven-code/settings.json"
    assert json.loads(settings.read_text())["providers"]["anthropic"] == {
        "api_key": PLACEHOLDER_KEY,
        "api_base": "http://127.0.0.1:4100",
    }
    assert KEY not in settings.read_text()
    assert stat.S_IMODE(settings.stat().st_mode) == 0o600
    assert KEY not in json.dumps([ready.argv, dict(ready.environment), dict(ready.capabilities)])
    for argv, environment, limits in program.asked:
        assert KEY not in json.dumps([argv, environment])
        assert limits is PROBE_LIMITS


def test_a_command_finds_the_gateway_as_the_providers_own_libraries_do(folder):
    familiar = _familiar(("node", "agent.js")).model_copy(update={"hosts": ("pypi.org",)})
    ready = _prepare(familiar, folder, port=4100)

    assert ready.environment["ANTHROPIC_BASE_URL"] == "http://127.0.0.1:4100"
    assert ready.environment["OPENAI_BASE_URL"] == "http://127.0.0.1:4100/v1"
    assert {ready.environment["ANTHROPIC_API_KEY"], ready.environment["OPENAI_API_KEY"]} == {PLACEHOLDER_KEY}
    assert ready.environment["HTTPS_PROXY"] == "http://127.0.0.1:4100"
    without = _prepare(familiar, folder, key=None).environment
    assert not {"ANTHROPIC_API_KEY", "OPENAI_API_KEY", "HTTPS_PROXY"} & set(without)


def test_a_command_is_given_the_files_that_it_names_and_nothing_beside_them(folder, tmp_path):
    script = tmp_path / "agent.js"
    script.write_text("")
    ready = _prepare(_familiar(("/usr/bin/env", "node", str(script), "/not/there")), folder)

    assert {Bind("/usr/bin/env"), Bind(str(script))} <= set(ready.binds)
    assert not [bind for bind in ready.binds if bind.path in {str(tmp_path), "/not/there"}]


def test_only_what_the_contract_names_can_be_written(folder):
    for familiar in (_familiar("patch"), _familiar(("sh",)), _familiar()):
        written = {bind.path for bind in _prepare(familiar, folder).binds if bind.writable}
        assert written == {str(folder.home), str(folder.temporary), str(folder.result.parent)}
        (folder.home / ".coven-code/settings.json").unlink(missing_ok=True)


def test_a_brief_takes_away_what_an_earlier_attempt_left(folder, tmp_path):
    outside = tmp_path / "outside"
    outside.write_text("kept")
    folder.result.symlink_to(outside)

    folder.write_brief("{}")

    assert not folder.result.is_symlink()
    assert outside.read_text() == "kept"
    assert stat.S_IMODE(folder.brief.stat().st_mode) == 0o644


def test_a_link_in_place_of_the_settings_is_not_followed(folder, tmp_path):
    outside = tmp_path / "outside"
    (folder.home / ".coven-code/settings.json").symlink_to(outside)

    with pytest.raises(FileExistsError):
        _prepare(_familiar(), folder)
    assert not outside.exists()


@pytest.mark.parametrize("key", [None, ""])
def test_without_a_key_nothing_is_installed_or_started(folder, key):
    program = Program()

    with pytest.raises(RuntimeFault) as caught:
        _prepare(_familiar(), folder, program, key=key)
    assert caught.value.code == "missing-model-key"
    assert program.asked == []


UNSUPPORTED = {
    "another program": Program(version=b"git version 2.39\n"),
    "an old release": Program(helped=b"      --headless\n"),
    "one that fails": Program(code=1),
}


@pytest.mark.parametrize("program", UNSUPPORTED.values(), ids=UNSUPPORTED)
def test_a_program_that_is_not_coven_code_gets_no_key(folder, program):
    with pytest.raises(RuntimeFault) as caught:
        _prepare(_familiar(), folder, program)
    assert caught.value.code == "runtime-not-supported"
    assert not (folder.home / ".coven-code/settings.json").exists()


def test_a_runtime_with_a_shell_does_not_start_without_a_sandbox(folder):
    helped = Program().answers["--help"].replace(b"--hosted-repair", b"--other")

    with pytest.raises(RuntimeFault) as caught:
        _prepare(_familiar(), folder, Program(helped=helped))
    assert caught.value.code == "runtime-needs-sandbox"


def test_the_evidence_can_say_how_it_was_launched(folder):
    ready = _prepare(_familiar(), folder)

    assert (ready.version, ready.capabilities["launched_as"]) == ("0.7.0", "hosted-repair")


# --- with the stand-in, from the label to the pull request


def test_the_coven_code_runtime_makes_a_pull_request_and_leaves_no_key(github, tmp_path):
    scene = Scene(github, tmp_path, configuration=CONFIGURED)
    run = scene.start(scene.label(scene.open_issue()), runtime=run_process, isolation="none", model_key=KEY)
    run.environment["COVEN_INPUT_RUNTIME_PATH"] = str(install_standin(tmp_path, "head", "edits"))

    assert run.finish() == 0

    (check,) = scene.check_runs
    assert check.conclusion == "neutral"
    assert "could have read the model key" in check.summary
    assert run.outcome.runtime == "coven-code"
    for path in run.documents.rglob("*"):
        if path.is_file():
            assert KEY.encode() not in path.read_bytes()


def test_without_its_key_the_familiar_says_what_to_set(github, tmp_path):
    scene = Scene(github, tmp_path, configuration=CONFIGURED)
    run = scene.start(scene.label(scene.open_issue()), isolation="none")

    assert run.finish() == 1
    assert run.outcome.fault.code == "missing-model-key"
    assert "secrets.MODEL_API_KEY" in scene.comments(scene.repository.issues[1])[0].body
